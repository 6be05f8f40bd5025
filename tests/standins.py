"""What tests of talking, evaluating and the command line run on: an untrained run, a hum."""

import json
from pathlib import Path

import numpy as np
import torch

from amie_core import config
from amie_core.config import ModelConfig
from amie_core.model.attention import FineMask
from amie_core.model.generator import Generator
from amie_core.training import checkpoint

TINY = ModelConfig(image_size=32, width=4, max_width=8, audio_width=4, embedding=8)


def write_run(folder: Path, *, mfcc_rate: int = 16_000, seed: int = 0) -> Path:
    """A finished run whose generator has random weights: its frames move, and mean nothing."""
    torch.manual_seed(seed)
    generator = Generator(TINY)
    torch.nn.init.normal_(generator.decoder.out.weight, std=0.02)
    tensors = {f"generator.{n}": t for n, t in generator.state_dict().items()}
    tensors |= {f"fine_mask.{n}": t for n, t in FineMask().state_dict().items()}
    meta = {
        "profile": "smoke", "corpus": "synthetic", "split": "train", "row": "ours", "seed": 0,
        "commit": "0000000000", "step": 1, "steps": 1, "image_size": TINY.image_size,
        "mfcc_rate": mfcc_rate, "data_digest": "", "model": config.to_dict(TINY),
    }  # fmt: skip
    folder.mkdir(parents=True)
    checkpoint.write_tensors(folder / checkpoint.GENERATOR, tensors, meta)
    (folder / "done.json").write_text(json.dumps({"steps": 1}))
    return folder


def write_hum(path: Path, seconds: float) -> Path:
    """A hum that swells four times a second, 16 kHz."""
    import soundfile

    times = np.arange(round(seconds * 16_000)) / 16_000
    wave = 0.3 * np.sin(2 * np.pi * 140 * times) * np.sin(2 * np.pi * 2 * times) ** 2
    soundfile.write(path, wave.astype(np.float32), 16_000)
    return path
