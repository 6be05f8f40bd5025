"""Where closed lips meet, by the picture (`compose="landmarks"`), on arrays.

Landmarks of a closed mouth come from a mesh that knows most mouths: on GRID's they lie 1 to 4 px at
256 above the dark line between the lips. Parted there, a mouth would open in its upper lip, and the
line would go down with the lower one: a second mouth below the first.
"""

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from amie_core.data.alignment import lip_opening
from amie_core.model.lips import LOWER, OUTER, UPPER, mouth_width

OPEN = 4.0  # px at 256 between lips that do not meet
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
    """Landmarks (px of the aligned face) whose closed lips meet where the picture's do.

    Of all lines that a shift, a tilt and a curve make of the landmarks' own the darkest one between
    lighter lips. As they were where lips are open or no such line is seen.
    """
    if lip_opening(points[None])[0] >= OPEN:
        return points
    middle, half = points[[48, 54], 0].mean(), mouth_width(points) / 2
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

    between = (points[UPPER] + points[LOWER]) / 2
    lips = [np.vstack([points[[60]], between, points[[64]]])]
    lips += [points[[48, *numbers, 54]] for numbers in OUTER.values()]
    line, top, bottom = (np.interp(x, one[:, 0], one[:, 1]) for one in lips)
    y = line + moved(x)
    places = (np.broadcast_to(x, y.shape).astype(np.float32), y.astype(np.float32))
    darker = cv2.remap(_darker(face), *places, cv2.INTER_LINEAR)
    darker = np.where((y > top) & (y < bottom), darker, -1)  # between the outer lips alone
    of_line = darker.mean(1)
    best = int(of_line.argmax())
    if of_line[best] < FAINT:
        return points
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
