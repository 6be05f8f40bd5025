"""How a mouth is moved: by landmarks that are heard, or by G, which moves and makes pixels itself.

    python tests/benchmarks/bench_movement.py PREPARED [--rows NAME,…] [--seeds 3] [--steps 400]

G under the settings of the profile `talk` on the whole face at 64 px, three ways of moving it; what
goes with landmarks goes with them: Motion's own steps, voices and microphones drawn at random, the
sound around a frame, the picture's own resolution, teeth. No test clip is looked at. Each clip's
first frame says its sound by the whole way of `amie talk --size 256` (bench_faces.py), at most four
clips of a speaker. A cell is deposited in figures/cells/movement as it is finished, and not made
again. Prints a line a cell. Not a test: nothing is asserted.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import bench_faces
import rows
from rows import Row

from amie_core import config
from amie_core.config import FACE_SIZE
from amie_core.data import store
from amie_core.evaluation import sync_judge
from amie_core.training.checkpoint import load_generator
from amie_core.training.loop import train

WHOLE = {"model.canvas": FACE_SIZE, "train.lip_edges": False}
ROWS = {
    "ours": Row("landmarks, heard from the sound, move it", WHOLE),
    "cepstra": Row("the same without the speech embedding", WHOLE | {
        "model.speech_embedding": False}),
    "pixels": Row("G moves and makes pixels", WHOLE | {
        "model.speech_embedding": False, "model.compose": "warp"}),
}  # fmt: skip
SPLITS = ("val_seen", "val_unseen")


def cell(row: str, seed: int, steps: int, data: Path) -> dict[str, Any]:
    """What is deposited: by split and speaker, means over clips."""
    settings = config.resolve("talk", "ours", ROWS[row].changes | {"train.steps": steps})
    judge = sync_judge.judge_of(data, bench_faces.JUDGE_SIZE)
    splits: dict[str, dict[str, dict[str, float | None]]] = {}
    with TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        train(settings, data, run, seed=seed, progress=sys.stderr.isatty())
        generator, meta = load_generator(run)
        for split in SPLITS:
            found = bench_faces.by_speaker(generator, meta, data, split, judge)
            splits[split] = {speaker: bench_faces.mean(clips) for speaker, clips in found.items()}
    columns = bench_faces.COLUMNS
    where = rows.told(row, ROWS[row], seed, steps, store.digest(data), columns)
    return where | {"splits": splits}


def main() -> None:
    chosen = rows.read(rows.parser_of(__doc__, ROWS), ROWS)
    rows.make("movement", chosen, lambda row, seed: cell(row, seed, chosen.steps, chosen.data))


if __name__ == "__main__":
    main()
