"""`estimate`: mutual information of two samples by critics that are judged on data they never saw.

Each of K folds is held out in turn. A smooth and a sharp critic are fitted on the rest, part of
which stops the training. These validation parts, all together, also choose which critic is reported
and under which cap: never the read-out that is reported, so picking the larger bound does not raise
it. (What one fold validates by, another reports: one choice among three critics and seven caps is
too coarse to follow single items.) A kind of critic that falls clearly behind is fitted no more:
the other is fitted twice and their mean read.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from amie_core.errors import UserError
from amie_core.mutual_information.checks import Rows, Whole, columns, whole
from amie_core.mutual_information.estimation.critics import (
    CRITICS,
    GaussianStart,
    PairCritic,
    Sample,
    View,
)
from amie_core.mutual_information.estimation.fit import FitConfig, fit, score_blocks, scores, shifts
from amie_core.mutual_information.ranks import unit_scale
from amie_core.mutual_information.readouts import Readout, readout_for

HEAVY = 10.0  # kurtosis (3 for a Gaussian) beyond which critics see ranks alone
VALIDATION = 0.125  # share of the training part
LAG = (0.03, 0.08)  # nats, share: a critic this far behind is not fitted on further folds
# Quantiles of the matched scores. Above them a pair that a critic wrongly finds likely may stand in
# the test part alone, where no choice by validation helps (Gaussians of correlation .999 lost .07).
CAPS = (0.25, 0.5, 0.75, 0.9, 0.95, 0.98, 0.99)
SHIFTS = 100  # unmatched partners of each held-out item


@dataclass(frozen=True)
class Estimate:
    """What was measured, in nats, and how. Not clipped at 0: around independence it scatters."""

    nats: float
    interval: tuple[float, float]  # 95 %, of the sampling error; a bound's slack is not in it
    bound: bool  # whether the read-out's expectation is at most I
    objective: str
    readout: str
    critic: str  # the one reported: "smooth", "sharp" or "both" (their mean score)
    nats_by_critic: dict[str, float]  # held out; critics left behind: the folds they were in
    rank_gaussianised: bool  # whether critics saw ranks alone
    n: int
    folds: int
    seed: int
    cpu_seconds: float


@dataclass
class _Fold:
    """One critic on one fold, read under each of the caps: on validation, and on the test part.

    Shares are per item; their mean is about the read-out, their scatter gives its error.
    """

    known: Float[np.ndarray, " caps"]
    known_shares: Float[np.ndarray, "caps n_known"]
    nats: Float[np.ndarray, " caps"]
    shares: Float[np.ndarray, "caps n_test"]


def _kurtosis(values: np.ndarray) -> float:
    centred = values - values.mean(0)
    return float(((centred**4).mean(0) / (centred**2).mean(0) ** 2).max())


def _split(x: np.ndarray, y: np.ndarray, held: np.ndarray, ranks: bool | None,
           rng: np.random.Generator) -> tuple[Sample, Sample, Sample]:  # fmt: skip
    """Train, validation and test part of a fold, seen through what the train part taught."""
    rest = rng.permutation(np.flatnonzero(~held))
    cut = int(len(rest) * VALIDATION)
    views = [View(v[rest[cut:]], ranks is not False, ranks is not True) for v in (x, y)]
    zx, zy = views[0].scores(x), views[1].scores(y)
    start = GaussianStart(zx[rest[cut:]], zy[rest[cut:]])
    parts = views[0].features(x), views[1].features(y), start.left(zx), start.right(zy)
    whole = Sample(*(torch.as_tensor(part, dtype=torch.float32) for part in parts))
    train, validation, test = (
        Sample(*(part[torch.as_tensor(rows)] for part in whole))
        for rows in (rest[cut:], rest[:cut], np.flatnonzero(held))
    )
    return train, validation, test


class _Scored:
    """Scores of one part by one critic."""

    def __init__(self, critic: PairCritic, data: Sample, square: bool, seed: int) -> None:
        self.blocks: list[Tensor] = score_blocks(critic, data) if square else []
        if not square:
            by = shifts(len(data.x), SHIFTS, np.random.default_rng(seed))
            found = scores(critic, data, [0, *by])
            self.joint, self.marginal = found[0], found[1:]

    def mean(self, other: "_Scored") -> "_Scored":
        """The critic that scores the mean of two."""
        both = object.__new__(_Scored)
        both.blocks = [(a + b) / 2 for a, b in zip(self.blocks, other.blocks, strict=True)]
        if not both.blocks:
            both.joint = (self.joint + other.joint) / 2
            both.marginal = (self.marginal + other.marginal) / 2
        return both

    def read(self, readout: Readout, cap: float) -> float:
        if self.blocks:
            return float(np.mean([readout.read(block) for block in self.blocks]))
        return readout.read(self.joint.clamp(max=cap), self.marginal.clamp(max=cap))

    def shares(self, cap: float) -> np.ndarray:
        """Each item's T less its mean e^T over unmatched partners (DV's influence function)."""
        if self.blocks:
            rows = [block.diagonal() - torch.logsumexp(block, 1) for block in self.blocks]
            return torch.cat(rows).numpy()
        growth = (self.marginal.clamp(max=cap) - self.marginal.max()).double().exp()
        each = growth.mean(0) / growth.mean()
        return (self.joint.clamp(max=cap) - each).numpy()


def _means(one: list[_Scored], two: list[_Scored]) -> list[_Scored]:
    return [a.mean(b) for a, b in zip(one, two, strict=True)]


def _read(known: _Scored, held: _Scored, readout: Readout) -> _Fold:
    """A critic capped from above is a critic still: caps are quantiles of the validation part's."""
    caps = [np.inf] if known.blocks else torch.quantile(known.joint, torch.tensor(CAPS)).tolist()
    values = [np.array([part.read(readout, cap) for cap in caps]) for part in (known, held)]
    shares = [np.stack([part.shares(cap) for cap in caps]) for part in (known, held)]
    return _Fold(values[0], shares[0], values[1], shares[1])


