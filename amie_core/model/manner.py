"""From what is heard of a movement to one as large as a voice's own (`compose="landmarks"`).

The less sure networks are of a voice, the nearer they stay to its mean: what they learn is an
expectation. What they tell of a voice that is known is made as large as that voice moves; of one
that is not, what is foretold worst is left out as well. Chosen on ten speakers whom Motion had not
heard, all training speakers but s1 left out in turn, and s31 (tests/benchmarks/bench_manner.py
leaves out each of these again, figures/motion_manner.json); KNOWN_PAUSES on val_seen.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from amie_core.model.lips import parted

SCALES = (0.8, 2.0)  # by how much what is heard of a voice is made larger, at least and at most
SOME = 25  # frames: of fewer that say something no deviation is taken
# Share that is kept of what would bring lips nearer to each other than at rest: a movement that is
# made larger is so in pauses too.
BEYOND_REST = 0.3
# Deviations of the opening, by which an unknown voice's is less: an expectation of lips that may
# be closed or open is never closed. The wide openings are made wider for it.
DOUBT = 0.2
# Share that is kept of how an unknown voice moves beside opening the mouth. Where a mouth that
# speaks lies in the mean beside one at rest is told by no sound: nothing of that is kept.
BESIDE = 0.5
# Share that is kept of what an unknown voice does in pauses: lips part before they speak in some
# people (s2, s4, s5) and not in others (s20, s31, s32).
PAUSES = 0.5
# How much more a known voice does there than is heard, since hardly anything is: s4, which opens
# its mouth in its pauses, is followed with .79 for .73 (val_seen, by landmarks), s1 with .89.
KNOWN_PAUSES = 1.5


class Manner(NamedTuple):
    """How a voice moves a mouth: displacements in mouth widths, of what networks told of it."""

    size: np.float32  # deviation of the opening
    mean: Float[np.ndarray, "31 2"]  # of what is told while something is said
    scale: np.float32  # what is told is made larger by it
    along: Float[np.ndarray, "31 2"]  # what goes with an opening of 1
    aside: Float[np.ndarray, "31 2"]  # a displacement beside it that is left out
    kept: np.float32  # share of the rest beside it
    doubt: np.float32  # of the opening
    wider: np.float32  # the opening that is left is
    paused: np.float32  # share of what is done in pauses

    def opening(self, moved: Float[np.ndarray, "n 31 2"]) -> Float[np.ndarray, " n"]:
        """Of displacements: hardly beyond rest, and less the doubt."""
        opening = parted(moved)
        opening = np.where(opening < 0, BEYOND_REST * opening, opening)
        return self.wider * np.sign(opening) * (np.abs(opening) - self.doubt).clip(min=0)

    def larger(self, told: Float[np.ndarray, "n 31 2"]) -> Float[np.ndarray, "n 31 2"]:
        """As large as the voice moves."""
        return self.size * (self.mean + self.scale * (told - self.mean))

    def __call__(
        self, told: Float[np.ndarray, "n 31 2"], near: Float[np.ndarray, " n"]
    ) -> Float[np.ndarray, "n 31 2"]:
        """What the mouth does; near: 1 in frames near something said, 0 in pauses."""
        moved = self.larger(told)
        beside = moved - parted(moved)[:, None, None] * self.along - self.aside
        moved = self.opening(moved)[:, None, None] * self.along + self.kept * beside
        return moved * (self.paused + (1 - self.paused) * near)[:, None, None]


def manner_of(spoken: Float[np.ndarray, "n 31 2"], size: np.float32, known: float) -> Manner:
    """Of what networks told of a voice in frames that say something.

    size: deviation of the voice's opening, in mouth widths; known: how surely the voice is known,
    0 to 1. Where little is said what is told counts as it is.
    """
    one, nothing = np.float32(1), np.zeros(spoken.shape[1:], np.float32)
    if len(spoken) < SOME:
        return Manner(size, nothing, one, nothing, nothing, one, one * 0, one, one)
    mean, opening = spoken.mean(0), parted(spoken)
    opening = opening - opening.mean()
    scale = np.float32(np.clip(1 / max(opening.std(), 1e-6), *SCALES))
    along = np.einsum("n,nij->ij", opening, spoken) / max(float(opening @ opening), 1e-6)
    unknown = np.float32(1 - known)
    sure = Manner(
        size, mean, scale, along,
        aside=unknown * size * (mean - parted(mean) * along),
        kept=1 - unknown * np.float32(1 - BESIDE),
        doubt=np.float32(0),
        wider=one,
        paused=np.float32(KNOWN_PAUSES) - unknown * np.float32(KNOWN_PAUSES - PAUSES),
    )  # fmt: skip
    moved = sure.larger(spoken)
    unsure = sure._replace(doubt=unknown * np.float32(DOUBT) * size)
    left = max(float(unsure.opening(moved).std()), 1e-6)
    return unsure._replace(wider=np.float32(sure.opening(moved).std() / left))
