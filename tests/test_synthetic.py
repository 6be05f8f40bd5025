"""The embedded corpus: exact, in step with itself, and split without leaks."""

import pickle

import numpy as np
import pytest

from amie_core.config import FPS, SAMPLE_RATE
from amie_core.data.synthetic import corpus
from amie_core.data.synthetic.articulation import TRACK_RATE
from amie_core.data.synthetic.face import Face, Motion
from amie_core.data.synthetic.hair_and_clothes import light
from amie_core.data.synthetic.head import look
from amie_core.data.synthetic.voice import formants
from amie_core.errors import UserError

IDENTITY, UTTERANCE = 3, 3001


def opening(points: np.ndarray) -> np.ndarray:
    """Mean of the inner lips' three vertical distances, px."""
    return np.linalg.norm(points[:, [61, 62, 63]] - points[:, [67, 66, 65]], axis=2).mean(1)


@pytest.fixture(scope="module")
def clip():
    return corpus.draw_clip(IDENTITY, UTTERANCE)


@pytest.fixture(scope="module")
def face():
    rng = np.random.default_rng(0)
    return Face(look(1), light(rng), rng)


def posed(*shapes: tuple[float, float, float]) -> Motion:
    """A motion through mouth shapes (jaw, width, rounding), head and eyes still."""
    n, values = len(shapes), np.array(shapes, dtype=float)
    return Motion(*values.T, np.zeros(n), np.zeros((n, 2)), np.zeros((n, 6)))


def test_a_clip_has_the_stated_form(clip):
    n = len(clip.frames)
    assert 45 <= n <= 60 and clip.fps == FPS
    assert all(f.shape == (256, 256, 3) and f.dtype == np.uint8 for f in clip.frames)
    assert clip.audio.dtype == np.float32 and len(clip.audio) == n * SAMPLE_RATE // FPS
    assert 0.3 < np.abs(clip.audio).max() < 1
    assert clip.landmarks.shape == (n, 68, 2) and clip.landmarks.dtype == np.float32


def test_a_clip_is_the_same_twice_and_differs_by_seed(clip):
    again = corpus.draw_clip(IDENTITY, UTTERANCE)
    assert np.array_equal(np.stack(clip.frames), np.stack(again.frames))
    assert clip.audio.tobytes() == again.audio.tobytes()
    assert clip.landmarks.tobytes() == again.landmarks.tobytes()
    other = corpus.draw_clip(IDENTITY + 1, UTTERANCE)
    assert np.abs(other.frames[0].astype(int) - clip.frames[0]).mean() > 10


def test_landmarks_lie_where_the_68_points_belong(clip):
    points = clip.landmarks
    assert points.min() > 0 and points.max() < 255
    eyes = points[:, 36:42].mean(1), points[:, 42:48].mean(1)
    assert np.all(eyes[0][:, 0] < eyes[1][:, 0])
    apart = np.linalg.norm(eyes[1] - eyes[0], axis=1)
    assert np.all((apart > 50) & (apart < 72))
    for run in (range(0, 17), range(17, 27), range(31, 36), range(48, 55), range(60, 65)):
        assert np.all(np.diff(points[:, list(run), 0], axis=1) > 0)  # left to right
    order = [points[:, i, 1] for i in (19, 37, 41, 30, 33, 51, 57, 8)]  # top to bottom
    assert all(np.all(high < low) for high, low in zip(order[:-1], order[1:], strict=True))
    assert np.all(points[:, 62, 1] <= points[:, 66, 1] + 1e-3)


def test_a_still_face_is_symmetric(face):
    points = face.landmarks(posed((0.5, 0.0, 0.0)))[0]
    for left, right in ((0, 16), (4, 12), (17, 26), (31, 35), (36, 45), (48, 54), (61, 63)):
        assert points[left, 0] + points[right, 0] == pytest.approx(256, abs=0.5)
        assert points[left, 1] == pytest.approx(points[right, 1], abs=0.5)


def test_landmarks_follow_the_pixels(face):
    """The lip opening in the picture, seen as the change against closed lips, is the stated one."""
    motion = posed((0.0, 0.0, 0.0), (1.0, 0.0, 0.0))
    closed, wide = (face.draw(motion, i).astype(float) for i in (0, 1))
    points = face.landmarks(motion)[1]
    top, bottom = points[62], points[66]
    column = wide[:, 127:130].mean((1, 2))
    inside = column[round(top[1]) + 1 : round(bottom[1]) - 1]
    below = column[round(bottom[1]) + 2 : round(bottom[1]) + 6]
    assert inside.min() < 0.6 * below.mean()  # the cavity is darker than the lip under it
    assert np.abs(closed - wide)[:90].max() == 0  # and the jaw does not move the forehead


