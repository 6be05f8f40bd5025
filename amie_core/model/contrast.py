"""How sharp a face's picture is, and so how strong what is painted in it has to be.

G has learnt from GRID's pictures, which are soft, and paints between the lips what is likely: a
mean. In a sharper picture that is a grey blur, so its contrast grows with the picture's own.
"""

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from amie_core.data.alignment import filled
from amie_core.model.lips import INNER, LIPS, SKIN

# Px at 256: deviation of a blur under which the finest noise vanishes, and of one under which a
# picture as soft as GRID's loses hardly anything.
FINE, COARSE = 0.7, 2.0
AROUND, WITHIN = 9, 5  # px at 256 by which the lips are looked at beyond their edges
# Fine detail of GRID's lips, as a share of their picture's light: its training speakers' first
# frames have .011 to .025.
SOFT = 0.022
# How many times as much detail of the mouth, however pale, stands under the finer blur as under the
# coarser one: first frames of GRID's speakers have 1.8 to 3.2 of it, of the studio's 3.3 to 4.3
# (means of at most four clips). From a contrast of 1 to MOST.
FINER = (3.1, 3.6)
MEDIAN = 0.455  # of the square of a normal number, whose mean is 1
MOST = 1.6  # more than that shows what G is not sure of


def contrast(face: UInt8[np.ndarray, "256 256 3"], points: Float[np.ndarray, "68 2"]) -> np.float32:
    """By how much the contrast of what is painted grows: 1 in pictures as soft as GRID's, at most
    MOST. By the finest detail of the lips, which are as sharp as the face and always shown, or by
    how fine all detail of the mouth is, since lips may be pale; less that of the skin around them,
    which is noise as much as pores.
    """
    grey = cv2.cvtColor(face, cv2.COLOR_RGB2GRAY).astype(np.float32)
    outer, inner, around = (
        filled(points[None, part], len(face))[0] for part in (LIPS, INNER, SKIN)
    )  # fmt: skip
    mouth = cv2.dilate(outer, np.ones((AROUND, AROUND), np.uint8)) > 0
    lips = mouth & (cv2.dilate(inner, np.ones((WITHIN, WITHIN), np.uint8)) == 0)
    skin = (around > 0) & ~mouth
    if not lips.any() or not skin.any():
        return np.float32(1)
    fine, coarse = (
        cv2.Laplacian(cv2.GaussianBlur(grey, (0, 0), blur), -1) ** 2 for blur in (FINE, COARSE)
    )

    def noise(detail: Float[np.ndarray, "256 256"]) -> float:
        """By its median, which edges in the skin do not move."""
        return float(np.median(detail[skin])) / MEDIAN

    strong = np.sqrt(max(float(fine[lips].mean()) - noise(fine), 0.0)) / max(grey.mean(), 1.0)
    edges, soft = (float(one[mouth].mean()) - noise(one) for one in (fine, coarse))
    seen = edges > noise(fine) and soft > noise(coarse)  # else it is noise that is compared
    finer = (np.sqrt(edges / soft) - FINER[0]) / (FINER[1] - FINER[0]) if seen else 0.0
    return np.float32(np.clip(max(strong / SOFT, 1 + (MOST - 1) * finer), 1, MOST))


def stronger(
    colours: Float[np.ndarray, "s s 3"], inside: Float[np.ndarray, "s s 1"], by: np.float32
) -> Float[np.ndarray, "s s 3"]:
    """Colours whose light is as much farther from its mean between the lips; inside: 1 there.

    Their hue stays: teeth that are a little yellow would become gold.
    """
    count = float(inside.sum())
    if by == 1 or not count:
        return colours
    light = colours.mean(-1, keepdims=True)
    mean = np.float32((light * inside).sum() / count)
    return (colours + (by - 1) * (light - mean)).clip(min=0)
