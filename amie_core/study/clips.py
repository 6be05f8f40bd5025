"""The clips that raters see: cut to the speech, at one loudness, and nothing else done to them.

All clips of a trial have the same length, size and sound, and the same words in their metadata, so
that only what a method drew tells them apart.
"""

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float, UInt8

from amie_core.config import FPS
from amie_core.data.alignment import scale
from amie_core.data.sound import FRAME_SAMPLES

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
    from amie_core.data.video_writer import VideoWriter

    sound = wave[part.start * FRAME_SAMPLES : part.stop * FRAME_SAMPLES]
    with VideoWriter(path, size, audio=sound, comment=NOTE, crf=CRF) as writer:
        for frame in frames[part]:
            writer.write(scale(frame, size))


def seconds(part: slice) -> float:
    """Length of a cut clip."""
    return round((part.stop - part.start) / FPS, 2)
