"""At which frequencies a joint distribution departs from the product of its margins.

A thin or wavy structure is a pair of frequencies (w, v) at which the characteristic function of
the pairs, E[e^i(w·x + v·y)], is not the product of those of x and y (zero for all w, v if and only
if x and y are independent). Sharp critics start from the frequencies found here; random ones would
have to travel there, past many worse optima.
"""

import math
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Complex, Float, Int
from scipy.optimize import minimize
from torch import Tensor

CANDIDATES = 256  # frequencies tried for x, as many for y: every pair of them, and both signs
LOWEST, HIGHEST = 0.3, 60.0  # radians a standard deviation
PEAKS = 8  # waves sought out one by one; the others are drawn
ROWS = 20_000  # of a larger sample, as many at random: memory would grow with them
STEPS = 12  # of L-BFGS, from the best candidate to the top of its peak


class Waves(NamedTuple):
    """Frequencies found; k may be less than asked for."""

    x: Float[np.ndarray, "fx kx"]  # of x alone, whatever they go with in y
    y: Float[np.ndarray, "fy ky"]
    pair_x: Float[np.ndarray, "fx k"]  # sin(pair_x·x + pair_y·y + phase): ridges of the pair
    pair_y: Float[np.ndarray, "fy k"]
    phase: Float[np.ndarray, " k"]


def _turns(values: Float[Tensor, "n f"], frequency: Float[Tensor, "f c"]) -> Complex[Tensor, "n c"]:
    """e^(i w·x)."""
    angle = values @ frequency
    return torch.complex(angle.cos(), angle.sin())  # several times as fast as a complex exp


def _products(
    of_x: Complex[Tensor, "n c"], of_y: Complex[Tensor, "n d"]
) -> tuple[Complex[Tensor, "c d"], Complex[Tensor, "c d"]]:
    """E[of_x of_y] and E[of_x conj(of_y)], from one real product."""
    if of_x.shape[1] > of_y.shape[1]:  # the fewer columns at its left: several times as fast
        one, other = _products(of_y, of_x)
        return one.T, other.mH
    x, y = (torch.view_as_real(part).flatten(1) for part in (of_x, of_y))
    found = (x.T @ y / len(x)).unflatten(0, (-1, 2)).unflatten(2, (-1, 2))
    (cc, cs), (sc, ss) = found.permute(1, 3, 0, 2)  # cosine or sine of x, of y
    return torch.complex(cc - ss, cs + sc), torch.complex(cc + ss, sc - cs)


class _Sum(NamedTuple):
    """weight · conj(x) conj(y) and its conjugate, summed over K: a model of p(x, y) / p(x)p(y)."""

    x: Complex[Tensor, "n K"]
    y: Complex[Tensor, "n K"]
    weight: Complex[Tensor, " K"]

    def and_(self, other: "_Sum") -> "_Sum":
        return _Sum(*(torch.cat(parts, -1) for parts in zip(self, other, strict=True)))

    def factors(
        self, of_x: Complex[Tensor, "n c"], of_y: Complex[Tensor, "n d"]
    ) -> tuple[Complex[Tensor, "c terms"], Complex[Tensor, "d terms"]]:
        """What E[of_x of_y] is the product of if the model is true; under p(x)p(y) means factor."""
        straight, crossed = _products(of_x, self.x)
        of_x = torch.cat([crossed * self.weight, straight * self.weight.conj()], 1)
        straight, crossed = _products(of_y, self.y)
        return of_x, torch.cat([crossed, straight], 1)

    def expects(
        self, of_x: Complex[Tensor, "n c"], of_y: Complex[Tensor, "n d"]
    ) -> Complex[Tensor, "c 2*d"]:
        """E[of_x of_y], then E[of_x conj(of_y)], if the model were true."""
        a, b = self.factors(of_x, of_y)
        return a @ torch.cat([b, b.roll(len(self.weight), 1).conj()]).T


def _candidates(size: int, rng: np.random.Generator) -> Float[Tensor, "size c"]:
    """Log-uniform frequencies, half along single columns, half along any direction."""
    directions = rng.standard_normal((size, CANDIDATES))
    half = CANDIDATES // 2
    directions[:, :half] = np.eye(size)[:, rng.integers(size, size=half)]
    directions /= np.linalg.norm(directions, axis=0)
    directions *= np.exp(rng.uniform(math.log(LOWEST), math.log(HIGHEST), CANDIDATES))
    return torch.as_tensor(directions, dtype=torch.float32)


def _drawn(
    power: Float[np.ndarray, " p"], count: int, rng: np.random.Generator
) -> Int[np.ndarray, " k"]:
    """Up to `count` different indices, in proportion to their power."""
    if not power.any():
        return np.zeros(0, int)
    some = min(count, int(np.count_nonzero(power)))
    return rng.choice(len(power), some, replace=False, p=power / power.sum())


