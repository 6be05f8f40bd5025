"""The clips that raters see: cut to the speech, at one loudness, real or generated, nothing else.

All clips of a trial have the same length, size and sound, and the same words in their metadata, so
that only what a method drew tells them apart.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float, UInt8

from amie_core.config import FPS
from amie_core.data.sound import FRAME_SAMPLES
from amie_core.errors import UserError

if TYPE_CHECKING:
    from amie_core.data.store import PreparedClip

MARGIN = 4  # frames left before and after the speech
LEVEL = -26.0  # dBFS of the frames that are not silent
PEAK = 0.9  # no sample above it: a clip with high peaks stays under LEVEL
MOVED = 10  # frames (0.4 s) that a shift check moves the sound: far beyond what passes unnoticed
CRF = 24  # H.264 quality
NOTE = "Clip of a blind study. It may be synthetic: the study's key says whether it is."


def cut(silent: Bool[np.ndarray, " n"]) -> slice:
    """The frames from shortly before the first sound to shortly after the last."""
    heard = np.flatnonzero(~silent)
    if not len(heard):
        return slice(0, len(silent))
    return slice(max(0, heard[0] - MARGIN), min(len(silent), heard[-1] + 1 + MARGIN))


def level(
    wave: Float[np.ndarray, " samples"], silent: Bool[np.ndarray, " n"]
) -> Float[np.ndarray, " samples"]:
    """The sound at LEVEL over its frames that are not silent, or as near as PEAK allows."""
    count = min(len(silent), len(wave) // FRAME_SAMPLES)
    frames = wave[: count * FRAME_SAMPLES].reshape(count, FRAME_SAMPLES)
    active = frames[~silent[:count]]
    power = float((active**2).mean()) if active.size else 0.0
    if power <= 0:
        return wave
    gain = 10 ** (LEVEL / 20) / math.sqrt(power)
    return wave * min(gain, PEAK / float(np.abs(wave).max()))


def moved(wave: Float[np.ndarray, " samples"], frames: int) -> Float[np.ndarray, " samples"]:
    """The sound so many frames later (earlier where negative), silence in its place."""
    by = frames * FRAME_SAMPLES
    if abs(by) >= len(wave):
        return np.zeros_like(wave)
    padded = np.pad(wave, (max(by, 0), max(-by, 0)))
    return padded[: len(wave)] if by >= 0 else padded[-by:]


def shift_of(way: int) -> int:
    """Frames that clip `way` of a shift check has its sound moved: 0, +10, -10, +20, …"""
    return (MOVED if way % 2 else -MOVED) * ((way + 1) // 2)


def sound_of(clip: "PreparedClip") -> Float[np.ndarray, " samples"]:
    """A prepared clip's sound, levelled, exactly as long as its frames."""
    wave = clip.audio.astype(np.float32) / 32768
    wave = level(wave, clip.silent)
    want = len(clip.frames) * FRAME_SAMPLES
    return np.pad(wave, (0, max(0, want - len(wave))))[:want].astype(np.float32)


def write(
    path: Path,
    frames: UInt8[np.ndarray, "n s s 3"],
    wave: Float[np.ndarray, " samples"],
    part: slice,
    size: int,
) -> None:
    """Write the frames of `part` with their sound, `size` px wide, as H.264 + AAC."""
    from amie_core.data.video import VideoWriter
    from amie_core.talking.talk import scale

    sound = wave[part.start * FRAME_SAMPLES : part.stop * FRAME_SAMPLES]
    with VideoWriter(path, size, audio=sound, comment=NOTE, crf=CRF) as writer:
        for frame in frames[part]:
            writer.write(scale(frame, size))


def seconds(part: slice) -> float:
    """Length of a cut clip."""
    return round((part.stop - part.start) / FPS, 2)


REFERENCES = ("copied_identity", "nearest_audio")  # of reference.ROWS: no training behind them


@dataclass(frozen=True)
class Method:
    """One method under the name that the study gives it.

    about: what the key keeps of it; frames: the clip of a manifest's `file` as the method makes
    it, (n, s, s, 3) uint8, from its first frame and its sound.
    """

    name: str
    about: dict[str, Any]
    frames: Callable[[str], np.ndarray]


def open_methods(words: Sequence[str], data: Path, device: str = "cpu") -> list[Method]:
    """Two methods or more: run folders, NAME=FOLDER, or names of reference rows.

    A run without a name has its method's, for AMIE the row of Table 3. data: the prepared clips
    that they will speak. Raises UserError for what is no run, has another MFCC rate, or whose name
    is taken.
    """
    runs = [_run(word, data, device) for word in words if word not in REFERENCES]
    if len(words) < 2 or not runs:
        raise UserError(
            "a study compares at least two methods, one of them a run: give more --runs"
        )
    size = max(method.about["image_size"] for method in runs)
    found = iter(runs)
    methods = [_reference(w, data, size) if w in REFERENCES else next(found) for w in words]
    names = [method.name for method in methods]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"two methods are called {name!r}: name runs, --runs NAME=FOLDER")
        if name.startswith(("real", "shift")):
            raise UserError(f"a method cannot be called {name!r}: name it, --runs NAME=FOLDER")
    return methods


def _run(word: str, data: Path, device: str) -> Method:
    """A trained run of the command line."""
    from amie_core.data import store
    from amie_core.data.alignment import lip_box
    from amie_core.data.audio import windows
    from amie_core.machine import pick_device
    from amie_core.model.talker import generate
    from amie_core.training.checkpoint import load_generator

    name, equals, path = word.partition("=")
    place = Path(path if equals else word)
    generator, meta = load_generator(place, pick_device(device))
    if store.settings(data).get("mfcc_rate") != meta["mfcc_rate"]:
        raise UserError(f"{data} has not the MFCC rate of {place}, {meta['mfcc_rate']} Hz")
    method = str(meta.get("method", "amie"))
    own = str(meta["row"]) if method == "amie" else method

    def frames(file: str) -> np.ndarray:
        clip = store.load_clip(data, file, size=meta["image_size"])
        mouth = lip_box(clip.landmarks[:1])
        return generate(generator, clip.frames[0], windows(clip.mfcc, len(clip.frames)), mouth)

    kept = ("profile", "row", "seed", "step", "commit", "image_size")
    about = {"run": place.resolve().name, "method": method, **{k: meta.get(k) for k in kept}}
    return Method(name if equals and name else own, about, frames)


def _reference(name: str, data: Path, size: int) -> Method:
    """A reference row at the size of the runs beside it."""
    from amie_core.data import store
    from amie_core.evaluation.reference_rows import ROWS, NearestAudio

    nearest = NearestAudio(data, size) if name == "nearest_audio" else None

    def frames(file: str) -> np.ndarray:
        clip = store.load_clip(data, file, size=size)
        if nearest is not None:
            return nearest.frames(clip, file)
        return np.repeat(clip.frames[:1], len(clip.frames), axis=0)

    return Method(name, {"reference": ROWS[name], "image_size": size}, frames)
