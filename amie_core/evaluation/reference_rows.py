"""Rows that calibrate a table of results: the identity frame copied, the nearest training audio's
frame, the real frames. They depend on the data alone, so they are measured once and kept.
"""

import io
import json
import zipfile
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, UInt8

from amie_core import files
from amie_core.config import FACE_SIZE
from amie_core.data import faces, store
from amie_core.data.alignment import scale
from amie_core.data.audio import loudness, windows
from amie_core.data.store import PreparedClip
from amie_core.errors import UserError
from amie_core.evaluation import metrics
from amie_core.files import workspace

VERSION = 3  # of what is kept; raise it when a reference row or a metric changes
ROWS = {
    "copied_identity": "the clip's first frame, repeated: a still face",
    "nearest_audio": "for each frame, the training frame whose 20×13 MFCC window, standardised "
    "value by value over the candidates, is nearest (Euclidean); candidates are the speaker's own "
    "training clips where there are any, else all speakers'; at most 20 000 frames of whole clips "
    "drawn at random; the clip itself is never a candidate",
    "loudness": "the sound's loudness (dB, 40 ms) in place of the lip opening: what a correlation "
    "is worth that any loudness meter reaches",
    "real_frames": "the real frames against themselves; their landmarks measured at 256 px "
    "against measured through the model's size: what the landmark metrics lose by it",
}
CANDIDATES = 20_000  # frames


class Measured(NamedTuple):
    """Landmarks of aligned frames in px at 256², and which frames had any."""

    points: Float[np.ndarray, "n 68 2"]
    found: Bool[np.ndarray, " n"]


class Reference(NamedTuple):
    """What is known of a real clip: its landmarks through the model's size, and the rows' values.

    `rows` lacks a row that the data cannot give.
    """

    real: Measured
    rows: dict[str, dict[str, float | int | None]]


