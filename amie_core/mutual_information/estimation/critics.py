"""What `estimate` fits: views of the margins, the Gaussian-copula start, two kinds of critic.

A bijection of x alone or of y alone leaves I(x; y) unchanged, so a critic may look at the columns
as they are, at their normal scores (ranks made Gaussian), or at both. Everything here is learnt
from the training part of a fold and applied to the rest.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from amie_core.mutual_information.estimation.frequencies import Waves
from amie_core.mutual_information.ranks import normal_scores

RAW_LIMIT = 8.0  # standard deviations; the raw view is cut there


class View:
    """Normal scores and/or standardised values of the columns of one margin."""

    def __init__(self, values: Float[np.ndarray, "n d"], ranks: bool, raw: bool) -> None:
        self.raw = raw
        if raw:  # on its own scale a column may overflow: ranks alone ask for no scale
            self.centre, self.spread = values.mean(0), np.maximum(values.std(0), 1e-300)
        self.tables = [normal_scores(c) for c in values.T] if ranks else None

    def scores(self, values: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
        """The view that the Gaussian start is fitted to."""
        if self.tables is None:
            return np.clip((values - self.centre) / self.spread, -RAW_LIMIT, RAW_LIMIT)
        columns = [np.interp(c, *table) for c, table in zip(values.T, self.tables, strict=True)]
        return np.stack(columns, 1)

    def features(self, values: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n f"]:
        """What critics see: the scores, the raw columns, and the length of the score vector."""
        scores = self.scores(values)
        parts = [scores]
        if self.raw and self.tables is not None:
            scaled = (values - self.centre) / self.spread
            parts.append(np.clip(scaled, -RAW_LIMIT, RAW_LIMIT))
        if scores.shape[1] > 1:  # a common radius is the way vectors share heavy tails
            parts.append(np.log1p((scores**2).sum(1, keepdims=True)) - math.log1p(scores.shape[1]))
        return np.hstack(parts)


def _whitening(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    centre = values.mean(0)
    covariance = np.cov((values - centre).T, bias=True).reshape(values.shape[1], -1)
    variance, axes = np.linalg.eigh(covariance)
    kept = variance > 1e-6 * variance.max()
    return centre, axes[:, kept] / np.sqrt(variance[kept])


def shrunk_correlations(sample: np.ndarray, share_x: float, share_y: float) -> np.ndarray:
    """True canonical correlations behind the sample's; 0 for those that noise alone explains.

    Inverts the limit of Bao et al. 2019, γ = ρ²(1 - a + a/ρ²)(1 - b + b/ρ²), with a = dx/n and
    b = dy/n (`share_x`, `share_y`); below ρ² = sqrt(ab / (1-a)(1-b)) there is only noise to see.
    """
    a = (1 - share_x) * (1 - share_y)
    b = share_y * (1 - share_x) + share_x * (1 - share_y) - sample**2
    c = share_x * share_y
    root = b**2 - 4 * a * c
    squared = np.where((root > 0) & (b < 0), (-b + np.sqrt(np.maximum(root, 0))) / (2 * a), 0.0)
    seen = squared > math.sqrt(c / a)
    return np.sqrt(np.where(seen, np.minimum(squared, 0.9999), 0.0))


class GaussianStart:
    """Log density ratio of the Gaussian fitted to the scores, as a sum of products.

    T0(x, y) = left(x) · right(y), so that pairs cost one inner product. A critic adds its network
    to a multiple of T0: with it, what is Gaussian up to bent margins needs no learning.
    """

    def __init__(self, x: Float[np.ndarray, "n dx"], y: Float[np.ndarray, "n dy"]) -> None:
        n = len(x)
        (self.x0, wx), (self.y0, wy) = _whitening(x), _whitening(y)
        u, sample, vt = np.linalg.svd(((x - self.x0) @ wx).T @ ((y - self.y0) @ wy) / n,
                                      full_matrices=False)  # fmt: skip
        rho = shrunk_correlations(sample, wx.shape[1] / n, wy.shape[1] / n)
        self.rho = rho[rho > 0]
        self.wx, self.wy = wx @ u[:, rho > 0], wy @ vt.T[:, rho > 0]

    def left(self, x: Float[np.ndarray, "n dx"]) -> Float[np.ndarray, "n r"]:
        """Factors of x."""
        a, rest = (x - self.x0) @ self.wx, 1 - self.rho**2
        own = -(a**2 * self.rho**2 / rest).sum(1) / 2 - np.log(rest).sum() / 2
        return np.column_stack([own, np.ones(len(x)), a * self.rho / rest])

    def right(self, y: Float[np.ndarray, "n dy"]) -> Float[np.ndarray, "n r"]:
        """Factors of y."""
        b = (y - self.y0) @ self.wy
        own = -(b**2 * self.rho**2 / (1 - self.rho**2)).sum(1) / 2
        return np.column_stack([np.ones(len(y)), own, b])


class Sample(NamedTuple):
    """Features of n matched items, and their factors of the Gaussian start."""

    x: Float[Tensor, "n fx"]
    y: Float[Tensor, "n fy"]
    left: Float[Tensor, "n r"]
    right: Float[Tensor, "n r"]


@dataclass(frozen=True)
class CriticConfig:
    """Shape of one critic. `waves` > 0 makes it sharp."""

    width: int = 48
    hidden: int = 64
    layers: int = 2  # after the pair's embeddings are added
    waves: int = 0  # learnt sinusoids at the input of each encoder
    input_scale: float = 12.0  # frequencies, where the data suggest none: log-uniform from 1
    pair_scale: float = 6.0  # to this, radians a score; the same for the sinusoids of the pair
    weight_decay: float = 0.05


CRITICS = {"smooth": CriticConfig(), "sharp": CriticConfig(layers=3, waves=32, weight_decay=0.01)}


def _log_uniform(shape: tuple[int, ...], top: float) -> Tensor:
    return torch.exp(torch.rand(shape) * math.log(top))


def _phases(*shape: int) -> Tensor:
    return (2 * torch.rand(shape) - 1) * math.pi


class _Encoders(nn.Module):
    """Embeddings of x and of y, a network for each, in three batched products.

    (The matrices are small: most of a step is the number of its calls.) The narrower margin is
    padded with zeros to the width of the other.
    """

    def __init__(self, dx: int, dy: int, config: CriticConfig) -> None:
        super().__init__()
        self.size, waves = max(dx, dy), config.waves
        direction = torch.randn(2, self.size, waves)
        direction[0, dx:], direction[1, dy:] = 0, 0
        scale = _log_uniform((2, 1, waves), config.input_scale)
        self.frequency = nn.Parameter(scale * direction / direction.norm(dim=1, keepdim=True))
        self.phase = nn.Parameter(_phases(2, 1, waves))
        self.inner, self.inner_bias = self._linear(self.size + waves, config.hidden)
        self.outer, self.outer_bias = self._linear(self.size + config.hidden, config.width)

    @staticmethod
    def _linear(ins: int, outs: int) -> tuple[nn.Parameter, nn.Parameter]:
        values = ((2 * torch.rand(2, rows, outs) - 1) / math.sqrt(ins) for rows in (ins, 1))
        weight, bias = map(nn.Parameter, values)
        return weight, bias

    def forward(
        self, x: Float[Tensor, "n fx"], y: Float[Tensor, "n fy"]
    ) -> tuple[Float[Tensor, "n w"], Float[Tensor, "n w"]]:
        values = torch.stack([F.pad(part, (0, self.size - part.shape[1])) for part in (x, y)])
        turning = torch.baddbmm(self.phase, values, self.frequency).sin()
        inner = torch.baddbmm(self.inner_bias, torch.cat([values, turning], 2), self.inner)
        both = torch.cat([values, F.hardswish(inner)], 2)
        of_x, of_y = torch.baddbmm(self.outer_bias, both, self.outer).unbind()
        return of_x, of_y


class PairCritic(nn.Module):
    """T(x, y) = gain · T0(x, y) + network(e(x) + e(y)); each item is encoded once.

    The smooth kind has hard-swish units throughout (parabolas where SiLU has an exponential, at a
    fourth of its time). Half of the sharp kind's units are sinusoids of the summed embeddings:
    ridges at any angle, as thin as the highest frequency (`start_at`).
    """

    def __init__(self, dx: int, dy: int, config: CriticConfig) -> None:
        super().__init__()
        width = config.width
        self.config = config
        self.encoders = _Encoders(dx, dy, config)
        self.waves = width // 2 if config.waves else 0
        with torch.no_grad():
            frequency = _log_uniform((self.waves,), config.pair_scale) * math.sqrt(3)
            self.encoders.outer[..., : self.waves] *= frequency
            self.encoders.outer_bias[0, :, : self.waves] = _phases(self.waves)
        self.layers = nn.ModuleList([nn.Linear(width, width) for _ in range(config.layers)])
        self.last = nn.Linear(width, 1)
        nn.init.zeros_(self.last.weight)  # the first value is the Gaussian start's
        nn.init.zeros_(self.last.bias)
        self.gain = nn.Parameter(torch.ones(()))

    @torch.no_grad()
    def start_at(self, found: Waves) -> None:
        """Sinusoids at the frequencies that stand out in the data; the rest stay random."""
        encoders = self.encoders
        k = min(len(found.phase), self.waves)
        for margin, (own, pair) in enumerate(((found.x, found.pair_x), (found.y, found.pair_y))):
            encoders.frequency[margin, : len(own), : own.shape[1]] = torch.from_numpy(own)
            encoders.outer[margin, :, :k] = 0  # nothing yet that would blur the phase
            encoders.outer[margin, : len(pair), :k] = torch.from_numpy(pair[:, :k])
        encoders.outer_bias[:, :, :k] = 0
        encoders.outer_bias[0, :, :k] = torch.from_numpy(found.phase[:k])

    def embed(self, data: Sample) -> Sample:
        """Embeddings in place of the features."""
        x, y = self.encoders(data.x, data.y)
        return Sample(x, y, data.left, data.right)

    def _of(
        self, h: Float[Tensor, "pairs w"], start: Float[Tensor, " pairs"]
    ) -> Float[Tensor, " pairs"]:
        """T of summed embeddings and T0."""
        turning, bent = h.split([self.waves, h.shape[1] - self.waves], 1)
        h = torch.cat([turning.sin(), F.hardswish(bent)], 1)
        for layer in self.layers:
            h = F.hardswish(layer(h))
        return self.last(h).squeeze(1) + self.gain * start

    def score(self, data: Sample) -> Float[Tensor, " n"]:
        """T of embedded items as they are matched."""
        return self._of(data.x + data.y, (data.left * data.right).sum(1))

    def squares(self, data: Sample, side: int) -> Float[Tensor, "groups side side"]:
        """T of all pairs within groups of `side` embedded items; matched ones on the diagonals."""
        x, y, left, right = (part.unflatten(0, (-1, side)) for part in data)
        start = left @ right.mT
        return self._of((x[:, :, None] + y[:, None]).flatten(0, 2), start.flatten()).view_as(start)
