"""Teeth lent to a face whose picture shows none, or no more than a sliver of them.

GRID's pictures are soft, so what G paints between the lips is likely and no more: in a sharp
picture that is a blur of the lips' own colour. There upper teeth of a portrait are laid over it, as
a speaker's own are where a picture shows them (`model.own_teeth`): they stay where they are in the
face, and lips open and close before them. What is painted below them is the darker for it: a mean
of teeth and of the dark. Soft pictures keep what G paints.
"""

from functools import cache
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from amie_core.config import FACE_SIZE
from amie_core.data.alignment import filled
from amie_core.errors import UserError
from amie_core.files import TEETH
from amie_core.model.lip_line import coloured
from amie_core.model.lips import LIPS, LOWER, SKIN, UPPER
from amie_core.model.own_teeth import SHADED, Teeth

# How teeth differ from one portrait to another beside its skin, whose colour is the light's and its
# own: of light, of green over red, of blue over green, each in logarithms (273 smiles among 500
# portraits; correlations .66 to .69).
FOLLOWS = (0.6, 0.45, 0.55)
# Between which green over red and blue over green of portraits' skin lie (of 100, 98), in
# logarithms: beyond it is a white beard, paint, or a light under which nothing was seen.
COLOURS = (-0.45, -0.13), (-0.34, 0.0)
# Of a smile's light, what teeth of a mouth that speaks have: those seen of s1, s2, s4 and s31 have
# .91 of their skin's, those of the smiles 1.28. Blur has darkened GRID's: a little more than .71.
SPEAKING = 0.75 / SHADED  # which every teeth's colours are multiplied by as they are laid
# px at 256 by which upper teeth hang below where lips at rest meet, 2 mm of a mouth 50 mm wide
# (Vig and Brundo, The kinetics of anterior tooth display, 1978: 1.9 mm of men, 3.4 mm of women).
HANGS = 2.3
EDGE = (36, 21)  # px at 256: column and row of the lowest of the teeth, in the mouth's middle
SHAPE = (30, 72)  # px at 256: height and width of what is kept of a portrait
LIGHTEST = 0.15  # share of the skin: a full beard with a moustache leaves .16 to .21
# Light of skin whose colours are told, how much lighter dark skin is made for it at most; px at
# 256: deviation of a blur under which JPEG's noise vanishes.
USUAL, MOST, FINE = 128.0, 4.0, 1.5
# Of `contrast`: from none of them to all. Between, they shine through each other; of portraits of
# 1.1 to 1.3 whole ones looked better. Clips of s1 have up to 1.27, more than half over 1.05; they
# lose PSNR by more.
SHARP = (1.05, 1.2)
# px at 256² that are found of own teeth; fewer are a sliver. Of twelve portraits with 61 to 130
# lent ones, being whole, looked better in all, of twelve with 200 to 290 in none.
FEW = 130.0
OTHER = 1.5  # of a colour, how many times as much lent teeth are given at most for own ones' colour
# Of its light, what is painted below teeth in a sharp picture: of 1, .65, .5 and .4 it looked most
# like a mouth that is open, in fourteen portraits. The studio's talkers have LMD .742 with it, .752
# with .65; but mouths are darker than their own, which costs them .08 dB of PSNR.
BENEATH = 0.4


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
        file = load_file(path)
        found = LentTeeth(*(file[name] for name in LentTeeth._fields))
        count = len(found.skin)
        shapes = (count, *SHAPE, 3), (count, *SHAPE), (count, 3)
        if not count or any(one.shape != shape for one, shape in zip(found, shapes, strict=True)):
            raise ValueError("not of these shapes")
        if not (np.isfinite(found.skin).all() and (found.skin >= 1).all()):
            raise ValueError("no colours of skin")
        return found
    except (SafetensorError, OSError, KeyError, ValueError) as error:
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
    weight = _share(sharper)
    if weight == 0:
        return None
    teeth = teeth or lenders()
    skin = lit_skin(face, points)
    one = teeth.like(skin)
    to = np.array([points[[*UPPER, *LOWER], axis].mean() for axis in (0, 1)]) + (0, HANGS)
    place = np.array([[1.0, 0.0, to[0] - EDGE[0]], [0.0, 1.0, to[1] - EDGE[1]]])
    edge = cv2.BORDER_REPLICATE
    colours = teeth.colours[one] * (SPEAKING * lit(skin, teeth.skin[one]))
    # As light as pictures mostly are, and smooth: neither dark nor JPEG's noise hides its colours.
    lighter = np.float32(np.clip(USUAL / skin.mean(), 1, MOST))
    if not coloured(cv2.GaussianBlur(face.astype(np.float32), (0, 0), FINE) * lighter, points):
        colours = colours.mean(-1, keepdims=True) * (skin / skin.mean())  # shades of one tint
    colours = cv2.warpAffine(colours, place, (FACE_SIZE, FACE_SIZE), borderMode=edge)
    where = cv2.warpAffine(teeth.where[one] / np.float32(255), place, (FACE_SIZE, FACE_SIZE))
    face = (colours + 0.5).clip(0, 255).astype(np.uint8)
    return Teeth(face, where * np.float32(weight), skin, apart=0.0)


