"""Where a mouth's landmarks go, and what goes with them (`compose="landmarks"`), on arrays.

Needs no torch, whose import would put off the first frame of `amie talk` by a second.
"""

from typing import Any

import numpy as np
from jaxtyping import Float

from amie_core.config import FACE_SIZE
from amie_core.data.alignment import lip_opening

INNER = slice(60, 68)  # of the 68 landmarks: the inner lips
LIPS = slice(48, 60)  # the outer ones
SKIN = [*range(3, 14), 35, 33, 31]  # of the 68: from cheek to cheek, from nose to chin
MOVED = [*range(3, 14), *range(48, 68)]  # of the 68 landmarks: jaw and mouth
FIXED = 128.0  # px at 256 from the mouth to a square of places that stay where they are
SHUT = 0.02  # mouth widths between the inner lips of a mouth at rest (val_seen, val_unseen)
CLOSED = 0.2  # share of a clip's frames, the most closed ones, whose median is the mouth at rest
SOFT = 1e-3  # of a unit: what keeps landmarks that fall together solvable
UPPER, LOWER = [61, 62, 63], [67, 66, 65]  # of the inner lips, from left to right
OUTER = {"upper": [50, 51, 52], "lower": [58, 57, 56]}
# Places of the same in MOVED.
APART = [[MOVED.index(n) for n in numbers] for numbers in (LOWER, UPPER)]
# By how much less landmarks of open lips are apart than the edges that `lip_edges` finds, at most,
# and how far apart they are there: in mouth widths, of GRID's ten training speakers. From .05 to
# there `to_edges` lies within .005 of their mean; from .07 on they differ by .001 to .006, since
# most edges lie as far apart as is looked for there (lip_edges.HIGHER); by eye some lie farther. So
# from the most on it falls half as much as was found: unheard voices have LMD .637 for .641, as
# with no fall at all, whose PSNR is lower by .004 dB; val_seen's .8276 for .8272 and .8272.
SHORT, SHORTEST_AT = 0.082, 0.078
# Of it the upper lip's share. By the edges .31, but so voices are followed better: unheard ones
# (training speakers left out, and s31, four clips each) have LMD .627 with it, .630 with .5, and
# those of val_seen a correlation of .825 for .824.
UPPERS = 0.6
BOW = np.array([0.92, 1.15, 0.92])  # of a lip's three landmarks, from left to right
THICK = 0.5  # of a lip that is left at least
REACH = (82.0, 72.0)  # half width and half height of the region around a mouth, px at 256
BELOW = 24.0  # px at 256 from the mouth's centre down to the region's
FEATHER = 0.45  # share of the reach over which the region fades out


def smoothstep(x: Float[Any, "*n"]) -> Float[Any, "*n"]:
    """0 up to 0, 1 from 1 on, smooth between (arrays, tensors)."""
    x = x.clip(0, 1)
    return x * x * (3 - 2 * x)


def region(lip_box: tuple[int, int, int, int], size: int) -> Float[np.ndarray, "s s"]:
    """1 over mouth and chin, 0 from nose and ears on, soft between: around a lip box (256ths)."""
    at = (np.arange(size, dtype=np.float32) + np.float32(0.5)) * np.float32(FACE_SIZE / size)
    top, bottom, left, right = map(float, lip_box)
    y = (at - np.float32((top + bottom) / 2 + BELOW)) / np.float32(REACH[1])
    x = (at - np.float32((left + right) / 2)) / np.float32(REACH[0])
    far = (np.abs(x[None]) ** 3 + np.abs(y[:, None]) ** 3) ** np.float32(1 / 3)
    return smoothstep((1 - far) / np.float32(FEATHER))


def mouth_width(points: Float[np.ndarray, "68 2"]) -> float:
    """From corner to corner."""
    return float(np.linalg.norm(points[54] - points[48]))


def closed(points: Float[np.ndarray, "68 2"]) -> Float[np.ndarray, "68 2"]:
    """A mouth whose lips are hardly apart as one whose lips are SHUT: a still's seldom are."""
    out = points.copy()
    gap = (points[LOWER, 1] - points[UPPER, 1] - SHUT * mouth_width(points)).clip(min=0)
    for inner, outer, share in ((UPPER, OUTER["upper"], 0.4), (LOWER, OUTER["lower"], -0.6)):
        out[inner, 1] += share * gap
        out[outer, 1] += share * gap
    return out


def relative(
    points: Float[np.ndarray, "n 68 2"],
) -> tuple[Float[np.ndarray, "n 31 2"], Float[np.ndarray, " n"]]:
    """What a clip's mouth does relative to itself at rest: displacements of the landmarks MOVED,
    and the opening, both in mouth widths.
    """
    opening = lip_opening(points)
    rest = np.median(points[opening <= np.quantile(opening, CLOSED)], axis=0)
    width = mouth_width(rest)
    return ((points - rest)[:, MOVED] / width).astype(np.float32), opening / width


