"""Changes laid over a picture: where they land, what they leave alone, mouths brought to rest."""

import warnings

import cv2
import numpy as np
import pytest
from conftest import shared_data
from media import drawn, noise, write_media
from PIL import Image

from amie_core.data import alignment
from amie_core.data.alignment import TEMPLATE, lip_box, lip_opening, similarity, transform, warp
from amie_core.errors import UserError
from amie_core.talking import canvas, closed_lips, still

SIZE = 64  # px of the network's pictures
BOX = lip_box(TEMPLATE[None])
ZERO = np.zeros((SIZE, SIZE, 3), np.float32)


def _place(turn: float, scale: float, at: tuple[float, float]) -> np.ndarray:
    """A similarity from a picture's px to 256-px units: its face is turned, scaled, at `at`."""
    corners = TEMPLATE @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    return similarity((corners * scale + np.array(at))[None].astype(np.float32))


def _canvas(picture: np.ndarray, place: np.ndarray) -> canvas.Canvas:
    seen = alignment.scale(warp(picture, place), SIZE)
    return canvas.Canvas(picture, place, seen, BOX)


def _noise(height: int, width: int) -> np.ndarray:
    rough = np.random.default_rng(0).integers(60, 200, (height, width, 3)).astype(np.uint8)
    return cv2.GaussianBlur(rough, (0, 0), 1.5)


@pytest.mark.parametrize("turn, scale", [(0.0, 1.0), (0.3, 1.7), (-0.5, 0.6)])
def test_no_change_leaves_the_picture_alone(turn: float, scale: float) -> None:
    picture = _noise(500, 600)
    frame = _canvas(picture, _place(turn, scale, (150, 140))).frame(ZERO)
    assert np.abs(frame.astype(int) - picture).max() <= 1
    assert frame is not picture


@pytest.mark.parametrize("turn, scale", [(0.0, 1.0), (0.3, 1.7), (-0.5, 0.6)])
def test_a_change_lands_on_the_mouth(turn: float, scale: float) -> None:
    picture = np.full((700, 700, 3), 100, np.uint8)
    place = _place(turn, scale, (220, 140))
    colours = ZERO.copy()
    colours[45, 32] = 0.5
    moved = _canvas(picture, place).frame(colours).astype(float)[..., 0] - 100
    y, x = np.indices(moved.shape)
    centre = np.array([(x * moved).sum(), (y * moved).sum()]) / moved.sum()
    wanted = transform(np.array([[32 * 4 + 1.5, 45 * 4 + 1.5]]), cv2.invertAffineTransform(place))
    assert np.abs(centre - wanted[0]).max() < 0.5
    # Everything the network's pixel stands for is as bright as 4×4 px of 256: nothing is lost.
    assert moved.sum() == pytest.approx(0.5 * 255 * (4 * scale) ** 2, rel=0.1)


def test_a_movement_is_turned_and_scaled_with_the_face() -> None:
    turn, scale = 0.4, 1.5
    place = _place(turn, scale, (180, 120))
    picture = np.zeros((560, 560, 3), np.uint8)
    mouth = transform(np.array([[128.0, 182.0]]), cv2.invertAffineTransform(place))[0]
    cv2.circle(picture, tuple(mouth.round().astype(int).tolist()), 6, (255, 255, 255), -1)
    flow = np.zeros((SIZE, SIZE, 2), np.float32)
    flow[..., 1] = -2 * 8 / 256  # what is seen comes from 8 px (of 256) higher up: it moves down
    moved = _canvas(picture, place).frame(ZERO, flow).astype(float)[..., 0]
    y, x = np.indices(moved.shape)
    centre = np.array([(x * moved).sum(), (y * moved).sum()]) / moved.sum()
    down = scale * 8 * np.array([-np.sin(turn), np.cos(turn)])
    assert np.abs(centre - mouth.round() - down).max() < 1.5


def test_a_video_of_the_whole_picture_has_even_sides_and_a_limit() -> None:
    place = _place(0.1, 1.0, (10, 10))
    picture, matrix = canvas.whole(_noise(301, 401), place)
    assert picture.shape == (300, 400, 3) and np.array_equal(matrix, place)
    picture, matrix = canvas.whole(_noise(1000, 3000), place)
    assert picture.shape == (426, 1280, 3)
    same = transform(np.array([[600.0, 300.0]]), place)
    assert transform(np.array([[256.0, 128.0]]), matrix) == pytest.approx(same, abs=1e-3)


def test_the_face_alone_is_cut_from_the_picture() -> None:
    picture, place = _noise(500, 500), _place(0.2, 1.4, (120, 90))
    face, matrix = canvas.face_alone(picture, place, 128)
    assert np.array_equal(face, warp(picture, place, 128))
    assert transform(np.array([[64.0, 32.0]]), matrix) == pytest.approx(np.array([[128, 64]]))


def _smiling() -> np.ndarray:
    points = TEMPLATE.copy()
    points[48:68, 0] = 128 + (points[48:68, 0] - 128) * 1.35
    points[[48, 54, 60, 64], 1] -= 8
    points[[55, 56, 57, 58, 59, 65, 66, 67], 1] += 14
    return points


def test_lips_at_rest_meet_and_are_narrower_than_a_smile() -> None:
    smile = _smiling()
    new = closed_lips.at_rest(smile)
    assert lip_opening(smile[None])[0] > 12 and lip_opening(new[None])[0] <= closed_lips.SEAM + 0.5
    width = [points[54, 0] - points[48, 0] for points in (TEMPLATE, new, smile)]
    assert width[0] < width[1] < width[2]
    assert np.array_equal(new[:48], smile[:48])
    height = new[57, 1] - new[51, 1]
    assert height > 8  # the lips themselves keep their height


