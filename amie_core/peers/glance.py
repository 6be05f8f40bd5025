"""Lips at a glance: L. Chen, Z. Li, R. K. Maddox, Z. Duan, C. Xu, "Lip Movements Generation at a
Glance", ECCV 2018.

Kept: 2-D encoders of a lip image and of each frame's sound, fused and decoded by 3-D convolutions
over all frames of a block at once; a correlation loss between the change of the sound and the
movement seen; a GAN of three streams (real, real with another sound, generated); pixel and
perceptual loss.

Shared protocol: the method makes lips, the tables compare faces. The lip region of the aligned
face (80×128 of 256², where the mean face has its mouth) is cut out, resized to a square of half
the face's size, generated, and its change laid over the identity face with a feathered edge; so all
that is outside it is the identity face itself.

Simplified, and why:
- 16 frames at once -> as many as a training window has (4): the windows are the same for all
  methods; long clips are made block after block, as the original makes them;
- log-mel of a frame -> the 20×13 MFCC window that all methods are given;
- optical flow -> the difference of two frames, of which a small encoder makes the movement's code:
  a flow network would be a foreign model with foreign weights;
- the correlation's two encoders learn on real blocks, with the sound of another moment as
  counter-example (a cosine alone is highest for two constants), and judge generated ones frozen;
- lips of their own -> added to the identity's lips: every method begins from the same picture;
- residual 3-D blocks at 64 px -> one 3-D convolution a level at half the face's size.
"""

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from lightning_fabric import Fabric
from torch import Tensor, nn

from amie_core import losses
from amie_core.config import ModelConfig, Profile
from amie_core.model.generator import AudioEncoder, ImageEncoder, Spread
from amie_core.peers.parts import PictureDiscriminator, WindowTalker, cut_lips, put_lips
from amie_core.perceptual import Phi
from amie_core.training.method import Method, MethodStep, Networks
from amie_core.training.windows import Batch

PIXEL, GAN, CORRELATION = 10.0, 0.04, 0.05
MARGIN = 0.2  # cosine that a wrong sound may have


