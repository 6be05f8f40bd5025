"""A rater's file as rows of text: as the page saved it, or as a spreadsheet saved it again.

Spreadsheets put semicolons or tabs for commas, quotes around cells, a mark in front, UTF-16 or
Windows-1252 for UTF-8, empty columns and rows behind. None of it changes what was answered.
"""

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path

from amie_core.errors import reason
from amie_core.study import COLUMNS

LARGEST = 5_000_000  # bytes: a ballot's file has a few thousand
SEPARATORS = ",;\t|"
# `sep=;`: a first line that tells Excel the separator, and that Excel does not show.
_SEP_LINE = re.compile(rf'\s*"?sep=([{SEPARATORS}])"?[{SEPARATORS}]*(?:\r\n|\r|\n)', re.IGNORECASE)
Row = dict[str, str] | None  # cells by column; None: the row has more or fewer than the header
Records = list[tuple[int, list[str]]]  # numbered from 1 as a spreadsheet shows them


class Refused(Exception):
    """A file or a row that cannot be used; the message says why."""


def rows(path: Path) -> list[tuple[int, Row]]:
    """The rows below the header with their numbers in a spreadsheet, where the header is mostly 1.

    Columns stand in any order, others may stand beside them. Empty rows are left out, and headers
    that come again where files were put together. Raises Refused for what is no table of answers.
    """
    records = [(number, cells) for number, cells in _records(_text(path)) if any(cells)]
    header = _header(records)
    found: list[tuple[int, Row]] = []
    for number, cells in records[1:]:
        while len(cells) > len(header) and not cells[-1]:
            cells.pop()
        if len(cells) != len(header):
            found.append((number, None))
        elif [cell.lower() for cell in cells] != header:
            found.append((number, dict(zip(header, cells, strict=True))))
    if not found:
        raise Refused("no answer in it")
    return found


def _header(records: Records) -> list[str]:
    """Names of the columns; all of a ballot's are among them, once each."""
    header = [name.lower() for name in records[0][1]] if records else []
    while header and not header[-1]:
        header.pop()
    missing = [column for column in COLUMNS if column not in header]
    if len(missing) > len(COLUMNS) / 2:
        raise Refused(f"its columns are not a ballot's ({', '.join(COLUMNS)})")
    if missing:
        raise Refused(f"columns are missing in it: {', '.join(missing)}")
    for column in COLUMNS:
        if header.count(column) > 1:
            raise Refused(f"two columns in it are called {column!r}")
    return header


def _text(path: Path) -> str:
    """What a text file says, in whichever encoding a spreadsheet chose."""
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
    except OSError as error:
        raise Refused(f"cannot be read: {reason(error)}") from None
    if data.startswith(b"\xd0\xcf\x11\xe0") or (data.startswith(b"PK") and b"xl/" in data):
        raise Refused("is an Excel workbook: save it as CSV")
    if data.startswith(b"PK") and b"opendocument.spreadsheet" in data[:200]:
        raise Refused("is a LibreOffice workbook: save it as CSV")
    if data.startswith(b"PK"):
        raise Refused("is an archive: take the CSV files out of it")
    if len(data) > LARGEST:
        raise Refused("far larger than a ballot's file")
    for encoding in _encodings(data):
        try:
            text = data.decode(encoding).removeprefix("\ufeff")
        except UnicodeDecodeError:
            continue
        if not text.strip():
            raise Refused("it is empty: no columns, no answers")
        if "\0" not in text:
            return text
    raise Refused("not a text file in UTF-8, UTF-16 or Windows-1252")


def _encodings(data: bytes) -> list[str]:
    """What the first bytes allow; UTF-16 without a mark shows by a zero byte beside each letter."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return ["utf-16"]
    if b"\0" in data[:2]:
        return ["utf-16-be" if data[0] == 0 else "utf-16-le"]
    return ["utf-8", "cp1252"]


def _records(text: str) -> Records:
    """All lines as cells, by the separator that finds most of a ballot's columns in the first."""
    said = _SEP_LINE.match(text)
    text = text[said.end() :] if said else text
    first = next((line for line in text.splitlines() if line.strip(f'"{SEPARATORS} ')), "")

    def columns(separator: str) -> int:
        names = next(csv.reader([first], delimiter=separator), [])
        return len({name.strip().lower() for name in names} & set(COLUMNS))

    separator = max(SEPARATORS, key=columns)
    found = list(_parsed(text, separator))
    if not columns(separator) and all(len(cells) - cells.count("") < 2 for _, cells in found):
        # A spreadsheet that took every line for one cell has put quotes around it.
        text = "\n".join(next(filter(None, cells), "") for _, cells in found)
        found = list(_parsed(text, next((s for s in SEPARATORS if s in text), ",")))
    return found


def _parsed(text: str, separator: str) -> Iterator[tuple[int, list[str]]]:
    """The cells of each line, without spaces around them."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        for number, cells in enumerate(reader, 1):
            yield number, [cell.strip() for cell in cells]
    except csv.Error as error:
        raise Refused(f"not a readable CSV (line {reader.line_num}: {error})") from None
