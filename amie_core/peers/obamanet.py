"""ObamaNet: R. Kumar, J. Sotelo, K. Kumar, A. de Brébisson, Y. Bengio, "ObamaNet: Photo-realistic
lip-sync from text", NIPS workshop 2017. Not in the paper's tables; its sec. 2 names it ("Rithesh et
al.").

Kept: sound to the mouth's PCA coefficients by a time-delayed LSTM; then pictures of the face whose
mouth is cut out and drawn as an outline, completed by a U-Net (pix2pix: L1 and a conditional
discriminator that sees the input beside the output). The two networks learn apart, the renderer
from real outlines, and are joined only to talk.

Simplified, and why:
- text to speech (Char2Wav) before it -> none: here sound is given;
- one man in 17 hours of video -> the corpus's speakers: the LSTM is told the shape of the face's
  own mouth and says how it changes; the outline is drawn where that mouth is;
- log-mel frames, a delay of 200 ms -> the 20×13 MFCC window that all methods here are given, which
  reaches 100 ms ahead, and a frame more;
- the LSTM remembers as many frames as a training window has, also when talking;
- a PatchGAN, dropout as noise -> the shared compact discriminator, no noise;
- before its first step it gives the face itself: every method begins from the same picture;
- when talking, the face's landmarks come from the finder that prepares the data; where it finds
  none, the mean face's are taken.
"""

from collections.abc import Iterable, Iterator

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from lightning_fabric import Fabric
from torch import Tensor

from amie_core import losses
from amie_core.config import FACE_SIZE, ModelConfig, Profile
from amie_core.model.generator import FrameDecoder, ImageEncoder
from amie_core.model.talker import Talker
from amie_core.peers.parts import (
    MOUTH,
    DelayedLstm,
    PictureDiscriminator,
    Shape,
    landmarks_of,
    lip_region,
    mouth,
)
from amie_core.training.method import Method, MethodStep, Networks
from amie_core.training.windows import Batch, Windows

COEFFICIENTS = 8
PIXEL, GAN = 10.0, 0.1  # pix2pix weighs L1 a hundred times
STROKE = 2.0  # px at 256²: deviation of an outline's profile
CONTOURS = ((*range(12), 0), (*range(12, 20), 12))  # of the mouth's points: outer, inner


def outline(points: Float[Tensor, "n 20 2"], size: int) -> Float[Tensor, "n 1 s s"]:
    """Both contours of mouths drawn in a picture of `size` px, 1 on the line; points: at 256²."""
    at = (torch.arange(size, device=points.device) + 0.5) * (FACE_SIZE / size) - 0.5
    first = points[:, [a for c in CONTOURS for a in c[:-1]], None, None]
    along = points[:, [b for c in CONTOURS for b in c[1:]], None, None] - first
    x, y = at[None, None, None] - first[..., 0], at[None, None, :, None] - first[..., 1]
    length = (along**2).sum(-1).clamp(min=1e-6)
    share = ((x * along[..., 0] + y * along[..., 1]) / length).clamp(0, 1)
    apart = (x - share * along[..., 0]) ** 2 + (y - share * along[..., 1]) ** 2
    return torch.exp(-apart.amin(1) / (2 * STROKE**2))[:, None]


class ObamaNet(Talker):
    """The delayed LSTM and the renderer."""

    begun: Tensor

    def __init__(self, config: ModelConfig, memory: int = 4) -> None:
        super().__init__()
        widths = config.widths()
        self.register_buffer("begun", torch.tensor(False))  # whether the renderer has learnt a step
        self.shape = Shape(COEFFICIENTS, MOUTH.stop - MOUTH.start)
        self.sound = DelayedLstm(config, COEFFICIENTS, memory, told=COEFFICIENTS)
        self.encoder = ImageEncoder(widths, 4)
        self.decoder = FrameDecoder(widths, 2 * widths[-1])

    def asked(
        self, face: Float[Tensor, "n 3 s s"], points: Float[Tensor, "n 20 2"]
    ) -> Float[Tensor, "n 4 s s"]:
        """What the renderer sees: the face without its mouth, and the outline to fill.

        In the mouth's place is the mean colour of what is around it.
        """
        rows, columns = lip_region(face.shape[-1])
        around = torch.zeros_like(face[:1, :1])
        around[..., rows.start - 1 : rows.stop + 1, columns.start - 1 : columns.stop + 1] = 1.0
        around[..., rows, columns] = 0.0
        colour = (face * around).sum((2, 3), keepdim=True) / around.sum()
        hidden = face.clone()
        hidden[..., rows, columns] = colour
        return torch.cat([hidden, outline(points, face.shape[-1])], 1)

    def draw(
        self, asked: Float[Tensor, "n 4 s s"]
    ) -> Float[Tensor, "n 3 s s"]:
        """A frame for each picture of `asked`, not clamped; nothing else is known of the mouth."""
        maps = self.encoder(asked)
        return asked[:, :3] + self.decoder(maps[-1], self.decoder.skips(maps)).float()

    def roll(
        self, face: Float[Tensor, "1 3 s s"], windows: Iterable[Float[Tensor, "_ 20 13"]]
    ) -> Iterator[Float[Tensor, "_ 3 s s"]]:
        """Sound to outlines, at the face's own mouth, to frames."""
        found = landmarks_of(face).to(face)
        own, rest = self.shape(mouth(found)), found[:, MOUTH]
        for changes in self.sound.spoken(windows, own):
            faces = face.expand(len(changes), -1, -1, -1)
            asked = self.asked(faces, rest + self.shape.moved(changes))
            yield self.draw(asked).clamp(0, 1) if self.begun else faces


