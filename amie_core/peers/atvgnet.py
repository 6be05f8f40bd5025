"""ATVGnet: L. Chen, R. K. Maddox, Z. Duan, C. Xu, "Hierarchical Cross-Modal Talking Face
Generation with Dynamic Pixel-Wise Loss", CVPR 2019.

Kept: sound to landmarks (AT-net: audio code and the face's own landmarks, LSTM, six PCA
coefficients), then landmarks to pixels (VG-net: image encoder, code of the landmarks less the
code of the face's own); output = attention·colour + (1 − attention)·face; pixel loss weighted by
attention + 0.5; a discriminator that also regresses the landmarks. The two networks learn apart,
VG-net from real landmarks, and are joined only to talk.

Simplified, and why:
- VG-net's ConvGRU -> none: windows are four frames, the LSTM before it has the memory;
- the LSTM remembers as many frames as a training window has, also when talking: a state that has
  run for 75 frames is none that it was trained with;
- MFCC 28×12 -> 20×13, the window that all methods here are given;
- D over sequences -> D over frames: windows are short; adversarial loss and regression as there;
- colour -> added to the identity face: every method begins from the same picture;
- when talking, the face's landmarks come from the finder that prepares the data (the original
  uses dlib's); where it finds none, the mean face's are taken.
"""

from collections.abc import Iterable, Iterator

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from lightning_fabric import Fabric
from torch import Tensor, nn

from amie_core import losses
from amie_core.config import ModelConfig, Profile
from amie_core.model.generator import AudioEncoder, FrameDecoder, ImageEncoder, Spread
from amie_core.model.talker import Talker
from amie_core.peers.parts import (
    PART,
    PictureDiscriminator,
    Shape,
    decode_frames,
    landmarks_of,
    looks,
)
from amie_core.training.method import Method, MethodStep, Networks
from amie_core.training.windows import Batch, Windows

COEFFICIENTS = 6
PIXEL, GAN, SHAPE = 10.0, 0.04, 0.1


class Atvgnet(Talker):
    """AT-net and VG-net."""

    memory: Tensor

    def __init__(self, config: ModelConfig, memory: int = 4) -> None:
        super().__init__()
        widths, code = config.widths(), config.embedding
        self.register_buffer("memory", torch.tensor(memory))  # frames that the LSTM looks back
        self.shape = Shape(COEFFICIENTS)
        self.audio_encoder = AudioEncoder(config.audio_width, code)
        self.lstm = nn.LSTM(code + COEFFICIENTS, code, batch_first=True)
        self.to_shape = nn.Linear(code, COEFFICIENTS)
        self.image_encoder = ImageEncoder(widths)
        self.shape_encoder = nn.Sequential(
            nn.Linear(COEFFICIENTS, code), nn.LeakyReLU(0.2), Spread(code, config)
        )
        self.decoder = FrameDecoder(widths, 2 * widths[-1], channels=4)

    def heard_shapes(
        self, own: Float[Tensor, "b 6"], codes: Float[Tensor, "b k e"]
    ) -> Float[Tensor, "b k 6"]:
        """AT-net: coefficients from the face's own ones and the audio codes of frames in a row."""
        inputs = torch.cat([codes, own[:, None].expand(-1, codes.shape[1], -1)], 2)
        return own[:, None] + self.to_shape(self.lstm(inputs)[0]).float()

    def codes(self, windows: Float[Tensor, "b k 20 13"]) -> Float[Tensor, "b k e"]:
        """Audio codes."""
        codes = self.audio_encoder(windows.flatten(0, 1))
        return F.leaky_relu(codes, 0.2).unflatten(0, windows.shape[:2])

    def draw(
        self,
        face: Float[Tensor, "b 3 s s"],
        own: Float[Tensor, "b 6"],
        shapes: Float[Tensor, "b k 6"],
    ) -> tuple[Float[Tensor, "b k 3 s s"], Float[Tensor, "b k 1 s s"]]:
        """VG-net: frames of the given shapes, and the attention that they were composed with."""
        moved = self.shape_encoder(shapes) - self.shape_encoder(own)[:, None]
        maps = self.image_encoder(face)
        made = decode_frames(self.decoder, maps, moved)
        colour, attention = face[:, None] + made[:, :, :3], torch.sigmoid(made[:, :, 3:])
        return attention * colour + (1 - attention) * face[:, None], attention

    def roll(
        self, face: Float[Tensor, "1 3 s s"], windows: Iterable[Float[Tensor, "_ 20 13"]]
    ) -> Iterator[Float[Tensor, "_ 3 s s"]]:
        """Sound to shapes to frames; before the first frame its own sound is taken to go on."""
        own = self.shape(landmarks_of(face).to(face))
        codes = (self.codes(chunk[None])[0] for chunk in windows)
        for heard in looks(codes, int(self.memory)):
            shapes = self.heard_shapes(own.expand(len(heard), -1), heard)[:, -1]
            for part in shapes.split(PART):
                yield self.draw(face, own, part[None])[0][0].clamp(0, 1)


