"""Teeth lent to a face that shows none: when, where they hang, in what light."""

from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import cv2
import numpy as np
import pytest
import soundfile
from conftest import shared_data
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from amie_core.cli import main
from amie_core.config import FACE_SIZE, SAMPLE_RATE
from amie_core.data import alignment
from amie_core.data.sound import load_audio
from amie_core.errors import UserError
from amie_core.files import TEETH
from amie_core.model import lent_teeth, lips
from amie_core.model.contrast import contrast
from amie_core.model.lent_teeth import (
    BENEATH,
    EDGE,
    FEW,
    HANGS,
    OTHER,
    SHAPE,
    LentTeeth,
    a_sliver,
    coloured_as,
    darker_below,
    lenders,
    lent,
    lit,
)
from amie_core.model.own_teeth import SHADED, Teeth, most
from amie_core.model.painter import Painter
from amie_core.model.speaking import Painted
from amie_core.talking.lenders import keep
from amie_core.talking.networks import ShippedNetworks
from amie_core.talking.still import Still, open_still
from amie_core.talking.talk import picture_frames

SKIN, LIPS, TOOTH = np.array([190.0, 140, 120]), (170, 70, 70), (225, 220, 205)
REST = alignment.TEMPLATE.copy()
LINE = REST[[61, 62, 63, 65, 66, 67], 1].mean()


def face(colour: np.ndarray = SKIN) -> np.ndarray:
    picture = np.full((FACE_SIZE, FACE_SIZE, 3), colour.round(), np.uint8)
    shade = (np.arange(FACE_SIZE) - FACE_SIZE / 2)[:, None] * 0.1  # light from below
    cv2.fillPoly(picture, [REST[48:60].round().astype(np.int32)], LIPS)
    red = np.random.default_rng(0).normal(0, 6, picture.shape[:2])  # skin is of many colours
    spots = cv2.GaussianBlur(red, (0, 0), 1.5)[..., None] * (4, -2, -2)
    return (picture + shade[..., None] + spots).clip(0, 255).astype(np.uint8)


def teeth(skin: np.ndarray = SKIN) -> LentTeeth:
    """One portrait's: a bar that ends in row EDGE."""
    colours = np.full((1, *SHAPE, 3), TOOTH, np.uint8)
    where = np.zeros((1, *SHAPE), np.uint8)
    where[0, EDGE[1] - 9 : EDGE[1] + 1, EDGE[0] - 24 : EDGE[0] + 25] = 255
    return LentTeeth(colours, where, skin[None].astype(np.float32))


def test_they_hang_from_where_lips_meet_and_stay_there() -> None:
    own = lent(face(), REST, 1.6, teeth())
    assert own is not None
    rows, columns = (np.flatnonzero((own.where > 0.5).any(axis)) for axis in (1, 0))
    assert rows[-1] == pytest.approx(LINE + HANGS, abs=1)
    assert columns[[0, -1]].mean() == pytest.approx(REST[[51, 57], 0].mean(), abs=1)

    speaking = REST.copy()
    speaking[[64, 65, 66, 67, 60, 55, 56, 57, 58, 59], 1] += 14
    speaking[[61, 62, 63], 1] -= 3
    green = np.zeros((32, 32, 3), np.float32)
    green[..., 1] = 1
    painter = Painter(face(), np.eye(2, 3), REST, 128, 32, own)
    made = painter.frame(Painted(speaking, green, 0 * green))
    x = round(float(REST[62, 0]))
    shown = own.face[round(LINE), x] * SHADED
    assert np.abs(made[round(LINE - 1), x] - shown).max() < 12
    assert made[round(LINE + HANGS + 4), x].tolist() == [0, 255, 0]  # behind and below: G's


def test_soft_pictures_keep_what_is_painted() -> None:
    assert lent(face(), REST, 1.0, teeth()) is None
    some, all_ = lent(face(), REST, 1.1, teeth()), lent(face(), REST, 1.6, teeth())
    assert some is not None and all_ is not None
    assert some.where.max() == pytest.approx(1 / 3, abs=0.01)
    assert all_.where.max() == 1 == pytest.approx(3 * some.where.max(), abs=0.03)


def bar(area: float, top: float = LINE - 3) -> Teeth:
    """A speaker's own: a bar of three rows, as many px at 256² of them."""
    where: np.ndarray = np.zeros((FACE_SIZE, FACE_SIZE), np.float32)
    where[round(top) : round(top) + 3, 128 - 10 : 128 + 11] = area / 63
    return Teeth(face(), where, SKIN, 0.0)


