"""Distributions whose mutual information is known in closed form (or by one integral), in nats.

For each a function that draws n pairs, and one (ending in `_nats`) for the truth, where the
docstring does not give it. Those of the benchmark of Czyż et al. 2023 ("Beyond Normal") are
re-implemented from its descriptions, with thin, wavy and discrete ones of our own beside them. A
homeomorphism of each margin leaves MI unchanged, which is where the truth of the bent ones comes
from. `tasks` gives them parameters and names.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.linalg import expm
from scipy.special import digamma, gammaln, ndtr

Pairs = tuple[np.ndarray, np.ndarray]  # x (n, dx) and y (n, dy), row by row


@dataclass(frozen=True)
class Task:
    """A distribution of pairs: `draw(n, rng) -> x (n, dx), y (n, dy)`, and its MI in nats."""

    name: str
    nats: float
    draw: Callable[[int, np.random.Generator], Pairs]


def gaussian_nats(rho: float) -> float:
    """MI of two Gaussians with correlation rho: -½ ln(1 - rho²)."""
    return -0.5 * float(np.log1p(-(rho**2)))


def gaussian_log_ratio(
    x: Float[np.ndarray, "..."], y: Float[np.ndarray, "..."], rho: float
) -> Float[np.ndarray, "..."]:
    """The exact critic T* of two standard Gaussians with correlation rho."""
    quadratic = rho**2 * (x**2 + y**2) - 2 * rho * x * y
    return gaussian_nats(rho) - quadratic / (2 * (1 - rho**2))


def correlated(covariance: np.ndarray, dx: int, n: int, rng: np.random.Generator) -> Pairs:
    """Gaussian vectors, the first dx columns as x."""
    values = rng.standard_normal((n, len(covariance))) @ np.linalg.cholesky(covariance).T
    return values[:, :dx], values[:, dx:]


def covariance_nats(covariance: np.ndarray, dx: int) -> float:
    """MI of a Gaussian between its first dx columns and the rest."""
    log_det = [np.linalg.slogdet(c)[1] for c in
               (covariance[:dx, :dx], covariance[dx:, dx:], covariance)]  # fmt: skip
    return float(log_det[0] + log_det[1] - log_det[2]) / 2


def dense(d: int, rho: float = 0.5) -> np.ndarray:
    """Every two of 2d variables correlate by rho."""
    return (1 - rho) * np.eye(2 * d) + rho


def sparse(d: int, pairs: int = 2, rho: float = 0.8) -> np.ndarray:
    """x_i and y_i correlate by rho for the first `pairs` i; all else is independent."""
    covariance = np.eye(2 * d)
    for i in range(pairs):
        covariance[i, d + i] = covariance[d + i, i] = rho
    return covariance


def student_nats(dx: int, dy: int, dof: int | float, covariance: np.ndarray | None = None) -> float:
    """MI of a multivariate Student: the Gaussian's, plus what the common radius tells."""

    def f(v: int | float) -> float:
        return float(gammaln(v / 2) - v / 2 * digamma(v / 2))

    tails = f(dof) + f(dof + dx + dy) - f(dof + dx) - f(dof + dy)
    return tails + (0.0 if covariance is None else covariance_nats(covariance, dx))


def student(dx: int, dy: int, dof: int | float, n: int, rng: np.random.Generator) -> Pairs:
    """Uncorrelated Student vectors with one common radius."""
    radius = np.sqrt(rng.chisquare(dof, (n, 1)) / dof)
    values = rng.standard_normal((n, dx + dy)) / radius
    return values[:, :dx], values[:, dx:]


def bent(draw: Callable, fx: Callable, fy: Callable, n: int, rng: np.random.Generator) -> Pairs:
    """x and y of another distribution, each through a homeomorphism."""
    x, y = draw(n, rng)
    return fx(x), fy(y)


def half_cube(v: np.ndarray) -> np.ndarray:
    """v √|v|: longer tails."""
    return v * np.sqrt(np.abs(v))


def wiggle_x(v: np.ndarray) -> np.ndarray:
    """A strictly increasing wave."""
    return v + 0.4 * np.sin(v) + 0.2 * np.sin(1.7 * v + 1) + 0.03 * np.sin(3.3 * v - 2.5)


def wiggle_y(v: np.ndarray) -> np.ndarray:
    """Another one."""
    return v - 0.4 * np.sin(0.4 * v) + 0.17 * np.sin(1.3 * v + 3.5) + 0.02 * np.sin(4.3 * v - 2.5)


def two_humps(v: np.ndarray) -> np.ndarray:
    """Standard normal to a mixture of N(-1.5, .5²) and N(1.5, .5²): increasing."""
    grid = np.linspace(-5, 5, 4001)
    cdf = 0.5 * (ndtr((grid + 1.5) / 0.5) + ndtr((grid - 1.5) / 0.5))
    return np.interp(ndtr(v), cdf, grid)


def swiss_roll(v: np.ndarray) -> np.ndarray:
    """Uniforms on [0, 1] (normal scores given) rolled up in the plane."""
    t = 1.5 * np.pi * (1 + 2 * ndtr(v))
    return np.hstack([t * np.cos(t), t * np.sin(t)]) / 21


