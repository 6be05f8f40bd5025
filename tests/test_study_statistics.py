"""Intervals, strengths, agreement and power against closed forms and known answers."""

import math

import numpy as np
import pytest
from scipy.stats import binom, norm

from amie_core.study import statistics

Z = norm.ppf(0.975)


def test_wilson_closed_forms() -> None:
    # Nobody or everybody: one end is the share itself, the other z²/(n + z²) away.
    assert statistics.wilson(0, 10) == pytest.approx((0, Z**2 / (10 + Z**2)))
    assert statistics.wilson(10, 10) == pytest.approx((10 / (10 + Z**2), 1))
    # Half: 1/2 ± z / (2 √(n + z²)).
    half = Z / (2 * math.sqrt(20 + Z**2))
    assert statistics.wilson(10, 20) == pytest.approx((0.5 - half, 0.5 + half))
    assert statistics.wilson(0, 0) == (0, 1)
    low, high = statistics.wilson(3, 17)
    assert statistics.wilson(14, 17) == pytest.approx((1 - high, 1 - low))
    with pytest.raises(ValueError):
        statistics.wilson(3, 2)


@pytest.mark.parametrize(("votes", "of"), [(0, 1), (1, 3), (107, 228), (9_999, 10_000), (7, 7)])
def test_wilson_is_the_score_interval(votes: int, of: int) -> None:
    # Written out (E. B. Wilson, 1927): the shares that a score test does not reject.
    share, weight = votes / of, Z**2 / of
    centre = (share + weight / 2) / (1 + weight)
    half = Z * math.sqrt(share * (1 - share) / of + weight / (4 * of)) / (1 + weight)
    assert statistics.wilson(votes, of) == pytest.approx((centre - half, centre + half), abs=1e-12)


@pytest.mark.parametrize("share", [0.05, 0.3, 0.5])
def test_wilson_covers_as_often_as_it_says(share: float) -> None:
    n = 60
    edges = [statistics.wilson(k, n) for k in range(n + 1)]
    inside = [low <= share <= high for low, high in edges]
    assert binom.pmf(np.arange(n + 1), n, share)[inside].sum() == pytest.approx(0.95, abs=0.03)


def table(*rows: list[float]) -> np.ndarray:
    return np.array([rows], float)


def test_two_methods_have_the_log_odds() -> None:
    members = np.ones((1, 2), bool)
    low, high = statistics.strengths(members, table([30, 10]), prior=0.0)[0]
    assert high - low == pytest.approx(-math.log(3))
    low, high = statistics.strengths(members, table([30, 10]))[0]
    assert high - low == pytest.approx(-math.log(30.5 / 10.5))
    assert low + high == pytest.approx(0)


def test_three_at_once_have_their_log_shares() -> None:
    logs = statistics.strengths(np.ones((1, 3), bool), table([50, 30, 20]), prior=0.0)[0]
    expected = np.log([0.5, 0.3, 0.2])
    assert logs == pytest.approx(expected - expected.mean())


def test_known_strengths_come_back() -> None:
    true = np.array([0.7, 0.1, -0.2, -0.6])
    pairs = [[i, j] for i in range(4) for j in range(i)] + [[0, 1, 3]]
    members = np.zeros((len(pairs), 4), bool)
    wins = np.zeros((1, len(pairs), 4))
    for row, pair in enumerate(pairs):
        members[row, pair] = True
        odds = np.exp(true[pair])
        wins[0, row, pair] = (40 + 30 * row) * odds / odds.sum()  # exactly what is expected
    assert statistics.strengths(members, wins, prior=0.0)[0] == pytest.approx(true, abs=1e-6)
    # Several tables at once are several tables one by one.
    both = statistics.strengths(members, np.concatenate([wins, wins[..., ::-1] * members]))
    assert both[0] == pytest.approx(statistics.strengths(members, wins)[0], abs=1e-7)


