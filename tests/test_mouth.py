"""A mouth moved by its landmarks and painted inside: geometry, Motion, G, what is shown."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from tiny import TINY, make_batch, make_step, short

from amie_core import config
from amie_core.config import FACE_SIZE, ModelConfig
from amie_core.data import alignment, store
from amie_core.data.audio import cosines, windows
from amie_core.evaluation.evaluate import evaluate
from amie_core.model import composition, lips, mouth, speaking, voices
from amie_core.model.interiors import Interiors
from amie_core.model.lips import MOVED, Flow, laid, mouth_width
from amie_core.model.motion import COEFFICIENTS, CONTEXT, Motion
from amie_core.model.mouth import MouthGenerator
from amie_core.model.painter import Painter
from amie_core.model.speaking import Painted, painted
from amie_core.model.speech_embedding import REACH
from amie_core.model.talker import generate, picture_size
from amie_core.training import augment, checkpoint, interiors, motion
from amie_core.training.loop import train
from amie_core.training.windows import Windows

MOUTHS = {"model.compose": "landmarks", "model.canvas": 128, "model.speech_embedding": True,
          "attention.enabled": False, "loss.inner": 10.0, "level": True}  # fmt: skip
SMALL = ModelConfig(image_size=32, width=8, max_width=16, audio_width=8, embedding=16,
                    compose="landmarks", canvas=128)  # fmt: skip
TEMPLATE_WIDTH = 62.0  # px at 256
OPENED = alignment.TEMPLATE.copy()
OPENED[[57, 58, 56, 65, 66, 67]] += [0, 14]
OPENED[5:12] += [0, 8]


def _talker() -> MouthGenerator:
    """A generator that paints inside the lips and whose motion is drawn at random."""
    torch.manual_seed(0)
    made = MouthGenerator(SMALL).eval()
    torch.nn.init.normal_(made.motion.basis, std=0.05)
    torch.nn.init.normal_(made.decoder.out.weight, std=0.5)
    return made


@pytest.mark.parametrize("speech", [False, True])
def test_a_whole_clip_and_its_windows_one_by_one_move_alike(speech: bool) -> None:
    torch.manual_seed(0)
    made = Motion(speech=speech).eval()
    torch.nn.init.normal_(made.basis)
    assert made.context == CONTEXT + (REACH if speech else 0)
    n = 9 + 2 * made.context
    hops = torch.randn(4 * n + 16, 45 if speech else 13)
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


def test_a_mouth_twice_as_wide_moves_twice_as_far_and_lips_do_not_cross() -> None:
    rest = alignment.TEMPLATE
    displaced = 0.1 * np.random.default_rng(0).standard_normal((5, len(MOVED), 2), np.float32)
    small, large = laid(rest, displaced) - rest, laid(2 * rest, displaced) - 2 * rest
    assert np.allclose(large, 2 * small, atol=1e-3)
    assert (small[:, [0, 30, 40]] == 0).all()
    pressed = np.zeros((1, len(MOVED), 2), np.float32)
    pressed[0, [MOVED.index(n) for n in (65, 66, 67)], 1] = -0.5  # the lower lip through the upper
    closed = laid(rest, pressed)[0]
    assert np.abs(closed[lips.LOWER, 1] - closed[lips.UPPER, 1]).max() < 1e-3
    assert mouth_width(rest) == TEMPLATE_WIDTH


def test_what_is_at_a_landmark_is_moved_with_it() -> None:
    moving = Flow(alignment.TEMPLATE, OPENED)
    for new in (OPENED, alignment.TEMPLATE, OPENED):  # asked again, it has forgotten nothing
        alone = Flow(alignment.TEMPLATE, OPENED)(new)
        assert np.allclose(moving(new), alone, atol=1e-3)
    assert np.allclose(alone, alignment.TEMPLATE - OPENED, atol=0.1)


def test_many_faces_at_once_move_as_one_by_one() -> None:
    """Training moves batches by torch, talking one frame by arrays."""
    box = alignment.lip_box(alignment.TEMPLATE[None])
    matrix = alignment.mouth_square(box, 128)
    own, new = (alignment.transform(p, matrix) for p in (alignment.TEMPLATE, OPENED))
    at = np.stack(np.meshgrid(*[np.arange(8, 256, 16, dtype=np.float32)] * 2), -1).reshape(-1, 2)
    both = (torch.from_numpy(p)[None] for p in (own, new))
    batch = mouth.flow(*both, torch.from_numpy(at), unit=2.0)[0].numpy()
    assert np.allclose(Flow(own, at, unit=2.0)(new), batch, atol=0.02)
    canvas = np.random.default_rng(0).random((32, 32, 3), np.float32)
    planes = torch.from_numpy(canvas).permute(2, 0, 1)[None]
    by_torch = mouth.moved(planes, *(torch.from_numpy(p)[None] for p in (own, new)), 2.0)
    by_arrays = speaking.Mover(canvas, own, 2.0)(new)
    assert np.allclose(by_arrays, by_torch[0].permute(1, 2, 0), atol=0.03)  # cv2: 32nds of a px
    found = composition.region(torch.tensor([box]), 64)[0, 0].numpy()
    assert np.allclose(lips.region(box, 64), found, atol=1e-5)


def test_what_is_at_a_landmark_is_moved_with_it_in_a_batch() -> None:
    old, new = (torch.from_numpy(p)[None] for p in (alignment.TEMPLATE, OPENED))
    assert torch.allclose(mouth.flow(old, new, new[0]), old - new, atol=0.1)
    assert mouth.flow(old, old, new[0]).abs().max() < 1e-4
    scaled = mouth.flow(2 * old, 2 * new, 2 * new[0], unit=2.0)
    assert torch.allclose(scaled / 2, mouth.flow(old, new, new[0]), atol=1e-3)


def test_the_square_around_a_mouth_shows_it_where_its_landmarks_say() -> None:
    picture = np.zeros((FACE_SIZE, FACE_SIZE, 3), np.uint8)
    box = alignment.lip_box(alignment.TEMPLATE[None])
    x, y = alignment.TEMPLATE[51].round().astype(int)
    picture[y - 1 : y + 2, x - 1 : x + 2] = 255
    matrix = alignment.mouth_square(box, 128)
    seen = alignment.sample(picture, alignment.pixels(matrix, 64), 64)[..., 0].astype(float)
    at = alignment.transform(np.array([[x, y]], np.float32), matrix)[0]
    rows, columns = np.indices(seen.shape)
    centre = np.array([(seen * columns).sum(), (seen * rows).sum()]) / seen.sum()
    assert np.allclose((centre + 0.5) * 4 - 0.5, at, atol=0.5)
    corner = alignment.mouth_square((0, 80, 128, 256), 112)  # near the upper edge: moved inside
    assert np.allclose(corner[:, 2] / corner[0, 0], [-135.719, 0.281], atol=0.01)


def test_the_picture_stays_where_nothing_moves_and_is_painted_between_the_lips() -> None:
    random = np.random.default_rng(0)
    for scale in (1.0, 2.5):
        edge = int(FACE_SIZE * scale)
        picture = random.integers(0, 256, (edge, edge, 3), np.uint8)
        place = np.diag([1 / scale, 1 / scale, 1.0])[:2]
        painter = Painter(picture, place, alignment.TEMPLATE, 128, 32)
        red = np.zeros((32, 32, 3), np.float32)
        red[..., 0] = 1
        made = painter.frame(Painted(OPENED, red, 0 * red))
        y, x = (int(v * scale) for v in (190, 128))
        assert made[y, x].tolist() == [255, 0, 0]
        high = int(100 * scale)
        assert np.array_equal(made[:high], picture[:high])
        assert not np.array_equal(made, picture)
        shut = alignment.TEMPLATE.copy()
        shut[60:68] = shut[60]  # nothing between the lips
        still = Painter(picture, place, shut, 128, 32).frame(Painted(shut, red, 0 * red))
        changed = np.abs(still.astype(int) - picture).max(2) > 2
        assert changed.mean() < 0.001


def test_a_face_speaks_in_chunks_as_in_one_piece() -> None:
    talker, random = _talker(), np.random.default_rng(1)
    face = random.integers(0, 256, (FACE_SIZE, FACE_SIZE, 3), np.uint8)
    heard = windows(random.standard_normal((4 * 40 + 16, 13), np.float32), 40)
    whole = list(painted(talker, face, alignment.TEMPLATE, [heard]))
    chunks = [heard[:3], heard[3:9], heard[9:36], heard[36:]]
    parts = list(painted(talker, face, alignment.TEMPLATE, chunks))
    far = list(painted(talker, face, alignment.TEMPLATE, [heard], movement=2.0))
    assert len(whole) == 40
    for a, b in zip(whole, parts, strict=True):
        # Batches of other sizes round otherwise, and each frame sees the one before it.
        assert np.allclose(a.points, b.points, atol=1e-3)
        assert np.allclose(a.colours, b.colours, atol=1e-3)
    corner = (a.points[48] - alignment.TEMPLATE[48] for a in (far[0], whole[0]))
    assert np.allclose(next(corner), 2 * next(corner), atol=1e-3)
    assert picture_size(SMALL) == FACE_SIZE == generate(
        talker, face, heard[:2], points=alignment.TEMPLATE
    ).shape[1]


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

    made = _talker()
    made.hear = hear
    return made


def test_every_voice_moves_a_mouth_as_far_however_sure_the_networks_are() -> None:
    random = np.random.default_rng(0)
    said = np.full((900, 20, 13), voices.SAID + 50, np.float32)
    said[:, :, 1] = 0.8 + 0.4 * random.exponential(size=(900, 1))
    said[100:200, :, 0] = voices.SAID - 50  # a pause, in which nothing is to be learnt
    said[100:200, :, 1] = 0
    for by, expected in ((1.75, 1.0), (2.5, 1.0), (0.25, 0.2), (7.5, 2.4)):
        chunks = np.split(said, [40, 90, 300, 600])
        found = list(speaking.heard(_hearing(by), chunks))
        opening = lips.parted(np.concatenate([moves for moves, _ in found]))
        assert np.array_equal(np.concatenate([own for _, own in found]), said)
        loud = np.r_[0:100, 200:900]
        assert opening[loud].std() == pytest.approx(expected * speaking.USUAL, rel=0.12), by
    face = np.zeros((FACE_SIZE, FACE_SIZE, 3), np.uint8)
    widest = [
        max(alignment.lip_opening(one.points[None])[0] for one in painted(
            _hearing(1.75), face, alignment.TEMPLATE, [said[:60]], opens=size))
        for size in (0.02, 0.04)
    ]  # fmt: skip
    near, far = np.array(widest) - alignment.lip_opening(lips.closed(alignment.TEMPLATE)[None])[0]
    assert near > 1 and far == pytest.approx(2 * near, rel=0.05)
    own = list(speaking.heard(_hearing(1.75), [said], opens=0.02))  # as a video told
    opening = lips.parted(np.concatenate([moves for moves, _ in own]))
    assert opening[loud].std() == pytest.approx(speaking.FARTHER * 0.02, rel=0.12)
    few = list(speaking.heard(_hearing(0.1), [said[:20]]))
    assert np.allclose(lips.parted(few[0][0]), 0.1 * speaking.USUAL * said[:12, 0, 1])


def test_lips_close_beyond_rest_by_no_more_than_a_little() -> None:
    random = np.random.default_rng(0)
    said = np.full((400, 20, 13), voices.SAID + 50, np.float32)
    said[:, :, 1] = drawn = (0.5 + random.uniform(-1, 1, (400, 1)) * 3**0.5).astype(np.float32)
    heard = np.concatenate([moves for moves, _ in speaking.heard(_hearing(1.0), [said])])
    wanted = drawn.mean() + (drawn[:, 0] - drawn.mean()) / drawn.std()
    assert (wanted < 0).mean() > 0.2
    wanted[wanted < 0] *= speaking.SHUT
    assert np.allclose(lips.parted(heard) / speaking.USUAL, wanted, atol=0.05)


def test_of_what_an_unknown_voice_does_beside_opening_half_is_kept() -> None:
    random = np.random.default_rng(0)
    said = np.full((240, 20, 13), voices.SAID + 50, np.float32)
    said[:, :, 1:] = random.standard_normal((240, 1, 12))
    made = _hearing(1.0)
    opens = made.hear

    def hear(windows: np.ndarray) -> np.ndarray:
        moves = opens(windows)  # corners go with the opening, and aside with the third cepstrum
        moves[:, -20, 0] = 0.3 * moves[:, lips.APART[0][0], 1] + windows[CONTEXT:-CONTEXT, 0, 2]
        return moves

    made.hear = hear
    unknown = np.concatenate([moves for moves, _ in speaking.heard(made, [said])])
    own = voices.print_of(said[:, 8:12].reshape(-1, 13))
    of_it = voices.learnt([np.stack([own] * 9)], [speaking.USUAL])
    for name, values in zip(of_it._fields, of_it, strict=True):
        getattr(made.motion, f"voice_{name}").copy_(torch.from_numpy(values))
    known = np.concatenate([moves for moves, _ in speaking.heard(made, [said])])
    assert np.allclose(lips.parted(unknown), lips.parted(known), atol=1e-6)
    opening = lips.parted(known)
    aside = [moves[:, -20, 0] - 0.3 * opening for moves in (unknown, known)]
    assert np.std(aside[0]) / np.std(aside[1]) == pytest.approx(speaking.BESIDE, abs=0.02)
    assert np.corrcoef(*aside)[0, 1] > 0.99


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


def test_g_learns_inside_the_lips_alone_and_motion_stays() -> None:
    settings = short(config.with_changes(TINY, MOUTHS), 4)
    step = make_step(settings)
    g = step.amie.generator
    assert isinstance(g, MouthGenerator)
    batch = make_batch(settings)
    before = {name: value.clone() for name, value in g.state_dict().items()}
    first = step(batch, 0)
    for k in (1, 2):
        last = step(batch, k)
    assert last["inner"] < first["inner"]
    moved = {n for n, v in g.state_dict().items() if not torch.equal(v, before[n])}
    assert not any(name.startswith("motion.") for name in moved)
    for part in ("decoder.out", "shape.0", "audio_encoder", "identity_encoder", "image_encoder"):
        assert any(name.startswith(part) for name in moved), part


def test_outside_the_lips_a_training_frame_is_the_moved_face() -> None:
    talker = _talker()
    face = torch.rand(2, 3, 32, 32)
    own = torch.from_numpy(alignment.transform(
        alignment.TEMPLATE, alignment.mouth_square(alignment.lip_box(alignment.TEMPLATE[None]), 128)
    )).expand(2, -1, -1)  # fmt: skip
    mouths = talker.mouths(face, own, own[:, None].expand(-1, 3, -1, -1))
    assert torch.allclose(mouths.bases, face[:, None].expand(-1, 3, -1, -1, -1), atol=1e-3)
    assert mouths.inner.shape == (2, 3, 1, 32, 32) and mouths.codes.shape[:2] == (2, 3)
    code = talker.identity(face)._replace(face=mouths.bases[:, 0], region=mouths.inner[:, 0])
    frame = talker.decode(code, torch.randn(2, 16, 4, 4) + mouths.codes[:, 0], face)
    away = ((talker.around == 0) & (mouths.inner[:, 0] == 0)).expand_as(frame)
    assert away.any() and torch.equal(frame[away], mouths.bases[:, 0][away])
    within = (mouths.inner[:, 0] > 0).expand_as(frame)
    assert not torch.allclose(frame[within], mouths.bases[:, 0][within])
    plain = MouthGenerator(SMALL).eval()  # untrained, it adds nothing to lips and skin
    made = plain.change(code, torch.randn(2, 16, 4, 4), face)
    assert not made.shade.any()


def test_lips_that_are_hardly_apart_are_brought_together() -> None:
    rest = alignment.TEMPLATE.copy()
    rest[[65, 66, 67], 1] += 3
    shut = lips.closed(rest)
    gap = shut[lips.LOWER, 1] - shut[lips.UPPER, 1]
    assert np.allclose(gap, lips.SHUT * TEMPLATE_WIDTH, atol=0.01)
    assert np.allclose(lips.closed(shut), shut, atol=1e-5)
    assert np.array_equal(rest[:48], shut[:48])


def test_shade_lies_where_the_canvas_does() -> None:
    picture = np.full((640, 640, 3), 100, np.uint8)
    place = np.diag([0.4, 0.4, 1.0])[:2]
    painter = Painter(picture, place, alignment.TEMPLATE, 128, 32)
    nothing = np.zeros((32, 32, 3), np.float32)
    shade = nothing.copy()
    shade[12:20, 12:20] = 0.2
    shut = alignment.TEMPLATE.copy()
    shut[60:68] = shut[60]
    painter = Painter(picture, place, shut, 128, 32)
    made = painter.frame(Painted(shut, nothing, shade)).astype(int)
    changed = np.argwhere((made - picture).max(2) > 25)
    middle = alignment.transform(
        np.array([[127.5, 127.5]], np.float32),
        cv2.invertAffineTransform(alignment.mouth_square(alignment.lip_box(shut[None]), 128)),
    )[0]
    assert np.allclose(changed.mean(0)[::-1], middle / 0.4, atol=3)
    assert np.allclose(np.ptp(changed, axis=0), 8 * 4 / 0.4, atol=6)
    assert (made[changed[:, 0].mean().astype(int), changed[:, 1].mean().astype(int)] == 151).all()


def test_the_identity_is_the_most_closed_of_those_tried(tiny_corpus: Path) -> None:
    settings = config.with_changes(TINY, MOUTHS | {"train.geometry": False, "train.augment": False})
    tried = config.with_changes(settings, {"train.identity_tries": 6})
    opening = []
    for one in (settings, tried):
        batches = [Windows(tiny_corpus, one, 0, progress=False).batch(k) for k in range(4)]
        points = torch.cat([b.identity_landmarks for b in batches]).numpy()
        opening.append(alignment.lip_opening(points).mean())
    assert opening[1] < opening[0]
    laid_out = Windows(tiny_corpus, tried, 0, progress=False).batch(1)
    drawn = Windows(tiny_corpus, tried, 0, progress=False, resident_bytes=0).batch(1)
    assert torch.equal(laid_out.identity, drawn.identity)
    assert torch.equal(laid_out.frames, drawn.frames)


def test_a_levelled_clip_has_the_same_cepstra_however_loud_it_is(tiny_corpus: Path) -> None:
    clip = store.load_clip(tiny_corpus, store.clips(tiny_corpus)["file"].iloc[0])
    quiet = store.levelled(
        store.dataclasses.replace(clip, audio=(clip.audio // 8).astype(np.int16)), 16_000
    )
    loud = store.levelled(clip, 16_000)
    said = ~clip.silent
    near = np.abs(windows(quiet.mfcc, len(said))[said] - windows(loud.mfcc, len(said))[said])
    assert np.median(near) < 0.5


def test_teeth_are_kept_of_the_frame_that_shows_most_and_hang_from_the_upper_lip(
    tiny_corpus: Path,
) -> None:
    given = Windows(tiny_corpus, config.with_changes(TINY, MOUTHS), 0, progress=False)
    kept = Interiors(TINY.model.image_size)
    count = interiors.fill(kept, given, progress=False)
    speakers = set(given.speakers.tolist())
    assert count == len(speakers) and torch.isfinite(kept.canvases).all()
    assert (kept.inner.amax((1, 2, 3)) > 0.5).all() and (kept.widths > 20).all()
    tint = kept.tints[0].numpy()
    detail = kept.bank().details(tint)
    own = alignment.TEMPLATE.copy()
    own += kept.hang[0].numpy() - own[61:64].mean(0)
    there = detail.laid(own, float(kept.widths[0]))
    assert np.allclose(there, detail.fine, atol=1e-5)
    lower = detail.laid(own + [0, 32], float(kept.widths[0]))
    moved = 32 * len(lower) // FACE_SIZE
    assert np.allclose(lower[moved:], detail.fine[:-moved], atol=1e-5)
    assert abs(detail.fine.mean()) < 0.02  # detail alone: the mean colour is G's


def test_the_model_that_ships_is_the_same_bytes_each_time_it_is_made(
    tiny_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(motion, "STEPS", 10)
    settings = short(config.with_changes(TINY, MOUTHS), 3)
    made = []
    for name in ("a", "b"):
        train(settings, tiny_corpus, tmp_path / name, progress=False)
        made.append(checkpoint.ship(tmp_path / name, tmp_path / f"{name}.safetensors"))
    assert made[0] == made[1]
    talker, meta = checkpoint.load_generator(tmp_path / "a.safetensors")
    assert isinstance(talker, MouthGenerator) and meta["level"] and meta["image_size"] == FACE_SIZE
    result = evaluate(tmp_path / "a.safetensors", tiny_corpus, "test_unseen", limit=1,
                      progress=False)  # fmt: skip
    assert result["image_size"] == FACE_SIZE and result["clips"] == 1
    # A run that was begun does not learn again what is known from its checkpoint.
    monkeypatch.setattr(motion, "fit", None)
    (tmp_path / "a" / "done.json").unlink()
    assert train(settings, tiny_corpus, tmp_path / "a", progress=False)["steps"] == 3
