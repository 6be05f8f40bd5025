"""A mouth moved by its landmarks and painted inside: geometry, G, what is shown."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from tiny import MOUTHS, SMALL_MOUTH, TINY, make_batch, make_step, mouth_talker, short

from amie_core import config
from amie_core.config import FACE_SIZE
from amie_core.data import alignment, store
from amie_core.data.audio import windows
from amie_core.errors import UserError
from amie_core.evaluation.evaluate import evaluate
from amie_core.model import composition, lips, mouth, speaking
from amie_core.model.interiors import Interiors
from amie_core.model.lip_edges import RIM_LEARNT, by_picture
from amie_core.model.lips import MOVED, Flow, laid, mouth_width
from amie_core.model.mouth import MouthGenerator
from amie_core.model.painter import Painter
from amie_core.model.speaking import Painted, painted
from amie_core.model.talker import generate, picture_size
from amie_core.training import checkpoint, interiors, motion
from amie_core.training.loop import train
from amie_core.training.windows import Windows

TEMPLATE_WIDTH = 62.0  # px at 256
OPENED = alignment.TEMPLATE.copy()
OPENED[[57, 58, 56, 65, 66, 67]] += [0, 14]
OPENED[5:12] += [0, 8]


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


def test_parted_lips_edges_lie_beyond_their_landmarks_as_measured() -> None:
    rest, width = lips.closed(alignment.TEMPLATE), TEMPLATE_WIDTH
    opening = np.array([-0.05, 0, 0.02, lips.SHORTEST_AT, 0.3], np.float32)
    wanted = np.zeros((5, len(MOVED), 2), np.float32)
    wanted[:, lips.APART[0], 1] = opening[:, None]  # the lower lip goes all the way
    points = laid(rest, wanted)
    edges = lips.to_edges(points, opening, width)
    assert edges.dtype == points.dtype
    apart = (alignment.lip_opening(edges) - alignment.lip_opening(points)) / width
    assert np.allclose(apart[:2], 0) and 0 < apart[2] < apart[3] / 2
    assert apart[3] == pytest.approx(lips.SHORT, rel=0.02)
    above = (points - edges)[3:, lips.UPPER, 1].mean(1)
    assert 0.5 < above[1] / above[0] < 0.6  # of a wide mouth half of it stays
    thin = points.copy()
    thin[:, lips.OUTER["upper"]] = thin[:, lips.UPPER] - [0, 2]
    top = lips.to_edges(thin, opening, width)[:, lips.UPPER, 1]
    assert (top >= thin[:, lips.UPPER, 1] - 2 * lips.THICK - 1e-4).all() and (top <= 256).all()
    moved = (edges - points)[3]
    upper, lower = -moved[lips.UPPER, 1].sum(), moved[lips.LOWER, 1].sum()
    assert upper / (upper + lower) == pytest.approx(lips.UPPERS, rel=1e-3)
    assert np.flatnonzero(moved.any(1)).tolist() == [61, 62, 63, 65, 66, 67]


def test_g_learns_with_lips_where_the_pictures_of_its_frames_show_them(tiny_corpus: Path) -> None:
    settings = config.with_changes(TINY, MOUTHS | {"train.geometry": False, "train.augment": False})
    on_edges = config.with_changes(settings, {"train.lip_edges": True})
    plain, taught = (Windows(tiny_corpus, s, 0, progress=False) for s in (settings, on_edges))
    # The landmarks that motion learns from stay.
    assert np.array_equal(plain.load(0, []).landmarks, taught.load(0, []).landmarks)
    own, seen = plain.load(0, [3, 7]).landmarks, taught.load(0, [3, 7]).landmarks
    clip = store.load_clip(tiny_corpus, plain.rows.iloc[0], size=FACE_SIZE)
    square = alignment.mouth_square(clip.lip_box, settings.model.canvas)
    for k in range(len(own)):
        points = clip.landmarks[k]
        if k in (3, 7):
            points = by_picture(clip.frames[k], points, RIM_LEARNT)
        assert np.allclose(seen[k], alignment.transform(points, square), atol=1e-3)
    assert not np.allclose(seen[[3, 7]], own[[3, 7]], atol=0.1)
    drawn = Windows(tiny_corpus, on_edges, 0, progress=False, resident_bytes=0).batch(2)
    batch = taught.batch(2)
    assert torch.equal(batch.landmarks, drawn.landmarks) and torch.equal(batch.lips, drawn.lips)
    assert not torch.equal(batch.landmarks, plain.batch(2).landmarks)
    with pytest.raises(UserError, match="lip_edges needs compose=landmarks"):
        whole = config.with_changes(TINY, {"train.lip_edges": True})
        train(short(whole, 1), tiny_corpus, tiny_corpus / "never", progress=False)


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
    talker, random = mouth_talker(), np.random.default_rng(1)
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
    assert picture_size(SMALL_MOUTH) == FACE_SIZE == generate(
        talker, face, heard[:2], points=alignment.TEMPLATE
    ).shape[1]


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
    talker = mouth_talker()
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
    plain = MouthGenerator(SMALL_MOUTH).eval()  # untrained, it adds nothing to lips and skin
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
