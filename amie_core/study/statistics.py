"""What answers can and do show: intervals, strengths, agreement, and the size of a study.

Knows nothing of faces. Intervals of shares and strengths of methods from choices, Krippendorff's
alpha between raters; and before anybody is asked, what so many raters and trials can find.
"""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float
from scipy.optimize import brentq
from scipy.stats import binom, binomtest, norm

CONFIDENCE = 0.95
PRIOR = 0.5  # votes that each side of every pair gets beforehand, so that no strength is infinite
SIGNIFICANCE, POWER = 0.05, 0.8  # two-sided level, chance to find a difference that is there
CLUSTERING = 0.1  # assumed correlation between answers of one rater, beyond the methods' strengths


def wilson(votes: int, of: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Wilson's score interval of a share (E. B. Wilson, 1927); (0, 1) where nobody answered."""
    if not 0 <= votes <= of:
        raise ValueError(f"{votes} votes of {of}")
    if of == 0:
        return 0.0, 1.0
    found = binomtest(votes, of).proportion_ci(confidence, method="wilson")
    return float(found.low), float(found.high)


def strengths(
    members: Bool[np.ndarray, "sets m"],
    wins: Float[np.ndarray, "b sets m"],
    prior: float = PRIOR,
) -> Float[np.ndarray, "b m"]:
    """Log strengths of m methods from choices, mean zero, for b tables of counts at once.

    Bradley and Terry's model for pairs, Luce's choice axiom for more: method i is chosen from a
    set with probability p_i / sum of the set's p. `members`: who is in which set; `wins`: how often
    each member was chosen. Fitted by Hunter's MM iterations (Annals of Statistics 32, 2004).
    `prior`: votes added to each side of every pair; with 0 a method that always or never wins has
    no finite strength.
    """
    m = members.shape[1]
    pairs = np.array([[i, j] for i in range(m) for j in range(i)], int).reshape(-1, 2)
    if prior > 0:
        extra = np.zeros((len(pairs), m), bool)
        extra[np.arange(len(pairs))[:, None], pairs] = True
        members = np.concatenate([members, extra])
        added = np.broadcast_to(prior * extra, (len(wins), *extra.shape))
        wins = np.concatenate([wins, added], axis=1)
    won, met = wins.sum(1), wins.sum(2)  # (b, m), (b, sets)
    p = np.ones_like(won)
    for _ in range(2000):
        share = met / (p @ members.T)
        new = won / np.maximum(share @ members, 1e-300)
        new /= new.mean(1, keepdims=True)
        done = np.abs(new - p).max() < 1e-10
        p = new
        if done:
            break
    logs = np.log(np.maximum(p, 1e-300))
    return logs - logs.mean(1, keepdims=True)


def resample(raters: int, draws: int, seed: int) -> Float[np.ndarray, "draws raters"]:
    """How often each rater is in each bootstrap sample of raters."""
    rng = np.random.default_rng(seed)
    equal = np.full(raters, 1 / raters)
    return rng.multinomial(raters, equal, size=draws).astype(float)


def interval(
    values: Float[np.ndarray, "draws _"], confidence: float = CONFIDENCE
) -> list[tuple[float, float]]:
    """Percentile intervals, one a column; a draw that is not a number does not count."""
    edges = [50 * (1 - confidence), 50 * (1 + confidence)]
    low, high = np.nanpercentile(values, edges, axis=0)
    return [(float(a), float(b)) for a, b in zip(low, high, strict=True)]


def alpha(units: Sequence[Sequence[str]]) -> float | None:
    """Krippendorff's alpha for named categories; units: the answers that each trial got.

    1 is full agreement, 0 what chance gives. None where fewer than two answers can be compared or
    all answers are the same (nothing can disagree then).
    """
    # By hand: the package `krippendorff` is under the GPL, this code under the MIT licence.
    units = [unit for unit in units if len(unit) > 1]
    names = sorted({answer for unit in units for answer in unit})
    if len(names) < 2:
        return None
    together = np.zeros((len(names), len(names)))
    for unit in units:
        counts = np.array([sum(answer == name for answer in unit) for name in names], float)
        together += (np.outer(counts, counts) - np.diag(counts)) / (len(unit) - 1)
    each = together.sum(1)
    n = each.sum()
    observed = n - np.trace(together)
    expected = (n**2 - (each**2).sum()) / (n - 1)
    return float(1 - observed / expected)


def head_to_head(better: float, worse: float) -> float:
    """The share of the better of two methods in the votes of both."""
    return better / (better + worse)


def design_effect(trials: int, clustering: float = CLUSTERING) -> float:
    """By what factor answers of the same rater are worth less than independent ones (Kish)."""
    return 1 + (trials - 1) * clustering


def power(share: float, votes: int, level: float = SIGNIFICANCE) -> float:
    """The chance that an exact two-sided binomial test against 1/2 finds this share."""
    return float(_power(share, np.array([votes]), level)[0])


def _power(share: float, votes: np.ndarray, level: float) -> np.ndarray:
    least = binom.isf(level / 2, votes, 0.5) + 1  # the fewest votes that are significant
    return binom.sf(least - 1, votes, share) + binom.cdf(votes - least, votes, share)


def votes_needed(share: float, level: float = SIGNIFICANCE, aim: float = POWER) -> int:
    """Independent votes for the two methods from which on the test has power `aim`.

    The exact test's power moves in steps: this is one more than the last number that falls short.
    Raises ValueError for a share of 1/2 or outside (0, 1), and nearer to 1/2 than 0.001.
    """
    if not 0 < share < 1 or abs(share - 0.5) < 0.001:
        raise ValueError(f"share {share}: between 0 and 1, not 1/2")
    spread = norm.isf(level / 2) * 0.5 + norm.isf(1 - aim) * math.sqrt(share * (1 - share))
    about = (spread / (share - 0.5)) ** 2  # Fleiss's normal approximation: where to look
    votes = np.arange(1, int(1.5 * about) + 40)
    return int(votes[_power(share, votes, level) < aim].max()) + 1


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
) -> float | None:
    """The smallest head-to-head share (above 1/2) that so many raters and trials find.

    None where not even a unanimous vote would do.
    """
    votes = int(raters * trials * kept / design_effect(trials, clustering))

    def beyond(share: float) -> float:
        return power(share, votes) - POWER

    return None if votes < 1 or beyond(1.0) < 0 else float(brentq(beyond, 0.5, 1.0))


def statement(raters: int, trials: int, *, kept: float = 1.0) -> str:
    """In words: what `raters` of `trials` trials each can show, and what 60 and 70 % need."""
    least = detectable(raters, trials, kept=kept)
    need = [f"{raters_needed(s, trials, kept=kept)} for {s:.0%}" for s in (0.6, 0.7)]
    share = "no head-to-head share, not even all votes for one"
    if least is not None:
        share = f"a head-to-head share of {least:.1%} or more"
    return (
        f"{raters} raters with {trials} trials each find {share} "
        f"(two-sided level {SIGNIFICANCE:.0%}, power {POWER:.0%}, correlation {CLUSTERING} "
        f"within a rater); raters needed: {', '.join(need)}"
    )
