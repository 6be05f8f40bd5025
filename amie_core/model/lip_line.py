"""Whether lips meet, and where, by the picture (`compose="landmarks"`), on arrays.

Landmarks of a closed mouth come from a mesh that knows most mouths: on GRID's they lie 1 to 4 px at
256 above the dark line between the lips, and up to 4 px apart. Parted there, a mouth would open in
its upper lip, and the line would go down with the lower one: a second mouth below the first.

The line between lips that meet is redder than the lips, since light comes to it from them alone;
teeth and the dark between parted lips are not.
"""

import cv2
import numpy as np
from jaxtyping import Float, Shaped, UInt8

from amie_core.data.alignment import lip_opening
from amie_core.model.lips import LOWER, OUTER, SHUT, SKIN, UPPER, mouth_width

OPEN = 4.0  # px at 256 between lips that do not meet, where their colour says nothing
PARTED = 5.0  # px at 256 between landmarks of lips that do not meet, whatever their colour
# How much redder the line is than the lips beside it. Of the first frames of GRID's training
# speakers and val_*, looked at one by one, lips that meet have 1.18 to 1.75, others that are no
# farther apart than PARTED up to 1.09.
REDDER = 1.15
NEXT = (4, 7)  # px at 256 above and below the line, between which lips are looked at
MIDDLE = 0.5  # share of the mouth's width, around its middle, where colours are looked at
COLOURLESS = 0.02  # redness that is not told from none
TOUCH = 1.2  # px at 256 between landmarks of lips that are not parted anywhere
# Deviation of red less green, in 255ths, among places as light as each other: of less a picture has
# one tint, in which what is darker may be redder.
COLOURS = 2.0
DIM = 30  # of 765: what is darker has no colour to speak of
MOVES = [48, 54, *range(60, 68)]  # of the 68 landmarks: the corners and the inner lips
BESIDE = 3  # px at 256 above and below a dark line where its lips are lighter
FARTHEST = 6.0  # px at 256 from the landmarks to the line
TILT, CURVE = 3.0, 5.0  # px at 256, half a mouth's width off: how else it may lie than they do
STEP = 0.5  # px at 256
ENDS = 0.12  # share of the mouth's width at either end where no line is looked for
PLACES = 48  # along the line where the picture is looked at
FAINT = 0.03  # share of the picture's light by which the line is darker: of less there is none


def on_lip_line(
    face: UInt8[np.ndarray, "256 256 3"], points: Float[np.ndarray, "68 2"]
) -> Float[np.ndarray, "68 2"]:
    """Landmarks (px of the aligned face) whose closed lips meet where the picture's do, and as it
    shows that they do. As they were where lips are open or no line is seen.
    """
    opening = lip_opening(points[None])[0]
    if opening >= PARTED or (found := _darkest(face, points)) is None:
        return points
    if _meet(face, points, found):
        middle = (found[LOWER, 1] + found[UPPER, 1]) / 2
        half = ((found[LOWER, 1] - found[UPPER, 1]) / 2).clip(0, SHUT * mouth_width(found) / 2)
        found[UPPER, 1], found[LOWER, 1] = middle - half, middle + half
        return found
    return found if opening < OPEN else points


def meet(face: UInt8[np.ndarray, "256 256 3"], points: Float[np.ndarray, "68 2"]) -> bool:
    """Whether the picture shows lips that meet, however far apart their landmarks lie (PARTED)."""
    if lip_opening(points[None])[0] >= PARTED:
        return False
    found = _darkest(face, points)
    return found is not None and _meet(face, points, found)


def coloured(face: Shaped[np.ndarray, "256 256 3"], points: Float[np.ndarray, "68 2"]) -> bool:
    """Whether mouth and skin around it have colours, not shades of one tint."""
    around = np.zeros(face.shape[:2], np.uint8)
    cv2.fillPoly(around, [points[SKIN].round().astype(np.int32)], 1)
    places = face[around > 0].astype(np.float32)
    light = places.mean(1) / 255
    if len(places) < PLACES or light.std() < FAINT:
        return False
    red = places[:, 0] - places[:, 1]
    shades = np.vander(light, 4)
    told = shades @ np.linalg.lstsq(shades, red, rcond=None)[0]
    return bool((red - told).std() >= COLOURS)


def middle_line(points: Float[np.ndarray, "68 2"]) -> Float[np.ndarray, "5 2"]:
    """The line in the middle of the inner lips' landmarks."""
    return np.vstack([points[[60]], (points[UPPER] + points[LOWER]) / 2, points[[64]]])


