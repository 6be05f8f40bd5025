"""Portraits that wear the mouth of a clip: pairs of a still, a sound and known frames.

Few speakers are filmed; portraits of many people lie about. A clip's movement, in widths of the
mouth, is put on a portrait at rest; what is between the lips comes from the clip's own frames, in
the light of the portrait. What moves and what is said is the clip's, the face is the portrait's.
Made, not filmed: for training alone, so every one is of the split `train`.
"""

import dataclasses
import functools
import os
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import UInt8

from amie_core.config import FACE_SIZE, FPS, SAMPLE_RATE
from amie_core.data import alignment, corpora, faces, prepare, store
from amie_core.data.raw_clip import RawClip, Source
from amie_core.errors import UserError
from amie_core.model import lips
from amie_core.model.own_teeth import skin_of
from amie_core.model.painter import Painter
from amie_core.model.speaking import Painted
from amie_core.talking.still import Still, open_still

FRAMES = 30  # of a clip, at most, that a portrait wears: a window, and a frame well away from it
SQUARE = 112  # px at 256 around the mouth that hold all that is between the lips
EVERY = 4  # px at 256 between the places where the movement is worked out
FINEST = 1.5  # px of the picture a px at 256: larger portraits are made smaller


def prepare_portraits(
    root: str | Path | None, mouths: str | Path | None, out: str | Path, **more: Any
) -> prepare.Summary:
    """Prepare the pictures of a folder with the mouths of the prepared clips `mouths`.

    more: see `data.prepare.prepare`. UserError: as there; no pictures, or no clips to train on.
    """
    if mouths is None:
        raise UserError("portraits need --mouths, a folder of prepared clips whose mouths they get")
    folder = corpora.folder_of("portraits", root)
    if more.pop("backend", "auto") != "auto":
        raise UserError("--backend: faces of portraits are found as `amie talk` finds them: auto")
    found = corpora.listed("portraits", sources(folder, mouths), folder)
    listed = found, {"mouths": store.digest(mouths), "finder": faces.backend().name}
    return prepare.prepare("portraits", folder, out, listed=listed, **more)


def sources(root: Path, mouths: str | Path) -> Iterator[Source]:
    """A clip a picture below `root`, its mouth of a training clip of the prepared folder `mouths`.

    Each picture is a speaker. Which clip, and where in it, hangs on the picture's place below the
    root alone; every speaker is worn as often. UserError: nothing to train on in `mouths`.
    """
    pictures = [path.relative_to(root) for path in corpora.files_in(root, corpora.PICTURES)]
    stems = Counter(path.with_suffix("") for path in pictures)
    clips = store.clips(mouths, "train")
    by_speaker = [part.to_dict("records") for _, part in clips.groupby("speaker")]
    for path in pictures:
        own = path.with_suffix("") if stems[path.with_suffix("")] == 1 else path
        who = "_".join(own.parts)
        random = np.random.default_rng(zlib.crc32(os.fsencode(who)))
        rows = by_speaker[random.integers(len(by_speaker))]
        row = rows[random.integers(len(rows))]
        first = int(random.integers(max(row["frames"] - FRAMES, 0) + 1))
        reader = functools.partial(worn, root / path, Path(mouths), row["file"], first)
        said = "_".join(filter(None, (row["speaker"], row["utterance"])))
        yield Source(who, said, "train", root / path, reader)


def worn(portrait: Path, folder: Path, file: str, first: int) -> RawClip:
    """The portrait with the mouth of a prepared clip, of FRAMES of its frames from `first` on.

    UserError: the portrait shows no usable face, or the clip is absent or damaged.
    """
    still = _smaller(open_still(portrait))
    clip = store.load_clip(folder, file)
    span = slice(first, first + FRAMES)
    places = lips.laid(lips.closed(still.points), lips.relative(clip.landmarks)[0][span])
    samples = slice(*(number * SAMPLE_RATE // FPS for number in (first, first + FRAMES)))
    return RawClip(
        frames=_frames(still, clip.frames[span], clip.landmarks[span], places),
        fps=float(FPS),
        audio=clip.audio[samples].astype(np.float32) / 32767,
        landmarks=alignment.transform(places, cv2.invertAffineTransform(still.matrix)),
    )


def _smaller(still: Still) -> Still:
    """The same with no more px than are used, its own teeth left to those of the clip."""
    ratio = FINEST * float(np.hypot(*still.matrix[:, 0]))
    if ratio >= 1:
        return dataclasses.replace(still, teeth=None)
    shrunk = cv2.resize(still.picture, None, fx=ratio, fy=ratio, interpolation=cv2.INTER_AREA)
    height, width = still.picture.shape[:2]
    sides = shrunk.shape[1] / width, shrunk.shape[0] / height
    # px are counted from the middle of the first one
    back = np.array([[1 / sides[0], 0, 0.5 / sides[0] - 0.5],
                     [0, 1 / sides[1], 0.5 / sides[1] - 0.5], [0, 0, 1]])  # fmt: skip
    return Still(shrunk, still.points, still.matrix @ back)


def _frames(
    still: Still, frames: np.ndarray, points: np.ndarray, places: np.ndarray
) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    """The portrait with its landmarks at `places`, its lips over what clips' frames show there."""
    painter = Painter(still.picture, still.matrix, still.points, SQUARE, SQUARE)
    square = alignment.pixels(alignment.mouth_square(still.lip_box, SQUARE), SQUARE)
    corner = -square[:, 2]  # a px of it is one of the face's
    light = skin_of(still.aligned(FACE_SIZE), still.points) / skin_of(frames[0], points[0])
    pixels, coarse = (
        np.stack(np.meshgrid(axis, axis), -1) + corner
        for axis in (np.arange(SQUARE), np.arange((EVERY - 1) / 2, SQUARE, EVERY))
    )
    nothing = np.zeros((SQUARE, SQUARE, 3), np.float32)
    for frame, own, place in zip(frames, points, places, strict=True):
        moves = lips.Flow(own, coarse.reshape(-1, 2))(place).reshape(coarse.shape)
        source = (pixels + cv2.resize(moves, (SQUARE, SQUARE))).astype(np.float32)
        # Both coordinates in one map leave the second empty, which cv2's stubs do not know.
        inside = cv2.remap(frame, source, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[call-overload]
        colours = (inside * (light / 255)).astype(np.float32)
        yield painter.frame(Painted(place, colours, nothing))
