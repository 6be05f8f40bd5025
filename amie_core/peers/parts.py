"""What the compared methods share: all frames of a window decoded at once, and the roll-out."""

from collections.abc import Iterable, Iterator

import torch
from jaxtyping import Float
from torch import Tensor, nn

from amie_core.config import ModelConfig
from amie_core.model.generator import FrameDecoder, ImageEncoder, Talker

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
    *skips, last = (m.repeat_interleave(k, 0) for m in maps)
    code = torch.cat([last, codes.flatten(0, 1)], dim=1)
    return decoder(code, (*skips, last)).float().unflatten(0, (b, k))


class Judge(nn.Module):
    """A discriminator's body: stride-2 convolutions to 4×4, `outputs` numbers a picture."""

    def __init__(self, config: ModelConfig, outputs: int, channels: int = 3) -> None:
        super().__init__()
        widths = tuple(max(8, w // 2) for w in config.widths())
        self.body = ImageEncoder(widths, channels)
        self.head = nn.Linear(widths[-1] * 16, outputs)

    def forward(self, pictures: Float[Tensor, "b c s s"]) -> Float[Tensor, "b o"]:
        """Numbers in float32, the first of them the logit of "real"."""
        return self.head(self.body(pictures)[-1].flatten(1)).float()
