"""MFCC, and the 20×13 window of a frame (sec. 4.1); which frames are silent.

Chosen where the paper is silent: SyncNet's geometry (25 ms windows every 10 ms, hop h covers
[10h, 10h + 25) ms, 13 cepstra, 20 hops a frame), 26 Slaney mel bands, orthonormal DCT-II of the
decibels, floored at -100 dB. No level is taken from the clip as a whole, so a stream gives the
same numbers as the file read at once.
"""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float

from amie_core.config import FPS, MFCC_RATES, SAMPLE_RATE, SPEECH_LEVEL, WINDOW
from amie_core.data.bandwidth import Filler, filler
from amie_core.data.sound import (
    FRAME_SAMPLES,
    Voice,
    frame_count,
    speech_level,
    stream_audio,
    survey,
)
from amie_core.errors import UserError

HOPS = 100 // FPS  # hops of 10 ms in a frame: 4
BEFORE = 8  # hops of a frame's window that start before the frame
BANDS = 26  # mel bands: as many as 5 kHz can fill, and the usual number for 13 cepstra
SPEECH_BANDS, SPEECH_RANGE = 32, (60.0, 3800.0)  # Hz: what model.speech_embedding hears
JUDGED = 10  # s at the beginning whose bands tell which a recording lacks
FLOOR = 1e-10  # power of digital silence: -100 dB
# What a generator is given of a hop: 13 cepstra; its 160 samples; 13 cepstra and 32 speech bands.
Hears = Literal["cepstra", "wave", "speech"]


@cache
def _plan(rate: int) -> tuple[int, int, int, np.ndarray, np.ndarray, np.ndarray]:
    """Window, hop and FFT lengths in samples; the window; mel bands (bins, 26); DCT (26, 13)."""
    if rate not in MFCC_RATES:
        raise UserError(f"MFCC rate {rate} Hz is not one of {MFCC_RATES}")
    length, hop = rate // 40, rate // 100  # 25 ms, 10 ms
    size = 1 << (length - 1).bit_length()
    k = np.arange(WINDOW[1])
    cosines = np.cos(np.pi * k * (np.arange(BANDS)[:, None] + 0.5) / BANDS)  # DCT-II …
    cosines *= np.sqrt(np.where(k == 0, 1, 2) / BANDS)  # … orthonormal
    window = np.hanning(length + 1)[:-1]  # the periodic one
    kind = np.float32
    bands = _mel(rate, size).astype(kind)
    return length, hop, size, window.astype(kind), bands, cosines.astype(kind)


def cosines() -> Float[np.ndarray, "26 13"]:
    """From mel bands in dB to cepstra; orthonormal, so its transpose leads back to smooth bands."""
    return _plan(SAMPLE_RATE)[5].astype(np.float32)


@cache
def _speech_plan() -> tuple[np.ndarray, np.ndarray]:
    """Speech bands (bins, 32) of 16 kHz; between which of the 26 each lies, by weight (26, 32)."""
    bands = _mel(SAMPLE_RATE, _plan(SAMPLE_RATE)[2], SPEECH_BANDS, *SPEECH_RANGE)
    each, places = np.eye(BANDS), speech_places()
    spread = np.stack([np.interp(places, np.arange(BANDS), one) for one in each])
    return bands.astype(np.float32), spread.astype(np.float32)


def speech_places() -> Float[np.ndarray, " 32"]:
    """Where the middles of the speech bands lie among those of the 26, whose numbers they are."""
    low, high, top = (_to_mel(f) for f in (*SPEECH_RANGE, SAMPLE_RATE / 2))
    middles = np.linspace(low, high, SPEECH_BANDS + 2)[1:-1]
    return (middles * (BANDS + 1) / top - 1).astype(np.float32)


KNEE, BELOW, ABOVE = 1000.0, 200 / 3, np.log(6.4) / 27  # Slaney: linear to 1 kHz, then logarithmic


def _to_mel(frequency: float) -> float:
    if frequency < KNEE:
        return frequency / BELOW
    return KNEE / BELOW + float(np.log(frequency / KNEE)) / ABOVE