def a_sliver(own: Teeth, sharper: float) -> bool:
    """Whether a picture shows so little of its own teeth, and is so sharp, that lent ones are
    better. sharper: `contrast.contrast` of it.
    """
    return own.area < FEW and not own.of_video and _share(sharper) == 1


def coloured_as(lent: Teeth, own: Teeth) -> Teeth:
    """Lent teeth in the colour of the few that a picture shows of its own, as light or lighter:
    beside the dark of a narrow gap those look darker than they are.
    """
    mean, wanted = (np.average(one.face.reshape(-1, 3), axis=0, weights=_weights(one).ravel())
                    for one in (lent, own))  # fmt: skip
    ratio = wanted / np.maximum(mean, 1)
    ratio = np.clip(ratio / min(ratio.mean(), 1.0), 1 / OTHER, OTHER)
    face = (lent.face * ratio + 0.5).clip(0, 255)
    return lent._replace(face=face.astype(np.uint8))


def _weights(teeth: Teeth) -> Float[np.ndarray, "s s"]:
    """Where they are, at the size of their picture."""
    return cv2.resize(teeth.where, teeth.face.shape[1::-1]) + np.float32(1e-6)


def darker_below(teeth: Teeth, sharper: float) -> Teeth:
    """The same teeth, with the dark of the mouth below them as a picture so sharp has it."""
    return teeth._replace(beneath=1 - (1 - BENEATH) * _share(sharper))


def _share(sharper: float) -> float:
    """0 for a picture as soft as what G paints, to 1."""
    low, high = SHARP
    return min(max((sharper - low) / (high - low), 0.0), 1.0)


def lit_skin(
    face: UInt8[np.ndarray, "256 256 3"], points: Float[np.ndarray, "68 2"]
) -> Float[np.ndarray, " 3"]:
    """Mean colour of the lightest part of the skin around the mouth: a beard is none of it, unless
    it is white.
    """
    around, mouth = (filled(points[None, part], len(face))[0] for part in (SKIN, LIPS))
    places = face[(around > 0) & (mouth == 0)].astype(np.float64)
    if not len(places):
        return np.full(3, USUAL)
    light = places.mean(1)
    return places[light >= np.quantile(light, 1 - LIGHTEST)].mean(0).clip(min=1)


def lit(
    skin: Float[np.ndarray, " 3"], theirs: Float[np.ndarray, " 3"]
) -> Float[np.ndarray, " 3"]:
    """By what the colour of teeth changes from a face of their skin to one of this."""
    light, green, blue = np.multiply(FOLLOWS, _parts(skin) - _parts(theirs))
    out = np.array([0, green, green + blue])
    return np.exp(out - out.mean() + light)


def _parts(skin: Float[np.ndarray, " 3"]) -> Float[np.ndarray, " 3"]:
    """Logarithms of light, of green over red, of blue over green: these within COLOURS."""
    red, green, blue = np.log(skin)
    greener, bluer = (np.clip(one, *ends) for one, ends in
                      zip((green - red, blue - green), COLOURS, strict=True))  # fmt: skip
    return np.array([(red + green + blue) / 3, greener, bluer])