def test_a_method_that_never_wins_stays_finite() -> None:
    logs = statistics.strengths(np.ones((1, 2), bool), table([20, 0]))[0]
    assert logs[0] - logs[1] == pytest.approx(math.log(20.5 / 0.5))


def test_the_bootstrap_of_a_mean_is_as_wide_as_theory_says() -> None:
    raters = 200
    votes = (np.arange(raters) % 4 == 0).astype(float)  # a share of 1/4
    weights = statistics.resample(raters, 4000, seed=1)
    assert (weights.sum(1) == raters).all()
    ((low, high),) = statistics.interval((weights @ votes / raters)[:, None])
    half = Z * math.sqrt(0.25 * 0.75 / raters)
    assert (low, high) == pytest.approx((0.25 - half, 0.25 + half), abs=0.01)


def units(*raters: str) -> list[list[str]]:
    """Raters' answers, a character a trial, "." where there is none."""
    return [[answer for answer in unit if answer != "."] for unit in zip(*raters, strict=True)]


def test_krippendorffs_own_examples() -> None:
    # K. Krippendorff, Computing Krippendorff's Alpha-Reliability (2011), examples A and C.
    two = units("0100000010", "1110010000")
    assert statistics.alpha(two) == pytest.approx(0.095, abs=5e-4)
    four = units("123321412...", "1233224125.3", ".3332342251.", "12332441251.")
    assert statistics.alpha(four) == pytest.approx(0.743, abs=5e-4)


def test_alpha_at_its_ends() -> None:
    assert statistics.alpha(units("abab", "abab", "abab")) == pytest.approx(1)
    assert statistics.alpha(units("ab", "ba")) < 0
    assert statistics.alpha(units("aaaa", "aaaa")) is None
    assert statistics.alpha([["a"], ["b"]]) is None
    rng = np.random.default_rng(0)
    guesses = [[str(v) for v in rng.integers(0, 3, 20)] for _ in range(400)]
    assert statistics.alpha(guesses) == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize("share", [0.55, 0.6, 0.7, 0.8])
def test_votes_needed_have_the_power_by_exact_counting(share: float) -> None:
    n = statistics.votes_needed(share)
    assert all(statistics.power(share, votes) >= statistics.POWER for votes in range(n, n + 60))
    assert statistics.power(share, n - 1) < statistics.POWER
    spread = norm.isf(0.025) * 0.5 + norm.isf(0.2) * math.sqrt(share * (1 - share))
    about = (spread / (share - 0.5)) ** 2  # Fleiss's formula, without continuity correction
    assert about - 1 < n < about + 3 / abs(share - 0.5)
    assert statistics.votes_needed(1 - share) == n


def test_exact_power_closed_forms() -> None:
    # Six votes: only unanimous ones are significant at 5 % (2 · 2^-6 = 0.031).
    assert statistics.power(0.9, 6) == pytest.approx(0.9**6 + 0.1**6)
    assert statistics.power(0.5, 6) == pytest.approx(2 * 0.5**6)
    assert statistics.power(0.9, 5) == 0
    assert statistics.power(0.5, 400) <= statistics.SIGNIFICANCE


def test_raters_trials_and_differences_fit_together() -> None:
    assert statistics.design_effect(1) == 1
    assert statistics.design_effect(11, 0.1) == pytest.approx(2)
    for trials in (1, 10, 40):
        raters = statistics.raters_needed(0.65, trials)
        assert statistics.detectable(raters, trials) <= 0.65
        assert statistics.detectable(round(0.8 * raters), trials) > 0.65
    # More trials help ever less: beyond 1/ρ the raters count.
    assert statistics.detectable(42, 1000) > statistics.detectable(84, 100)
    assert statistics.detectable(2, 1) is None
    assert "find no head-to-head share" in statistics.statement(1, 1)
    assert statistics.head_to_head(56.41, 28.37) == pytest.approx(0.665, abs=1e-3)
    with pytest.raises(ValueError):
        statistics.votes_needed(0.5)
    assert "42 raters with 10 trials" in statistics.statement(42, 10)
