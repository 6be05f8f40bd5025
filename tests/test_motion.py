"""What is heard of a mouth's movement: Motion, voices known and unknown, how far lips move."""

from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import torch
from tiny import MOUTHS, TINY, mouth_talker

from amie_core import config
from amie_core.config import FACE_SIZE
from amie_core.data import alignment, store
from amie_core.data.audio import cosines, windows
from amie_core.model import lips, speaking, voices
from amie_core.model.lips import MOVED
from amie_core.model.motion import COEFFICIENTS, CONTEXT, Motion
from amie_core.model.mouth import MouthGenerator
from amie_core.model.painter import Painter
from amie_core.model.speaking import painted
from amie_core.model.speech_embedding import REACH
from amie_core.training import augment, motion, speech_embedding
from amie_core.training.windows import Windows


@pytest.mark.parametrize("speech", [False, True])
def test_a_whole_clip_and_its_windows_one_by_one_move_alike(speech: bool) -> None:
    torch.manual_seed(0)
    made = Motion(speech=speech).eval()
    if made.told is not None:
        speech_embedding.load(made.told.embedding)
    torch.nn.init.normal_(made.basis)
    assert made.context == CONTEXT + (REACH if speech else 0)
    n = 9 + 2 * made.context
    hops = torch.randn(4 * n + 16, 45 if speech else 13)
    hops[:, 13:] = 10 * hops[:, 13:] - 30  # dB
    heard = made.heard(hops[None])
    whole = made.coefficients(made.codes(hops[None]))[0]
    each = torch.from_numpy(windows(hops.numpy(), n))
    reach = (n - heard.shape[2]) // 2  # frames around one that each of them is heard by
    assert reach == (REACH if speech else 0)
    for k in range(heard.shape[2]):
        alone = made.heard(hops[None, 4 * k : 4 * (k + 2 * reach + 1) + 16])
        assert torch.allclose(alone[:, :, 0], heard[:, :, k], atol=1e-5)
    assert torch.allclose(made.said(each), made.displacements(whole), atol=1e-5)
    assert whole.shape == (9, COEFFICIENTS)
    hops[: 4 * (CONTEXT - 1)] += 1  # what is heard before reaches as far as the context does
    other = made.coefficients(made.codes(hops[None]))[0]
    assert not torch.allclose(other[0], whole[0]) and torch.allclose(other[8], whole[8], atol=1e-5)


def test_windows_in_context_are_every_frame_once_however_they_are_cut() -> None:
    rows = np.arange(4 * 30 + 16, dtype=np.float32)[:, None] * np.ones((1, 13), np.float32)
    cut, last = windows(rows, 30), len(rows) - 1
    for cuts in ([30], [1] * 30, [0, 4, 0, 26], [29, 1], [10, 10, 10]):
        chunks = np.split(cut, np.cumsum(cuts)[:-1])
        parts = list(speaking.in_context(iter(chunks), 3))
        assert np.array_equal(np.concatenate([part[3:-3] for part in parts]), cut), cuts
        for part in parts:  # what is beyond a frame is what its neighbours hear
            assert len(part) > 6 and np.array_equal(part[1:, :-4], part[:-1, 4:])
        assert (parts[0][0] == np.r_[[0] * 12, 0:8][:, None]).all()
        assert (parts[-1][-1] == np.r_[last - 7 : last + 1, [last] * 12][:, None]).all()
    assert list(speaking.in_context([cut[:0]], 3)) == []


def _hearing(by: float) -> MouthGenerator:
    """A generator that takes the second cepstrum for the opening, `by` as far as it is."""

    def hear(windows: np.ndarray) -> np.ndarray:
        said = np.zeros((len(windows) - 2 * CONTEXT, len(MOVED), 2), np.float32)
        said[:, lips.APART[0], 1] = by * windows[CONTEXT:-CONTEXT, 0, 1, None]
        return said

    made = mouth_talker()
    made.hear = hear
    return made


