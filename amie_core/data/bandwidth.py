"""Sound that lacks bands (telephone, narrow codecs): filled by what those that are heard tell.

A model that learnt from wide sound hears a telephone's empty bands as silence. The mel bands of
speech are taken for jointly normal, as they are in the training clips; an empty band becomes its
expectation given the heard ones (the linear estimate of least square error).
"""

import argparse
import functools
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from amie_core.files import HERE, write_whole

STATISTICS = HERE / "weights" / "speech_bands.safetensors"
EMPTY = 20.0  # dB that a band's mean lies below the training clips' where nothing is in it
MOST = 0.5  # of the bands: more than that cannot be told from the rest
PAUSE = 20.0  # dB below the loudest hop: quieter ones say nothing of the bands

Filler = Callable[[np.ndarray], np.ndarray]


def filler(hops: Float[np.ndarray, "hops 26"]) -> Filler | None:
    """What fills the empty bands of a recording, from some of its mel bands in dB.

    None where no band is empty, or most are.
    """
    empty = empty_bands(hops) if len(hops) else np.zeros(1, bool)
    if not empty.any() or empty.mean() > MOST:
        return None
    mean, covariance = _statistics()
    heard = ~empty
    weights = np.linalg.solve(covariance[np.ix_(heard, heard)], covariance[np.ix_(heard, empty)])

    def fill(bands: Float[np.ndarray, "hops 26"]) -> Float[np.ndarray, "hops 26"]:
        filled = bands.copy()
        filled[:, empty] = mean[empty] + (bands[:, heard] - mean[heard]) @ weights
        return filled

    return fill


def empty_bands(hops: Float[np.ndarray, "hops 26"]) -> Bool[np.ndarray, " 26"]:
    """Bands that hold nothing while something is said, and their neighbours (the slope of the
    filter that took them)."""
    mean, _ = _statistics()
    total = hops.max(axis=1)
    said = hops[total >= total.max() - PAUSE].mean(axis=0)
    offset = np.percentile(said - mean, 50)  # np.median would load all of numpy.ma first: 70 ms
    empty = said - mean - offset < -EMPTY
    return empty | np.r_[empty[1:], False] | np.r_[False, empty[:-1]]


@functools.cache
def _statistics() -> tuple[Float[np.ndarray, " 26"], Float[np.ndarray, "26 26"]]:
    """Mean and covariance of the training clips' mel bands, dB."""
    from safetensors.numpy import load_file

    found = load_file(STATISTICS)
    return found["mean"].astype(np.float64), found["covariance"].astype(np.float64)


def measure(prepared: Path) -> dict[str, np.ndarray]:
    """Mean and covariance of the mel bands over the training clips of a prepared folder."""
    from amie_core.config import SAMPLE_RATE, SPEECH_LEVEL
    from amie_core.data import audio, sound, store

    hops = []
    for row in store.clips(prepared, "train").file:
        wave = store.load_clip(prepared, row, size=8).audio / np.float32(32767)
        level = sound.speech_level(wave)
        if level is not None:
            gain = np.float32(10 ** ((SPEECH_LEVEL - level) / 20))
            hops.append(audio.mel_bands(gain * wave, SAMPLE_RATE))
    bands = np.concatenate(hops).astype(np.float64)
    return {
        "mean": bands.mean(axis=0).astype(np.float32),
        "covariance": np.cov(bands, rowvar=False).astype(np.float32),
    }


def main() -> int:
    """`python -m amie_core.data.bandwidth DATA`: write the statistics of prepared clips."""
    from safetensors.numpy import save

    parser = argparse.ArgumentParser(description="Measure the mel bands of prepared clips.")
    parser.add_argument("data", type=Path, help="folder of prepared clips")
    write_whole(STATISTICS, save(measure(parser.parse_args().data)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
