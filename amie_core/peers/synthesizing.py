"""Synthesizing Obama: S. Suwajanakorn, S. M. Seitz, I. Kemelmacher-Shlizerman, "Synthesizing Obama:
Learning Lip Sync from Audio", SIGGRAPH 2017. Not in the paper's tables; its sec. 2 names it
("Supasorn et al.").

Kept: sound to the mouth's PCA coefficients by a time-delayed LSTM; no network makes a picture:
texture is retrieved. Of the training frames of one person the nearest in shape are taken and their
median blended, pixel by pixel; between the lips the fine detail of one of them, the proxy, is put
back, because a median blurs teeth; the result is laid over the face.

Simplified, and why:
- one identity a model: the training speaker with the most frames (GRID's split: s1) or the one that
  train.person names; other faces wear that mouth, at the colours of their own skin around it;
- 17 hours of one man, a 3-D pose for each frame -> at most 512 frames of the speaker, already
  aligned in two dimensions;
- MFCC at 100 Hz, a delay of 200 ms -> the 20×13 window that all methods here are given, which
  reaches 100 ms ahead, and a frame more;
- the LSTM remembers as many frames as a training window has, also when talking;
- a median weighted by distance -> a plain one over the nearest frames;
- a target video whose head is re-timed to the speech's pauses, jaw correction, laplacian blending
  -> none: here the face is a still; the texture is feathered in;
- before its frames are kept, it gives the face itself: every method begins from the same picture.
"""

from collections.abc import Iterable, Iterator

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8
from lightning_fabric import Fabric
from torch import Tensor

from amie_core import losses
from amie_core.config import ModelConfig, Profile
from amie_core.data.alignment import filled
from amie_core.errors import UserError
from amie_core.model.talker import Talker
from amie_core.peers.parts import (
    MOUTH,
    DelayedLstm,
    Shape,
    lip_region,
    mouth,
    put_lips,
)
from amie_core.training.method import Method, MethodStep, Networks
from amie_core.training.windows import Batch, Windows

COEFFICIENTS = 8
KEPT = 512  # frames of the person
NEAREST = 5  # of them are blended
COARSE = 0.04  # of the texture's width: deviation of the blur whose rest is detail
INNER = slice(12, 20)  # of the mouth's points
EVERYBODY = -2  # the person before one is chosen


class Synthesizing(Talker):
    """The delayed LSTM, and the frames that texture is retrieved from."""

    textures: Tensor
    shapes: Tensor
    middles: Tensor
    count: Tensor

    def __init__(self, config: ModelConfig, memory: int = 4) -> None:
        super().__init__()
        rows, columns = lip_region(config.image_size)
        height, width = rows.stop - rows.start, columns.stop - columns.start
        self.shape = Shape(COEFFICIENTS, MOUTH.stop - MOUTH.start)
        self.sound = DelayedLstm(config, COEFFICIENTS, memory)
        kept = torch.zeros(KEPT, 3, height, width, dtype=torch.uint8)
        self.register_buffer("textures", kept)
        self.register_buffer("shapes", torch.zeros(KEPT, COEFFICIENTS))
        self.register_buffer("middles", torch.zeros(KEPT, 2))  # of the mouths, px at 256²
        self.register_buffer("count", torch.tensor(0))

    def keep(
        self, frames: UInt8[np.ndarray, "n s s 3"], points: Float[np.ndarray, "n 68 2"]
    ) -> None:
        """Take the textures of a person's frames, landmarks in px at 256²; KEPT of them at most."""
        rows, columns = lip_region(frames.shape[1])
        found, n = torch.from_numpy(points).float(), len(frames)
        cut = torch.from_numpy(np.ascontiguousarray(frames[:, rows, columns]))
        self.textures[:n] = cut.permute(0, 3, 1, 2)
        self.shapes[:n] = self.shape(mouth(found))
        self.middles[:n] = found[:, MOUTH].mean(1)
        self.count.fill_(n)

    @torch.no_grad()
    def texture(
        self, shapes: Float[Tensor, "n c"], size: int
    ) -> Float[Tensor, "n 3 h w"]:
        """Texture of the given shapes: the median of the nearest, its teeth the nearest one's."""
        known = int(self.count)
        px = self.shape.px()
        apart = torch.cdist(shapes.float() * px, self.shapes[:known] * px)
        near = apart.topk(min(NEAREST, known), largest=False).indices
        every = self.textures[near].float().div_(255)
        blended, proxy = every.median(1).values, every[:, 0]
        width = proxy.shape[-1]
        detail = proxy - _blurred(proxy, COARSE * width)
        coarse = _blurred(blended, COARSE * width)
        within = self._inside(shapes, self.middles[near[:, 0]], size)
        return blended + within * (coarse + detail - blended)

    def _inside(
        self, shapes: Float[Tensor, "n c"], middles: Float[Tensor, "n 2"], size: int
    ) -> Float[Tensor, "n 1 h w"]:
        """1 between the lips of mouths of these shapes, 0 outside."""
        rows, columns = lip_region(size)
        mean = self.shape.mean_shape.unflatten(0, (-1, 2))
        points = (mean + self.shape.moved(shapes) + middles[:, None])[:, INNER].cpu().numpy()
        inner = filled(points, size)[:, None, rows, columns]
        return torch.from_numpy(inner).to(shapes.device).float().div_(255)

    def draw(
        self, face: Float[Tensor, "b 3 s s"], shapes: Float[Tensor, "b k c"]
    ) -> Float[Tensor, "b k 3 s s"]:
        """The face with mouths of these shapes; the face itself while no frame is kept."""
        b, k = shapes.shape[:2]
        if not int(self.count):
            return face[:, None].expand(-1, k, -1, -1, -1)
        size = face.shape[-1]
        rows, columns = lip_region(size)
        made = self.texture(shapes.flatten(0, 1), size).unflatten(0, (b, k))
        own = face[:, None, :, rows, columns]
        # Its skin's colour is the face's: as many times brighter as the rims are.
        rim = torch.ones(made.shape[-2:], dtype=torch.bool, device=made.device)
        rim[2:-2, 2:-2] = False
        light = own[..., rim].mean(-1) / made[..., rim].mean(-1).clamp(min=1e-3)
        return put_lips(face, made * light[..., None, None] - own)

    def roll(
        self, face: Float[Tensor, "1 3 s s"], windows: Iterable[Float[Tensor, "_ 20 13"]]
    ) -> Iterator[Float[Tensor, "_ 3 s s"]]:
        """Sound to shapes to textures."""
        for shapes in self.sound.spoken(windows):
            yield self.draw(face, shapes[None])[0].clamp(0, 1)