def test_a_sliver_of_own_teeth_is_few_in_a_sharp_picture() -> None:
    few, many = bar(FEW - 5), bar(FEW + 5)
    assert [a_sliver(few, by) for by in (1.0, 1.1, 1.2, 1.6)] == [False, False, True, True]
    assert not a_sliver(many, 1.6)
    of_video = most([few, None])  # where a video shows no more there are no more
    assert of_video is not None and not a_sliver(of_video, 1.6)


def test_lent_teeth_have_the_colour_of_the_few_that_are_seen_and_are_no_darker() -> None:
    others = lent(face(), REST, 1.6, teeth())
    assert others is not None
    tooth = others.face[round(LINE), 128].astype(float)
    for light in (0.5, 1.1):
        own, yellow = bar(FEW - 5), np.array([1.0, 0.95, 0.7])
        wanted = light * tooth * yellow
        own.face[:] = wanted.round()
        made = coloured_as(others, own).face[round(LINE), 128].astype(float)
        assert made / made.mean() == pytest.approx(wanted / wanted.mean(), abs=0.05)
        lighter = wanted.mean() / tooth.mean()
        assert made.mean() / tooth.mean() == pytest.approx(max(lighter, 1), abs=0.05)
    blue = bar(FEW - 5)
    blue.face[:] = (0, 0, 255)  # no tooth is that
    made = coloured_as(others, blue).face[round(LINE), 128] / tooth
    assert made.max() <= OTHER + 0.01 and made.min() >= 1 / OTHER - 0.01


def test_what_is_painted_below_teeth_is_darker_in_sharp_pictures() -> None:
    speaking = REST.copy()
    speaking[lips.UPPER, 1], speaking[lips.LOWER, 1] = LINE - 12, LINE + 14
    paint: np.ndarray = np.full((32, 32, 3), 0.5, np.float32)
    x = round(float(REST[62, 0]))

    def light(teeth_: Teeth | None, *places: tuple[float, float]) -> list[float]:
        painter = Painter(face(), np.eye(2, 3), REST, 128, 32, teeth_)
        made = painter.frame(Painted(speaking, paint, 0 * paint)).mean(-1)
        return [float(made[round(y), round(x)]) / 127.5 for y, x in places]

    below, above, beside = (LINE + 8, x), (LINE - 9, x), (LINE + 2, x + 20)
    own = bar(63)
    assert light(own, below, above, beside) == pytest.approx([1, 1, 1], abs=0.02)
    for by, dark in ((1.0, 1.0), (1.125, (1 + BENEATH) / 2), (1.6, BENEATH)):
        told = light(darker_below(own, by), below, above, beside)
        assert told == pytest.approx([dark, 1, 1], abs=0.03), by


def test_they_follow_the_skins_light_and_colour_by_half() -> None:
    assert np.allclose(lit(SKIN, SKIN), 1)
    assert np.allclose(lit(SKIN / 2, SKIN), 0.5 ** lent_teeth.FOLLOWS[0])
    pink = SKIN * np.array([1.0, 0.9, 0.95])
    by = lit(pink, SKIN)
    assert by[1] / by[0] == pytest.approx(0.9 ** lent_teeth.FOLLOWS[1])
    assert by[2] / by[1] == pytest.approx((0.95 / 0.9) ** lent_teeth.FOLLOWS[2])
    own = lent(face(), REST, 1.6, teeth(SKIN))
    assert own is not None
    skin_now = own.skin.mean() / SKIN.mean()  # lips and shade are in the picture, not in SKIN
    light = own.face[round(LINE), 128].mean() * SHADED / np.mean(TOOTH)
    assert light == pytest.approx(0.75 * skin_now ** lent_teeth.FOLLOWS[0], rel=0.02)


