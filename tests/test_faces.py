"""Landmarks by two backends, the similarity, lip box and opening, stills."""

import dataclasses
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import shared_data
from media import drawn

from amie_core.data import alignment, faces, landmarks, landmarks_fan, landmarks_mesh
from amie_core.errors import UserError

pytestmark = pytest.mark.skipif(
    not landmarks_mesh.available(), reason="the mesh's files are not installed"
)


def still(name: str) -> np.ndarray:
    return cv2.imread(str(shared_data("stills", name)))[..., ::-1].copy()


def exact(frames: int = 20) -> tuple[np.ndarray, np.ndarray]:
    """Frames and exact landmarks of a drawn face."""
    from amie_core.data.synthetic import corpus

    clip = corpus.sources(identities=1, utterances=1)[0].read()
    return np.array(list(clip.frames)[5 : 5 + frames]), clip.landmarks[5 : 5 + frames]


def test_template_is_a_face_inside_the_picture():
    eyes = alignment.TEMPLATE[36:42].mean(0), alignment.TEMPLATE[42:48].mean(0)
    assert eyes[1][0] - eyes[0][0] == pytest.approx(76, abs=1)
    assert eyes[0][1] == pytest.approx(98, abs=1)
    assert alignment.TEMPLATE.min() > 20 and alignment.TEMPLATE.max() < 240
    np.testing.assert_allclose(alignment.TEMPLATE[27:31, 0], 128)
    assert alignment.lip_opening(alignment.TEMPLATE[None])[0] == pytest.approx(5, abs=3)


def test_mesh_follows_the_68_point_order():
    """On a face whose 68 points are known: each near its own, lips nearer, opening in step."""
    frames, truth = exact()
    finder = faces.backend("mesh")
    found = np.array([
        finder.landmarks(frame, landmarks.face_place(points))[0]
        for frame, points in zip(frames, truth, strict=True)
    ])  # fmt: skip
    apart = np.linalg.norm(truth[0, 36:42].mean(0) - truth[0, 42:48].mean(0))
    error = np.linalg.norm(found - truth, axis=2).mean(axis=0) / apart
    assert error[36:68].mean() < 0.07 and error[:27].max() < 0.35
    between = np.linalg.norm(found[0][:, None] - truth[0], axis=2)[48:68, 48:68]
    assert np.median(between.argmin(axis=1) == np.arange(20)) == 1
    both = alignment.lip_opening(found), alignment.lip_opening(truth)
    assert np.corrcoef(*both)[0, 1] > 0.9


def test_litert_gives_opencvs_own_numbers(capfd: pytest.CaptureFixture[str]) -> None:
    """Two runtimes, one network: the same points; and the faster one says nothing on stderr."""
    frame = drawn()[0][10]
    finder = landmarks_mesh.MeshBackend()
    place = finder.detect(frame)[0]
    points, score = finder.landmarks(frame, place)
    assert capfd.readouterr().err == ""

    class OpenCv:
        """The same file by OpenCV's engine."""

        def __init__(self, name: str) -> None:
            path = str(landmarks_mesh._file(f"{name}.tflite"))
            self.net = cv2.dnn.readNetFromTFLite(path, cv2.dnn.ENGINE_CLASSIC)

        def __call__(self, picture: np.ndarray) -> dict[str, np.ndarray]:
            self.net.setInput(cv2.dnn.blobFromImage(picture))
            names = ["conv2d_20", "conv2d_30"]
            return dict(zip(names, self.net.forward(names), strict=True))

    finder._mesh = OpenCv("face_landmark")  # type: ignore[assignment]
    theirs, their_score = finder.landmarks(frame, place)
    np.testing.assert_allclose(points, theirs, atol=0.05)
    assert score == pytest.approx(their_score, abs=1e-4)


def test_mesh_finds_a_turned_and_a_small_face():
    frame = drawn()[0][10]
    turn = cv2.getRotationMatrix2D((128, 128), 25, 0.35)  # counter-clockwise
    canvas = cv2.warpAffine(frame, turn, (256, 256), borderMode=cv2.BORDER_REPLICATE)
    finder = faces.backend("mesh")
    (found,) = finder.detect(canvas)
    assert np.degrees(found.angle) == pytest.approx(-25, abs=8)
    points, score = faces.locate(canvas, finder, found)
    upright, _ = faces.locate(frame, finder, finder.detect(frame)[0])
    assert score > 0.5
    moved = alignment.transform(upright, turn)
    assert np.linalg.norm(points - moved, axis=1).mean() < 3  # px


def test_nothing_is_found_in_noise():
    noise = np.random.default_rng(0).integers(0, 255, (288, 360, 3), dtype=np.uint8)
    assert faces.backend("mesh").detect(noise) == []


