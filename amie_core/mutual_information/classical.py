"""Classical estimators of mutual information: the ones the paper sets itself against (sec. 2.2).

All take x (n, dx) and y (n, dy), or (n,) for one column, and return nats. None of them is a bound.
What they read and what they refuse, by UserError, stands in `checks.columns`.
"""

import numpy as np
from jaxtyping import Float
from scipy.spatial import cKDTree
from scipy.special import digamma

from amie_core.errors import UserError
from amie_core.mutual_information.checks import Rows, Whole, columns, whole
from amie_core.mutual_information.ranks import ball_scores, standard_scores, standardised, tied

RIDGE = 1e-9  # of the variance: keeps exactly collinear columns from failing
DRAWN = 5000  # rows whose ties are drawn apart: a smaller sample is read several times


def _neighbours(values: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """How many other points lie within `radius` (included, maximum norm) of each point."""
    if values.shape[1] == 1:
        line = values[:, 0]
        ordered = np.sort(line)
        right = np.searchsorted(ordered, line + radius, side="right")
        return right - np.searchsorted(ordered, line - radius, side="left") - 1
    tree = cKDTree(values)
    return tree.query_ball_point(values, radius, p=np.inf, return_length=True) - 1


def _algorithm_1(x: Float[np.ndarray, "n dx"], y: Float[np.ndarray, "n dy"], k: int) -> float:
    """Eq. 8 of Kraskov et al., on the scales that x and y have."""
    joint = np.hstack([x, y])
    radius = cKDTree(joint).query(joint, k=[k + 1], p=np.inf)[0][:, 0]
    # Strictly nearer. x + r - x need not be r in floating point: a hair less keeps the k-th out.
    inside = np.maximum(radius - 4 * np.finfo(float).eps * np.abs(joint).max(), 0)
    counts = digamma(_neighbours(x, inside) + 1) + digamma(_neighbours(y, inside) + 1)
    return float(digamma(k) + digamma(len(x)) - counts.mean())


def ksg(x: Rows, y: Rows, k: Whole = 5, *, ranks: bool = True) -> float:
    """Kraskov, Stögbauer, Grassberger 2004, eq. 8: ψ(k) + ψ(n) - <ψ(nx + 1) + ψ(ny + 1)>, nats.

    Maximum norm. Columns are seen through their ranks: strictly monotone maps of any column change
    nothing, to the last digit, where float64 keeps its values apart (falling ones of tied columns:
    within the scatter). ranks=False takes standardised columns, as is usual: outliers and bent
    scales then count, atoms among continuous values are read too low, but what columns form
    together keeps its shape (a spiral: 0.75 instead of 0.72 of 1.02 nats).

    Equal values (rounded, whole, discrete, atoms) are spread by a little noise, as Kraskov et al.
    advise, from a fixed seed; the order of rows that are equal in a column then matters, by less
    than the scatter. That is, for two Gaussian columns with a correlation of .75, 0.01 at
    n = 10,000 and 0.02 at 1000 (standard deviation). Structure thinner than the box of k neighbours
    is read too low (fewer neighbours: less so, with more scatter), as is what a few of many columns
    tell.

    k: a whole number, at least 1. x, y: see `checks.columns`; tensors are detached.
    """
    k = whole("k", k, least=1)
    x, y = columns(x, y, least=3)
    n = len(x)
    if n < k + 2:
        raise UserError(f"{n} rows are too few for k = {k}: lower k, or give at least {k + 2}")
    view = ball_scores if ranks else standard_scores
    draws = np.random.default_rng(0).uniform(
        -0.5, 0.5, (max(1, DRAWN // n), 2, n, max(x.shape[1], y.shape[1]))
    )
    # With ties, either side gets either noise: so x and y may change places.
    orders = [order for a, b in draws for order in ((a, b), (b, a))]
    used = orders if tied(x) or tied(y) else orders[:1]
    return float(np.mean([_algorithm_1(view(x, a), view(y, b), k) for a, b in used]))


def _for_moments(x: Rows, y: Rows) -> tuple[np.ndarray, np.ndarray]:
    """Checked and standardised: more rows than columns, or covariances are singular."""
    x, y = columns(x, y, least=3)
    least = x.shape[1] + y.shape[1] + 2
    if len(x) < least:
        raise UserError(f"{len(x)} rows are too few for so many columns: give at least {least}")
    return standardised(x), standardised(y)


def _log_det(covariance: np.ndarray) -> float:
    return float(np.linalg.slogdet(covariance)[1])


def _gaussian(x: Float[np.ndarray, "n dx"], y: Float[np.ndarray, "n dy"]) -> float:
    joint = np.hstack([x, y])
    covariance = np.cov(joint.T, bias=True) + RIDGE * np.eye(joint.shape[1])
    d = x.shape[1]
    blocks = _log_det(covariance[:d, :d]) + _log_det(covariance[d:, d:])
    return 0.5 * (blocks - _log_det(covariance))


def gaussian(x: Rows, y: Rows) -> float:
    """MI of the Gaussian with the sample's covariance: ½ ln(|Σx| |Σy| / |Σxy|), nats.

    Of the columns as they stand: outliers and bent scales count.
    """
    return _gaussian(*_for_moments(x, y))


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


def edgeworth(x: Rows, y: Rows) -> float:
    """Van Hulle 2005: the Gaussian value corrected by third cumulants, nats.

    H ≈ H(Gaussian) - negentropy in each term of H(x) + H(y) - H(x, y). Good near the Gaussian;
    heavy tails and strong non-linearity are outside its reach.
    """
    x, y = _for_moments(x, y)
    excess = negentropy(np.hstack([x, y])) - negentropy(x) - negentropy(y)
    return _gaussian(x, y) + excess
