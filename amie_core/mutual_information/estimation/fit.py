"""Fitting one critic on one fold, and scoring pairs with it."""

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from amie_core.mutual_information import objectives
from amie_core.mutual_information.estimation.critics import CriticConfig, PairCritic, Sample
from amie_core.mutual_information.estimation.frequencies import waves

CHUNK = 5_000  # pairs scored at a time: their embeddings stay in a core's cache
BLOCK = 500  # side of the score matrices that InfoNCE is read from: a ceiling of ln 500 = 6.2


@dataclass(frozen=True)
class FitConfig:
    """How a critic is trained: one setting for single columns, `of_columns` for more."""

    epochs: int = 32
    every: int = 2  # epochs from one look at the validation part to the next
    patience: int = 6  # epochs without a better value there, then
    ending: int = 6  # the learning rate comes down within so many: noise hides what was learnt
    batch: int = 512
    group: int = 4  # items that all meet in a step, drawn afresh: three unmatched partners each
    lr: float = 1.4e-2
    average: float = 0.98  # of the weights that are validated and kept

    @classmethod
    def of_columns(cls, count: int) -> "FitConfig":
        """The setting for margins of at most so many columns.

        Of several a thin structure is learnt more slowly: a stripe in two dimensions is read .01 to
        .02 nats nearer so. Single columns gain nothing by it (rings and waves are read .003 lower).
        """
        return cls() if count == 1 else cls(epochs=48, lr=1e-2)


def shifts(n: int, count: int, generator: np.random.Generator) -> list[int]:
    """`count` shifts s: item i with item i + s mod n are derangements that share no pair."""
    return generator.choice(np.arange(1, n), min(count, n - 1), replace=False).tolist()


def shifted(data: Sample, shift: int) -> Sample:
    """Each x with the y that stands `shift` items further on."""
    return data._replace(y=data.y.roll(-shift, 0), right=data.right.roll(-shift, 0))


@torch.no_grad()
def scores(
    critic: PairCritic, data: Sample, by: Sequence[int]
) -> Float[Tensor, "shifts n"]:
    """T of each x with the y's that stand so far on."""
    embedded, rows = critic.embed(data), []
    for shift in by:
        parts = zip(*(part.split(CHUNK) for part in shifted(embedded, shift)), strict=True)
        rows.append(torch.cat([critic.score(Sample(*part)) for part in parts]))
    return torch.stack(rows)


@torch.no_grad()
def score_blocks(
    critic: PairCritic, data: Sample, side: int = BLOCK
) -> list[Float[Tensor, "m m"]]:
    """Square score matrices along the diagonal, for InfoNCE."""
    whole = len(data.x) // side * side or len(data.x)
    parts = zip(*(part[:whole].split(side) for part in critic.embed(data)), strict=True)
    return [critic.squares(part, len(part.x))[0] for part in map(Sample._make, parts)]


class _Objective:
    """Value of an objective on the squares of a batch (`PairCritic.squares`), higher is better."""

    def __init__(self, name: str) -> None:
        self.name = name
        kept = {"dv": objectives.EmaDv, "ruderman": objectives.Ruderman}
        self.own = kept[name]() if name in kept else None  # an objective with a state of its own

    def parameters(self) -> list[Tensor]:
        """What is learnt beside the critic."""
        return [] if self.own is None else list(self.own.parameters())

    def __call__(self, squares: Float[Tensor, "groups side side"]) -> Tensor:
        if self.name == "infonce":
            return objectives.infonce(squares.squeeze(0))
        side = squares.shape[1]
        joint = squares.diagonal(dim1=1, dim2=2)
        # Without its last entry a square is rows of side + 1 that each begin on the diagonal.
        marginal = squares.flatten(1)[:, :-1].unflatten(1, (side - 1, side + 1))[:, :, 1:]
        if self.own is not None:
            return self.own(joint, marginal)
        return getattr(objectives, self.name)(joint, marginal)