class AtvgnetNetworks(Networks):
    """The generator and D."""

    generator: Atvgnet
    averaged: Atvgnet

    def __init__(self, profile: Profile) -> None:
        super().__init__()
        self.generator = Atvgnet(profile.model, profile.train.unroll)
        self.discriminator = PictureDiscriminator(profile.model, 1 + COEFFICIENTS)
        self.average()

    def fit(self, windows: Windows) -> None:
        """The cepstra's statistics, and the principal shapes of the training faces."""
        super().fit(windows)
        points = windows.shapes()
        self.generator.shape.fit(points)
        self.averaged.shape.fit(points)


class AtvgnetStep(MethodStep):
    """D with its regression, then AT-net and VG-net."""

    networks: AtvgnetNetworks

    def __init__(
        self, profile: Profile, networks: AtvgnetNetworks, fabric: Fabric, seed: int
    ) -> None:
        super().__init__(profile, networks, fabric, seed)
        g = networks.generator
        at = [*g.audio_encoder.parameters(), *g.lstm.parameters(), *g.to_shape.parameters()]
        own = {id(p) for p in at}
        self.optimizers = {
            "at": self.adam(at),
            "g": self.adam(p for p in g.parameters() if id(p) not in own),
            "d": self.adam(networks.discriminator.parameters()),
        }

    def update(self, batch: Batch, step: int, random: np.random.Generator) -> dict[str, Tensor]:
        """One step of the three."""
        n, t = self.networks, self.profile.train
        g, d, k = n.generator, n.discriminator, t.unroll
        own, shapes = g.shape(batch.identity_landmarks), g.shape(batch.landmarks)
        with self.fabric.autocast():
            heard = g.heard_shapes(own, g.codes(batch.windows))
            frames, attention = g.draw(batch.identity, own, shapes)
        at = F.mse_loss(heard, shapes)
        self.apply("at", at)

        judged = torch.as_tensor(np.sort(random.choice(k, min(t.judged, k), replace=False)))
        real, made = (f[:, judged].flatten(0, 1) for f in (batch.frames, frames))
        wanted = shapes[:, judged].flatten(0, 1)
        with self.fabric.autocast():
            seen = d(torch.cat([real, made.detach()]))
        right, fake = seen[:, 0].chunk(2)
        seen_shape = F.mse_loss(seen[: len(real), 1:], wanted)  # the regression learns on real ones
        d_loss = losses.gan_discriminator(right, fake)
        self.apply("d", d_loss + seen_shape)

        d.requires_grad_(False)
        with self.fabric.autocast():
            judgement = d(made)
        d.requires_grad_(True)
        error = (frames - batch.frames).abs()
        pixel = (error * (attention.detach() + 0.5)).mean()
        gan, shape = losses.gan_generator(judgement[:, 0]), F.mse_loss(judgement[:, 1:], wanted)
        loss = PIXEL * pixel + GAN * gan + SHAPE * shape
        self.apply("g", loss)
        boxes = batch.lip_boxes.repeat_interleave(k, 0)
        return {
            "g": loss, "d": d_loss, "pixel": pixel, "gan": gan, "shape": shape,
            "at": at, "shape_seen": seen_shape, "attention": attention.mean(),
            "lip": losses.lip(batch.frames.flatten(0, 1), frames.flatten(0, 1), boxes),
            "d_accuracy": torch.cat([right > 0, fake < 0]).float().mean(),
        }  # fmt: skip


METHOD = Method(Atvgnet, AtvgnetNetworks, AtvgnetStep)
