"""What one stage of the way takes at most: `python tests/peak_memory.py STAGE IN OUT` prints MB."""

import sys
from pathlib import Path

import torch

from amie_core.config import with_changes


def prepare(given: Path, out: Path) -> None:
    from amie_core.data.prepare import prepare

    prepare("folder", given, out, jobs=1, backend="mesh")


def train(given: Path, out: Path) -> None:
    from tiny import TINY

    from amie_core.training.loop import train

    settings = with_changes(TINY, {"model.image_size": 256, "train.steps": 3, "train.batch": 2})
    train(settings, given, out, progress=False)


def judge(given: Path, _: Path) -> None:
    from amie_core.evaluation import sync_judge

    sync_judge.HELD = 16 << 20  # what is kept is full with either corpus
    sync_judge.train_judge(given, 256, steps=8, progress=False)


def evaluate(given: Path, run: Path) -> None:
    from amie_core.evaluation.evaluate import evaluate

    evaluate(run, given, "test", progress=False)


if __name__ == "__main__":
    torch.set_num_threads(1)
    globals()[sys.argv[1]](*map(Path, sys.argv[2:]))
    status = Path("/proc/self/status").read_text()
    print(int(status.split("VmHWM:")[1].split()[0]) >> 10)
