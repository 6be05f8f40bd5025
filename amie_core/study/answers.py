"""Answers from many CSV files: what fits the key is used, all else is refused by file and row."""

import csv
import io
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from amie_core.errors import UserError
from amie_core.study import COLUMNS, PEOPLE, SIMULATED
from amie_core.study.plan import shown

LARGEST = 5_000_000  # bytes of a CSV: a ballot's has a few thousand


@dataclass(frozen=True)
class Answer:
    """One answer of one rater; `again`: given when a trial was repeated at the end."""

    rater: str
    trial: str
    question: str
    clip: str
    method: str
    place: int
    seconds: float
    again: bool


@dataclass(frozen=True)
class Answers:
    """All usable answers, and what was refused: (file, row or None for the whole file, reason)."""

    usable: list[Answer]
    refused: list[tuple[str, int | None, str]] = field(default_factory=list)
    files: int = 0


class _Refused(Exception):
    """A file or a row that cannot be used; the message says why."""


def find(paths: Iterable[str | Path]) -> list[Path]:
    """The CSV files among these files and folders (UserError when there is none)."""
    found: list[Path] = []
    for path in map(Path, paths):
        if path.is_dir():
            found += sorted(path.glob("*.csv"))
        elif path.is_file():
            found.append(path)
        else:
            raise UserError(f"{path}: no such file or folder of answers")
    if not found:
        raise UserError("no .csv file of answers there: raters send one each")
    return found


def read(paths: Iterable[str | Path], key: dict[str, Any], source: str = PEOPLE) -> Answers:
    """The answers in these files (or folders of CSVs) to the study of `key`.

    source: whose answers are wanted; a file of the other kind (people or simulated raters) is
    refused whole, so that the two never meet. Row numbers count the header as row 1.
    """
    usable: list[Answer] = []
    refused: list[tuple[str, int | None, str]] = []
    raters: dict[str, str] = {}
    files = find(paths)
    for path in files:
        try:
            rows = _rows(path)
            rater, form = _whose(rows, key, source)
            if rater in raters:
                raise _Refused(f"rater {rater} is in {raters[rater]} already")
        except _Refused as why:
            refused.append((path.name, None, str(why)))
            continue
        raters[rater] = path.name
        said = {"study": key["study"], "source": source, "rater": rater, "form": form}
        seen: set[tuple[int, str]] = set()
        for number, row in rows:
            try:
                answer = _answer(row, key, said)
                if (answer.place, answer.question) in seen:
                    raise _Refused(f"a second answer at place {answer.place}")
            except _Refused as why:
                refused.append((path.name, number, str(why)))
                continue
            seen.add((answer.place, answer.question))
            usable.append(answer)
    return Answers(usable, refused, len(files))


def _rows(path: Path) -> list[tuple[int, dict[str, str]]]:
    """Numbered rows of a CSV with our columns."""
    try:
        if path.stat().st_size > LARGEST:
            raise _Refused("far larger than a ballot's file")
        text = path.read_bytes().decode("utf-8-sig")  # a spreadsheet may have put a mark in front
    except UnicodeDecodeError:
        raise _Refused("not a text file in UTF-8") from None
    except OSError as error:
        raise _Refused(f"cannot be read: {error.strerror}") from None
    try:
        reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
        if tuple(reader.fieldnames or ()) != COLUMNS:
            raise _Refused(f"its columns are not a ballot's ({', '.join(COLUMNS)})")
        rows = [(reader.line_num, row) for row in reader]
    except csv.Error as error:
        raise _Refused(f"not a readable CSV ({error})") from None
    if not rows:
        raise _Refused("no answer in it")
    return rows


def _whose(
    rows: list[tuple[int, dict[str, str]]], key: dict[str, Any], source: str
) -> tuple[str, str]:
    """The one rater of a file of this study and the form used, by what most of its rows say."""

    def most(column: str) -> str:
        values = [row[column] or "" for _, row in rows]
        return max(set(values), key=lambda value: (values.count(value), value))

    if most("study") != key["study"]:
        raise _Refused(f"it answers study {most('study')!r}, not {key['study']}")
    sources = {row["source"] for _, row in rows}
    if source == PEOPLE and (SIMULATED in sources or most("rater").startswith(SIMULATED)):
        raise _Refused("simulated raters: nobody voted")
    if source == SIMULATED and sources != {SIMULATED}:
        raise _Refused("not a simulated rater: people's votes are read apart")
    if not most("rater"):
        raise _Refused("it names no rater")
    return most("rater"), most("form")


def _answer(row: dict[str, Any], key: dict[str, Any], said: dict[str, str]) -> Answer:
    """One row, checked against the key in every column; `said`: what the rest of the file says."""
    if None in row or None in row.values():
        raise _Refused(f"it has not {len(COLUMNS)} columns")
    for column, wanted in said.items():
        if row[column] != wanted:
            raise _Refused(f"{column} {row[column]!r} is not {wanted!r} as in the rest")
    form = key["forms"][_number(row, "form", len(key["forms"]))]
    place = _number(row, "place", len(form))
    trial, turn = form[place]
    if row["trial"] != trial:
        raise _Refused(f"trial {row['trial']!r} is not at place {place} of form {row['form']}")
    if row["question"] not in key["questions"]:
        raise _Refused(f"unknown question {row['question']!r}")
    clips = key["trials"][trial]["clips"]
    position = _number(row, "position", len(clips))
    if row["clip"] != shown(list(clips), turn)[position]:
        raise _Refused(f"clip {row['clip']!r} was not at position {position}")
    try:
        seconds = float(row["seconds"])
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise _Refused(f"seconds {row['seconds']!r} is no time")
    again = any(earlier == trial for earlier, _ in form[:place])
    method = clips[row["clip"]]
    return Answer(said["rater"], trial, row["question"], row["clip"], method, place, seconds, again)


def _number(row: dict[str, str], column: str, below: int) -> int:
    text = row[column]
    if not (text.isascii() and text.isdigit() and len(text) < 6 and int(text) < below):
        raise _Refused(f"{column} {text!r} is not a number from 0 to {below - 1}")
    return int(text)
