"""Intervals of shares, strengths from choices, agreement between raters. Knows nothing of faces."""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float
from scipy.stats import norm

CONFIDENCE = 0.95
PRIOR = 0.5  # votes that each side of every pair gets beforehand, so that no strength is infinite


def wilson(votes: int, of: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Wilson's score interval of a share (E. B. Wilson, 1927); (0, 1) where nobody answered."""
    if not 0 <= votes <= of:
        raise ValueError(f"{votes} votes of {of}")
    if of == 0:
        return 0.0, 1.0
    z = norm.ppf((1 + confidence) / 2)
    share, weight = votes / of, z**2 / of
    centre = (share + weight / 2) / (1 + weight)
    half = z * math.sqrt(share * (1 - share) / of + weight / (4 * of)) / (1 + weight)
    return max(0.0, centre - half), min(1.0, centre + half)


def strengths(
    members: Bool[np.ndarray, "sets m"],
    wins: Float[np.ndarray, "b sets m"],
    prior: float = PRIOR,
) -> Float[np.ndarray, "b m"]:
    """Log strengths of m methods from choices, mean zero, for b tables of counts at once.

    Bradley and Terry's model for pairs, Luce's choice axiom for more: method i is chosen from a
    set with probability p_i / sum of the set's p. `members`: who is in which set; `wins`: how often
    each member was chosen. Fitted by Hunter's MM iterations (Annals of Statistics 32, 2004).
    `prior`: votes added to each side of every pair; with 0 a method that always or never wins has
    no finite strength.
    """
    m = members.shape[1]
    pairs = np.array([[i, j] for i in range(m) for j in range(i)], int).reshape(-1, 2)
    if prior > 0:
        extra = np.zeros((len(pairs), m), bool)
        extra[np.arange(len(pairs))[:, None], pairs] = True
        members = np.concatenate([members, extra])
        added = np.broadcast_to(prior * extra, (len(wins), *extra.shape))
        wins = np.concatenate([wins, added], axis=1)
    won, met = wins.sum(1), wins.sum(2)  # (b, m), (b, sets)
    p = np.ones_like(won)
    for _ in range(2000):
        share = met / (p @ members.T)
        new = won / np.maximum(share @ members, 1e-300)
        new /= new.mean(1, keepdims=True)
        done = np.abs(new - p).max() < 1e-10
        p = new
        if done:
            break
    logs = np.log(np.maximum(p, 1e-300))
    return logs - logs.mean(1, keepdims=True)


def resample(raters: int, draws: int, seed: int) -> Float[np.ndarray, "draws raters"]:
    """How often each rater is in each bootstrap sample of raters."""
    rng = np.random.default_rng(seed)
    equal = np.full(raters, 1 / raters)
    return rng.multinomial(raters, equal, size=draws).astype(float)


def interval(
    values: Float[np.ndarray, "draws _"], confidence: float = CONFIDENCE
) -> list[tuple[float, float]]:
    """Percentile intervals, one a column; a draw that is not a number does not count."""
    edges = [50 * (1 - confidence), 50 * (1 + confidence)]
    low, high = np.nanpercentile(values, edges, axis=0)
    return [(float(a), float(b)) for a, b in zip(low, high, strict=True)]


def alpha(units: Sequence[Sequence[str]]) -> float | None:
    """Krippendorff's alpha for named categories; units: the answers that each trial got.

    1 is full agreement, 0 what chance gives. None where fewer than two answers can be compared or
    all answers are the same (nothing can disagree then).
    """
    units = [unit for unit in units if len(unit) > 1]
    names = sorted({answer for unit in units for answer in unit})
    if len(names) < 2:
        return None
    together = np.zeros((len(names), len(names)))
    for unit in units:
        counts = np.array([sum(answer == name for answer in unit) for name in names], float)
        together += (np.outer(counts, counts) - np.diag(counts)) / (len(unit) - 1)
    each = together.sum(1)
    n = each.sum()
    observed = n - np.trace(together)
    expected = (n**2 - (each**2).sum()) / (n - 1)
    return float(1 - observed / expected)