def parted(displaced: Float[Any, "*n 31 2"]) -> Float[Any, "*n"]:
    """How much farther the inner lips are apart than at rest, of displacements (arrays, tensors).

    Vertically: the pairs of landmarks lie so.
    """
    lower, upper = APART
    return displaced[..., lower, 1].mean(-1) - displaced[..., upper, 1].mean(-1)


def laid(
    rest: Float[np.ndarray, "68 2"], displaced: Float[np.ndarray, "n 31 2"]
) -> Float[np.ndarray, "n 68 2"]:
    """Landmarks of a face at rest, moved by displacements in widths of its own mouth.

    The lips do not pass through each other.
    """
    points = np.repeat(rest[None], len(displaced), 0)
    points[:, MOVED] += displaced * np.float32(mouth_width(rest))
    short = (points[:, UPPER, 1] - points[:, LOWER, 1]).clip(min=0) / 2
    for inner, outer, way in ((UPPER, OUTER["upper"], -1), (LOWER, OUTER["lower"], 1)):
        points[:, inner, 1] += way * short
        points[:, outer, 1] += way * short
    return points


def to_edges(
    points: Float[np.ndarray, "n 68 2"], opening: Float[np.ndarray, " n"], width: float
) -> Float[np.ndarray, "n 68 2"]:
    """Landmarks of a moved mouth whose inner lips are as far apart as their edges (`lip_edges`).

    Those of open mouths lie nearer to each other. opening: how much farther apart than at rest they
    are; width: of the mouth at rest, px.
    """
    share = opening.clip(min=0) / SHORTEST_AT
    part = share**2 * np.exp(2 * (1 - share))
    short = SHORT * width * np.where(share > 1, (1 + part) / 2, part)
    apart = (short[:, None] * BOW).astype(points.dtype)
    points = points.copy()
    for inner, outer, way, own in (
        (UPPER, OUTER["upper"], -1, UPPERS), (LOWER, OUTER["lower"], 1, 1 - UPPERS),
    ):  # fmt: skip
        thick = way * (points[:, outer, 1] - points[:, inner, 1])
        points[:, inner, 1] += way * np.minimum(own * apart, (THICK * thick).clip(min=0))
    return points


class Flow:
    """Where what is at some places of a face was before its landmarks moved; asked frame by frame.

    A sum of cones, one a landmark, through the landmarks' own moves: smooth, and nothing folds.
    scipy's RBFInterpolator (kernel "linear", degree -1) gives the same, but takes 0.2 s to import.

    old: landmarks at rest; at: the places; unit: one px of the 256² face in px of these landmarks.
    """

    def __init__(
        self, old: Float[np.ndarray, "68 2"], at: Float[np.ndarray, "p 2"], unit: float = 1.0
    ) -> None:
        sides = np.linspace(-FIXED, FIXED, 5)
        square = np.stack(np.meshgrid(sides, sides), -1).reshape(-1, 2)
        square = square[np.abs(square).max(1) > FIXED - 1]
        fixed = old[48:68].mean(0) + square * unit
        self.old, self.unit = old.astype(np.float64), unit
        self.centres = np.concatenate([self.old, fixed])
        self.moves = np.zeros_like(self.centres)
        self.far = _apart(self.centres, self.centres, unit)
        self.at = at.astype(np.float32)
        self.reach = _apart(at, self.centres, unit).astype(np.float32)

    def __call__(self, new: Float[np.ndarray, "68 2"]) -> Float[np.ndarray, "p 2"]:
        """The old place of what is at each place now, less that place."""
        n = len(self.old)
        # Cones of landmarks that have not moved since they were last asked for stand already.
        changed = np.flatnonzero((self.centres[:n] != new).any(1))
        self.centres[changed] = new[changed]
        self.moves[:n] = self.old - new
        apart = _apart(self.centres[changed], self.centres, self.unit)
        self.far[changed], self.far[:, changed] = apart, apart.T
        self.reach[:, changed] = _apart(self.at, self.centres[changed], self.unit)
        weights = np.linalg.solve(self.far + SOFT * np.eye(len(self.far)), self.moves)
        return self.reach @ weights.astype(np.float32)


def _apart(a: np.ndarray, b: np.ndarray, unit: float) -> np.ndarray:
    x, y = (a[:, k, None].astype(np.float64) - b[:, k] for k in (0, 1))
    return np.sqrt(x * x + y * y) / unit
