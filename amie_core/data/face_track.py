"""One face through a clip: found once, followed, checked once a second."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float

from amie_core.config import FPS
from amie_core.data import faces, landmarks
from amie_core.data.landmarks import SURE, LandmarkBackend

FILL = 5  # missed frames in a row that are filled by interpolation
SHORTEST = 25  # frames: what is left of a clip must be at least so long …
SHARE = 0.5  # … and at least this share of it
KEEP_BYTES = 256 << 20  # a clip's frames are kept in memory up to here, else decoded twice
JUMP = 0.6  # of the eyes' distance: a face that moves so far in a frame was cut


@dataclass
class FaceTrack:
    """What following a face gave: landmarks (nan where missed), frames, what was seen on the way.

    lost: frames the stream has not (None); cuts: frames that a cut comes before; two: whether
    most looks at the whole picture showed two faces of like size; on_its_head: whether they showed
    one upside down; frames: kept, or None when the clip is too large for that; size: (width,
    height) of the clip.
    """

    landmarks: Float[np.ndarray, "n 68 2"]
    frames: list[np.ndarray | None] | None
    size: tuple[int, int] = (0, 0)
    lost: list[int] = field(default_factory=list)
    cuts: list[int] = field(default_factory=list)
    two: bool = False
    on_its_head: bool = False


def track(frames: Iterable[np.ndarray | None], finder: LandmarkBackend) -> FaceTrack:
    """Follow the face of a clip. The search goes on until a face is found, and after each miss."""
    points: list[np.ndarray] = []
    kept: list[np.ndarray | None] | None = []
    result = FaceTrack(np.zeros((0, 68, 2), np.float32), kept)
    place: landmarks.Detection | None = None
    looks, several, turned, used = 0, 0, 0, 0
    thumbs = Thumbnails()
    for k, frame in enumerate(frames):
        found = np.full((68, 2), np.nan, np.float32)
        if frame is None:
            result.lost.append(k)
        else:
            result.size = frame.shape[1], frame.shape[0]
            used += frame.nbytes
            score = 0.0
            if place is not None:
                found, score = finder.landmarks(frame, place)
            if score < SURE or k % FPS == 0:
                candidates = faces.rivals(finder.detect(frame))
                if candidates:
                    looks, several = looks + 1, several + (len(candidates) > 1)
                    turned += faces.on_its_head(frame, candidates, finder)
                near = _nearest(candidates, place)
                if near is not None and (score < SURE or not _close(near, place)):
                    found, score = faces.locate(frame, finder, near)
            if score >= SURE:
                place = landmarks.face_place(found, score)
                if thumbs.cut(frame, k, found):
                    result.cuts.append(k)
            else:
                found = np.full((68, 2), np.nan, np.float32)
        if kept is not None:
            kept.append(frame)
            if used > KEEP_BYTES:
                kept = result.frames = None
        points.append(found)
    result.landmarks = np.array(points, np.float32).reshape(-1, 68, 2)
    result.two, result.on_its_head = several > looks / 2, turned > looks / 2
    return result


def _nearest(
    candidates: list[landmarks.Detection], place: landmarks.Detection | None
) -> landmarks.Detection | None:
    """The candidate where the face was last seen; without a place, the largest."""
    if not candidates:
        return None
    if place is None:
        return max(candidates, key=lambda face: face.side)
    return min(candidates, key=lambda face: _distance(face, place))


def _distance(a: landmarks.Detection, b: landmarks.Detection) -> float:
    return float(np.hypot(*(np.add(a.box[:2], a.box[2:]) - np.add(b.box[:2], b.box[2:])) / 2))


def _close(a: landmarks.Detection, b: landmarks.Detection | None) -> bool:
    return b is not None and _distance(a, b) < 0.5 * b.side


class Thumbnails:
    """Sees cuts: the 16×16 picture changes far more than it did so far, or the face jumps."""

    def __init__(self) -> None:
        self._last: np.ndarray | None = None  # of the last frame that had a face: the 16×16
        self._points, self._frame = np.zeros((68, 2), np.float32), 0  # picture, landmarks, number
        self._changes: list[float] = []

    def cut(self, frame: np.ndarray, k: int, points: np.ndarray) -> bool:
        """Whether a cut lies between this frame and the last one that had a face."""
        import cv2

        thumb = cv2.resize(frame, (16, 16), interpolation=cv2.INTER_AREA).astype(np.float32)
        cut = False
        if self._last is not None and k - self._frame <= FILL + 1:
            change = float(np.abs(thumb - self._last).mean())
            usual = float(np.median(self._changes)) if self._changes else 0.0
            eyes = np.linalg.norm(points[36:42].mean(0) - points[42:48].mean(0))
            moved = np.linalg.norm((points - self._points)[27:36].mean(0))
            cut = bool(change > max(12.0, 8 * usual) or moved > JUMP * eyes * (k - self._frame))
            self._changes.append(change)
        self._last, self._points, self._frame = thumb, points, k
        return cut


def usable_span(found: Bool[np.ndarray, " n"], cuts: list[int]) -> tuple[int, int]:
    """[start, end) of the longest stretch without a cut or more than FILL missed frames in a row.

    It begins and ends with a frame that was found.
    """
    best, start = (0, 0), 0
    last: int | None = None
    for k in np.flatnonzero(found).tolist():
        if last is None or k - last > FILL + 1 or k in cuts:
            start = k
        last = k
        if k + 1 - start > best[1] - best[0]:
            best = (start, k + 1)
    return best


def fill(landmarks: Float[np.ndarray, "n 68 2"]) -> Float[np.ndarray, "n 68 2"]:
    """Missed frames (nan) by linear interpolation between their neighbours. No other smoothing."""
    missed = np.isnan(landmarks[:, 0, 0])
    if not missed.any():
        return landmarks
    frames, flat = np.arange(len(landmarks)), landmarks.reshape(len(landmarks), -1).copy()
    for column in flat.T:
        column[missed] = np.interp(frames[missed], frames[~missed], column[~missed])
    return flat.reshape(landmarks.shape)