@pytest.mark.parametrize("beard", [(35, 30, 28), (235, 238, 240)])
def test_a_beard_is_no_skin(beard: tuple[int, int, int]) -> None:
    """A dark one leaves the teeth as light, of a white one they are not green or blue."""
    plain, bearded = face(), face()
    low = REST[[3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]]
    edge = np.concatenate([low, REST[[54, 33, 48]] + [[8, 0], [0, 6], [-8, 0]]])
    cv2.fillPoly(bearded, [edge.round().astype(np.int32)], beard)
    cv2.fillPoly(bearded, [REST[48:60].round().astype(np.int32)], LIPS)
    skin = alignment.filled(REST[None, lips.SKIN], FACE_SIZE)[0] > 0
    assert (plain != bearded).any(-1)[skin].mean() > 0.6
    without, beside = (lent(one, REST, 1.6, teeth()) for one in (plain, bearded))
    assert without is not None and beside is not None
    old, new = (one.face[round(LINE), 128].astype(float) for one in (without, beside))
    if beard[0] < 100:
        assert new.mean() == pytest.approx(old.mean(), rel=0.1)
    red, green, blue = new / old
    assert green < 1.12 * red and blue < 1.12 * green


@pytest.mark.parametrize("exposure", [0.5, 0.2])
def test_dark_pictures_of_many_colours_are_not_taken_for_one_tint(exposure: float) -> None:
    picture = face() * np.array([1.0, 0.95, 0.9])
    outside = alignment.filled(REST[None, :27], FACE_SIZE)[0] == 0
    dark, usual = (
        lent((picture * share).astype(np.uint8), REST, 1.6, teeth()) for share in (exposure, 1)
    )
    picture[outside] = 0  # a lit face before black
    before_black = lent(picture.astype(np.uint8), REST, 1.6, teeth())
    assert dark is not None and usual is not None and before_black is not None
    assert np.array_equal(*(one.face[round(LINE), 128] for one in (before_black, usual)))
    hues = [one.face[round(LINE), 128] / one.face[round(LINE), 128].mean() for one in (dark, usual)]
    assert np.allclose(*hues, atol=0.05)
    assert dark.face[round(LINE), 128].mean() < 0.8 * usual.face[round(LINE), 128].mean()


def test_no_line_of_teeth_is_seen_between_lips_that_all_but_meet() -> None:
    own = lent(face(), REST, 1.6, teeth())
    painter = Painter(face(), np.eye(2, 3), REST, 128, 32, own)
    bare = Painter(face(), np.eye(2, 3), REST, 128, 32)
    red = np.zeros((32, 32, 3), np.float32)
    shown = []
    for gap in (1.2, 2.5, 5.0):
        said = REST.copy()
        said[lips.UPPER, 1], said[lips.LOWER, 1] = LINE - gap / 2, LINE + gap / 2
        frames = [one.frame(Painted(said, red, red)).astype(int) for one in (painter, bare)]
        shown.append(np.abs(frames[0] - frames[1]).max())
    assert shown[0] == 0 < shown[1] < shown[2] and shown[2] > 40


@pytest.mark.parametrize("exposure", [1.0, 0.5, 0.3])
@pytest.mark.parametrize("tint", [(1.0, 1.0, 1.0), (1.1, 1.0, 0.8), (0.9, 1.0, 0.9)])
def test_pictures_of_one_tint_stay_so(tint: tuple[float, ...], exposure: float) -> None:
    light = cv2.cvtColor(face(), cv2.COLOR_RGB2GRAY)[..., None] * 0.8 * exposure
    tinted = (light * np.array(tint)).astype(np.uint8)
    code = cv2.imencode(".jpg", tinted, [cv2.IMWRITE_JPEG_QUALITY, 90])[1]
    picture = cv2.imdecode(code, cv2.IMREAD_COLOR)
    own = lent(picture, REST, 1.6, teeth())
    assert own is not None
    tooth = own.face[round(LINE), 128] / own.face[round(LINE), 128].mean()
    assert np.allclose(tooth, own.skin / own.skin.mean(), atol=0.03)


def test_the_portrait_of_the_most_similar_skin_lends() -> None:
    one, other = teeth(SKIN), teeth(SKIN / 2)
    both = LentTeeth(*(np.concatenate(pair) for pair in zip(one, other, strict=True)))
    assert [both.like(SKIN * share) for share in (1.1, 0.8, 0.6, 0.4)] == [0, 0, 1, 1]


def test_what_ships_is_whole_and_says_whose_it_is(tmp_path: Path) -> None:
    found = lenders()
    assert found.colours.shape == (5, *SHAPE, 3)
    assert ((found.where > 127).sum((1, 2)) > 250).all()
    share = found.where / 255
    light = (found.colours.mean(-1) * share).sum((1, 2)) / share.sum((1, 2))
    assert (light > 0.95 * found.skin.mean(1)).all()  # grey ones look ill in a light face
    with safe_open(TEETH, "numpy") as file:
        numbers = file.metadata()["origin"].split(": ")[1].split()
    pictures = [shared_data("stills", "congress", f"{number}.jpg") for number in numbers]
    keep(pictures, "portraits", tmp_path / "teeth.safetensors")
    for own, again in zip(found, lenders(tmp_path / "teeth.safetensors"), strict=True):
        assert np.abs(own.astype(float) - again).mean() < 2  # other processors, other landmarks


