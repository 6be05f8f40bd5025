"""Where parted lips end and what is between them begins, by the picture, on arrays.

Landmarks of a mouth that is hardly open lie on the upper lip, like those of closed ones
(`lip_line`): closed by them, it would stay open. What is between lips is less red than they are
(teeth) or darker.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, UInt8

from amie_core.data.alignment import lip_opening
from amie_core.model.contrast import contrast
from amie_core.model.lip_line import (
    coloured,
    meet,
    middle_line,
    on_lip_line,
    redness,
    sampled,
)  # fmt: skip
from amie_core.model.lips import LOWER, OUTER, THICK, UPPER, smoothstep

CORNERS = [48, 60, 54, 64]  # of the 68 landmarks
WIDEST = 20.0  # px at 256 between lips: wider ones stay where the landmarks are
FAR, STEP = 30.0, 0.5  # px at 256 above and below the landmarks that are looked at
PLACES = 48  # across the mouth
# Px at 256: how far down what is between the lips lies, half a mouth's width off, how high it is.
DOWN, CURVES, HIGH = (-4.0, 8.0), (-4.0, -2.0, 0.0, 2.0, 4.0), (1.0, 20.0)
HIGHER = 6.0, 0.7  # px at 256, and share of how far the landmarks are apart: no higher than both
ABOVE = 1.5  # px at 256: edges do not lie farther above the landmarks, which lie too high
RIM = (2.0, 3.0)  # px at 256 within the outer lips' edges that are lips
SURELY = (0.45, 0.85)  # from the inner edge to the outer one of the lower lip: that is lip
LESS_RED, DARKER = (0.05, 0.25), (0.3, 0.5)  # than the lower lip, as shares: from lips to none
RED = 0.04  # redness of the lower lip below which a picture has no colours
REDDER = 1.05  # than the skin around it that lip is, where lips have a colour of their own
SKIN = 5.0, 12.0  # px at 256 beyond the outer lips between which skin is looked at
EVEN = 0.3  # of a place that is as likely lips as not
# Px at 256 beyond an edge where lips are still mixed with what is between them, in a picture as
# soft as GRID's: all of it goes where lips are closed, half of it where G learns what lies between.
SOFT, RIM_LEARNT = 2.0, 1.0
# Px at 256 beyond an edge between which lips are seen, and how sure at most that none are: under a
# moustache nobody knows where the lip begins.
NEXT, LIPS = (2.0, 5.0), 0.35
GAIN = 0.15  # px at 256 of height by which what is found explains more than the landmarks do


def by_picture(
    face: UInt8[np.ndarray, "256 256 3"], points: Float[np.ndarray, "68 2"], rim: float = SOFT
) -> Float[np.ndarray, "68 2"]:
    """Landmarks (px of the aligned face) whose inner lips, and corners with them, lie where the
    picture shows them.

    rim: px at 256 beyond the edges, in a picture as soft as GRID's.
    """
    if lip_opening(points[None])[0] < WIDEST and not meet(face, points):
        found = on_lip_edges(face, points, rim)
        if found is not points:  # by them lips may yet be seen to meet
            return on_lip_line(face, found) if meet(face, found) else found
    return on_lip_line(face, points)


def on_lip_edges(
    face: UInt8[np.ndarray, "256 256 3"], points: Float[np.ndarray, "68 2"], rim: float = SOFT
) -> Float[np.ndarray, "68 2"]:
    """Parted lips' landmarks on the edges of what is between them; as they were where that is not
    seen, or hardly better there.
    """
    mouth = _unrolled(face, points) if coloured(face, points) else None
    shape = None if mouth is None else _shape(mouth, float(lip_opening(points[None])[0]))
    if mouth is None or shape is None:
        return points
    out, soft = points.copy(), float(rim / contrast(face, points))
    for numbers, outer, which, beyond in (
        (UPPER, OUTER["upper"], 0, -soft), (LOWER, OUTER["lower"], 1, soft),
    ):  # fmt: skip
        there, own = points[numbers].T
        edge = _edges(shape, mouth.across(there))[which][0] + np.interp(there, mouth.x, mouth.line)
        thin = own + (1 - THICK) * (points[outer, 1] - own)
        out[numbers, 1] = (np.maximum, np.minimum)[which](edge + beyond, thin)
    out[CORNERS, 1] += np.repeat(_edges(shape, np.array([-1.0, 1.0]))[0][0], 2)
    return out


class _Unrolled(NamedTuple):
    """A mouth by columns: px at 256, down from the landmarks' middle line."""

    x: Float[np.ndarray, " n"]
    line: Float[np.ndarray, " n"]  # where it is
    upper: Float[np.ndarray, " n"]  # the landmarks' inner lips
    lower: Float[np.ndarray, " n"]
    rows: Float[np.ndarray, " m"]
    no_lips: Float[np.ndarray, "m n"]  # how surely each place is no lip, 0 to 1
    ends: Float[np.ndarray, " 2"]  # the corners, like x

    def across(self, x: Float[np.ndarray, " k"]) -> Float[np.ndarray, " k"]:
        """From -1 at the left corner to 1 at the right one."""
        half = max(float(self.ends[1] - self.ends[0]) / 2, 1.0)
        return ((x - self.ends.mean()) / half).clip(-1, 1)


