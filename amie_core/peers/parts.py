"""What the compared methods share: frames decoded at once, the roll-out, shapes of landmarks."""

from collections.abc import Iterable, Iterator

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from amie_core.config import FACE_SIZE, LANDMARKS, ModelConfig
from amie_core.data.alignment import TEMPLATE, lip_box
from amie_core.model.generator import AudioEncoder, FrameDecoder, ImageEncoder, Skips
from amie_core.model.talker import Talker
from amie_core.training.augment import MIRROR

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
    decoder: FrameDecoder, maps: tuple[Tensor, ...], codes: Float[Tensor, "b k c q q"]
) -> Float[Tensor, "b k c2 s s"]:
    """Decode k codes of each face with the face's maps as skips; the last map joins the code."""
    b, k = codes.shape[:2]
    joined, kernels = decoder.skips(maps)
    every = Skips(tuple(share.repeat_interleave(k, 0) for share in joined), kernels)
    return decoder(codes.flatten(0, 1), every).float().unflatten(0, (b, k))


class PictureDiscriminator(nn.Module):
    """A discriminator's body: stride-2 convolutions, then `outputs` numbers a picture."""

    def __init__(self, config: ModelConfig, outputs: int, channels: int = 3) -> None:
        super().__init__()
        widths = tuple(max(8, w // 2) for w in config.widths())
        self.body = ImageEncoder(widths, channels)
        self.head = nn.Linear(widths[-1] * config.coarsest**2, outputs)

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
    face: Float[Tensor, "b 3 s s"], change: Float[Tensor, "b k 3 h w"]
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


class Shape(nn.Module):
    """Points as PCA coefficients, each of deviation 1 over the training frames."""

    mean_shape: Tensor
    basis: Tensor

    def __init__(self, coefficients: int, points: int = LANDMARKS) -> None:
        super().__init__()
        self.register_buffer("mean_shape", torch.zeros(2 * points))
        self.register_buffer("basis", torch.zeros(coefficients, 2 * points))

    def fit(self, points: Float[Tensor, "n p 2"]) -> None:
        """Mean and principal axes; an axis is divided by its deviation, so coefficients have 1."""
        flat, kept = points.flatten(1).double(), len(self.basis)
        mean = flat.mean(0)
        values, axes = torch.linalg.eigh((flat - mean).T @ (flat - mean) / len(flat))
        values, axes = values.flip(0)[:kept], axes.flip(1)[:, :kept]
        sign = axes.sum(0).sign()  # eigenvectors have none of their own
        self.mean_shape.copy_(mean)
        self.basis.copy_(((axes * sign) / values.clamp(min=1e-6).sqrt()).T)

    def forward(self, points: Float[Tensor, "*n p 2"]) -> Float[Tensor, "*n c"]:
        """Coefficients of points (px at 256²)."""
        return (points.flatten(-2) - self.mean_shape) @ self.basis.T

    def moved(self, change: Float[Tensor, "*n c"]) -> Float[Tensor, "*n p 2"]:
        """How a change of the coefficients moves the points, px at 256²."""
        axes = self.basis * self.px()[:, None] ** 2
        return (change @ axes).unflatten(-1, (-1, 2))

    def px(self) -> Float[Tensor, " c"]:
        """How far a coefficient of 1 moves the points: root of the summed squares, px at 256²."""
        return 1 / self.basis.norm(dim=1).clamp(min=1e-6)

    def error(
        self, found: Float[Tensor, "b k c"], wanted: Float[Tensor, "b k c"]
    ) -> Float[Tensor, " b"]:
        """Mean squared error in px as a share of the shapes' variance: most axes move little."""
        px = self.px()
        return (((found - wanted) * px) ** 2).sum(-1).mean(-1) / (px**2).sum()


MOUTH = slice(48, 68)  # of the 68 landmarks


def mouth(points: Float[Tensor, "*n 68 2"]) -> Float[Tensor, "*n 20 2"]:
    """The mouth's points from their own middle, a mean of the mouth and its mirror image.

    Where a head is does not count, nor whether training has mirrored it: no sound says which side
    of a mouth hangs.
    """
    own = points[..., MOUTH, :]
    own = own - own.mean(-2, keepdim=True)
    mirror = own[..., [k - MOUTH.start for k in MIRROR[MOUTH]], :]
    return (own + mirror * torch.tensor([-1.0, 1.0], device=own.device)) / 2


def landmarks_of(face: Float[Tensor, "1 3 s s"]) -> Float[Tensor, "1 68 2"]:
    """Landmarks of an aligned face, px at 256²; the mean face's where none are found."""
    from amie_core.data import faces

    big = F.interpolate(face.float(), (FACE_SIZE,) * 2, mode="bicubic", align_corners=False)
    picture = big.clamp(0, 1).mul(255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
    points, found = faces.measure_landmarks(picture)
    return torch.from_numpy(points if found[0] else TEMPLATE[None].copy())


def looks(
    chunks: Iterable[Float[Tensor, "_ e"]], memory: int, ahead: int = 0
) -> Iterator[Float[Tensor, "_ m e"]]:
    """For each frame of a clip the `memory` codes that end `ahead` frames after it, chunk by chunk.

    Before the first frame its own code is taken to go on, after the last one likewise. As many as
    a training window has: an LSTM's state that has run for 75 frames is none that it was trained
    with.
    """
    line: Tensor | None = None
    for chunk in chunks:
        before = chunk[:1].expand(memory - 1 - ahead, -1) if line is None else line
        line = torch.cat([before, chunk])
        if len(line) >= memory:
            yield line.unfold(0, memory, 1).transpose(1, 2)
            line = line[len(line) - memory + 1 :]
    if line is not None and ahead:
        line = torch.cat([line, line[-1:].expand(ahead, -1)])
        yield line.unfold(0, memory, 1).transpose(1, 2)


class DelayedLstm(nn.Module):
    """Sound to a mouth's coefficients, said DELAY frames late: an LSTM that hears what comes."""

    DELAY = 1  # frames, beyond the window's own 100 ms
    memory: Tensor

    def __init__(
        self, config: ModelConfig, coefficients: int, memory: int = 4, told: int = 0
    ) -> None:
        super().__init__()
        code = config.embedding
        self.register_buffer("memory", torch.tensor(memory))  # frames that it hears for one
        self.audio_encoder = AudioEncoder(config.audio_width, code)
        self.lstm = nn.LSTM(code + told, code, batch_first=True)
        self.head = nn.Linear(code, coefficients)

    def forward(
        self, windows: Float[Tensor, "b k 20 13"], own: Float[Tensor, "b t"] | None = None
    ) -> Float[Tensor, "b k2 c"]:
        """Coefficients of all but the window's last DELAY frames.

        own: numbers that it is told of the face beside the sound.
        """
        told = None if own is None else own.repeat_interleave(windows.shape[1], 0)
        codes = self._codes(windows.flatten(0, 1), told).unflatten(0, windows.shape[:2])
        return self.head(self.lstm(codes)[0][:, self.DELAY :]).float()

    def _codes(
        self, windows: Float[Tensor, "n 20 13"], told: Float[Tensor, "n t"] | None
    ) -> Float[Tensor, "n e"]:
        codes = F.leaky_relu(self.audio_encoder(windows), 0.2)
        return codes if told is None else torch.cat([codes, told.to(codes)], 1)

    def spoken(
        self, windows: Iterable[Float[Tensor, "_ 20 13"]], own: Float[Tensor, "1 t"] | None = None
    ) -> Iterator[Float[Tensor, "_ c"]]:
        """Coefficients of every frame of a clip, PART frames at most at a time."""
        codes = (
            self._codes(chunk, None if own is None else own.expand(len(chunk), -1))
            for chunk in windows
        )
        for heard in looks(codes, int(self.memory), self.DELAY):
            yield from self.head(self.lstm(heard)[0][:, -1]).split(PART)
