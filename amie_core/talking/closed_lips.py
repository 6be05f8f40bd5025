"""A still's mouth brought to rest: a smile with open lips would show through every word.

No speaker of GRID smiles, so G has not learnt to speak out of a smile. Landmarks say where the
lips are; the picture around them is moved so that they meet, and are no wider than a face at rest
has them. A mouth at rest stays as it is.
"""

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from amie_core.config import FACE_SIZE
from amie_core.data.alignment import TEMPLATE, lip_box, lip_opening, warp
from amie_core.model.lip_line import OPEN
from amie_core.model.lips import LIPS, Flow, region
from amie_core.talking.canvas import Canvas

TEETH = 3.0  # px at 256 between lips that do not meet where teeth are seen between them, else OPEN
SEAM = 2.0  # px at 256 between lips that meet: what is left of the open mouth is painted there
# Of the lips' light, what is painted there: with what G paints over it later .75 of it is seen, as
# in the lines between lips that meet of GRID's speakers (.71 to .79 but for s31's .58).
DARK = 0.8
WIDE, CURVED = 0.6, 0.4  # of a smile's width and curve that stays: it is the person's own
LOWER = 0.6  # of the way that the lower lip goes, the upper one goes the rest
WIDTH = float(TEMPLATE[54, 0] - TEMPLATE[48, 0])  # px at 256, of a mouth at rest
GRID = 4  # px at 256 between the places where the movement is worked out


def at_rest(points: Float[np.ndarray, "68 2"]) -> Float[np.ndarray, "68 2"]:
    """The landmarks (256-px units) of the same face with its lips closed and not drawn apart."""
    mouth = points[48:68].astype(np.float64)
    middle = mouth[[13, 14, 15, 17, 18, 19], 1].mean()  # of 61-63 and 65-67
    centre = mouth[[0, 6]].mean(0)
    width = max(mouth[6, 0] - mouth[0, 0], 1.0)
    wanted = WIDTH + WIDE * (width - WIDTH) if width > WIDTH else width
    across = (mouth[:, 0] - centre[0]) / (width / 2)
    lifted = middle - centre[1]  # corners above the lips' middle: a smile
    if lifted > 0:
        mouth[:, 1] += (1 - CURVED) * lifted * np.minimum(across**2, 1)
    mouth[:, 0] = centre[0] + across * wanted / 2
    # Lips drawn apart are thin: what they lose in width they get back in height.
    for outer, inner in ((slice(1, 6), [12, 13, 14, 15, 16]), (slice(7, 12), [16, 17, 18, 19, 12])):
        mouth[outer, 1] += (mouth[outer, 1] - mouth[inner, 1]) * (width / wanted - 1)
    top, bottom = mouth[[13, 14, 15]], mouth[[19, 18, 17]]
    gap = np.maximum(bottom[:, 1] - top[:, 1] - SEAM, 0)
    upper, lower = [1, 2, 3, 4, 5, 13, 14, 15], [7, 8, 9, 10, 11, 17, 18, 19]
    for lip, share in ((upper, 1 - LOWER), (lower, -LOWER)):  # each as a whole to the other
        mouth[lip, 1] += share * np.interp(mouth[lip, 0], top[:, 0], gap)
    out = points.copy()
    out[48:68] = mouth
    return out


def movement(
    old: Float[np.ndarray, "68 2"], new: Float[np.ndarray, "68 2"]
) -> Float[np.ndarray, "256 256 2"]:
    """Where each pixel of the new face comes from, less its own place, in px."""
    axis = np.arange(GRID / 2, FACE_SIZE, GRID)
    places = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    found = Flow(old, places)(new).reshape(len(axis), len(axis), 2)
    return cv2.resize(found, (FACE_SIZE, FACE_SIZE), interpolation=cv2.INTER_LINEAR)


def close_lips(
    image: UInt8[np.ndarray, "h w 3"],
    points: Float[np.ndarray, "68 2"],
    matrix: Float[np.ndarray, "2 3"],
    teeth: bool = False,
) -> tuple[UInt8[np.ndarray, "h w 3"], Float[np.ndarray, "68 2"]]:
    """The picture with the mouth at rest, and its landmarks; both as they are where lips meet.

    points: in 256-px units of the aligned face; matrix: from the picture's px to those; teeth:
    whether the picture shows any.
    """
    if lip_opening(points[None])[0] < (TEETH if teeth else OPEN):
        return image, points
    new = at_rest(points)
    mouth = lip_box(new[None])
    where = region(mouth, FACE_SIZE)
    flow = movement(points, new) * (where[..., None] * 2 / FACE_SIZE)
    aligned = warp(image, matrix)
    seam: np.ndarray = np.zeros((FACE_SIZE, FACE_SIZE), np.float32)
    cv2.fillPoly(seam, [new[60:68].round().astype(np.int32)], 1.0)
    seam = cv2.GaussianBlur(seam, (0, 0), 1.0)[..., None]
    lips = np.zeros((FACE_SIZE, FACE_SIZE), np.uint8)
    cv2.fillPoly(lips, [points[LIPS].round().astype(np.int32)], 255)
    cv2.fillPoly(lips, [points[60:68].round().astype(np.int32)], 0)
    dark = DARK * np.array(cv2.mean(aligned, lips)[:3], np.float32) / 255
    canvas = Canvas(image, matrix, aligned, mouth)
    nothing = np.zeros((FACE_SIZE, FACE_SIZE, 3), np.float32)
    moved = warp(canvas.frame(nothing, flow), matrix).astype(np.float32) / 255
    return canvas.frame(seam * (dark - moved), flow), new
