"""Which file each prepared clip came from, so that a changed one is prepared again.

DIR/sources.csv, beside the manifest and no part of what names the data: paths and times differ
from machine to machine.
"""

import contextlib
import csv
import hashlib
import io
import os
from pathlib import Path
from typing import NamedTuple

ENDS = 1 << 16  # bytes of a file's beginning and of its end that stand for all of it
COLUMNS = ("speaker", "utterance", "path", "size", "time", "digest")
Key = tuple[str, str]


class Origin(NamedTuple):
    """A file as it was read: path, bytes, time of its last change in ns, a digest of its ends."""

    path: str
    size: int
    time: int
    digest: str


def of(path: Path) -> Origin:
    """The file as it is now (OSError where it cannot be read)."""
    found = path.stat()
    with path.open("rb") as file:
        ends = file.read(ENDS)
        file.seek(max(ENDS, found.st_size - ENDS))
        ends += file.read(ENDS)
    digest = hashlib.sha256(ends).hexdigest()[:16]
    return Origin(os.path.abspath(path), found.st_size, found.st_mtime_ns, digest)


def unchanged(known: Origin, path: Path) -> bool:
    """Whether the file holds what was read then, wherever it lies: by size and time, else by its
    ends."""
    try:
        found = path.stat()
        if found.st_size != known.size:
            return False
        return found.st_mtime_ns == known.time or of(path).digest == known.digest
    except OSError:
        return False


def read(folder: Path) -> dict[Key, Origin]:
    """Origins by (speaker, utterance), the last one of each; lines that a kill cut are dropped."""
    try:
        text = (folder / "sources.csv").read_bytes().decode(errors="surrogateescape")
    except OSError:
        return {}
    known = {}
    with contextlib.suppress(csv.Error, ValueError):  # what is not read is taken for unknown
        for row in csv.reader(io.StringIO(text[: text.rfind("\n") + 1])):
            match row:
                case [speaker, utterance, path, size, time, digest] if size.isdecimal():
                    if time.isdecimal():
                        origin = Origin(path, int(size), int(time), digest)
                        known[speaker, utterance] = origin
    return known


def line(key: Key, origin: Origin) -> bytes:
    """One row of sources.csv."""
    text = io.StringIO()
    cells = (*key, origin.path, origin.size, origin.time, origin.digest)
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue().encode(errors="surrogateescape")


def table(known: dict[Key, Origin]) -> bytes:
    """A whole sources.csv, sorted."""
    head = (",".join(COLUMNS) + "\n").encode()
    return head + b"".join(line(key, known[key]) for key in sorted(known))
