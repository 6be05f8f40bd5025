"""Sound to MFCC windows: parity with two libraries, geometry, streams, damage."""

import re
import subprocess
import sys
import tracemalloc
from fractions import Fraction
from types import SimpleNamespace

import av
import numpy as np
import pytest
import soundfile
from conftest import shared_data
from media import noise, write_media

from amie_core.data import audio, media, sound, video_writer
from amie_core.errors import UserError

MEL = {"n_fft": 512, "win_length": 400, "hop_length": 160, "n_mels": 26, "center": False}
FULL = slice(8, 180)  # rows whose windows hold sound alone: the libraries floor silence otherwise


def padded(wave: np.ndarray) -> np.ndarray:
    """As `mfcc` pads it, and 56 more: the libraries centre the 400 in their 512 samples."""
    return np.pad(wave, (1280 + 56, 2000))


@pytest.mark.parametrize("rate", [16000, 5000])
def test_mel_bands_are_librosas(rate):
    from librosa.filters import mel

    size, bands = audio._plan(rate)[2], audio._plan(rate)[4]
    np.testing.assert_allclose(bands, mel(sr=rate, n_fft=size, n_mels=26).T, atol=1e-7)
    assert (bands.sum(axis=0) > 0).all()  # no empty band, at 5 kHz either


def test_mfcc_is_librosas():
    from librosa.feature import mfcc

    theirs = mfcc(y=padded(noise(2)), sr=16000, n_mfcc=13, **MEL).T
    np.testing.assert_allclose(audio.mfcc(noise(2))[FULL], theirs[FULL], atol=1e-3)


def test_mfcc_is_torchaudios():
    torchaudio = pytest.importorskip("torchaudio", exc_type=OSError)
    import torch

    options = {**MEL, "mel_scale": "slaney", "norm": "slaney"}
    transform = torchaudio.transforms.MFCC(16000, 13, log_mels=False, melkwargs=options)
    theirs = transform(torch.from_numpy(padded(noise(2)))).T.numpy()
    np.testing.assert_allclose(audio.mfcc(noise(2))[FULL], theirs[FULL], atol=1e-3)


@pytest.mark.parametrize("rate", [16000, 5000])
def test_window_of_a_frame_lies_around_it(rate):
    """A click at the middle of frame 10 is in the windows of frames 8 to 12 and no others."""
    wave = np.zeros(16000, np.float32)
    wave[10 * 640 + 320] = 1
    windows = audio.windows(audio.mfcc(wave, rate=rate, frames=25), 25)
    assert windows.shape == (25, 20, 13)
    change = np.ptp(windows[:, :, 0], axis=1)
    heard = change > 0.5 * change.max()  # resampling to 5 kHz spreads the click a little
    assert np.flatnonzero(heard).tolist() == [8, 9, 10, 11, 12]
    rows = audio.mfcc(wave, rate=rate, frames=25)
    np.testing.assert_array_equal(windows[7], rows[28:48])  # SyncNet's 4u … 4u + 20, u = v - 2


def test_hops_outside_the_clip_are_digital_silence():
    rows = audio.mfcc(noise(1), frames=25)
    assert len(rows) == 4 * 25 + 16
    silence = audio.mfcc(np.zeros(16000, np.float32), frames=25)[0]
    np.testing.assert_allclose(rows[:5], np.tile(silence, (5, 1)), atol=1e-3)
    short = audio.mfcc(noise(0.5), frames=25)
    assert short.shape == rows.shape
    np.testing.assert_allclose(short[-30:], np.tile(silence, (30, 1)), atol=1e-3)


def test_refuses_other_rates():
    with pytest.raises(UserError, match="8000"):
        audio.mfcc(noise(1), rate=8000)


def test_silence_is_found_in_digital_and_in_noisy_pauses():
    for floor in (0.0, 1e-3):
        wave = noise(2, seed=1) * floor / 0.1
        wave[8000:16000] += noise(0.5, seed=2)  # frames 12.5 to 25
        silent = audio.is_silent(wave.astype(np.float32), 50)
        assert not silent[12:25].any()
        assert silent[:9].all() and silent[29:].all()