class Block3d(nn.Sequential):
    """3×3×3 convolution over time and space, GroupNorm, LeakyReLU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(
            nn.Conv3d(inputs, outputs, 3, 1, 1, bias=False),
            nn.GroupNorm(max(1, outputs // 8), outputs),
            nn.LeakyReLU(0.2, inplace=True),
        )


class Glance(WindowTalker):
    """Lips of a block of frames from a lip image and their sound, put into the face."""

    block: Tensor

    def __init__(self, config: ModelConfig, block: int = 4) -> None:
        super().__init__()
        self.size = config.image_size // 2
        widths = config.widths()[1:]
        self.register_buffer("block", torch.tensor(block))  # frames at once, as trained
        self.lip_encoder = ImageEncoder(widths)
        self.audio_encoder = AudioEncoder(config.audio_width, config.embedding)
        self.spread = Spread(config.embedding, config)
        self.start = Block3d(2 * widths[-1], widths[-1])
        self.levels = nn.ModuleList(
            Block3d(a, b) for a, b in zip(widths[::-1], widths[-2::-1], strict=False)
        )
        self.out = nn.Conv3d(widths[0], 3, 3, 1, 1)
        for last in self.out.parameters():
            nn.init.zeros_(last)  # it starts as the identity's lips

    def together(self) -> int:
        """A block."""
        return int(self.block)

    def lips(self, faces: Float[Tensor, "b 3 s s"]) -> Float[Tensor, "b 3 h h"]:
        """The lip region of aligned faces, as the square that the networks see."""
        return cut_lips(faces, self.size)

    def speak(
        self, lips: Float[Tensor, "b 3 h h"], windows: Float[Tensor, "b k 20 13"]
    ) -> Float[Tensor, "b k 3 h h"]:
        """The lips of k frames at once, not clamped."""
        b, k = windows.shape[:2]
        code = F.leaky_relu(self.audio_encoder(windows.flatten(0, 1)), 0.2)
        sound = self.spread(code).unflatten(0, (b, k)).transpose(1, 2)
        still = self.lip_encoder(lips)[-1][:, :, None].expand(-1, -1, k, -1, -1)
        x = self.start(torch.cat([still, sound], dim=1))
        for level in self.levels:
            x = level(F.interpolate(x, scale_factor=(1.0, 2.0, 2.0), mode="nearest"))
        return lips[:, None] + self.out(x).float().transpose(1, 2)

    def forward(
        self, face: Float[Tensor, "b 3 s s"], windows: Float[Tensor, "b k 20 13"]
    ) -> Float[Tensor, "b k 3 s s"]:
        """Faces of all windows, block after block."""
        lips = self.lips(face)
        made = [self.speak(lips, block) for block in windows.split(int(self.block), 1)]
        return put_lips(face, torch.cat(made, 1) - lips[:, None])


class Correlation(nn.Module):
    """Cosine between the codes of a change of sound and of a movement."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.audio = AudioEncoder(max(4, config.audio_width // 2), config.embedding)
        half = ModelConfig(config.image_size // 2, config.width, config.max_width)
        self.movement = PictureDiscriminator(half, config.embedding)

    def forward(
        self, windows: Float[Tensor, "b k 20 13"], lips: Float[Tensor, "b k 3 h h"]
    ) -> Float[Tensor, " n"]:
        """One value for every two neighbouring frames, n = b·(k−1)."""
        # The encoder standardises what it gets: a change is laid around the mean.
        change = (windows[:, 1:] - windows[:, :-1] + self.audio.mean).flatten(0, 1)
        moved = (lips[:, 1:] - lips[:, :-1] + 0.5).flatten(0, 1)
        return F.cosine_similarity(self.audio(change).float(), self.movement(moved), dim=1)


class LipDiscriminator(nn.Module):
    """Do these lips move as lips do, and to this sound? 3-D convolutions, audio FC, one logit."""

    mean: Tensor
    std: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        widths = [max(8, w // 2) for w in config.widths()[1:]]
        self.register_buffer("mean", torch.zeros(13))
        self.register_buffer("std", torch.ones(13))
        self.video = nn.ModuleList(
            nn.Conv3d(a, b, (3, 4, 4), (1, 2, 2), 1)
            for a, b in zip((3, *widths[1:-1]), widths[1:], strict=True)
        )
        self.audio = nn.Linear(20 * 13, config.embedding)
        self.classifier = nn.Sequential(
            nn.Linear(widths[-1] * config.coarsest**2 + config.embedding, config.embedding),
            nn.LeakyReLU(0.2),
            nn.Linear(config.embedding, 1),
        )

    def forward(
        self, lips: Float[Tensor, "b k 3 h h"], windows: Float[Tensor, "b k 20 13"]
    ) -> Float[Tensor, " b"]:
        """Logit of each block."""
        x = lips.transpose(1, 2) * 2 - 1
        for layer in self.video:
            x = F.leaky_relu(layer(x), 0.2)
        sound = F.leaky_relu(self.audio(((windows - self.mean) / self.std).flatten(2)), 0.2)
        return self.classifier(torch.cat([x.mean(2).flatten(1), sound.mean(1)], 1))[:, 0].float()


class GlanceNetworks(Networks):
    """The generator, D, the correlation's two encoders."""

    generator: Glance
    averaged: Glance

    def __init__(self, profile: Profile) -> None:
        super().__init__()
        self.generator = Glance(profile.model, profile.train.unroll)
        self.discriminator = LipDiscriminator(profile.model)
        self.correlation = Correlation(profile.model)
        self.average()


class GlanceStep(MethodStep):
    """D on three streams, the correlation on real blocks, then the generator."""

    networks: GlanceNetworks

    def __init__(
        self, profile: Profile, networks: GlanceNetworks, fabric: Fabric, seed: int
    ) -> None:
        super().__init__(profile, networks, fabric, seed)
        self.optimizers = {
            "g": self.adam(networks.generator.parameters()),
            "d": self.adam(networks.discriminator.parameters()),
            "c": self.adam(networks.correlation.parameters()),
        }
        self.phi = None
        if profile.loss.perceptual > 0:
            phi = fabric.to_device(Phi(profile.loss.phi_layer))
            # torch's stub of Module.to lacks this form
            self.phi = phi.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def update(self, batch: Batch, step: int, random: np.random.Generator) -> dict[str, Tensor]:
        """One step of all three."""
        n, t = self.networks, self.profile.train
        g, k, w = n.generator, t.unroll, self.profile.loss
        real = g.lips(batch.frames.flatten(0, 1)).unflatten(0, batch.frames.shape[:2])
        with self.fabric.autocast():
            made = g.speak(g.lips(batch.identity), batch.windows)
        log = self._update_d(real, made.detach(), batch)
        log |= self._update_correlation(real, batch)

        for opponent in (n.discriminator, n.correlation):
            opponent.requires_grad_(False)
        with self.fabric.autocast():
            judged = n.discriminator(made, batch.windows)
            together = n.correlation(batch.windows, made)
        for opponent in (n.discriminator, n.correlation):
            opponent.requires_grad_(True)
        pixel = F.l1_loss(made, real)
        gan, correlation = losses.gan_generator(judged), 1 - together.mean()
        loss = PIXEL * pixel + GAN * gan + CORRELATION * correlation
        parts = {"pixel": pixel, "gan": gan, "correlation": correlation}
        if self.phi is not None:
            chosen = torch.as_tensor(np.sort(random.choice(k, min(t.judged, k), replace=False)))
            with self.fabric.autocast():
                with torch.no_grad():
                    wanted = self.phi(real[:, chosen].flatten(0, 1))
                got = self.phi(made[:, chosen].flatten(0, 1))
            parts["perceptual"] = losses.perceptual(wanted, got)
            loss = loss + w.perceptual * parts["perceptual"]
        self.apply("g", loss)
        with torch.no_grad():
            change = made - g.lips(batch.identity)[:, None]
            faces = put_lips(batch.identity, change).flatten(0, 1)
            boxes = batch.lip_boxes.repeat_interleave(k, 0)
            lip = losses.lip(batch.frames.flatten(0, 1), faces, boxes)
        return log | parts | {"g": loss, "lip": lip}

    def _update_d(self, real: Tensor, made: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Real lips with their sound against real lips with another, and generated ones."""
        windows = torch.cat([batch.windows, batch.negatives, batch.windows])
        with self.fabric.autocast():
            logits = self.networks.discriminator(torch.cat([real, real, made]), windows)
        right, wrong, fake = logits.chunk(3)
        loss = F.softplus(-right).mean() + 0.5 * (
            F.softplus(wrong).mean() + F.softplus(fake).mean()
        )
        self.apply("d", loss)
        return {"d": loss, "d_accuracy": torch.cat([right > 0, fake < 0]).float().mean()}

    def _update_correlation(self, real: Tensor, batch: Batch) -> dict[str, Tensor]:
        windows = torch.cat([batch.windows, batch.negatives])
        with self.fabric.autocast():
            own, other = self.networks.correlation(windows, real.repeat(2, 1, 1, 1, 1)).chunk(2)
        loss = (1 - own).mean() + F.relu(other - MARGIN).mean()
        self.apply("c", loss)
        return {"correlation_real": own.mean(), "correlation_other": other.mean()}


METHOD = Method(Glance, GlanceNetworks, GlanceStep)
