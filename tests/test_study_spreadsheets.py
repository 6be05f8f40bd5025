"""Answers as spreadsheets save them: read whole, or refused by row and reason."""

import csv
import io
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from keys import write_key
from test_study_answers import filled, write

from amie_core import cli
from amie_core.files import write_json
from amie_core.study import COLUMNS, answers, sample

KEY = write_key(["low", "high"])
TABLE = filled()
CLIP, SECONDS = COLUMNS.index("clip"), COLUMNS.index("seconds")


def saved(
    rows: list[list[str]], separator: str = ",", end: str = "\r\n", quoting: int = csv.QUOTE_MINIMAL
) -> str:
    """The text of a table as a spreadsheet saves it."""
    text = io.StringIO()
    csv.writer(text, delimiter=separator, lineterminator=end, quoting=quoting).writerows(rows)
    return text.getvalue()


def commas(rows: list[list[str]]) -> list[list[str]]:
    """The same with decimal commas."""
    return [rows[0], *([*row[:SECONDS], row[SECONDS].replace(".", ",")] for row in rows[1:])]


def wider(rows: list[list[str]]) -> list[list[str]]:
    """Empty columns behind, an empty row in the middle, some at the end."""
    empty = [""] * 12
    wide = [[*row, "", ""] for row in rows]
    return [*wide[:4], empty, *wide[4:], empty, empty]


def turned(rows: list[list[str]]) -> list[list[str]]:
    """The columns the other way round, a rater's remark among them."""
    return [[*row[:0:-1], remark, row[0]]
            for row, remark in zip(rows, ["remark", *"ab" * len(rows)], strict=False)]  # fmt: skip


