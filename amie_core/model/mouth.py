"""G on a canvas around the mouth, whose lips are moved by landmarks (`compose="landmarks"`).

Not in the paper (`paper.LEDGER`: changed). `Motion` says where the landmarks of the mouth are; the
identity frame is moved with them (skin, lips and beard stay the speaker's, at any resolution), and
G paints what no still shows: the inside of the open mouth, covered by nothing and covering all.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn

from amie_core.config import FACE_SIZE, ModelConfig
from amie_core.data import alignment
from amie_core.model.composition import Change
from amie_core.model.generator import Generator, IdentityCode
from amie_core.model.interiors import Interiors
from amie_core.model.motion import Motion, laid, mouth_width
from amie_core.model.talker import MouthTalker

INNER = slice(60, 68)  # of the 68 landmarks: the inner lips
FIXED = 128.0  # px at 256 from the mouth to a square of places that stay where they are
EVERY = 4  # px of the canvas, between the places where the movement is worked out
ASKED = 1.4  # landmarks found in painted faces move .72 as far as those asked for (val_seen)
# Deviation of the opening, in mouth widths, that a voice is taken to have: the root mean square of
# GRID's ten training speakers, of whom the calmest has .032, the liveliest .066.
USUAL = 0.05
MIDDLE = 0.4  # what `tint` is brought to
SHADE = 0.5  # of the light on the face: what may be added to it at most
FADE = 0.4  # of half a canvas: where shade fades out
SHUT = 0.02  # mouth widths between the inner lips of a mouth at rest (val_seen, val_unseen)
PART = 16  # frames whose mouths are worked out at once
SOFT = 1e-3  # of a unit: what keeps landmarks that fall together solvable


def flow(
    old: Float[Tensor, "b 68 2"],
    new: Float[Tensor, "b 68 2"],
    at: Float[Tensor, "p 2"],
    unit: float = 1.0,
) -> Float[Tensor, "b p 2"]:
    """Where what is at `at` in the new face was in the old one, less `at`.

    A sum of cones, one a landmark, through the landmarks' own moves: smooth, and nothing folds.
    unit: one px of the 256² face, in px of these landmarks.
    """
    sides = torch.linspace(-FIXED, FIXED, 5, device=old.device) * unit
    square = torch.stack(torch.meshgrid(sides, sides, indexing="xy"), -1).flatten(0, 1)
    square = square[square.abs().amax(1) > (FIXED - 1) * unit]
    fixed = old[:, 48:68].mean(1, keepdim=True) + square
    centres = torch.cat([new, fixed], 1)
    moves = torch.cat([old - new, torch.zeros_like(fixed)], 1)
    far = torch.cdist(centres, centres) / unit
    far = far + SOFT * torch.eye(far.shape[1], device=old.device)
    weights = torch.linalg.solve(far, moves)
    return torch.cdist(at.expand(len(old), -1, -1), centres) / unit @ weights


def moved(
    face: Float[Tensor, "b 3 s s"],
    old: Float[Tensor, "b 68 2"],
    new: Float[Tensor, "b 68 2"],
    unit: float,
) -> Float[Tensor, "b 3 s s"]:
    """The face with its landmarks moved, both in 256ths of the picture."""
    size, device = face.shape[-1], face.device
    coarse = size // EVERY
    places = (torch.arange(coarse, device=device) + 0.5) * (FACE_SIZE / coarse) - 0.5
    at = torch.stack(torch.meshgrid(places, places, indexing="xy"), -1).flatten(0, 1)
    found = flow(old.float(), new.float(), at, unit).mT.unflatten(2, (coarse, coarse))
    fine = F.interpolate(found, (size, size), mode="bilinear", align_corners=False)
    axis = (torch.arange(size, device=device) * 2 + 1) / size - 1
    grid = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1)
    source = grid + fine.permute(0, 2, 3, 1) * (2 / FACE_SIZE)
    return F.grid_sample(face, source, padding_mode="border", align_corners=False)


def inside(points: Float[np.ndarray, "n 68 2"], size: int) -> Float[np.ndarray, "n s s"]:
    """1 between the inner lips, 0 outside; landmarks in 256ths of the picture."""
    return alignment.filled(points[:, INNER], size).astype(np.float32) / 255


def _around(size: int) -> Float[Tensor, "1 1 s s"]:
    """1 in the middle of a canvas, 0 at its edges, soft between."""
    at = (torch.arange(size) * 2 + 1) / size - 1
    inside = ((1 - (at[:, None] ** 2 + at**2).sqrt()) / FADE).clamp(0, 1)
    return (inside * inside * (3 - 2 * inside))[None, None]


def closed(points: Float[Tensor, "68 2"]) -> Float[Tensor, "68 2"]:
    """A mouth whose lips are hardly apart as one whose lips are SHUT: a still's seldom are."""
    out = points.clone()
    upper, lower = [61, 62, 63], [67, 66, 65]
    gap = (points[lower, 1] - points[upper, 1] - SHUT * mouth_width(points)).clamp(min=0)
    for inner, outer, share in ((upper, [50, 51, 52], 0.4), (lower, [58, 57, 56], -0.6)):
        for which in (inner, outer):
            out[which, 1] += share * gap
    return out


