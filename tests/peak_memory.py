"""What one stage of the way takes at most: `python tests/peak_memory.py STAGE IN OUT` prints MB."""

import sys
from pathlib import Path


def peak_bytes() -> int:
    """The most that this process has held. (`ru_maxrss` begins with what its parent held.)"""
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().split("VmHWM:")[1].split()[0]) << 10
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def prepare(given: Path, out: Path) -> None:
    from amie_core.data.prepare import prepare

    prepare("folder", given, out, jobs=1, backend="mesh")


def train(given: Path, out: Path) -> None:
    from tiny import TINY

    from amie_core.config import with_changes
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
    globals()[sys.argv[1]](*map(Path, sys.argv[2:]))
    print(peak_bytes() >> 20)
