"""Does the sound of recordings lie where their lips open? By the bursts of b and p, no network.

    python tests/benchmarks/bench_bursts.py PREPARED [PREPARED …]

A stop made with the lips is heard at the moment at which they part. So of every closed mouth that
opens, the sharpest rise of the sound above 1 kHz within 160 ms is taken, and how much later it
comes than the lips have opened by a seventh (between two frames: as the line between them goes).
Other sounds are under them, spread over the whole reach; what counts is where they pile up: the
fullest span of 60 ms, and its median. Prints a line a speaker. Not a test: nothing is asserted.
"""

import sys

import numpy as np
from bench_faces import who
from scipy import signal

from amie_core.config import FPS, SAMPLE_RATE
from amie_core.data import store
from amie_core.data.alignment import lip_opening
from amie_core.machine import progress_bar

REACH = 160  # ms to either side
PILE = 60  # ms: one frame and a half
SLOPE = 8  # ms over which a rise is measured
SHARP = 1.0  # nepers a rise has at least
STEP = SAMPLE_RATE // 1000


def loudness(sound: np.ndarray) -> np.ndarray:
    """Log of the amplitude above 1 kHz, every millisecond."""
    high = signal.butter(4, 1000, "high", fs=SAMPLE_RATE, output="sos")
    power = signal.sosfiltfilt(high, sound.astype(float) / 32767) ** 2
    amplitude = np.sqrt(np.convolve(power, np.full(5 * STEP, 0.2 / STEP), "same"))[::STEP]
    return np.log(amplitude + np.percentile(amplitude, 20) + 1e-5)


def openings(opening: np.ndarray) -> list[float]:
    """Where a closed mouth has opened by a seventh of how far it opens, in ms."""
    closed, wide = np.percentile(opening, (5, 95))
    reach, found = wide - closed, []
    for k in range(1, len(opening) - 5):
        peak = opening[k : k + 5].max()
        shut = opening[k] < closed + 0.18 * reach and peak > closed + 0.4 * reach
        if not shut or opening[k + 1] < opening[k] + 0.08 * reach:
            continue
        level = opening[k] + (peak - opening[k]) / 7
        j = next(j for j in range(k, k + 5) if opening[j] > level)
        part = (level - opening[j - 1]) / (opening[j] - opening[j - 1])
        found.append((j - 1 + part) * 1000 / FPS)
    return found


def later(clip: store.PreparedClip) -> list[int]:
    """By how many ms the sound of its bursts comes after the lips."""
    loud, found = loudness(clip.audio), []
    for moment in openings(lip_opening(clip.landmarks)):
        first = round(moment) - REACH
        near = loud[max(first - SLOPE // 2, 0) : first + 2 * REACH + SLOPE // 2]
        if first < SLOPE or len(near) < 2 * REACH:
            continue
        rise = near[SLOPE:] - near[:-SLOPE]
        if rise.max() > SHARP:
            found.append(int(rise.argmax()) - REACH)
    return found


def pile(found: list[int]) -> np.ndarray:
    """Those in the fullest span."""
    every = np.sort(found)
    spans = [every[(every >= one) & (every < one + PILE)] for one in every]
    return max(spans, key=len)


def main() -> None:
    print(f"{'':24}{'clips':>6}{'openings':>10}{'in pile':>9}{'sound later, ms':>17}")
    for folder in sys.argv[1:]:
        table = store.clips(folder)
        for speaker, rows in table.groupby(who(table)):
            found: list[int] = []
            for file in progress_bar(rows["file"], str(speaker), unit="clip"):
                found += later(store.load_clip(folder, file, only=[]))
            if found:
                own = pile(found)
                print(f"{speaker!s:24}{len(rows):>6}{len(found):>10}{len(own):>9}"
                      f"{np.median(own):>17.0f}")  # fmt: skip


if __name__ == "__main__":
    main()
