"""The design: who meets whom, in which order, on which side. Balance is counted out."""

from collections import Counter
from itertools import combinations, pairwise

import numpy as np
import pandas as pd
import pytest

from amie_core.study import plan


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("n", [1, 2, 3, 6, 7, 16])
def test_latin_square(n: int) -> None:
    square = plan.latin_square(n)
    assert len(square) == (n if n % 2 == 0 else 2 * n)
    assert all(sorted(row) == list(range(n)) for row in square.tolist())
    for column in square.T.tolist():
        assert set(Counter(column).values()) == {len(square) // n}
    followed = Counter(pair for row in square.tolist() for pair in pairwise(row))
    if n > 1:  # every ordered pair of neighbours equally often
        assert len(followed) == n * (n - 1) and len(set(followed.values())) == 1


@pytest.mark.parametrize(("trials", "choices", "repeats"), [(6, 2, 2), (7, 3, 1), (5, 2, 0)])
def test_forms(trials: int, choices: int, repeats: int) -> None:
    kinds = [plan.MAIN] * (trials - 2) + [plan.REAL, plan.SHIFT]
    forms = plan.forms(kinds, choices, repeats)
    bodies = [form[:trials] for form in forms]
    for form, body in zip(forms, bodies, strict=True):
        assert sorted(trial for trial, _ in body) == list(range(trials))
        again = form[trials:]
        first = [entry for entry in body if kinds[entry[0]] == plan.MAIN][:repeats]
        assert [t for t, _ in again] == [t for t, _ in first]
        for (_, before), (_, after) in zip(first, again, strict=True):
            assert before % choices != after % choices
    for trial in range(trials):
        places = Counter(body.index(entry) for body in bodies for entry in body
                         if entry[0] == trial)  # fmt: skip
        turns = Counter(turn for body in bodies for t, turn in body if t == trial)
        assert len(set(places.values())) == len(set(turns.values())) == 1
        assert len(places) == trials and len(turns) == choices


def test_shown_turns_round() -> None:
    assert plan.shown(["a", "b"], 0) == ["a", "b"] and plan.shown(["a", "b"], 1) == ["b", "a"]
    assert plan.shown(["a", "b", "c"], 2) == ["c", "a", "b"]


def test_speakers_take_turns_and_sentences_are_new() -> None:
    said = [("s1", f"u{i}") for i in range(9)] + [("s2", "u0"), ("s2", "u9"), ("s3", "u1")]
    rows = pd.DataFrame(said, columns=["speaker", "utterance"])
    for seed in range(5):
        drawn = plan.draw_clips(rows, 8, rng(seed))
        assert len(set(drawn)) == 8
        assert Counter(rows.speaker[drawn]) == {"s1": 5, "s2": 2, "s3": 1}
        assert len(set(rows.utterance[drawn])) >= 6  # s2 and s3 have no choice
    assert plan.draw_clips(rows, 8, rng(1)) == plan.draw_clips(rows, 8, rng(1))
    assert plan.draw_clips(rows, 8, rng(1)) != plan.draw_clips(rows, 8, rng(2))
    with pytest.raises(ValueError, match="13 of 12"):
        plan.draw_clips(rows, 13, rng())


@pytest.mark.parametrize(
    ("methods", "choices", "count"),
    [("ab", 2, 12), ("abc", 2, 12), ("abc", 3, 12), ("abcd", 2, 13), ("abcde", 3, 20)],
)
def test_main_trials_are_balanced(methods: str, choices: int, count: int) -> None:
    speakers = [f"s{i % 3}" for i in range(count)]
    for seed in range(5):
        trials = plan.main_trials([*methods], choices, list(range(count)), speakers, rng(seed))
        sets = Counter(tuple(sorted(trial.methods)) for trial in trials)
        every = len(list(combinations(methods, choices)))
        assert max(sets.values()) - (min(sets.values()) if len(sets) == every else 0) <= 1
        shown = Counter(method for trial in trials for method in trial.methods)
        assert max(shown.values()) - min(shown.values()) <= 2
        for method in methods:
            at = [sum(t.methods[p] == method for t in trials) for p in range(choices)]
            assert max(at) - min(at) <= 2, (method, at)
        assert [trial.clip for trial in trials] == list(range(count))


def test_the_right_answer_takes_each_position_in_turn() -> None:
    real = plan.check_trials(plan.REAL, ["a", "b", "c"], 3, [4, 5, 6], rng())
    assert [trial.methods.index(plan.REAL) for trial in real] == [0, 1, 2]
    assert all(len(set(trial.methods)) == 3 for trial in real)
    moved = plan.check_trials(plan.SHIFT, ["a", "b"], 2, [4, 5], rng())
    assert [trial.methods for trial in moved] == [("shift0", "shift1"), ("shift1", "shift0")]