def _unrolled(
    face: UInt8[np.ndarray, "256 256 3"], points: Float[np.ndarray, "68 2"]
) -> _Unrolled | None:
    """None where its lips have no colour of their own."""
    ends = points[[60, 64], 0]
    x = np.linspace(ends[0], ends[1], PLACES + 2)[1:-1]
    line, top, upper, lower, bottom = (
        np.interp(x, one[:, 0], one[:, 1])
        for one in (middle_line(points), points[[48, *OUTER["upper"], 54]], points[UPPER],
                    points[LOWER], points[[48, *OUTER["lower"], 54]])
    )  # fmt: skip
    rows = np.arange(-FAR, FAR + STEP / 2, STEP)
    y = line + rows[:, None]
    skin = ((y < top - SKIN[0]) & (y > top - SKIN[1])) | (
        (y > bottom + SKIN[0]) & (y < bottom + SKIN[1])
    )
    no_lips = _no_lips(face, x, y, (y - lower) / np.maximum(bottom - lower, 1), skin)
    if no_lips is None:
        return None
    no_lips[(y < top + RIM[0]) | (y > bottom - RIM[1])] = 0
    return _Unrolled(x, line, upper - line, lower - line, rows, no_lips, ends)


def _edges(
    shapes: Float[np.ndarray, "k 3"], across: Float[np.ndarray, " n"]
) -> tuple[Float[np.ndarray, "k n"], Float[np.ndarray, "k n"]]:
    """The upper one and the lower one of what is between the lips: an ellipse, bent."""
    down = shapes[:, :1] + shapes[:, 1:2] * across**2
    half = shapes[:, 2:] / 2 * np.sqrt(1 - across**2)
    return down - half, down + half


def _shape(mouth: _Unrolled, opening: float) -> Float[np.ndarray, "1 3"] | None:
    """How far down, how curved and how high what is no lips is; opening: of the landmarks.

    None where that is no better told than by the landmarks, or no lips are seen beside it.
    """
    highs = np.arange(HIGH[0], min(HIGH[1], HIGHER[0] + HIGHER[1] * opening), STEP)
    downs = np.arange(*DOWN, STEP)
    shapes = np.stack(np.meshgrid(downs, CURVES, highs, indexing="ij"), -1).reshape(-1, 3)
    rows, column = mouth.rows, np.arange(PLACES)
    heights = np.cumsum(np.vstack([np.zeros((1, PLACES)), (mouth.no_lips - EVEN) * STEP]), 0)

    def told(to: Float[np.ndarray, "k n"]) -> Float[np.ndarray, "k n"]:
        """Height of what is no lips, less that of what is, from far above down to there."""
        at = ((to - rows[0]) / STEP).clip(0, len(rows) - 1)
        over = at.astype(int)
        before, after = heights[over, column], heights[over + 1, column]
        return before + (at - over) * (after - before)

    first, last = _edges(shapes, mouth.across(mouth.x))
    high = (first - mouth.upper < -ABOVE) | (last - mouth.lower < -ABOVE)
    explained = (told(last) - told(first)).mean(1)
    explained[high[:, PLACES // 4 : -PLACES // 4].any(1)] = -np.inf
    best = int(explained.argmax())
    own = (told(mouth.lower[None]) - told(mouth.upper[None])).mean()
    beyond = first[best] - rows[:, None], rows[:, None] - last[best]
    seen = all(mouth.no_lips[(px > NEXT[0]) & (px < NEXT[1])].mean() < LIPS for px in beyond)
    better = explained[best] > 0 and explained[best] - own >= GAIN
    return shapes[best : best + 1] if seen and better else None


def _no_lips(
    face: UInt8[np.ndarray, "256 256 3"],
    x: Float[np.ndarray, " n"],
    y: Float[np.ndarray, "m n"],
    down: Float[np.ndarray, "m n"],
    skin: Bool[np.ndarray, "m n"],
) -> Float[np.ndarray, "m n"] | None:
    """How surely each place is no lip, 0 to 1; None where lips have no colour of their own.

    down: from 0 at the lower lip's inner edge to 1 at its outer one; skin: the places around lips.
    """
    colours = sampled(face.astype(np.float32), x, y)
    light, red = colours.mean(-1), redness(colours)
    lip = (down > SURELY[0]) & (down < SURELY[1])
    lip[:, : len(x) // 4] = lip[:, -(len(x) // 4) :] = False
    if not lip.any() or not skin.any():
        return None
    own, around = (float(np.median(red[places])) for places in (lip, skin))
    if own < max(RED, REDDER * around):
        return None
    pale = _between(1 - red / own, LESS_RED)
    dark = _between(1 - light / float(np.median(light[lip])), DARKER)
    return np.maximum(pale, dark)


def _between(values: np.ndarray, ends: tuple[float, float]) -> np.ndarray:
    return smoothstep((values - ends[0]) / (ends[1] - ends[0]))
