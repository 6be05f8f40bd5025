"""Speech from an articulation track: source and filter, 16 kHz.

Glottal pulses (Rosenberg 1971) and noise go through a cascade of formant resonators as in
Klatt 1980; the first formant follows the jaw, the second the spread and rounding of the lips.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.signal import lfilter

from amie_core.data.synthetic.articulation import TRACK_RATE, Articulation

RATE = 16000
STEP = RATE // TRACK_RATE  # samples for which the filter stands still
BANDWIDTHS = (70.0, 95.0, 140.0, 220.0, 300.0)  # Hz, of the five formants


@dataclass(frozen=True)
class Voice:
    """A voice: pitch (Hz), formant scale (1 = an average tract), breath, sway of pitch."""

    pitch: float
    tract: float
    breath: float
    wobble: float


def voice(identity_seed: int) -> Voice:
    """The voice of an identity; low voices have longer tracts, hence lower formants."""
    rng = np.random.default_rng([11, identity_seed])
    height = ((identity_seed * 0.618034 + 0.37) % 1.0 + 0.15 * rng.random()) / 1.15
    pitch = 95.0 * 2.35**height
    tract = 0.92 + 0.17 * height + 0.02 * rng.standard_normal()
    return Voice(pitch, tract, rng.uniform(0.01, 0.04), rng.uniform(1.5, 3.0))


def formants(track: Articulation, tract: float) -> Float[np.ndarray, "points 5"]:
    """Formant frequencies in Hz at every point of the track, for a tract scale.

    F1 rises with the jaw; F2 rises with spread and falls with rounding, which places a, e, i, o, u
    near the averages of Peterson and Barney 1952.
    """
    jaw = np.clip(track.jaw, 0.0, 1.1)
    first = 270.0 + 540.0 * jaw**0.9
    second = 1280.0 + 1050.0 * track.width - 560.0 * track.rounding
    third = 2500.0 + 350.0 * track.width - 250.0 * track.rounding
    first = first - 60.0 * track.nasal * (first > 300)
    rest = np.ones_like(jaw)
    stack = np.stack([first, np.maximum(second, first + 250), third, 3500 * rest, 4500 * rest], 1)
    return stack * tract


def speak(
    track: Articulation, who: Voice, rng: np.random.Generator
) -> Float[np.ndarray, " samples"]:
    """The sound of a track: float32 mono at 16 kHz, peak 0.6, as long as the track.

    Quiet places hold a faint room noise (about -70 dBFS), as a recording does.
    """
    points, samples = len(track.jaw), len(track.jaw) * STEP
    times = np.arange(samples) / RATE
    opening = np.clip(track.jaw, 0.0, None) * (1.0 - 0.25 * track.rounding)
    # lips radiate what the opening lets out; a closed mouth leaves the voice bar or the nose
    radiated = 0.05 + 0.95 * np.sqrt(np.clip(opening / 0.9, 0.0, 1.1))
    radiated = np.maximum(radiated, 0.16 * track.nasal)
    loud = track.voice * radiated
    pulses = _pulses(track, who, rng, times)
    hiss = rng.standard_normal(samples)
    breath = np.interp(times, np.arange(points) / TRACK_RATE, track.breath * radiated)
    voiced = np.interp(times, np.arange(points) / TRACK_RATE, loud)
    source = voiced * (pulses + who.breath * hiss) + 0.10 * breath * hiss
    spoken = _cascade(source, formants(track, who.tract))
    noise = _fricative(rng.standard_normal(samples), track, times)
    wave = spoken / (np.abs(spoken).max() + 1e-9) + 0.22 * noise
    wave = wave * 0.6 / np.abs(wave).max() + 2.5e-4 * rng.standard_normal(samples)
    return wave.astype(np.float32)


def _pulses(
    track: Articulation, who: Voice, rng: np.random.Generator, times: np.ndarray
) -> np.ndarray:
    """Derivative of the glottal flow, with a falling, slightly wandering pitch."""
    points = len(track.jaw)
    drift = np.cumsum(rng.standard_normal(points)) / np.sqrt(points)
    position = np.arange(points) / points
    lift = 0.10 * np.clip(track.jaw, 0, 1) + 0.03 * np.sin(2 * np.pi * who.wobble * position)
    pitch = who.pitch * (1.10 - 0.24 * position + lift + 0.03 * drift)
    pitch = np.interp(times, np.arange(points) / TRACK_RATE, pitch)
    pitch *= 1.0 + 0.006 * np.interp(times * 120, np.arange(400), rng.standard_normal(400))
    phase = np.cumsum(pitch / RATE) % 1.0
    rise, fall = 0.40, 0.16  # parts of a period in which the folds open and close
    flow = np.where(phase < rise, 0.5 * (1 - np.cos(np.pi * phase / rise)), 0.0)
    closing = (phase >= rise) & (phase < rise + fall)
    flow = np.where(closing, np.cos(0.5 * np.pi * (phase - rise) / fall), flow)
    return np.diff(flow, prepend=flow[:1])  # lips radiate the derivative


def _cascade(source: np.ndarray, bands: np.ndarray) -> np.ndarray:
    """The source through five resonators whose frequencies change every STEP samples."""
    out = np.empty_like(source)
    states = np.zeros((5, 2))
    poles = _resonators(bands, np.array(BANDWIDTHS))
    for point in range(len(bands)):
        block = source[point * STEP : (point + 1) * STEP]
        for i, a in enumerate(poles[point]):
            block, states[i] = lfilter([a.sum()], a, block, zi=states[i])
        out[point * STEP : (point + 1) * STEP] = block
    return out


def _fricative(hiss: np.ndarray, track: Articulation, times: np.ndarray) -> np.ndarray:
    """Noise around the track's tone, at the track's amplitude."""
    out = np.zeros_like(hiss)
    state = np.zeros(2)
    poles = _resonators(np.minimum(track.tone, 7200.0), 0.28 * track.tone)
    for point in range(len(track.jaw)):
        part = slice(point * STEP, (point + 1) * STEP)
        a = poles[point]
        gain = 0.5 * (1 - np.sqrt(a[2]))
        out[part], state = lfilter([gain, 0, -gain], a, hiss[part], zi=state)
    amplitude = np.interp(times, np.arange(len(track.jaw)) / TRACK_RATE, track.noise)
    return out * amplitude


def _resonators(centre: np.ndarray, bandwidth: np.ndarray) -> np.ndarray:
    """Denominators (..., 3) of two-pole resonators (Hz)."""
    radius = np.exp(-np.pi * bandwidth / RATE)
    turn = -2 * radius * np.cos(2 * np.pi * centre / RATE)
    return np.stack([np.ones_like(turn), turn, radius * radius + 0 * turn], -1)
