"""A speaker's own teeth: where they are found, what a frame shows of them."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from conftest import shared_data

from amie_core.config import FACE_SIZE
from amie_core.data import alignment
from amie_core.model.lips import INNER
from amie_core.model.own_teeth import SHADED, shown
from amie_core.model.painter import Painter
from amie_core.model.speaking import Painted
from amie_core.talking.still import open_still

SKIN, LIPS, TOOTH, DARK = (190, 140, 120), (170, 70, 70), (225, 220, 205), (40, 20, 20)
SMILE = alignment.TEMPLATE.copy()
SMILE[[61, 62, 63], 1] -= 6
SMILE[[67, 66, 65], 1] += 8
SMILE[[57, 58, 56], 1] += 6
SPEAKING = SMILE + np.where(np.isin(np.arange(68), [64, 65, 66, 67, 60])[:, None], [0, 10], 0)


def face(scale: float, teeth: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """A smile in a picture of `scale` px for one at 256, and the way to 256-px units."""
    edge = int(FACE_SIZE * scale)
    picture = np.full((edge, edge, 3), SKIN, np.uint8)

    def fill(points: np.ndarray, colour: tuple[int, int, int]) -> None:
        cv2.fillPoly(picture, [((points + 0.5) * scale - 0.5).round().astype(np.int32)], colour)

    fill(SMILE[48:60], LIPS)
    fill(SMILE[INNER], DARK)
    if teeth:
        upper = SMILE[[60, 61, 62, 63, 64]]
        lower = upper[::-1] + [0, 7]
        fill(np.concatenate([upper, lower]), TOOTH)
    shrink, shift = 1 / scale, (1 / scale - 1) / 2
    return picture, np.array([[shrink, 0, shift], [0, shrink, shift]])


@pytest.mark.parametrize("scale", [1.0, 2.5])
def test_teeth_stay_where_the_picture_has_them(scale: float) -> None:
    picture, matrix = face(scale)
    teeth = shown(picture, SMILE, matrix)
    assert teeth is not None
    assert len(teeth.face) == round(FACE_SIZE * scale)
    green = np.zeros((32, 32, 3), np.float32)
    green[..., 1] = 1
    painter = Painter(picture, matrix, SMILE, 128, 32, teeth)
    made = painter.frame(Painted(SPEAKING, green, 0 * green))
    x, top = SMILE[62]
    row, column = round((top + 4.5) * scale), round(x * scale)
    assert np.abs(made[row, column] - SHADED * np.array(TOOTH)).max() < 12
    below = made[round((SPEAKING[66, 1] - 5) * scale), column]
    assert below.tolist() == [0, 255, 0]  # behind them and under them it is G's
    without = Painter(picture, matrix, SMILE, 128, 32).frame(Painted(SPEAKING, green, 0 * green))
    assert without[row, column].tolist() == [0, 255, 0]
    outside = alignment.filled(SPEAKING[None, 48:60], FACE_SIZE)[0] == 0
    if scale == 1:
        assert np.array_equal(made[outside], without[outside])


def test_what_is_no_tooth_is_not_taken() -> None:
    picture, matrix = face(1.0, teeth=False)
    assert shown(picture, SMILE, matrix) is None  # an open, dark mouth
    closed = SMILE.copy()
    closed[[61, 62, 63, 65, 66, 67], 1] = SMILE[60, 1]
    assert shown(face(1.0)[0], closed, matrix) is None
    lips, _ = face(1.0)
    lips[(lips == TOOTH).all(2)] = LIPS  # landmarks that lie on the lips
    assert shown(lips, SMILE, matrix) is None
    yellow, _ = face(1.0)
    yellow[(yellow == TOOTH).all(2)] = (240, 215, 130)  # as coloured as the skin, and lighter
    assert shown(yellow, SMILE, matrix) is not None


def test_teeth_of_another_light_are_brought_to_the_faces_own() -> None:
    picture, matrix = face(1.0)
    orange = (picture * np.array([0.9, 0.7, 0.4])).astype(np.uint8)
    found, wanted = shown(orange, SMILE, matrix), shown(picture, SMILE, matrix)
    assert found is not None and wanted is not None
    lit = found.under(wanted.skin)
    assert np.abs(lit.face.astype(int) - wanted.face).max() <= 3
    assert np.array_equal(lit.where, found.where)


def test_lower_teeth_are_left_to_the_jaw() -> None:
    picture, matrix = face(1.0)
    upper = shown(picture, SMILE, matrix)
    x, bottom = SMILE[66].round().astype(int)
    low = (int(x) - 12, int(bottom) - 5), (int(x) + 12, int(bottom) - 2)
    cv2.rectangle(picture, *low, TOOTH, -1)
    both = shown(picture, SMILE, matrix)
    assert upper is not None and both is not None
    assert np.array_equal(both.where, upper.where)
    assert upper.apart > 0.7 * upper.area  # dark below: surely upper ones
    clenched, _ = face(1.0)
    clenched[(clenched == DARK).all(2)] = TOOTH
    doubtful = shown(clenched, SMILE, matrix)
    assert doubtful is not None and doubtful.apart == 0 and doubtful.area > upper.area
    only, _ = face(1.0, teeth=False)
    cv2.rectangle(only, *low, TOOTH, -1)
    assert shown(only, SMILE, matrix) is None


def test_a_picture_without_colours_shows_teeth_too() -> None:
    picture, matrix = face(1.0)
    grey = np.repeat(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)[..., None], 3, 2)
    found, coloured = shown(grey, SMILE, matrix), shown(picture, SMILE, matrix)
    assert found is not None and coloured is not None
    assert found.area == pytest.approx(coloured.area, rel=0.3)


def test_a_portraits_smile_is_closed_and_its_teeth_are_kept() -> None:
    still = open_still(shared_data("stills", "astronaut.png"), keep_smile=True)
    assert still.teeth is not None
    rest = open_still(shared_data("stills", "astronaut.png"))
    assert rest.teeth is not None and rest.teeth.area == still.teeth.area
    closed, smiling = alignment.lip_opening(np.stack([rest.points, still.points]))
    assert closed < smiling
    assert rest.at_rest().teeth is rest.teeth  # once known they are not looked for again
    assert replace(rest, teeth=None).at_rest().teeth is None  # its lips are closed now


def test_a_videos_teeth_are_those_of_the_frame_that_shows_most() -> None:
    for video in sorted(shared_data("grid", "s31").glob("*.mpg"))[:4]:
        still = open_still(video)
        assert alignment.lip_opening(still.points[None])[0] < 6
        if still.teeth is not None:  # its own frame, whose lips are closed, shows none
            assert replace(still, teeth=None).with_teeth().teeth is None
            return
    raise AssertionError("no clip of s31 shows teeth")
