"""A speaker's own teeth, where a picture of the speaker shows them.

Upper teeth do not move against the head: where the picture has them, there they are in every frame,
and lips open and close before them. What a frame shows of them is the picture's own pixels, at its
own resolution; what is dark between the lips there stays G's.
"""

from collections.abc import Iterable
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, Shaped, UInt8

from amie_core.config import FACE_SIZE
from amie_core.data import alignment
from amie_core.model.lips import INNER, LIPS, SKIN, smoothstep

SHOWN = 3.0  # px at 256 between lips that show teeth
LEAST = 60.0  # px at 256² of teeth, of fewer none are kept
LARGEST = 1024  # px, of the aligned face that is kept
RIM = 1  # px at 256 along the lips that are not taken: they are the lips' own edge
SOFT = 0.8  # px at 256: deviation of the blur at the teeth's edge
LIGHT = (0.5, 0.8)  # of the skin's: below no teeth; those of a mouth that speaks are in the shade
RED = (0.8, 1.1)  # of the skin's redness: below teeth, white or yellow, above lips and gums
NEAR = 6  # px at 256 below the upper lip within which upper teeth begin
GAP = 3  # px at 256 below a tooth, of which it is seen that it is no lower one
GREY = 0.05  # redness of the skin below which a picture has no colours
BESIDE = 3.0  # px at 256: deviation of the blur at the sides of what lies below teeth
SHADED = 0.92  # of its light a tooth has behind lips that speak, not smile


class Teeth(NamedTuple):
    """An aligned face that shows teeth, where they are in it (256²), the colour of its skin."""

    face: UInt8[np.ndarray, "s s 3"]
    where: Float[np.ndarray, "256 256"]
    skin: Float[np.ndarray, " 3"]
    apart: float  # how much of them has the dark of the open mouth below it, px at 256²
    of_video: bool = False  # whether they are those of its frames that show them best
    beneath: float = 1.0  # of its light, what is painted below them has

    @property
    def area(self) -> float:
        """How much of them is shown, px at 256²."""
        return float(self.where.sum())

    def under(self, skin: Float[np.ndarray, " 3"]) -> "Teeth":
        """The same in the light of a face whose skin has that colour."""
        face = (self.face * (skin / self.skin) + 0.5).clip(0, 255).astype(np.uint8)
        return self._replace(face=face, skin=skin)

    def laid(
        self, to_face: Float[np.ndarray, "2 3"], shape: tuple[int, int]
    ) -> tuple[
        Float[np.ndarray, "h w 3"], Float[np.ndarray, "h w 1"], Float[np.ndarray, "h w 1"]
    ]:
        """Colours (0 … 255) and weights as a picture of (width, height) px shows them, and what
        share of its light has what is painted around them.

        to_face: from its px to 256-px units of the aligned face.
        """
        to_pixels = alignment.pixels(to_face, len(self.face))
        how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        colours = cv2.warpAffine(
            self.face, to_pixels, shape, flags=how, borderMode=cv2.BORDER_REPLICATE
        )
        weights = cv2.warpAffine(self.where, to_face, shape, flags=how)
        below = cv2.GaussianBlur(np.maximum.accumulate(self.where, axis=0), (0, 0), BESIDE)
        dark = cv2.warpAffine(below, to_face, shape, flags=how)[..., None]
        light = 1 - np.float32(1 - self.beneath) * dark
        return colours.astype(np.float32) * np.float32(SHADED), weights[..., None], light


def shown(
    picture: UInt8[np.ndarray, "h w 3"],
    points: Float[np.ndarray, "68 2"],
    matrix: Float[np.ndarray, "2 3"],
) -> Teeth | None:
    """The teeth that a picture shows; None where its lips are closed or nothing there is as light
    as teeth are.

    points: landmarks in 256-px units of the aligned face; matrix: from the picture's px to those.
    """
    if alignment.lip_opening(points[None])[0] < SHOWN:
        return None
    face = alignment.warp(picture, matrix).astype(np.float32)
    within = alignment.filled(points[None, INNER], FACE_SIZE)[0].astype(np.float32) / 255
    within = cv2.erode(within, np.ones((2 * RIM + 1, 2 * RIM + 1), np.uint8))
    skin = skin_of(face, points)
    where = within * _step(face.mean(2) / skin.mean(), LIGHT)
    red = _redness(skin[None])[0]
    if red >= GREY:
        where *= 1 - _step(_redness(face) / red, RED)
    where = _upper(where, within)
    tooth, inner = where > 0.5, within > 0.5
    free = tooth[::-1].argmax(0) - inner[::-1].argmax(0) >= GAP
    apart = float((tooth & free).sum())
    where = cv2.GaussianBlur(where, (0, 0), SOFT)
    return Teeth(_large(picture, matrix), where, skin, apart) if where.sum() >= LEAST else None


def most(found: Iterable[Teeth | None]) -> Teeth | None:
    """Of a speaker's frames the one whose teeth are surest to be upper ones, then the most."""
    best = max((one for one in found if one), key=lambda one: (one.apart, one.area), default=None)
    return best and best._replace(of_video=True)


def _upper(
    where: Float[np.ndarray, "256 256"], within: Float[np.ndarray, "256 256"]
) -> Float[np.ndarray, "256 256"]:
    """The patches that begin near the upper lip: lower teeth move with the jaw."""
    count, patches = cv2.connectedComponents((where > 0.5).astype(np.uint8))
    upper = (within > 0.5).argmax(0)
    kept = np.zeros_like(where)
    for patch in (patches == number for number in range(1, count)):
        columns = patch.any(0)
        if np.median(patch.argmax(0)[columns] - upper[columns]) <= NEAR:
            kept[patch] = 1
    return where * cv2.dilate(kept, np.ones((3, 3), np.uint8))


def skin_of(
    face: Shaped[np.ndarray, "256 256 3"], points: Float[np.ndarray, "68 2"]
) -> Float[np.ndarray, " 3"]:
    """Mean colour between nose and chin, from cheek to cheek, without the mouth."""
    edge, mouth = points[SKIN], points[LIPS]
    low, lips = (alignment.filled(part[None], FACE_SIZE)[0] for part in (edge, mouth))
    return np.maximum(cv2.mean(face, low & ~lips)[:3], 1.0)


def _large(picture: np.ndarray, matrix: np.ndarray) -> UInt8[np.ndarray, "s s 3"]:
    """The aligned face, as many px as the picture has for it."""
    finest = FACE_SIZE / float(np.hypot(*matrix[:, 0]))
    size = int(np.clip(finest, FACE_SIZE, LARGEST))
    return alignment.sample(picture, alignment.pixels(matrix, size), size)


def _redness(colours: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n"]:
    """How much more red than green, as a share of the largest."""
    return (colours[..., 0] - colours[..., 1]) / np.maximum(colours.max(-1), 1)


def _step(values: np.ndarray, ends: tuple[float, float]) -> np.ndarray:
    """0 up to the lower end, 1 from the upper one on."""
    low, high = ends
    return smoothstep((values - low) / (high - low)).astype(np.float32)