def test_a_mouth_moves_a_little_earlier_with_an_unknown_voice() -> None:
    said = np.full((200, 20, 13), voices.SAID + 50, np.float32)
    said[:, :, 1] = 1 + np.random.default_rng(0).uniform(0, 3, (200, 1))

    def opening(of: MouthGenerator, *cuts: int) -> np.ndarray:
        parts = list(speaking.heard(of, np.split(said, cuts), opens=1.0))
        return lips.parted(np.concatenate([part.moves for part in parts]))[8:-8]

    def scaled(values: np.ndarray) -> np.ndarray:
        return (values - values.mean()) / values.std()

    known, unknown = _hearing(1.0), _hearing(1.0)
    own = voices.print_of(said[:, 8:12].reshape(-1, 13))
    of_it = voices.learnt([np.stack([own] * 9)], [speaking.USUAL])
    for name, values in zip(of_it._fields, of_it, strict=True):
        getattr(known.motion, f"voice_{name}").copy_(torch.from_numpy(values))
    told = said[:, 0, 1]
    ahead = told[:-1] + speaking.EARLIER * np.diff(told)
    assert np.allclose(scaled(opening(known)), scaled(told[8:-8]), atol=1e-4)
    assert np.allclose(scaled(opening(unknown)), scaled(ahead[8:-7]), atol=1e-4)
    assert opening(unknown).std() == pytest.approx(1, rel=0.1)  # as large as ever
    cut = opening(unknown, 5, 6, 90, 160, 199)
    assert np.allclose(cut, opening(unknown), atol=1e-6)


def test_every_voice_moves_a_mouth_as_far_however_sure_the_networks_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(speaking, "EARLIER", 0.0)  # between frames a noise is smaller
    random = np.random.default_rng(0)
    said = np.full((900, 20, 13), voices.SAID + 50, np.float32)
    said[:, :, 1] = 0.8 + 0.4 * random.exponential(size=(900, 1))
    said[100:200, :, 0] = voices.SAID - 50  # a pause, in which nothing is to be learnt
    said[100:200, :, 1] = 0
    loud = np.r_[0:100, 200:250]  # of the first ten seconds
    own = float(said[loud, 0, 1].std())
    for by, expected in ((1.75, 1.0), (2.5, 1.0), (0.25, 0.25 * 2 * own), (7.5, 7.5 * 0.8 * own)):
        chunks = np.split(said, [40, 90, 300, 600])
        found = list(speaking.heard(_hearing(by), chunks))
        opening = lips.parted(np.concatenate([moves for moves, *_ in found]))
        assert np.array_equal(np.concatenate([own for _, own, _ in found]), said)
        assert opening[loud].std() == pytest.approx(expected * speaking.USUAL, rel=0.12), by
    face = np.zeros((FACE_SIZE, FACE_SIZE, 3), np.uint8)
    rest, farthest = lips.closed(alignment.TEMPLATE), []
    for size in (0.02, 0.04):
        with patch.object(lips, "THICK", 9.0):  # however thin the lips are
            there = [one.points for one in painted(
                _hearing(1.75), face, rest, [said[:60]], opens=size)]  # fmt: skip
        heard = speaking.heard(_hearing(1.75), [said[:60]], opens=size)
        told = speaking.ASKED * lips.parted(np.concatenate([one.moves for one in heard]))
        farthest.append(told.max())
        # The edges of lips that part lie farther apart than their landmarks.
        share = told.clip(0) / lips.SHORTEST_AT
        part = share**2 * np.exp(2 - 2 * share)
        apart = told + lips.SHORT * np.where(share > 1, 0.5 + part / 2, part)
        found = lips.parted((np.stack(there) - rest)[:, lips.MOVED]) / lips.mouth_width(rest)
        near = told < 0.15  # farther the lower lip, which alone is moved, has no outer edge
        assert near.sum() > 20 and np.abs(found - apart)[near].max() < 1e-3
    assert farthest[0] > 0.02 and farthest[1] == pytest.approx(2 * farthest[0], rel=0.05)
    own = list(speaking.heard(_hearing(1.75), [said], opens=0.02))  # as a video told
    opening = lips.parted(np.concatenate([moves for moves, *_ in own]))
    assert opening[loud].std() == pytest.approx(0.02, rel=0.12)
    few = next(iter(speaking.heard(_hearing(0.1), [said[:20]])))
    told = 0.1 * speaking.USUAL * said[: len(few.moves), 0, 1]
    assert np.allclose(lips.parted(few.moves), few.begun * told)


