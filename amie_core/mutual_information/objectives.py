"""Variational objectives of mutual information, as functions of critic scores. All are maximised.

One convention throughout: T is a log density ratio, so the best critic of each objective is
T*(x, y) = ln p(x, y) / p(x)p(y), up to a constant for DV and up to a function of x for InfoNCE.
`joint` holds scores of matched pairs, `marginal` of unmatched ones. Values are in nats, except
`js`, which orders but does not measure (see readouts.py). log and exp are taken in float32 at
least: autocast's half precision overflows at e^11.
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

CHANCE_JS = -2 * math.log(2)  # value of `js` at T = 0, the critic that knows nothing
# Scores above are continued by the tangent in `nwj`: e^89 overflows float32, and a float16 score
# gets its gradient in float16, where e^12 is infinite.
EXP_LIMIT, EXP_LIMIT_HALF = 60.0, 11.0


def _wide(scores: Tensor) -> Tensor:
    return scores.to(torch.promote_types(scores.dtype, torch.float32))


def log_mean_exp(scores: Float[Tensor, "..."]) -> Float[Tensor, ""]:
    """ln of the mean of e^T over all scores, without overflow."""
    wide = _wide(scores).flatten()
    return torch.logsumexp(wide, 0) - math.log(wide.numel())


def js(joint: Float[Tensor, "..."], marginal: Float[Tensor, "..."]) -> Float[Tensor, ""]:
    """Eq. 7: E[-softplus(-T)] over joint pairs - E[softplus(T)] over marginal ones.

    Chance is -2 ln 2, the ceiling 0; the supremum is 2 JSD - 2 ln 2, which is not MI.
    """
    return -F.softplus(-_wide(joint)).mean() - F.softplus(_wide(marginal)).mean()


def dv(joint: Float[Tensor, "..."], marginal: Float[Tensor, "..."]) -> Float[Tensor, ""]:
    """Eq. 4, Donsker-Varadhan: E[T] - ln E[e^T], one logsumexp over all marginal scores.

    Never average it over mini-batches: that is biased up (ln is concave).
    """
    return _wide(joint).mean() - log_mean_exp(marginal)


def nwj(joint: Float[Tensor, "..."], marginal: Float[Tensor, "..."]) -> Float[Tensor, ""]:
    """Nguyen, Wainwright, Jordan 2010: 1 + E[T] - E[e^T].

    Mind the 1: E[T] - E[e^(T-1)], as often printed, reads I - 1/e with this convention's T.
    """
    wide = _wide(marginal)
    low = wide.clamp(max=EXP_LIMIT_HALF if marginal.dtype == torch.float16 else EXP_LIMIT)
    growth = low.exp() * (1 + (wide - low))  # beyond the limit: the tangent, finite and convex
    return 1 + _wide(joint).mean() - growth.mean()


def ruderman(
    joint: Float[Tensor, "..."], marginal: Float[Tensor, "..."], shift: Float[Tensor, ""]
) -> Float[Tensor, ""]:
    """1 + E[T] - s - E[e^(T - s)]: KL's conjugate over probability measures (Ruderman et al. 2012).

    Concave in T and s together. Over s its maximum, at ln E[e^T], is `dv`; at s = 0 it is `nwj`,
    which it is never under at its best s. With s learnt beside T the gradient of a mini-batch is
    unbiased, as that of `dv` is not.
    """
    return nwj(joint - shift, marginal - shift)


class Ruderman(nn.Module):
    """`ruderman` with its shift, a number that is learnt with the critic."""

    def __init__(self) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(()))

    def forward(
        self, joint: Float[Tensor, "..."], marginal: Float[Tensor, "..."]
    ) -> Float[Tensor, ""]:
        """Value at the shift as it is."""
        return ruderman(joint, marginal, self.shift)


def infonce(scores: Float[Tensor, "n n"]) -> Float[Tensor, ""]:
    """van den Oord 2018: mean ln-softmax of the matched column, plus ln n; never above ln n.

    scores[i, j] = T(x_i, y_j); matched pairs are on the diagonal.
    """
    wide = _wide(scores)
    return (wide.diagonal() - torch.logsumexp(wide, 1)).mean() + math.log(len(wide))


class EmaDv(nn.Module):
    """DV with MINE's corrected gradient (Belghazi 2018, sec. 3.2).

    The gradient of ln E[e^T] is E[e^T ∇T] / E[e^T]; on a mini-batch that ratio is biased, so the
    denominator is a running mean. It is kept as a logarithm (scores may be ±100), it corrects the
    gradient alone (the value stays the plain `dv` of the batch), and it stands still in eval mode,
    where the gradient is the plain one too.
    """

    log_mean: Tensor
    updates: Tensor

    def __init__(self, decay: float = 0.99) -> None:
        super().__init__()
        if not 0 <= decay < 1:
            raise ValueError(f"decay must be in [0, 1), not {decay}")
        self.decay = decay
        self.register_buffer("log_mean", torch.tensor(-math.inf))  # ln of an average begun at 0
        self.register_buffer("updates", torch.tensor(0))

    def forward(
        self, joint: Float[Tensor, "..."], marginal: Float[Tensor, "..."]
    ) -> Float[Tensor, ""]:
        """Value of `dv`; in training mode with the corrected gradient (and one update)."""
        value = dv(joint, marginal)
        if not self.training:
            return value
        batch = log_mean_exp(marginal)
        surrogate = _wide(joint).mean() - torch.exp(batch - self._update(batch.detach()))
        return surrogate + (value - surrogate).detach()

    @torch.no_grad()
    def _update(self, batch: Tensor) -> Tensor:
        """The running ln E[e^T], freed of its start at zero (as in Adam)."""
        if self.decay == 0:
            return batch
        old = self.log_mean + math.log(self.decay)
        self.log_mean.copy_(torch.logaddexp(old, batch.float() + math.log(1 - self.decay)))
        self.updates += 1
        return self.log_mean - torch.log1p(-torch.as_tensor(self.decay) ** self.updates)
