"""Teeth lent to a face whose picture shows none.

GRID's pictures are soft, so what G paints between the lips is likely and no more: in a sharp
picture that is a blur of the lips' own colour. There upper teeth of a portrait are laid over it, as
a speaker's own are where a picture shows them (`model.own_teeth`): they stay where they are in the
face, and lips open and close before them. Soft pictures keep what G paints.
"""

from functools import cache
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from amie_core.config import FACE_SIZE
from amie_core.errors import UserError
from amie_core.files import TEETH
from amie_core.model.lip_line import coloured
from amie_core.model.lips import LOWER, UPPER
from amie_core.model.own_teeth import SHADED, Teeth, skin_of

# How teeth differ from one portrait to another beside its skin, whose colour is the light's and its
# own: of light, of green over red, of blue over green, each in logarithms (273 smiles among 500
# portraits; correlations .66 to .69).
FOLLOWS = (0.6, 0.45, 0.55)
# Of a smile's light, what teeth of a mouth that speaks have: those seen of s1, s2, s4 and s31 have
# .91 of their skin's, those of the smiles 1.28. Blur has darkened GRID's: a little more than .71.
SPEAKING = 0.75 / SHADED  # which every teeth's colours are multiplied by as they are laid
# px at 256 by which upper teeth hang below where lips at rest meet, 2 mm of a mouth 50 mm wide
# (Vig and Brundo, The kinetics of anterior tooth display, 1978: 1.9 mm of men, 3.4 mm of women).
HANGS = 2.3
EDGE = (36, 21)  # px at 256: column and row of the lowest of the teeth, in the mouth's middle
SHAPE = (30, 72)  # px at 256: height and width of what is kept of a portrait
SHARP = (1.0, 1.3)  # of `contrast`: from none to all of them


class LentTeeth(NamedTuple):
    """Upper teeth of some portraits at the scale of the aligned face.

    Their edge, in the middle of the mouth, is at the same place in each (`EDGE`).
    """

    colours: UInt8[np.ndarray, "k h w 3"]
    where: UInt8[np.ndarray, "k h w"]
    skin: Float[np.ndarray, "k 3"]

    def like(self, skin: Float[np.ndarray, " 3"]) -> int:
        """The number of those whose face had the most similar skin: in its light and colour."""
        return int(np.abs(np.log(self.skin / skin)).sum(1).argmin())


@cache
def lenders(path: Path = TEETH) -> LentTeeth:
    """Those that ship (UserError: the file is missing or damaged)."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        found = load_file(path)
        return LentTeeth(*(found[name] for name in LentTeeth._fields))
    except (SafetensorError, OSError, KeyError) as error:
        raise UserError(f"{path} is missing or damaged: install the package anew") from error


def lent(
    face: UInt8[np.ndarray, "256 256 3"],
    points: Float[np.ndarray, "68 2"],
    sharper: float,
    teeth: LentTeeth | None = None,
) -> Teeth | None:
    """Teeth for a face at rest; None where its picture is as soft as what G paints.

    sharper: `contrast.contrast` of the picture; teeth: the portraits' (those that ship).
    """
    low, high = SHARP
    weight = min((sharper - low) / (high - low), 1.0)
    if weight <= 0:
        return None
    teeth = teeth or lenders()
    skin = skin_of(face, points)
    one = teeth.like(skin)
    to = np.array([points[[*UPPER, *LOWER], axis].mean() for axis in (0, 1)]) + (0, HANGS)
    place = np.array([[1.0, 0.0, to[0] - EDGE[0]], [0.0, 1.0, to[1] - EDGE[1]]])
    edge = cv2.BORDER_REPLICATE
    colours = teeth.colours[one] * (SPEAKING * lit(skin, teeth.skin[one]))
    if not coloured(face, points):  # shades of one tint
        colours = colours.mean(-1, keepdims=True) * (skin / skin.mean())
    colours = cv2.warpAffine(colours, place, (FACE_SIZE, FACE_SIZE), borderMode=edge)
    where = cv2.warpAffine(teeth.where[one] / np.float32(255), place, (FACE_SIZE, FACE_SIZE))
    return Teeth((colours + 0.5).clip(0, 255).astype(np.uint8), where * np.float32(weight), skin, 0)


def lit(
    skin: Float[np.ndarray, " 3"], theirs: Float[np.ndarray, " 3"]
) -> Float[np.ndarray, " 3"]:
    """By what the colour of teeth changes from a face of their skin to one of this."""
    by = np.log(skin / theirs)
    light, green, blue = np.multiply(FOLLOWS, (by.mean(), by[1] - by[0], by[2] - by[1]))
    out = np.array([0, green, green + blue])
    return np.exp(out - out.mean() + light)
