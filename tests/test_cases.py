"""Files of the kinds that people bring give what a person would expect of them."""

import json
import shutil
from pathlib import Path

import av
import numpy as np
import pytest
from conftest import shared_case, shared_data
from PIL import Image

from amie_core.data import landmarks_mesh, sound, store, video
from amie_core.data.prepare import prepare
from amie_core.talking.still import read_image

CHEEK = slice(150, 190), slice(130, 160)  # of GRID's s1, 360×288


def pictures(name: str) -> np.ndarray:
    frames = list(video.read_video(shared_case("video", name)).frames)
    assert all(frame is not None for frame in frames)
    return np.stack(frames).astype(np.float32)


@pytest.fixture(scope="module")
def plain() -> np.ndarray:
    return pictures("plain.mp4")


def lag(a: np.ndarray, b: np.ndarray) -> float:
    """Seconds that `a` comes after `b`, by cross-correlation."""
    n = 2 * max(len(a), len(b))
    found = np.fft.irfft(np.fft.rfft(a, n) * np.conj(np.fft.rfft(b, n)))
    return ((int(found.argmax()) + n // 2) % n - n // 2) / 16000


SAME = ["mirrored.mp4", "mirrored-and-turned.mp4", "variable-rate-holes.mp4",
        "variable-rate-low-light.mp4", "second-track-is-default.mkv", "first-track-is-silent.mkv",
        "cover-art-first.mp4", "size-changes.webm"]  # fmt: skip


@pytest.mark.parametrize("name", SAME)
def test_as_the_plain_clip(name: str, plain: np.ndarray) -> None:
    seen = pictures(name)
    assert seen.shape == plain.shape == (75, 288, 360, 3)
    assert np.abs(seen - plain).mean(axis=(1, 2, 3)).max() < 6
    clip = video.read_video(shared_case("video", name))
    voice = video.read_video(shared_case("video", "plain.mp4")).audio
    assert clip.audio is not None and abs(lag(clip.audio, voice)) <= 0.02


@pytest.mark.parametrize("name", ["second-track-is-default.mkv", "first-track-is-silent.mkv"])
def test_which_track_was_taken_is_said(name: str) -> None:
    clip = video.read_video(shared_case("video", name))
    assert clip.choices == ["audio track 2 of 2: the default one"] and not clip.notes


def test_a_browsers_recording_stays_in_step(plain: np.ndarray) -> None:
    seen = pictures("browser-jitter.webm")
    assert abs(len(seen) - 75) <= 1
    found = np.abs(seen[10:70, None, 150:230, 120:240] - plain[None, :, 150:230, 120:240])
    nearest = found.mean(axis=(2, 3, 4)).argmin(axis=1) - np.arange(10, 70)
    assert abs(nearest.mean()) * 0.04 <= 0.02  # s


@pytest.mark.parametrize("name", ["hlg.mov", "pq.mov", "hd-untagged.mp4"])
def test_colours_are_those_of_the_plain_picture(name: str) -> None:
    first = Image.fromarray(pictures(name)[0].astype(np.uint8)).resize((360, 288), Image.BOX)
    with Image.open(shared_case("video", "colours-first-frame.png")) as file:
        known = np.asarray(file.convert("RGB"), np.float32)
    assert np.abs(np.asarray(first, np.float32)[CHEEK] - known[CHEEK]).mean() < 8


@pytest.mark.parametrize("name", ["displayp3.jpg", "adobergb.jpg"])
def test_colour_profiles_are_applied(name: str) -> None:
    known = read_image(shared_data("stills", "portrait_obama.jpg"))
    known = np.asarray(Image.fromarray(known).resize((600, 750), Image.LANCZOS), np.float32)
    seen = read_image(shared_case("pictures", name)).astype(np.float32)
    assert np.abs(seen.mean(axis=(0, 1)) - known.mean(axis=(0, 1))).max() < 1
    assert np.abs(seen - known).mean() < 3


def test_deep_pictures_are_as_dark_as_they_are() -> None:
    floats = read_image(shared_case("pictures", "float01.tif")).astype(float)
    dark = read_image(shared_case("pictures", "dark16.png")).astype(float)
    assert dark.max() == round(21759 / 257) and floats.max() > 250
    assert np.corrcoef(floats.ravel(), dark.ravel())[0, 1] > 0.99


@pytest.fixture(scope="module")
def moves() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """What the shipped model does to a still while it hears each sound: mouth, level."""
    from amie_core.files import SHIPPED
    from amie_core.talking.still import open_still
    from amie_core.talking.talk import picture_frames
    from amie_core.training.checkpoint import load_generator

    generator, meta = load_generator(SHIPPED)
    still = open_still(shared_data("stills", "astronaut.png"))
    made = {}
    for path in sorted(shared_case("sound").iterdir()):
        frames = np.stack(list(picture_frames(generator, meta, still, path, 256)[1])[:75])
        made[path.name] = frames[:, 140:240, 60:196].astype(np.float32)
    return made


@pytest.mark.parametrize("name, most", [("antiphase.wav", 0.1), ("centre51.m4a", 0.1),
                                        ("quiet30.wav", 0.1), ("mulaw.wav", 0.1)])  # fmt: skip
def test_lips_move_as_with_the_plain_sound(moves: dict, name: str, most: float) -> None:
    moved = moves[name].std(axis=0).mean() / moves["plain.wav"].std(axis=0).mean()
    assert abs(moved - 1) <= most
    a, b = (m - m.mean(axis=0) for m in (moves[name], moves["plain.wav"]))
    assert np.corrcoef(a.ravel(), b.ravel())[0, 1] > 0.9  # the same movement


def test_the_video_has_the_originals_sound(tmp_path: Path) -> None:
    from amie_core.talking.talk import talk

    face = shared_data("stills", "astronaut.png")
    for name, channels in (("antiphase.wav", 2), ("centre51.m4a", 6)):
        out = tmp_path / "out.mp4"
        talk(face, shared_case("sound", name), out, size=64, progress=False)
        with av.open(str(out)) as file:
            heard = file.streams.audio[0]
            assert len(heard.layout.channels) == channels
            wave = np.concatenate([f.to_ndarray() for f in file.decode(heard)], axis=1)
        assert np.sqrt((wave**2).mean(axis=1)).max() > 0.03
        own = sound.survey(shared_case("sound", name)).level
        assert sound.survey(out).level == pytest.approx(own, abs=1)


@pytest.mark.skipif(not landmarks_mesh.available(), reason="the mesh's files are not installed")
def test_prepared_as_they_are(tmp_path: Path) -> None:
    root = tmp_path / "raw" / "s1"
    root.mkdir(parents=True)
    shutil.copytree(shared_case("video"), root, dirs_exist_ok=True)
    done = prepare("folder", tmp_path / "raw", tmp_path / "out", jobs=1, backend="mesh")
    table = store.read_manifest(tmp_path / "out").set_index("utterance")
    assert done.rejected == 0, json.dumps(table.reason.to_dict(), indent=1)
    frames = table.frames.to_dict()
    assert all(frames[Path(name).stem] == 75 for name in SAME)
    assert not table.reason.str.contains("damaged|lost|cut").any()
    plain = store.load_clip(tmp_path / "out", table.file["plain"])
    for name in SAME:
        clip = store.load_clip(tmp_path / "out", table.file[Path(name).stem])
        assert np.abs(clip.frames.astype(float) - plain.frames).mean() < 6, name
    assert table.status["mirrored"] == table.status["mirrored-and-turned"] == "ok"
    assert "variable rate" in table.reason["variable-rate-holes"]
    assert "audio track 2 of 2" in table.reason["second-track-is-default"]
    assert table.status["second-track-is-default"] == table.status["cover-art-first"] == "ok"