@torch.no_grad()
def validate(
    critic: PairCritic, data: Sample, objective: str, by: Sequence[int]
) -> float:
    """The objective's value on held-out items (never those that are reported)."""
    if objective == "infonce":
        blocks = score_blocks(critic, data, min(BLOCK, len(data.x)))
        return float(torch.stack([objectives.infonce(block) for block in blocks]).mean())
    joint, marginal = scores(critic, data, [0, *by]).split([1, len(by)])
    objective = "dv" if objective == "ruderman" else objective  # its value at the best shift
    return float(getattr(objectives, objective)(joint, marginal))


@torch.no_grad()
def _set_gain(critic: PairCritic, data: Sample, generator: np.random.Generator) -> None:
    """How far the Gaussian start is to be believed: the multiple with the best JS value."""
    by = [0, *shifts(len(data.x), 8, generator)]
    start = torch.stack([(data.left * shifted(data, s).right).sum(1) for s in by])
    joint, marginal = start.split([1, len(by) - 1])
    gains = torch.linspace(0, 1.2, 25)
    values = torch.stack([objectives.js(gain * joint, gain * marginal) for gain in gains])
    critic.gain.copy_(gains[values.argmax()])


def _optimiser(
    critic: PairCritic, beside: list[Tensor], config: FitConfig
) -> torch.optim.Optimizer:
    kept = ("bias", "phase", "gain")  # not pulled towards 0
    named = list(critic.named_parameters())
    matrices = [p for name, p in named if not name.endswith(kept)]
    rest = [p for name, p in named if name.endswith(kept)] + beside
    groups = [{"params": matrices, "weight_decay": critic.config.weight_decay},
              {"params": rest, "weight_decay": 0.0}]  # fmt: skip
    return torch.optim.AdamW(groups, lr=config.lr, betas=(0.9, 0.99), fused=True)


def fit(
    train: Sample,
    validation: Sample,
    shape: CriticConfig,
    objective: str,
    config: FitConfig,
    generator: np.random.Generator,
) -> PairCritic:
    """The critic with the best validation value, in eval mode.

    Adam with a warm-up and a cosine decay; the weights' running average is what is validated,
    after every second epoch, the last, and before the first.
    """
    n = len(train.x)
    if objective == "infonce":  # one group
        side = batch = min(64, n // 2)
    else:  # of few items smaller batches: an epoch is a dozen steps
        side = config.group
        batch = min(config.batch, max(128, n // 12), n // 2) // side * side
    critic = PairCritic(train.x.shape[1], train.y.shape[1], shape)
    _set_gain(critic, train, generator)
    if shape.waves:
        critic.start_at(waves(train.x.numpy(), train.y.numpy(), shape.waves, generator))
    averaged = copy.deepcopy(critic).eval()
    weights: list[Tensor] = list(critic.parameters())
    kept: list[Tensor] = list(averaged.parameters())
    value = _Objective(objective)
    optimiser = _optimiser(critic, value.parameters(), config)
    held_out = shifts(len(validation.x), 20, generator)
    best, waited = validate(averaged, validation, objective, held_out), 0
    state = copy.deepcopy(averaged.state_dict())
    per_epoch, step, progress = n // batch, 0, 0.0
    pace = 1 / (config.epochs * per_epoch)
    while progress < 1 - pace / 2:
        order = torch.as_tensor(generator.permutation(n)[: per_epoch * batch])
        shuffled = [part[order].split(batch) for part in train]
        for items in map(Sample, *shuffled):
            rate = min(1, (step + 1) / 50) * (0.5 + 0.5 * math.cos(math.pi * progress))
            for group in optimiser.param_groups:
                group["lr"] = config.lr * rate
            optimiser.zero_grad()
            (-value(critic.squares(critic.embed(items), side))).backward()
            optimiser.step()
            step, progress = step + 1, progress + pace
            with torch.no_grad():
                weight = 1 - min(config.average, step / (step + 10))
                torch._foreach_lerp_(kept, weights, weight)
        waited += 1
        if step // per_epoch % config.every and progress < 1 - pace / 2:
            continue
        current = validate(averaged, validation, objective, held_out)
        if current > best:
            best, state, waited = current, copy.deepcopy(averaged.state_dict()), 0
        if waited >= config.patience:
            pace = max(pace, (1 - progress) / (config.ending * per_epoch))
    averaged.load_state_dict(state)
    return averaged
