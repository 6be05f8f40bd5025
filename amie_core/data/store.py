"""Prepared clips on disk: DIR/manifest.csv, DIR/corpus.json, DIR/clips/SPEAKER/UTTERANCE.npz.

A clip's file holds JPEG pictures of 256² one after the other (`jpeg`, `offsets`), landmarks and
lip box in 256-px units, the padded MFCC, which frames are silent, the sound, and words where the
corpus has them. NumPy's own format, nothing pickled; written aside, then renamed.
"""

import csv
import hashlib
import io
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float, Int16, UInt8

from amie_core.config import FACE_SIZE
from amie_core.errors import UserError
from amie_core.files import write_whole

if TYPE_CHECKING:
    import pandas as pd

VERSION = 1
JPEG_QUALITY = 92
COLUMNS = (
    "speaker", "utterance", "split", "status", "reason", "frames", "seconds", "file", "width",
    "height", "landmarks", "fps_in",
)  # fmt: skip


@dataclass(frozen=True)
class PreparedClip:
    """One prepared clip; landmarks and lip box in 256-px units whatever the frames' size.

    mfcc: 4n + 16 rows (see audio.mfcc); silent: frames whose window holds no sound; audio: 16 kHz;
    words: (word, start s, end s) where the corpus has them.
    """

    speaker: str
    utterance: str
    split: str
    frames: UInt8[np.ndarray, "n s s 3"]
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
    folder: str | Path, row: "str | pd.Series | Any", *, size: int = FACE_SIZE
) -> PreparedClip:
    """A prepared clip, its frames at `size` px. `row`: of the manifest, or its `file`.

    UserError: the file is absent or damaged.
    """
    import cv2

    path = Path(folder) / (row if isinstance(row, str) else row["file"])
    try:
        # Opened here, because numpy leaves a damaged file open.
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            data = {name: file[name] for name in file.files}
        frames = np.empty((len(data["offsets"]) - 1, size, size, 3), np.uint8)
        for k, (start, end) in enumerate(
            zip(data["offsets"][:-1], data["offsets"][1:], strict=True)
        ):
            picture = cv2.imdecode(data["jpeg"][start:end], cv2.IMREAD_COLOR_RGB)
            if picture is None:
                raise ValueError(f"frame {k} is no JPEG")
            if size != FACE_SIZE:
                picture = cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA)
            frames[k] = picture
        speaker, utterance, split = data["name"].tolist()
        split = split if isinstance(row, str) else row["split"]  # splits.csv may have changed
        spoken = zip(data["words"].tolist(), *data["word_times"].T.tolist(), strict=True)
        return PreparedClip(
            speaker, utterance, split, frames, data["landmarks"],
            tuple(data["lip_box"].tolist()), data["mfcc"], data["silent"], data["audio"],
            list(spoken),
        )  # fmt: skip
    except Exception as error:  # the parsers of ZIP, NumPy and JPEG raise a dozen kinds
        raise UserError(f"{path} is absent or damaged: prepare the corpus again") from error


def read_manifest(folder: str | Path) -> "pd.DataFrame":
    """One row a clip, sorted. UserError: not a prepared folder."""
    import pandas as pd

    path = Path(folder) / "manifest.csv"
    if not path.is_file():
        raise UserError(f"{folder} holds no prepared clips: run amie prepare --out {folder} first")
    frame = pd.DataFrame(read_rows(path), columns=list(COLUMNS))
    try:
        frame = frame.astype({"frames": int, "width": int, "height": int})
        frame = frame.astype({"seconds": float, "fps_in": float})
    except ValueError as error:
        raise _damaged(path, error) from error
    return frame.sort_values(["speaker", "utterance"], ignore_index=True)


def read_rows(path: Path) -> list[dict[str, str]]:
    """Rows of a manifest, the last one of each clip; a line cut short by a kill is dropped.

    UserError: damaged.
    """
    try:
        text = path.read_text(encoding="utf-8")
        lines = csv.DictReader(io.StringIO(text[: text.rfind("\n") + 1]))
        if tuple(lines.fieldnames or ()) != COLUMNS:
            raise ValueError("its first line does not name the columns")
        rows = [row for row in lines if len(row) == len(COLUMNS) and None not in row.values()]
    except (ValueError, csv.Error) as error:
        raise _damaged(path, error) from error
    return list({(row["speaker"], row["utterance"]): row for row in rows}.values())


def _damaged(path: Path, error: Exception) -> UserError:
    return UserError(f"{path} is damaged ({error}): prepare the corpus again into a new folder")


def line(row: dict[str, Any]) -> str:
    """One row of the manifest as text; names that are no Unicode are spelled with backslashes."""
    text = io.StringIO()
    csv.DictWriter(text, COLUMNS, lineterminator="\n").writerow(row)
    return text.getvalue().encode(errors="backslashreplace").decode()


def table(rows: dict[tuple[str, str], dict[str, Any]]) -> bytes:
    """A whole manifest, sorted, from rows by (speaker, utterance)."""
    head = ",".join(COLUMNS) + "\n"
    return (head + "".join(line(rows[key]) for key in sorted(rows))).encode()


def clips(folder: str | Path, split: str | None = None) -> "pd.DataFrame":
    """Rows of the usable clips (ok or repaired), of one split or of all."""
    rows = read_manifest(folder)
    rows = rows[rows.status != "rejected"]
    if split is not None:
        known = sorted(rows.split.unique())
        rows = rows[rows.split == split]
        if not len(rows):
            raise UserError(f"{folder} has no clips of split {split!r}: it has {', '.join(known)}")
    return rows.reset_index(drop=True)


def settings(folder: str | Path) -> dict[str, Any]:
    """What a folder was prepared with. UserError: not a prepared folder."""
    path = Path(folder) / "corpus.json"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
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
