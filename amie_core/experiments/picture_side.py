"""What each part of the picture's side brings to the model that ships, as tables.

`tests/benchmarks/bench_picture.py` trains G under single changes and deposits what it measures.
"""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from amie_core.experiments import ablation
from amie_core.experiments.cells import deposits

OURS = "ours"
FORMATS = {"psnr": ".2f", "ssim": ".4f", "inside": ".1f", "detail": ".2f", "phi": ".3f"}


def read() -> list[dict[str, Any]]:
    """The deposited cells, those of the model that ships first."""
    found = [json.loads(path.read_text()) for path in sorted(deposits("talk").glob("*_*.json"))]
    return sorted(found, key=lambda cell: (cell["row"] != OURS, cell["row"], cell["seed"]))


def values(cell: Mapping[str, Any], column: str) -> dict[str, float]:
    """By speaker."""
    return {speaker: told[column] for speakers in cell["splits"].values()
            for speaker, told in speakers.items() if told[column] is not None}  # fmt: skip


def table(found: list[dict[str, Any]]) -> pd.DataFrame:
    """A line a change: means over speakers, then over seeds; in brackets the difference to the
    model that ships, seed by seed, with its 95 % interval (Student's t).
    """
    lines: dict[str, dict[str, str]] = {}
    rows = _by_row(found)
    for row, cells in rows.items():
        line = {"seeds": str(len(cells))}
        for column, form in FORMATS.items():
            own = _of_seeds(cells, column)
            line[column] = f"{np.mean(list(own.values())):{form}}"
            apart = ablation.difference(own, _of_seeds(rows.get(OURS, []), column))
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


def _by_row(found: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    rows = dict.fromkeys(cell["row"] for cell in found)
    return {row: [cell for cell in found if cell["row"] == row] for row in rows}


def _of_seeds(cells: list[dict[str, Any]], column: str) -> dict[int, float]:
    """Mean over speakers, by seed."""
    return {cell["seed"]: float(np.mean(list(values(cell, column).values()))) for cell in cells}
