"""Voices that are known, and how far each moves its own mouth (`compose="landmarks"`), on arrays.

What a voice sounds like does not tell how far it moves a mouth: few speakers were seen, and a calm
one is as loud as a lively one. But a voice that was learnt can be known again.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from amie_core.config import WINDOW

VOICES = 16  # known at most
SAID = -210.0  # first cepstrum of levelled sound in which something is said (GRID's pauses: -240)
LEAST = 40  # hops that say something: of fewer a voice has no print
# Mean square of the whitened difference of two prints. Three seconds of a known voice lie within
# 2.2 of it, of another at least 2.3 from all (val_seen; the training speakers in turn, val_unseen).
SAME, ANOTHER = 2.0, 2.5


def print_of(hops: Float[np.ndarray, "n c"]) -> Float[np.ndarray, " 24"] | None:
    """Mean and log deviation of the 13 cepstra but the first while something is said; what stands
    beside the cepstra does not count."""
    said = hops[hops[:, 0] > SAID, 1 : WINDOW[1]]
    if len(said) < LEAST:
        return None
    return np.concatenate([said.mean(0), np.log(said.std(0) + 1e-3)])


class Voices(NamedTuple):
    """Prints of the known voices; a size of 0 stands for none."""

    means: Float[np.ndarray, "k 24"]
    whiten: Float[np.ndarray, "24 24"]  # of differences from one sentence to the next
    sizes: Float[np.ndarray, " k"]  # deviation of the opening, in mouth widths

    def recognised(self, hops: Float[np.ndarray, "n c"]) -> tuple[float, float]:
        """How surely this sound is of a known voice, 0 to 1; how far that voice moves a mouth.

        Between the distances of the same voice and of another one in proportion.
        """
        own, known = print_of(hops), self.sizes > 0
        if own is None or not known.any():
            return 0.0, 1.0
        far = (((own - self.means[known]) @ self.whiten) ** 2).mean(1)
        nearest = int(far.argmin())
        share = float(np.clip((ANOTHER - far[nearest]) / (ANOTHER - SAME), 0, 1))
        return share, float(self.sizes[known][nearest])


def learnt(
    prints: list[Float[np.ndarray, "clips 24"]], sizes: list[float]
) -> Voices:
    """From the prints of each speaker's clips, more than a few, and the speaker's size."""
    known = Voices(np.zeros((VOICES, 24)), np.eye(24), np.zeros(VOICES))
    if not prints:
        return known
    order = np.argsort([-len(rows) for rows in prints], kind="stable")[:VOICES]
    for place, k in enumerate(order):
        known.means[place], known.sizes[place] = prints[k].mean(0), sizes[k]
    within = np.mean([np.cov(prints[k].T) for k in order], 0)
    within += 0.05 * np.diag(np.diag(within)) + 1e-6 * np.eye(24)
    return known._replace(whiten=np.linalg.inv(np.linalg.cholesky(within)).T)
