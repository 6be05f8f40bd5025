"""Table 3 from deposited cells: means over seeds, paired differences, the paper's five claims.

Runs of the same seed start from the same weights and see the same batches, so rows are compared
seed by seed: Student's t over the paired differences. A seed's value is its mean over the clips.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

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


@dataclass(frozen=True)
class Statement:
    """One of the five claims of sec. 4.4: its words, and (row, against, expected) to test."""

    number: int
    words: str
    comparisons: tuple[tuple[str, str, Literal["better", "worse", "no better"]], ...]


STATEMENTS = (
    Statement(1, "MI alone, as MINE has it, does not significantly improve the baseline",
              (("a", "baseline", "no better"),)),
    Statement(2, "dynamic attention matters", (("b", "baseline", "better"),)),
    Statement(3, "either asymmetric training or the JS estimator improves MINE",
              (("e", "c", "better"), ("f", "c", "better"))),
    Statement(4, "both together (AMIE) improve MINE further", (("g", "a", "better"),)),
    Statement(5, "AMIE improves on attention alone, where plain MINE makes it worse",
              (("ours", "b", "better"), ("c", "b", "worse"))),
)  # fmt: skip
RULE = (
    "A row is better (worse) than another when at least one of PSNR, SSIM, LMD is significantly "
    "better (worse) and none significantly worse (better): paired t over seeds at the same seed, "
    "p < 0.05 after Holm's correction over the three. `No better` holds when no metric is better "
    "and the interval of the PSNR difference ends under 0.31 dB, the paper's own gain by dynamic "
    "attention. A claim holds when all its comparisons come out as it says, does not hold when "
    "one comes out the other way, and is undecided at this scale otherwise."
)
NOTABLE_GAIN = 0.31  # dB, (b) − baseline in the paper's Table 3


def compare(cells: Sequence[Deposit], row: str, against: str, split: str) -> dict[str, Any]:
    """How a row stands to another on the paper's three metrics (RULE).

    Returns outcome ("better", "worse", "mixed" or "undecided") and the differences by metric.
    """
    found: dict[str, Difference] = {}
    for metric in PRINTED:
        by_row = values(cells, metric, split)
        delta = difference(by_row.get(row, {}), by_row.get(against, {}))
        if delta is not None:
            found[metric] = delta
    signs = set()
    known = sorted((d.p, m) for m, d in found.items() if d.p is not None)
    for k, (p, metric) in enumerate(known):
        if p * (len(known) - k) >= 1 - LEVEL:
            break  # Holm: the first that fails ends it
        signs.add(np.sign(found[metric].mean) * METRICS[metric][1])
    outcome = {frozenset({1.0}): "better", frozenset({-1.0}): "worse", frozenset(): "undecided"}
    return {"outcome": outcome.get(frozenset(signs), "mixed"), "differences": found}


def verdict(statement: Statement, cells: Sequence[Deposit], split: str | None = None) -> str:
    """ "holds", "does not hold" or "undecided at this scale" (RULE)."""
    split = split or first_split(cells)
    outcomes = []
    for row, against, expected in statement.comparisons:
        result = compare(cells, row, against, split)
        outcomes.append(_agrees(expected, result["outcome"], result["differences"]))
    if False in outcomes:
        return "does not hold"
    return "holds" if outcomes and all(outcomes) else "undecided at this scale"


def _agrees(expected: str, outcome: str, found: Mapping[str, Difference]) -> bool | None:
    """Whether a comparison came out as expected; None where it cannot be told."""
    if expected == "no better":
        gain = found["psnr_rgb"].interval if "psnr_rgb" in found else None
        if outcome in ("better", "mixed"):
            return False
        return True if outcome == "worse" or (gain and gain[1] < NOTABLE_GAIN) else None
    opposite = {"better": "worse", "worse": "better"}[expected]
    return True if outcome == expected else False if outcome == opposite else None


def statements(cells: Sequence[Deposit], split: str | None = None) -> "pd.DataFrame":
    """The five claims, each with its verdict and the differences it rests on, in words."""
    import pandas as pd

    split = split or first_split(cells)
    lines = []
    for statement in STATEMENTS:
        evidence = []
        for row, against, expected in statement.comparisons:
            result = compare(cells, row, against, split)
            deltas = [f"{METRICS[m][0].split(',')[0].rstrip(' ↑↓')} "
                      + with_interval(d.mean, d.interval, "+.3f", ", one seed")
                      for m, d in result["differences"].items()]  # fmt: skip
            evidence.append(f"{row} against {against}, said to be {expected}: "
                            f"{result['outcome']} ({'; '.join(deltas) or 'not run'})")  # fmt: skip
        lines.append({"claim": statement.number, "the paper says": statement.words,
                      "here": verdict(statement, cells, split),
                      "evidence": " · ".join(evidence)})  # fmt: skip
    return pd.DataFrame(lines)
