"""From answers to Table 4: shares and strengths come back, guessers and idlers are left out."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from keys import write_key
from test_study_answers import filled, write

from amie_core.errors import UserError
from amie_core.study import analysis, statistics
from amie_core.study.answers import Answer
from amie_core.study.simulate import made_up_strengths, simulate

PAIR = write_key(["low", "high"])
TRIO = write_key(["low", "middle", "high"], trials=12, choices=3)
CIRCLE = write_key(["low", "middle", "high"], trials=12, choices=2)


@pytest.mark.parametrize("key", [PAIR, TRIO, CIRCLE], ids=["pair", "trio", "circle"])
def test_known_strengths_come_back(key: dict[str, Any], tmp_path: Path) -> None:
    simulate(key, tmp_path, 80, careless=0.0, seed=3)
    result = analysis.analyse(key, [tmp_path], simulated=True, draws=300)
    true = made_up_strengths(key["methods"])
    for column in result["questions"].values():
        found = column["methods"]
        assert sum(row["votes"] for row in found.values()) == column["answers"]
        assert sum(row["share"] for row in found.values()) == pytest.approx(1)
        for name, row in found.items():
            # Lapses pull a little towards zero; the interval of 80 raters is wide enough for that.
            low, high = row["strength_interval"]
            assert low <= row["strength"] <= high
            assert row["strength"] == pytest.approx(true[name] - np.mean([*true.values()]), abs=0.2)
            assert row["wilson"][0] < row["share"] < row["wilson"][1]
        assert found["low"]["share"] < found["high"]["share"]
        if key is not CIRCLE:  # all trials alike: two raters agree with probability sum of p²
            p = np.exp([*true.values()]) / np.exp([*true.values()]).sum()
            chance = 1 / key["choices"]
            alike = ((p**2).sum() - chance) / (1 - chance)
            assert column["alpha"] == pytest.approx(alike, abs=0.03)
    assert result["source"] == "simulated raters: nobody voted"
    assert "SIMULATED RATERS: NOBODY VOTED" in analysis.text(result)


def test_shares_by_hand(tmp_path: Path) -> None:
    """Two people who always choose clip A, one form apart; the answers are counted out."""
    rows = [filled("aaaaaaaa", 0), filled("bbbbbbbb", 1)]
    lax = PAIR | {"trials": {n: t | {"right": {}} for n, t in PAIR["trials"].items()}}
    for number, table in enumerate(rows):
        write(tmp_path / f"{number}.csv", table)
    result = analysis.analyse(lax, [tmp_path], draws=50)
    assert result["source"] == "people" and result["raters"]["counted"] == 2
    # Forms 0 and 1 are turned against each other: each clip stood at A once, so each has half.
    for column in result["questions"].values():
        assert column["answers"] == 2 * 8
        assert {row["votes"] for row in column["methods"].values()} == {8}
        assert column["alpha"] < 0  # they disagree on every trial
        assert column["repeated"] == {
            "same": 0, "of": 4, "share": 0.0, "wilson": statistics.wilson(0, 4)
        }  # fmt: skip
        for row in column["methods"].values():
            assert row["strength"] == pytest.approx(0) and row["offered"] == 16
            assert row["bootstrap"] is row["strength_interval"] is None  # of two raters
    assert "50.00 % [28.0, 72.0], over raters –" in analysis.text(result)


def test_the_rule(tmp_path: Path) -> None:
    paths = simulate(PAIR, tmp_path, 30, careless=0.5, seed=1)
    result = analysis.analyse(PAIR, [tmp_path], simulated=True, draws=50)
    raters = result["raters"]
    assert raters["read"] == len(paths) == raters["counted"] + len(raters["excluded"])
    for rater, why in raters["excluded"].items():
        right, asked = map(int, raters["checks"][rater].split("/"))
        assert asked == 6 and right < 4.5 and why == f"{asked - right} of 6 checks wrong"
    assert 8 <= len(raters["excluded"]) <= 16  # of 15 guessers about 13
    # Six checks, one may be wrong: 7 of 64 ways.
    assert analysis.guesser_passes(PAIR) == pytest.approx(7 / 64)
    assert analysis.guesser_passes(TRIO) == pytest.approx((1 + 6 * 2) / 3**6)


def test_who_stops_early(tmp_path: Path) -> None:
    whole = simulate(PAIR, tmp_path, 2, careless=0.0)
    lines = whole[0].read_text().splitlines()
    whole[0].write_text("\n".join(lines[:9]) + "\n")
    result = analysis.analyse(PAIR, [tmp_path], simulated=True, draws=20)
    assert result["raters"]["excluded"] == {"simulated-000": "8 of 28 answers"}
    with pytest.raises(UserError, match=r"no rater is left .*8 of 28"):
        analysis.analyse(PAIR, [whole[0]], simulated=True)


def test_people_only_unless_asked(tmp_path: Path) -> None:
    simulate(PAIR, tmp_path, 2)
    with pytest.raises(UserError, match="nobody voted"):
        analysis.analyse(PAIR, [tmp_path])


def test_checks_are_no_votes() -> None:
    check = next(n for n, t in PAIR["trials"].items() if t["kind"] == "real")
    clip, method = next(iter(PAIR["trials"][check]["clips"].items()))
    given = Answer("r", check, "realistic", clip, method, 0, 1.0, False)
    with pytest.raises(UserError, match="no answer to the question 'realistic'"):
        analysis._question(PAIR, [[given]], "realistic", 10, 0)


def test_simulated_raters_are_drawn_as_said(tmp_path: Path) -> None:
    strengths = {
        "realistic": {"low": 0.0, "high": 0.0},
        "synchronization": {"low": 0.0, "high": 9.0},
    }
    simulate(PAIR, tmp_path, 40, strengths=strengths, careless=0.0)
    result = analysis.analyse(PAIR, [tmp_path], simulated=True, draws=50)
    shares = {q: c["methods"]["high"]["share"] for q, c in result["questions"].items()}
    half = 4 * math.sqrt(0.25 / (40 * 8))
    assert abs(shares["realistic"] - 0.5) < half and shares["synchronization"] > 0.95
    again = simulate(PAIR, tmp_path / "again", 40, strengths=strengths, careless=0.0)
    assert [p.read_bytes() for p in again] == [
        p.read_bytes() for p in sorted(tmp_path.glob("*.csv"))
    ]
    with pytest.raises(UserError, match="0 raters"):
        simulate(PAIR, tmp_path, 0)