@pytest.mark.parametrize(
    "name, codec, rate, channels",
    [("a.wav", "pcm_s16le", 44100, 2), ("a.flac", "flac", 48000, 1),
     ("a.mp3", "libmp3lame", 44100, 2),
     ("a.m4a", "aac", 22050, 1), ("a.ogg", "libopus", 48000, 1)],
)  # fmt: skip
def test_any_file_becomes_16_khz_mono(tmp_path, name, codec, rate, channels):
    t = np.arange(2 * rate) / rate
    tone = 0.5 * np.sin(2 * np.pi * 440 * t) * (t > 1)
    path = write_media(tmp_path / name, audio=np.tile(tone, (channels, 1)), rate=rate, sound=codec)
    wave = sound.load_audio(path)
    assert wave.dtype == np.float32 and abs(len(wave) - 32000) < 1200  # a codec's last block
    assert np.abs(wave).max() == pytest.approx(0.5, abs=0.1)
    assert np.flatnonzero(np.abs(wave) > 0.1)[0] == pytest.approx(16000, abs=160)  # in time: 10 ms


@pytest.mark.parametrize("rate", [16000, 5000])
@pytest.mark.parametrize("seconds", [0.02, 3.0, 7.31])
def test_stream_equals_the_whole(tmp_path, rate, seconds):
    path = write_media(tmp_path / "a.wav", audio=noise(seconds), sound="pcm_s16le")
    wave = sound.load_audio(path)
    n = sound.frame_count(len(wave))
    chunks = list(audio.stream_windows(path, rate, chunk=50))
    assert max(map(len, chunks)) <= 50
    whole = audio.windows(audio.mfcc(wave, rate=rate), n)
    np.testing.assert_allclose(np.concatenate(chunks), whole, rtol=1e-6, atol=1e-4)


@pytest.mark.parametrize("seconds", [0.02, 3.0, 7.31])
def test_samples_stand_where_their_cepstra_do(tmp_path, seconds):
    path = write_media(tmp_path / "a.wav", audio=noise(seconds), sound="pcm_s16le")
    wave = sound.load_audio(path)
    n = sound.frame_count(len(wave))
    windows = audio.windows(audio.wave_rows(wave, n), n)
    assert windows.shape == (n, 20, 160)
    last = n - 1  # its 0.2 s begin 80 ms before the frame
    padded = np.pad(wave, (1280, 4000))
    np.testing.assert_array_equal(windows[last].ravel(), padded[640 * last :][:3200])
    chunks = [*audio.stream_windows(path, 5000, chunk=50, hears="wave")]
    assert max(map(len, chunks)) <= 50
    np.testing.assert_array_equal(np.concatenate(chunks), windows)


def test_memory_does_not_grow_with_length(tmp_path):
    path = write_media(tmp_path / "a.wav", audio=noise(120), sound="pcm_s16le")
    stream = audio.stream_windows(path, chunk=100)
    next(stream)
    tracemalloc.start()
    for _ in stream:
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 12e6  # the whole sound is 7.7 MB, its windows 3.1 MB; a chunk's FFT takes most


