"""A frozen sync expert in G's loss, beside the paper's T and instead of it: what it does for lips.

    python tests/benchmarks/bench_sync.py PREPARED [--rows NAME,…] [--seeds 3] [--steps 400]

The paper's whole-face G under the settings of the cells of `grid`, whose lips follow the sound by
pixels alone. What judges has learnt from clips that no expert sees, and no test clip is looked at.
A cell is deposited in figures/cells/sync as it is finished, and not made again. Prints a line a
cell. Not a test: nothing is asserted.
"""

import sys
from collections import defaultdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import rows
from bench_faces import mean
from rows import Row

from amie_core import config
from amie_core.data import store
from amie_core.evaluation import sync_judge
from amie_core.evaluation.evaluate import Evaluation
from amie_core.training.loop import train

ROWS = {
    "ours": Row("the paper's: T alone", {}),
    "both": Row("an expert beside T", {"loss.sync_share": 0.2}),
    "expert": Row("an expert instead of T", {"loss.sync_share": 0.2, "loss.mi": 0.0}),
}
SPLITS = ("val_seen", "val_unseen")
COLUMNS = {
    "lip_correlation_speech": "lip opening, Pearson, where something is said",
    "lip_variance_ratio": "of the lip opening, over the real one's",
    "lmd_mouth_mean_256": "px at 256²",
    "psnr_rgb": "dB",
    "ssim_gaussian_rgb": "",
    "auc": "of a judge that has learnt from clips that no expert sees",
    "auc_real": "the same, of the real clips",
}


def cell(row: str, seed: int, steps: int, data: Path) -> dict[str, Any]:
    """What is deposited: by split and speaker, means over clips; how the expert fared in training.
    """
    changes = config.CELL_SCALE["grid"] | ROWS[row].changes | {"train.steps": steps}
    settings = config.resolve("grid", "ours", changes)
    judge = sync_judge.judge_of(data, settings.model.image_size, beside_expert=True)
    splits: dict[str, dict[str, dict[str, float | None]]] = {}
    with TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        last = train(settings, data, run, seed=seed, progress=sys.stderr.isatty())["last"]
        for split in SPLITS:
            found: dict[str, list[dict[str, float | None]]] = defaultdict(list)
            evaluation = Evaluation(run, data, split, progress=sys.stderr.isatty())
            for clip, frames in evaluation:
                evaluation.add({"auc": sync_judge.judged(judge, frames, clip).auc,
                                "auc_real": sync_judge.judged(judge, clip.frames, clip).auc})
            for told in evaluation.found["model"]:
                found[told["speaker"]].append(told)
            splits[split] = {speaker: mean(clips, COLUMNS) for speaker, clips in found.items()}
    log = {name: last[name] for name in last if name.startswith(("sync", "t_acc", "mi_share"))}
    where = rows.told(row, ROWS[row], seed, steps, store.digest(data), COLUMNS)
    return where | {"last": log, "splits": splits}


def main() -> None:
    chosen = rows.read(rows.parser_of(__doc__, ROWS), ROWS)
    rows.make("sync", chosen, lambda row, seed: cell(row, seed, chosen.steps, chosen.data))


if __name__ == "__main__":
    main()
