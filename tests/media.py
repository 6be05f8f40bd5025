"""Small videos and sounds that tests make for themselves."""

import functools
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import numpy as np


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    """White noise, float32, 16 kHz."""
    return (np.random.default_rng(seed).normal(size=int(seconds * 16000)) * 0.1).astype(np.float32)


@functools.cache
def drawn(identity: int = 1, frames: int = 50) -> tuple[np.ndarray, np.ndarray]:
    """Frames (n, 256, 256, 3) and 16 kHz sound of a drawn, talking face (repeated to length)."""
    from amie_core.data.synthetic import corpus

    source = corpus.sources(identities=identity, utterances=1)[identity - 1]
    clip = source.read()
    pictures = list(clip.frames)
    turns = -(-frames // len(pictures))
    picked = np.array((pictures + pictures[::-1]) * turns)[:frames]
    return picked, np.tile(clip.audio, turns + 1)[: frames * 640]


def write_media(
    path: Path,
    frames: Iterable[np.ndarray] = (),
    audio: np.ndarray | None = None,
    *,
    fps: int | Fraction = 25,
    rate: int = 16000,
    codec: str = "mpeg4",
    sound: str = "aac",
    times: list[int] | None = None,
    start: float = 0.0,
    interlaced: bool = False,
) -> Path:
    """A file with picture, sound or both.

    times: of the frames, in ticks of 1/fps; start: of the sound, s; interlaced: marked so.
    """
    import av

    path.parent.mkdir(parents=True, exist_ok=True)
    frames = list(frames)
    with av.open(str(path), "w") as out:
        if frames:
            video = out.add_stream(codec, rate=fps)
            video.height, video.width = frames[0].shape[:2]
            video.pix_fmt, video.bit_rate = "yuv420p", 3_000_000
            if interlaced:
                video.codec_context.options = {"flags": "+ildct+ilme", "field_order": "tt"}
        if audio is not None:
            wave = np.atleast_2d(audio)
            layout = {1: "mono", 2: "stereo"}[len(wave)]
            stream = out.add_stream(sound, rate=rate, layout=layout)
        for k, frame in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
            picture.pts, picture.time_base = times[k] if times else k, 1 / Fraction(fps)
            out.mux(video.encode(picture))
        if frames:
            out.mux(video.encode(None))
        if audio is not None:
            data = np.round(np.clip(wave, -1, 1).T.reshape(1, -1) * 32767).astype(np.int16)
            block = av.AudioFrame.from_ndarray(data, format="s16", layout=layout)
            block.sample_rate, block.pts = rate, round(start * rate)
            block.time_base = Fraction(1, rate)
            fit = av.AudioResampler(stream.format.name, layout, rate, stream.frame_size or 1024)
            for part in [*fit.resample(block), *fit.resample(None)]:
                out.mux(stream.encode(part))
            out.mux(stream.encode(None))
    return path
