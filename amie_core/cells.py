"""Cells of Tables 2 and 3: one row (or compared method), one seed; trained, measured, deposited.

A cell's deposit is a small JSON in figures/cells/PROFILE, with a strip of frames beside it. Tables
and figures are drawn from deposits alone, so what was measured once need not be trained again.
"""

import argparse
import io
import json
import os
import platform
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import UInt8

from amie_core import config
from amie_core.config import ABLATION, CELL_SCALE, CELL_SEEDS, Profile, figures_dir, workspace
from amie_core.errors import UserError

if TYPE_CHECKING:
    from amie_core.data.store import PreparedClip
    from amie_core.yardstick import Yardstick

STRIP = 8  # frames of the shown utterance
REAL, JUDGE = "real.json", "judge.safetensors"
SHOWN_RULE = (
    "the clip of test_seen whose copied first frame has the median LMD: a rule of the data alone"
)


@dataclass(frozen=True)
class Cell:
    """One training: a row of Table 3 or a compared method, at a profile's cell scale."""

    profile: str
    name: str
    seed: int

    @property
    def settings(self) -> Profile:
        """Resolved settings (UserError for an unknown profile or name)."""
        base = config.with_changes(config.profile(self.profile), CELL_SCALE[self.profile])
        return config.for_row(base, self.name) if self.name in ABLATION else base

    @property
    def key(self) -> str:
        """12 hex digits of settings, name and seed, whatever the data."""
        return config.run_key(self.settings, self.seed, self.name)

    @property
    def deposit(self) -> Path:
        """Where its result lies."""
        return deposits(self.profile) / f"{self.name}_{self.seed}.json"


def deposits(profile: str) -> Path:
    """The folder of a profile's deposits."""
    return figures_dir() / "cells" / profile


def planned(profile: str, names: list[str] | None = None, seeds: int | None = None) -> list[Cell]:
    """The cells of a table, seed by seed: the profile's seeds, or the first `seeds` numbers."""
    numbers = CELL_SEEDS[profile] if seeds is None else tuple(range(seeds))
    return [Cell(profile, name, seed) for seed in numbers for name in names or ABLATION]


def read(cell: Cell, data: Path | None = None) -> dict[str, Any] | None:
    """A cell's deposit, if it was made with these settings (and from this prepared corpus)."""
    from amie_core.data import store

    try:
        found = json.loads(cell.deposit.read_text())
    except (OSError, ValueError):
        return None
    if found.get("key") != cell.key:
        return None
    return found if data is None or found["data_digest"] == store.digest(data) else None


def run_folder(cell: Cell, data: Path) -> Path:
    """The folder of the cell's training."""
    from amie_core.data import store

    key = config.run_key(cell.settings, cell.seed, cell.name + store.digest(data))
    return workspace() / "runs" / "cells" / f"{cell.profile}-{cell.name}-{cell.seed}-{key}"


def make(cell: Cell, data: str | Path, *, progress: bool = True) -> dict[str, Any]:
    """Train and measure a cell on prepared clips and deposit it; its deposit if it has one."""
    from amie_core import checkpoint
    from amie_core.train import train

    data = Path(data)
    known = read(cell, data)
    if known is not None:
        return known
    method = {} if cell.name in ABLATION else {"method": cell.name}
    row = cell.name if cell.name in ABLATION else "ours"
    run = run_folder(cell, data)
    done = train(cell.profile, data, run, row=row, seed=cell.seed, progress=progress,
                 changes=CELL_SCALE[cell.profile], **method)  # fmt: skip
    result = measure(cell, run, data, done, progress=progress)
    checkpoint.write_json(cell.deposit, result)
    return result


def measure(
    cell: Cell, run: Path, data: Path, done: dict[str, Any], *, progress: bool = True
) -> dict[str, Any]:
    """Everything that tables and figures need of a trained cell; writes its strip of frames."""
    from amie_core import checkpoint
    from amie_core.evaluate import evaluate
    from amie_core.yardstick import SPLITS, Yardstick

    settings = cell.settings
    folder = deposits(cell.profile)
    yardstick = Yardstick(data, settings, kept=folder / JUDGE, progress=progress)
    _describe(yardstick, folder)
    generator, meta = checkpoint.load_generator(run)
    splits, seen = {}, []
    for split in SPLITS:
        found = evaluate(run, data, split, limit=settings.evaluate_clips, progress=progress)
        values = found["rows"]["model"]["clips"]
        by_name = {(clip["speaker"], clip["utterance"]): clip for clip in values}
        for clip in yardstick.clips[split]:
            made = _generated(generator, clip)
            verdict = yardstick.judged(made, clip)
            by_name[clip.speaker, clip.utterance].update(
                sync_auc=verdict.auc, sync_offset=verdict.offset
            )
            if split == SPLITS[0]:
                seen.append(made)
        splits[split] = {"clips": values, "failed": found["failed"]}
    write_strip(cell.deposit.with_suffix(".jpg"), seen[yardstick.shown])
    return {
        "profile": cell.profile, "name": cell.name, "seed": cell.seed, "key": cell.key,
        "corpus": settings.corpus, "data_digest": yardstick.digest, "commit": meta["commit"],
        "image_size": settings.model.image_size, "training": done, "machine": machine(),
        "splits": splits, "distances": yardstick.distances(seen),
        "projection": yardstick.project(seen),
    }  # fmt: skip


