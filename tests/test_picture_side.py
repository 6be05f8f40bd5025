"""Tables of single changes to the picture's side of the model that ships."""

import json
from pathlib import Path
from typing import Any

import pytest

from amie_core.experiments import picture_side

COLUMNS = dict.fromkeys(picture_side.FORMATS, 0.0)


def deposit(row: str, seed: int, inside: dict[str, float | None]) -> dict[str, Any]:
    speakers = {who: COLUMNS | {"inside": value} for who, value in inside.items()}
    return {"row": row, "words": f"the row {row}", "seed": seed, "splits": {"val_seen": speakers}}


@pytest.fixture
def found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    monkeypatch.setenv("AMIE_FIGURES", str(tmp_path))
    folder = tmp_path / "cells" / "talk"
    folder.mkdir(parents=True)
    for row, shift in (("no_inner", 2.0), ("ours", 0.0), ("canvas_168", -1.0)):
        for seed in (0, 1, 2) if row != "canvas_168" else (1,):
            told = {"s1": 20.0 + seed + shift, "s31": 24.0 + seed + shift, "s9": None}
            (folder / f"{row}_{seed}.json").write_text(json.dumps(deposit(row, seed, told)))
    return picture_side.read()


def test_differences_are_paired_by_seed(found: list[dict[str, Any]]) -> None:
    assert [cell["row"] for cell in found][:3] == ["ours"] * 3
    table = picture_side.table(found)
    assert table.index[0] == "the row ours" and table.loc["the row ours", "inside"] == "23.0"
    # Every seed differs by exactly two, whatever the seeds differ by among themselves.
    assert table.loc["the row no_inner", "inside"] == "25.0 (+2.0 [+2.0, +2.0])"
    # One seed: against that seed, without an interval.
    assert table.loc["the row canvas_168", "inside"] == "22.0 (-1.0)"
    assert table["seeds"].tolist() == ["3", "1", "3"]


def test_every_speaker_and_seed_is_told(found: list[dict[str, Any]]) -> None:
    table = picture_side.speakers(found, "inside")
    wanted = {"s1": "20.0, 21.0, 22.0", "s31": "24.0, 25.0, 26.0"}
    assert table.loc["the row ours"].to_dict() == wanted
    del found[1]["splits"]["val_seen"]["s31"]  # seed 1 of ours shows no open mouth of s31
    assert picture_side.speakers(found, "inside").loc["the row ours", "s31"] == "24.0, –, 26.0"


def test_without_deposits_there_is_an_empty_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AMIE_FIGURES", str(tmp_path))
    assert picture_side.read() == []
    assert picture_side.table([]).empty and picture_side.speakers([], "inside").empty


def test_rows_of_portraits_make_a_curve_and_another_corpus_a_table_of_its_own(
    found: list[dict[str, Any]],
) -> None:
    assert picture_side.table(found, "elsewhere").empty
    more = []
    for number, change in ((0, 0.0), (100, -1.0), (500, -3.0)):
        for seed in (0, 1):
            row = f"portraits_{number}" if number else "ours"
            cell = deposit(row, seed, {"s1": 20.0 + change}) | {"portraits": number}
            cell["splits"]["elsewhere"] = {"e1": COLUMNS | {"inside": 30.0 + 2 * change}}
            cell["splits"]["val_seen"]["s1"].pop("auc")  # of a deposit before there was a judge
            more.append(cell | {"steps": 400, "machine": "this", "commit": "abc"})
    table = picture_side.table(more, "elsewhere")
    assert table.loc["the row portraits_500", "inside"] == "24.0 (-6.0 [-6.0, -6.0])"
    assert set(picture_side.table(more)["auc"]) == {"–"}
    few = picture_side.table(more, formats={"inside": ".0f"})
    assert few.loc["the row portraits_100", "inside"] == "19 (-1 [-1, -1])"
    panels = picture_side.portraits(more).axes
    lines = {line.get_label(): line.get_xydata().tolist() for line in panels[0].get_lines()}
    assert lines["seen"] == [[0, 20], [100, 19], [500, 17]] and lines["unseen"] == []
    assert lines["elsewhere"] == [[0, 30], [100, 28], [500, 24]]
    assert picture_side.made_by(more)["seeds"] == [0, 1]
    assert picture_side.portraits([]).axes  # nothing deposited: empty panels
