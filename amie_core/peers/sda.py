"""SDA: K. Vougioukas, S. Petridis, M. Pantic, "End-to-End Speech-Driven Facial Animation with
Temporal GANs", BMVC 2018. Not in the paper's tables; named in its sec. 2.

Kept: the raw waveform by strided one-dimensional convolutions and a GRU over frames, identity by an
encoder whose maps are skips (U-Net), noise with a GRU of its own, one decoder for all three; three
discriminators, of frames beside the still, of sequences with their sound, and of lips and sound in
step (the last from the authors' later version, IJCV 2020); L1 on the lower half of the face alone.

Simplified, and why:
- 0.2 s of samples at 50 kHz a frame -> at 16 kHz, the same 0.2 s that the other methods' 20×13
  MFCC window covers: none hears more than another;
- both GRUs remember as many frames as a training window has, also when talking: a state that has
  run for 75 frames is none that they were trained with;
- noise that differs from run to run -> drawn from one seed when talking: an evaluation can be
  repeated;
- three-dimensional convolutions over sequences -> the window's frames stacked as channels: a
  window has four;
- sound out of step by one shift -> from other moments of the clip, as all methods here have it;
- a frame of its own -> added to the identity face: every method begins from the same picture;
- weights of the discriminators and of L1 in the authors' proportions (1 : 0.2 : 0.8 : 600).
"""

import dataclasses
from collections.abc import Iterable, Iterator

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from lightning_fabric import Fabric
from torch import Tensor, nn

from amie_core import losses
from amie_core.config import ModelConfig, Profile
from amie_core.model.generator import FrameDecoder, ImageEncoder, Spread
from amie_core.model.talker import Talker
from amie_core.peers.parts import PART, PictureDiscriminator, cut_lips, decode_frames, looks
from amie_core.training.method import Method, MethodStep, Networks
from amie_core.training.windows import Batch

NOISE = 10  # numbers a frame
PIXEL, FRAME, SEQUENCE, SYNC = 10.0, 1 / 60, 0.2 / 60, 0.8 / 60


