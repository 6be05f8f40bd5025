"""What a drawn speaker does with the mouth: syllables, and the articulation track they become.

The track is the one cause of both the sound (synthetic_speech) and the picture (synthetic_face),
so their timing and the opening of the lips are known exactly.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

TRACK_RATE = 200  # points a second: 5 ms, the step at which a formant synthesiser is usually driven


@dataclass(frozen=True)
class Phone:
    """One sound: where lips and jaw aim, and how it is voiced.

    jaw: 0 closed … 1 widest, below 0 pressed together; width: -1 … 1 spread; rounding: 0 … 1;
    voice, noise, breath, nasal: amplitudes 0 … 1; tone: centre of the noise, Hz; seconds: length.
    """

    jaw: float
    width: float = 0.0
    rounding: float = 0.0
    voice: float = 0.0
    noise: float = 0.0
    tone: float = 3000.0
    breath: float = 0.0
    nasal: float = 0.0
    seconds: float = 0.08


VOWELS = {
    "a": Phone(1.0, 0.05, 0.0, voice=1.0, seconds=0.17),
    "e": Phone(0.62, 0.55, 0.0, voice=1.0, seconds=0.15),
    "i": Phone(0.30, 0.95, 0.0, voice=0.9, seconds=0.15),
    "o": Phone(0.58, -0.05, 0.75, voice=1.0, seconds=0.16),
    "u": Phone(0.24, -0.10, 1.0, voice=0.9, seconds=0.15),
}
CONSONANTS = {
    "m": Phone(-0.50, 0.0, 0.0, voice=0.7, nasal=1.0, seconds=0.09),
    "b": Phone(-0.55, 0.0, 0.0, voice=0.5, seconds=0.08),
    "p": Phone(-0.60, 0.0, 0.0, noise=0.0, tone=1200.0, breath=0.05, seconds=0.10),
    "w": Phone(0.06, -0.1, 1.0, voice=0.7, seconds=0.08),
    "f": Phone(-0.02, 0.2, 0.0, noise=0.22, tone=5200.0, breath=0.1, seconds=0.11),
    "v": Phone(0.0, 0.2, 0.0, voice=0.45, noise=0.12, tone=4800.0, seconds=0.08),
    "s": Phone(0.08, 0.5, 0.0, noise=0.75, tone=6100.0, seconds=0.12),
    "sh": Phone(0.10, -0.1, 0.7, noise=0.8, tone=3100.0, seconds=0.12),
    "t": Phone(0.10, 0.2, 0.0, noise=0.05, tone=4600.0, seconds=0.07),
    "d": Phone(0.12, 0.2, 0.0, voice=0.35, tone=4200.0, seconds=0.06),
    "n": Phone(0.14, 0.2, 0.0, voice=0.75, nasal=0.8, seconds=0.08),
    "l": Phone(0.32, 0.2, 0.0, voice=0.75, seconds=0.08),
    "k": Phone(0.18, 0.1, 0.0, noise=0.04, tone=2200.0, seconds=0.08),
    "g": Phone(0.20, 0.1, 0.0, voice=0.35, tone=2000.0, seconds=0.06),
}
BURSTS = {"p": 0.35, "t": 0.6, "k": 0.5, "b": 0.15, "d": 0.3, "g": 0.3}
PAUSE = Phone(-0.06, seconds=0.14)


@dataclass(frozen=True)
class Articulation:
    """The articulation at TRACK_RATE points a second, one array a channel (see Phone)."""

    jaw: Float[np.ndarray, " points"]
    width: Float[np.ndarray, " points"]
    rounding: Float[np.ndarray, " points"]
    voice: Float[np.ndarray, " points"]
    noise: Float[np.ndarray, " points"]
    tone: Float[np.ndarray, " points"]
    breath: Float[np.ndarray, " points"]
    nasal: Float[np.ndarray, " points"]

    @property
    def seconds(self) -> float:
        """Length of the clip."""
        return len(self.jaw) / TRACK_RATE

    def at(self, times: Float[np.ndarray, " n"], channel: str) -> Float[np.ndarray, " n"]:
        """A channel at the given times (seconds), by linear interpolation."""
        points = np.arange(len(self.jaw)) / TRACK_RATE
        return np.interp(times, points, getattr(self, channel))


def syllables(rng: np.random.Generator) -> list[list[tuple[str, str]]]:
    """Two or three words of one to three syllables, six or seven syllables in all."""
    total = int(rng.integers(6, 8))
    cuts = [2, 4] if total == 6 else [2, 5]
    cuts = cuts if rng.random() < 0.5 else [3]
    consonants, vowels = list(CONSONANTS), list(VOWELS)
    # every vowel is likely once before any comes thrice, so that each clip shows the whole mouth
    order = np.concatenate([rng.permutation(len(vowels)), rng.permutation(len(vowels))])[:total]
    string = [(consonants[rng.integers(len(consonants))], vowels[v]) for v in order]
    edges = [0, *cuts, total]
    return [string[a:b] for a, b in zip(edges[:-1], edges[1:], strict=True)]


def spell(words: list[list[tuple[str, str]]]) -> str:
    """The utterance's name: its syllables, a hyphen between words."""
    return "-".join("".join(c + v for c, v in word) for word in words)


