"""At which frequencies a joint distribution departs from the product of its margins.

A thin or wavy structure is a pair of frequencies (w, v) at which the characteristic function of
the pairs, E[e^i(w·x + v·y)], is not the product of those of x and y (zero for all w, v if and only
if x and y are independent). Sharp critics start from the frequencies found here; random ones would
have to travel there, past many worse optima.
"""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

CANDIDATES = 256  # frequencies tried for x, as many for y: every pair of them, and both signs
LOWEST, HIGHEST = 0.3, 60.0  # radians a standard deviation


class Waves(NamedTuple):
    """Frequencies found, strongest most likely to be among them; k may be less than asked for."""

    x: Float[np.ndarray, "fx kx"]  # of x alone, whatever they go with in y
    y: Float[np.ndarray, "fy ky"]
    pair_x: Float[np.ndarray, "fx k"]  # sin(pair_x·x + pair_y·y): ridges of the pair
    pair_y: Float[np.ndarray, "fy k"]


def _candidates(size: int, rng: np.random.Generator) -> Float[np.ndarray, "size c"]:
    """Log-uniform frequencies, half along single columns, half along any direction."""
    directions = rng.standard_normal((size, CANDIDATES))
    half = CANDIDATES // 2
    directions[:, :half] = np.eye(size)[:, rng.integers(size, size=half)]
    directions /= np.linalg.norm(directions, axis=0)
    return directions * np.exp(rng.uniform(math.log(LOWEST), math.log(HIGHEST), CANDIDATES))


def _drawn(power: Float[np.ndarray, " p"], count: int, rng: np.random.Generator
           ) -> Int[np.ndarray, " k"]:  # fmt: skip
    """Up to `count` different indices, in proportion to their power."""
    some = min(count, np.count_nonzero(power))
    return rng.choice(len(power), some, replace=False, p=power / power.sum()) if some else (
        np.zeros(0, int))


def waves(
    x: Float[np.ndarray, "n fx"], y: Float[np.ndarray, "n fy"], count: int,
    rng: np.random.Generator,
) -> Waves:  # fmt: skip
    """Up to `count` frequencies of each kind, drawn in proportion to what they stand out by.

    Columns must be of about unit scale. n |difference|² of independent x and y is about
    exponential with mean 1, so of m candidates the largest reaches ln m by chance: only what
    stands above that counts. Independent samples give (nearly) none.
    """
    n = len(x)
    w, v = _candidates(x.shape[1], rng), _candidates(y.shape[1], rng)
    of_x = np.exp(1j * (x @ w)).astype(np.complex64)
    of_y = np.exp(1j * (y @ v)).astype(np.complex64)
    power = np.stack([
        n * np.abs(of_x.T @ other / n - np.outer(of_x.mean(0), other.mean(0))) ** 2
        for other in (of_y, of_y.conj())
    ]).astype(float)  # fmt: skip
    power = np.maximum(power - math.log(power.size), 0)
    sign, i, j = np.unravel_index(_drawn(power.ravel(), count, rng), power.shape)
    along_x, along_y = power.sum((0, 2)), power.sum((0, 1))
    return Waves(w[:, _drawn(along_x, count, rng)], v[:, _drawn(along_y, count, rng)],
                 w[:, i], v[:, j] * np.where(sign == 0, 1, -1))  # fmt: skip
