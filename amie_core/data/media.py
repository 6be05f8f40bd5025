"""Media files opened safely, and which of their tracks are meant (PyAV)."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from amie_core.errors import UserError, reason

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from av.video.stream import VideoStream

# What people's recordings come in. A whitelist, because FFmpeg also takes lists of further files
# and addresses (HLS, DASH, concat, SDP) for media: a hostile "clip" would read what it names.
FORMATS = (
    "mov", "matroska", "mpeg", "mpegvideo", "mpegts", "avi", "flv", "asf", "ogg", "mxf", "nut",
    "dv", "gxf", "rm", "wtv", "ivf", "h264", "hevc", "m4v", "vc1", "obu", "mjpeg", "wav", "w64",
    "aiff", "au", "caf", "flac", "mp3", "aac", "loas", "ac3", "eac3", "dts", "amr", "ape", "wv",
    "tta", "tak", "mpc", "mpc8", "voc", "sox", "gif",
)  # fmt: skip
OPTIONS = {"protocol_whitelist": "file", "format_whitelist": ",".join(FORMATS)}


def opened(path: str | Path, what: str = "a media file") -> "InputContainer":
    """The file's container, to be used as a context manager. UserError: absent, or none that is
    taken here (`what` it should have been).

    The name is a file's whatever it looks like: FFmpeg would take `a:b.mp4` for an address.
    """
    import av

    av.logging.set_level(av.logging.PANIC)  # a damaged stream is reported once, by who reads it
    if Path(path).is_dir():
        raise UserError(f"{path} is a folder: give a file")
    try:
        return av.open(f"file:{path}", options=OPTIONS, metadata_errors="replace")
    except (av.error.FFmpegError, OSError, ValueError) as error:
        why = reason(error)
        if isinstance(error, av.error.ArgumentError):  # FFmpeg's word for the whitelist
            why = "its format is none that is taken here"
        raise UserError(f"{path} cannot be read as {what}: {why}") from error


def picture_track(container: "InputContainer") -> "VideoStream | None":
    """The track that moves: no cover art; the one marked default before the first."""
    from av.stream import Disposition

    still = Disposition.attached_pic | Disposition.timed_thumbnails
    # One without a decoder here has no codec context.
    moving = (s for s in container.streams.video if not s.disposition & still)
    return _default([s for s in moving if s.codec_context is not None])


def sound_tracks(container: "InputContainer") -> "list[AudioStream]":
    """The tracks that a decoder here reads, the one marked default first."""
    tracks = [s for s in container.streams.audio if s.codec_context is not None and s.rate]
    first = _default(tracks)
    return sorted(tracks, key=lambda s: s is not first)


def decoded(container: "InputContainer", stream: "VideoStream | AudioStream") -> Iterator:
    """A track's decoded frames; None where the decoder reported an error instead of one."""
    from av.error import FFmpegError

    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
            if packet is None:
                return
            yield from packet.decode()
        except FFmpegError:
            yield None


def told_end(container: "InputContainer", stream: "AudioStream") -> float | None:
    """When a track ends, in the file's own clock, by its header; None where it does not say.

    Asked of formats that write it down alone: elsewhere FFmpeg gives what it guesses by the size,
    the placeholder of a stream, or another track's end.
    """
    name, long, unit = container.format.name, stream.duration, stream.time_base
    if (name.startswith("mov") or name == "flac") and long is not None and unit is not None:
        return float(((stream.start_time or 0) + long) * unit)
    if name.startswith("matroska"):
        told = re.fullmatch(r"(\d+):(\d+):(\d+(?:\.\d+)?)", stream.metadata.get("DURATION", ""))
        if told:
            return 3600 * int(told[1]) + 60 * int(told[2]) + float(told[3])
    return None


def track(container: "InputContainer", index: int) -> "AudioStream":
    """The sound track of that index among the file's streams."""
    return next(stream for stream in container.streams.audio if stream.index == index)


def _default(tracks: list):
    from av.stream import Disposition

    marked = (s for s in tracks if s.disposition & Disposition.default)
    return next(marked, tracks[0] if tracks else None)
