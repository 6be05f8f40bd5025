"""Where parted lips end, whether lips meet, and how strong what is painted has to be."""

import warnings
from pathlib import Path
from unittest.mock import patch

import cv2
import numpy as np
import pytest
import soundfile
from conftest import shared_data

from amie_core.config import FACE_SIZE, SAMPLE_RATE
from amie_core.data.alignment import TEMPLATE, lip_opening
from amie_core.data.sound import load_audio
from amie_core.model import contrast as sharpness
from amie_core.model import lent_teeth, speaking
from amie_core.model.contrast import contrast, stronger
from amie_core.model.lip_edges import GAIN, SOFT, by_picture, on_lip_edges
from amie_core.model.lip_line import PARTED, meet
from amie_core.model.lips import LOWER, SHUT, UPPER, mouth_width
from amie_core.talking.networks import ShippedNetworks
from amie_core.talking.still import Still, open_still
from amie_core.talking.talk import picture_frames

SKIN, LIP, LINE, TEETH, DARK = (200, 160, 140), (170, 100, 100), (90, 40, 40), (190, 185, 170), 20


def _mouth(apart: float) -> np.ndarray:
    """Landmarks whose inner lips are so many px apart, the outer ones around them."""
    points = TEMPLATE.copy()
    middle = (points[48, 1] + points[54, 1]) / 2
    points[60:68, 1] = points[[48, 54], 1] = middle
    points[UPPER, 1], points[LOWER, 1] = middle - apart / 2, middle + apart / 2
    points[49:54, 1], points[55:60, 1] = middle - 14, middle + 18
    return points


def _skin(points: np.ndarray, lips: tuple[int, int, int] = LIP) -> np.ndarray:
    face = np.full((FACE_SIZE, FACE_SIZE, 3), SKIN, np.uint8)
    cv2.fillPoly(face, [points[48:60].round().astype(np.int32)], lips)
    return face


def _lit(face: np.ndarray) -> np.ndarray:
    """As light falls on it from one side, and a little out of focus."""
    light = np.linspace(0.6, 1.2, FACE_SIZE)[None, :, None]
    return cv2.GaussianBlur((face * light).clip(0, 255).astype(np.uint8), (0, 0), 1.0)


def _parted(points: np.ndarray, down: float, high: float, between: tuple[int, ...]) -> np.ndarray:
    """A mouth whose opening lies elsewhere than its landmarks."""
    face, (left, right) = _skin(points), points[[60, 64], 0]
    x = np.linspace(left, right, 60)
    half = high / 2 * np.sqrt(1 - ((x - (left + right) / 2) / (right - left) * 2).clip(-1, 1) ** 2)
    y = points[60, 1] + down
    shape = np.vstack([np.stack([x, y - half], 1), np.stack([x, y + half], 1)[::-1]])
    cv2.fillPoly(face, [(shape * 16).round().astype(np.int32)], between, cv2.LINE_AA, 4)
    return _lit(face)


def _closed(points: np.ndarray, colour: tuple[int, ...] = LINE) -> np.ndarray:
    face, y = _skin(points), round(float(points[60, 1]))
    cv2.line(face, (round(points[60, 0]), y), (round(points[64, 0]), y), colour, 2)
    return _lit(face)


@pytest.mark.parametrize("between", [TEETH, (DARK,) * 3, (51, 30, 30)])  # the last: dark and red
@pytest.mark.parametrize(("down", "high"), [(3.0, 6.0), (2.0, 9.0), (4.0, 5.0)])
def test_inner_lips_are_laid_on_the_edges_of_what_is_between_them(
    between: tuple[int, ...], down: float, high: float
) -> None:
    points = _mouth(4.0)
    face = _parted(points, down, high, between)
    assert not meet(face, points)
    found = by_picture(face, points)
    soft = SOFT / float(contrast(face, points))  # lips are mixed with it so far
    first, last = points[60, 1] + down - high / 2, points[60, 1] + down + high / 2
    assert 0 < first - found[62, 1] < soft + 1.5 and 0 < found[66, 1] - last < soft + 2
    corners = found[[48, 54, 60, 64], 1] - points[60, 1]
    assert np.abs(corners - down).max() < 4.5 and abs(float(corners.mean()) - down) < 4
    others = np.setdiff1d(np.arange(68), [*UPPER, *LOWER, 48, 54, 60, 64])
    assert np.array_equal(found[others], points[others])
    assert np.array_equal(found[:, 0], points[:, 0])
    again = by_picture(face, found)
    assert np.abs(again - found).max() < 3.5  # hardly farther


