"""Corpora as lists of sources: GRID, LRW, any folder of videos, and the drawn corpus."""

import contextlib
import csv
import dataclasses
import hashlib
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from amie_core.config import FPS
from amie_core.data.raw_clip import RawClip, Source
from amie_core.errors import UserError, reason
from amie_core.machine import say

VIDEOS = {
    ".mpg", ".mpeg", ".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mts", ".m2ts", ".wmv",
    ".3gp", ".flv", ".f4v", ".ogv", ".vob",
}  # fmt: skip
PICTURES = {
    ".jpg", ".jpeg", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff", ".heic", ".heif", ".avif",
    ".jp2", ".gif",
}  # fmt: skip
LONGEST = 100  # bytes of a name
SPEAKER = re.compile(r"s\d+", re.IGNORECASE)
# The unseen-speaker split of LipNet (Assael et al. 2016, sec. 4.1): two male and two female
# speakers are kept for testing. The paper names none.
GRID_UNSEEN = {"s1", "s2", "s20", "s22"}
GRID_VALIDATION = {"s31"}  # a speaker for choices, so that none is made on those
LRW_FRAMES = 29  # of each of its clips: 1.16 s
COLUMNS = "speaker", "utterance", "split"  # of a splits.csv
SPLITS = {"train", "val", "val_seen", "val_unseen", "test", "test_seen", "test_unseen"}
HELD_OUT = 0.1  # share of the other speakers' utterances (and of a folder's) kept for testing


def corpus(
    name: str, root: str | Path | None = None, *, identities: int = 12, utterances: int = 8,
    seed: int = 0,
) -> list[Source]:  # fmt: skip
    """All clips of a corpus, "synthetic" or one of CORPORA, by speaker and utterance.

    root: the corpus's folder (none for the drawn one); identities, utterances and seed are the
    drawn corpus's. A `splits.csv` in the root (speaker, utterance, split) wins over the rule.
    UserError: unknown name, no such folder, nothing in it, or an unreadable splits.csv.
    """
    if name == "synthetic":
        from amie_core.data.synthetic.corpus import sources as drawn

        return list(drawn(identities=identities, utterances=utterances, seed=seed))
    if name not in CORPORA:
        choices = ", ".join(["synthetic", *CORPORA])
        raise UserError(f"unknown corpus {name!r}: choose one of {choices}")
    root = folder_of(name, root)
    return listed(name, CORPORA[name](root), root)


def folder_of(name: str, root: str | Path | None) -> Path:
    """A corpus's folder (UserError: there is none)."""
    if root is None or not Path(root).is_dir():
        raise UserError(f"corpus {name}: {root} is not a folder: give --root the corpus's folder")
    return Path(root)


def listed(name: str, sources: Iterable[Source], root: Path) -> list[Source]:
    """What was found in a corpus's folder, in order, under names of its own, by its splits.csv.

    UserError: nothing was found; an unreadable splits.csv.
    """
    found = sorted(_named(sources, root), key=lambda s: (s.speaker, s.utterance))
    if not found:
        raise UserError(f"corpus {name}: no clips under {root} in that corpus's layout")
    return _with_splits(found, root / "splits.csv")


def video_source(speaker: str, utterance: str, split: str, path: Path, word: str = "") -> Source:
    """A clip in a video file. Its two names are made safe and its own by `corpus`."""
    return Source(speaker, utterance, split, path, word=word)


def files_in(root: Path, kinds: set[str] = VIDEOS) -> Iterator[Path]:
    """All files of some suffixes under a folder, links followed.

    What begins with a dot and macOS's `__MACOSX` are left out: copies of the files' attributes.
    """
    folders = [(root, frozenset([_identity(root)]))]
    while folders:
        folder, above = folders.pop()
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            say(f"{folder} is left out: {reason(error)}")
            continue
        for entry in entries:
            if entry.name.startswith(".") or entry.name == "__MACOSX":
                continue
            with contextlib.suppress(OSError):  # a link to nothing
                if entry.is_dir():
                    if (found := _identity(entry)) not in above:  # a link upwards never ends
                        folders.append((Path(entry.path), above | {found}))
                elif os.path.splitext(entry.name)[1].lower() in kinds and entry.is_file():
                    yield Path(entry.path)


def _identity(folder: "Path | os.DirEntry[str]") -> tuple[int, int]:
    found = folder.stat()
    return found.st_dev, found.st_ino