def _describe(yardstick: "Yardstick", folder: Path) -> None:
    """Write what the real clips say, once for a corpus."""
    from amie_core import checkpoint

    path = folder / REAL
    known = json.loads(path.read_text()) if path.is_file() else {}
    if known.get("data_digest") == yardstick.digest:
        return
    content = yardstick.describe()
    clip = yardstick.seen[yardstick.shown]
    write_strip(path.with_suffix(".jpg"), clip.frames)
    checkpoint.write_json(path, content)


def _generated(generator: Any, clip: "PreparedClip") -> UInt8[np.ndarray, "n s s 3"]:
    from amie_core.data.audio import windows
    from amie_core.talk import generate

    return generate(generator, clip.frames[0], windows(clip.mfcc, len(clip.frames)))


def write_strip(path: Path, frames: UInt8[np.ndarray, "n s s 3"]) -> None:
    """STRIP frames spread over a clip, side by side, as one picture."""
    from PIL import Image

    from amie_core.data.store import write_whole

    chosen = np.linspace(1, len(frames) - 1, STRIP).round().astype(int)
    buffer = io.BytesIO()
    picture = Image.fromarray(np.concatenate([frames[i] for i in chosen], axis=1))
    picture.save(buffer, "JPEG", quality=97, subsampling=0)
    write_whole(path, buffer.getvalue())


def machine() -> str:
    """Processor (or GPU) and cores, in words, as results carry them."""
    import torch

    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    names = [line.split(":", 1)[1].strip() for line in _cpuinfo() if line.startswith("model name")]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{names[0] if names else platform.machine()}, {cores} core(s)"


def _cpuinfo() -> list[str]:
    try:
        return Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return []


def make_all(cells: list[Cell], data: Path | None, *, workers: int = 1) -> list[dict[str, Any]]:
    """Deposits of all cells; what is missing is made from `data`, `workers` at a time.

    Each is a process of its own with one thread: on a CPU that trains more than threads do. One
    that fails is reported and the rest goes on. With `data` None nothing is trained.
    """
    from concurrent.futures import ThreadPoolExecutor

    from tqdm.auto import tqdm

    missing = [cell for cell in cells if read(cell, data) is None] if data is not None else []
    with ThreadPoolExecutor(max(1, workers)) as pool:
        jobs = pool.map(lambda cell: _process(cell, data), missing)
        for cell, complaint in zip(missing, tqdm(jobs, "cells", len(missing)), strict=True):
            if complaint:
                print(f"{cell.name} seed {cell.seed}: {complaint}")
    return [found for cell in cells if (found := read(cell, data)) is not None]


def _process(cell: Cell, data: Path | None) -> str:
    """Make one cell in a process of its own; what it complained of, or nothing."""
    words = [sys.executable, "-m", "amie_core.cells", cell.profile, cell.name, str(cell.seed)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"}
    done = subprocess.run([*words, "--data", str(data)], capture_output=True, text=True,
                          env=environment)  # fmt: skip
    lines = done.stderr.strip().splitlines()
    return (lines[-1] if lines else f"exit code {done.returncode}") if done.returncode else ""


def main() -> int:
    """`python -m amie_core.cells PROFILE NAME SEED --data DIR`: make one cell."""
    parser = argparse.ArgumentParser(description="Train, measure and deposit one cell.")
    parser.add_argument("profile")
    parser.add_argument("name")
    parser.add_argument("seed", type=int)
    parser.add_argument("--data", required=True, type=Path, help="folder of prepared clips")
    asked = parser.parse_args()
    try:
        make(Cell(asked.profile, asked.name, asked.seed), asked.data)
    except UserError as error:
        print(f"cells: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
