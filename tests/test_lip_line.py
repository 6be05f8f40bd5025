"""Where closed lips meet, by the picture (`model.lip_line`)."""

from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import cv2
import numpy as np
import pytest
import soundfile
from conftest import shared_data

from amie_core.config import FACE_SIZE, SAMPLE_RATE
from amie_core.data.alignment import TEMPLATE
from amie_core.data.sound import load_audio
from amie_core.model.lip_line import ENDS, FARTHEST, MOVES, on_lip_line
from amie_core.talking.networks import ShippedNetworks
from amie_core.talking.still import Still, open_still
from amie_core.talking.talk import picture_frames

LEFT, RIGHT = TEMPLATE[48], TEMPLATE[54]


def _closed() -> np.ndarray:
    """The template's landmarks with lips that meet."""
    points = TEMPLATE.copy()
    middle = (points[48, 1] + points[54, 1]) / 2
    points[60:68, 1] = points[[48, 54], 1] = middle
    points[49:54, 1], points[55:60, 1] = middle - 9, middle + 11
    return points


def _line(x: np.ndarray, shift: float, tilt: float, curve: float) -> np.ndarray:
    """px further down than the landmarks of `_closed`."""
    across = (x - (LEFT[0] + RIGHT[0]) / 2) / ((RIGHT[0] - LEFT[0]) / 2)
    return shift + tilt * across + curve * across**2


def _face(points: np.ndarray, *line: float, dark: int = 60) -> np.ndarray:
    """Skin, redder lips and a dark line between them."""
    face = np.full((FACE_SIZE, FACE_SIZE, 3), (200, 160, 140), np.uint8)
    cv2.fillPoly(face, [points[48:60].round().astype(np.int32)], (170, 100, 100))
    x = np.linspace(LEFT[0], RIGHT[0], 60)
    y = points[60, 1] + _line(x, *line)
    way = np.stack([x, y], 1) * 16
    cv2.polylines(face, [way.round().astype(np.int32)], False, (dark,) * 3, 2, cv2.LINE_AA, 4)
    return cv2.GaussianBlur(face, (0, 0), 1.0)


@pytest.mark.parametrize("line", [(0, 0, 0), (3, 0, 0), (-2.5, 1, 0), (2, -1.5, 2), (1, 0, -3)])
def test_inner_lips_and_corners_are_laid_on_the_dark_line(line: tuple[float, ...]) -> None:
    points = _closed()
    found = on_lip_line(_face(points, *line), points)
    middle = (LEFT[0] + RIGHT[0]) / 2  # corners go with the line next to them
    reach = (1 - 2 * ENDS) * (RIGHT[0] - LEFT[0]) / 2
    wanted = _line(points[MOVES, 0].clip(middle - reach, middle + reach), *line)
    assert found[MOVES, 1] - points[MOVES, 1] == pytest.approx(wanted, abs=1.0)
    others = np.setdiff1d(np.arange(68), MOVES)
    assert np.array_equal(found[others], points[others])  # the outer lips stay
    assert np.array_equal(found[:, 0], points[:, 0])
    again = on_lip_line(_face(points, *line), found)
    assert again[60:68, 1] == pytest.approx(found[60:68, 1], abs=1.0)


def test_what_is_no_line_between_closed_lips_moves_nothing() -> None:
    points = _closed()
    plain = np.full((FACE_SIZE, FACE_SIZE, 3), 150, np.uint8)
    for face in (plain, plain * 0, _face(points, 0, 0, 0, dark=120)):
        assert on_lip_line(face, points) is points  # none is seen
    thin = points.copy()
    thin[55:60, 1] = thin[60, 1] + 3
    below = _face(thin, 5.5, 0, 0)  # under the lower lip, nearer than a line may be
    assert FARTHEST > 5.5 and np.abs(on_lip_line(below, thin) - thin).max() < 2
    opened = points.copy()
    opened[65:68, 1] += 8
    assert on_lip_line(_face(points, 3, 0, 0), opened) is opened
    noise = np.random.default_rng(0).integers(0, 255, (FACE_SIZE, FACE_SIZE, 3), np.uint8)
    assert np.isfinite(on_lip_line(noise, points)).all()


def test_lips_of_real_faces_meet_in_the_dark() -> None:
    """Landmarks of closed mouths lie on the lips, and on the line between them after it."""
    dark: list[list[float]] = []
    for path in sorted(shared_data("grid", "s31").glob("*.mpg"))[:4]:
        with patch("amie_core.model.lip_edges.by_picture", lambda face, points: points):
            still = open_still(path)
        face = still.aligned(FACE_SIZE)
        grey = cv2.GaussianBlur(cv2.cvtColor(face, cv2.COLOR_RGB2GRAY), (0, 0), 1.0)
        dark.append([
            float(np.mean([grey[round(y), round(x)] for x, y in one[61:64]]))
            for one in (still.points, on_lip_line(face, still.points))
        ])  # fmt: skip
    before, after = np.mean(dark, 0)
    assert after < before - 3


def test_talking_begins_with_the_picture_and_opens_lips_where_they_meet(tmp_path: Path) -> None:
    portraits = sorted(shared_data("stills", "congress").glob("*.jpg"))
    stills = [open_still(path) for path in portraits[2:20]]  # the second's face is too small
    smiles = next(one for one in stills if one.before is not None)
    assert smiles.at_rest().before is smiles.before
    closed = next(one for one in stills if one.before is None)
    wave = load_audio(shared_data("grid", "s31", "bgix9s.mpg"))
    sound = tmp_path / "voice.wav"
    soundfile.write(sound, np.concatenate([np.zeros(SAMPLE_RATE), wave]), SAMPLE_RATE)
    networks = ShippedNetworks()

    def said(still: Still) -> list[np.ndarray]:
        return list(picture_frames(networks, networks.meta, still, sound, FACE_SIZE)[1])

    frames = said(smiles)
    assert smiles.before is not None
    given, rest = (one.aligned(FACE_SIZE) for one in (smiles.before, smiles))
    assert all(np.array_equal(frame, given) for frame in frames[:20])
    assert not np.array_equal(given, rest)
    away = [float(np.abs(frame.astype(int) - given).mean()) for frame in frames]
    assert min(away[40:70]) > 0.2
    shift = np.zeros((68, 2), np.float32)
    shift[MOVES, 1] = 3.0
    elsewhere = said(replace(closed, points=closed.points - shift))
    ours = said(closed)
    assert np.array_equal(elsewhere[0], ours[0])
    assert not np.array_equal(elsewhere[45], ours[45])