def test_edges_that_are_not_seen_leave_the_landmarks_alone() -> None:
    points = _mouth(4.0)
    face = _parted(points, 3.0, 6.0, TEETH)
    grey = cv2.cvtColor(cv2.cvtColor(face, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    beard = face.copy()  # the upper lip is not seen: dark from the nose on
    beard[round(points[33, 1]) : round(points[60, 1]) + 1] = 40
    wide = _mouth(22.0)
    assert on_lip_edges(grey, points) is points and on_lip_edges(beard, points) is points
    assert by_picture(_parted(wide, 3.0, 6.0, TEETH), wide) is wide
    with patch("amie_core.model.lip_edges.GAIN", GAIN + 9):  # hardly better than the landmarks
        assert on_lip_edges(face, points) is points
    assert on_lip_edges(face, points) is not points
    noise = np.random.default_rng(0).integers(0, 255, face.shape, np.uint8)
    flat = points.copy()
    flat[48:68] = flat[48]  # no mouth at all
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for picture in (noise, noise * 0, noise * 0 + 255):
            for shape in (points, flat, points - (0, 150), points + (0, 90)):
                assert np.isfinite(by_picture(picture, shape.astype(np.float32))).all()


def test_lips_meet_where_a_redder_line_lies_between_them_whatever_the_landmarks_say() -> None:
    for apart in (1.0, 3.0, 4.5):
        points = _mouth(apart)
        assert meet(_closed(points), points)
        laid = by_picture(_closed(points), points)
        widest = SHUT * mouth_width(laid)
        assert (laid[LOWER, 1] - laid[UPPER, 1]).max() <= min(widest, apart) + 1e-3
        # A line as grey as teeth, or none at all, does not say that they meet.
        assert not meet(_closed(points, (90, 85, 80)), points)
        assert not meet(_skin(points), points)
    apart = _mouth(PARTED + 1)
    assert not meet(_closed(apart), apart)
    teeth = _mouth(4.0)
    over = _parted(teeth, 3.0, 7.0, TEETH)  # the edge of the upper lip is a red line as well
    y = round(float(teeth[60, 1] - 0.5))
    cv2.line(over, (round(teeth[60, 0]), y - 1), (round(teeth[64, 0]), y - 1), LINE, 1)
    assert not meet(over, teeth)


@pytest.mark.parametrize("lights", [(250, 240, 220), (255, 230, 128)])
@pytest.mark.parametrize("shadows", [(0, 0, 0), (60, 30, 10), (40, 20, 10)])
def test_in_a_picture_of_one_tint_the_landmarks_count(
    lights: tuple[int, ...], shadows: tuple[int, ...]
) -> None:
    def toned(face: np.ndarray) -> np.ndarray:
        grey = cv2.cvtColor(face, cv2.COLOR_RGB2GRAY).astype(np.float32)[..., None] / 255
        return (shadows + grey * np.subtract(lights, shadows)).round().astype(np.uint8)

    points, wide = _mouth(3.0), _mouth(4.6)
    closed = toned(_closed(points))
    assert not meet(closed, points) and on_lip_edges(closed, points) is points
    assert Still(closed, points, np.eye(2, 3)).as_shown().at_rest().before is None
    opened = toned(_parted(wide, 0.0, 6.0, (DARK,) * 3))
    assert not meet(opened, wide) and on_lip_edges(opened, wide) is wide
    assert Still(opened, wide, np.eye(2, 3)).as_shown().at_rest().before is not None


def test_teeth_that_the_landmarks_show_stay_where_they_are() -> None:
    points = _mouth(9.0)
    face = _parted(points, 2.0, 9.0, TEETH)
    still = Still(face, points, np.eye(2, 3))
    before, shown = still.with_teeth().teeth, still.as_shown()
    assert not np.array_equal(shown.points, points) and before is not None
    for one in (shown, shown.at_rest()):
        assert one.teeth is not None and np.array_equal(one.teeth.where, before.where)


def test_landmarks_that_touch_on_the_skin_do_not_hide_that_lips_meet() -> None:
    points = _mouth(0.6)
    points[48:68, 1] -= 5.5  # of thin lips, they lie above the upper one
    thin = _mouth(0.6)
    thin[49:54, 1], thin[55:60, 1] = thin[60, 1] - 2, thin[60, 1] + 10
    face = np.full((FACE_SIZE, FACE_SIZE, 3), SKIN, np.uint8)
    cv2.fillPoly(face, [thin[48:60].round().astype(np.int32)], (180, 110, 100))
    y = round(float(thin[60, 1]))
    cv2.line(face, (round(thin[60, 0]), y), (round(thin[64, 0]), y), LINE, 2)
    face = _lit(face)
    assert meet(face, points)
    with patch("amie_core.model.lip_line.TOUCH", 0.0):
        assert not meet(face, points)


def test_lips_that_meet_once_their_landmarks_are_laid_anew_are_laid_on_the_line() -> None:
    found = _mouth(4.0)
    with patch("amie_core.model.lip_edges.on_lip_edges", lambda *_: found), patch(
        "amie_core.model.lip_edges.meet", lambda face, points: points is found
    ):
        points = _mouth(PARTED + 0.8)
        laid = by_picture(_closed(points), points)
    assert (laid[LOWER, 1] - laid[UPPER, 1]).max() <= SHUT * mouth_width(laid) + 1e-3


def test_lips_that_the_picture_shows_to_meet_are_not_warped_and_parted_ones_are_closed() -> None:
    points = _mouth(4.5)
    shut = Still(_closed(points), points, np.eye(2, 3)).as_shown().at_rest()
    assert shut.before is None and np.array_equal(shut.picture, _closed(points))
    picture = _parted(points, 4.0, 9.0, TEETH)
    still = Still(picture, points, np.eye(2, 3))
    rest = still.as_shown().at_rest()
    assert rest.before is not None and np.array_equal(rest.before.picture, picture)
    middle = slice(round(points[61, 0]), round(points[63, 0]))

    def light(one: np.ndarray) -> int:
        """Px in the middle of the mouth that are as light and grey as teeth."""
        part = one[round(points[51, 1]) : round(points[57, 1]), middle].astype(int)
        return int(((part[..., 0] - part[..., 1] < 25) & (part.mean(-1) > 120)).sum())

    by_landmarks = still.at_rest().picture
    assert light(rest.picture) * 5 < light(by_landmarks) < light(picture)


def test_real_mouths_that_show_teeth_close_and_closed_ones_are_known() -> None:
    """s31 rests with lips that meet; s4's landmarks lie on the upper lip while teeth are seen."""
    told = []
    for path in sorted(shared_data("grid", "s31").glob("*.mpg"))[:4]:
        still = open_still(path)
        told.append(meet(still.aligned(FACE_SIZE), still.points))
    assert sum(told) >= 3
    from amie_core.data.video import read_video
    from amie_core.talking.still import find_face

    clip = next(iter(read_video(shared_data("grid", "s4", "bgbu2a.mpg")).frames))
    still = find_face(clip)
    assert not meet(still.aligned(FACE_SIZE), still.points)
    seen = still.as_shown().points
    assert lip_opening(seen[None])[0] > lip_opening(still.points[None])[0] + 3
    assert 2 < seen[66, 1] - still.points[66, 1] < 8  # the lower lip lies lower


def test_what_is_painted_is_as_strong_as_the_picture_is_sharp() -> None:
    points = _mouth(4.0)
    soft = cv2.GaussianBlur(_skin(points), (0, 0), 3.0)
    lips = np.zeros(soft.shape, np.uint8)
    cv2.fillPoly(lips, [points[48:60].round().astype(np.int32)], (1, 1, 1))
    folds = lips.astype(int) * np.sin(np.arange(FACE_SIZE) * (2 * np.pi / 12))[None, :, None]
    sharp, sharper = ((soft + many * folds).clip(0, 255).astype(np.uint8) for many in (24, 60))
    assert contrast(soft, points) == 1
    assert 1.1 < contrast(sharp, points) < sharpness.MOST == contrast(sharper, points)
    # It hangs on the picture's light alone, half of it is as sharp, and not on noise.
    assert contrast(sharp // 2, points) == pytest.approx(contrast(sharp, points), rel=0.15)
    noise = 8 * np.random.default_rng(0).normal(0, 1, soft.shape[:2] + (1,))
    for face in (soft, sharp):
        noisy = (face + noise).clip(0, 255).astype(np.uint8)
        assert contrast(noisy, points) == pytest.approx(contrast(face, points), abs=0.3)
    for face in (soft * 0, soft * 0 + 255):
        assert contrast(face, points) == 1
    colours = np.random.default_rng(1).uniform(0.2, 0.6, (8, 8, 3)).astype(np.float32)
    inside = np.zeros((8, 8, 1), np.float32)
    assert stronger(colours, inside, np.float32(2)) is colours
    inside[2:5, 2:7] = 1
    assert stronger(colours, inside, np.float32(1)) is colours
    made, within = stronger(colours, inside, np.float32(1.5)), inside[..., 0] > 0
    before, after = colours[within], made[within]
    assert after.mean() == pytest.approx(before.mean(), abs=1e-6)
    assert after.mean(-1).std() == pytest.approx(1.5 * before.mean(-1).std(), rel=1e-4)
    assert np.allclose(np.diff(after), np.diff(before), atol=1e-6)  # no colour is stronger


def test_a_sharp_picture_speaks_with_more_contrast_between_its_lips(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lent_teeth, "BENEATH", 1.0)  # what is darker below teeth hides some of it
    portraits = sorted(shared_data("stills", "congress").glob("*.jpg"))
    still = next(
        one for one in map(open_still, portraits[2:20])
        if contrast(one.aligned(FACE_SIZE), one.points) > 1.3
    )  # fmt: skip
    wave = load_audio(shared_data("grid", "s31", "bgix9s.mpg"))
    sound = tmp_path / "voice.wav"
    soundfile.write(sound, wave, SAMPLE_RATE)
    networks = ShippedNetworks()

    def said() -> np.ndarray:
        return np.stack(list(picture_frames(networks, networks.meta, still, sound, FACE_SIZE)[1]))

    ours = said()
    with patch.object(speaking, "stronger", lambda colours, *_: colours):
        plain = said()
    assert np.array_equal(ours[0], plain[0])
    off = np.abs(ours.astype(int) - plain).mean((0, 3))
    centre = still.points[48:68].mean(0).round().astype(int)
    assert off.max() > 3 and np.abs(np.argwhere(off > 1)[:, ::-1] - centre).max() < 50


def test_a_picture_of_pale_lips_is_as_sharp_as_its_detail_is_fine() -> None:
    points = _mouth(4.0)
    grey = np.full((FACE_SIZE, FACE_SIZE, 3), 150.0)
    cv2.fillPoly(grey, [points[48:60].round().astype(np.int32)], (143.0,) * 3)
    cv2.fillPoly(grey, [points[60:68].round().astype(np.int32)], (150.0,) * 3)
    blurred = [cv2.GaussianBlur(grey, (0, 0), blur).round().astype(np.uint8)
               for blur in (0.4, 1.0, 2.5)]  # fmt: skip
    by_blur = [contrast(one, points) for one in blurred]
    assert by_blur[0] == np.float32(sharpness.MOST) > by_blur[1] >= by_blur[2] == 1
    with patch.object(sharpness, "FINER", (98.0, 99.0)):
        assert contrast(blurred[0], points) == 1  # by the lips' own contrast it is soft
    # Paler yet, the noise would be what is compared.
    faint = (150 + 0.05 * (grey - 150) + np.random.default_rng(0).normal(0, 6, grey.shape))
    assert contrast(faint.clip(0, 255).astype(np.uint8), points) == 1