def safe_name(text: str) -> str:
    """The text as a part of a file's name that every system takes: other signs become _."""
    name = re.sub(r"[^\w.-]+", "_", unicodedata.normalize("NFC", text)).lstrip(".") or "_"
    return name.encode()[:LONGEST].decode(errors="ignore")


def _named(sources: Iterable[Source], root: Path) -> list[Source]:
    """The sources under safe names that are each one's own.

    Of files that would share their names the one that is really called so keeps them; the others,
    and names too long for a file, get six digits of the hash of their path from the root.
    """
    groups: dict[tuple[str, str], list[Source]] = {}
    for source in sources:
        key = source.speaker and safe_name(source.speaker), safe_name(source.utterance)
        groups.setdefault(key, []).append(source)
    named = []
    for (speaker, utterance), group in groups.items():
        called = [s for s in group if (s.speaker, s.utterance) == (speaker, utterance)]
        called = [s for s in called if s.path is not None and s.path.stem == utterance]
        keeps = group if len(group) == 1 else called if len(called) == 1 else []
        for source in group:
            own = utterance
            long = max(len(n.encode(errors="replace")) for n in (source.speaker, source.utterance))
            if source not in keeps or long > LONGEST:
                path = os.path.relpath(source.path or source.utterance, root)
                own = f"{utterance}-{hashlib.sha256(os.fsencode(path)).hexdigest()[:6]}"
            named.append(dataclasses.replace(source, speaker=speaker, utterance=own))
    return named


def held_out(key: str, share: float = HELD_OUT, skip: float = 0.0) -> bool:
    """Whether a name falls into the held-out share: the same answer on every machine.

    skip: a share before it that another split has.
    """
    place = int(hashlib.sha256(os.fsencode(key)).hexdigest()[:8], 16) / 2**32
    return skip <= place < skip + share


def of_expert(speaker: str, utterance: str) -> bool:
    """Whether a training clip is one of the half that a sync expert learns from."""
    return held_out(f"expert {speaker}/{utterance}", 0.5)


def _grid(root: Path) -> Iterator[Source]:
    """GRID: a file below a folder s1 … s34, however deep the download nests it.

    A sentence that is there twice (`mpg_6000` beside `mpg_vcd`) is taken once, the better one.
    """
    best: dict[tuple[str, str], Path] = {}
    doubles = 0
    for path in files_in(root):
        folders = [root.name, *path.relative_to(root).parts[:-1]]
        speakers = [name.lower() for name in folders if SPEAKER.fullmatch(name)]
        if not speakers:
            continue
        key = speakers[-1], path.stem.lower()
        doubles += key in best
        best[key] = min(path, best.get(key, path), key=_quality)
    if doubles:
        say(f"{root}: {doubles} clips are there more than once: the best of each is taken")
    if any(next(root.glob(f"{depth}audio_25k*"), None) for depth in ("", "*/", "*/*/")):
        say(f"{root}: audio_25k is left out: the sound is the videos' own")
    for (speaker, name), path in best.items():
        utterance, split = f"{speaker}/{name}", "train"
        if speaker in GRID_UNSEEN:
            split = "test_unseen"
        elif speaker in GRID_VALIDATION:
            split = "val_unseen"
        elif held_out(utterance):
            split = "test_seen"
        elif held_out(utterance, skip=HELD_OUT):
            split = "val_seen"
        yield video_source(speaker, name, split, path)


def _quality(path: Path) -> tuple[int, str]:
    """Sorts GRID's better files first: those of 6 Mbit/s, plain ones, those for video CDs."""
    folders = " ".join(path.parts[:-1]).lower()
    return (0 if "mpg_6000" in folders else 2 if "vcd" in folders else 1), str(path)


def _lrw(root: Path) -> Iterator[Source]:
    """LRW: WORD/{train,val,test}/WORD_00001.mp4, its own split (Chung and Zisserman 2016).

    It names no speakers. Numbers start again in each split.
    """
    for path in files_in(root):
        *_, word, split, _ = ("", "", *path.relative_to(root).parts)
        if word and split in ("train", "val", "test"):
            own = path.stem if path.stem.startswith(f"{word}_") else f"{word}_{path.stem}"
            yield video_source("", f"{split}_{own}", split, path, safe_name(word))


def _folder(root: Path) -> Iterator[Source]:
    """Any folder: a sub-folder is a speaker, a file at the top its own speaker.

    Held out by hash: a tenth of the speakers (test_unseen), a tenth of the others' files
    (test_seen).
    """
    paths = list(files_in(root))
    stems = Counter(path.with_suffix("") for path in paths)
    for path in paths:
        parts = path.relative_to(root).parts
        own = path.stem if stems[path.with_suffix("")] == 1 else path.name
        name = "_".join((*parts[1:-1], own))
        speaker = parts[0] if len(parts) > 1 else name
        seen = "test_seen" if len(parts) > 1 and held_out(f"{speaker}/{name}") else "train"
        yield video_source(speaker, name, "test_unseen" if held_out(speaker) else seen, path)


