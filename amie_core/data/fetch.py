"""GRID from its public archive: by speaker, resumed where it broke off, checked, unpacked whole."""

import contextlib
import hashlib
import http.client
import json
import os
import shutil
import stat
import time
import urllib.error
import urllib.request
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from amie_core.errors import UserError, reason
from amie_core.files import only_one
from amie_core.machine import progress_bar, say

# Cooke et al. 2006 as its authors deposited it; the record tells sizes and checksums.
GRID = "https://zenodo.org/api/records/3625687"
LICENCE = (
    "GRID: M. Cooke, J. Barker, S. Cunningham, X. Shao, An audio-visual corpus for speech "
    "perception and automatic speech recognition, JASA 120(5), 2006 (Zenodo 3625687), CC BY 4.0: "
    "name the authors where you show it."
)
SPEAKERS = tuple(k for k in range(1, 35) if k != 21)  # there are no pictures of 21
TRIES = 5  # times that a broken connection is taken up again before it is said
WAIT = 60.0  # s without a byte after which a connection counts as broken
CHUNK = 1 << 18
SWELLING = 20  # an archive of videos does not unpack to more than so many times its size


@dataclass(frozen=True)
class Archive:
    """A file of the record: its name, address, bytes, and checksum (hash's name, hex digits)."""

    name: str
    address: str
    size: int
    checksum: tuple[str, str]


def fetch_grid(
    root: str | Path, speakers: tuple[int, ...], *, record: str = GRID, pause: float = 2.0
) -> list[str]:
    """Get speakers of GRID, and all word alignments, into `root`; the folders that are new.

    What is there is not fetched again; a call that broke off is taken up where it stopped, after
    `pause` s longer each time. A folder appears under its name only when it is whole. UserError:
    unknown speaker, no connection, a checksum that differs, no space.
    """
    root = Path(root)
    if wrong := [k for k in speakers if k not in SPEAKERS]:
        raise UserError(f"GRID has no videos of speaker {wrong[0]}: choose from 1 to 34 but 21")
    if not speakers:
        raise UserError("no speaker is named: --speakers 1 2 … (1 to 34 but 21)")
    say(LICENCE)
    try:
        root.mkdir(parents=True, exist_ok=True)
        with only_one(root, "fetch"):
            wanted = {f"s{k}": f"s{k}.zip" for k in dict.fromkeys(speakers)}
            wanted["alignments"] = "alignments.zip"
            missing = {folder: name for folder, name in wanted.items()
                       if not (root / folder).is_dir()}  # fmt: skip
            known = _archives(record) if missing else {}
            if absent := [name for name in missing.values() if name not in known]:
                raise UserError(f"{record} has no {absent[0]}")
            total = sum(known[name].size for name in missing.values())
            say(f"{root}: {len(missing)} of {len(wanted)} to fetch, {total / 1e9:.1f} GB")
            for folder, name in missing.items():
                part = root / f".{name}.part"
                _download(known[name], part, pause)
                _unpack(part, root, folder)
                part.unlink()
    except OSError as error:
        raise UserError(f"cannot write {root}: {reason(error)}") from error
    return list(missing)


def _archives(record: str) -> dict[str, Archive]:
    """The files of a Zenodo record by name."""
    try:
        with urllib.request.urlopen(record, timeout=WAIT) as answer:
            files = json.loads(answer.read())["files"]
        found = {}
        for file in files:
            kind, _, digits = file["checksum"].partition(":")
            address = file["links"]["self"]
            if not address.startswith(("https://", "http://")) or kind not in ("md5", "sha256"):
                raise ValueError("it names no web address and checksum")
            archive = Archive(file["key"], address, int(file["size"]), (kind, digits.lower()))
            found[archive.name] = archive
        return found
    except (OSError, ValueError, KeyError, TypeError, http.client.HTTPException) as error:
        raise UserError(
            f"{record} does not answer as expected ({reason(error)}): is there a connection?"
        ) from error


def _download(archive: Archive, part: Path, pause: float) -> None:
    """Bring a file to its whole length, from where it is, and check it (UserError: differs)."""
    bar = progress_bar(what=archive.name, total=archive.size, unit="B", unit_scale=True,
                       initial=min(archive.size, _size(part)))  # fmt: skip
    with bar:
        broken, why = 0, "it ended early"
        while (begun := _size(part)) < archive.size:
            try:
                _more(archive, part, bar)
            except (urllib.error.URLError, http.client.HTTPException, TimeoutError,
                    ConnectionError) as error:  # fmt: skip
                why = reason(error)
            broken = 0 if _size(part) > begun else broken + 1
            if broken >= TRIES:
                raise UserError(
                    f"{archive.address} broke off {TRIES} times ({why}): run it again, it goes on "
                    f"at {_size(part) / 1e6:.0f} of {archive.size / 1e6:.0f} MB"
                )
            if _size(part) < archive.size:
                time.sleep(pause * (1 + broken))
    digest = hashlib.new(archive.checksum[0], usedforsecurity=False)
    with part.open("rb") as file:
        while data := file.read(CHUNK):
            digest.update(data)
    if _size(part) != archive.size or digest.hexdigest() != archive.checksum[1]:
        part.unlink()
        raise UserError(
            f"{archive.address}: what came is not what its record names (checksum): nothing is "
            "unpacked; run it again, it begins anew"
        )


def _more(archive: Archive, part: Path, bar) -> None:
    """Read from where the file ends to where the connection does."""
    begun = _size(part)
    asked = urllib.request.Request(archive.address, headers={"Range": f"bytes={begun}-"})
    with urllib.request.urlopen(asked, timeout=WAIT) as answer:
        again = begun and answer.status != 206  # a server that knows no ranges begins anew
        with part.open("wb" if again else "ab") as file:
            if again:
                bar.reset()
            while data := _came(answer):
                file.write(data)
                bar.update(len(data))


def _came(answer: http.client.HTTPResponse) -> bytes:
    """What comes next. What ends it is the connection's (ConnectionError), not the disk's."""
    try:
        return answer.read(CHUNK)
    except OSError as error:
        raise ConnectionError(error.errno, error.strerror or str(error)) from error


def _unpack(part: Path, root: Path, folder: str) -> None:
    """The archive's files as ROOT/FOLDER, there whole or not at all (UserError: a bad archive)."""
    aside = root / f".{folder}.unpacking"
    shutil.rmtree(aside, ignore_errors=True)
    try:
        with zipfile.ZipFile(part) as archive:
            members = [m for m in archive.infolist() if not m.is_dir()]
            if sum(m.file_size for m in members) > SWELLING * part.stat().st_size + (1 << 20):
                raise UserError(f"{part.name}: it would unpack to far more than videos do")
            for member in members:
                place = PurePosixPath(member.filename)
                if place.is_absolute() or ".." in place.parts or stat.S_ISLNK(
                    member.external_attr >> 16):  # fmt: skip
                    raise UserError(f"{part.name}: {member.filename!r} would lie outside {root}")
                inner = place.relative_to(folder) if place.parts[0] == folder else place
                (aside / inner).parent.mkdir(parents=True, exist_ok=True)
                with archive.open(member) as packed, (aside / inner).open("wb") as file:
                    shutil.copyfileobj(packed, file, CHUNK)
        if not aside.is_dir():
            raise UserError(f"{part.name}: it is empty")
        os.replace(aside, root / folder)
    except zipfile.BadZipFile as error:
        raise UserError(f"{part.name} is no whole ZIP archive ({error})") from error
    finally:
        with contextlib.suppress(OSError):
            shutil.rmtree(aside)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
