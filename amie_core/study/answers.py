"""Answers from many CSV files: what fits the key is used, all else is refused by file and row."""

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from amie_core.errors import UserError
from amie_core.study import COLUMNS, PEOPLE, SIMULATED, names, tables
from amie_core.study.plan import shown
from amie_core.study.tables import Refused, Row

# What raters send, in either case of letters; a workbook is refused by name, not passed over.
ENDINGS = {".csv", ".tsv", ".tab", ".txt", ".xlsx", ".xls", ".ods", ".numbers"}
AS_SAVED = "ask for the file as the page saved it"


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
    """All usable answers, and what was refused: (file, row or None for the whole file, reason).

    told_back: (file, row, what) of usable answers whose clip a spreadsheet had changed.
    """

    usable: list[Answer]
    refused: list[tuple[str, int | None, str]] = field(default_factory=list)
    files: int = 0
    told_back: list[tuple[str, int, str]] = field(default_factory=list)


def find(paths: Iterable[str | Path]) -> list[Path]:
    """The files of answers among these files, folders and what is below them, each once (UserError:
    there is none)."""
    found: dict[Path, Path] = {}
    for path in map(Path, paths):
        if not path.exists():
            raise UserError(f"{path}: no such file or folder of answers")
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            inner = file.relative_to(path).parts
            # left by systems and open workbooks
            hidden = any(part.startswith((".", "~$")) for part in inner)
            if file == path or (file.is_file() and file.suffix.lower() in ENDINGS and not hidden):
                found.setdefault(file.resolve(), file)
    if not found:
        raise UserError("no .csv file of answers there: raters send one each")
    return list(found.values())


def read(paths: Iterable[str | Path], key: dict[str, Any], source: str = PEOPLE) -> Answers:
    """The answers in these files (or folders of them) to the study of `key`.

    source: whose answers are wanted; a file of the other kind (people or simulated raters) is
    refused whole, so that the two never meet. Rows are numbered as a spreadsheet shows them: the
    header is row 1. Of a rater's files the one with most rows is read, the others are refused; so
    are two answers that contradict each other. A clip's name that a spreadsheet took for a number
    is told back where no other clip of the key would be shown so; else its row is refused.
    """
    result = Answers([], files=len(files := find(paths)))
    raters: dict[str, tuple[str, int]] = {}
    found = []
    for path in files:
        try:
            for one in _raters(tables.rows(path), key, source):
                found.append((path.name, *one))
        except Refused as why:
            result.refused.append((path.name, None, str(why)))
    # The fullest first: a page may be saved half-way, and again at the end.
    for name, rater, form, rows in sorted(found, key=lambda one: -len(one[3])):
        if rater in raters:
            other, count = raters[rater]
            twice = f"rater {rater} is in {other} already ({count} rows, {len(rows)} here)"
            result.refused.append((name, None, twice))
            continue
        raters[rater] = name, len(rows)
        _add(result, name, rows, key, {"source": source, "rater": rater, "form": form})
    return result


def _raters(
    rows: list[tuple[int, Row]], key: dict[str, Any], source: str
) -> Iterator[tuple[str, str, list[tuple[int, Row]]]]:
    """Each rater in a file of this study, the form that most rows name, and the rows.

    A file has one rater, or several that were put together. A code in less than half as many rows
    as another is no rater but a mistake in a row: such rows are with the rater of most rows.
    """
    whole = [row for _, row in rows if row is not None]
    if not whole:
        raise Refused("no row of it has all columns")
    study = _most(row["study"] for row in whole)
    if not _same_study(study, key):
        raise Refused(f"it answers study {study!r}, not {key['study']}")
    counts = Counter(row["rater"] for row in whole if row["rater"]).most_common()
    raters = [rater for rater, count in counts if 2 * count >= counts[0][1]]
    sources = {row["source"] for row in whole}
    simulated = any(rater.startswith(SIMULATED) for rater in raters)
    if source == PEOPLE and (simulated or SIMULATED in sources):
        raise Refused("simulated raters: nobody voted")
    if source == SIMULATED and sources != {SIMULATED}:
        raise Refused("not a simulated rater: people's votes are read apart")
    if 2 * sum(count for _, count in counts) < len(whole):
        raise Refused("it names no rater")
    groups: dict[str, list[tuple[int, Row]]] = {rater: [] for rater in raters}
    for number, row in rows:
        groups.get(row["rater"] if row else "", groups[raters[0]]).append((number, row))
    for rater, own in groups.items():
        if rater.startswith(("=", "+", "-", "@")):
            raise Refused(f"rater {rater!r} is a formula, no code that a ballot gives")
        if not rater.isprintable():
            raise Refused(f"rater {rater!r} is no code that a ballot gives")
        yield rater, _most(row["form"] for _, row in own if row), own


