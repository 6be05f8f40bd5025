"""What the generator of every method can do: speak a face, frame by frame."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from amie_core.config import FACE_SIZE, SAMPLE_RATE, ModelConfig
from amie_core.errors import UserError
from amie_core.model import composition
from amie_core.model.composition import Change

if TYPE_CHECKING:
    from amie_core.data.audio import Hears
    from amie_core.data.store import PreparedClip

LipBox = tuple[int, int, int, int]  # top, bottom, left, right, in 256ths


class Talker(nn.Module):
    """What the generator of every method can do: speak a face.

    A window is 20 hops of 10 ms, of 13 cepstra each or what else it `hears` (data.audio.Hears).
    """

    hears: "Hears" = "cepstra"

    def roll(
        self, face: Float[Tensor, "1 3 s s"], windows: Iterable[Float[Tensor, "_ 20 c"]]
    ) -> Iterator[Float[Tensor, "_ 3 s s"]]:
        """Frames in [0, 1], one a window, from an aligned face; `windows` comes in chunks."""
        raise NotImplementedError

    def changes(
        self,
        face: Float[Tensor, "1 3 s s"],
        windows: Iterable[Float[Tensor, "_ 20 c"]],
        lip_box: LipBox | None = None,
    ) -> Iterator[tuple[Float[Tensor, "1 3 s s"], Change]]:
        """`roll`, frame by frame, and what each changes of the face around the mouth."""
        boxes = torch.tensor([lip_box or composition.TEMPLATE_LIP_BOX], device=face.device)
        around = composition.region(boxes, face.shape[-1])
        for frames in self.roll(face, windows):
            for frame in frames[:, None]:
                yield frame, Change((frame - face) * around, None)


@torch.inference_mode()
def roll_changes(
    generator: Talker,
    face: Float[Tensor, "3 s s"],
    windows: Iterable[Float[np.ndarray, "_ 20 c"]],
    lip_box: LipBox | None = None,
) -> Iterator[tuple[Float[Tensor, "1 3 s s"], Change]]:
    """The face speaks: a frame a window, and what it changes of the face around the mouth.

    `windows` comes in chunks of any length; no more than a chunk is kept in memory. lip_box: the
    mouth's, in 256ths.
    """
    generator.eval()
    device = next(generator.parameters()).device
    face = face.to(device)[None].contiguous(memory_format=torch.channels_last)
    heard = (torch.as_tensor(np.asarray(chunk), device=device) for chunk in windows)
    for made in generator.changes(face, heard, lip_box):
        if not bool(made[0].isfinite().all()):
            raise UserError("what the model makes is not finite: its weights, or this sound's "
                            "cepstra, are damaged")  # fmt: skip
        yield made


class MouthTalker(Talker):
    """A talker that moves a mouth by its landmarks and knows how to lay that over a picture."""

    def pictures(
        self,
        face: UInt8[np.ndarray, "256 256 3"],
        windows: Float[np.ndarray, "n 20 c"],
        points: Float[np.ndarray, "68 2"] | None = None,
    ) -> Iterator[UInt8[np.ndarray, "256 256 3"]]:
        """The face speaking; points: its landmarks, found in it where None."""
        raise NotImplementedError


def roll_out(
    generator: Talker,
    face: Float[Tensor, "3 s s"],
    windows: Iterable[Float[np.ndarray, "_ 20 c"]],
    lip_box: LipBox | None = None,
) -> Iterator[np.ndarray]:
    """The frames of `roll_changes` as (s, s, 3) uint8 RGB pictures."""
    for frame, _ in roll_changes(generator, face, windows, lip_box):
        picture = frame[0].mul(255).round().to(torch.uint8)
        yield picture.permute(1, 2, 0).cpu().contiguous().numpy()


def picture_size(config: ModelConfig) -> int:
    """Px of a generator's pictures: a whole face's, where its own canvas is a part of it."""
    return config.image_size if config.canvas == FACE_SIZE else FACE_SIZE


def spoken(
    generator: Talker, meta: dict[str, Any], clip: "PreparedClip"
) -> UInt8[np.ndarray, "n s s 3"]:
    """What a generator makes of a prepared clip's first frame and its sound.

    clip: its frames at meta["image_size"] px; meta: of `checkpoint.load_generator`.
    """
    from amie_core.data import alignment, audio, store

    level = bool(meta.get("level"))
    rate = meta.get("mfcc_rate", SAMPLE_RATE)
    sound = store.rows(clip, generator.hears, rate, level=level)
    n, first = len(clip.frames), clip.landmarks[:1]  # of the one frame that is given
    return generate(
        generator, clip.frames[0], audio.windows(sound, n), alignment.lip_box(first), first[0]
    )


def generate(
    generator: Talker,
    face: UInt8[np.ndarray, "s s 3"],
    windows: np.ndarray,
    lip_box: LipBox | None = None,
    points: Float[np.ndarray, "68 2"] | None = None,
) -> UInt8[np.ndarray, "n s s 3"]:
    """All frames of a short clip at the model's size: aligned `face`, `windows` (n, 20, c).

    `generator`: of any method; AMIE's is autoregressive from the face itself. lip_box: the face's
    (`data.alignment.lip_box`), the template's where None. points: its landmarks, px at 256, for a
    generator that moves them; found in the face where None.
    """
    if isinstance(generator, MouthTalker):
        return np.stack(list(generator.pictures(face, windows, points)))
    identity = torch.from_numpy(np.ascontiguousarray(face)).permute(2, 0, 1).float().div_(255)
    made: Iterator[np.ndarray] = roll_out(generator, identity, [windows], lip_box)
    return np.stack(list(made))