def test_alignment_undoes_a_similarity():
    angle, scale = np.radians(12), 1.7
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    moved = np.stack([alignment.TEMPLATE @ turn.T + (40, -7)] * 3)
    moved[:, 48:68, 1] += 9  # the mouth does not move the face
    matrix = alignment.similarity(moved)
    back = alignment.transform(moved, matrix)
    np.testing.assert_allclose(back[:, 17:48], np.stack([alignment.TEMPLATE[17:48]] * 3), atol=1e-2)
    assert np.hypot(*matrix[:, 0]) == pytest.approx(1 / 1.7)


def test_warp_moves_the_picture_as_transform_moves_points():
    rows, columns = np.indices((301, 399))  # no whole number of px when it is shrunk
    spot = 255 * np.exp(-((columns - 150) ** 2 + (rows - 100) ** 2) / (2 * 7.0**2))
    picture = np.repeat(spot.round().astype(np.uint8)[..., None], 3, axis=2)
    for scale in (0.13, 0.3, 1.0, 2.0):
        matrix = np.array([[scale, -0.1, 40.0 - 60 * scale], [0.1, scale, 80.0 - 60 * scale]])
        aligned = alignment.warp(picture, matrix).astype(float)[..., 0]
        y, x = np.average(np.indices(aligned.shape).reshape(2, -1), axis=1, weights=aligned.ravel())
        expected = alignment.transform(np.array([[150.0, 100.0]]), matrix)[0]
        np.testing.assert_allclose([x, y], expected, atol=0.05)


def test_lip_box_is_80_by_128_on_the_grid_of_4_inside_the_picture():
    for shift in ((0, 0), (90, 70), (-120, -200), (3, 1)):
        moved = (alignment.TEMPLATE + shift).astype(np.float32)
        top, bottom, left, right = alignment.lip_box(moved[None])
        assert (bottom - top, right - left) == (80, 128)
        assert top % 4 == 0 and left % 4 == 0 and 0 <= top <= 176 and 0 <= left <= 128
    box = alignment.lip_box(alignment.TEMPLATE[None])
    x, y = alignment.TEMPLATE[48:68].mean(0)
    assert abs((box[0] + box[1]) / 2 - y) <= 2 and abs((box[2] + box[3]) / 2 - x) <= 2


def test_lip_opening_is_the_mean_of_the_three_pairs():
    points = np.zeros((1, 68, 2), np.float32)
    points[0, [61, 62, 63], 1] = 100
    points[0, [67, 66, 65], 1] = 103, 106, 109
    assert alignment.lip_opening(points)[0] == pytest.approx(6)


def test_measure_sees_sharp_and_blurred_frames_alike():
    frames, truth = exact(12)
    matrix = alignment.similarity(truth)
    aligned = np.array([alignment.warp(frame, matrix) for frame in frames])
    small = [cv2.resize(f, (64, 64), interpolation=cv2.INTER_AREA) for f in aligned]
    blurred = np.array([cv2.resize(f, (256, 256), interpolation=cv2.INTER_CUBIC) for f in small])
    sharp_points, sharp = faces.measure_landmarks(aligned)
    blurred_points, seen = faces.measure_landmarks(blurred)
    assert sharp.all() and seen.all()
    assert np.linalg.norm(sharp_points - blurred_points, axis=2)[:, 48:].mean() < 1.5  # px
    opening = alignment.lip_opening(alignment.transform(truth, matrix))
    assert np.corrcoef(alignment.lip_opening(blurred_points), opening)[0, 1] > 0.9
    grey = np.full((2, 256, 256, 3), 127, np.uint8)
    assert not faces.measure_landmarks(grey)[1].any()
    assert faces.measure_landmarks(grey[:0])[0].shape == (0, 68, 2)


@pytest.mark.parametrize("name", ["astronaut.png", "portrait_obama.jpg"])
def test_stills_are_aligned(name):
    aligned, points, matrix = faces.align_image(still(name))
    assert aligned.shape == (256, 256, 3)
    eyes = points[36:42].mean(0), points[42:48].mean(0)
    np.testing.assert_allclose(eyes, [[90, 98], [166, 98]], atol=9)
    assert points[8, 1] < 256
    again, seen = faces.measure_landmarks(aligned[None])
    assert seen.all() and np.linalg.norm(again[0] - points, axis=1).mean() < 6
    assert faces.align_image(still(name), size=64)[0].shape == (64, 64, 3)


def test_stills_without_a_face_or_with_two_say_so():
    with pytest.raises(UserError, match="no face"):
        faces.align_image(np.full((200, 200, 3), 90, np.uint8))
    left, right = drawn(1)[0][10], drawn(2)[0][10]
    pair = np.concatenate([left, right], axis=1)
    with pytest.raises(UserError, match="2 faces"):
        faces.align_image(pair)
    with pytest.raises(UserError, match="face 2"):
        faces.align_image(pair, face_index=2)
    second = faces.align_image(pair, face_index=1)[0].astype(int)
    alone = faces.align_image(right)[0].astype(int)
    assert np.abs(second - alone).mean() < 6