def test_the_movement_goes_through_the_landmarks_and_folds_nowhere() -> None:
    old = _smiling()
    new = closed_lips.at_rest(old)
    moves = closed_lips.movement(old, new)
    at = np.clip(new.round().astype(int), 0, 255)
    outer = list(range(48, 60))
    assert np.abs(moves[at[:, 1], at[:, 0]] - (old - new))[outer].mean() < 1
    assert np.abs(moves[:8]).max() < 2 and np.abs(moves[:, :8]).max() < 2
    down = np.diff(np.arange(256)[:, None] + moves[..., 1], axis=0)
    assert down.min() > 0  # rows keep their order


def test_a_mouth_at_rest_stays_as_it_is() -> None:
    picture = _noise(256, 256)
    closed = TEMPLATE.copy()
    closed[[67, 66, 65]] = closed[[61, 62, 63]] + np.float32([0, 1])
    assert closed_lips.close_lips(picture, closed, np.eye(2, 3))[0] is picture
    changed, points = closed_lips.close_lips(picture, _smiling(), np.eye(2, 3))
    assert lip_opening(points[None])[0] <= closed_lips.SEAM + 0.5
    assert (changed[:100] == picture[:100]).all() and (changed[150:230] != picture[150:230]).any()


def _pair() -> np.ndarray:
    """A small face on the left, a larger one on the right."""
    face = drawn(frames=1)[0][0]
    small = cv2.resize(face, (180, 180), interpolation=cv2.INTER_AREA)
    pair = np.full((256, 460, 3), 120, np.uint8)
    pair[40:220, :180], pair[:, 204:] = small, face
    return pair


def test_of_a_video_of_two_faces_the_larger_is_taken_and_said(
    tmp_path, capsys: pytest.CaptureFixture
) -> None:
    path = write_media(tmp_path / "two.mp4", np.repeat(_pair()[None], 12, 0), noise(0.48))
    still.watch(path)
    said = capsys.readouterr()
    told = [line for line in (said.out + said.err).splitlines() if "faces" in line]
    assert told == [f"{path}: 2 faces: taking the largest, --face-index 1 (0 is leftmost)"]
    still.watch(path, 0)
    said = capsys.readouterr()
    assert "faces" not in said.out + said.err


def test_large_pictures_are_read_and_larger_ones_refused(tmp_path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Image.new("1", (12_000, 8_000)).save(tmp_path / "large.png")
        assert still.read_image(tmp_path / "large.png").shape == (8000, 12_000, 3)
    Image.new("1", (20_000, 10_000)).save(tmp_path / "larger.png")
    with pytest.raises(UserError, match="more than 178 megapixels"):
        still.read_image(tmp_path / "larger.png")


def test_a_damaged_video_is_not_called_a_picture(tmp_path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"\0" * 5000)
    with pytest.raises(UserError, match=r"a.mp4 cannot be read as a video"):
        still.open_still(tmp_path / "a.mp4")


def test_a_face_whose_mouth_is_cut_off_is_refused() -> None:
    face = drawn(frames=1)[0][0]
    points = still.find_face(face).points
    assert still.find_face(face[: int(points[57, 1]) + 8])
    with pytest.raises(UserError, match="the mouth lies outside the picture"):
        still.find_face(face[: int(points[62, 1])])


def test_the_largest_of_several_faces_is_taken_and_said(capsys: pytest.CaptureFixture) -> None:
    pair = _pair()
    taken = still.find_face(pair)
    said = capsys.readouterr()
    assert "2 faces: taking the largest, --face-index 1" in said.out + said.err
    left, right = (still.find_face(pair, index).matrix for index in (0, 1))
    assert np.array_equal(taken.matrix, right) and not np.array_equal(left, right)
    with pytest.raises(UserError, match="face 2 asked for"):
        still.find_face(pair, 2)


def test_tiny_and_turned_faces_say_what_to_do(tmp_path) -> None:
    face = drawn(frames=1)[0][0]
    tiny = np.full((200, 200, 3), 120, np.uint8)
    tiny[60:124, 60:124] = cv2.resize(face, (64, 64), interpolation=cv2.INTER_AREA)
    with pytest.raises(UserError, match="too small"):
        still.find_face(tiny)
    photograph = still.read_image(shared_data("stills", "astronaut.png"))
    with pytest.raises(UserError, match="upside down: turn the image by 180°"):
        still.find_face(photograph[::-1, ::-1].copy())
    upright = still.find_face(photograph)
    slanted = cv2.warpAffine(photograph, cv2.getRotationMatrix2D((256, 256), 20, 1), (512, 512))
    turned = still.find_face(slanted)
    angle = [np.arctan2(found.matrix[1, 0], found.matrix[0, 0]) for found in (upright, turned)]
    assert angle[1] - angle[0] == pytest.approx(np.deg2rad(20), abs=0.05)


def test_the_first_picture_of_an_animation_is_taken(tmp_path) -> None:
    frames = [Image.new("RGB", (40, 30), colour) for colour in ("red", "green", "blue")]
    for name in ("moving.gif", "moving.png", "moving.webp"):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
        assert (still.read_image(tmp_path / name)[10, 10] > (200, -1, -1)).all(), name
