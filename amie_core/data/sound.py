"""Sound: the voice of any audio or video file as 16 kHz mono, decoded as it is asked for."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from amie_core.config import FPS, SAMPLE_RATE
from amie_core.data import media
from amie_core.errors import UserError

if TYPE_CHECKING:
    from av import AudioFrame
    from av.audio.stream import AudioStream

FRAME_SAMPLES = SAMPLE_RATE // FPS  # 640
MP2_DELAY = 481 / 44100  # s: the synthesis filter bank's (ISO 11172-3), which decoders leave in
RATES = 1_000, 3_000_000  # samples a second that a recording may have; else its header is damaged
SILENT = 1e-7  # power of a track that holds nothing: -70 dBFS, BS.1770's absolute gate
UNHEARD = 1e-4  # of the loudest channel's power: a channel 40 dB below it has no voice
OPPOSED = -0.5  # correlation with the loudest channel from which one is turned over
CENTRE = 1e-2  # of the loudest channel's power: a centre 20 dB below it still has the dialogue
LACKING = 0.3, 0.02  # s, and share, that sound is shorter than its header says before it is told
BLOCK = 0.2  # s that loudness is measured over
SPEECH = 1e-2  # of the loudest block's power: blocks 20 dB below it are pauses
LONGEST_GAP = 600.0  # s of lost sound that are filled; more is a broken clock
OVER = 4.0  # of full scale: floats go no farther, or they are scaled (`_scale`)
WHOLE = (2.0**7, 2.0**15, 2.0**23, 2.0**31)  # full scale of floats that hold whole numbers
BROKEN = 2.0**33  # beyond every scale: no sample but a broken one
PLANES = 8  # of planar sound that FFmpeg lists by itself: of so many PyAV 18 lists one too many


def frame_count(samples: int) -> int:
    """Frames that cover so many samples at 16 kHz (the last one may be part filled)."""
    return max(1, -(-samples // FRAME_SAMPLES))


@dataclasses.dataclass(frozen=True)
class Voice:
    """Where the voice is in a file, found by listening to all of it.

    track: index among the file's streams; weights: of the channels (they add up to 1 without
    signs); level: of its speech, dBFS, None where it is silent; seconds: of what was decoded;
    scale: full scale of its samples, 1 but for floats that go far beyond it; notes: what was
    chosen.
    """

    track: int
    weights: tuple[float, ...]
    level: float | None
    seconds: float
    scale: float = 1.0
    notes: list[str] = dataclasses.field(default_factory=list)


def survey(path: str | Path) -> Voice:
    """The track and the channels that hold the voice, and how loud its speech is.

    The default track before the others, a silent one only where all are. Of the channels the
    centre, where it is heard (films and calls put speech there); else the mean of those that are
    heard, turned over where they oppose the loudest. UserError: no sound that can be decoded.
    """
    with media.opened(path, "sound") as container:
        tracks = [stream.index for stream in media.sound_tracks(container)]
    if not tracks:
        raise UserError(f"{path} has no sound: give a file with an audio track")
    found: list[Voice] = []
    for track in tracks:
        try:
            found.append(_listen(path, track))
        except UserError:
            if len(tracks) == 1:
                raise
            continue
        if found[-1].level is not None:
            break
    if not found:
        raise UserError(f"{path} holds no decodable sound: give another file")
    voice = found[-1] if found[-1].level is not None else found[0]
    if len(tracks) > 1:
        place = sorted(tracks).index(voice.track) + 1
        why = "the default one" if voice.track == tracks[0] else "those before it are silent"
        note = f"audio track {place} of {len(tracks)}: {why}"
        voice = dataclasses.replace(voice, notes=[note, *voice.notes])
    return voice


def _listen(path: str | Path, track: int, scale: float = 1.0) -> Voice:
    """What one track holds (UserError: nothing that can be decoded)."""
    names: list[str] = []
    blocks: list[np.ndarray] = []  # power of the channels, and what each two have in common
    count, samples, over = 0, 0, 0
    with media.opened(path, "sound") as container:
        stream = media.track(container, track)
        rate, told, ends = stream.rate, media.told_end(container, stream), 0.0
        if not RATES[0] <= rate <= RATES[1]:
            raise UserError(f"{path} says that its sound has {rate} samples a second: no sound has")
        size = max(1, round(BLOCK * rate))
        rest = np.zeros((0, 0))
        for frame, data in _blocks(container, stream, scale):
            if not names and frame is not None:
                names = [channel.name for channel in frame.layout.channels]
                rest = np.zeros((len(data), 0))
            count += data.shape[1]
            begins = ends if frame is None or frame.time is None else frame.time
            ends = begins + data.shape[1] / rate
            samples, over = samples + data.size, over + int((np.abs(data) >= OVER).sum())
            if len(data) != len(names):
                continue  # where the layout changes mid-file, the first one decides
            rest = np.concatenate([rest, data], axis=1)
            while rest.shape[1] >= size:
                blocks.append(rest[:, :size] @ rest[:, :size].T / size)
                rest = rest[:, size:]
        if rest.shape[1]:
            blocks.append(rest @ rest.T / rest.shape[1])
    if not blocks:
        raise UserError(f"{path} holds no decodable sound: give another file")
    if scale == 1 and over > samples / 100:
        scale = _scale(path, track)
        note = f"its samples go far beyond 1: {scale:.6g} is taken for full scale"
        again = _listen(path, track, scale)
        return dataclasses.replace(again, notes=[note, *again.notes])
    weights = _weights(np.mean(blocks, axis=0), names)
    heard = np.maximum(np.einsum("bij,i,j->b", np.array(blocks), weights, weights), 0)
    voice = Voice(track, tuple(weights.tolist()), _level(heard), count / rate, scale)
    if told is not None and told - ends > max(LACKING[0], LACKING[1] * told):
        voice.notes.append(f"it ends after {ends:.1f} of {told:.1f} s: cut or damaged")
    return voice


def _scale(path: str | Path, track: int) -> float:
    """Full scale of floats beyond 1: of the whole numbers that they hold, or what nearly all are
    within."""
    tops: list[float] = []
    integral, count = 0, 0
    with media.opened(path, "sound") as container:
        for frame in _frames(container, media.track(container, track)):
            found = _samples(frame)
            tops.append(float(np.quantile(np.abs(found), 0.999)))
            integral += int((found == np.rint(found)).sum())
            count += found.size
    top = float(np.quantile(tops, 0.99))
    if integral < 0.99 * count:
        return max(1.0, top)
    return next((whole for whole in WHOLE if top <= whole), WHOLE[-1])


def speech_level(wave: Float[np.ndarray, " samples"]) -> float | None:
    """How loud the speech of 16 kHz samples is, dBFS: its pauses left out; None for silence."""
    size = round(BLOCK * SAMPLE_RATE)
    parts = [wave[k : k + size].astype(np.float64) for k in range(0, len(wave), size)]
    return _level(np.array([(part**2).mean() for part in parts]))


def _level(power: Float[np.ndarray, " blocks"]) -> float | None:
    if not len(power) or power.max() <= SILENT:
        return None
    return float(10 * np.log10(power[power >= SPEECH * power.max()].mean()))


def _weights(power: Float[np.ndarray, "c c"], names: list[str]) -> Float[np.ndarray, " c"]:
    """Of the channels, from their powers and products and their names (FFmpeg's: FC, LFE …)."""
    own = power.diagonal().copy()
    if "LFE" in names and len(names) > 1:
        own[names.index("LFE")] = 0  # rumble
    loudest = int(own.argmax())
    if not own[loudest] > 0:
        return np.full(len(own), 1 / len(own))
    if "FC" in names and own[names.index("FC")] >= CENTRE * own[loudest]:
        return np.eye(len(own))[names.index("FC")]
    heard = own >= UNHEARD * own[loudest]
    common = power[loudest] / np.sqrt(np.maximum(own * own[loudest], 1e-300))
    signs = np.where(common < OPPOSED, -1.0, 1.0)
    return heard * signs / heard.sum()


def stream_audio(
    path: str | Path, origin: float | None = None, voice: Voice | None = None,
    level: float | None = None,
) -> Iterator[Float[np.ndarray, " k"]]:
    """Chunks of the voice, mono at 16 kHz in [-1, 1], decoded as they are asked for.

    `origin`: the time in the file's own clock that is sample 0 (a video's first frame); without
    it the sound's own beginning; voice: of `survey`, where it is known; level: dBFS that its
    speech is brought to (as recorded where None). Damaged packets become silence of the same
    length, MP2's delay of 11 ms (GRID) is taken off. UserError: no sound, or not a media file.
    """
    import soxr

    voice = survey(path) if voice is None else voice
    gain = 1.0
    if level is not None and voice.level is not None:
        gain = 10 ** ((level - voice.level) / 20)
    with media.opened(path, "sound") as container:
        stream = media.track(container, voice.track)
        resample = soxr.ResampleStream(stream.rate, SAMPLE_RATE, 1, dtype="float32")
        for block in whole_sound(path, container, stream, origin, voice.scale):
            chunk = resample.resample_chunk(mixed(block, voice.weights))
            if len(chunk):
                yield chunk if gain == 1 else np.float32(gain) * chunk
        if len(chunk := resample.resample_chunk(np.zeros(0, np.float32), last=True)):
            yield chunk if gain == 1 else np.float32(gain) * chunk


def whole_sound(
    path: str | Path, container, stream: "AudioStream", origin: float | None = None,
    scale: float = 1.0,
) -> Iterator[Float[np.ndarray, "c k"]]:
    """A track's blocks at its own rate and channels, without holes (see `stream_audio`)."""
    begin, written, rate = origin, 0, stream.rate
    if begin is None:
        begin = float((stream.start_time or 0) * (stream.time_base or 0))
    if stream.codec_context.name in ("mp2", "mp2float"):
        begin += MP2_DELAY
    for frame, block in _blocks(container, stream, scale):
        if frame is not None and frame.time is not None:
            gap = round((frame.time - begin) * rate) - written
            if gap > LONGEST_GAP * rate:
                raise UserError(f"{path}: its sound's clock jumps by {gap / rate:.0f} s")
            if gap < 0 and written == 0:
                block = block[:, -gap:]  # sound from before the picture
            elif gap > rate // 50 or (gap > 0 and written == 0):
                yield np.zeros((len(block), gap), np.float32)  # lost; < 20 ms is clock jitter
                written += gap
        if block.shape[1]:
            yield block
            written += block.shape[1]
    if not written:
        raise UserError(f"{path} holds no decodable sound: give another file")


def _frames(container, stream) -> "Iterator[AudioFrame]":
    """Decoded frames; a damaged packet leaves a hole that the next frame's time tells of."""
    for frame in media.decoded(container, stream):
        # A damaged AAC header can ask for dozens of channels; of those PyAV 18 lists planes that
        # are not there, and reading them ends the process.
        if frame is None:
            continue
        planes = frame.layout.nb_channels if frame.format.is_planar else 1
        many = frame.format.is_planar and planes == PLANES
        if len(frame.planes) in (planes, planes + many):
            yield frame


def _blocks(
    container, stream: "AudioStream", scale: float
) -> "Iterator[tuple[AudioFrame | None, Float[np.ndarray, 'c k']]]":
    """Decoded frames with their samples, within OVER of full scale and at the track's first rate.

    A file that was put together of two does not keep that rate: from there on its samples come one
    after the other, without a frame whose time could be asked.
    """
    import soxr

    rate = own = stream.rate  # of the first frames: the stream's own follows what is decoded
    fit: soxr.ResampleStream | None = None
    channels = 0
    for frame in _frames(container, stream):
        found = np.clip(_samples(frame) / scale, -OVER, OVER)
        if (frame.sample_rate, len(found)) != (own, channels):
            if fit is not None:
                yield None, _last_of(fit, channels)
            own, channels = frame.sample_rate, len(found)
            fit = None if own == rate else soxr.ResampleStream(own, rate, channels, "float32")
        if fit is None:
            yield frame, found
        else:
            whole = np.ascontiguousarray(found.T, np.float32)
            yield None, fit.resample_chunk(whole).reshape(-1, channels).T
    if fit is not None:
        yield None, _last_of(fit, channels)


def _last_of(fit: Any, channels: int) -> Float[np.ndarray, "c k"]:
    """What a resampler still holds."""
    rest = fit.resample_chunk(np.zeros((0, channels), np.float32), last=True)
    return rest.reshape(-1, channels).T


def _samples(frame: "AudioFrame") -> Float[np.ndarray, "c k"]:
    """One decoded frame as floats, 1 being full scale where the file's numbers are whole; 0 where
    they are none."""
    import av

    if frame.format.is_planar and frame.layout.nb_channels == PLANES:
        packed = av.AudioResampler(frame.format.packed.name, frame.layout, frame.sample_rate)
        (frame,) = packed.resample(frame)
    data: np.ndarray = frame.to_ndarray()
    if data.dtype == np.uint8:
        data = (data.astype(np.int16) - 128) / 128
    elif data.dtype.kind != "f":
        data = data / float(np.iinfo(data.dtype).max)
    count = len(frame.layout.channels)
    data = data if frame.format.is_planar else data.reshape(-1, count).T
    return np.where(np.abs(data) < BROKEN, data, 0)  # nan is not less either


def mixed(block: Float[np.ndarray, "c k"], weights: tuple[float, ...]) -> Float[np.ndarray, " k"]:
    """The channels by their weights; where the layout changes mid-file, their mean."""
    if len(block) != len(weights) or len(set(weights)) == 1:
        return np.ascontiguousarray(block.mean(axis=0), np.float32)
    return np.ascontiguousarray(weights @ block, np.float32)


def load_audio(
    path: str | Path, origin: float | None = None, voice: Voice | None = None
) -> Float[np.ndarray, " samples"]:
    """All the sound of an audio or video file: mono, 16 kHz, [-1, 1] (see `stream_audio`)."""
    blocks = list(stream_audio(path, origin, voice))
    if not blocks:
        raise UserError(f"{path} holds no decodable sound: give another file")
    return np.concatenate(blocks)