class ObamaNetNetworks(Networks):
    """The generator and D."""

    generator: ObamaNet
    averaged: ObamaNet

    def __init__(self, profile: Profile) -> None:
        super().__init__()
        self.generator = ObamaNet(profile.model, profile.train.unroll)
        self.discriminator = PictureDiscriminator(profile.model, 1, channels=7)
        self.average()

    def fit(self, windows: Windows) -> None:
        """The cepstra's statistics, and the principal shapes of the training mouths."""
        super().fit(windows)
        points = mouth(windows.shapes())
        self.generator.shape.fit(points)
        self.averaged.shape.fit(points)


class ObamaNetStep(MethodStep):
    """The LSTM on real coefficients; D and the renderer on real outlines."""

    networks: ObamaNetNetworks

    def __init__(
        self, profile: Profile, networks: ObamaNetNetworks, fabric: Fabric, seed: int
    ) -> None:
        super().__init__(profile, networks, fabric, seed)
        g = networks.generator
        self.optimizers = {
            "sound": self.adam(g.sound.parameters()),
            "g": self.adam([*g.encoder.parameters(), *g.decoder.parameters()]),
            "d": self.adam(networks.discriminator.parameters()),
        }

    def update(self, batch: Batch, step: int, random: np.random.Generator) -> dict[str, Tensor]:
        """One step of the three."""
        n, t = self.networks, self.profile.train
        g, d, k = n.generator, n.discriminator, t.unroll
        own = g.shape(mouth(batch.identity_landmarks))
        with self.fabric.autocast():
            heard = g.sound(batch.windows, own)
        wanted = g.shape(mouth(batch.landmarks)) - own[:, None]
        sound = g.shape.error(heard, wanted[:, : heard.shape[1]]).mean()
        self.apply("sound", sound)

        every = batch.identity.repeat_interleave(k, 0)
        asked = g.asked(every, batch.landmarks.flatten(0, 1)[:, MOUTH])
        real = batch.frames.flatten(0, 1)
        with self.fabric.autocast():
            frames = g.draw(asked)
        chosen = np.sort(random.choice(k, min(t.judged, k), replace=False))
        judged = torch.as_tensor((np.arange(len(batch.identity))[:, None] * k + chosen).ravel())

        def pairs(of: Tensor) -> Tensor:
            return torch.cat([asked[judged], of[judged]], 1)

        with self.fabric.autocast():
            right, fake = d(torch.cat([pairs(real), pairs(frames.detach())]))[:, 0].chunk(2)
        d_loss = losses.gan_discriminator(right, fake)
        self.apply("d", d_loss)
        d.requires_grad_(False)
        with self.fabric.autocast():
            judgement = d(pairs(frames))[:, 0]
        d.requires_grad_(True)
        pixel, gan = F.l1_loss(frames, real), losses.gan_generator(judgement)
        loss = PIXEL * pixel + GAN * gan
        self.apply("g", loss)
        g.begun.fill_(True)
        boxes = batch.lip_boxes.repeat_interleave(k, 0)
        return {
            "g": loss, "d": d_loss, "pixel": pixel, "gan": gan, "sound": sound,
            "lip": losses.lip(real, frames, boxes),
            "d_accuracy": torch.cat([right > 0, fake < 0]).float().mean(),
        }  # fmt: skip


METHOD = Method(ObamaNet, ObamaNetNetworks, ObamaNetStep)
