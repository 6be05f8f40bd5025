"""A face and a voice to a video: what is written, what is refused, what it costs in memory."""

import dataclasses
import itertools
import subprocess
import sys
import tracemalloc
from collections.abc import Iterable, Iterator
from pathlib import Path
from unittest.mock import patch

import av
import numpy as np
import pytest
import soundfile
import torch
from conftest import shared_data
from media import drawn, write_media
from PIL import Image, ImageCms
from standins import write_hum, write_run

from amie_core import files
from amie_core.config import FPS, SAMPLE_RATE, SPEECH_LEVEL
from amie_core.data import audio, store
from amie_core.data.alignment import TEMPLATE, lip_opening, scale
from amie_core.data.sound import OVER, load_audio, stream_audio
from amie_core.data.video import read_video
from amie_core.errors import UserError
from amie_core.model import composition
from amie_core.model.talker import generate
from amie_core.talking import still
from amie_core.talking import talk as talking
from amie_core.talking.networks import ShippedNetworks
from amie_core.talking.still import LEAST, WIDEST, open_still, opens_in, read_image
from amie_core.talking.talk import picture_frames, talk
from amie_core.training.checkpoint import load_generator


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture(scope="module")
def face(tiny_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    row = store.clips(tiny_corpus, "test_unseen").iloc[0]
    path = tmp_path_factory.mktemp("stills") / "face.png"
    Image.fromarray(store.load_clip(tiny_corpus, row).frames[0]).save(path)
    return path


def test_the_video(run: Path, face: Path, tmp_path: Path) -> None:
    sound = write_hum(tmp_path / "hum.wav", 1.99)
    out = tmp_path / "new" / "talk.mp4"
    done = talk(face, sound, out, run, 96, crop=True, progress=False)
    assert (done.frames, done.seconds, done.path) == (50, 2.0, out)
    with av.open(str(out)) as file:
        picture, heard = file.streams.video[0], file.streams.audio[0]
        assert (picture.codec_context.name, heard.codec_context.name) == ("h264", "aac")
        assert (picture.width, picture.height, picture.average_rate) == (96, 96, 25)
        assert picture.frames == 50
        assert float(heard.duration * heard.time_base) == pytest.approx(2.0, abs=0.07)
        assert "synthetic" in file.metadata["comment"].lower()
    assert [path.name for path in out.parent.iterdir()] == ["talk.mp4"]

    # Frame by frame what the model makes of its own last frame, with the windows of training.
    generator, meta = load_generator(run)
    wave = np.concatenate(list(stream_audio(sound, level=SPEECH_LEVEL)))
    windows = audio.windows(audio.mfcc(wave), 50)
    seen = open_still(face)
    small = seen.aligned(meta["image_size"])
    expected = np.stack([scale(f, 96) for f in generate(generator, small, windows, seen.lip_box)])
    seen = np.stack(list(read_video(out).frames))
    assert np.abs(seen.astype(float) - expected).mean() < 5  # compression
    assert np.ptp(expected.astype(int), axis=0).max() > 0  # it moves

    # A video's sound serves as well, and twice the same is the same file.
    talk(face, out, tmp_path / "again.mp4", run, 96, progress=False)
    frames = len(list(read_video(tmp_path / "again.mp4").frames))
    assert 50 <= frames <= 53  # AAC comes in blocks of 64 ms
    talk(face, sound, tmp_path / "twice.mp4", run, 96, crop=True, progress=False)
    assert (tmp_path / "twice.mp4").read_bytes() == out.read_bytes()


def test_memory_does_not_grow_with_length(
    run: Path, face: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change = composition.Change(torch.zeros(1, 3, 32, 32), None)

    def nothing(generator: object, face: object, windows: Iterable, box: object) -> Iterator:
        return ((change.colours, change) for chunk in windows for _ in chunk)

    # What the network itself keeps is seen in the ten minutes below; it is slow to trace.
    monkeypatch.setattr("amie_core.model.talker.roll_changes", nothing)
    peaks = []
    for seconds in (12, 12, 48):  # the first call also pays for imports
        sound = write_hum(tmp_path / f"{seconds}.wav", seconds)
        tracemalloc.start()
        talk(face, sound, tmp_path / "long.mp4", run, 32, progress=False)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # 36 s more are 2.3 MB of samples and 2.8 MB of frames
    assert peaks[2] < peaks[1] + 500_000


@pytest.mark.slow
def test_ten_minutes_in_flat_memory(run: Path, face: Path, tmp_path: Path) -> None:
    code = (
        f"import sys; sys.path.append({str(Path(__file__).parent)!r}); "
        "from peak_memory import peak_bytes; from amie_core.talking.talk import talk; "
        "talk(*sys.argv[1:5], 64, progress=False); print(peak_bytes())"
    )
    megabytes = []
    for minutes in (1, 10):
        sound = write_hum(tmp_path / f"{minutes}.wav", 60 * minutes)
        words = [sys.executable, "-c", code, face, sound, tmp_path / f"{minutes}.mp4", run]
        done = subprocess.run([str(w) for w in words], capture_output=True, text=True, check=True)
        megabytes.append(int(done.stdout) / 2**20)
    print(megabytes)
    assert megabytes[1] < megabytes[0] + 20


def test_stills_of_every_kind(tmp_path: Path) -> None:
    left_red = np.zeros((40, 60, 3), np.uint8)
    left_red[:, :30, 0] = 250
    picture = Image.fromarray(left_red)
    exif = Image.Exif()
    exif[0x0112] = 6  # turn 90° clockwise to view
    picture.save(tmp_path / "turned.jpg", exif=exif, quality=95)
    turned = read_image(tmp_path / "turned.jpg")
    assert turned.shape == (60, 40, 3)
    assert turned[:28, :, 0].mean() > 200 and turned[32:, :, 0].mean() < 30  # left is now up

    clear = picture.convert("RGBA")
    clear.putalpha(Image.fromarray(np.repeat([[0] * 30 + [255] * 30], 40, 0).astype(np.uint8)))
    clear.save(tmp_path / "clear.png")
    seen = read_image(tmp_path / "clear.png")
    assert (seen[:, :30] == still.GREY).all() and (seen[:, 30:] == 0).all()

    picture.convert("L").save(tmp_path / "grey.png")
    picture.convert("CMYK").save(tmp_path / "print.jpg", quality=95)
    picture.convert("P").save(tmp_path / "palette.gif")
    deep = np.linspace(0, 65535, 60 * 40).reshape(40, 60).astype(np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    picture.convert("P").save(tmp_path / "palette.png", icc_profile=profile)
    seven = lambda image, *_, **__: image.point(lambda _: 7)  # noqa: E731
    with patch.object(ImageCms, "profileToProfile", seven):
        assert (read_image(tmp_path / "palette.png") == 7).all()  # its profile was asked
    light = np.linspace(0, 1, 60 * 40, dtype=np.float32).reshape(40, 60)
    Image.fromarray(light).save(tmp_path / "plain.tif")
    light[0, :3] = 4, np.inf, np.nan  # a lamp in the picture
    Image.fromarray(light).save(tmp_path / "lamp.tif")
    plain, lamp = (read_image(tmp_path / f"{n}.tif").astype(int) for n in ("plain", "lamp"))
    assert (plain[1:] == lamp[1:]).all() and (lamp[0, :3, 0] == (255, 255, 0)).all()
    for name in ("grey.png", "print.jpg", "palette.gif", "deep.png"):
        seen = read_image(tmp_path / name)
        assert seen.shape == (40, 60, 3) and seen.dtype == np.uint8, name
    assert read_image(tmp_path / "print.jpg")[:, :28, 0].mean() > 200
    assert np.ptp(read_image(tmp_path / "deep.png").astype(int)) == 255


def test_scaling_to_the_same_size_is_nothing() -> None:
    frame = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    assert scale(frame, 32) is frame
    assert scale(frame, 64).shape == (64, 64, 3) and scale(frame, 16).shape == (16, 16, 3)


def test_unusable_input(run: Path, face: Path, tmp_path: Path) -> None:
    sound = write_hum(tmp_path / "hum.wav", 0.2)
    plain, text = tmp_path / "plain.png", tmp_path / "text.png"
    Image.new("RGB", (200, 200), (90, 120, 150)).save(plain)
    text.write_text("no image")
    folder = tmp_path / "out"
    folder.mkdir()
    good = {"face": face, "audio": sound, "out": folder / "o.mp4", "checkpoint": run, "size": 64}
    wrong = [
        ({"face": tmp_path / "none.png"}, "no such file"),
        ({"face": text}, "not a readable image"),
        ({"face": plain}, "plain.png: no face"),
        ({"audio": tmp_path / "none.wav"}, "no such file"),
        ({"audio": text}, "text.png"),
        ({"out": folder / "o.avi"}, ".mp4"),
        ({"size": 63}, "even"),
        ({"size": 0}, "even"),
        ({"checkpoint": tmp_path / "none"}, "no such file"),
        ({"checkpoint": text}, "not a checkpoint"),
        ({"device": "toaster"}, "device"),
        ({"movement": 0.0}, "movement 0"),
        ({"movement": float("nan")}, "movement nan"),
    ]
    for change, message in wrong:
        with pytest.raises(UserError, match=message):
            talk(**(good | change), progress=False)
        assert not list(folder.iterdir()), change
    video = folder / "same.mp4"
    video.write_bytes(sound.read_bytes())
    with pytest.raises(UserError, match="overwrite"):
        talk(face, video, video, run, progress=False)


def test_nothing_is_left_of_an_interrupted_video(
    run: Path, face: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = write_hum(tmp_path / "hum.wav", 1)
    out = tmp_path / "out" / "talk.mp4"
    out.parent.mkdir()
    out.write_text("an older result")

    def stopped(frame: np.ndarray, size: int) -> np.ndarray:
        stopped.calls += 1
        if stopped.calls > 5:
            raise KeyboardInterrupt
        return scale(frame, size)

    stopped.calls = 0
    monkeypatch.setattr(talking, "scale", stopped)
    with pytest.raises(KeyboardInterrupt):
        talk(face, sound, out, run, 64, crop=True, progress=False)
    assert [path.read_text() for path in out.parent.iterdir()] == ["an older result"]


def test_a_photograph_and_a_recorded_voice(tmp_path: Path) -> None:
    """By the model that ships: a moving mouth in a picture that is otherwise as it was."""
    voice = sorted(shared_data("grid", "s1").glob("*.mpg"))[0]
    photograph = shared_data("stills", "portrait_obama.jpg")
    done = talk(photograph, voice, tmp_path / "whole.mp4", progress=False)
    assert done.frames == 75 and done.checkpoint == files.SHIPPED
    frames = np.stack(list(read_video(tmp_path / "whole.mp4").frames)).astype(int)
    assert frames.shape[1:] == (1136, 910, 3)
    moved = np.ptp(frames, axis=0).max(-1)
    y, x = np.nonzero(moved > 60)
    face_width = 160 / np.hypot(*open_still(photograph).matrix[:, 0])  # from ear to ear, px
    assert len(y) > 100 and max(np.ptp(y), np.ptp(x)) < face_width  # mouth, chin, nothing else
    original = read_image(photograph)[:1136].astype(int)
    away = np.ones(moved.shape, bool)
    away[:400] = False
    assert np.abs(frames[40] - original)[away].mean() < 4  # compression
    talk(photograph, voice, tmp_path / "face.mp4", size=128, progress=False)
    assert next(iter(read_video(tmp_path / "face.mp4").frames)).shape == (128, 128, 3)


def test_sounds_of_every_kind(run: Path, face: Path, tmp_path: Path) -> None:
    wave = (0.3 * np.sin(np.arange(4000) / 8)).astype(np.float32)
    kinds = {
        "stereo": (np.stack([wave, -wave], 1), 16_000, "PCM_16", 7),
        "telephone": (wave, 8000, "PCM_16", 13),
        "studio": (wave, 48_000, "PCM_24", 3),
        "float": (2 * wave, 44_100, "FLOAT", 3),
        "short": (wave[:1600], 16_000, "PCM_16", 3),
        "fast stereo": (np.stack([wave, wave], 1), 192_000, "PCM_16", 1),
        "three channels": (np.stack([wave] * 3, 1), 16_000, "PCM_16", 7),
        "eight channels": (np.stack([wave, *[0 * wave] * 7], 1), 48_000, "FLOAT", 3),
        "hot": (20 * wave, 16_000, "FLOAT", 7),
        "broken": (np.where(np.arange(4000) % 999, wave, [np.inf, 1e30] * 2000), 16_000,
                   "DOUBLE", 7),
    }
    for name, (samples, rate, subtype, frames) in kinds.items():
        sound = tmp_path / f"{name}.wav"
        soundfile.write(sound, samples, rate, subtype=subtype)
        done = talk(face, sound, tmp_path / "out.mp4", run, 64, progress=False)
        assert done.frames == frames, name
        assert 0.2 < np.abs(load_audio(tmp_path / "out.mp4")).max() <= OVER, name
    silent = write_media(tmp_path / "silent.mp4", drawn(frames=3)[0])
    with pytest.raises(UserError, match="silent.mp4 has no sound"):
        talk(face, silent, tmp_path / "new.mp4", run, progress=False)
    soundfile.write(tmp_path / "nothing.wav", 0 * wave, 16_000)
    with pytest.raises(UserError, match="nothing.wav is silent"):
        talk(face, tmp_path / "nothing.wav", tmp_path / "new.mp4", run, progress=False)
    assert not (tmp_path / "new.mp4").exists()


def test_a_target_that_is_full_or_not_writable(run: Path, face: Path, tmp_path: Path) -> None:
    sound = write_hum(tmp_path / "hum.wav", 4)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write"):
        talk(face, sound, tmp_path / "file" / "out.mp4", run, 64, progress=False)
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000)); "
        "from amie_core.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    words = ["talk", "--face", face, "--audio", sound, "--out", tmp_path / "new" / "out.mp4"]
    words = [sys.executable, "-c", code, *words, "--checkpoint", run]
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True)
    assert done.returncode == 2 and "cannot write" in done.stderr.splitlines()[-1], done.stderr
    assert "Traceback" not in done.stderr and not list((tmp_path / "new").iterdir())


def test_talking_loads_nothing_that_trains() -> None:
    code = (
        "import sys; import amie_core.talking.talk, amie_core.training.checkpoint; "
        "print({'lightning_fabric', 'pandas', 'scipy', 'matplotlib'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_a_videos_face_is_that_of_its_most_closed_mouth(tmp_path: Path) -> None:
    video = sorted(shared_data("grid", "s1").glob("*.mpg"))[0]
    still = open_still(video, keep_smile=True)
    frames = [frame for frame in read_video(video).frames if frame is not None]
    assert any(np.array_equal(still.picture, frame) for frame in frames[::5])
    assert still.opens == pytest.approx(0.034, abs=0.012)  # s1's in training: its lips' deviation
    first = Image.fromarray(frames[0])
    first.save(tmp_path / "first.png")
    of_first = open_still(tmp_path / "first.png", keep_smile=True)
    assert of_first.opens is None and open_still(video).opens == still.opens
    assert lip_opening(still.points[None])[0] <= lip_opening(of_first.points[None])[0] + 0.3
    networks, moved = ShippedNetworks(), []
    for size in (0.02, 0.06):  # the lips open as far as they are said to in the video
        given = dataclasses.replace(still, opens=size)
        made = picture_frames(networks, networks.meta, given, video, 256)[1]
        pictures = np.stack(list(itertools.islice(made, 30))).astype(int)
        moved.append(np.abs(pictures - pictures[0]).mean())
    assert moved[1] > 1.5 * moved[0]
    write_hum(tmp_path / "hum.wav", 0.5)
    with pytest.raises(UserError, match=r"hum.wav is not a readable image"):
        open_still(tmp_path / "hum.wav")


def test_how_far_lips_open_in_a_video() -> None:
    def frames(count: int, far: float) -> np.ndarray:
        points = np.repeat(TEMPLATE[None], count, 0)
        width = float(np.linalg.norm(TEMPLATE[54] - TEMPLATE[48]))
        points[::2, 65:68, 1] += 2 * far * width  # the lower lip, every other frame
        return points

    def opens(points: np.ndarray, said: int = 0) -> float | None:
        return opens_in(points, np.arange(len(points)) < said)

    assert opens(frames(20, 0.04)) == pytest.approx(0.04, rel=0.1)
    assert opens(frames(9, 0.04)) is None  # too few
    assert opens(frames(20, 0.01)) is None  # it does not speak
    assert opens(frames(20, 0.02)) == pytest.approx(LEAST)
    assert opens(frames(20, 0.5)) == pytest.approx(WIDEST)
    paused = frames(40, 0.05)
    paused[12:] = TEMPLATE  # it speaks in the first twelve frames alone
    assert opens(paused, 12) == pytest.approx(0.05, rel=0.1)
    assert opens(paused, 9) == opens(paused) < 0.04  # too few of them
    hiss = np.random.default_rng(0).normal(0, 0.1, 2 * SAMPLE_RATE).astype(np.float32)
    hiss[SAMPLE_RATE:] = 0
    said = still._said(hiss)
    assert said[:20].all() and not said[30:].any() and not still._said(None).any()
    assert len(said) == still.SEEN * FPS


def test_a_video_of_two_tells_of_one(tmp_path: Path) -> None:
    """One who speaks beside one who does not, who now is there and now is not."""
    video = sorted(shared_data("grid", "s31").glob("*.mpg"))[0]
    frames = [frame for frame in read_video(video).frames if frame is not None]
    other = next(iter(read_video(sorted(shared_data("grid", "s1").glob("*.mpg"))[0]).frames))
    shown = []
    for k, frame in enumerate(frames):
        beside = other if k % 10 else np.zeros_like(other)  # of every fifth every second
        shown.append(np.hstack([beside, frame]))
    path = write_media(tmp_path / "two.mkv", np.stack(shown), codec="libx264")
    alone = open_still(video, keep_smile=True)
    for index in (None, 0):  # of the first frame, which shows one
        found = open_still(path, index, keep_smile=True)
        assert found.opens == pytest.approx(alone.opens, rel=0.1)
        assert found.matrix[0, 2] < alone.matrix[0, 2] - 20  # that of the right half
    for index in (5, -1):
        with pytest.raises(UserError, match=rf"two.mkv: no face number {index} .at most 2"):
            open_still(path, index)
