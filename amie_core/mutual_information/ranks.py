"""Columns seen on another scale. Maps of one column, each a bijection: its MI stays unchanged."""

import numpy as np
from jaxtyping import Float
from scipy.special import betaincinv, ndtri

# How far equal values are spread, as a share of the room of their level. Little: a level stays as
# far from its neighbours as it was, so that discrete values are seen as such.
SPREAD = 0.01


def unit_scale(values: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
    """Columns over a power of two, their largest entry within ±1: their squares are finite.

    Exact, but that entries 1e-308 times the largest lose digits.
    """
    return np.ldexp(values, -np.frexp(np.abs(values).max(0))[1])


def standardised(values: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
    """Columns, none of them constant, with mean 0 and variance 1."""
    values = unit_scale(values)
    return (values - values.mean(0)) / values.std(0)


def _middles(counts: np.ndarray) -> np.ndarray:
    return np.cumsum(counts) - counts / 2


def normal_scores(
    column: Float[np.ndarray, " n"],
) -> tuple[Float[np.ndarray, " levels"], Float[np.ndarray, " levels"]]:
    """The values that occur, in order, and the score of each: ranks made Gaussian.

    Equal values share their middle rank.
    """
    levels, counts = np.unique(column, return_counts=True)
    return levels, ndtri(_middles(counts) / len(column))


def ball_scores(
    values: Float[np.ndarray, "n d"], draws: Float[np.ndarray, "n m"]
) -> Float[np.ndarray, "n d"]:
    """Ranks as quantiles of Beta(2d, 2d), less ½; ties are spread by the first d columns of `draws`
    (uniform in ±½), untied values are not moved.

    It is the margin of a uniform ball in 4d - 1 dimensions: less spread out than normal scores,
    whose thin tails cost nearest neighbours their resolution, without the sharp edges of plain
    ranks, and closer together the more columns have to share a box.
    """
    n, d = values.shape
    places = np.empty((n, d))
    for j in range(d):
        _, level, counts = np.unique(values[:, j], return_inverse=True, return_counts=True)
        room = np.where(counts > 1, counts, 0)
        places[:, j] = _middles(counts)[level] + SPREAD * draws[:, j] * room[level]
    # From the nearer end: columns upside down get the same scores upside down, to the last digit.
    depth = 0.5 - betaincinv(2 * d, 2 * d, np.minimum(places, n - places) / n)
    return np.where(places < n / 2, -depth, depth)


def standard_scores(
    values: Float[np.ndarray, "n d"], draws: Float[np.ndarray, "n m"]
) -> Float[np.ndarray, "n d"]:
    """Standardised columns; ties are spread as in `ball_scores`, the gap to the nearest other value
    being their room."""
    scores = standardised(values)
    for j in range(values.shape[1]):
        levels, level, counts = np.unique(scores[:, j], return_inverse=True, return_counts=True)
        gaps = np.concatenate([[np.inf], np.diff(levels), [np.inf]])
        room = np.where(counts > 1, np.minimum(gaps[1:], gaps[:-1]), 0)
        scores[:, j] += SPREAD * draws[:, j] * room[level]
    return scores


def tied(values: Float[np.ndarray, "n d"]) -> bool:
    """Whether a value occurs twice in a column."""
    return any(len(np.unique(column)) < len(column) for column in values.T)