class SoundEncoder(nn.Module):
    """Strided one-dimensional convolutions over a window's samples, to a code."""

    mean: Tensor
    std: Tensor

    def __init__(self, width: int, embedding: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(0.0))  # of all samples of the corpus
        self.register_buffer("std", torch.tensor(1.0))
        layers, a = [], 1
        # 3200 samples, then 160, 40, 10, 5. Normalised over the batch, as the authors do: over the
        # window silence would be as loud as speech, and windows differ less from each other.
        for b, kernel, stride in ((2, 100, 20), (4, 8, 4), (8, 8, 4), (8, 4, 2)):
            layers += [
                nn.Conv1d(a, b * width, kernel, stride, (kernel - stride) // 2),
                nn.BatchNorm1d(b * width), nn.LeakyReLU(0.2),
            ]  # fmt: skip
            a = b * width
        self.layers = nn.Sequential(*layers)
        self.head = nn.Linear(8 * width * 5, embedding)

    def forward(self, windows: Float[Tensor, "n 20 160"]) -> Float[Tensor, "n e"]:
        """Code of each window."""
        x = ((windows - self.mean) / self.std).flatten(1)[:, None]
        return F.leaky_relu(self.head(self.layers(x).flatten(1)), 0.2)


class Sda(Talker):
    """Identity, sound and noise to frames."""

    hears = "wave"
    memory: Tensor

    def __init__(self, config: ModelConfig, memory: int = 4) -> None:
        super().__init__()
        widths, code = config.widths(), config.embedding
        self.register_buffer("memory", torch.tensor(memory))  # frames that the GRUs look back
        self.identity_encoder = ImageEncoder(widths)
        self.audio_encoder = SoundEncoder(config.audio_width, code)
        self.context = nn.GRU(code, code, batch_first=True)
        self.unrest = nn.GRU(NOISE, NOISE, batch_first=True)
        self.spread = Spread(code + NOISE, config)
        self.decoder = FrameDecoder(widths, 2 * widths[-1])

    def codes(
        self, windows: Float[Tensor, "n 20 160"], noise: Float[Tensor, "n 10"]
    ) -> Float[Tensor, "n e2"]:
        """What is heard, and the noise beside it."""
        return torch.cat([self.audio_encoder(windows).float(), noise], 1)

    def states(self, codes: Float[Tensor, "b k e2"]) -> Float[Tensor, "b k e2"]:
        """Both GRUs' states, frame by frame."""
        heard, noise = codes.split([codes.shape[-1] - NOISE, NOISE], -1)
        return torch.cat([self.context(heard)[0], self.unrest(noise)[0]], -1)

    def draw(
        self, face: Float[Tensor, "b 3 s s"], states: Float[Tensor, "b k e2"]
    ) -> Float[Tensor, "b k 3 s s"]:
        """The frames of these states, not clamped."""
        codes = self.spread(states)
        made = decode_frames(self.decoder, self.identity_encoder(face), codes)
        return face[:, None] + made

    def roll(
        self, face: Float[Tensor, "1 3 s s"], windows: Iterable[Float[Tensor, "_ 20 160"]]
    ) -> Iterator[Float[Tensor, "_ 3 s s"]]:
        """Frames from sound and from noise of one seed; before the first, its own sound goes on."""
        seeded = torch.Generator().manual_seed(0)

        def noise(count: int) -> Tensor:  # frame by frame: the same however a clip is cut
            drawn = [torch.randn(NOISE, generator=seeded) for _ in range(count)]
            return torch.stack(drawn).to(face)

        codes = (self.codes(chunk, noise(len(chunk))) for chunk in windows)
        for seen in looks(codes, int(self.memory)):
            for part in self.states(seen)[:, -1].split(PART):
                yield self.draw(face, part[None])[0].clamp(0, 1)


class PairDiscriminator(nn.Module):
    """Pictures of a window, stacked, beside its sound: a logit."""

    def __init__(self, config: ModelConfig, frames: int) -> None:
        super().__init__()
        self.seen = PictureDiscriminator(config, config.embedding, 3 * frames)
        self.heard = SoundEncoder(config.audio_width, config.embedding)
        self.head = nn.Linear(config.embedding * (1 + frames), 1)

    def forward(
        self, frames: Float[Tensor, "b k 3 h w"], windows: Float[Tensor, "b k 20 160"]
    ) -> Float[Tensor, " b"]:
        """Whether these are real and of this sound."""
        heard = self.heard(windows.flatten(0, 1)).view(len(frames), -1)
        seen = F.leaky_relu(self.seen(frames.flatten(1, 2)), 0.2)
        return self.head(torch.cat([seen, heard.float()], 1))[:, 0].float()


class SdaNetworks(Networks):
    """The generator and its three discriminators."""

    generator: Sda
    averaged: Sda

    def __init__(self, profile: Profile) -> None:
        super().__init__()
        model, k = profile.model, profile.train.unroll
        self.lips = max(model.image_size // 2, 8)  # px
        self.generator = Sda(model, k)
        self.frame = PictureDiscriminator(model, 1, channels=6)
        self.sequence = PairDiscriminator(model, k)
        self.sync = PairDiscriminator(dataclasses.replace(model, image_size=self.lips), k)
        self.average()


class SdaStep(MethodStep):
    """The discriminators together, then the generator."""

    networks: SdaNetworks

    def __init__(
        self, profile: Profile, networks: SdaNetworks, fabric: Fabric, seed: int
    ) -> None:
        super().__init__(profile, networks, fabric, seed)
        n = networks
        self.judges = nn.ModuleList([n.frame, n.sequence, n.sync])
        self.optimizers = {
            "g": self.adam(n.generator.parameters()),
            "d": self.adam(self.judges.parameters()),
        }

    def update(self, batch: Batch, step: int, random: np.random.Generator) -> dict[str, Tensor]:
        """One step of both."""
        g, k = self.networks.generator, self.profile.train.unroll
        drawn = random.standard_normal((len(batch.frames) * k, NOISE)).astype(np.float32)
        noise = torch.from_numpy(drawn).to(batch.frames.device)
        with self.fabric.autocast():
            codes = g.codes(batch.windows.flatten(0, 1), noise)
            frames = g.draw(batch.identity, g.states(codes.unflatten(0, (-1, k))))

        at = int(random.integers(k))
        right = self._judged(batch, batch.frames, at)
        fake = self._judged(batch, frames.detach(), at)
        with self.fabric.autocast():
            late = self.networks.sync(self._lips(batch.frames), batch.negatives)
        d = torch.stack([
            losses.gan_discriminator(a, b) for a, b in zip(right, fake, strict=True)
        ]).sum() + F.softplus(late).mean()  # fmt: skip
        self.apply("d", d)

        self.judges.requires_grad_(False)
        told = self._judged(batch, frames, at)
        self.judges.requires_grad_(True)
        half = frames.shape[-1] // 2
        pixel = F.l1_loss(frames[..., half:, :], batch.frames[..., half:, :])
        gan = [losses.gan_generator(logits) for logits in told]
        loss = PIXEL * pixel + FRAME * gan[0] + SEQUENCE * gan[1] + SYNC * gan[2]
        self.apply("g", loss)
        boxes = batch.lip_boxes.repeat_interleave(k, 0)
        sure = [*(logits > 0 for logits in right), *(logits < 0 for logits in (*fake, late))]
        return {
            "g": loss, "d": d, "pixel": pixel, "frame": gan[0], "sequence": gan[1], "sync": gan[2],
            "lip": losses.lip(batch.frames.flatten(0, 1), frames.flatten(0, 1), boxes),
            "d_accuracy": torch.cat(sure).float().mean(),
        }  # fmt: skip

    def _lips(self, frames: Float[Tensor, "b k 3 s s"]) -> Float[Tensor, "b k 3 h h"]:
        cut = cut_lips(frames.flatten(0, 1), self.networks.lips)
        return cut.unflatten(0, frames.shape[:2])

    def _judged(
        self, batch: Batch, frames: Float[Tensor, "b k 3 s s"], at: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """What the three say of frames and their own sound; the first of one frame a window."""
        n = self.networks
        with self.fabric.autocast():
            return (
                n.frame(torch.cat([frames[:, at], batch.identity], 1))[:, 0],
                n.sequence(frames, batch.windows),
                n.sync(self._lips(frames), batch.windows),
            )


METHOD = Method(Sda, SdaNetworks, SdaStep)
