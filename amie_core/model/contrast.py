"""How sharp a face's picture is, and so how strong what is painted in it has to be.

G has learnt from GRID's pictures, which are soft, and paints between the lips what is likely: a
mean. In a sharper picture that is a grey blur, so its contrast grows with the picture's own.
"""

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from amie_core.data.alignment import filled
from amie_core.model.lips import INNER, LIPS, SKIN

FINE = 0.7  # px at 256: deviation of a blur under which the finest noise vanishes
AROUND, WITHIN = 9, 5  # px at 256 by which the lips are looked at beyond their edges
# Fine detail of GRID's lips, as a share of their picture's light: its training speakers' first
# frames have .011 to .025.
SOFT = 0.022
MEDIAN = 0.455  # of the square of a normal number, whose mean is 1
MOST = 1.6  # more than that shows what G is not sure of


def contrast(face: UInt8[np.ndarray, "256 256 3"], points: Float[np.ndarray, "68 2"]) -> np.float32:
    """By how much the contrast of what is painted grows: 1 in pictures as soft as GRID's, at most
    MOST. By the finest detail of the lips, which are as sharp as the face and always shown, less
    that of the skin around them, which is noise as much as pores.
    """
    grey = cv2.cvtColor(face, cv2.COLOR_RGB2GRAY).astype(np.float32)
    fine = cv2.Laplacian(cv2.GaussianBlur(grey, (0, 0), FINE), -1) ** 2
    outer, inner, skin = (filled(points[None, part], len(face))[0] for part in (LIPS, INNER, SKIN))
    mouth = cv2.dilate(outer, np.ones((AROUND, AROUND), np.uint8))
    between = cv2.dilate(inner, np.ones((WITHIN, WITHIN), np.uint8))
    lips, skin = fine[(mouth > 0) & (between == 0)], fine[(skin > 0) & (mouth == 0)]
    if not len(lips) or not len(skin):
        return np.float32(1)
    noise = float(np.median(skin)) / MEDIAN  # which edges in the skin do not move
    sharp = np.sqrt(max(float(lips.mean()) - noise, 0.0)) / max(float(grey.mean()), 1.0)
    return np.float32(np.clip(sharp / SOFT, 1, MOST))


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