def _mel(
    rate: int, size: int, count: int = BANDS, low: float = 0.0, high: float | None = None
) -> Float[np.ndarray, "bins bands"]:
    """Slaney's mel bands, each triangle of area 1: librosa's default (compared by a test).

    Written out because importing librosa takes seconds, and `amie talk` needs nothing else of it.
    """
    mels = np.linspace(_to_mel(low), _to_mel(rate / 2 if high is None else high), count + 2)
    edges = np.where(mels < 15, mels * BELOW, KNEE * np.exp(ABOVE * (mels - 15)))
    bins = np.arange(size // 2 + 1)[:, None] * rate / size
    first, centre, last = edges[:-2], edges[1:-1], edges[2:]
    rising, falling = (bins - first) / (centre - first), (last - bins) / (last - centre)
    return np.maximum(0, np.minimum(rising, falling)) * 2 / (last - first)


def mel_bands(wave: np.ndarray, rate: int) -> Float[np.ndarray, "hops 26"]:
    """Mel bands in dB of every full 25 ms window of a wave at `rate`."""
    return _decibels(_power(wave, rate), _plan(rate)[4])


def _power(wave: np.ndarray, rate: int) -> Float[np.ndarray, "hops bins"]:
    length, hop, size, window, _, _ = _plan(rate)
    if len(wave) < length:
        return np.zeros((0, size // 2 + 1), np.float32)
    frames = np.lib.stride_tricks.sliding_window_view(wave, length)[::hop]
    return np.abs(np.fft.rfft(frames * window, size)).astype(np.float32) ** 2


def _decibels(power: np.ndarray, bands: np.ndarray) -> Float[np.ndarray, "hops bands"]:
    return 10 * np.log10(np.maximum(power @ bands, FLOOR))


def _cepstra(
    wave: np.ndarray, rate: int, fill: Filler | None = None, speech: bool = False
) -> Float[np.ndarray, "hops c"]:
    """Cepstra of every full window; fill: puts something into bands that a recording lacks;
    speech: and the speech bands in dB, of a wave of 16 kHz."""
    power = _power(wave, rate)
    bands = _decibels(power, _plan(rate)[4])
    filled = fill(bands) if fill else bands
    cepstra = (filled @ _plan(rate)[5]).astype(np.float32, copy=False)
    if not speech:
        return cepstra
    own, spread = _speech_plan()
    also = _decibels(power, own)
    lacking = (filled != bands).any(0) @ spread > 0
    also[:, lacking] = (filled @ spread)[:, lacking]
    return np.concatenate([cepstra, also.astype(np.float32, copy=False)], 1)


def mfcc(
    wave: Float[np.ndarray, " samples"], *, rate: int = SAMPLE_RATE, frames: int | None = None
) -> Float[np.ndarray, "hops 13"]:
    """MFCC of a clip, 4·frames + 16 rows: row r is hop r - 8, the first of frame 0's window.

    wave: 16 kHz mono; `rate` 5000 resamples it first, as the paper says (sec. 4.1). `frames`:
    of the picture; sound that is shorter or longer is filled with silence or cut.
    """
    import soxr

    frames = frame_count(len(wave)) if frames is None else frames
    if rate != SAMPLE_RATE:
        wave = soxr.resample(wave, SAMPLE_RATE, rate)
    return _cepstra(_fit(np.asarray(wave, np.float32), frames, rate), rate)


def speech_rows(
    wave: Float[np.ndarray, " samples"], frames: int, rate: int = SAMPLE_RATE
) -> Float[np.ndarray, "hops 45"]:
    """`mfcc` of 16 kHz, and the 32 speech bands of each hop in dB beside it.

    UserError: `rate`, the cepstra's, is another one.
    """
    _check_speech(rate)
    return _cepstra(_fit(np.asarray(wave, np.float32), frames, rate), rate, speech=True)


def _check_speech(rate: int) -> None:
    if rate != SAMPLE_RATE:
        raise UserError(
            f"mfcc_rate {rate}: a speech embedding hears {SAMPLE_RATE} Hz: leave one of them out"
        )


def levelled(
    wave: Float[np.ndarray, " samples"], level: float = SPEECH_LEVEL
) -> Float[np.ndarray, " samples"]:
    """The wave with its speech at `level` dBFS (sound.speech_level); silence stays as it is."""
    own = speech_level(wave)
    return wave if own is None else wave * np.float32(10 ** ((level - own) / 20))


def _fit(wave: np.ndarray, frames: int, rate: int) -> np.ndarray:
    """The wave with silence around it, as long as the windows of so many frames need."""
    length, hop = _plan(rate)[:2]
    after = (HOPS * frames + WINDOW[0] - HOPS - BEFORE - 1) * hop + length
    wave = wave[:after]
    return np.pad(wave, (BEFORE * hop, after - len(wave)))


def wave_rows(
    wave: Float[np.ndarray, " samples"], frames: int
) -> Float[np.ndarray, "hops 160"]:
    """The samples of a clip themselves, 4·frames + 16 rows as `mfcc` has: row r is hop r - 8."""
    length, hop = _plan(SAMPLE_RATE)[:2]
    return _cut(_fit(np.asarray(wave, np.float32), frames, SAMPLE_RATE)[: hop - length])


def _cut(wave: Float[np.ndarray, " samples"]) -> Float[np.ndarray, "hops 160"]:
    return wave.reshape(-1, _plan(SAMPLE_RATE)[1])


def windows(rows: Float[np.ndarray, "hops c"], n_frames: int) -> Float[np.ndarray, "n 20 c"]:
    """The 20×13 window of each frame (sec. 4.1): rows 4v … 4v + 19 of the padded cepstra.

    Of `wave_rows` the same 0.2 s as samples, 20×160.
    """
    return rows[HOPS * np.arange(n_frames)[:, None] + np.arange(WINDOW[0])]


def loudness(wave: Float[np.ndarray, " samples"], n_frames: int) -> Float[np.ndarray, " n"]:
    """Root mean square of each frame's own 40 ms, dBFS, not below −80."""
    wave = wave[: n_frames * FRAME_SAMPLES].astype(np.float64)
    frames = np.pad(wave, (0, n_frames * FRAME_SAMPLES - len(wave))).reshape(n_frames, -1)
    return 10 * np.log10(np.maximum((frames**2).mean(axis=1), 1e-8))


def is_silent(wave: Float[np.ndarray, " samples"], n_frames: int) -> Bool[np.ndarray, " n"]:
    """Frames in whose 0.2 s nothing is said.

    Silent is what lies within 6 dB of the clip's noise floor (its 10th percentile), that threshold
    held between 45 and 20 dB below the clip's loudest 0.2 s (GRID's pauses lie 25 to 35 dB below
    it); and anything below -60 dBFS.
    """
    half = BEFORE * SAMPLE_RATE // 100
    wave = wave[: n_frames * FRAME_SAMPLES + half]
    padded = np.pad(wave, (half, n_frames * FRAME_SAMPLES + half - len(wave)))
    total = np.concatenate([[0.0], np.cumsum(padded.astype(np.float64) ** 2)])
    starts = FRAME_SAMPLES * np.arange(n_frames)
    length = WINDOW[0] * SAMPLE_RATE // 100
    power = np.maximum(total[starts + length] - total[starts], 0) / length
    loudest = power.max()
    limit = np.clip(4 * np.percentile(power, 10), loudest * 10**-4.5, loudest * 10**-2)
    return power <= max(limit, 10**-6.0)


def stream_windows(
    path: str | Path, rate: int = SAMPLE_RATE, chunk: int = 250, voice: Voice | None = None,
    level: float | None = None, hears: Hears = "cepstra",
) -> Iterator[Float[np.ndarray, "k 20 c"]]:  # fmt: skip
    """`windows(mfcc(load_audio(path)))` in chunks of at most `chunk` frames, in flat memory.

    voice, level: see sound.stream_audio. With a level, bands that the recording lacks (telephone)
    are filled as bandwidth.filler says, judged by its beginning. hears: "wave" gives windows of
    `wave_rows` instead, 20×160; `rate` and bands do not count there; "speech" those of
    `speech_rows`, 20×45.
    """
    import soxr

    if hears == "speech":
        _check_speech(rate)

    voice = survey(path) if voice is None else voice  # once, though the sound is streamed twice
    rate = SAMPLE_RATE if hears == "wave" else rate
    length, hop = _plan(rate)[:2]
    step = HOPS * hop  # samples of a frame at `rate`
    need = (HOPS * chunk + WINDOW[0] - HOPS - 1) * hop + length
    resample = soxr.ResampleStream(SAMPLE_RATE, rate, 1) if rate != SAMPLE_RATE else None
    fill = None
    if level is not None and rate == SAMPLE_RATE and hears != "wave":
        fill = filler(_first_bands(stream_audio(path, voice=voice, level=level)))

    def rows(part: np.ndarray) -> np.ndarray:  # of as many samples as some frames need
        if hears == "wave":
            return _cut(part[: hop - length])
        return _cepstra(part, rate, fill, speech=hears == "speech")

    buffer, samples, done = np.zeros(BEFORE * hop, np.float32), 0, 0
    for block in stream_audio(path, voice=voice, level=level):
        samples += len(block)
        buffer = np.concatenate([buffer, resample.resample_chunk(block) if resample else block])
        while len(buffer) >= need:
            yield windows(rows(buffer[:need]), chunk)
            buffer, done = buffer[chunk * step :], done + chunk
    if resample:
        buffer = np.concatenate([buffer, resample.resample_chunk(np.zeros(0, np.float32), True)])
    for first in range(done, frame_count(samples), chunk):
        count = min(chunk, frame_count(samples) - first)
        need = (HOPS * count + WINDOW[0] - HOPS - 1) * hop + length
        part = buffer[(first - done) * step :][:need]
        yield windows(rows(np.pad(part, (0, need - len(part)))), count)


def _first_bands(blocks: Iterator[Float[np.ndarray, " k"]]) -> Float[np.ndarray, "hops 26"]:
    """Mel bands of the first seconds of 16 kHz sound, a second at a time."""
    bands, rest = [np.zeros((0, BANDS))], np.zeros(0, np.float32)
    for block in blocks:
        rest = np.concatenate([rest, block])
        if len(rest) >= SAMPLE_RATE:
            bands.append(mel_bands(rest, SAMPLE_RATE))
            rest = rest[:0]
        if len(bands) > JUDGED:
            break
    return np.concatenate([*bands, mel_bands(rest, SAMPLE_RATE)])
