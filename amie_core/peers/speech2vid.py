"""Speech2Vid: J. S. Chung, A. Jamaludin, A. Zisserman, "You said that?", BMVC 2017.

Kept: an audio CNN and an identity CNN, joined at the bottleneck; a decoder up to the frame with
the identity's maps as skips; L1 alone; each frame made by itself; afterwards a residual deblurring
CNN, trained separately on the finished network's output and added to it.

Simplified, and why:
- five stacked stills of the speaker -> the input keeps its 15 channels, filled with the one
  identity face of the shared protocol, which then tells no more than one still does;
- MFCC 12×35 -> 13×20, the window that all methods here are given;
- AlexNet/VGG-M-like encoders at 112 px, the identity's initialised from VGG-Face -> the shared
  compact encoders, learnt from scratch: no such weights are shipped;
- ten deblurring layers -> five, at the width of a compact network;
- a frame of its own -> added to the identity face: every method begins from the same picture;
- trained to convergence -> the shared number of steps, the first 80 % for the network and the
  last 20 % for the deblurring, each with its own warm-up and decay.
"""

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from lightning_fabric import Fabric
from torch import Tensor, nn

from amie_core import losses
from amie_core.config import ModelConfig, Profile
from amie_core.model.generator import AudioEncoder, FrameDecoder, ImageEncoder, Spread
from amie_core.peers.parts import WindowTalker, decode_frames
from amie_core.training.method import Method, MethodStep, Networks
from amie_core.training.windows import Batch

STILLS = 5
DEBLUR_SHARE = 0.2  # of the steps
DEBLUR_LAYERS = 5


class Deblur(nn.Module):
    """3×3 convolutions at full size that predict what the blurred frame lacks."""

    def __init__(self, width: int) -> None:
        super().__init__()
        widths = [3, *[width] * (DEBLUR_LAYERS - 1), 3]
        layers: list[nn.Module] = []
        for a, b in zip(widths, widths[1:], strict=False):
            layers += [nn.Conv2d(a, b, 3, 1, 1), nn.LeakyReLU(0.2, inplace=True)]
        self.layers = nn.Sequential(*layers[:-1])
        for last in layers[-2].parameters():
            nn.init.zeros_(last)  # before its training it adds nothing

    def forward(self, frames: Float[Tensor, "b 3 s s"]) -> Float[Tensor, "b 3 s s"]:
        """The residual."""
        return self.layers(frames * 2 - 1).float()


class Speech2Vid(WindowTalker):
    """Identity stack and audio to a frame; then the deblurring residual."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        widths = config.widths()
        self.identity_encoder = ImageEncoder(widths, 3 * STILLS)
        self.audio_encoder = AudioEncoder(config.audio_width, config.embedding)
        self.spread = Spread(config.embedding, config)
        self.decoder = FrameDecoder(widths, 2 * widths[-1])
        self.deblur = Deblur(config.width)

    def blurred(
        self, face: Float[Tensor, "b 3 s s"], windows: Float[Tensor, "b k 20 13"]
    ) -> Float[Tensor, "b k 3 s s"]:
        """The first network's frames, not clamped."""
        maps = self.identity_encoder(face.repeat(1, STILLS, 1, 1))
        code = F.leaky_relu(self.audio_encoder(windows.flatten(0, 1)), 0.2)
        codes = self.spread(code).unflatten(0, windows.shape[:2])
        return face[:, None] + decode_frames(self.decoder, maps, codes)

    def sharpened(self, frames: Float[Tensor, "b k 3 s s"]) -> Float[Tensor, "b k 3 s s"]:
        """Frames with the deblurring residual added."""
        return frames + self.deblur(frames.flatten(0, 1)).view_as(frames)

    def forward(
        self, face: Float[Tensor, "b 3 s s"], windows: Float[Tensor, "b k 20 13"]
    ) -> Float[Tensor, "b k 3 s s"]:
        """Frames of all windows."""
        return self.sharpened(self.blurred(face, windows))


class Speech2VidNetworks(Networks):
    """There is nothing but the generator."""

    generator: Speech2Vid
    averaged: Speech2Vid

    def __init__(self, profile: Profile) -> None:
        super().__init__()
        self.generator = Speech2Vid(profile.model)
        self.average()


class Speech2VidStep(MethodStep):
    """L1: first the network, then the deblurring on what the network makes."""

    networks: Speech2VidNetworks

    def __init__(
        self, profile: Profile, networks: Speech2VidNetworks, fabric: Fabric, seed: int
    ) -> None:
        super().__init__(profile, networks, fabric, seed)
        g = networks.generator
        deblur = list(g.deblur.parameters())
        own = {id(p) for p in deblur}
        self.optimizers = {
            "g": self.adam(p for p in g.parameters() if id(p) not in own),
            "deblur": self.adam(deblur),
        }
        steps = profile.train.steps
        self.turn = round((1 - DEBLUR_SHARE) * steps)
        self.phases = {"g": (0, self.turn), "deblur": (self.turn, steps)}

    def update(self, batch: Batch, step: int, random: np.random.Generator) -> dict[str, Tensor]:
        """One of the two networks learns."""
        g, second = self.networks.generator, step >= self.turn
        with torch.set_grad_enabled(not second), self.fabric.autocast():
            frames = g.blurred(batch.identity, batch.windows)
        if second:
            with self.fabric.autocast():
                frames = g.sharpened(frames)
        loss = F.l1_loss(frames, batch.frames)
        self.apply("deblur" if second else "g", loss)
        boxes = batch.lip_boxes.repeat_interleave(frames.shape[1], 0)
        lip = losses.lip(batch.frames.flatten(0, 1), frames.flatten(0, 1), boxes)
        return {"g": loss, "lip": lip}


METHOD = Method(Speech2Vid, Speech2VidNetworks, Speech2VidStep)
