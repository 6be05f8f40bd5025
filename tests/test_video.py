"""Reading what a camera made, writing what a browser plays."""

import gc
import hashlib
import tracemalloc
from fractions import Fraction

import av
import numpy as np
import pytest
from conftest import shared_data
from media import noise, write_media

from amie_core.data import video
from amie_core.data.sound import load_audio
from amie_core.data.video_writer import VideoWriter
from amie_core.errors import UserError


def numbered(n: int, height: int = 64, width: int = 96) -> list[np.ndarray]:
    """Frames whose brightness tells their number: 10, 14, 18 …"""
    return [np.full((height, width, 3), 10 + 4 * k, np.uint8) for k in range(n)]


def number(frame: np.ndarray) -> int:
    return round((float(frame.mean()) - 10) / 4)


def test_frames_and_sound_of_a_file(tmp_path):
    path = write_media(tmp_path / "a.mp4", numbered(20), noise(0.8))
    clip = video.read_video(path)
    assert clip.fps == 25 and abs(len(clip.audio) - 12800) < 1100
    frames = list(clip.frames)
    assert [number(f) for f in frames] == list(range(20))
    assert frames[0].shape == (64, 96, 3) and frames[0].dtype == np.uint8


def test_colours_keep_their_order(tmp_path):
    red = np.zeros((64, 64, 3), np.uint8)
    red[..., 0] = 200
    frame = next(iter(video.read_video(write_media(tmp_path / "a.mp4", [red] * 3)).frames))
    np.testing.assert_allclose(frame.mean(axis=(0, 1)), [200, 0, 0], atol=6)


def test_a_picture_stays_on_screen_until_the_next(tmp_path):
    times = [0, 1, 2, 5, 6]
    path = write_media(tmp_path / "a.mp4", numbered(5), fps=25, times=times)
    clip = video.read_video(path)
    assert [number(f) for f in clip.frames] == [0, 1, 2, 2, 2, 3, 4]
    assert clip.notes == ["variable rate, 16.7 frames/s on average: put on 25"]
    path = write_media(tmp_path / "b.mp4", numbered(40), times=[*range(20), *range(30, 50)])
    clip = video.read_video(path)
    assert len(list(clip.frames)) == 50 and clip.notes[1] == "no new picture from 0.76 to 1.20 s"


@pytest.mark.parametrize("fps", [30, 50, Fraction(30000, 1001), 15, 24, 60])
def test_put_on_25_shows_what_is_on_screen(fps):
    n = round(2 * float(fps))
    made = [(k / float(fps), k, False) for k in range(n)]
    shown = list(video.on_clock(made, 1 / float(fps)))
    assert len(shown) == pytest.approx(50, abs=1)
    late = np.array([i / 25 - k / fps for i, k in enumerate(shown)], float)
    assert late.min() >= -0.02 and late.max() <= max(1 / fps, 0.02) + 1e-6
    assert abs(late.mean()) < 0.02  # in sync


@pytest.mark.parametrize("seed", range(5))
def test_stamps_that_jitter_lose_nothing(seed):
    jitter = np.random.default_rng(seed).uniform(-0.019, 0.019, 400)
    made = [(max(0.0, k / 25 + j), k, False) for k, j in enumerate(jitter)]
    assert list(video.on_clock(made, 1 / 25)) == list(range(400))


def test_what_the_decoder_lost_is_none_and_what_was_left_out_is_held():
    made = [(0.0, "a", False), (0.04, "b", False), (0.2, "c", True), (0.36, "d", False)]
    assert list(video.on_clock(made, 0.04)) == ["a", "b", *[None] * 3, *"cccc", "d"]


def test_a_clock_that_jumps_is_refused(tmp_path):
    path = write_media(tmp_path / "a.mp4", numbered(5), fps=25, times=[0, 1, 2, 2000, 2001])
    with pytest.raises(UserError, match="clock jumps by 80 s at 0.08 s"):
        video.read_video(path)


