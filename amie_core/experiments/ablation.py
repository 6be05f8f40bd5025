"""Table 3 from deposited cells: means over seeds, paired differences.

Runs of the same seed start from the same weights and see the same batches, so rows are compared
seed by seed: Student's t over the paired differences. A seed's value is its mean over the clips.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from amie_core.config import ABLATION
from amie_core.paper import TABLE_3

if TYPE_CHECKING:
    import pandas as pd

Deposit = Mapping[str, Any]
LEVEL = 0.95
# What a table shows: name in a deposit, heading, +1 where more is better, −1 where less is,
# 0 where the real value 1 is best.
METRICS: dict[str, tuple[str, int]] = {
    "psnr_rgb": ("PSNR, dB ↑", 1),
    "ssim_gaussian_rgb": ("SSIM ↑", 1),
    "lmd_mouth_mean_256": ("LMD, px at 256 ↓", -1),
    "lip_correlation": ("lip correlation ↑", 1),
    "lip_correlation_speech": ("lip correlation on speech ↑", 1),
    "lip_variance_ratio": ("variance ratio, real = 1", 0),
    "sync_auc": ("sync-judge AUC ↑", 1),
}
PRINTED = {"psnr_rgb": "psnr", "ssim_gaussian_rgb": "ssim", "lmd_mouth_mean_256": "lmd"}
# The row that the paper's text (sec. 4.4), or the row's own name, compares each row with.
AGAINST = {
    "a": "baseline", "b": "baseline", "c": "b", "d": "a", "e": "c", "f": "c", "g": "a",
    "ours": "b", "dv_real_off": "a",
}  # fmt: skip
LABELS = {score.row: score.method for score in TABLE_3} | {
    "dv_real_off": "(our cell) + MINE + Asy."  # completes the 2×2×2, not in the paper
}


@dataclass(frozen=True)
class Difference:
    """A paired difference over seeds: its mean, 95 % interval (None for one seed), p of t."""

    mean: float
    interval: tuple[float, float] | None
    p: float | None
    seeds: int


def value(deposit: Deposit, metric: str, split: str) -> float | None:
    """A cell's mean over the clips that have a value."""
    return known_mean(deposit["splits"].get(split, {}).get("clips", []), metric)


def known_mean(clips: Iterable[Mapping[str, Any]], metric: str) -> float | None:
    """Mean of a metric over the clips that have a value; None where none has."""
    found = [clip[metric] for clip in clips if clip.get(metric) is not None]
    return float(np.mean(found)) if found else None


def values(cells: Iterable[Deposit], metric: str, split: str) -> dict[str, dict[int, float]]:
    """Values by row and seed; a cell without one is left out."""
    table: dict[str, dict[int, float]] = {}
    for cell in cells:
        found = value(cell, metric, split)
        if found is not None:
            table.setdefault(cell["name"], {})[cell["seed"]] = found
    return table


def mean_interval(of: Sequence[float]) -> tuple[float, tuple[float, float] | None]:
    """Mean, and its 95 % interval by Student's t over seeds (None for a single seed)."""
    from scipy import stats

    mean, n = float(np.mean(of)), len(of)
    if n < 2:
        return mean, None
    half = float(stats.t.ppf((1 + LEVEL) / 2, n - 1) * np.std(of, ddof=1) / np.sqrt(n))
    return mean, (mean - half, mean + half)


def with_interval(
    mean: float, interval: tuple[float, float] | None, form: str, alone: str = ""
) -> str:
    """`29.88 [29.79, 29.97]`, in the format `form`; `alone` follows a mean without interval."""
    if interval is None:
        return f"{mean:{form}}{alone}"
    return f"{mean:{form}} [{interval[0]:{form}}, {interval[1]:{form}}]"


def difference(row: Mapping[int, float], against: Mapping[int, float]) -> Difference | None:
    """Row minus the other row, seed by seed (None without a common seed)."""
    from scipy import stats

    common = sorted(row.keys() & against.keys())
    if not common:
        return None
    deltas = [row[s] - against[s] for s in common]
    mean, interval = mean_interval(deltas)
    p = None
    if len(deltas) > 1:
        p = float(stats.ttest_1samp(deltas, 0.0).pvalue) if np.ptp(deltas) > 0 else float(not mean)
    return Difference(mean, interval, p, len(deltas))


def first_split(cells: Sequence[Deposit]) -> str:
    """The split that tables show first: known faces on GRID, LRW's own test split."""
    return next(iter(cells[0]["splits"]), "test_seen") if cells else "test_seen"


def table(cells: Sequence[Deposit], split: str | None = None) -> "pd.DataFrame":
    """Table 3, a line a row and metric.

    Columns: row, label, metric, seeds, mean, low, high, against, difference, difference_low,
    difference_high, p, paper, paper_difference (None where something is not to be had).
    """
    import pandas as pd

    split = split or first_split(cells)
    printed = {score.row: score for score in TABLE_3}
    lines = []
    for metric in METRICS:
        by_row = values(cells, metric, split)
        for row in [name for name in ABLATION if name in by_row]:
            mean, interval = mean_interval(list(by_row[row].values()))
            other = AGAINST.get(row)
            delta = difference(by_row[row], by_row[other]) if other in by_row else None
            name = PRINTED.get(metric)
            of_paper = getattr(printed[row], name) if name and row in printed else None
            theirs = None
            if name and other and of_paper is not None:
                theirs = getattr(printed[other], name)
            lines.append({
                "row": row, "label": LABELS[row], "metric": metric, "seeds": len(by_row[row]),
                "mean": mean, **_ends("", interval), "against": other,
                "difference": delta and delta.mean,
                **_ends("difference_", delta.interval if delta else None),
                "p": delta and delta.p, "paper": of_paper,
                "paper_difference": None if theirs is None else round(of_paper - theirs, 4),
            })  # fmt: skip
    return pd.DataFrame(lines)


def _ends(prefix: str, interval: tuple[float, float] | None) -> dict[str, float | None]:
    low, high = interval or (None, None)
    return {f"{prefix}low": low, f"{prefix}high": high}