def test_the_finer_detector_adds_what_the_first_missed_and_landmarks_confirm(monkeypatch):
    finder = faces.backend("mesh")
    left, right = drawn(1)[0][10], drawn(2)[0][10]
    pair = np.concatenate([left, np.full_like(left, 120), right], axis=1)
    (first,), (second,) = finder.detect(left), finder.detect(right)
    moved = dataclasses.replace(second, box=tuple(np.add(second.box, (512, 0, 512, 0)).tolist()))
    nothing = dataclasses.replace(first, box=tuple(np.add(first.box, (256, 0, 256, 0)).tolist()))
    again = dataclasses.replace(first, box=tuple(np.add(first.box, 9).tolist()), score=0.99)
    seen = iter([[first], [again, moved, nothing]] * 2)
    monkeypatch.setattr(landmarks_mesh, "_detect", lambda *_: next(seen))
    assert finder.every(pair) == [first, moved, nothing]  # what the first saw stays as it saw it
    assert faces.of_still(pair, finder) == [first, moved]  # nobody is between them


def test_unknown_backend_is_refused():
    with pytest.raises(UserError, match="dlib"):
        faces.backend("dlib")


class FakeNetwork:
    """Stands in for face_alignment.FaceAlignment: same calls, same shapes."""

    class face_detector:  # noqa: N801
        @staticmethod
        def detect_from_image(image):
            assert image.flags.writeable
            return [np.array([1.0, 2, 51, 72, 0.4]), np.array([5.0, 6, 105, 126, 0.99])]

    def get_landmarks_from_image(self, image, detected_faces, return_landmark_score):
        (box,) = detected_faces
        points = np.tile(box[:2], (68, 1)) + np.arange(68)[:, None]
        return [points], [np.full(68, 0.8)], None


def test_face_alignment_speaks_the_same_protocol():
    finder = landmarks_fan.FaceAlignmentBackend(FakeNetwork())
    (face,) = finder.detect(np.zeros((200, 200, 3), np.uint8))
    assert face.box == (5, 6, 105, 126)
    points, score = finder.landmarks(np.zeros((200, 200, 3), np.uint8), face)
    assert points.shape == (68, 2) and points.dtype == np.float32
    np.testing.assert_allclose(points[3], [8, 9])
    assert score == pytest.approx(0.8)


@pytest.mark.slow  # the package compiles its helpers with numba on first use: 15 s
def test_the_packages_own_calls_with_stand_in_networks(monkeypatch):
    """The package's own way from box to points, with a network that knows one answer."""
    import torch
    from face_alignment import api
    from face_alignment.detection import sfd

    class Detector:
        reference_scale = 195.0  # the package's

        def __init__(self, device, verbose):
            pass

    def peaks(crops):
        """Heat maps 64×64 whose peak for point k lies at (k / 2 + 10, 32)."""
        maps = torch.zeros(len(crops), 68, 64, 64)
        maps[:, torch.arange(68), 32, torch.arange(68) // 2 + 10] = 0.9
        return maps

    monkeypatch.setattr(api.FaceAlignment, "_load_native", lambda self, *settings: peaks)
    monkeypatch.setattr(sfd, "FaceDetector", Detector)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    finder = landmarks_fan.FaceAlignmentBackend()
    frame = np.zeros((288, 360, 3), np.uint8)
    points, score = finder.landmarks(frame, landmarks.Detection((100.0, 80.0, 200.0, 210.0), 1.0))
    assert points.shape == (68, 2) and score == pytest.approx(0.9, abs=0.01)
    assert (np.diff(points[::2, 0]) > 0).all() and np.ptp(points[:, 1]) < 3
    assert 100 < points[:, 0].mean() < 200 and 80 < points[:, 1].mean() < 210


def test_face_alignment_without_weights_or_network_says_where_they_go(monkeypatch):
    import urllib.error

    import face_alignment

    def offline(*args, **settings):
        raise urllib.error.URLError("no network")

    monkeypatch.setattr(face_alignment, "FaceAlignment", offline)
    with pytest.raises(UserError, match=re.escape(landmarks_fan.WEIGHTS[0])):
        landmarks_fan.FaceAlignmentBackend()


def test_auto_takes_face_alignment_only_where_it_runs_well(monkeypatch, tmp_path):
    import torch

    assert landmarks_fan.hub() == Path(torch.hub.get_dir())
    monkeypatch.delenv("TORCH_HOME", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert landmarks_fan.hub() == Path(torch.hub.get_dir())
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    assert landmarks_fan.hub() == Path(torch.hub.get_dir())
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert not landmarks_fan.at_hand()  # a GPU, no weights: nothing is downloaded unasked
    (landmarks_fan.hub() / "checkpoints").mkdir(parents=True)
    for name in landmarks_fan.WEIGHTS:
        (landmarks_fan.hub() / "checkpoints" / name).write_bytes(b"")
    assert landmarks_fan.at_hand()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert not landmarks_fan.at_hand()
    faces.backend.cache_clear()
    assert faces.backend("auto").name == "mesh"
