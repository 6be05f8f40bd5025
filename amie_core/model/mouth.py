"""G on a canvas around the mouth, whose lips are moved by landmarks (`compose="landmarks"`).

Not in the paper (`paper.LEDGER`: changed). `Motion` says where the landmarks of the mouth are; the
identity frame is moved with them (skin, lips and beard stay the speaker's, at any resolution), and
G paints what no still shows: the inside of the open mouth, covered by nothing and covering all.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn

from amie_core.config import FACE_SIZE, ModelConfig
from amie_core.data import alignment
from amie_core.model import speaking
from amie_core.model.composition import Change
from amie_core.model.generator import Generator, IdentityCode, Skips, Spread
from amie_core.model.interiors import Interiors
from amie_core.model.lip_edges import by_picture
from amie_core.model.lips import FIXED, INNER, SOFT
from amie_core.model.motion import Motion
from amie_core.model.speaking import EVERY, MIDDLE, SHADE, Maps, Strokes, inside
from amie_core.model.talker import MouthTalker
from amie_core.model.teeth import Bank
from amie_core.model.voices import Voices


def flow(
    old: Float[Tensor, "b 68 2"],
    new: Float[Tensor, "b 68 2"],
    at: Float[Tensor, "p 2"],
    unit: float = 1.0,
) -> Float[Tensor, "b p 2"]:
    """`lips.Flow` for many faces at once: where what is at `at` in the new one was, less `at`."""
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


def tint(face: Float[Tensor, "b 3 s s"]) -> Float[Tensor, "b 3 1 1"]:
    """Mean colour of a canvas, nearly all of it skin: what light falls on the teeth as well."""
    return face.mean((2, 3), keepdim=True).clamp(min=0.05)


class Mouths(NamedTuple):
    """What is known of the mouths of k frames of b faces, before G paints."""

    bases: Float[Tensor, "b k 3 s s"]  # the identity frame, moved
    inner: Float[Tensor, "b k 1 s s"]  # where it is painted
    codes: Float[Tensor, "b k c q q"]  # their shapes, as G's decoder is told of them


class MouthGenerator(Generator, MouthTalker):
    """The generator of `compose="landmarks"`."""

    around: Tensor  # where shade may lie

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        corners = 2 * (INNER.stop - INNER.start)
        self.motion = Motion(speech=config.speech_embedding)
        self.hears = self.motion.hears
        self.interiors = Interiors(config.image_size)
        self.shape = nn.Sequential(
            nn.Linear(corners, config.embedding),
            nn.LeakyReLU(0.2),
            Spread(config.embedding, config),
        )
        self.unit = FACE_SIZE / config.canvas  # a px of the face, in 256ths of the canvas
        around = torch.from_numpy(speaking.around(config.image_size))[None, None]
        self.register_buffer("around", around, persistent=False)

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
        width = (own[:, 54] - own[:, 48]).norm(dim=1)
        shape = shape / width.repeat_interleave(k)[:, None, None] * 4
        codes = self.shape(shape.flatten(1))
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
        audio: Float[Tensor, "b c q q"],
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

    @property
    def image_size(self) -> int:
        """`speaking.MouthNetworks`: px of the canvas's picture."""
        return self.config.image_size

    @property
    def canvas(self) -> int:
        """The same: side of the square around the mouth that G sees, px at 256."""
        return self.config.canvas

    @property
    def bank(self) -> Bank:
        """The same: teeth of real mouths."""
        return self.interiors.bank()

    @property
    def voices(self) -> Voices:
        """The same: those that are known."""
        return self.motion.voices()

    @property
    def context(self) -> int:
        """The same: frames before and after one whose sound is heard with it."""
        return self.motion.context

    @torch.inference_mode()
    def hear(self, windows: Float[np.ndarray, "_ 20 c"]) -> Float[np.ndarray, "n 31 2"]:
        """The same: displacements of frames whose windows have others around them."""
        return self.motion.said(self._here(windows)).cpu().numpy()

    @torch.inference_mode()
    def code(self, windows: Float[np.ndarray, "n 20 13"]) -> Float[np.ndarray, "n c q q"]:
        """The same: what the decoder is told of the sound of n frames."""
        return self.audio(self._here(windows)).cpu().numpy()

    @torch.inference_mode()
    def see(self, face: Float[np.ndarray, "1 3 s s"]) -> Maps:
        """The same: what the decoder takes of a canvas."""
        skips = self.decoder.skips(self.identity_encoder(self._here(face)))
        return tuple(part.cpu().numpy() for part in (*skips.joined, *skips.kernels))

    @torch.inference_mode()
    def outline(self, corners: Float[np.ndarray, "1 16"]) -> Float[np.ndarray, "1 c q q"]:
        """The same: the code of the inner lips' shape."""
        return self.shape(self._here(corners)).cpu().numpy()

    @torch.inference_mode()
    def paint(
        self, previous: Float[np.ndarray, "1 3 s s"], code: Float[np.ndarray, "1 c q q"], maps: Maps
    ) -> Strokes:
        """The same: a frame, from the one before."""
        seen = self.image_encoder(self._here(previous))[-1]
        parts, levels = tuple(map(self._here, maps)), len(maps) // 2
        skips = Skips(parts[: levels + 1], parts[levels + 1 :])
        raw = self.decoder(torch.cat([self._here(code), seen], 1), skips)[0].float()
        return Strokes(raw[:3].sigmoid().cpu().numpy(), raw[3:].tanh().cpu().numpy())

    def _here(self, values: np.ndarray) -> Tensor:
        """On the generator's device."""
        return torch.as_tensor(values, device=self.around.device)

    def pictures(
        self,
        face: UInt8[np.ndarray, "256 256 3"],
        windows: Float[np.ndarray, "n 20 c"],
        points: Float[np.ndarray, "68 2"] | None = None,
    ) -> Iterator[UInt8[np.ndarray, "256 256 3"]]:
        """The face speaking, as `amie talk --size 256 --no-lend-teeth` shows one without teeth."""
        from amie_core.data.faces import measure_landmarks
        from amie_core.model.painter import Painter

        if points is None:
            found, there = measure_landmarks(face[None])
            points = found[0] if there[0] else alignment.TEMPLATE.copy()
        points = by_picture(face, points)
        painter = Painter(face, np.eye(2, 3), points, self.canvas, self.image_size)
        for made in speaking.painted(self.eval(), face, points, [windows]):
            yield painter.frame(made)


def generator_of(config: ModelConfig) -> Generator:
    """The generator that the settings ask for."""
    return (MouthGenerator if config.compose == "landmarks" else Generator)(config)