def spiral(v: np.ndarray, speed: float = 1 / 3) -> np.ndarray:
    """Rotation of 3-D points about two axes by an angle that grows with the squared radius."""
    skew = np.zeros((3, 3))
    skew[0, 1], skew[1, 0], skew[1, 2], skew[2, 1] = 1, -1, 1, -1
    radius = speed * (v**2).sum(1)
    values, vectors = np.linalg.eig(skew)  # expm of many multiples of one matrix
    turn = np.einsum("ij,nj,jk->nik", vectors, np.exp(np.outer(radius, values)),
                     np.linalg.inv(vectors)).real  # fmt: skip
    assert np.allclose(turn[0], expm(skew * radius[0]))
    return np.einsum("nik,nk->ni", turn, v)


def band_nats(half_width: float) -> float:
    """MI of U(0, 1) and itself plus U(-w, w): ln 1/2w + w for w <= ½."""
    return float(-np.log(2 * half_width) + half_width)


def band(half_width: float, n: int, rng: np.random.Generator, dims: int = 1) -> Pairs:
    """x uniform on (0, 1), y = x plus uniform noise: a stripe with sharp edges, in each column."""
    x = rng.random((n, dims))
    return x, x + rng.uniform(-half_width, half_width, (n, dims))


def saw(teeth: int, half_width: float, n: int, rng: np.random.Generator) -> Pairs:
    """y = teeth · x plus uniform noise, modulo 1. MI = ln 1/2w exactly."""
    x = rng.random((n, 1))
    return x, (teeth * x + rng.uniform(-half_width, half_width, (n, 1))) % 1


def wave(turns: int | float, noise: float, n: int, rng: np.random.Generator) -> Pairs:
    """y = sin(2π turns x) plus Gaussian noise, x uniform."""
    x = rng.random((n, 1))
    return x, np.sin(2 * np.pi * turns * x) + noise * rng.standard_normal((n, 1))


def blurred_nats(centres: Float[np.ndarray, " m"], noise: float) -> float:
    """h(y) - h(noise) by quadrature, for y = a function of x, equally often each of `centres`,
    plus Gaussian noise."""
    grid = np.linspace(centres.min() - 8 * noise, centres.max() + 8 * noise, 4001)
    density = np.exp(-(((grid[:, None] - centres) / noise) ** 2) / 2).mean(1)
    density /= noise * np.sqrt(2 * np.pi)
    entropy = -np.trapezoid(density * np.log(np.maximum(density, 1e-300)), grid)
    return float(entropy - 0.5 * np.log(2 * np.pi * np.e * noise**2))


def wave_nats(noise: float) -> float:
    """MI of `wave`, the same for any whole number of turns."""
    return blurred_nats(np.sin(2 * np.pi * (np.arange(20_000) + 0.5) / 20_000), noise)


def bowl(noise: float, n: int, rng: np.random.Generator) -> Pairs:
    """y = x² plus Gaussian noise, x uniform on [-1, 1]: correlated in nothing."""
    x = rng.uniform(-1, 1, (n, 1))
    return x, x**2 + noise * rng.standard_normal((n, 1))


def bowl_nats(noise: float) -> float:
    """MI of `bowl`."""
    return blurred_nats(((np.arange(20_000) + 0.5) / 20_000) ** 2, noise)


def digits(levels: int, noise: float, n: int, rng: np.random.Generator) -> Pairs:
    """x a digit, y the digit plus Gaussian noise."""
    x = rng.integers(0, levels, (n, 1)).astype(float)
    return x, x + noise * rng.standard_normal((n, 1))


def digits_nats(levels: int, noise: float) -> float:
    """MI of `digits`."""
    return blurred_nats(np.arange(levels, dtype=float), noise)


def checks(squares: int, n: int, rng: np.random.Generator) -> Pairs:
    """Uniform on the black squares of a board of squares × squares (even). MI = ln 2."""
    x = rng.random((n, 1))
    black = 2 * rng.integers(0, squares // 2, (n, 1)) + np.floor(x * squares) % 2
    return x, (black + rng.random((n, 1))) / squares


def ring(noise: float, n: int, rng: np.random.Generator) -> Pairs:
    """y an angle (turns), x the point of a unit circle at y plus wrapped uniform noise."""
    y = rng.random((n, 1))
    angle = 2 * np.pi * (y + rng.uniform(-noise, noise, (n, 1)))
    return np.hstack([np.cos(angle), np.sin(angle)]), y


def steps(levels: int, n: int, rng: np.random.Generator) -> Pairs:
    """x a digit, y uniform on [x, x + 2] (Gao et al. 2017). MI = ln m - (m - 1) ln 2 / m."""
    x = rng.integers(0, levels, (n, 1)).astype(float)
    return x, x + 2 * rng.random((n, 1))


def mixture(rho: float, share: float, n: int, rng: np.random.Generator) -> Pairs:
    """With chance `share` both x and y are their common sign ±1, else correlated Gaussians."""
    x, y = correlated(np.array([[1, rho], [rho, 1]]), 1, n, rng)
    sign = rng.choice([-1.0, 1.0], (n, 1))
    atom = rng.random((n, 1)) < share
    return np.where(atom, sign, x), np.where(atom, sign, y)


def mixture_nats(rho: float, share: float) -> float:
    """Which part is visible in either variable, so I = H(share) + share ln 2 + (1 - share) I_g."""
    entropy = -share * np.log(share) - (1 - share) * np.log1p(-share)
    return float(entropy + share * np.log(2) + (1 - share) * gaussian_nats(rho))