def test_bad_files_are_said(tmp_path: Path) -> None:
    damaged = tmp_path / "teeth.safetensors"
    damaged.write_bytes(TEETH.read_bytes()[:500])
    for path in (damaged, tmp_path / "absent"):
        with pytest.raises(UserError, match="missing or damaged"):
            lenders(path)
    no_smile = shared_data("stills", "congress", "004812.jpg")
    with pytest.raises(UserError, match=r"004812.jpg: shows too few upper teeth"):
        keep([no_smile], "nobody", damaged)
    some = load_file(TEETH)
    for wrong in (
        {"skin": some["skin"][:0], "colours": some["colours"][:0], "where": some["where"][:0]},
        {"where": some["where"][:1]},
        {"skin": some["skin"] * np.nan},
        {"skin": some["skin"] * 0},
        {"colours": some["colours"][:, 1:]},
    ):
        save_file(some | {k: np.ascontiguousarray(v) for k, v in wrong.items()}, damaged)
        lenders.cache_clear()
        with pytest.raises(UserError, match="missing or damaged"):
            lenders(damaged)
    lenders.cache_clear()


def test_a_sharp_portrait_that_shows_none_speaks_with_them(tmp_path: Path) -> None:
    networks, sound = ShippedNetworks(), tmp_path / "voice.wav"
    soundfile.write(sound, load_audio(shared_data("grid", "s31", "bgix9s.mpg")), SAMPLE_RATE)
    stills = map(open_still, sorted(shared_data("stills", "congress").glob("*.jpg"))[2:30])
    still = next(one for one in stills if one.teeth is None
                 and contrast(one.aligned(FACE_SIZE), one.points) > 1.3)  # fmt: skip

    def said(still: Still, lend: bool = True) -> np.ndarray:
        made = picture_frames(networks, networks.meta, still, sound, FACE_SIZE, lend_teeth=lend)
        return np.stack(list(made[1]))

    with_them, without = said(still), said(still, lend=False)
    with patch.object(lent_teeth, "lent", lambda *_: None):
        assert np.array_equal(said(still), without)
        own = Teeth(np.full((FACE_SIZE,) * 2 + (3,), 250, np.uint8),
                    np.ones((FACE_SIZE,) * 2, np.float32), SKIN, 0.0)  # fmt: skip
        known = said(replace(still, teeth=own))
    assert np.array_equal(said(replace(still, teeth=own)), known)  # its own win
    sliver = own._replace(where=own.where * np.float32(100 / own.area))
    parted = replace(still, teeth=sliver, before=replace(still))  # whose lips were closed
    lighter = np.abs(said(parted).astype(int) - said(parted, lend=False)).max()
    assert lighter > 60  # which gives way
    kept = replace(still, teeth=sliver)  # of a smile that is kept
    assert np.array_equal(said(kept), said(kept, lend=False))
    lighter = with_them.astype(int).mean(-1) - without.mean(-1)
    assert (lighter > 20).sum((1, 2)).max() > 30 and np.array_equal(with_them[0], without[0])
    changed = np.argwhere((with_them != without).any((0, 3)))
    low, high = still.points[48:60].min(0), still.points[48:60].max(0)
    assert (changed.min(0) > low[::-1] - 12).all() and (changed.max(0) < high[::-1] + 24).all()


@pytest.mark.parametrize(("flags", "lends"), [([], True), (["--no-lend-teeth"], False)])
def test_the_command_lends_them_or_not(
    flags: list[str], lends: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[bool] = []

    def picture_frames(*_: object, lend_teeth: bool, **__: object) -> None:
        told.append(lend_teeth)
        raise UserError("so far")

    monkeypatch.setattr("amie_core.talking.talk.picture_frames", picture_frames)
    sound = str(shared_data("grid", "s31", "bgix9s.mpg"))
    picture = str(shared_data("stills", "astronaut.png"))
    done = main(["talk", "--face", picture, "--audio", sound, "--out", str(tmp_path / "a.mp4"),
                 *flags])  # fmt: skip
    assert done != 0 and told == [lends]