def test_a_mouth_is_as_its_picture_shows_it_until_something_is_said() -> None:
    said = np.full((240, 20, 13), voices.SAID + 50, np.float32)
    said[:, :, 1] = 1 + np.random.default_rng(0).uniform(0, 1, (240, 1))
    said[:60, :, 0] = voices.SAID - 50
    parts = list(speaking.heard(_hearing(1.0), [said]))
    begun, moves = (
        np.concatenate([getattr(part, name) for part in parts]) for name in ("begun", "moves")
    )
    sets_out = int((begun > 0).argmax())
    assert 60 - 6 < sets_out <= 60 and (np.diff(begun) >= 0).all() and begun[60:].all()
    assert begun[sets_out - 1 : sets_out + 4] == pytest.approx([0, 0.25, 0.5, 0.75, 1])
    assert not moves[:sets_out].any() and np.abs(moves[sets_out + 3 :]).max((1, 2)).all()
    cut = list(speaking.heard(_hearing(1.0), np.split(said, [20, 57, 59, 133])))
    for name, whole in (("begun", begun), ("moves", moves)):
        assert np.allclose(np.concatenate([getattr(one, name) for one in cut]), whole, atol=1e-6)
    near = speaking.said_near(said)
    assert near[57] < 0.5 < near[59]
    silent = np.full((40, 20, 13), voices.SAID - 50, np.float32)
    assert not any(part.begun.any() for part in speaking.heard(_hearing(1.0), [silent]))

    at_once = _hearing(1.0)
    own = voices.print_of(said[60:, 8:12].reshape(-1, 13))
    of_it = voices.learnt([np.stack([own] * 9)], [speaking.USUAL])
    for name, values in zip(of_it._fields, of_it, strict=True):
        getattr(at_once.motion, f"voice_{name}").copy_(torch.from_numpy(values))
    known = next(iter(speaking.heard(at_once, [said])))  # what it does in pauses is known
    assert known.begun[:6] == pytest.approx([0, 0.25, 0.5, 0.75, 1, 1])


def test_in_a_long_pause_a_mouth_goes_back_to_what_its_picture_shows() -> None:
    said = np.full((300, 20, 13), voices.SAID + 50, np.float32)
    said[:, :, 1] = 1 + np.random.default_rng(0).uniform(0, 1, (300, 1))
    said[40 : 40 + speaking.LONG, :, 0] = voices.SAID - 50  # too short to go back
    said[120:200, :, 0] = voices.SAID - 50
    parts = list(speaking.heard(_hearing(1.0), [said]))
    begun = np.concatenate([part.begun for part in parts])
    assert begun[8:120].all() and begun[8:120].min() == 1
    gone = 120 + int((begun[120:200] < 1).argmax())
    assert speaking.LONG <= gone - 120 <= speaking.LONG + speaking.LATER + 4
    way = begun[gone - 1 : gone + speaking.BACK]
    assert way == pytest.approx(1 - np.arange(speaking.BACK + 1) / speaking.BACK)
    assert not begun[gone + speaking.BACK : 195].any()
    assert begun[198 : 198 + 4].max() > 0 and begun[206:].min() == 1  # and sets out again
    moves = np.concatenate([part.moves for part in parts])
    assert not moves[begun == 0].any()
    cut = list(speaking.heard(_hearing(1.0), np.split(said, [3, 133, 150, 151, 190])))
    assert np.allclose(np.concatenate([part.begun for part in cut]), begun)


def test_what_comes_before_speech_is_the_picture_itself_lips_parted_as_they_are() -> None:
    face = np.random.default_rng(0).integers(0, 255, (FACE_SIZE, FACE_SIZE, 3), np.uint8)
    given, points = alignment.TEMPLATE.copy(), lips.closed(alignment.TEMPLATE)
    given[65:68, 1] += 9  # a smile, closed in `points`
    said = np.full((120, 20, 13), voices.SAID + 50, np.float32)
    said[:, :, 1] = 1 + np.random.default_rng(0).uniform(0, 1, (120, 1))
    said[:40, :, 0] = voices.SAID - 50
    made = _hearing(1.0)
    smiling = np.ascontiguousarray(face[:, ::-1])
    painter = Painter(face, np.eye(2, 3), points, made.canvas, made.image_size, None,
                      (smiling, given))  # fmt: skip
    told = list(painted(made, face, points, [said], given=given))
    frames = [painter.frame(one) for one in told]
    waits = [one.begun == 0 for one in told]
    assert 30 < sum(waits) <= 40 and waits == sorted(waits, reverse=True)
    for one, frame in zip(told[: sum(waits)], frames, strict=False):
        assert np.allclose(one.points, given, atol=1e-3) and np.array_equal(frame, smiling)
    assert not np.array_equal(frames[sum(waits)], smiling)
    half = told[sum(waits) + 1]  # over from the picture into what is painted
    over = painter.frame(half).astype(np.float32)
    ends = [painter.frame(half._replace(begun=share)).astype(np.float32) for share in (0.0, 1.0)]
    assert half.begun == 0.5 and np.abs(ends[0] - ends[1]).max() > 50
    assert np.abs(over - (ends[0] + ends[1]) / 2).max() <= 1
    opening = alignment.lip_opening(np.stack([one.points for one in told]))
    rest = alignment.lip_opening(points[None])
    goes = opening[sum(waits) : sum(waits) + 3]
    assert opening[0] > rest + 8 and opening[0] > goes.max()
    spoken = [one for one in told if one.begun == 1]
    plain = Painter(face, np.eye(2, 3), points, made.canvas, made.image_size)
    assert all(np.array_equal(painter.frame(one), plain.frame(one)) for one in spoken[:3])