def measure_lips(frames: UInt8[np.ndarray, "n s s 3"], chunk: int = 100) -> Measured:
    """Landmarks of aligned frames of any size; each is scaled to 256² first, real or generated."""
    parts = []
    for i in range(0, len(frames), chunk):
        large = np.stack([scale(frame, FACE_SIZE) for frame in frames[i : i + chunk]])
        parts.append(faces.measure_landmarks(large))
    return Measured(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def compare(
    frames: UInt8[np.ndarray, "n s s 3"],
    measured: Measured,
    real: UInt8[np.ndarray, "n s s 3"],
    real_measured: Measured,
    silent: Bool[np.ndarray, " n"],
) -> dict[str, float | int | None]:
    """Every metric of one clip, frame 0 left out: it is given to the model.

    silent: frames in which nothing is said.
    """
    points, found = (part[1:] for part in measured)
    real_points, real_found = (part[1:] for part in real_measured)
    pixels = metrics.pictures(frames[1:], real[1:])
    return pixels | metrics.lips(points, found, real_points, real_found, silent[1:])


class NearestAudio:
    """Frames of training clips, picked by their sound (rule: ROWS["nearest_audio"])."""

    def __init__(self, data: Path, size: int, seed: int = 0, limit: int = CANDIDATES) -> None:
        self.data, self.size, self.seed, self.limit = data, size, seed, limit
        table = store.clips(data)
        self.rows: pd.DataFrame = table[table["split"] == "train"]
        self._pool = lru_cache(maxsize=2)(self._candidates)

    def _candidates(
        self, speaker: str | None
    ) -> tuple[list[str], np.ndarray, np.ndarray, np.ndarray]:
        """Files; file and frame number of each candidate; mean and deviation; windows (n, 260)."""
        rows = self.rows if speaker is None else self.rows[self.rows["speaker"] == speaker]
        order = np.random.default_rng(self.seed).permutation(len(rows))
        files: list[str] = []
        numbers, vectors, total = [], [], 0
        for file in rows["file"].iloc[order]:
            if total >= self.limit:
                break
            try:
                clip = store.load_clip(self.data, file, only=[])
            except UserError:
                continue  # a damaged training clip gives no candidates
            n = len(clip.landmarks)
            numbers.append(np.stack([np.full(n, len(files)), np.arange(n)], axis=1))
            vectors.append(windows(clip.mfcc, n).reshape(n, -1))
            files.append(file)
            total += n
        if not files:
            raise UserError(f"{self.data}: no readable training clip")
        every = np.concatenate(vectors)
        scaling = np.stack([every.mean(axis=0), every.std(axis=0) + 1e-3])
        return files, np.concatenate(numbers), scaling, (every - scaling[0]) / scaling[1]

    def frames(self, clip: PreparedClip, file: str) -> UInt8[np.ndarray, "n s s 3"]:
        """A frame of a training clip for every frame of `clip` (UserError: none to be had)."""
        own = len(self.rows[(self.rows["speaker"] == clip.speaker) & (self.rows["file"] != file)])
        files, numbers, scaling, vectors = self._pool(clip.speaker if own else None)
        n = len(clip.frames)
        asked = (windows(clip.mfcc, n).reshape(n, -1) - scaling[0]) / scaling[1]
        # |a − b|² without |a|², which is the same for all candidates
        distance = (vectors**2).sum(axis=1) - 2 * asked @ vectors.T
        if file in files:
            distance[:, numbers[:, 0] == files.index(file)] = np.inf
        chosen = numbers[distance.argmin(axis=1)]
        found = np.empty((n, self.size, self.size, 3), np.uint8)
        for k in np.unique(chosen[:, 0]):  # each clip is opened once, its other frames left alone
            at = np.flatnonzero(chosen[:, 0] == k)
            wanted = chosen[at, 1].tolist()
            found[at] = store.load_clip(self.data, files[k], size=self.size, only=wanted).frames
        return found


class References:
    """The reference rows of a data folder at one image size, kept in the workspace."""

    def __init__(self, data: Path, size: int) -> None:
        self.data, self.size = data, size
        self.nearest = NearestAudio(data, size)
        self.backend = faces.backend().name
        key = f"{store.digest(data)[:16]}-{size}-{self.backend}-v{VERSION}"
        self.folder = workspace() / "measured" / key

    def of(self, clip: PreparedClip, file: str) -> Reference:
        """Reference of one clip, whose frames are at the model's size (UserError: damaged)."""
        kept = (self.folder / file).with_suffix(".npz")
        known = _read(kept)
        every = metrics.DEFINITIONS.keys()  # a metric may have come since
        if known is None or any(every - row.keys() for row in known.rows.values()):
            known = self._measure(clip, file)
            buffer = io.BytesIO()
            np.savez(buffer, points=known.real.points, found=known.real.found,
                     rows=json.dumps(known.rows))  # fmt: skip
            files.write_whole(kept, buffer.getvalue())
        return known

    def _measure(self, clip: PreparedClip, file: str) -> Reference:
        n, frames = len(clip.frames), clip.frames
        real = measure_lips(frames)
        first = Measured(*(np.repeat(part[:1], n, axis=0) for part in real))
        still = np.repeat(frames[:1], n, axis=0)
        rows = {"copied_identity": compare(still, first, frames, real, clip.silent)}
        if len(self.nearest.rows[self.nearest.rows["file"] != file]):
            nearest = self.nearest.frames(clip, file)
            rows["nearest_audio"] = compare(
                nearest, measure_lips(nearest), frames, real, clip.silent
            )
        wave = clip.audio.astype(np.float32) / 2**15
        points, found, silent = real.points[1:], real.found[1:], clip.silent[1:]
        rows["loudness"] = metrics.of_loudness(loudness(wave, n)[1:], points, found, silent)
        whole = real
        if self.size != FACE_SIZE:
            whole = measure_lips(store.load_clip(self.data, file).frames)
        rows["real_frames"] = compare(frames, whole, frames, real, clip.silent)
        return Reference(real, rows)


def _read(path: Path) -> Reference | None:
    """What was kept of a clip; None where nothing usable was."""
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            rows: dict[str, Any] = json.loads(str(file["rows"]))
            return Reference(Measured(file["points"], file["found"]), rows)
    except (OSError, KeyError, ValueError, zipfile.BadZipFile, EOFError):
        return None
