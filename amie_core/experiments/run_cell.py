"""A cell made: trained, measured, deposited, in a process of its own where there are several."""

import argparse
import io
import json
import multiprocessing
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8

from amie_core import machine
from amie_core.config import Profile, brief
from amie_core.data import store
from amie_core.data.store import PreparedClip
from amie_core.errors import UserError
from amie_core.evaluation import reference_rows
from amie_core.evaluation.evaluate import Evaluation
from amie_core.experiments.cells import (
    JUDGE,
    REAL,
    STRIP,
    Cell,
    deposits,
    planned_replication,
    read,
    run_folder,
)
from amie_core.experiments.critic_probe import ASKED, Pairs, pairs_of, probe
from amie_core.experiments.real_clips import Gathered, RealClips
from amie_core.files import alone, workspace, write_json, write_whole
from amie_core.model.talker import spoken
from amie_core.paper import registered, registered_replication
from amie_core.training.checkpoint import load_generator
from amie_core.training.loop import train

TRACED = ("step", "lip", "rate", "mi_js", "t_accuracy", "t_accuracy_generated", "lambda3",
          "mi_share", "mask")  # fmt: skip
held = ExitStack()  # what a worker holds until it ends


def trained(cell: Cell, data: Path, *, progress: bool = True) -> tuple[Path, dict[str, Any]]:
    """A cell's run folder and what its done.json holds; trained, or resumed, where it is not."""
    run = run_folder(cell, data)
    with alone(run):
        return run, train(cell.settings, data, run, row=cell.row, method=cell.method,
                          seed=cell.seed, progress=progress)  # fmt: skip


def make(cell: Cell, data: str | Path, *, progress: bool = True) -> dict[str, Any]:
    """Train and measure a cell on prepared clips and deposit it; its deposit if it has one."""
    data = Path(data)
    with alone(cell.deposit):  # another process may be making it
        known = read(cell, data)
        if known is None:
            _, done = trained(cell, data, progress=progress)
            known = measure_cell(cell, data, done, progress=progress)
            write_json(cell.deposit, known)
    return known


def measure_cell(
    cell: Cell, data: Path, done: dict[str, Any], *, progress: bool = True
) -> dict[str, Any]:
    """Everything that tables and figures need of a trained cell; writes its strip of frames."""
    settings, run = cell.settings, run_folder(cell, data)
    folder, tested = deposits(cell.table), cell.tested or data
    with alone(folder / REAL):  # the same for all cells: measured once, the others wait for it
        real = _real_clips(tested, data, settings, folder, progress)
    first, gathered, splits = real.splits[0], Gathered(real), {}
    critic = cell.method == "amie"
    asked: dict[str, list[Pairs]] = {"real": [], "made": []}
    for split in real.splits:
        limit = settings.evaluate_clips
        evaluation = Evaluation(
            run, tested, split, device="auto", limit=limit, progress=progress
        )
        for clip, frames in evaluation:
            verdict = real.judged(frames, clip)
            evaluation.add({"sync_auc": verdict.auc, "sync_offset": verdict.offset})
            if split != first:
                continue
            gathered.add(clip, frames)
            if critic and len(asked["made"]) < ASKED:
                for name, seen in (("real", clip.frames), ("made", frames)):
                    asked[name].append(pairs_of(clip, seen, settings.loss.critic_region))
        found = evaluation.result()
        if found["failed"]:
            raise UserError(f"{run}: {found['failed'][0]} could not be measured")
        splits[split] = {"clips": found["rows"]["model"]["clips"]}
    told: dict[str, Any] = {"trace": trace(run)}
    if critic:
        few = {"clips": 4, "steps": 4} if brief(settings) else {}
        told["critic"] = probe(run, data, settings, evaluation.generator, asked, **few)
    assert gathered.shown is not None
    write_strip(cell.deposit.with_suffix(".jpg"), gathered.shown)
    if cell.tested is not None:
        told |= {"trained_on": settings.corpus, "tested_digest": real.digest}
    if cell in planned_replication(cell.profile):
        told["replication"] = registered_replication()
    return {
        "profile": cell.table, "name": cell.name, "seed": cell.seed, "key": cell.key,
        "corpus": store.settings(tested)["corpus"] if cell.tested else settings.corpus,
        "data_digest": store.digest(data),
        "commit": found["commit"]["training"], "image_size": settings.model.image_size,
        "training": done, "machine": machine.processor(), "claims": registered(), **told,
        "splits": splits, **gathered.told(),
    }  # fmt: skip


