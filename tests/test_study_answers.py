"""Answers of many files: what is refused, by which name and row, and that the rest is used."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from keys import write_key

from amie_core.errors import UserError
from amie_core.study import COLUMNS, PEOPLE, SIMULATED, answers, tables
from amie_core.study.plan import shown
from amie_core.study.simulate import simulate

KEY = write_key(["low", "high"])


def filled(rater: str = "abcdefgh", form: int = 0, key: dict[str, Any] = KEY) -> list[list[str]]:
    """A whole ballot's rows, header first; the first clip is always chosen."""
    rows = [list(COLUMNS)]
    for place, (trial, turn) in enumerate(key["forms"][form]):
        clip = shown(list(key["trials"][trial]["clips"]), turn)[0]
        for question in key["questions"]:
            rows.append([key["study"], PEOPLE, rater, str(form), str(place), trial, question, "0",
                         clip, "12.5"])  # fmt: skip
    return rows


def write(path: Path, rows: list[list[str]], **more: Any) -> Path:
    with path.open("w", newline="", **more) as file:
        csv.writer(file).writerows(rows)
    return path


def test_a_whole_ballot_is_read(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", filled())
    write(tmp_path / "b.csv", filled("rater_2", 5), encoding="utf-8-sig")  # from a spreadsheet
    found = answers.read([tmp_path], KEY)
    places = len(KEY["forms"][0])
    assert found.refused == [] and found.files == 2
    assert len(found.usable) == 2 * 2 * places
    assert {a.rater for a in found.usable} == {"abcdefgh", "rater_2"}
    assert sum(a.again for a in found.usable) == 2 * 2 * 2  # two repeated trials
    for answer in found.usable:
        assert KEY["trials"][answer.trial]["clips"][answer.clip] == answer.method
        assert answer.seconds == 12.5


def change(column: str, value: str, row: int = 3) -> Callable[[list[list[str]]], None]:
    def do(rows: list[list[str]]) -> None:
        rows[row][COLUMNS.index(column)] = value

    return do


ROWS = [
    (change("study", "ffffffffffff"), "study 'ffffffffffff' is not"),
    (change("rater", "somebody"), "rater 'somebody' is not"),
    (change("source", "oracle"), "source 'oracle' is not"),
    (change("form", "1"), "form '1' is not '0'"),
    (change("form", "999"), "form '999' is not '0'"),
    (change("place", "-1"), "place '-1' is not a number"),
    (change("place", "99"), "place '99' is not a number from 0 to 13"),
    (change("place", "٣"), "is not a number"),
    (change("place", "0"), "is not at place 0"),
    (change("trial", "t99"), "trial 't99' is not at place 1"),
    (change("question", "prettier"), "unknown question 'prettier'"),
    (change("position", "2"), "position '2' is not a number from 0 to 1"),
    (change("position", "1"), "was not at position 1"),
    (change("clip", "c999"), "clip 'c999' was not at position 0"),
    (change("seconds", "soon"), "seconds 'soon' is no time"),
    (change("seconds", "-1"), "seconds '-1' is no time"),
    (change("seconds", "nan"), "seconds 'nan' is no time"),
    (change("seconds", "inf"), "seconds 'inf' is no time"),
    (change("seconds", "07. Sep"), "'07. Sep' is no time; if a spreadsheet changed it, ask for"),
    (change("rater", "=cmd|' /C calc'!A0"), "is not 'abcdefgh' as in the rest"),
    (change("clip", "=cmd|' /C calc'!A0"), "no clip has that name; if a spreadsheet changed it"),
    (lambda rows: rows[3].append("more"), "it has not 10 columns"),
    (lambda rows: rows[3].pop(), "it has not 10 columns"),
    (lambda rows: rows.insert(3, list(rows[2])), "a second answer at place 0, after row 3"),
]


@pytest.mark.parametrize(("spoil", "reason"), ROWS, ids=[reason for _, reason in ROWS])
def test_a_bad_row_is_refused_and_the_rest_used(
    spoil: Callable[[list[list[str]]], None], reason: str, tmp_path: Path
) -> None:
    rows = filled()
    good = len(rows) - 1 if reason.startswith("a second") else len(rows) - 2
    spoil(rows)
    found = answers.read([write(tmp_path / "a.csv", rows)], KEY)
    ((file, row, why),) = found.refused
    assert (file, row) == ("a.csv", 4) and reason in why
    assert len(found.usable) == good


def test_bad_files_are_refused_and_the_rest_used(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", filled())
    write(tmp_path / "b_again.csv", filled())
    other = write_key(["low", "high"]) | {"study": "ffffffffffff"}
    write(tmp_path / "c_foreign.csv", filled("another", key=other))
    write(tmp_path / "d_columns.csv", [["name", "score"], ["a", "1"]])
    write(tmp_path / "e_header.csv", filled()[:1])
    (tmp_path / "f_empty.csv").write_text("")
    (tmp_path / "g_binary.csv").write_bytes(b"\x00\xff\xfe" * 9)
    (tmp_path / "h_quote.csv").write_text(",".join(COLUMNS) + '\n"abc')
    (tmp_path / "i_huge.csv").write_bytes(b"0" * (tables.LARGEST + 1))
    write(tmp_path / "j_nobody.csv", filled(""))
    write(tmp_path / "k_formula.csv", filled("=cmd|' /C calc'!A0"))
    write(tmp_path / "n_escape.csv", filled("\x1b[2Jr9"))
    write(tmp_path / "l_lacks.csv", [[*row[:8], *row[9:]] for row in filled("lacking")])
    write(tmp_path / "m_twice.csv", [[*row, row[8]] for row in filled("twofold")])
    simulate(KEY, tmp_path, 1)
    found = answers.read([tmp_path], KEY)
    assert len(found.usable) == len(filled()) - 1
    said = {file: (row, why) for file, row, why in found.refused}
    wanted = {
        "b_again.csv": "rater abcdefgh is in a.csv already", "c_foreign.csv": "'ffffffffffff'",
        "d_columns.csv": "columns", "e_header.csv": "no answer", "f_empty.csv": "columns",
        "g_binary.csv": "UTF-8", "h_quote.csv": "not a readable CSV", "i_huge.csv": "larger",
        "j_nobody.csv": "no rater", "k_formula.csv": "calc'!A0\" is a formula",
        "l_lacks.csv": "columns are missing in it: clip", "m_twice.csv": "are called 'clip'",
        "n_escape.csv": "rater '\\x1b[2Jr9' is no code that a ballot gives",
        "answers-SIMULATED-000.csv": "nobody voted",
    }  # fmt: skip
    assert set(said) == set(wanted)
    for name, why in wanted.items():
        assert said[name][0] is None and why in said[name][1], name


def test_of_two_answers_that_differ_neither_is_counted(tmp_path: Path) -> None:
    rows = filled()
    place, at = rows[4][COLUMNS.index("place")], COLUMNS.index("position")
    other = next(row for row in filled(form=1)[1:] if row[5:7] == rows[4][5:7])  # turned
    rows.append([*rows[4]])
    rows[-1][at], rows[-1][at + 1] = "1", other[at + 1]
    found = answers.read([write(tmp_path / "a.csv", rows)], KEY)
    assert found.refused == [
        ("a.csv", len(rows), f"a second answer at place {place}, after row 5"),
        ("a.csv", 5, f"a later row answers place {place} otherwise: neither is counted"),
    ]
    assert len(found.usable) == len(rows) - 3


def test_raters_in_one_file(tmp_path: Path) -> None:
    """Files put together hold a rater each; a code of few rows is a mistake in them."""
    rows = filled("aaaaaaaa") + filled("bbbbbbbb", 5)
    rows[40][COLUMNS.index("rater")] = "bbbb"
    found = answers.read([write(tmp_path / "a.csv", rows)], KEY)
    one = len(filled()) - 1
    assert {a.rater for a in found.usable} == {"aaaaaaaa", "bbbbbbbb"}
    assert len(found.usable) == 2 * one - 1
    assert found.refused == [("a.csv", 41, "rater 'bbbb' is not 'aaaaaaaa' as in the rest")]
    write(tmp_path / "b.csv", filled("bbbbbbbb", 5))
    again = answers.read([tmp_path], KEY)
    # b.csv has the row that a mistake in a.csv takes from this rater: the fullest is read.
    told = f"rater bbbbbbbb is in b.csv already ({one} rows, {one - 1} here)"
    assert ("a.csv", None, told) in again.refused
    assert len(again.usable) == 2 * one
    write(tmp_path / "c.csv", filled("cccccccc") + filled("simulated-001", 5))
    mixed = answers.read([tmp_path / "c.csv"], KEY)
    assert mixed.refused == [("c.csv", None, "simulated raters: nobody voted")] != mixed.usable


def test_a_half_saved_file_gives_way_and_folders_are_read_to_the_bottom(tmp_path: Path) -> None:
    rows = filled()
    (tmp_path / "tuesday").mkdir()
    write(tmp_path / "a.csv", rows[:10])
    write(tmp_path / "tuesday" / "b.csv", rows)
    (tmp_path / "tuesday" / "c.numbers").write_bytes(b"PK")
    found = answers.read([tmp_path], KEY)
    assert len(found.usable) == len(rows) - 1 and found.files == 3
    assert {name for name, *_ in found.refused} == {"a.csv", "c.numbers"}


def test_people_and_simulated_raters_never_meet(tmp_path: Path) -> None:
    paths = simulate(KEY, tmp_path, 3)
    assert all(path.name.startswith("answers-SIMULATED-") for path in paths)
    person = write(tmp_path / "person.csv", filled())
    assert {a.rater for a in answers.read([tmp_path], KEY).usable} == {"abcdefgh"}
    simulated = answers.read([tmp_path], KEY, SIMULATED)
    assert {a.rater for a in simulated.usable} == {f"simulated-{i:03d}" for i in range(3)}
    assert simulated.refused == [(person.name, None, "not a simulated rater: people's votes are "
                                  "read apart")]  # fmt: skip
    # Not even when someone edits the column or the rater's name, unless both are forged.
    text = paths[0].read_text()
    for old, new in ((",simulated,", ",person,"), ("simulated-000", "abcd")):
        forged = tmp_path / "forged.csv"
        forged.write_text(text.replace(old, new))
        assert not answers.read([forged], KEY).usable


def test_no_files(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no \.csv file"):
        answers.read([tmp_path], KEY)
    with pytest.raises(UserError, match="no such file"):
        answers.read([tmp_path / "none.csv"], KEY)