class _Reading(NamedTuple):
    """All folds of one critic under one cap."""

    chosen_by: float  # of the validation parts
    nats: float  # of the test parts
    shares: Float[np.ndarray, " n"]


def _pooled(folds: list[_Fold]) -> _Reading:
    """The folds, read under the cap that their validation parts together advise.

    Without a cap a single unmatched pair that a critic wrongly finds likely can outweigh all others
    in E[e^T]. Validation may happen to hold no such pair, or owe what it gains to one matched one
    (a gain of one standard error): the cap is the lowest within two errors of the best.
    """
    known = np.mean([fold.known for fold in folds], 0)
    shares = np.concatenate([fold.known_shares for fold in folds], 1)
    best = int(known.argmax())
    errors = (shares[best] - shares).std(1) / shares.shape[1] ** 0.5
    cap = int((known[best] - known <= 2 * errors).argmax())  # caps rise: the first is the lowest
    nats = float(np.mean([fold.nats[cap] for fold in folds]))
    return _Reading(float(known[cap]), nats, np.concatenate([fold.shares[cap] for fold in folds]))


def _behind(results: dict[str, list[_Fold]], names: Sequence[str]) -> list[str]:
    known = {name: _pooled(results[name]).chosen_by for name in names}
    best = max(known.values())
    return [name for name, value in known.items() if best - value > max(LAG[0], LAG[1] * best)]


def estimate(
    x: Rows,
    y: Rows,
    objective: str = "js",
    readout: str | None = None,
    seed: Whole = 0,
    *,
    folds: Whole = 5,
    critics: Sequence[str] = ("smooth", "sharp"),
    rank_gaussianise: bool | None = None,
    config: FitConfig | None = None,
    progress: bool = True,
) -> Estimate:
    """Mutual information of the rows of x (n, dx) and y (n, dy), in nats.

    objective: "js" (Eq. 7), "dv" (Eq. 6, with MINE's corrected gradient), "ruderman" (Ruderman et
    al. 2012), "nwj" or "infonce".
    readout: "dv" | "nwj" | "xi" | "smile" | "infonce", by default the tightest bound that fits the
    objective. rank_gaussianise: True, critics see normal scores alone; False, standardised values
    alone; None, both, or ranks alone where a column's kurtosis exceeds 10 (the result says so).
    One-dimensional arrays are single columns. One thread; the caller's random state is untouched.
    Tensors are detached: the estimate has no gradient.

    Raises UserError for fewer than 100 rows, for what `checks.columns` refuses, and for a read-out
    that does not fit the objective.
    """
    from amie_core.machine import progress_bar

    began = time.process_time()
    x, y = columns(x, y, least=100)
    seed, folds = whole("seed", seed, least=0), whole("folds", folds, least=2)
    name, reader = readout_for(objective, readout)
    unknown = set(critics) - set(CRITICS)
    if unknown or not critics or folds > 20:
        raise UserError(f"critics are chosen from {', '.join(CRITICS)}, folds from 2 to 20")
    ranks = rank_gaussianise
    scaled = unit_scale(x), unit_scale(y)
    if ranks is None and max(map(_kurtosis, scaled)) > HEAVY:
        ranks = True
    if ranks is not True:  # ranks know no scale, and tell values apart that this one cannot
        x, y = scaled
    config = config or FitConfig.of_columns(max(x.shape[1], y.shape[1]))
    if objective == "infonce":  # all pairs of a batch: a step costs eight times as much
        config = replace(config, epochs=max(1, config.epochs // 5))
    rng = np.random.default_rng(seed)
    fold_of = rng.permutation(len(x)) % folds
    running = list(critics)
    results: dict[str, list[_Fold]] = {key: [] for key in (*critics, "both")}
    threads = torch.get_num_threads()
    with torch.random.fork_rng(devices=[]), progress_bar(
        what=f"MI ({objective})", shown=progress, total=folds * len(critics), unit="fit"
    ) as bar:
        torch.manual_seed(seed)
        torch.set_num_threads(1)  # the matrices are small: more threads only wait
        try:
            for fold in range(folds):
                parts = _split(x, y, fold_of == fold, ranks, rng)
                scored: dict[str, list[_Scored]] = {}
                # The time of a critic left behind goes to a second one of the kind that leads.
                for key in running * (len(critics) // len(running)):
                    critic = fit(*parts[:2], CRITICS[key], objective, config, rng)
                    square = objective == "infonce"
                    new = [_Scored(critic, part, square, seed) for part in parts[1:]]
                    scored[key] = _means(scored[key], new) if key in scored else new
                    bar.update()
                if len(scored) == 2:
                    scored["both"] = _means(*scored.values())
                for key, (known, held) in scored.items():
                    results[key].append(_read(known, held, reader))
                running = [key for key in running if key not in _behind(results, running)]
        finally:
            torch.set_num_threads(threads)
    readings = {key: _pooled(kept) for key, kept in results.items() if kept}
    complete = [key for key in readings if len(results[key]) == folds]
    best = max(complete, key=lambda key: readings[key].chosen_by)
    nats, half = readings[best].nats, 1.96 * float(readings[best].shares.std() / len(x) ** 0.5)
    return Estimate(
        nats, (nats - half, nats + half), reader.bound, objective, name, best,
        {key: reading.nats for key, reading in readings.items()},
        ranks is True, len(x), folds, seed, time.process_time() - began,
    )  # fmt: skip