def test_unusable_files_say_so(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        video.read_video(tmp_path / "absent.mp4")
    (tmp_path / "text.mp4").write_text("not a video")
    with pytest.raises(UserError, match=r"text\.mp4"):
        video.read_video(tmp_path / "text.mp4")
    sound = write_media(tmp_path / "a.wav", audio=noise(1), sound="pcm_s16le")
    with pytest.raises(UserError, match="no picture"):
        video.read_video(sound)


def test_a_video_without_sound_is_still_read(tmp_path):
    clip = video.read_video(write_media(tmp_path / "a.mp4", numbered(5)))
    assert clip.audio is None and len(list(clip.frames)) == 5


def test_damaged_frames_are_none_in_their_place():
    frames = list(video.read_video(shared_data("damaged", "s1", "sgib8n.mpg")).frames)
    assert len(frames) == 75 and [k for k, f in enumerate(frames) if f is None] == [46]
    frames = list(video.read_video(shared_data("damaged", "s4", "bbaf2a.mpg")).frames)
    assert len(frames) == 75 and sum(f is None for f in frames) == 9


def test_writer_makes_what_a_browser_plays(tmp_path):
    path = tmp_path / "sub" / "out.mp4"
    with VideoWriter(path, 96, audio=noise(1), synthetic=True, comment="AMIE") as out:
        for frame in numbered(25, 96, 96):
            out.write(frame)
    with av.open(str(path)) as file:
        picture, sound = file.streams.video[0], file.streams.audio[0]
        assert (picture.codec_context.name, sound.codec_context.name) == ("h264", "aac")
        assert picture.codec_context.pix_fmt == "yuv420p" and picture.average_rate == 25
        assert picture.frames == 25 and (picture.width, picture.height) == (96, 96)
        assert (
            "synthetic" in file.metadata["comment"].lower() and "AMIE" in file.metadata["comment"]
        )
    raw = path.read_bytes()
    assert raw.index(b"moov") < raw.index(b"mdat")  # plays while it loads
    assert [number(f) for f in video.read_video(path).frames] == list(range(25))
    assert [p.name for p in path.parent.iterdir()] == ["out.mp4"]


def test_sound_stays_in_step_through_the_writer(tmp_path):
    wave = np.zeros(32000, np.float32)
    wave[16000:16080] = 0.8  # a click as frame 25 comes up
    with VideoWriter(tmp_path / "a.mp4", 64, audio=wave) as out:
        for frame in numbered(50, 64, 64):
            out.write(frame)
    heard = load_audio(tmp_path / "a.mp4")
    assert np.abs(heard).argmax() == pytest.approx(16040, abs=80)  # 5 ms


def test_sound_from_a_file_is_fitted_to_the_picture(tmp_path):
    sound = write_media(tmp_path / "a.wav", audio=noise(0.5), sound="pcm_s16le")
    with VideoWriter(tmp_path / "a.mp4", 64, audio=sound) as out:
        for frame in numbered(25, 64, 64):
            out.write(frame)
    heard = load_audio(tmp_path / "a.mp4")
    assert len(heard) == pytest.approx(16000, abs=1100)
    assert np.abs(heard[2000:6000]).max() > 0.1 and np.abs(heard[10000:15000]).max() < 0.01


def test_same_input_same_bytes(tmp_path):
    digests = set()
    for name in "ab":
        with VideoWriter(tmp_path / f"{name}.mp4", 64, audio=noise(0.4)) as out:
            for frame in numbered(10, 64, 64):
                out.write(frame)
        digests.add(hashlib.sha256((tmp_path / f"{name}.mp4").read_bytes()).hexdigest())
    assert len(digests) == 1


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_interrupted_file_never_appears(tmp_path, error):
    (tmp_path / "a.mp4").write_text("the old file")
    with pytest.raises(error), VideoWriter(tmp_path / "a.mp4", 64, audio=noise(1)) as out:
        out.write(numbered(1, 64, 64)[0])
        raise error
    assert [p.name for p in tmp_path.iterdir()] == ["a.mp4"]
    assert (tmp_path / "a.mp4").read_text() == "the old file"


def test_unwritable_targets_say_so(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write"):
        VideoWriter(tmp_path / "file" / "a.mp4", 64).__enter__()
    with pytest.raises(UserError, match="even"):
        VideoWriter(tmp_path / "a.mp4", 63).__enter__()
    with pytest.raises(UserError, match="no frame"), VideoWriter(tmp_path / "a.mp4", 64):
        pass


def test_long_files_are_read_a_frame_at_a_time(tmp_path):
    path = write_media(tmp_path / "a.mp4", numbered(60, 288, 352))
    frames = video.read_video(path).frames
    next(frames)
    gc.collect()
    tracemalloc.start()
    for _ in frames:
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5 * 288 * 352 * 3  # of 60 frames
