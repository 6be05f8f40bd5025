"""The smallest profile that has every part, random batches of its shapes, its step; a mouth."""

import numpy as np
import torch
from lightning_fabric import Fabric

from amie_core import config
from amie_core.config import ModelConfig, Profile
from amie_core.data.audio import Hears
from amie_core.model.mouth import MouthGenerator
from amie_core.training.amie import Amie, AmieStep
from amie_core.training.method import MethodStep
from amie_core.training.windows import Batch

TINY = config.with_changes(
    config.profile("smoke"),
    {
        "model.image_size": 32, "model.width": 8, "model.max_width": 16, "model.audio_width": 8,
        "model.embedding": 16, "train.batch": 4, "train.unroll": 3, "train.steps": 12,
        "train.checkpoint_every": 4, "train.log_every": 2, "train.warmup": 1,
        "train.precision": "32-true", "loss.perceptual": 0.0,
    },
)  # fmt: skip
MOUTHS = {"model.compose": "landmarks", "model.canvas": 128, "model.speech_embedding": True,
          "attention.enabled": False, "loss.inner": 10.0, "level": True}  # fmt: skip
SMALL_MOUTH = ModelConfig(image_size=32, width=8, max_width=16, audio_width=8, embedding=16,
                          compose="landmarks", canvas=128)  # fmt: skip


def short(profile: Profile, steps: int) -> Profile:
    """The profile with another number of steps."""
    return config.with_changes(profile, {"train.steps": steps})


def make_batch(profile: Profile, seed: int = 0, hears: Hears = "cepstra") -> Batch:
    """Random pictures and sounds of a profile's shapes."""
    c = {"cepstra": 13, "wave": 160}[hears]
    g = torch.Generator().manual_seed(seed)
    b, k, s = profile.train.batch, profile.train.unroll, profile.model.image_size
    return Batch(
        identity=torch.rand(b, 3, s, s, generator=g),
        before=torch.rand(b, 3, s, s, generator=g),
        frames=torch.rand(b, k, 3, s, s, generator=g),
        windows=torch.randn(b, k, 20, c, generator=g),
        negatives=torch.randn(b, k, 20, c, generator=g),
        lips=torch.rand(b, k, 1, s // 2, s // 2, generator=g),
        lip_boxes=torch.tensor([[152, 232, 64, 192]] * b),
        landmarks=torch.rand(b, k, 68, 2, generator=g) * 255,
        identity_landmarks=torch.rand(b, 68, 2, generator=g) * 255,
        identity_windows=torch.randn(b, 20, c, generator=g),
        speakers=torch.arange(b) % 3,
    )


def make_step(profile: Profile, seed: int = 0) -> AmieStep:
    torch.manual_seed(seed)
    fabric = Fabric(accelerator="cpu", devices=1)
    return AmieStep(profile, Amie(profile), fabric, seed)


def learns(step: MethodStep, batch: Batch, *, below: float, most: int, first: int = 0) -> bool:
    """Whether the lips' error stays below a bound over ten steps, within so many steps."""
    losses: list[float] = []
    for number in range(first, most):
        losses.append(float(step(batch, number)["lip"]))
        if number >= first + 9 and np.mean(losses[-10:]) < below:
            return True
    return False


def mouth_talker() -> MouthGenerator:
    """A generator that paints inside the lips and whose motion is drawn at random."""
    torch.manual_seed(0)
    made = MouthGenerator(SMALL_MOUTH).eval()
    torch.nn.init.normal_(made.motion.basis, std=0.05)
    torch.nn.init.normal_(made.decoder.out.weight, std=0.5)
    return made
