"""The teeth of `model.lent_teeth`, and how their file was made.

    python -m amie_core.talking.lenders PICTURE… --origin "whose they are" --out teeth.safetensors

Pictures of people who smile, chosen by looking at their teeth: those of the file that ships are
official portraits of members of the US Congress (public domain). Whoever talks or trains needs
neither pictures nor this.
"""

import argparse
import sys
from pathlib import Path

import cv2
import numpy as np
from safetensors.numpy import save

from amie_core.config import FACE_SIZE
from amie_core.data import alignment
from amie_core.errors import UserError
from amie_core.files import write_whole
from amie_core.model.lent_teeth import EDGE, SHAPE, LentTeeth, lit_skin
from amie_core.model.own_teeth import shown
from amie_core.talking.still import find_face, read_image

MIDDLE = 6  # px at 256 at either side of the mouth's middle, whose teeth hang alike
TALL, WIDE = 8, 44  # px at 256 at least, of teeth
FILLED = np.ones((3, 7), np.uint8)  # what lies between teeth is theirs
SOFT = 0.8  # px at 256: deviation of the blur at their edge


def keep(pictures: list[Path], origin: str, out: Path) -> None:
    """Write the upper teeth of these pictures; origin: whose they are, and by what right."""
    parts = [teeth_of(path) for path in pictures]
    arrays = {name: np.stack(values) for name, values in
              zip(LentTeeth._fields, zip(*parts, strict=True), strict=True)}  # fmt: skip
    # One entry: of several the order in the file is not the same each time.
    names = " ".join(path.stem for path in pictures)
    write_whole(out, save(arrays, {"origin": f"{origin}: {names}"}))


def teeth_of(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What `LentTeeth` keeps of a picture (UserError: too few or none)."""
    still = find_face(read_image(path), path=path)
    teeth = shown(still.picture, still.points, still.matrix)
    few = UserError(f"{path}: shows too few upper teeth: choose a wider smile")
    if teeth is None:
        raise few
    where = cv2.morphologyEx((teeth.where > 0.5).astype(np.uint8), cv2.MORPH_CLOSE, FILLED)
    middle = round(float(still.points[[51, 57, 62, 66], 0].mean()))
    columns = np.flatnonzero(where.any(0))
    inner = where[:, middle - MIDDLE : middle + MIDDLE + 1]
    sides = middle - columns[0], columns[-1] - middle
    if not inner.any(0).all() or min(sides) < WIDE / 2:
        raise few
    first, last = inner.argmax(0), FACE_SIZE - 1 - inner[::-1].argmax(0)
    if np.median(last - first) + 1 < TALL:
        raise few
    left, top = middle - EDGE[0], round(float(np.median(last))) - EDGE[1]
    part = slice(top, top + SHAPE[0]), slice(left, left + SHAPE[1])
    soft = cv2.GaussianBlur(where * np.float32(255), (0, 0), SOFT)
    face = alignment.warp(still.picture, still.matrix)
    skin = lit_skin(face, still.points)
    return face[part].copy(), soft[part].round().astype(np.uint8), skin.astype(np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("pictures", type=Path, nargs="+", help="pictures of people who smile")
    parser.add_argument("--origin", required=True, help="whose they are, and by what right")
    parser.add_argument("--out", type=Path, required=True)
    chosen = parser.parse_args()
    try:
        keep(chosen.pictures, chosen.origin, chosen.out)
    except UserError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
