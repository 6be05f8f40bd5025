"""From what is heard of a movement to one as large as a voice's own (`compose="landmarks"`).

The less sure networks are of a voice, the nearer they stay to its mean: what they learn is an
expectation. So what they tell is made as large as the voice moves its mouth, or as is usual where
the voice is not known.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from amie_core.model.lips import parted

SCALES = (0.8, 2.0)  # by how much what is heard of a voice is made larger, at least and at most
SOME = 25  # frames: of fewer that say something no deviation is taken
# Share that is kept of what would bring lips nearer to each other than at rest: a movement that is
# made larger is so in pauses too. By it LMD of known voices falls by .01 (val_seen).
BEYOND_REST = 0.3
# How much more a known voice does in pauses than is heard, since hardly anything is: s4, which
# opens its mouth in them, is followed with .79 for .69, s1 with .865 for .879 (val_seen).
KNOWN_PAUSES = 2.0


class Manner(NamedTuple):
    """How a voice moves a mouth: displacements in mouth widths, of what networks told of it."""

    size: np.float32  # deviation of the opening
    mean: Float[np.ndarray, "31 2"]  # of what is told while something is said
    scale: np.float32  # what is told is made larger by it
    along: Float[np.ndarray, "31 2"]  # what goes with an opening of 1
    # Where a mouth that speaks lies in the mean beside one at rest, but for its opening. No sound
    # tells that: what was learnt of it is other speakers', so it is left out of unknown voices.
    aside: Float[np.ndarray, "31 2"]
    paused: np.float32  # what is done in pauses is as much larger

    def __call__(
        self, told: Float[np.ndarray, "n 31 2"], near: Float[np.ndarray, " n"]
    ) -> Float[np.ndarray, "n 31 2"]:
        """What the mouth does; near: 1 in frames near something said, 0 in pauses."""
        moved = self.size * (self.mean + self.scale * (told - self.mean)) - self.aside
        beyond = (1 - BEYOND_REST) * parted(moved).clip(max=0)
        moved = moved - beyond[:, None, None] * self.along
        return moved * (self.paused + (1 - self.paused) * near)[:, None, None]


def manner_of(spoken: Float[np.ndarray, "n 31 2"], size: np.float32, known: float) -> Manner:
    """Of what networks told of a voice in frames that say something.

    size: deviation of the voice's opening, in mouth widths; known: how surely the voice is known,
    0 to 1. Where little is said what is told counts as it is.
    """
    one, nothing = np.float32(1), np.zeros(spoken.shape[1:], np.float32)
    if len(spoken) < SOME:
        return Manner(size, nothing, one, nothing, nothing, one)
    mean, opening = spoken.mean(0), parted(spoken)
    opening = opening - opening.mean()
    along = np.einsum("n,nij->ij", opening, spoken) / max(float(opening @ opening), 1e-6)
    return Manner(
        size, mean, along=along,
        scale=np.float32(np.clip(1 / max(opening.std(), 1e-6), *SCALES)),
        aside=np.float32(1 - known) * size * (mean - parted(mean) * along),
        paused=np.float32(1 + known * (KNOWN_PAUSES - 1)),
    )  # fmt: skip