def trace(run: Path) -> list[dict[str, float | int]]:
    """What a run's log says of T and of the MI term's weight, step by step."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{name: line[name] for name in TRACED if name in line} for line in lines]


def generated(
    cell: Cell, data: Path, clips: Iterable[PreparedClip]
) -> Iterator[np.ndarray] | None:
    """What a cell's run makes of these clips, one after the other, as it was measured; None where
    the run is not here: a deposit outlives it."""
    run = run_folder(cell, data)
    if not (run / "done.json").is_file():
        return None
    talker, meta = load_generator(run)
    return (spoken(talker, meta, clip) for clip in clips)


known_real: dict[tuple[Any, ...], RealClips] = {}  # the last: a worker measures cell after cell


def _real_clips(
    tested: Path, data: Path, settings: Profile, folder: Path, progress: bool
) -> RealClips:
    """The real clips that a cell is measured by, what they say of themselves written once."""
    key = (folder, *map(store.digest, (tested, data)), settings.model.image_size,
           settings.evaluate_clips, brief(settings))  # fmt: skip
    if key not in known_real:
        known_real.clear()
        known_real[key] = RealClips(
            tested, settings, kept=folder / JUDGE, taught=data, progress=progress
        )
    _describe(known_real[key], folder)
    return known_real[key]


def _describe(real: RealClips, folder: Path) -> None:
    """Write what the real clips say, once for a corpus."""
    path = folder / REAL
    known = json.loads(path.read_text()) if path.is_file() else {}
    if (known.get("data_digest"), known.get("version")) == (real.digest, reference_rows.VERSION):
        return
    content = real.describe()
    write_strip(path.with_suffix(".jpg"), real.seen[real.shown].frames)
    write_json(path, content)


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

    Each worker is a process of its own with one thread: on a CPU that trains more than threads do.
    More workers than GPUs share them: a step on small pictures leaves most of a GPU idle, and with
    NVIDIA's multi-process service (`nvidia-cuda-mps-control -d`) their kernels run side by side.
    A cell that fails is reported and the rest goes on. With `data` None nothing is trained.
    """
    missing = [cell for cell in cells if read(cell, data) is None] if data is not None else []
    if data is not None and missing:
        spawned = multiprocessing.get_context("spawn")  # forks of a process with threads may hang
        count = max(1, min(workers, len(missing)))
        shared = -(-count // max(1, torch.cuda.device_count()))
        with ProcessPoolExecutor(count, spawned, _begin_worker, (shared,)) as pool:
            jobs = [pool.submit(_complaint, cell, data) for cell in missing]
            bar = machine.progress_bar(jobs, "cells", total=len(missing))
            for cell, job in zip(missing, bar, strict=True):
                error = job.exception()
                if complaint := str(error) if error else job.result():
                    print(f"{cell.name} seed {cell.seed}: {complaint}")
    return [found for cell in cells if (found := read(cell, data)) is not None]


def _begin_worker(shared: int) -> None:
    """One thread, and a place on a GPU where there is one, for as long as the process lives."""
    torch.set_num_threads(1)
    held.enter_context(machine.one_device(workspace(), shared))


def _complaint(cell: Cell, data: Path) -> str:
    """Make one cell; what it complained of, or nothing."""
    try:
        make(cell, data, progress=False)
    except UserError as error:
        return f"cells: {error}"
    return ""


def main() -> int:
    """`python -m amie_core.experiments.run_cell PROFILE NAME SEED --data DIR`: make one cell."""
    parser = argparse.ArgumentParser(description="Train, measure and deposit one cell.")
    parser.add_argument("profile")
    parser.add_argument("name")
    parser.add_argument("seed", type=int)
    parser.add_argument("--data", required=True, type=Path, help="folder of prepared clips")
    parser.add_argument("--steps", type=int, help="another length than the table's")
    parser.add_argument("--test-data", type=Path, help="other prepared clips, to test on")
    parser.add_argument("--copy", type=Path, help="write the deposit here too")
    asked = parser.parse_args()
    try:
        cell = Cell(asked.profile, asked.name, asked.seed, asked.steps, asked.test_data)
        result = read(cell, asked.data)  # what is deposited needs no device
        if result is None:
            with machine.one_device(workspace()):
                result = make(cell, asked.data, progress=sys.stderr.isatty())
        if asked.copy:
            write_whole(asked.copy, json.dumps(result).encode())
    except UserError as error:
        print(f"cells: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
