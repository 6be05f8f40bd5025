"""Cells of Tables 2 and 3: one row (or compared method), one seed; trained, measured, deposited.

A cell's deposit is a small JSON in figures/cells/PROFILE, with a strip of frames beside it. Tables
and figures are drawn from deposits alone, so what was measured once need not be trained again.
"""

import argparse
import contextlib
import io
import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import UInt8

from amie_core import config
from amie_core.config import ABLATION, CELL_SCALE, CELL_SEEDS, Profile, figures_dir, workspace
from amie_core.data.store import write_whole
from amie_core.errors import UserError

if TYPE_CHECKING:
    from amie_core.data.store import PreparedClip
    from amie_core.experiments.real_clips import Yardstick

STRIP = 8  # frames of the shown utterance
REAL, JUDGE = "real.json", "judge.safetensors"
SHOWN_RULE = (
    "the clip of the first test split whose copied first frame has the median LMD: a rule of the "
    "data alone"
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


def real(profile: str) -> dict[str, Any]:
    """What the real clips say of themselves (UserError where no cell has been deposited)."""
    path = deposits(profile) / REAL
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        raise UserError(f"{path}: no results of profile {profile} yet: give its data") from None


def strips(profile: str, names: list[str], seed: int) -> dict[str, UInt8[np.ndarray, "s w 3"]]:
    """The shown utterance's frames, real first, then of each cell that has been deposited."""
    from PIL import Image

    files = {"real": deposits(profile) / REAL}
    files |= {name: Cell(profile, name, seed).deposit for name in names}
    files = {name: path.with_suffix(".jpg") for name, path in files.items()}
    return {n: np.asarray(Image.open(path)) for n, path in files.items() if path.is_file()}


def run_folder(cell: Cell, data: Path) -> Path:
    """The folder of the cell's training."""
    from amie_core.data import store

    key = config.run_key(cell.settings, cell.seed, cell.name + store.digest(data))
    return workspace() / "runs" / "cells" / f"{cell.profile}-{cell.name}-{cell.seed}-{key}"


def make(cell: Cell, data: str | Path, *, progress: bool = True) -> dict[str, Any]:
    """Train and measure a cell on prepared clips and deposit it; its deposit if it has one."""
    from amie_core.training import checkpoint
    from amie_core.training.loop import train

    data = Path(data)
    known = read(cell, data)
    if known is not None:
        return known
    row, method = (cell.name, "amie") if cell.name in ABLATION else ("ours", cell.name)
    run = run_folder(cell, data)
    done = train(cell.profile, data, run, row=row, seed=cell.seed, progress=progress,
                 changes=CELL_SCALE[cell.profile], method=method)  # fmt: skip
    result = measure(cell, run, data, done, progress=progress)
    checkpoint.write_json(cell.deposit, result)
    return result


def measure(
    cell: Cell, run: Path, data: Path, done: dict[str, Any], *, progress: bool = True
) -> dict[str, Any]:
    """Everything that tables and figures need of a trained cell; writes its strip of frames."""
    from amie_core import machine
    from amie_core.evaluation.evaluate import evaluate
    from amie_core.experiments.real_clips import Yardstick

    settings = cell.settings
    folder = deposits(cell.profile)
    yardstick = Yardstick(data, settings, kept=folder / JUDGE, progress=progress)
    _describe(yardstick, folder)
    made: dict[str, list[np.ndarray]] = {split: [] for split in yardstick.splits}
    splits = {}
    for split in yardstick.splits:

        def also(clip: "PreparedClip", frames: np.ndarray, split: str = split) -> dict[str, Any]:
            made[split].append(frames)
            verdict = yardstick.judged(frames, clip)
            return {"sync_auc": verdict.auc, "sync_offset": verdict.offset}

        found = evaluate(
            run, data, split, limit=settings.evaluate_clips, progress=progress, also=also
        )
        if found["failed"]:
            raise UserError(f"{run}: {found['failed'][0]} could not be measured")
        splits[split] = {"clips": found["rows"]["model"]["clips"]}
    seen = made[yardstick.splits[0]]
    write_strip(cell.deposit.with_suffix(".jpg"), seen[yardstick.shown])
    return {
        "profile": cell.profile, "name": cell.name, "seed": cell.seed, "key": cell.key,
        "corpus": settings.corpus, "data_digest": yardstick.digest,
        "commit": found["commit"]["training"], "image_size": settings.model.image_size,
        "training": done, "machine": machine.processor(),
        "splits": splits, "distances": yardstick.distances(seen),
        "projection": yardstick.project(seen),
    }  # fmt: skip


def _describe(yardstick: "Yardstick", folder: Path) -> None:
    """Write what the real clips say, once for a corpus."""
    from amie_core.training import checkpoint

    path = folder / REAL
    known = json.loads(path.read_text()) if path.is_file() else {}
    if known.get("data_digest") == yardstick.digest:
        return
    content = yardstick.describe()
    clip = yardstick.seen[yardstick.shown]
    write_strip(path.with_suffix(".jpg"), clip.frames)
    checkpoint.write_json(path, content)


def write_strip(path: Path, frames: UInt8[np.ndarray, "n s s 3"]) -> None:
    """STRIP frames spread over a clip, side by side, as one picture."""
    from PIL import Image

    chosen = np.linspace(1, len(frames) - 1, STRIP).round().astype(int)
    buffer = io.BytesIO()
    picture = Image.fromarray(np.concatenate([frames[i] for i in chosen], axis=1))
    picture.save(buffer, "JPEG", quality=97, subsampling=0)
    write_whole(path, buffer.getvalue())


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
    module = "amie_core.experiments.cells"
    words = [sys.executable, "-m", module, cell.profile, cell.name, str(cell.seed)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"}
    done = subprocess.run([*words, "--data", str(data)], capture_output=True, text=True,
                          env=environment)  # fmt: skip
    lines = done.stderr.strip().splitlines()
    return (lines[-1] if lines else f"exit code {done.returncode}") if done.returncode else ""


@contextlib.contextmanager
def one_device() -> Iterator[str | None]:
    """Hold a GPU that no other cell of this workspace holds, where there is one; yields its name.

    Locks say which are taken; waits until one is free. Must come before CUDA's first use: the
    choice is told to it by CUDA_VISIBLE_DEVICES, of which a scheduler's own value is respected.
    """
    import torch

    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = visible.split(",") if visible else [str(k) for k in range(torch.cuda.device_count())]
    if not torch.cuda.device_count():
        yield None
        return
    import fcntl

    workspace().mkdir(parents=True, exist_ok=True)
    for name in itertools.cycle(names):
        with (workspace() / f"gpu-{name}.lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                time.sleep(1 / len(names))
                continue
            os.environ["CUDA_VISIBLE_DEVICES"] = name
            yield name
            return


def main() -> int:
    """`python -m amie_core.experiments.cells PROFILE NAME SEED --data DIR`: make one cell."""
    parser = argparse.ArgumentParser(description="Train, measure and deposit one cell.")
    parser.add_argument("profile")
    parser.add_argument("name")
    parser.add_argument("seed", type=int)
    parser.add_argument("--data", required=True, type=Path, help="folder of prepared clips")
    parser.add_argument("--copy", type=Path, help="write the deposit here too")
    asked = parser.parse_args()
    try:
        cell = Cell(asked.profile, asked.name, asked.seed)
        result = read(cell, asked.data)  # what is deposited needs no device
        if result is None:
            with one_device():
                result = make(cell, asked.data, progress=sys.stderr.isatty())
        if asked.copy:
            write_whole(asked.copy, json.dumps(result).encode())
    except UserError as error:
        print(f"cells: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
