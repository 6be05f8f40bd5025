"""Corpora as lists of sources: GRID, LRW, any folder of videos, and the drawn corpus."""

import csv
import functools
import hashlib
import re
from collections.abc import Callable, Iterable
from pathlib import Path

from amie_core.data.raw_clip import RawClip, Source
from amie_core.data.video import read_video
from amie_core.errors import UserError

VIDEOS = {".mpg", ".mpeg", ".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v"}
# The unseen-speaker split of LipNet (Assael et al. 2016, sec. 4.1): two male and two female
# speakers are kept for testing. The paper names none.
GRID_UNSEEN = {"s1", "s2", "s20", "s22"}
GRID_VALIDATION = {"s31"}  # a speaker for choices, so that none is made on those
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
    if root is None or not Path(root).is_dir():
        raise UserError(f"corpus {name}: {root} is not a folder: give --root the corpus's folder")
    sources = sorted(CORPORA[name](Path(root)), key=lambda s: (s.speaker, s.utterance))
    if not sources:
        raise UserError(f"corpus {name}: no clips under {root} in that corpus's layout")
    return _with_splits(sources, Path(root) / "splits.csv")


def video_source(speaker: str, utterance: str, split: str, path: Path) -> Source:
    """A clip in a video file; what a file's name cannot hold becomes _ in the two names."""
    speaker, utterance = (re.sub(r"[^\w.-]+", "_", text) for text in (speaker, utterance))
    return Source(speaker, utterance, split, path, functools.partial(read_video, path))


def videos(root: Path) -> Iterable[Path]:
    """All video files under a folder."""
    return (p for p in root.rglob("*") if p.suffix.lower() in VIDEOS and p.is_file())


def held_out(key: str, share: float = HELD_OUT, skip: float = 0.0) -> bool:
    """Whether a name falls into the held-out share: the same answer on every machine.

    skip: a share before it that another split has.
    """
    place = int(hashlib.sha256(key.encode()).hexdigest()[:8], 16) / 2**32
    return skip <= place < skip + share


def _grid(root: Path) -> Iterable[Source]:
    """GRID: a file below a folder s1 … s34, however deep the download nests it."""
    for path in videos(root):
        folders = [p for p in path.relative_to(root).parts[:-1] if re.fullmatch(r"s\d+", p)]
        speaker = folders[-1] if folders else root.name
        if not re.fullmatch(r"s\d+", speaker):
            continue
        key, split = f"{speaker}/{path.stem}", "train"
        if speaker in GRID_UNSEEN:
            split = "test_unseen"
        elif speaker in GRID_VALIDATION:
            split = "val_unseen"
        elif held_out(key):
            split = "test_seen"
        elif held_out(key, skip=HELD_OUT):
            split = "val_seen"
        yield video_source(speaker, path.stem, split, path)


def _lrw(root: Path) -> Iterable[Source]:
    """LRW: WORD/{train,val,test}/WORD_00001.mp4, its own split (Chung and Zisserman 2016).

    It names no speakers: the word stands in their place. Numbers start again in each split.
    """
    for path in videos(root):
        *_, word, split, _ = ("", "", *path.relative_to(root).parts)
        if word and split in ("train", "val", "test"):
            yield video_source(word, f"{split}_{path.stem}", split, path)


def _folder(root: Path) -> Iterable[Source]:
    """Any folder: a sub-folder is a speaker, a file at the top its own speaker.

    Held out by hash: a tenth of the speakers (test_unseen), a tenth of the others' files
    (test_seen).
    """
    paths = list(videos(root))
    stems = [path.with_suffix("") for path in paths]
    for path, stem in zip(paths, stems, strict=True):
        parts = path.relative_to(root).parts
        name = "_".join((*parts[1:-1], path.stem if stems.count(stem) == 1 else path.name))
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
    """The sources with the splits of a splits.csv; clips it does not name are left out."""
    if not table.is_file():
        return sources
    try:
        with table.open(newline="", encoding="utf-8") as file:
            splits = {(r["speaker"], r["utterance"]): r["split"] for r in csv.DictReader(file)}
    except (KeyError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{table}: needs the columns speaker, utterance, split") from error
    named = [
        Source(s.speaker, s.utterance, splits[s.speaker, s.utterance], s.path, s.reader)
        for s in sources
        if (s.speaker, s.utterance) in splits
    ]
    if not named:
        raise UserError(f"{table}: names none of the {len(sources)} clips beside it")
    return named


def read(source: Source) -> RawClip:
    """Read a source's clip."""
    return source.read()


def words(source: Source) -> list[tuple[str, float, float]]:
    """(word, start, end) in seconds from GRID's alignments where they lie beside the clips.

    The corpus's files count in 25,000ths of a second: a frame is 1,000.
    """
    if source.path is None:
        return []
    name = f"{source.path.stem}.align"
    for folder in source.path.parents[:4]:
        for path in (folder / "alignments" / source.speaker / name, folder / "align" / name,
                     folder / name):  # fmt: skip
            if path.is_file():
                rows = [line.split() for line in path.read_text().splitlines()]
                return [(r[2], int(r[0]) / 25000, int(r[1]) / 25000) for r in rows if len(r) == 3]
    return []