def tint(face: Float[Tensor, "b 3 s s"]) -> Float[Tensor, "b 3 1 1"]:
    """Mean colour of a canvas, nearly all of it skin: what light falls on the teeth as well."""
    return face.mean((2, 3), keepdim=True).clamp(min=0.05)


class Mouths(NamedTuple):
    """What is known of the mouths of k frames of b faces, before G paints."""

    bases: Float[Tensor, "b k 3 s s"]  # the identity frame, moved
    inner: Float[Tensor, "b k 1 s s"]  # where it is painted
    codes: Float[Tensor, "b k c 4 4"]  # their shapes, as G's decoder is told of them


class Painted(NamedTuple):
    """A frame: landmarks (256ths of the face); colours in [0, 1] and shade of its canvas."""

    points: Float[np.ndarray, "68 2"]
    colours: Float[np.ndarray, "s s 3"]
    shade: Float[np.ndarray, "s s 3"]


class MouthGenerator(Generator, MouthTalker):
    """The generator of `compose="landmarks"`."""

    around: Tensor  # where shade may lie

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        corners = 2 * (INNER.stop - INNER.start)
        self.motion = Motion()
        self.interiors = Interiors(config.image_size)
        self.shape = nn.Sequential(
            nn.Linear(corners, config.embedding),
            nn.LeakyReLU(0.2),
            nn.Linear(config.embedding, 16 * config.widths()[-1]),
        )
        self.unit = FACE_SIZE / config.canvas  # a px of the face, in 256ths of the canvas
        self.register_buffer("around", _around(config.image_size), persistent=False)

    def mouths(
        self,
        face: Float[Tensor, "b 3 s s"],
        own: Float[Tensor, "b 68 2"],
        wanted: Float[Tensor, "b k 68 2"],
    ) -> Mouths:
        """The faces (canvases), whose landmarks are `own`, with the landmarks `wanted`."""
        b, k = wanted.shape[:2]
        flat = wanted.flatten(0, 1)
        repeated = face.repeat_interleave(k, 0)
        bases = moved(repeated, own.repeat_interleave(k, 0), flat, self.unit)
        inner = torch.from_numpy(inside(flat.detach().cpu().numpy(), face.shape[-1]))
        shape = flat[:, INNER] - flat[:, INNER].mean(1, keepdim=True)
        shape = shape / mouth_width(own).repeat_interleave(k)[:, None, None] * 4
        codes = self.shape(shape.flatten(1)).unflatten(1, (-1, 4, 4))
        return Mouths(*(
            part.unflatten(0, (b, k)) for part in (bases, inner[:, None].to(face), codes)
        ))  # fmt: skip

    def identity(
        self,
        face: Float[Tensor, "b 3 s s"],
        lip_boxes: Int[Tensor, "b 4"] | None = None,
        attention: Float[Tensor, "b 1 s s"] | None = None,
        kernels: tuple[Tensor, ...] | None = None,
    ) -> IdentityCode:
        """Everything G keeps of a face, seen as if its skin were of one colour."""
        seen = face * (MIDDLE / tint(face))
        return super().identity(seen, lip_boxes, attention, kernels)._replace(face=face)

    def change(
        self,
        identity: IdentityCode,
        audio: Float[Tensor, "b c 4 4"],
        previous: Float[Tensor, "b 3 s s"],
    ) -> Change:
        """The colours of the inside of the mouth, wherever it may be: of the moved face's light;
        and what no movement of landmarks shows of lips and skin.

        identity: its `face` is the moved face, its `region` where it is painted.
        """
        code = torch.cat([audio, self.image_encoder(previous)[-1]], dim=1)
        raw = self.decoder(code, identity.skips).float()
        light = tint(identity.face)
        shade = SHADE * torch.tanh(raw[:, 3:]) * self.around * light
        return Change(torch.sigmoid(raw[:, :3]) * (light / MIDDLE), None, shade)

    def compose(self, identity: IdentityCode, made: Change) -> Float[Tensor, "b 3 s s"]:
        """Painted inside the lips; elsewhere the moved face, shaded."""
        assert identity.region is not None and made.shade is not None
        return torch.lerp(identity.face + made.shade, made.colours, identity.region)

    @torch.inference_mode()
    def pictures(
        self,
        face: UInt8[np.ndarray, "256 256 3"],
        windows: Float[np.ndarray, "n 20 13"],
        points: Float[np.ndarray, "68 2"] | None = None,
    ) -> Iterator[UInt8[np.ndarray, "256 256 3"]]:
        """The face speaking, as `amie talk --size 256` shows it, but as far as `by_voice`."""
        from amie_core.data.faces import measure_landmarks
        from amie_core.model.painter import Painter

        if points is None:
            found, there = measure_landmarks(face[None])
            points = found[0] if there[0] else alignment.TEMPLATE.copy()
        heard = torch.from_numpy(np.asarray(windows)).to(next(self.parameters()).device)
        painter = Painter(face, np.eye(2, 3), points, self.config)
        for made in self.eval().painted(face, points, [heard], by_voice=True):
            yield painter.frame(made)

    @torch.inference_mode()
    def painted(
        self,
        face: UInt8[np.ndarray, "256 256 3"],
        points: Float[np.ndarray, "68 2"],
        windows: Iterable[Float[Tensor, "_ 20 13"]],
        movement: float = 1.0,
        by_voice: bool = False,
    ) -> Iterator[Painted]:
        """What each frame shows of a face at rest, and where its landmarks are.

        movement: how much farther the mouth moves than Motion says. by_voice: as far as the voice
        of the first windows moves its own speaker's mouth, which holds for speakers of training
        alone; else as far as mouths usually move.
        """
        box = alignment.lip_box(points[None])
        matrix = alignment.mouth_square(box, self.config.canvas)
        size, device = self.config.image_size, next(self.parameters()).device
        small = alignment.sample(face, alignment.pixels(matrix, size), size)
        seen = torch.from_numpy(small.copy()).permute(2, 0, 1)[None].float().div_(255).to(device)
        rest = torch.from_numpy(points).float().to(device)
        shut = closed(rest)
        linear, shift = torch.from_numpy(matrix).float().to(device).split([2, 1], 1)
        shift = shift[:, 0]
        own = rest @ linear.T + shift
        details = self.interiors.details(tint(seen)[0, :, 0, 0].cpu().numpy())
        width = float(mouth_width(own))
        boxes = torch.tensor([alignment.lip_box(own[None].cpu().numpy())], device=device)
        code, previous = self.identity(seen, boxes), seen
        large = None if by_voice else torch.tensor(USUAL, device=device)
        for chunk in windows:
            heard = self.motion.codes(chunk)
            if large is None:
                large = self.motion.size(heard.mT.flatten(0, 1).T[None])
            said = self.motion.displacements(self.motion.coefficients(heard))[:, 0]
            there = laid(shut, said * (movement * ASKED * large))
            for part, audio in zip(there.split(PART), self.audio(chunk).split(PART), strict=True):
                canvas = part @ linear.T + shift
                mouths = self.mouths(seen, own[None], canvas[None])
                for k in range(len(part)):
                    worn = code._replace(face=mouths.bases[:, k], region=mouths.inner[:, k])
                    made = self.change(worn, audio[k : k + 1] + mouths.codes[:, k], previous)
                    previous = self.compose(worn, made)
                    assert made.shade is not None
                    teeth = details.laid(_array(canvas[k]), width)
                    yield Painted(
                        _array(part[k]), _array(made.colours[0]) + teeth, _array(made.shade[0])
                    )


def _array(values: Tensor) -> np.ndarray:
    """Of a picture (c, s, s) as (s, s, c), or of landmarks."""
    values = values.detach().permute(1, 2, 0) if values.ndim == 3 else values.detach()
    return np.ascontiguousarray(values.cpu().numpy())


def generator_of(config: ModelConfig) -> Generator:
    """The generator that the settings ask for."""
    return (MouthGenerator if config.compose == "landmarks" else Generator)(config)
