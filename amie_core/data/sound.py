"""Sound: any audio or video file to 16 kHz mono, decoded as it is asked for."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Float

from amie_core.config import FPS, SAMPLE_RATE
from amie_core.errors import UserError, reason

FRAME_SAMPLES = SAMPLE_RATE // FPS  # 640
MP2_DELAY = 481 / 44100  # s: the synthesis filter bank's (ISO 11172-3), which decoders leave in


def frame_count(samples: int) -> int:
    """Frames that cover so many samples at 16 kHz (the last one may be part filled)."""
    return max(1, -(-samples // FRAME_SAMPLES))


def stream_audio(
    path: str | Path, origin: float | None = None
) -> Iterator[Float[np.ndarray, " k"]]:
    """Chunks of mono sound at 16 kHz in [-1, 1], decoded as they are asked for.

    `origin`: the time in the file's own clock that is sample 0 (a video's first frame); without
    it the sound's own beginning. Damaged packets become silence of the same length, MP2's delay
    of 11 ms (GRID) is taken off. UserError: no sound, or not a media file.
    """
    import soxr

    rate, blocks = _decoded(path, origin)
    resample = soxr.ResampleStream(rate, SAMPLE_RATE, 1, dtype="float32")
    for block in blocks:
        if len(chunk := resample.resample_chunk(block)):
            yield chunk
    if len(chunk := resample.resample_chunk(np.zeros(0, np.float32), last=True)):
        yield chunk


def _decoded(path: str | Path, origin: float | None) -> tuple[int, Iterator[np.ndarray]]:
    """The file's own rate, and its mono sound without holes, in blocks."""
    import av

    try:
        container = av.open(str(path))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read as sound: {reason(error)}") from error
    if not container.streams.audio:
        container.close()
        raise UserError(f"{path} has no sound: give a file with an audio track")
    stream = container.streams.audio[0]
    rate = stream.rate
    begin = origin
    if begin is None:
        begin = float((stream.start_time or 0) * (stream.time_base or 0))
    if stream.codec_context.name in ("mp2", "mp2float"):
        begin += MP2_DELAY

    def blocks() -> Iterator[np.ndarray]:
        written = 0
        with container:
            for packet in container.demux(stream):
                try:
                    frames = packet.decode()
                except av.error.FFmpegError:
                    continue  # the hole is filled from the next frame's time
                for frame in frames:
                    block = _mono(frame)
                    if frame.time is not None:
                        gap = round((frame.time - begin) * rate) - written
                        if gap < 0 and written == 0:
                            block = block[-gap:]  # sound from before the picture
                        elif gap > rate // 50 or (gap > 0 and written == 0):
                            yield np.zeros(gap, np.float32)  # lost sound; < 20 ms is clock jitter
                            written += gap
                    if len(block):
                        yield block
                        written += len(block)
        if not written:
            raise UserError(f"{path} holds no decodable sound: give another file")

    return rate, blocks()


def _mono(frame) -> np.ndarray:
    """One decoded frame as float32 in [-1, 1], channels averaged."""
    data = frame.to_ndarray()
    scale = 1.0 if data.dtype.kind == "f" else 1.0 / float(np.iinfo(data.dtype).max)
    if data.dtype == np.uint8:
        data, scale = data.astype(np.int16) - 128, 1 / 128
    channels = len(frame.layout.channels)
    data = data if frame.format.is_planar else data.reshape(-1, channels).T
    return np.ascontiguousarray(data.mean(axis=0) * scale, dtype=np.float32)


def load_audio(path: str | Path, origin: float | None = None) -> Float[np.ndarray, " samples"]:
    """All the sound of an audio or video file: mono, 16 kHz, [-1, 1] (see `stream_audio`)."""
    return np.concatenate(list(stream_audio(path, origin)))
