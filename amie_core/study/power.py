"""How many raters and trials a difference needs, and what a given study could have shown.

Everything is put as a head-to-head share: of the votes that two methods got together, how many
went to the better one. No difference is 1/2; only these votes tell the two apart.
"""

import math

import numpy as np
from scipy.optimize import brentq
from scipy.stats import binom, norm

ALPHA, POWER = 0.05, 0.8  # two-sided level, chance to find a difference that is there
CLUSTERING = 0.1  # assumed correlation between answers of one rater, beyond the methods' strengths


def head_to_head(better: float, worse: float) -> float:
    """The share of the better of two methods in the votes of both."""
    return better / (better + worse)


def design_effect(trials: int, clustering: float = CLUSTERING) -> float:
    """By what factor answers of the same rater are worth less than independent ones (Kish)."""
    return 1 + (trials - 1) * clustering


def power(share: float, votes: int, alpha: float = ALPHA) -> float:
    """The chance that an exact two-sided binomial test against 1/2 finds this share."""
    return float(_power(share, np.array([votes]), alpha)[0])


def _power(share: float, votes: np.ndarray, alpha: float) -> np.ndarray:
    least = binom.isf(alpha / 2, votes, 0.5) + 1  # the fewest votes that are significant
    return binom.sf(least - 1, votes, share) + binom.cdf(votes - least, votes, share)


def votes_needed(share: float, alpha: float = ALPHA, aim: float = POWER) -> int:
    """Independent votes for the two methods from which on the test has power `aim`.

    The exact test's power moves in steps: this is one more than the last number that falls short.
    Raises ValueError for a share of 1/2 or outside (0, 1), and nearer to 1/2 than 0.001.
    """
    if not 0 < share < 1 or abs(share - 0.5) < 0.001:
        raise ValueError(f"share {share}: between 0 and 1, not 1/2")
    spread = norm.isf(alpha / 2) * 0.5 + norm.isf(1 - aim) * math.sqrt(share * (1 - share))
    about = (spread / (share - 0.5)) ** 2  # Fleiss's normal approximation: where to look
    votes = np.arange(1, int(1.5 * about) + 40)
    return int(votes[_power(share, votes, alpha) < aim].max()) + 1


def raters_needed(
    share: float, trials: int, *, kept: float = 1.0, clustering: float = CLUSTERING
) -> int:
    """Raters of `trials` trials each that find this head-to-head share.

    `kept`: the part of the votes that goes to the two methods (1 where every trial is the pair).
    """
    votes = votes_needed(share) * design_effect(trials, clustering)
    return max(2, math.ceil(votes / (trials * kept)))


def detectable(
    raters: int, trials: int, *, kept: float = 1.0, clustering: float = CLUSTERING
) -> float:
    """The smallest head-to-head share (above 1/2) that so many raters and trials find.

    1.0 where not even a unanimous vote would do.
    """
    votes = int(raters * trials * kept / design_effect(trials, clustering))

    def beyond(share: float) -> float:
        return power(share, votes) - POWER

    return 1.0 if votes < 1 or beyond(1.0) < 0 else float(brentq(beyond, 0.5, 1.0))


def statement(raters: int, trials: int, *, kept: float = 1.0) -> str:
    """In words: what `raters` of `trials` trials each can show, and what 60 and 70 % need."""
    least = detectable(raters, trials, kept=kept)
    need = [f"{raters_needed(s, trials, kept=kept)} for {s:.0%}" for s in (0.6, 0.7)]
    return (
        f"{raters} raters with {trials} trials each find a head-to-head share of {least:.1%} or "
        f"more (two-sided level {ALPHA:.0%}, power {POWER:.0%}, correlation {CLUSTERING} within a "
        f"rater); raters needed: {', '.join(need)}"
    )
