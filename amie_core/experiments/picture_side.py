"""What each part brings to the model that ships, as tables and a curve.

`tests/benchmarks/bench_picture.py`, `bench_sync.py` and `bench_movement.py` train G under single
changes and deposit what they measure.
"""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.figure import Figure

from amie_core.experiments import ablation
from amie_core.experiments.cells import deposits
from amie_core.show.figures import MARKERS, PALETTE, STYLE, figure

OURS = "ours"
GROUPS = {"val": ("val_seen", "val_unseen"), "seen": ("val_seen",), "unseen": ("val_unseen",),
          "elsewhere": ("elsewhere",)}  # fmt: skip # splits of each
FORMATS = {"psnr": ".2f", "ssim": ".4f", "inside": ".1f", "detail": ".2f", "phi": ".3f",
           "auc": ".3f"}  # fmt: skip
BEYOND = {name: form for name, form in FORMATS.items() if name != "auc"}  # elsewhere: not judged
# Of cells/sync: tests/benchmarks/bench_sync.py.
SYNC_FORMATS = {"lip_correlation_speech": ".2f", "lip_variance_ratio": ".2f",
                "lmd_mouth_mean_256": ".2f", "psnr_rgb": ".2f", "auc": ".3f"}  # fmt: skip
# Of cells/movement: tests/benchmarks/bench_movement.py.
MOVEMENT_FORMATS = {"correlation": ".2f", "speech": ".2f", "variance": ".2f", "lmd": ".2f",
                    "psnr": ".2f", "inner": ".2f", "auc": ".3f"}  # fmt: skip
CURVES = {"inside": "error between open lips, of 255", "detail": "detail there / real",
          "phi": "φ around the mouth / copied"}  # fmt: skip


def read(folder: str = "talk") -> list[dict[str, Any]]:
    """The deposited cells, those of the model as it is first."""
    found = [json.loads(path.read_text()) for path in sorted(deposits(folder).glob("*_*.json"))]
    return sorted(found, key=lambda cell: (cell["row"] != OURS, cell["row"], cell["seed"]))


def values(cell: Mapping[str, Any], column: str, group: str = "val") -> dict[str, float]:
    """By speaker of a group of splits; those that have a value."""
    splits = [cell["splits"].get(name, {}) for name in GROUPS[group]]
    return {speaker: told[column] for speakers in splits
            for speaker, told in speakers.items() if told.get(column) is not None}  # fmt: skip


def table(
    found: list[dict[str, Any]], group: str = "val", formats: Mapping[str, str] = FORMATS
) -> pd.DataFrame:
    """A line a change: means over speakers, then over seeds; in brackets the difference to the
    model as it is, seed by seed, with its 95 % interval (Student's t).

    Cells that were not measured on the group have no line, columns that a cell lacks no value.
    """
    lines: dict[str, dict[str, str]] = {}
    rows = _by_row([cell for cell in found if any(values(cell, name, group) for name in formats)])
    for row, cells in rows.items():
        line = {"seeds": str(len(cells))}
        for column, form in formats.items():
            own = _of_seeds(cells, column, group)
            line[column] = f"{np.mean(list(own.values())):{form}}" if own else "–"
            apart = ablation.difference(own, _of_seeds(rows.get(OURS, []), column, group))
            if row != OURS and apart is not None:
                told = ablation.with_interval(apart.mean, apart.interval, f"+{form}")
                line[column] += f" ({told})"
        lines[cells[0]["words"]] = line
    return pd.DataFrame.from_dict(lines, orient="index")


def speakers(found: list[dict[str, Any]], column: str) -> pd.DataFrame:
    """A line a change, a column a speaker: every seed's value."""
    lines: dict[str, dict[str, str]] = {}
    for cells in _by_row(found).values():
        told = [values(cell, column) for cell in cells]
        lines[cells[0]["words"]] = {
            speaker: ", ".join(
                f"{one[speaker]:{FORMATS[column]}}" if speaker in one else "–" for one in told
            )
            for speaker in dict.fromkeys(name for one in told for name in one)
        }
    return pd.DataFrame.from_dict(lines, orient="index")


@rc_context(STYLE)
def portraits(found: list[dict[str, Any]]) -> Figure:
    """What so many portraits bring to faces seen in training, unseen ones and another corpus: a
    panel a column, a line a group, a dot a seed.
    """
    cells = [cell for cell in found if cell["row"] == OURS or cell.get("portraits")]
    fig = figure(7.4, 2.4)
    for axes, (column, title) in zip(fig.subplots(1, len(CURVES)), CURVES.items(), strict=True):
        for k, group in enumerate(name for name in GROUPS if name != "val"):
            dots = [(cell.get("portraits", 0), value) for cell in cells
                    for value in _of_seeds([cell], column, group).values()]  # fmt: skip
            means = pd.DataFrame(dots, columns=["at", "value"]).groupby("at")["value"].mean()
            axes.plot(*np.array(dots).reshape(-1, 2).T, MARKERS[k], color=PALETTE[k], markersize=2)
            axes.plot(means.index, means.to_numpy(), color=PALETTE[k], label=group)
        axes.set_title(title, fontsize=7)
        axes.set_xlabel("portraits", fontsize=7)
    fig.axes[0].legend(frameon=False, fontsize=7)
    return fig


def made_by(found: list[dict[str, Any]]) -> dict[str, Any]:
    """Where cells of the picture's side come from."""
    return {
        "profile": "talk", "corpus": "grid", "split": "val_seen, val_unseen; elsewhere",
        "seeds": sorted({cell["seed"] for cell in found}),
        "steps": max((cell["steps"] for cell in found), default=0),
        "machine": sorted({cell["machine"] for cell in found}),
        "commit": sorted({cell["commit"] for cell in found}),
    }  # fmt: skip


def _by_row(found: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    rows = dict.fromkeys(cell["row"] for cell in found)
    return {row: [cell for cell in found if cell["row"] == row] for row in rows}


def _of_seeds(cells: list[dict[str, Any]], column: str, group: str) -> dict[int, float]:
    """Mean over speakers, by seed."""
    known = {cell["seed"]: list(values(cell, column, group).values()) for cell in cells}
    return {seed: float(np.mean(told)) for seed, told in known.items() if told}
