"""From critic scores to nats: what a trained critic says about mutual information.

Each read-out is labelled a bound (its expectation is never above I, whatever the critic) or an
estimate (it may be above), and lists the objectives whose critic it can read. The rest is refused,
with the reason.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from scipy.optimize import brentq
from torch import Tensor

from amie_core.errors import UserError
from amie_core.mutual_information import objectives


def _binary_entropy(p: float) -> float:
    return sum(-q * math.log(q) for q in (p, 1 - p) if q > 0)


def xi(jsd: float) -> float:
    """The least MI (nats) that a Jensen-Shannon divergence of joint and marginals allows.

    Ξ(δ) = -ln q with H2((1 + q) / 2) - H2(q) / 2 = δ, H2 the binary entropy in nats. Reached when
    the joint is uniform on a share q of the product. Continued oddly below 0, so that estimates
    around independence stay centred; infinite from ln 2 on.
    """
    if jsd < 0:
        return -xi(-jsd)
    if jsd >= math.log(2):
        return math.inf

    def gap(log_q: float) -> float:
        q = math.exp(log_q)
        return _binary_entropy((1 + q) / 2) - _binary_entropy(q) / 2 - jsd

    return -brentq(gap, -50.0, 0.0) if jsd > 0 else 0.0


def xi_jsd(joint: Float[Tensor, "..."], marginal: Float[Tensor, "..."]) -> float:
    """Ξ of the JSD that Eq. 7 certifies. A bound, about 20 % loose on Gaussians."""
    return xi((float(objectives.js(joint, marginal)) - objectives.CHANCE_JS) / 2)


def nwj(joint: Float[Tensor, "..."], marginal: Float[Tensor, "..."]) -> float:
    """1 + E[T] - E[e^T]. A bound, of high variance where I is large; -inf beyond e^709."""
    growth = np.exp(np.minimum(marginal.detach().double().cpu().numpy(), 709.0)).mean()
    return float(1 + joint.detach().double().mean() - growth)


def smile(
    joint: Float[Tensor, "..."], marginal: Float[Tensor, "..."], clip: float = 5.0
) -> float:
    """Song and Ermon 2020: E[T] - ln E[e^clip(T, ±clip)]. An estimate: clipping may raise it."""
    clipped = marginal.detach().double().clamp(-clip, clip)
    return float(joint.detach().double().mean() - objectives.log_mean_exp(clipped))


def dv_pooled(joint: Float[Tensor, "..."], marginal: Float[Tensor, "..."]) -> float:
    """Eq. 4 with one logsumexp over all pairs; the same however the scoring was batched.

    A bound as the number of pairs grows; on m of them ln's concavity adds about var(e^T) / 2m.
    """
    return float(objectives.dv(joint.detach().double(), marginal.detach().double()))


def infonce(scores: Float[Tensor, "n n"]) -> float:
    """InfoNCE of a score matrix. A bound, never above ln n."""
    return float(objectives.infonce(scores.detach().double()))


@dataclass(frozen=True)
class Readout:
    """A read-out, whether it is a bound, and whose critics it can read."""

    read: Callable[..., float]
    bound: bool
    reads: tuple[str, ...]


READOUTS: dict[str, Readout] = {
    "xi": Readout(xi_jsd, True, ("js", "nwj")),
    "nwj": Readout(nwj, True, ("js", "nwj")),
    "smile": Readout(smile, False, ("js", "nwj")),
    "dv": Readout(dv_pooled, True, ("js", "nwj", "dv", "ruderman")),
    "infonce": Readout(infonce, True, ("infonce",)),
}
DEFAULT_READOUT = {"js": "dv", "dv": "dv", "ruderman": "dv", "nwj": "nwj", "infonce": "infonce"}
_WHY_NOT = {
    "dv": "DV fixes its critic only up to a constant, which this read-out would take for MI",
    "ruderman": "its critic is fixed only up to its shift, which this read-out would take for MI",
    "infonce": "InfoNCE fixes its critic only up to a function of x, so only 'infonce' reads it",
    "js": "it needs the score matrix of an InfoNCE critic",
    "nwj": "it needs the score matrix of an InfoNCE critic",
}


def readout_for(objective: str, name: str | None = None) -> tuple[str, Readout]:
    """The read-out of that name (or the objective's default), if it fits the objective.

    Raises UserError with the reason when it does not, or when either name is unknown.
    """
    if objective not in DEFAULT_READOUT:
        known = ", ".join(DEFAULT_READOUT)
        raise UserError(f"unknown objective {objective!r}: choose one of {known}")
    name = name or DEFAULT_READOUT[objective]
    if name not in READOUTS:
        raise UserError(f"unknown read-out {name!r}: choose one of {', '.join(READOUTS)}")
    if objective not in READOUTS[name].reads:
        fitting = ", ".join(key for key, value in READOUTS.items() if objective in value.reads)
        raise UserError(
            f"read-out {name!r} does not fit objective {objective!r}: {_WHY_NOT[objective]}; "
            f"use one of {fitting}"
        )
    return name, READOUTS[name]


def certified_range(pairs: int) -> float:
    """ln of the number of pairs, nats: no distribution-free bound certifies more than about this.

    McAllester and Stratos 2020.
    """
    return float(torch.log(torch.tensor(float(pairs))))