def test_unusable_files_say_so(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        sound.load_audio(tmp_path / "absent.wav")
    (tmp_path / "text.wav").write_text("not sound")
    with pytest.raises(UserError, match=r"text\.wav"):
        sound.load_audio(tmp_path / "text.wav")
    picture = write_media(tmp_path / "mute.mp4", [np.zeros((64, 64, 3), np.uint8)] * 5)
    with pytest.raises(UserError, match="no sound"):
        sound.load_audio(picture)


def test_grid_sound_starts_with_its_picture():
    """MP2 decodes 11 ms late and 22 ms short: 481 samples at 44.1 kHz are taken off its start."""
    wave = sound.load_audio(shared_data("grid", "s1", "bbaszn.mpg"))
    assert len(wave) / 16000 == pytest.approx(131328 / 44100 - sound.MP2_DELAY, abs=1e-3)


def test_lost_sound_is_silence_of_the_same_length():
    wave = sound.load_audio(shared_data("damaged", "s4", "bbaf2a.mpg"))
    assert len(wave) / 16000 == pytest.approx(2.967, abs=0.03)


def test_import_is_light():
    """The command line must start fast: neither librosa nor torch comes with this module."""
    code = "import sys, amie_core.data.audio as a; a.mfcc(__import__('numpy').zeros(999, 'f4'));"
    code += "print([m for m in ('librosa', 'torch', 'scipy', 'cv2', 'pandas') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


@pytest.mark.parametrize("bits", [8, 16, 24, 32])
@pytest.mark.parametrize("quiet", [1, 8])
def test_floats_that_hold_whole_numbers_are_brought_to_their_full_scale(tmp_path, bits, quiet):
    tone = np.sin(np.arange(16_000) / 7) * 0.9 / quiet
    soundfile.write(tmp_path / "a.wav", np.rint(tone * 2 ** (bits - 1)), 16_000, subtype="DOUBLE")
    voice = sound.survey(tmp_path / "a.wav")
    assert voice.scale == 2 ** (bits - 1) or quiet == 8 and bits == 8  # it fits within 4 then
    assert voice.level is not None
    if voice.scale > 1:
        found = sound.load_audio(tmp_path / "a.wav", voice=voice)
        np.testing.assert_allclose(found, tone, atol=1.2 / 2 ** (bits - 1))


def test_broken_samples_are_silence_and_hot_ones_are_brought_within_full_scale(tmp_path):
    tone = np.sin(np.arange(16_000) / 7)
    broken = tone.copy()
    broken[5000:5003] = np.inf, np.nan, 1e30
    soundfile.write(tmp_path / "a.wav", broken, 16_000, subtype="DOUBLE")
    found = sound.load_audio(tmp_path / "a.wav")
    assert (found[5000:5003] == 0).all() and np.abs(found - tone)[5003:].max() < 1e-6
    soundfile.write(tmp_path / "a.wav", 20 * tone, 16_000, subtype="FLOAT")
    voice = sound.survey(tmp_path / "a.wav")
    assert voice.scale == pytest.approx(20, rel=0.01) and voice.level == pytest.approx(-3, abs=0.2)


def test_the_centre_of_eight_planar_channels_is_heard(tmp_path):
    tone = np.sin(2 * np.pi * 440 * np.arange(48_000) / 48_000).astype(np.float32) / 2
    with av.open(str(tmp_path / "a.m4a"), "w") as out:
        stream = out.add_stream("aac", rate=48_000, layout="7.1")
        data = np.zeros((48_000, 8), np.float32)
        names = [channel.name for channel in stream.layout.channels]
        data[:, names.index("FC")] = tone
        frame = av.AudioFrame.from_ndarray(data.reshape(1, -1), format="flt", layout="7.1")
        frame.sample_rate = 48_000
        fit = av.AudioResampler("fltp", "7.1", 48_000, frame_size=1024)
        for part in [*fit.resample(frame), *fit.resample(None)]:
            out.mux(stream.encode(part))
        out.mux(stream.encode(None))
    found = sound.load_audio(tmp_path / "a.m4a")[4000:12_000]
    assert np.abs(np.fft.rfft(found)).argmax() == 220 and 0.3 < found.std() < 0.4


@pytest.mark.parametrize("channels", [3, 5, 7, 8, 9, 17, 20, 64])
def test_many_channels_without_names_are_laid_as_the_voice(tmp_path, channels):
    tone = np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000) / 2
    soundfile.write(tmp_path / "a.wav", np.repeat(tone[:, None], channels, 1), 16_000)
    with video_writer.VideoWriter(tmp_path / "a.mp4", 64, audio=tmp_path / "a.wav") as out:
        for _ in range(25):
            out.write(np.zeros((64, 64, 3), np.uint8))
    found = sound.load_audio(tmp_path / "a.mp4")[4000:12_000]
    assert np.abs(np.fft.rfft(found)).argmax() == 220 and 0.3 < found.std() < 0.4


@pytest.mark.parametrize(
    "name, codec", [("a.flac", "flac"), ("a.mkv", "aac"), ("a.wav", "pcm_s16le")]
)
def test_sound_that_is_cut_is_said_to_be(tmp_path, name, codec):
    path = write_media(tmp_path / name, audio=noise(4), sound=codec)
    assert not sound.survey(path).notes
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    notes = sound.survey(path).notes
    if name == "a.wav":  # of which FFmpeg tells the length by the file's
        assert not notes
    else:
        assert re.fullmatch(r"it ends after 1\.\d of 4\.\d s: cut or damaged", notes[0])