def test_a_voice_that_was_learnt_is_known_again_and_others_get_the_usual_size() -> None:
    random = np.random.default_rng(0)
    places = 4 * random.standard_normal((3, 13))

    def clip(who: int) -> np.ndarray:
        hops = places[who] + random.standard_normal((200, 13)) + random.normal(0, 0.2, 13)
        hops[:, 0] = voices.SAID + 10
        return hops

    prints = [np.stack([voices.print_of(clip(who)) for _ in range(60)]) for who in (0, 1)]
    known = voices.learnt(prints, [0.03, 0.08])
    found = [known.recognised(clip(who)) for who in (0, 1, 2)]
    assert [share for share, _ in found] == pytest.approx([1, 1, 0], abs=0.1)
    assert [size for _, size in found[:2]] == [0.03, 0.08]
    pause = clip(0)
    pause[:, 0] = voices.SAID - 10
    assert voices.print_of(pause) is None and known.recognised(pause)[0] == 0
    assert voices.learnt([], []).recognised(clip(0))[0] == 0
    stored = Motion()
    for name, values in zip(known._fields, known, strict=True):
        getattr(stored, f"voice_{name}").copy_(torch.from_numpy(values))
    assert stored.voices().recognised(clip(1)) == pytest.approx((1, 0.08), rel=0.1)
    assert Motion().voices().recognised(clip(1))[0] == 0  # untaught it knows nobody


def test_sound_is_changed_by_the_seed_alone_and_gain_moves_the_first_cepstrum() -> None:
    hops = torch.randn(3, 36, 13) * 5
    first = augment.sound(hops, np.random.default_rng(3))
    assert torch.equal(first, augment.sound(hops, np.random.default_rng(3)))
    assert not torch.equal(first, augment.sound(hops, np.random.default_rng(4)))
    assert first.shape == hops.shape and torch.isfinite(first).all()
    assert not torch.equal(first, augment.sound(hops, np.random.default_rng(3), voice=False))
    there = cosines()
    assert np.allclose(there.T @ there, np.eye(13), atol=1e-5)
    louder = np.full(26, 6.0) @ there
    assert louder[0] == pytest.approx(6 * 26**0.5, rel=1e-5) and np.abs(louder[1:]).max() < 1e-4


@pytest.mark.parametrize("speech", [False, True])
def test_motion_learns_how_the_drawn_faces_move(
    tiny_corpus: Path, monkeypatch: pytest.MonkeyPatch, speech: bool
) -> None:
    monkeypatch.setattr(motion, "STEPS", 80)
    monkeypatch.setattr(motion, "CLIPS", 8)
    given = Windows(tiny_corpus, config.with_changes(TINY, MOUTHS), 0, progress=False)
    found = []
    for _ in range(2):
        torch.manual_seed(0)
        made = Motion(speech=speech)
        mean, std = given.standardisation()
        made.mean.copy_(mean)
        made.std.copy_(std)
        errors = motion.fit(made, given, 0, progress=False)
        found.append(made)
    assert all(map(torch.equal, found[0].state_dict().values(), found[1].state_dict().values()))
    assert errors["opening"] > 0 and not made.training
    fits = []
    for _, clip in given.some():
        moved, opening = lips.relative(clip.landmarks)
        assert moved.shape == (len(opening), len(MOVED), 2)
        hops = store.rows(clip, made.hears, 16_000, level=True)
        hops = np.pad(hops, ((4 * made.context, 4 * made.context), (0, 0)), mode="edge")
        codes = made.codes(torch.from_numpy(hops)[None])
        heard = made.displacements(made.coefficients(codes))[0].detach().numpy()
        fits.append(np.corrcoef(lips.parted(heard), opening)[0, 1])
    assert np.mean(fits) > 0.6, fits