def _same_study(cell: str, key: dict[str, Any]) -> bool:
    """Whether a cell names the study of `key`, be it as a number."""
    return cell == key["study"] or bool(names.told_back(cell, [key["study"]]))


def _most(values: Iterable[str]) -> str:
    """The commonest of some words."""
    counts = Counter(values)
    return max(counts, key=lambda value: (counts[value], value))


def _add(
    result: Answers, file: str, rows: list[tuple[int, Row]], key: dict[str, Any],
    said: dict[str, str],
) -> None:  # fmt: skip
    """Put the rows of one rater into `result`; `said`: what each should say, by column."""
    found: dict[tuple[int, str], tuple[int, Answer, str]] = {}
    disputed = set()
    for number, row in rows:
        try:
            if row is None:
                raise Refused(f"it has not {len(COLUMNS)} columns, or not as many as the header")
            answer = _answer(row, key, said)
            at = (answer.place, answer.question)
            if at in found:
                disputed |= {at} if found[at][1].clip != answer.clip else set()
                raise Refused(f"a second answer at place {answer.place}, after row {found[at][0]}")
        except Refused as why:
            result.refused.append((file, number, str(why)))
            continue
        found[at] = (number, answer, row["clip"])
    for at, (number, answer, cell) in found.items():
        if at in disputed:
            said_twice = f"a later row answers place {answer.place} otherwise: neither is counted"
            result.refused.append((file, number, said_twice))
            continue
        result.usable.append(answer)
        if cell != answer.clip:
            what = f"clip {cell!r} is {answer.clip}, which a spreadsheet took for a number"
            result.told_back.append((file, number, what))


def _answer(row: dict[str, str], key: dict[str, Any], said: dict[str, str]) -> Answer:
    """One row, checked against the key in every column; `said`: what the rest of the file says."""
    if not _same_study(row["study"], key):
        raise Refused(f"study {row['study']!r} is not {key['study']!r} as in the rest")
    for column, wanted in said.items():
        if row[column] != wanted:
            raise Refused(f"{column} {row[column]!r} is not {wanted!r} as in the rest")
    form = key["forms"][_number(row, "form", len(key["forms"]))]
    place = _number(row, "place", len(form))
    trial, turn = form[place]
    if row["trial"] != trial:
        raise Refused(f"trial {row['trial']!r} is not at place {place} of form {row['form']}")
    if row["question"] not in key["questions"]:
        raise Refused(f"unknown question {row['question']!r}")
    clips = key["trials"][trial]["clips"]
    position = _number(row, "position", len(clips))
    clip = shown(list(clips), turn)[position]
    _same_clip(row["clip"], clip, position, key)
    again = any(earlier == trial for earlier, _ in form[:place])
    return Answer(
        said["rater"], trial, row["question"], clip, clips[clip], place, _seconds(row), again
    )


def _same_clip(cell: str, clip: str, position: int, key: dict[str, Any]) -> None:
    """Refuse a cell that does not name `clip`, the one at this position, as text or as a number.

    Position and trial say already which clip it was; the cell is there so that a row from elsewhere
    does not fit. A changed name does that still where it can only be this clip's.
    """
    if cell == clip:
        return
    every = [name for trial in key["trials"].values() for name in trial["clips"]]
    meant = [cell] if cell in every else names.told_back(cell, every)
    if meant == [clip]:
        return
    why = f"clip {cell!r} was not at position {position}"
    if len(meant) > 1:
        why += f": it may be {' or '.join(meant)}, which a spreadsheet took for numbers; {AS_SAVED}"
    elif not meant:
        why += f": no clip has that name; if a spreadsheet changed it, {AS_SAVED}, since such "
        why += "losses fall on one clip alone"
    raise Refused(why)


def _seconds(row: dict[str, str]) -> float:
    """The time that an answer took, with a point or a comma before its decimals."""
    try:
        seconds = float(row["seconds"].replace(",", "."))
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise Refused(
            f"seconds {row['seconds']!r} is no time; if a spreadsheet changed it, {AS_SAVED}"
        )
    return seconds


def _number(row: dict[str, str], column: str, below: int) -> int:
    """A whole number, also as 3.0 or 3,0."""
    number = re.fullmatch(r"(\d{1,5})(?:[.,]0+)?", row[column], re.ASCII)
    if not number or int(number[1]) >= below:
        raise Refused(f"{column} {row[column]!r} is not a number from 0 to {below - 1}")
    return int(number[1])