@pytest.mark.parametrize("name", ["a.webm", "a.mp4", "a.ogg", "a.mkv"])
@pytest.mark.parametrize("late, hole", [(3, 0), (0, 6)])
def test_sound_that_begins_late_or_pauses_is_whole(tmp_path, name, late, hole):
    sound_of = "libopus" if name in ("a.webm", "a.ogg") else "aac"
    with av.open(str(tmp_path / name), "w") as out:
        stream = out.add_stream(sound_of, rate=48_000, layout="mono")
        fit = av.AudioResampler(stream.format.name, "mono", 48_000, frame_size=960)
        for k in range(4):
            wave = np.sin(np.arange(48_000) / 30)[None].astype(np.float32)
            frame = av.AudioFrame.from_ndarray(wave, format="fltp", layout="mono")
            frame.sample_rate, frame.time_base = 48_000, Fraction(1, 48_000)
            frame.pts = 48_000 * (late + k + (hole if k > 1 else 0))
            for part in fit.resample(frame):
                out.mux(stream.encode(part))
        out.mux(stream.encode(None))
    assert not sound.survey(tmp_path / name).notes


@pytest.mark.parametrize("layout, count, nameless", [
    ("ambisonic 1", 4, True), ("9 channels", 9, True), ("3 channels", 3, True),
    ("2 channels", 2, False), ("6 channels", 6, False), ("7.1", 8, False),
    ("10 channels (FL+FR+FC+LFE+BL+BR+SL+SR+TFL+TFR)", 10, False),
])  # fmt: skip
def test_channels_that_somebody_names_are_mixed(layout, count, nameless):
    shown = SimpleNamespace(name=layout, channels=[None] * count)
    assert video_writer._nameless(shown) == nameless


@pytest.mark.parametrize("rate", [1, 999, 2**31 - 1])
def test_a_rate_that_no_sound_has_is_refused(tmp_path, rate):
    soundfile.write(tmp_path / "a.wav", np.ones(4000) / 2, 16_000, subtype="PCM_16")
    whole = bytearray((tmp_path / "a.wav").read_bytes())
    whole[24:28] = rate.to_bytes(4, "little")
    (tmp_path / "a.wav").write_bytes(whole)
    with pytest.raises(UserError, match=f"a.wav says that its sound has {rate} samples a second"):
        sound.survey(tmp_path / "a.wav")


def test_a_sound_put_together_of_two_rates_keeps_its_pitch_and_length(tmp_path):
    parts = []
    for rate in (44_100, 22_050):
        with av.open(str(tmp_path / "part.aac"), "w", format="adts") as out:
            stream = out.add_stream("aac", rate=rate, layout="mono")
            wave = np.sin(2 * np.pi * 440 * np.arange(3 * rate) / rate)[None].astype(np.float32) / 2
            frame = av.AudioFrame.from_ndarray(wave, format="fltp", layout="mono")
            frame.sample_rate = rate
            out.mux([*stream.encode(frame), *stream.encode(None)])
        parts.append((tmp_path / "part.aac").read_bytes())
    (tmp_path / "both.aac").write_bytes(b"".join(parts))
    found = sound.load_audio(tmp_path / "both.aac")
    assert len(found) / 16_000 == pytest.approx(6, abs=0.2)
    second = found[4 * 16_000 : 5 * 16_000]
    power = np.abs(np.fft.rfft(second * np.hanning(len(second)))) ** 2
    assert power.argmax() == 440 and power[436:445].sum() > 0.9999 * power.sum()  # no clicks


def test_a_frame_that_lists_planes_which_are_not_there_is_left_out(monkeypatch):
    def frame(channels: int, planes: int, planar: bool = True) -> SimpleNamespace:
        layout = SimpleNamespace(nb_channels=channels)
        form = SimpleNamespace(is_planar=planar)
        return SimpleNamespace(layout=layout, format=form, planes=[b""] * planes)

    good = [frame(2, 2), frame(6, 1, planar=False), frame(8, 9)]  # eight are counted as nine
    wrong = frame(43, 46)
    given = [good[0], None, wrong, *good[1:]]  # as an AAC file with two wrong bytes gave them
    monkeypatch.setattr(media, "decoded", lambda container, stream: iter(given))
    assert list(sound._frames(None, None)) == good
