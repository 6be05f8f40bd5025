"""Video files read: the pictures on screen at each 1/25 s, and the sound (PyAV)."""

import contextlib
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from amie_core.config import FPS
from amie_core.data import media, sound
from amie_core.data.picture import picture
from amie_core.data.raw_clip import RawClip
from amie_core.errors import UserError

HOLE = 0.2  # s without a new picture that are named
JUMP = 60.0  # s between two pictures that no clip has: its clock is broken
LARGEST = 40_000_000  # px of a picture (8K has 33 million)


@dataclass(frozen=True)
class Timing:
    """What the time stamps of a video track say.

    origin: the first picture's time, s of the file's clock; interval: the usual one between two
    pictures, s; rate: pictures a second; constant: whether nearly all intervals are the usual one;
    holes: (start, end) of what is longer than HOLE, s after the origin; stamped: whether there
    are time stamps at all.
    """

    origin: float
    interval: float
    rate: float
    constant: bool
    holes: list[tuple[float, float]]
    stamped: bool = True


def read_video(path: str | Path) -> RawClip:
    """The pictures on screen at each 1/25 s (decoded as they are asked for), and the sound.

    Upright, square pixels, 8-bit sRGB, all of the first picture's size. Where the decoder reports
    damage the pictures come as None, so that picture and sound stay in step; a picture that stays
    on screen for longer (variable rate, frames left out) is repeated. UserError: the file is
    absent, not a video, or ends before its first picture.
    """
    with media.opened(path, "a video") as container:
        stream = media.picture_track(container)
        if stream is None:
            raise UserError(f"{path} has no picture: give a video file")
        timing = _timing(container, stream, path)
        heard = bool(media.sound_tracks(container))
    notes: list[str] = []
    choices: list[str] = []
    wave = None
    if heard:
        try:
            voice = sound.survey(path)
            wave, choices = sound.load_audio(path, timing.origin, voice), voice.notes
        except UserError as error:
            notes.append(str(error))
    if not timing.constant:
        notes.append(f"variable rate, {timing.rate:.3g} frames/s on average: put on {FPS}")
    elif abs(timing.rate - FPS) >= 0.01:
        notes.append(f"resampled from {timing.rate:g} to {FPS} frames/s")
    notes += [f"no new picture from {a:.2f} to {b:.2f} s" for a, b in timing.holes]
    frames = on_clock(_decoded(path, timing), timing.interval)
    return RawClip(frames, timing.rate, wave, notes=notes, choices=choices)


def _timing(container, stream, path: str | Path) -> Timing:
    """The track's time stamps, read without decoding. UserError: a clock that jumps."""
    from av.error import FFmpegError

    stamps = []
    with contextlib.suppress(FFmpegError):  # a file cut short still has its beginning
        for packet in container.demux(stream):
            if packet.pts is not None and not packet.is_discard:
                stamps.append(float(packet.pts * packet.time_base))
    stated = float(stream.average_rate or stream.base_rate or FPS)
    times = np.unique(stamps)
    if len(times) < 2:
        origin = float(times[0]) if len(times) else 0.0
        return Timing(origin, 1 / stated, stated, True, [], bool(len(times)))
    steps = np.diff(times)
    usual = float(np.median(steps))
    even = np.abs(steps - usual) <= max(0.1 * usual, 0.0015)
    constant = bool(even.mean() >= 0.98)
    rate = 1 / usual if constant else len(steps) / float(times[-1] - times[0])
    if constant and abs(stated - rate) < 0.02 * rate:  # stamps in whole ms are a little off
        rate, usual = stated, 1 / stated
    if steps.max() > JUMP:
        at = times[steps.argmax()] - times[0]
        raise UserError(f"{path}: its clock jumps by {steps.max():.0f} s at {at:.2f} s")
    holes = [(float(t - times[0]), float(t + d - times[0]))
             for t, d in zip(times, steps, strict=False) if d > max(HOLE, 2 * usual)]  # fmt: skip
    return Timing(float(times[0]), usual, rate, constant, holes)


def _decoded(path: str | Path, timing: Timing) -> Iterator[tuple[float, np.ndarray | None, bool]]:
    """(s after the first picture, picture, whether pictures before it were lost) in order."""
    number, broken = 0, False
    size: tuple[int, int] | None = None
    with media.opened(path, "a video") as container:
        stream = media.picture_track(container)
        assert stream is not None
        stream.codec_context.thread_count = 1  # preparation runs a process a core
        stream.codec_context.options = {"max_pixels": str(LARGEST)}
        for frame in _progressive(stream, media.decoded(container, stream)):
            if frame is None:
                broken = True
                continue
            if size is None:
                wide = frame.width * (stream.sample_aspect_ratio or 1)
                size = max(1, round(wide)), frame.height
            time = number * timing.interval
            if timing.stamped and frame.time is not None:
                time = frame.time - timing.origin
            number += 1
            damaged = frame.is_corrupt
            yield time, None if damaged else picture(frame, size), broken or damaged
            broken = damaged


def _progressive(stream, frames: Iterable) -> Iterator:
    """The frames, interlaced ones (DVD, DV, camcorders) put together by FFmpeg's bwdif."""
    from av.filter import Graph

    graph = None
    for frame in frames:
        if graph is None and frame is not None and frame.interlaced_frame:
            graph = Graph()
            ends = graph.add_buffer(stream), graph.add("bwdif", "send_frame:auto:interlaced")
            graph.link_nodes(*ends, graph.add("buffersink")).configure()
        if graph is None or frame is None:
            yield frame
            continue
        graph.push(frame)
        yield from _pulled(graph)
    if graph is not None:
        graph.push(None)
        yield from _pulled(graph)


def _pulled(graph) -> Iterator:
    from av.error import BlockingIOError, EOFError

    with contextlib.suppress(BlockingIOError, EOFError):
        while True:
            yield graph.pull()


def on_clock(decoded: Iterable[tuple[float, Any, bool]], interval: float) -> Iterator[Any]:
    """What is on screen at each 1/25 s, of (time s, picture, whether some before it were lost).

    interval: the usual one between two pictures, s. A picture counts from half of that (at most
    half a tick) before its own time on, so that stamps may jitter, and stays until the next;
    where some were lost it stays for one interval, and None fills the rest.
    """
    early = min(interval, 1 / FPS) / 2 - 1e-6
    tick, shown, last = 0, None, -math.inf
    for time, seen, lost in decoded:
        if time <= last:
            continue  # a second picture of the same time
        while (now := tick / FPS + early) < time:
            yield None if lost and now >= last + interval else shown
            tick += 1
        shown, last = seen, time
    while tick / FPS + early < last + interval:
        yield shown
        tick += 1
