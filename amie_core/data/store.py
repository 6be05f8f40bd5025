"""Prepared clips on disk: DIR/manifest.csv, DIR/corpus.json, DIR/clips/SPEAKER/UTTERANCE.npz.

A clip's file holds JPEG pictures of 256² one after the other (`jpeg`, `offsets`), landmarks and
lip box in 256-px units, the padded MFCC, which frames are silent, the sound, and words where the
corpus has them. NumPy's own format, nothing pickled; written aside, then renamed.
"""

import csv
import dataclasses
import hashlib
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float, Int16, UInt8

from amie_core.config import FACE_SIZE
from amie_core.data import alignment
from amie_core.errors import UserError
from amie_core.files import from_json, write_whole

if TYPE_CHECKING:
    import pandas as pd

    from amie_core.data.audio import Hears

VERSION = 1
JPEG_QUALITY = 92
TEST_SPLITS = ("test_seen", "test_unseen", "test")  # LRW has the last alone
COLUMNS = (
    "speaker", "utterance", "split", "status", "reason", "frames", "seconds", "file", "width",
    "height", "landmarks", "fps_in",
)  # fmt: skip


@dataclass(frozen=True)
class PreparedClip:
    """One prepared clip; landmarks and lip box in 256-px units whatever the frames' size.

    speaker: "" where the corpus does not say; frames: all n, or those that were asked for;
    mfcc: 4n + 16 rows (see audio.mfcc); silent: frames whose window holds no sound; audio: 16 kHz;
    words: (word, start s, end s) where the corpus has them.
    """

    speaker: str
    utterance: str
    split: str
    frames: UInt8[np.ndarray, "held s s 3"]
    landmarks: Float[np.ndarray, "n 68 2"]
    lip_box: tuple[int, int, int, int]
    mfcc: Float[np.ndarray, "hops 13"]
    silent: Bool[np.ndarray, " n"]
    audio: Int16[np.ndarray, " samples"]
    words: list[tuple[str, float, float]] = field(default_factory=list)