def test_opening_follows_the_jaw(clip):
    track = corpus.track_of(UTTERANCE)
    times = (np.arange(len(clip.frames)) + 0.5) / FPS
    jaw = np.clip(track.at(times, "jaw"), 0, None)
    open_ = opening(clip.landmarks)
    assert np.corrcoef(jaw, open_)[0, 1] > 0.97
    assert open_[:3].max() < 0.05 and open_[-2:].max() < 0.05  # closed before and after
    assert 9 < open_.max() < 22


def test_teeth_and_tongue_show_only_when_open(face):
    motion = posed((0.0, 0.0, 0.0), (-0.1, 0.0, 0.0), (1.0, 0.0, 0.0))
    points = face.landmarks(motion)[2]
    left, right = points[[61, 63], 0].round().astype(int)
    top, bottom = points[[62, 66], 1].round().astype(int)
    shut, pressed, wide = (face.draw(motion, i)[top + 1 : bottom - 1, left:right].astype(int)
                           for i in range(3))

    def bright_grey(area: np.ndarray) -> float:  # teeth: light and hardly coloured
        return float(((area.min(2) > 120) & (np.ptp(area, 2) < 60)).mean())

    assert bright_grey(wide) > 0.1
    dark = [(area.max(2) < 60).mean() for area in (shut, wide)]  # the inside of the mouth
    assert dark[1] > 0.15 and dark[0] < 0.4 * dark[1]  # shut lips show only the line between them
    assert bright_grey(shut) < 0.02 and bright_grey(pressed) < 0.02


def test_sound_and_face_are_in_step():
    """Sound energy and lip opening agree best at lag 0, over clips of several speakers."""
    total = np.zeros(11)
    for identity in range(4):
        _, face, motion, audio = corpus._performance(identity, 1000 * identity)
        energy = np.sqrt((audio.reshape(len(motion.jaw), -1) ** 2).mean(1))
        open_ = opening(face.landmarks(motion))
        total += [np.corrcoef(np.roll(energy, lag), open_)[0, 1] for lag in range(-5, 6)]
    assert abs(int(total.argmax()) - 5) <= 1
    assert total.max() / 4 > 0.7


def test_formants_tell_jaw_and_lips():
    track = corpus.track_of(UTTERANCE)
    found = formants(track, 1.0)
    voiced = (track.voice > 0.5) & (track.nasal < 0.1)
    assert np.corrcoef(found[voiced, 0], track.jaw[voiced])[0, 1] > 0.95
    front = track.width - 0.5 * track.rounding
    assert np.corrcoef(found[voiced, 1], front[voiced])[0, 1] > 0.9
    assert np.all(np.diff(found, axis=1) > 0)


def test_speech_is_quiet_at_both_ends_and_in_closures(clip):
    level = 20 * np.log10(np.sqrt((clip.audio.reshape(-1, 160) ** 2).mean(1)) + 1e-9)
    loud = level.max()
    assert level[:12].max() < loud - 45 and level[-6:].max() < loud - 45
    track = corpus.track_of(UTTERANCE)
    assert track.seconds == pytest.approx(len(clip.audio) / SAMPLE_RATE)
    assert len(track.jaw) == round(track.seconds * TRACK_RATE)


def test_splits_do_not_leak():
    found = corpus.sources(identities=12, utterances=8)
    assert len(found) == 96 and len({(s.speaker, s.utterance) for s in found}) == 96
    by_split = {s.split: [t for t in found if t.split == s.split] for s in found}
    assert {k: len(v) for k, v in by_split.items()} == {
        "train": 60, "test_seen": 20, "test_unseen": 16}
    speakers = {k: {s.speaker for s in v} for k, v in by_split.items()}
    spoken = {k: {s.utterance for s in v} for k, v in by_split.items()}
    assert speakers["test_seen"] <= speakers["train"]
    assert not speakers["test_unseen"] & speakers["train"]
    assert not spoken["train"] & (spoken["test_seen"] | spoken["test_unseen"])
    assert not spoken["test_seen"] & spoken["test_unseen"]


def test_small_corpora_keep_a_training_clip():
    assert [s.split for s in corpus.sources(1, 1)] == ["train"]
    assert {s.split for s in corpus.sources(2, 2)} == {"train", "test_seen", "test_unseen"}
    assert [s.utterance for s in corpus.sources(2, 2)] == [
        s.utterance for s in corpus.sources(2, 2)]
    assert [s.utterance for s in corpus.sources(2, 2, seed=1)] != [
        s.utterance for s in corpus.sources(2, 2)]
    with pytest.raises(UserError, match="at least 1"):
        corpus.sources(0, 3)


def test_a_source_survives_pickling(clip):
    source = corpus.sources(5, 2)[7]
    again = pickle.loads(pickle.dumps(source))
    assert (again.speaker, again.utterance, again.split) == (
        source.speaker, source.utterance, source.split)
    assert again.reader.args == source.reader.args
    assert again.read().audio.tobytes() == clip.audio.tobytes()  # the same two seeds
    assert again.reader.args == (IDENTITY, UTTERANCE)