def _meet(
    face: UInt8[np.ndarray, "256 256 3"],
    points: Float[np.ndarray, "68 2"],
    found: Float[np.ndarray, "68 2"],
) -> bool:
    """Whether the line that was found is redder than the lips above it and below, and nothing less
    red lies where landmarks are that do not touch: the edge of a lip over teeth is red as well.
    """
    if not coloured(face, points):
        return False
    line, beside = _redness(face, found)
    touch = bool(lip_opening(points[None])[0] < TOUCH)
    return line >= REDDER * beside and (touch or _redness(face, points)[0] >= beside)


def sampled(
    picture: Float[np.ndarray, "256 256 *c"],
    x: Float[np.ndarray, " n"],
    y: Float[np.ndarray, "m n"],
) -> Float[np.ndarray, "m n *c"]:
    """The picture at these places, whose columns lie at x."""
    columns = np.broadcast_to(x, y.shape).astype(np.float32)
    return cv2.remap(picture, columns, y.astype(np.float32), cv2.INTER_LINEAR)


def redness(colours: Float[np.ndarray, "m n 3"]) -> Float[np.ndarray, "m n"]:
    """How much more red than green, as a share of all light."""
    return (colours[..., 0] - colours[..., 1]) / colours.sum(-1).clip(min=DIM)


def _redness(
    face: UInt8[np.ndarray, "256 256 3"], points: Float[np.ndarray, "68 2"]
) -> tuple[float, float]:
    """How red it is along the middle of these inner lips; of the lips above and below, the more."""
    line, half = middle_line(points), MIDDLE * mouth_width(points) / 2
    centre = points[[48, 54], 0].mean()
    x = np.linspace(centre - half, centre + half, PLACES)
    across = np.arange(-NEXT[1] + 1, NEXT[1])
    y = np.interp(x, line[:, 0], line[:, 1]) + across[:, None]
    red = redness(sampled(face.astype(np.float32), x, y)).mean(1)
    beside = max(red[across <= -NEXT[0]].mean(), red[across >= NEXT[0]].mean(), COLOURLESS)
    return float(red[np.abs(across) <= 1].max()), float(beside)


def _darkest(
    face: UInt8[np.ndarray, "256 256 3"], points: Float[np.ndarray, "68 2"]
) -> Float[np.ndarray, "68 2"] | None:
    """The landmarks laid on the darkest line between lighter lips, of all that a shift, a tilt and
    a curve make of their own; None where none is seen.
    """
    middle, half = points[[48, 54], 0].mean(), max(mouth_width(points) / 2, 1.0)
    x = np.linspace(points[48, 0], points[54, 0], PLACES + 2)
    x = x[np.abs(x - middle) <= half * (1 - 2 * ENDS)]
    shifts, tilts, curves = (
        np.arange(-far, far + STEP / 2, STEP) for far in (FARTHEST, TILT, CURVE)
    )
    moves = np.stack(np.meshgrid(shifts, tilts, curves, indexing="ij"), -1).reshape(-1, 3)

    def moved(at: Float[np.ndarray, " n"]) -> Float[np.ndarray, "m n"]:
        """How far each line goes down at these places; at the ends, where none is looked for, as
        far as where it is.
        """
        across = ((at - middle) / half).clip(2 * ENDS - 1, 1 - 2 * ENDS)
        return moves @ np.stack([np.ones_like(across), across, across**2])

    lips = [middle_line(points)]
    lips += [points[[48, *numbers, 54]] for numbers in OUTER.values()]
    line, top, bottom = (np.interp(x, one[:, 0], one[:, 1]) for one in lips)
    y = line + moved(x)
    darker = sampled(_darker(face), x, y)
    darker = np.where((y > top) & (y < bottom), darker, -1)  # between the outer lips alone
    of_line = darker.mean(1)
    best = int(of_line.argmax())
    if of_line[best] < FAINT:
        return None
    out = points.copy()
    out[MOVES, 1] += moved(points[MOVES, 0])[best]
    return out


def _darker(face: UInt8[np.ndarray, "256 256 3"]) -> Float[np.ndarray, "256 256"]:
    """How much darker each place is than what lies above it and below, as a share of the light."""
    grey = cv2.cvtColor(face, cv2.COLOR_RGB2GRAY).astype(np.float32)
    soft = cv2.GaussianBlur(grey, (0, 0), sigmaX=1.5, sigmaY=1.0)
    tall = np.pad(soft, ((BESIDE, BESIDE), (0, 0)), mode="edge")
    lighter = np.minimum(tall[: -2 * BESIDE], tall[2 * BESIDE :])
    return (lighter - soft) / max(float(soft.mean()), 1.0)
