"""Classical estimators of mutual information: the ones the paper sets itself against (sec. 2.2).

All take x (n, dx) and y (n, dy) and return nats. None of them is a bound.
"""

import numpy as np
from jaxtyping import Float
from scipy.spatial import cKDTree
from scipy.special import digamma

from amie_core.errors import UserError
from amie_core.mutual_information.checks import columns
from amie_core.mutual_information.ranks import normal_scores

RIDGE = 1e-9  # of the variance: keeps exactly collinear columns from failing


def _standardised(values: np.ndarray) -> np.ndarray:
    spread = values.std(0)
    return (values - values.mean(0)) / np.where(spread > 0, spread, 1.0)


def _atoms_apart(values: np.ndarray, k: int) -> np.ndarray:
    """Columns with a value that more than k rows share, as normal scores of their middle ranks.

    I does not change. Ranks leave a gap beside an atom as wide as its mass, so that it is not a
    neighbour of all continuous values near it.
    """
    columns = []
    for column in values.T:
        levels, scores, largest = normal_scores(column)
        columns.append(np.interp(column, levels, scores) if largest > k else column)
    return np.stack(columns, 1)


def _neighbours(values: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """How many other points lie within `radius` (included, maximum norm) of each point."""
    if values.shape[1] == 1:
        line = values[:, 0]
        ordered = np.sort(line)
        right = np.searchsorted(ordered, line + radius, side="right")
        return right - np.searchsorted(ordered, line - radius, side="left") - 1
    tree = cKDTree(values)
    return tree.query_ball_point(values, radius, p=np.inf, return_length=True) - 1


def ksg(x: np.ndarray, y: np.ndarray, k: int = 5) -> float:
    """Kraskov, Stögbauer, Grassberger 2004, algorithm 1: ψ(k) + ψ(n) - <ψ(nx + 1) + ψ(ny + 1)>.

    Maximum norm on standardised columns. Points that coincide with k others (discrete values) are
    counted as they stand, after Gao et al. 2017, and a column with such values is seen through its
    ranks, so mixtures of discrete and continuous work. Structure thinner than the box of k
    neighbours is read too low (fewer neighbours: less so, with more scatter).
    x (n, dx), y (n, dy), or (n,) for one column. UserError for input that has no MI (checks.py).
    """
    if k < 1:
        raise UserError(f"k = {k}: choose at least 1 neighbour (Kraskov et al. advise 2 to 6)")
    x, y = columns(x, y, least=k + 2)
    n = len(x)
    x, y = (_standardised(_atoms_apart(values, k)) for values in (x, y))
    joint = np.hstack([x, y])
    tree = cKDTree(joint)
    radius = tree.query(joint, k=[k + 1], p=np.inf)[0][:, 0]
    shared = np.full(n, float(k))
    ties = radius == 0
    if ties.any():
        count = tree.query_ball_point(joint[ties], 0.0, p=np.inf, return_length=True)
        shared[ties] = count - 1
    # Strictly nearer. x + r - x need not be r in floating point: a hair less keeps the k-th out.
    inside = radius * (1 - 1e-12)
    counts = digamma(_neighbours(x, inside) + 1) + digamma(_neighbours(y, inside) + 1)
    return float(np.mean(digamma(shared) - counts) + digamma(n))


def _log_det(covariance: np.ndarray) -> float:
    return float(np.linalg.slogdet(covariance)[1])


def gaussian(x: Float[np.ndarray, "n dx"], y: Float[np.ndarray, "n dy"]) -> float:
    """MI of the Gaussian with the sample's covariance: ½ ln(|Σx| |Σy| / |Σxy|)."""
    joint = _standardised(np.hstack([x, y]))
    covariance = np.cov(joint.T, bias=True) + RIDGE * np.eye(joint.shape[1])
    d = x.shape[1]
    blocks = _log_det(covariance[:d, :d]) + _log_det(covariance[d:, d:])
    return 0.5 * (blocks - _log_det(covariance))


def negentropy(values: Float[np.ndarray, "n d"]) -> float:
    """Edgeworth negentropy to third order (nats): ‖κ‖² / 12 of the whitened sample.

    κ is the full tensor of third cumulants. Van Hulle 2005 prints a weight of 1/6 for the terms of
    three different indices, which changes under rotation; the full tensor does not.
    """
    centred = values - values.mean(0)
    variance, axes = np.linalg.eigh(np.cov(centred.T, bias=True).reshape(values.shape[1], -1))
    white = centred @ axes / np.sqrt(np.maximum(variance, RIDGE * variance.max()))
    third = np.einsum("ni,nj,nk->ijk", white, white, white, optimize=True) / len(white)
    return float((third**2).sum() / 12)


def edgeworth(x: Float[np.ndarray, "n dx"], y: Float[np.ndarray, "n dy"]) -> float:
    """Van Hulle 2005: the Gaussian value corrected by third cumulants.

    H ≈ H(Gaussian) - negentropy in each term of H(x) + H(y) - H(x, y). Good near the Gaussian;
    heavy tails and strong non-linearity are outside its reach.
    """
    excess = negentropy(np.hstack([x, y])) - negentropy(x) - negentropy(y)
    return gaussian(x, y) + excess