def _blurred(pictures: Float[Tensor, "n c h w"], deviation: float) -> Float[Tensor, "n c h w"]:
    """Gaussian blur, cut off at three deviations."""
    side = (2 * max(1, round(3 * deviation)) + 1,) * 2
    soft = [
        cv2.GaussianBlur(picture, side, deviation, borderType=cv2.BORDER_REPLICATE)
        for picture in pictures.permute(0, 2, 3, 1).contiguous().cpu().numpy()
    ]
    return torch.from_numpy(np.stack(soft)).permute(0, 3, 1, 2).to(pictures.device)


class SynthesizingNetworks(Networks):
    """There is nothing but the generator."""

    generator: Synthesizing
    averaged: Synthesizing
    speaker: Tensor

    def __init__(self, profile: Profile) -> None:
        super().__init__()
        self.generator = Synthesizing(profile.model, profile.train.unroll)
        self.register_buffer("speaker", torch.tensor(EVERYBODY))  # as batches number them
        self.person = profile.train.person
        self.average()

    def fit(self, windows: Windows) -> None:
        """The cepstra's statistics; the one person, its shapes and textures.

        UserError: no training clip is of the person that train.person names.
        """
        super().fit(windows)
        lengths = windows.rows["frames"].to_numpy()
        if self.person:
            named = windows.speakers[(windows.rows["speaker"] == self.person).to_numpy()]
            if not len(named):
                raise UserError(f"train.person: no training clip is of a speaker {self.person!r}")
            speaker = int(named[0])
        else:
            people = np.bincount(windows.speakers + 1, lengths)  # 0: nobody says who it is
            speaker = int(people.argmax()) - 1
        self.speaker.fill_(speaker)
        own = np.flatnonzero(windows.speakers == speaker)
        own = own[np.linspace(0, len(own) - 1, min(len(own), KEPT // 8)).astype(int)]
        frames, points = [], []
        for index in own.tolist():
            length = int(lengths[index])
            chosen = np.linspace(0, length - 1, min(length, KEPT // len(own))).astype(int)
            clip = windows.load(index, chosen.tolist())
            frames.append(clip.frames)
            points.append(clip.landmarks[chosen])
        every = np.concatenate(points)
        for generator in (self.generator, self.averaged):
            generator.shape.fit(mouth(torch.from_numpy(every).float()))
            generator.keep(np.concatenate(frames), every)


class SynthesizingStep(MethodStep):
    """The LSTM, on windows of the one person; nothing else learns."""

    networks: SynthesizingNetworks

    def __init__(
        self, profile: Profile, networks: SynthesizingNetworks, fabric: Fabric, seed: int
    ) -> None:
        super().__init__(profile, networks, fabric, seed)
        self.optimizers = {"sound": self.adam(networks.generator.sound.parameters())}

    def update(self, batch: Batch, step: int, random: np.random.Generator) -> dict[str, Tensor]:
        """Learn from the person's windows; all of them are drawn for the log."""
        g = self.networks.generator
        with self.fabric.autocast():
            heard = g.sound(batch.windows)
        wanted = g.shape(mouth(batch.landmarks))
        person = self.networks.speaker
        own = ((batch.speakers == person) | (person == EVERYBODY)).float()
        error = g.shape.error(heard, wanted[:, : heard.shape[1]])
        loss = (error * own).sum() / own.sum().clamp(min=1)
        self.apply("sound", loss)
        real = batch.frames[:, : heard.shape[1]]
        frames = g.draw(batch.identity, heard.detach())
        boxes = batch.lip_boxes.repeat_interleave(real.shape[1], 0)
        lip = losses.lip(real.flatten(0, 1), frames.flatten(0, 1), boxes)
        return {"g": loss, "lip": lip}


METHOD = Method(Synthesizing, SynthesizingNetworks, SynthesizingStep)
