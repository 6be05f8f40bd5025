"""Reading what a camera made, writing what a browser plays."""

import gc
import hashlib
import tracemalloc
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
from conftest import shared_data
from media import noise, write_media

from amie_core import machine
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


def test_colours_are_tagged_and_come_back_at_every_size(tmp_path):
    for size in (64, 1280):  # players take an untagged small picture for BT.601
        colours = np.array([[200, 40, 40], [40, 160, 60], [60, 60, 190], [210, 160, 130]])
        frame = np.repeat(np.repeat(colours.reshape(2, 2, 3), size // 2, 0), size // 2, 1)
        with VideoWriter(tmp_path / "a.mp4", size) as out:
            for _ in range(3):
                out.write(frame.astype(np.uint8))
        with av.open(str(tmp_path / "a.mp4")) as file:
            codec = file.streams.video[0].codec_context
            assert codec.colorspace == codec.color_primaries == codec.color_trc == 1  # BT.709
            assert codec.color_range == 1
        seen = next(iter(video.read_video(tmp_path / "a.mp4").frames)).astype(int)
        quarter = size // 4
        found = seen[quarter :: size // 2, quarter :: size // 2].reshape(4, 3)
        assert np.abs(found - colours).max() <= 4


@pytest.mark.parametrize(
    "suffix, codec, sound",
    [(".mkv", "libx264", "aac"), (".ts", "mpeg2video", "mp2"), (".webm", "libvpx", "libopus"),
     (".avi", "mpeg4", "pcm_s16le"), (".mov", "libx264", "aac"), (".mpg", "mpeg2video", "mp2"),
     (".mp4", "libx264", "aac")],
)  # fmt: skip
def test_picture_and_sound_are_in_step_in_every_container(tmp_path, suffix, codec, sound):
    frames = np.full((50, 64, 96, 3), 20, np.uint8)
    frames[25:] = 220
    wave = np.zeros(32000)
    wave[16000:16160] = 0.8 * np.sin(np.arange(160) / 2)
    rate = {"mp2": 48000, "libopus": 48000}.get(sound, 16000)
    wave = np.repeat(wave, rate // 16000)
    path = write_media(tmp_path / f"a{suffix}", frames, wave, codec=codec, sound=sound, rate=rate)
    clip = video.read_video(path)
    seen = [float(frame.mean()) for frame in clip.frames]
    flash = next(k for k, value in enumerate(seen) if value > 120) / 25
    click = np.flatnonzero(np.abs(clip.audio) > 0.1)[0] / 16000
    assert abs(flash - click) <= 0.02 and len(seen) in (49, 50, 51)


def test_sound_that_starts_late_stays_late(tmp_path):
    frames = np.full((50, 64, 96, 3), 20, np.uint8)
    path = write_media(tmp_path / "a.mkv", frames, noise(1), codec="libx264", start=1.0)
    audio = video.read_video(path).audio
    assert np.abs(audio[:15500]).max() < 0.01 and np.abs(audio[16500:]).max() > 0.1


def test_interlaced_pictures_are_put_together(tmp_path):
    """A bar that moves 8 px a field: woven it is a comb, put together it is not."""
    fields = np.full((41, 128, 192, 3), 20, np.uint8)
    for k in range(41):
        fields[k, :, 10 + 4 * k : 30 + 4 * k] = 220
    woven = fields[0:40:2].copy()
    woven[:, 1::2] = fields[1:41:2, 1::2]
    path = write_media(tmp_path / "a.mpg", woven, codec="mpeg2video", interlaced=True)
    clip = video.read_video(path)
    seen = np.stack(list(clip.frames)).astype(int)
    assert seen.shape == woven.shape and clip.fps == 25

    def comb(pictures):  # lines differ from both their neighbours
        lines = pictures.mean(axis=3)
        return np.abs(2 * lines[:, 1:-1] - lines[:, :-2] - lines[:, 2:]).mean()

    assert comb(seen[2:-2]) < 0.3 * comb(woven[2:-2].astype(int))


@pytest.mark.parametrize("name", ["a:b.mp4", "http:b.mp4", "file:b.mp4", "a b\n.mp4", "ü%20.mp4"])
def test_any_name_is_a_files(tmp_path, monkeypatch, name):
    path = write_media(tmp_path / "plain.mp4", numbered(5), noise(0.2)).rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    for given in (path, name):
        assert len(list(video.read_video(given).frames)) == 5
    with pytest.raises(UserError, match="no such file"):
        video.read_video(f"gone{name}")


def test_lists_of_other_files_are_no_media(tmp_path):
    write_media(tmp_path / "secret.mp4", numbered(5))
    lists = {
        "a.mp4": "ffconcat version 1.0\nfile secret.mp4\n",
        "b.mp4": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nsecret.mp4\n#EXT-X-ENDLIST\n",
        "c.mp4": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=video 9 RTP/AVP 96\n",
    }
    for name, content in lists.items():
        (tmp_path / name).write_text(content)
        with pytest.raises(UserError, match=f"{name} cannot be read as a video"):
            video.read_video(tmp_path / name)


def test_what_a_link_points_to_is_written(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "link.mp4").symlink_to(tmp_path / "there" / "a.mp4")
    with VideoWriter(tmp_path / "link.mp4", 64) as out:
        out.write(np.zeros((64, 64, 3), np.uint8))
    assert (tmp_path / "link.mp4").is_symlink() and (tmp_path / "there" / "a.mp4").is_file()


def test_where_the_encoder_s_avx512_gives_other_bytes_it_is_left_out(tmp_path, monkeypatch):
    assert isinstance(machine.avx512(), bool)
    found = {"SIMD Extensions": {"baseline": ["X86_V2"], "found": ["X86_V3", "X86_V4"]}}
    monkeypatch.setattr(np, "show_config", lambda mode: found)
    assert machine.avx512()
    found["SIMD Extensions"]["found"] = ["AVX2"]
    assert not machine.avx512()


def test_the_same_frames_are_the_same_bytes_however_often(tmp_path):
    base = cv2.GaussianBlur(np.random.default_rng(0).uniform(0, 255, (96, 96, 3)), (0, 0), 3)
    frames = [np.clip(base + 6 * np.sin(k / 3), 0, 255).astype(np.uint8) for k in range(50)]
    found = set()
    for _ in range(40):
        with VideoWriter(tmp_path / "a.mp4", 96) as out:
            for frame in frames:
                out.write(frame)
        found.add((tmp_path / "a.mp4").read_bytes())
    assert len(found) == 1