def _fallen(
    place: Float[np.ndarray, " f"], x: Float[Tensor, "n fx"], y: Float[Tensor, "n fy"], model: _Sum
) -> tuple[float, Float[np.ndarray, " f"]]:
    """How little E[e^i(w·x + v·y)] stands out from a model at (w, v): -n |difference|², and slope.

    The derivative of E[e^i w·x ...] by w is i E[x e^i w·x ...].
    """
    at = torch.as_tensor(place, dtype=torch.float32)
    w, v = at.split([x.shape[1], y.shape[1]])
    of_x, of_y = _turns(x, w[:, None]), _turns(y, v[:, None])
    of_x, of_y = torch.cat([of_x, of_x * x], 1), torch.cat([of_y, of_y * y], 1)
    a, b = model.factors(of_x, of_y)
    gap = _products(of_x, of_y)[0] - a @ b.T
    slope = 1j * torch.cat([gap[1:, 0], gap[0, 1:]])
    value, slope = gap[0, 0].abs().square(), 2 * (gap[0, 0].conj() * slope).real
    return -len(x) * value.item(), -len(x) * slope.double().numpy()


def _climb(x: Tensor, y: Tensor, model: _Sum, start: Float[Tensor, " f"]) -> Float[Tensor, " f"]:
    """From (w, v) to the nearest place that stands out most from what the model expects."""
    found = minimize(_fallen, start.double().numpy(), (x, y, model), jac=True, method="L-BFGS-B",
                     options={"maxiter": STEPS})  # fmt: skip
    return torch.as_tensor(found.x, dtype=torch.float32)


class _Grid(NamedTuple):
    """Candidates for x and for y, these of both signs; e^(i w·x), and of one sign e^(i v·y)."""

    w: Float[Tensor, "fx c"]
    v: Float[Tensor, "fy both"]
    of_x: Complex[Tensor, "n c"]
    of_y: Complex[Tensor, "n d"]


def _strongest(
    x: Float[Tensor, "n fx"], y: Float[Tensor, "n fy"], grid: _Grid, model: _Sum,
    left: Complex[Tensor, "c both"], floor: float, most: int,
) -> Float[np.ndarray, "f k"]:  # fmt: skip
    """Up to `most` waves (w and v above each other), as CLEAN (Högbom 1974) seeks stars.

    The strongest candidate is moved to the top of its peak, what it accounts for is taken away, and
    the next one is what stands out then: side lobes are not taken for waves.
    """
    tops = np.zeros((x.shape[1] + y.shape[1], 0), np.float32)
    while tops.shape[1] < most:
        i, j = divmod(int(left.abs().argmax()), left.shape[1])
        if len(x) * float(left[i, j].abs()) ** 2 <= floor:
            break
        top = _climb(x, y, model, torch.cat([grid.w[:, i], grid.v[:, j]]))
        tops = np.column_stack([tops, top.numpy()])
        w, v = top[:, None].split([x.shape[1], y.shape[1]])
        at_x, at_y = _turns(x, w), _turns(y, v)
        weight = _products(at_x, at_y)[0][0] - model.expects(at_x, at_y)[0, :1]
        new = _Sum(at_x, at_y, weight)
        left, model = left - new.expects(grid.of_x, grid.of_y), model.and_(new)
    return tops


def waves(
    x: Float[np.ndarray, "n fx"], y: Float[np.ndarray, "n fy"], count: int,
    rng: np.random.Generator,
) -> Waves:  # fmt: skip
    """Up to `count` frequencies of each kind.

    Half of the pair's are the strongest waves, each with two phases a quarter turn apart. The rest,
    which are many where the structure is no sum of a few waves, are drawn from the candidates in
    proportion to what they stand out by.

    Columns must be of about unit scale. n |difference|² of independent x and y is about
    exponential with mean 1, so of m candidates the largest reaches ln m by chance: only what
    stands above that counts. Independent samples give (nearly) none.
    """
    if len(x) > ROWS:
        some = rng.choice(len(x), ROWS, replace=False)
        x, y = x[some], y[some]
    n = len(x)
    tx, ty = (torch.as_tensor(values, dtype=torch.float32) for values in (x, y))
    w, v = _candidates(x.shape[1], rng), _candidates(y.shape[1], rng)
    of_x, of_y = _turns(tx, w), _turns(ty, v)
    v = torch.cat([v, -v], 1)
    grid = _Grid(w, v, of_x, of_y)
    ones = of_x.new_ones(n, 1)
    independent = _Sum(ones, ones, ones[0] / 2)  # with its conjugate: 1 everywhere
    left = torch.cat(_products(of_x, of_y), 1) - independent.expects(of_x, of_y)
    floor = math.log(left.numel())
    power = np.maximum(n * left.abs().square().double().numpy() - floor, 0)

    tops = _strongest(tx, ty, grid, independent, left, floor, min(PEAKS, count // 2))
    pairs = np.repeat(tops, 2, axis=1)
    first = rng.uniform(-np.pi, np.pi, tops.shape[1])
    i, j = np.unravel_index(_drawn(power.ravel(), count - pairs.shape[1], rng), power.shape)
    along_y = power.sum(0).reshape(2, -1).sum(0)
    return Waves(
        w[:, _drawn(power.sum(1), count, rng)].numpy(),
        v[:, _drawn(along_y, count, rng)].numpy(),
        np.hstack([pairs[: x.shape[1]], w[:, i].numpy()]),
        np.hstack([pairs[x.shape[1] :], v[:, j].numpy()]),
        np.hstack([np.column_stack([first, first + np.pi / 2]).ravel(),
                   rng.uniform(-np.pi, np.pi, len(i))]),
    )  # fmt: skip