# Corpora of files by name: what yields the clips below a folder. The drawn one needs no folder.
CORPORA: dict[str, Callable[[Path], Iterable[Source]]] = {
    "grid": _grid,
    "lrw": _lrw,
    "folder": _folder,
}


def _with_splits(sources: list[Source], table: Path) -> list[Source]:
    """The sources with the splits of a splits.csv; clips it does not name are left out.

    Names are as in the manifest, or as the folders and files have them.
    """
    if not table.is_file():
        return sources
    known = {(source.speaker, source.utterance) for source in sources}
    splits: dict[tuple[str, str], str] = {}
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:  # spreadsheets mark it
            semicolons = ";" in (file.readline().partition(",")[0])
            file.seek(0)
            for cells in csv.DictReader(file, delimiter=";" if semicolons else ","):
                row = {str(name).strip().lower(): cell for name, cell in cells.items()}
                speaker, utterance, split = ((row[name] or "").strip() for name in COLUMNS)
                if not (speaker or utterance):
                    continue  # an empty line, as spreadsheets leave them
                key = speaker and safe_name(speaker), utterance and safe_name(utterance)
                if key not in known and Path(utterance).suffix.lower() in VIDEOS:
                    key = key[0], safe_name(Path(utterance).stem)
                if not split or splits.setdefault(key, split) != split:
                    raise UserError(f"{table}: {speaker}/{utterance} has no split, or two")
    except UnicodeDecodeError as error:
        raise UserError(f"{table}: is not UTF-8: save it as CSV UTF-8") from error
    except (KeyError, TypeError, AttributeError, csv.Error) as error:
        raise UserError(f"{table}: needs the columns {', '.join(COLUMNS)}") from error
    if absent := sorted(splits.keys() - known):
        say(f"{table}: {len(absent)} of its {len(splits)} clips are not there "
            f"({'/'.join(absent[0])} for one)")  # fmt: skip
    if strange := sorted({*splits.values()} - SPLITS):
        say(f"{table}: split {strange[0]!r} is none that training and tables look for "
            f"({', '.join(sorted(SPLITS))})")  # fmt: skip
    named = [
        dataclasses.replace(s, split=splits[s.speaker, s.utterance])
        for s in sources
        if (s.speaker, s.utterance) in splits
    ]
    if not named:
        one = f"{sources[0].speaker}/{sources[0].utterance}".lstrip("/")
        raise UserError(f"{table}: names none of the {len(sources)} clips beside it, {one} for one")
    return named


def read(source: Source) -> RawClip:
    """Read a source's clip."""
    return source.read()


def words(source: Source) -> list[tuple[str, float, float]]:
    """(word, start, end) in seconds, from what lies beside the clips.

    GRID's alignments count in 25,000ths of a second: a frame is 1,000. Lines that do not say a
    word and two times are left out. LRW's word stands in the middle of its clip, as long as the
    clip's .txt says; without it, it may be anywhere in the 29 frames.
    """
    if source.path is None:
        return []
    if source.word:
        return [(source.word.lower(), *_centred(source.path.with_suffix(".txt")))]
    stem, speaker = source.path.stem, source.speaker
    for folder in source.path.parents[:4]:
        for place in ("", *(f"{kind}/{name}" for kind in ("alignments", "align")
                            for name in ("", speaker, speaker.upper()))):  # fmt: skip
            for suffix in (".align", ".ALIGN"):
                path = folder / place / (stem + suffix)
                if path.is_file():
                    return list(_spoken(path))
    return []


def _centred(told: Path) -> tuple[float, float]:
    """Start and end, in seconds, of the word of an LRW clip that this text describes."""
    whole = LRW_FRAMES / FPS
    try:
        text = told.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return 0.0, whole
    found = re.search(r"^Duration:\s*(\d*\.?\d+)\b", text, re.MULTILINE)
    length = min(float(found[1]), whole) if found else whole
    return round((whole - length) / 2, 3), round((whole + length) / 2, 3)


def _spoken(path: Path) -> Iterator[tuple[str, float, float]]:
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        match line.split():
            case [start, end, word] if start.isdecimal() and end.isdecimal():
                yield word, int(start) / 25000, int(end) / 25000