PLAIN = saved(TABLE)
FILES: dict[str, bytes] = {
    "as the page saves it": saved(TABLE, end="\n").encode(),
    "mark": PLAIN.encode("utf-8-sig"),
    "semicolons": saved(commas(TABLE), ";").encode("utf-8-sig"),
    "decimal commas in quotes": saved(commas(TABLE)).encode(),
    "tabs, UTF-16": saved(TABLE, "\t").encode("utf-16"),
    "tabs, UTF-16, no mark": saved(TABLE, "\t").encode("utf-16-le"),
    "big-endian, no mark": saved(commas(TABLE), "\t").encode("utf-16-be"),
    "tabs": saved(TABLE, "\t").encode(),
    "bars": saved(TABLE, "|").encode(),
    "Windows-1252": saved(turned(TABLE)).replace("remark", "Größe – Ä").encode("cp1252"),
    "all in quotes": saved(TABLE, end="\n", quoting=csv.QUOTE_ALL).encode(),
    "old Macintosh": saved(TABLE, end="\r").encode(),
    "empty columns and rows": saved(wider(TABLE), ";").encode(),
    "sep line": ("sep=;\r\n" + saved(TABLE, ";")).encode(),
    "sep line, mark": ("sep=,\r\n" + PLAIN).encode("utf-8-sig"),
    "sep line, saved again": ("sep=;,,,,,,,,,\r\n" + PLAIN).encode(),
    "columns the other way": saved(turned(TABLE)).encode(),
    "each line one cell": saved([[",".join(row)] for row in TABLE], quoting=csv.QUOTE_ALL).encode(),
    "one cell and empty ones": saved([[",".join(row), "", ""] for row in TABLE]).encode(),
    "spaces": saved([[f" {cell} " for cell in row] for row in TABLE]).encode(),
    "empty lines first": b"\r\n,,,\r\n" + PLAIN.encode(),
    "whole numbers with decimals": saved([
        TABLE[0], *([*row[:3], f"{row[3]}.0", f"{row[4]},0", *row[5:]] for row in TABLE[1:])
    ]).encode(),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_a_saved_table_says_the_same(name: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(FILES[name])
    found = answers.read([tmp_path], KEY)
    assert found.refused == found.told_back == []
    plain = answers.read([write(tmp_path / "b.txt", TABLE)], KEY)
    assert found.usable == plain.usable and len(found.usable) == len(TABLE) - 1


def test_rows_are_numbered_as_a_spreadsheet_shows_them(tmp_path: Path) -> None:
    wrong = [list(row) for row in TABLE]
    wrong[6][SECONDS] = "07. Sep"
    for name, text, number in (
        ("plain", saved(wrong, end="\n"), 7),
        ("empty row before it", saved(wider(wrong)), 8),
        ("sep line, which Excel does not show", "sep=;\n" + saved(wrong, ";"), 7),
        ("a cell of two lines before it", saved(wrong).replace("12.5", '"12.5\n"', 1), 7),
    ):
        (tmp_path / "a.csv").write_text(text)
        ((_, row, why),) = answers.read([tmp_path], KEY).refused
        assert row == number and "'07. Sep' is no time" in why, name


NOT_TABLES = {
    b"PK\x03\x04 [Content_Types].xml xl/workbook.xml": "is an Excel workbook: save it as CSV",
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": "is an Excel workbook: save it as CSV",
    b"PK\x03\x04 mimetypeapplication/vnd.oasis.opendocument.spreadsheet": "LibreOffice workbook",
    b"PK\x03\x04 answers/a.csv": "is an archive: take the CSV files out",
    b"": "it is empty",
    b"\xef\xbb\xbf\r\n\r\n": "it is empty",
    b"\xff\xfe": "it is empty",
    b"\x89PNG\x00\x00": "not a text file in UTF-8",
    b"\xff\xfea": "not a text file in UTF-8",
    b"what a ballot!\n": "its columns are not a ballot's",
    PLAIN.splitlines()[0].encode(): "no answer in it",
    PLAIN.replace("12.5", '"12.5', 1).encode(): "not a readable CSV (line",
    saved([row[:3] if at else row for at, row in enumerate(TABLE)]).encode(): "has all columns",
}


def test_a_bad_file_is_named_and_the_rest_goes_on(tmp_path: Path) -> None:
    for at, content in enumerate(NOT_TABLES):
        (tmp_path / f"{at:02d}.csv").write_bytes(content)
    write(tmp_path / "good.csv", TABLE)
    found = answers.read([tmp_path], KEY)
    assert len(found.usable) == len(TABLE) - 1
    assert [(file, row) for file, row, _ in found.refused] == [
        (f"{at:02d}.csv", None) for at in range(len(NOT_TABLES))
    ]
    for (_, _, why), wanted in zip(found.refused, NOT_TABLES.values(), strict=True):
        assert wanted in why


def test_which_files_of_a_folder_are_answers(tmp_path: Path) -> None:
    """Endings in either case, and what raters send instead; not what systems leave behind."""
    for name in ("ANSWERS.CSV", "b.Txt", "c.tsv", "d.xlsx", "e.ods"):
        (tmp_path / name).write_text("there")
    for name in (".hidden.csv", "._a.csv", "~$d.xlsx", "result.json", "clip.mp4"):
        (tmp_path / name).write_text("there")
    (tmp_path / "folder.csv").mkdir()
    names = ["ANSWERS.CSV", "b.Txt", "c.tsv", "d.xlsx", "e.ods"]
    assert [path.name for path in answers.find([tmp_path])] == names
    assert len(answers.find([tmp_path, tmp_path / "c.tsv", tmp_path / "result.json"])) == 6


def renamed(names: list[str]) -> dict[str, Any]:
    """A key whose first trials' clips have these names."""
    key = write_key(["low", "high"])
    given = iter(names)
    for trial in key["trials"].values():
        clips = {next(given, clip): method for clip, method in trial["clips"].items()}
        old = dict(zip(trial["clips"], clips, strict=True))
        trial |= {"clips": clips, "right": {q: old[clip] for q, clip in trial["right"].items()}}
    return key


def as_shown(key: dict[str, Any], cells: dict[str, str], tmp_path: Path) -> answers.Answers:
    """Read two ballots, turned against each other, where a spreadsheet shows names as these cells.

    Both choose clip A throughout, so that each clip is chosen twice for each question.
    """
    for form in (0, 1):
        rows = [[*row[:CLIP], cells.get(row[CLIP], row[CLIP]), *row[CLIP + 1 :]]
                for row in filled(f"rater{'ab'[form]}", form, key)]  # fmt: skip
        write(tmp_path / f"{form}.csv", rows)
    return answers.read([tmp_path], key)


@pytest.mark.parametrize("cell", ["2.84E+11", "2,84E+11", "284000000000", "284E9", "2.8E+11"])
def test_a_number_that_can_only_be_one_clip_is_told_back(cell: str, tmp_path: Path) -> None:
    key = renamed(["284e9", "2a1d8", "284e8", "83e66"])
    plain = as_shown(key, {}, tmp_path)
    assert plain.refused == plain.told_back == []
    found = as_shown(key, {"284e9": cell}, tmp_path)
    assert found.refused == [] and found.usable == plain.usable
    assert len(found.told_back) == sum(a.clip == "284e9" for a in found.usable) >= 2
    for file, row, what in found.told_back:
        assert file in ("0.csv", "1.csv") and row > 1
        assert what == f"clip {cell!r} is 284e9, which a spreadsheet took for a number"


@pytest.mark.parametrize(
    ("clips", "cell", "reason"),
    [
        (["100e3", "1e005"], "1.00E+05", "may be 100e3 or 1e005, which a spreadsheet took for"),
        (["dec12", "12dec"], "12-Dec", "no clip has that name; if a spreadsheet changed it, ask"),
        (["mar4", "4-3"], "04. Mrz", "no clip has that name"),
        (["1-2", "feb1"], "1. Feb", "no clip has that name"),
        (["true", "false"], "WAHR", "no clip has that name"),
        (["284e9", "2a1d8"], "2.85E+11", "no clip has that name"),
        (["=a1", "2a1d8"], "#NAME?", "no clip has that name"),
    ],
)  # fmt: skip
def test_what_cannot_be_told_back_is_refused(
    clips: list[str], cell: str, reason: str, tmp_path: Path
) -> None:
    """By row and reason, with what to do: every such loss falls on the same clip."""
    key = renamed(clips)
    plain = as_shown(key, {}, tmp_path)
    found = as_shown(key, dict.fromkeys(clips[:1], cell), tmp_path)
    lost = sum(a.clip == clips[0] for a in plain.usable)
    assert lost == len(found.refused) == len(plain.usable) - len(found.usable) >= 2
    assert found.told_back == [] and clips[0] not in {a.clip for a in found.usable}
    for _, row, why in found.refused:
        assert row > 1 and reason in why and "ask for the file as the page saved it" in why
        assert why.startswith(f"clip {cell!r} was not at position 0")


def test_a_number_of_another_clip_is_refused(tmp_path: Path) -> None:
    key = renamed(["284e9", "83e66"])
    found = as_shown(key, {"284e9": "8.30E+67", "83e66": "2.84E+11"}, tmp_path)
    assert len(found.refused) >= 4 and found.told_back == []
    assert all("was not at position 0" in why for _, _, why in found.refused)


def test_a_study_that_became_a_number(tmp_path: Path) -> None:
    key = KEY | {"study": "123456789012"}
    rows = filled(key=key)
    for row in rows[1:-1]:  # the last row comes from another program
        row[0] = "1.23457E+11"
    found = answers.read([write(tmp_path / "a.csv", rows)], key)
    assert found.refused == [] and len(found.usable) == len(rows) - 1


def test_the_command_says_file_row_and_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = renamed(["284e9", "2a1d8", "dec12", "12dec"])
    lax = {name: trial | {"right": {}} for name, trial in key["trials"].items()}
    write_json(tmp_path / "key.json", key | {"trials": lax})
    for file, cells in (
        ("0.csv", {}), ("1.csv", {"284e9": "2.84E+11"}), ("2.csv", {"dec12": "12. Dez"})
    ):  # fmt: skip
        both = [filled(f"rater{file[0]}{form}", form, key) for form in (0, 1)]
        write(tmp_path / file, [[cells.get(cell, cell) for cell in row] for row in sum(both, [])])

    def analyse(*files: str) -> tuple[int, str, str]:
        words = ["study", "analyse", "--key", str(tmp_path / "key.json"), "--answers"]
        done = cli.main([*words, *(str(tmp_path / file) for file in files)])
        return done, *capsys.readouterr()

    done, out, err = analyse("0.csv")
    assert done == 0 and err == "" and "told back" not in out
    done, out, err = analyse("1.csv")
    assert done == 0 and err == ""
    assert "told back: 1.csv row" in out and "clip '2.84E+11' is 284e9" in out
    done, out, err = analyse("0.csv", "2.csv")
    assert done == 1 and all(line.startswith("refused: 2.csv row ") for line in err.splitlines())
    assert "clip '12. Dez' was not at position 0: no clip has that name" in err
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "a.csv").write_bytes(b"PK\x03\x04 xl/workbook.xml")
    done, out, err = analyse("broken")
    assert done == 2 and out == "" and err.count("\n") == 1
    assert "no rater is left to count (a.csv: is an Excel workbook: save it as CSV)" in err


def test_a_real_workbook_is_refused_by_name(tmp_path: Path) -> None:
    import zipfile

    for ending in ("csv", "xlsx"):  # as it is, and renamed
        with zipfile.ZipFile(tmp_path / f"a.{ending}", "w", zipfile.ZIP_DEFLATED) as file:
            for part in ("[Content_Types].xml", "_rels/.rels", "xl/workbook.xml"):
                file.writestr(part, "<xml/>" * 100)
    found = answers.read([tmp_path], KEY)
    assert found.refused == [
        (f"a.{ending}", None, "is an Excel workbook: save it as CSV") for ending in ("csv", "xlsx")
    ]


CASES = ["ok", "us", "german", "libre", "unicode", "ANSWERS.CSV"]


@pytest.mark.parametrize("name", CASES)
def test_the_kept_ballots_answers_as_spreadsheets_saved_them(name: str) -> None:
    """One rater's 36 answers, in the files of shared/cases beside the checkout."""
    folder = ROOT.parent / "shared" / "cases" / "answers"
    path = folder / (name if "." in name else f"excel-{name}.csv")
    if not path.is_file():
        pytest.skip(f"development data absent: {path.name} in shared/cases/answers")
    key = sample.read_key(ROOT / "ballots" / "grid.key.json")
    found = answers.read([path], key)
    assert found.refused == [] and len(found.usable) == 36
    assert found.usable == answers.read([folder / "excel-ok.csv"], key).usable
    told = {(row, what.partition(",")[0]) for _, row, what in found.told_back}
    assert told == ({
        (6, "clip '2.84E+11' is 284e9"), (7, "clip '2.84E+11' is 284e9"),
        (30, "clip '8.30E+67' is 83e66"), (31, "clip '8.30E+67' is 83e66"),
    } if name in ("us", "german") else set())  # fmt: skip