def articulate(words: list[list[tuple[str, str]]], rng: np.random.Generator) -> Articulation:
    """Turn syllables into a Articulation of 1.8 to 2.4 s, a whole number of 25 Hz frames.

    Each phone holds its target; a raised-cosine window then slides over the targets, which makes
    neighbours run into each other (coarticulation) and lets closures be brief but complete.
    """
    phones: list[tuple[str, Phone, float]] = [("", PAUSE, 0.22 + 0.06 * rng.random())]
    for number, word in enumerate(words):
        if number:
            phones.append(("", PAUSE, PAUSE.seconds * rng.uniform(0.9, 1.3)))
        stress = int(rng.integers(len(word)))
        for place, (consonant, vowel) in enumerate(word):
            sound, held = CONSONANTS[consonant], VOWELS[vowel]
            last = 1.25 if place == len(word) - 1 else 1.0  # a word's last syllable is longer
            stressed = 1.1 if place == stress else 0.9
            phones.append((consonant, sound, sound.seconds * rng.uniform(0.9, 1.15)))
            strength = stressed * rng.uniform(0.95, 1.05)
            phones.append((vowel, _scaled(held, strength), held.seconds * last * stressed))
    phones.append(("", PAUSE, 0.2))
    length = float(np.clip(sum(p[2] for p in phones), 1.8, 2.4))
    total = round(length * 25) * TRACK_RATE // 25
    scale = min(1.0, total / TRACK_RATE / sum(p[2] for p in phones))
    starts = np.cumsum([0.0] + [p[2] * scale for p in phones])[:-1]
    which = np.searchsorted(starts, np.arange(total) / TRACK_RATE, side="right") - 1
    curves = Articulation.__annotations__
    raw = {c: np.array([getattr(p[1], c) for p in phones])[which] for c in curves}
    for (name, phone, _), begin in zip(phones, starts, strict=True):
        if name in BURSTS:  # the burst comes at the release, the end of the closure
            release = round((begin + phone.seconds * scale) * TRACK_RATE)
            raw["noise"][release - 2 : release + 2] = BURSTS[name]
            raw["tone"][release - 3 : release + 3] = phone.tone
            if phone.voice == 0:
                raw["breath"][release : release + 6] = 0.5
    smooth = {"jaw": 0.10, "width": 0.14, "rounding": 0.14, "voice": 0.03, "noise": 0.02,
              "tone": 0.02, "breath": 0.03, "nasal": 0.04}
    done = {c: _slide(raw[c], seconds) for c, seconds in smooth.items()}
    done["jaw"] = np.clip(done["jaw"], -0.12, 1.1)
    return Articulation(**{c: v.astype(np.float64) for c, v in done.items()})


def _scaled(vowel: Phone, strength: float) -> Phone:
    """The vowel with its opening and loudness scaled: stress."""
    values = {**vars(vowel), "jaw": vowel.jaw * strength, "voice": vowel.voice * strength}
    return Phone(**values)


def _slide(values: np.ndarray, seconds: float) -> np.ndarray:
    """Moving average under a raised-cosine window of the given length; ends are held."""
    half = max(1, round(seconds * TRACK_RATE / 2))
    window = np.hanning(2 * half + 3)[1:-1]
    padded = np.pad(values, half, mode="edge")
    return np.convolve(padded, window / window.sum(), mode="valid")