def encode(frames: Iterable[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """JPEG bytes of RGB frames one after the other, and where each starts (n + 1)."""
    import cv2

    settings = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    parts = [cv2.imencode(".jpg", frame[..., ::-1], settings)[1].ravel() for frame in frames]
    return np.concatenate(parts), np.cumsum([0, *map(len, parts)])


def write_clip(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write a clip's arrays (see the module's docstring). UserError: disk full, no right."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]  # no array is named allow_pickle
    write_whole(path, buffer.getvalue())


def load_clip(
    folder: str | Path,
    row: "str | pd.Series | Any",
    *,
    size: int = FACE_SIZE,
    only: Sequence[int] | None = None,
) -> PreparedClip:
    """A prepared clip, its frames at `size` px. `row`: of the manifest, or its `file`.

    only: numbers of the frames that are decoded, as many `frames` the clip has then; all the rest
    of it is whole. UserError: the file is absent or damaged.
    """
    path = Path(folder) / (row if isinstance(row, str) else row["file"])
    try:
        # Opened here, because numpy leaves a damaged file open.
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            data = {name: file[name] for name in file.files}
        count = len(data["offsets"]) - 1
        told = count if isinstance(row, str) else row["frames"]
        if not told == count == len(data["landmarks"]) == len(data["silent"]):
            raise ValueError("its parts are not of as many frames")
        numbers = range(count) if only is None else only
        frames = np.empty((len(numbers), size, size, 3), np.uint8)
        for picture, k in zip(frames, numbers, strict=True):
            picture[:] = _decode(data["jpeg"][data["offsets"][k] : data["offsets"][k + 1]], k, size)
        speaker, utterance, split = data["name"].tolist()
        split = split if isinstance(row, str) else row["split"]  # splits.csv may have changed
        spoken = zip(data["words"].tolist(), *data["word_times"].T.tolist(), strict=True)
        return PreparedClip(
            speaker, utterance, split, frames, data["landmarks"],
            tuple(data["lip_box"].tolist()), data["mfcc"], data["silent"], data["audio"],
            list(spoken),
        )  # fmt: skip
    except Exception as error:  # the parsers of ZIP, NumPy and JPEG raise a dozen kinds
        raise UserError(
            f"{path} is absent or damaged: remove it and prepare the corpus again"
        ) from error


def levelled(clip: PreparedClip, rate: int) -> PreparedClip:
    """The clip with its MFCC taken anew from its sound, speech at one level in every clip."""
    from amie_core.data import audio

    cepstra = audio.mfcc(_wave(clip, level=True), rate=rate, frames=len(clip.landmarks))
    return dataclasses.replace(clip, mfcc=cepstra)


def rows(clip: PreparedClip, hears: "Hears", rate: int, *, level: bool) -> Float[np.ndarray, "h c"]:
    """What is heard of a clip, as `audio.windows` cuts it; rate: of the cepstra (audio.mfcc);
    level: speech at one level in every clip."""
    from amie_core.data import audio

    if hears == "cepstra":
        return (levelled(clip, rate) if level else clip).mfcc
    wave, frames = _wave(clip, level=level), len(clip.landmarks)
    if hears == "speech":
        return audio.speech_rows(wave, frames, rate)
    return audio.wave_rows(wave, frames)


def _wave(clip: PreparedClip, *, level: bool) -> Float[np.ndarray, " samples"]:
    from amie_core.data import audio

    wave = clip.audio.astype(np.float32) / 32767
    return audio.levelled(wave) if level else wave


def around_mouth(clip: PreparedClip, side: int, size: int) -> PreparedClip:
    """A clip of whole 256-px faces as the square of `side` px around the mouth, at `size` px.

    Its landmarks and lip box are in 256ths of that square then, as if it were the face.
    """
    matrix = alignment.mouth_square(clip.lip_box, side)
    small = alignment.pixels(matrix, size)
    frames = np.empty((len(clip.frames), size, size, 3), np.uint8)
    for picture, frame in zip(frames, clip.frames, strict=True):
        picture[:] = alignment.sample(frame, small, size)
    points = alignment.transform(clip.landmarks, matrix)
    return dataclasses.replace(
        clip, frames=frames, landmarks=points, lip_box=alignment.lip_box(points)
    )


def _decode(jpeg: UInt8[np.ndarray, " bytes"], k: int, size: int) -> UInt8[np.ndarray, "s s 3"]:
    import cv2

    picture = cv2.imdecode(jpeg, cv2.IMREAD_COLOR_RGB)
    if picture is None:
        raise ValueError(f"frame {k} is no JPEG")
    if size == FACE_SIZE:
        return picture
    return cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA)


def read_manifest(folder: str | Path) -> "pd.DataFrame":
    """One row a clip, sorted. UserError: not a prepared folder."""
    import pandas as pd

    path = Path(folder) / "manifest.csv"
    if not path.is_file():
        raise UserError(f"{folder} holds no prepared clips: run amie prepare --out {folder} first")
    try:
        # Python's reader would hold a string for every cell of half a million lines.
        whole = io.BytesIO(_lines(path).encode())
        frame = pd.read_csv(whole, dtype=str, keep_default_na=False, on_bad_lines="skip")
        frame = frame.dropna().drop_duplicates(["speaker", "utterance"], keep="last")
        frame = frame.astype({"frames": int, "width": int, "height": int})
        frame = frame.astype({"seconds": float, "fps_in": float})
    except (ValueError, csv.Error) as error:
        raise _damaged(path, error) from error
    return frame.sort_values(["speaker", "utterance"], ignore_index=True)


def _lines(path: Path) -> str:
    """A manifest's text to its last whole line (a kill may have cut one short).

    ValueError: it is none.
    """
    text = path.read_text(encoding="utf-8")
    text = text[: text.rfind("\n") + 1]
    if next(csv.reader([text.partition("\n")[0]]), []) != [*COLUMNS]:
        raise ValueError("its first line does not name the columns")
    return text


def read_lines(path: Path) -> dict[tuple[str, str], str]:
    """Lines of a manifest by (speaker, utterance), the last one of each; one that a kill cut short
    is dropped.

    Text, because rows of half a million clips as dicts would take a gigabyte. UserError: damaged.
    """
    return {(row["speaker"], row["utterance"]): line(row) for row in _rows(path)}


def row_of(text: str) -> dict[str, str]:
    """The row that `line` has written."""
    return dict(zip(COLUMNS, next(csv.reader([text])), strict=True))


def _rows(path: Path) -> Iterator[dict[str, str]]:
    try:
        for row in csv.DictReader(io.StringIO(_lines(path))):
            if len(row) == len(COLUMNS) and None not in row.values():
                yield row
    except (ValueError, csv.Error) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> UserError:
    return UserError(f"{path} is damaged ({error}): prepare the corpus again into a new folder")


def line(row: dict[str, Any]) -> str:
    """One row of the manifest as text; names that are no Unicode are spelled with backslashes."""
    text = io.StringIO()
    csv.DictWriter(text, COLUMNS, lineterminator="\n").writerow(row)
    return text.getvalue().encode(errors="backslashreplace").decode()


def table(lines: dict[tuple[str, str], str]) -> bytes:
    """A whole manifest, sorted, from lines by (speaker, utterance)."""
    head = ",".join(COLUMNS) + "\n"
    return (head + "".join(lines[key] for key in sorted(lines))).encode()


def clips(folder: str | Path, split: str | None = None) -> "pd.DataFrame":
    """Rows of the usable clips (ok or repaired), of one split or of all."""
    rows = read_manifest(folder)
    rows = rows[rows.status != "rejected"]
    if split is not None:
        known = sorted(rows.split.unique())
        rows = rows[rows.split == split]
        if not len(rows):
            others = ", ".join(map(str, known)) or "none of any split"
            raise UserError(f"{folder} has no clips of split {split!r}: it has {others}")
    return rows.reset_index(drop=True)


def test_splits(folder: str | Path) -> tuple[str, ...]:
    """The test splits of a prepared corpus: known faces, then unseen ones; LRW has one for both.

    UserError: it has none.
    """
    known = set(clips(folder)["split"])
    found = tuple(split for split in TEST_SPLITS if split in known)
    if not found:
        raise UserError(
            f"{folder}: no clips to test on: prepare a corpus with a test split, or lay a "
            "splits.csv beside its clips"
        )
    return found


def one_each(folder: str | Path, most: int) -> "pd.DataFrame":
    """The first clip of so many speakers, or of words where the corpus names no speaker."""
    rows = clips(folder)
    return rows.groupby([Path(file).parent.name for file in rows["file"]]).head(1).head(most)


def settings(folder: str | Path) -> dict[str, Any]:
    """What a folder was prepared with. UserError: not a prepared folder."""
    path = Path(folder) / "corpus.json"
    try:
        found = from_json(path.read_text(encoding="utf-8"))
        if not isinstance(found, dict):
            raise ValueError("it describes no settings")
        return found
    except OSError as error:
        raise UserError(f"{folder} holds no prepared clips: run amie prepare first") from error
    except ValueError as error:
        raise _damaged(path, error) from error


def digest(folder: str | Path) -> str:
    """sha256 of the manifest and of what it was prepared with: names the data in a run's key."""
    read_manifest(folder)
    names = ("corpus.json", "manifest.csv")
    return hashlib.sha256(
        b"".join((Path(folder) / name).read_bytes() for name in names)
    ).hexdigest()
