"""What the compared methods share: all frames of a window decoded at once, and the roll-out."""

from collections.abc import Iterable, Iterator

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from amie_core.config import FACE_SIZE, ModelConfig
from amie_core.data.alignment import TEMPLATE, lip_box
from amie_core.model.generator import FrameDecoder, ImageEncoder, Skips
from amie_core.model.talker import Talker

PART = 24  # frames decoded at once in a roll-out, about: bounds the memory


class WindowTalker(Talker):
    """A generator whose frames do not depend on its own earlier ones."""

    def together(self) -> int:
        """Frames that are made together: a clip is cut between them alone."""
        return 1

    def forward(
        self, face: Float[Tensor, "b 3 s s"], windows: Float[Tensor, "b k 20 13"]
    ) -> Float[Tensor, "b k 3 s s"]:
        """All frames of some windows in a row."""
        raise NotImplementedError

    def roll(
        self, face: Float[Tensor, "1 3 s s"], windows: Iterable[Float[Tensor, "_ 20 13"]]
    ) -> Iterator[Float[Tensor, "_ 3 s s"]]:
        """Frames of the whole clip, some at a time."""
        size = max(PART // self.together(), 1) * self.together()
        for chunk in windows:
            for part in chunk.split(size):
                yield self(face, part[None])[0].clamp(0, 1)


def decode_frames(
    decoder: FrameDecoder, maps: tuple[Tensor, ...], codes: Float[Tensor, "b k c 4 4"]
) -> Float[Tensor, "b k c2 s s"]:
    """Decode k codes of each face with the face's maps as skips; the last map joins the code."""
    b, k = codes.shape[:2]
    joined, kernels = decoder.skips(maps)
    every = Skips(tuple(share.repeat_interleave(k, 0) for share in joined), kernels)
    return decoder(codes.flatten(0, 1), every).float().unflatten(0, (b, k))


class PictureDiscriminator(nn.Module):
    """A discriminator's body: stride-2 convolutions to 4×4, `outputs` numbers a picture."""

    def __init__(self, config: ModelConfig, outputs: int, channels: int = 3) -> None:
        super().__init__()
        widths = tuple(max(8, w // 2) for w in config.widths())
        self.body = ImageEncoder(widths, channels)
        self.head = nn.Linear(widths[-1] * 16, outputs)

    def forward(self, pictures: Float[Tensor, "b c s s"]) -> Float[Tensor, "b o"]:
        """Numbers in float32, the first of them the logit of "real"."""
        return self.head(self.body(pictures)[-1].flatten(1)).float()


FEATHER = 1 / 8  # of the lip box's height, on each side


def lip_region(size: int) -> tuple[slice, slice]:
    """Rows and columns of the mean face's lip box in a face of `size` px."""
    top, bottom, left, right = (edge * size // FACE_SIZE for edge in lip_box(TEMPLATE[None]))
    return slice(top, bottom), slice(left, right)


def cut_lips(faces: Float[Tensor, "b 3 s s"], size: int) -> Float[Tensor, "b 3 h h"]:
    """The lip region of aligned faces as a square of `size` px."""
    rows, columns = lip_region(faces.shape[-1])
    return F.interpolate(
        faces[:, :, rows, columns], (size, size), mode="bilinear", align_corners=False
    )


def put_lips(
    face: Float[Tensor, "b 3 s s"], change: Float[Tensor, "b k 3 h h"]
) -> Float[Tensor, "b k 3 s s"]:
    """What changes of the cut lips, laid over the identity face; its edge feathered."""
    rows, columns = lip_region(face.shape[-1])
    height, width = rows.stop - rows.start, columns.stop - columns.start
    patch = F.interpolate(
        change.flatten(0, 1), (height, width), mode="bilinear", align_corners=False
    ).unflatten(0, change.shape[:2])
    edge = max(1.0, FEATHER * height)
    ramps = [
        ((torch.minimum(at + 1, n - at)) / edge).clamp(max=1)
        for n in (height, width)
        for at in (torch.arange(n, device=face.device),)
    ]
    shown = ramps[0][:, None] * ramps[1]
    frames = face[:, None].repeat(1, change.shape[1], 1, 1, 1)
    frames[..., rows, columns] += shown * patch
    return frames
