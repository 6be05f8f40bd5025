"""The frozen speech embedding: the original's numbers, where it hears, sound that is changed."""

from pathlib import Path

import numpy as np
import pytest
import torch
from media import noise, write_media

from amie_core.config import SPEECH_LEVEL
from amie_core.data import audio, bandwidth, sound
from amie_core.errors import UserError
from amie_core.files import SPEECH
from amie_core.model.motion import Motion
from amie_core.model.speech_embedding import HEARD, REACH, SPAN, SpeechEmbedding
from amie_core.training import augment
from amie_core.training.speech_embedding import convert, load

# Of the first and the last of six steps, each twelfth number: what ONNX Runtime finds in the last
# map before the last pooling of openWakeWord's embedding_model.onnx, for `_drawn_bands`.
ORIGINAL = [
    (0.346, -0.069), (1.252, 1.086), (-0.127, -0.089), (-0.157, -0.143), (3.719, 2.772),
    (3.133, 3.328), (-0.217, -0.192), (-0.4, -0.4), (2.394, 1.994), (-0.215, -0.155),
    (2.282, 2.558), (1.172, 0.58), (0.333, -0.201), (2.549, 2.123), (-0.237, -0.226),
    (-0.096, -0.137),
]  # fmt: skip


def _loaded() -> SpeechEmbedding:
    made = SpeechEmbedding()
    load(made)
    return made


def _drawn_bands() -> torch.Tensor:
    hop, band = np.arange(76)[:, None], np.arange(32)
    return torch.from_numpy((-20 + 15 * np.sin(0.37 * hop + 0.21 * band)).astype(np.float32))[None]


def test_it_is_the_original_in_half_precision() -> None:
    made = _loaded()
    found = made(_drawn_bands())[0]
    assert found.shape == (HEARD, 6) and SPAN == 76 - 5 * 4
    np.testing.assert_allclose(found[::12, [0, 5]], ORIGINAL, atol=0.02)  # their deviation is 1
    assert not list(made.parameters())  # nothing that a step could change
    quiet = torch.full((1, SPAN, 32), -90.0)
    assert torch.equal(made(quiet), made(quiet - 10))


def test_it_hears_around_the_middle_of_a_frame() -> None:
    """A frame's own hops begin 8 before it; what changes it lies as far before its middle as after,
    to a hop's half."""
    told = Motion(speech=True).told
    assert told is not None
    load(told.embedding)
    bands = torch.full((1, 4 * (1 + 2 * REACH) + 16, 32), -30.0)
    own = told.heard(bands)
    assert own.shape[2] == 1
    heard = []
    for hop in range(bands.shape[1]):
        changed = bands.clone()
        changed[0, hop] += 20
        heard.append(not torch.equal(told.heard(changed), own))
    first, last = np.flatnonzero(heard)[[0, -1]]
    assert last - first + 1 == SPAN
    start = 10 * (first - 8 - 4 * REACH)  # ms after the frame's beginning; a hop is 25 ms long
    middle = (start + 10 * (last - 8 - 4 * REACH) + 25) / 2
    assert middle == pytest.approx(20, abs=5)


def test_speech_bands_are_librosas_and_lie_where_they_say() -> None:
    from librosa.filters import mel

    bands, spread = audio._speech_plan()
    theirs = mel(sr=16000, n_fft=512, n_mels=32, fmin=60, fmax=3800).T
    np.testing.assert_allclose(bands, theirs, atol=1e-7)
    hertz = np.arange(257) * 31.25
    mine = audio._plan(16000)[4]
    middles = (hertz @ mine) / mine.sum(0)
    wanted = (hertz @ bands) / bands.sum(0)
    np.testing.assert_allclose(np.interp(audio.speech_places(), np.arange(26), middles), wanted,
                               rtol=0.06, atol=10)  # fmt: skip
    np.testing.assert_allclose(spread.sum(0), 1, atol=1e-6)


@pytest.mark.parametrize("seconds", [0.02, 3.0, 7.31])
def test_stream_equals_the_whole(tmp_path: Path, seconds: float) -> None:
    path = write_media(tmp_path / "a.wav", audio=noise(seconds), sound="pcm_s16le")
    wave = sound.load_audio(path)
    n = sound.frame_count(len(wave))
    rows = audio.speech_rows(wave, n)
    assert rows.shape == (4 * n + 16, 45)
    np.testing.assert_array_equal(rows[:, :13], audio.mfcc(wave, frames=n))
    chunks = list(audio.stream_windows(path, chunk=50, hears="speech"))
    np.testing.assert_allclose(np.concatenate(chunks), audio.windows(rows, n), rtol=1e-6, atol=1e-4)
    with pytest.raises(UserError, match="mfcc_rate 5000"):
        next(audio.stream_windows(path, 5000, hears="speech"))


def test_bands_that_a_telephone_lacks_are_filled_here_too(tmp_path: Path) -> None:
    """Noise with the spectrum of speech, then without what lies over 3 kHz."""
    mean, covariance = bandwidth._statistics()
    random = np.random.default_rng(0)
    levels = 10 ** (random.multivariate_normal(mean, covariance, 301) / 20)
    bands = audio._plan(16000)[4]
    middles = (np.arange(257) * 31.25) @ bands / bands.sum(0)
    spectrum = np.stack([np.interp(np.arange(161) * 50, middles, one) for one in levels])
    phase = np.exp(2j * np.pi * random.random(spectrum.shape))
    blocks = np.fft.irfft(spectrum * phase, 320) * np.hanning(320)
    wave = np.zeros(160 * 302)
    for k, block in enumerate(blocks):
        wave[160 * k : 160 * k + 320] += block
    wave = (0.1 * wave / wave.std()).astype(np.float32)
    bare = np.fft.rfft(wave)
    bare[np.arange(len(bare)) * 16000 / len(wave) > 3000] = 0
    narrow = np.fft.irfft(bare, len(wave)).astype(np.float32)
    found = {}
    for name, one in (("wide", wave), ("narrow", narrow)):
        path = write_media(tmp_path / f"{name}.wav", audio=one, sound="pcm_s16le")
        parts = audio.stream_windows(path, hears="speech", level=SPEECH_LEVEL)
        found[name] = np.concatenate(list(parts))[:, 8:12, 13:].reshape(-1, 32).mean(0)
    raw = audio.speech_rows(audio.levelled(narrow), 75)[:, 13:].mean(0)
    assert (found["wide"] - raw)[-2:].min() > 20
    assert np.abs(found["wide"] - found["narrow"]).max() < 6


def test_changed_sound_is_changed_alike_in_cepstra_and_speech_bands() -> None:
    """Each part of it alone, on 26 bands and on the 32 between them: the same at the same place."""
    places, numbers = audio.speech_places(), np.arange(26, dtype=np.float32)
    shape = (-30 + 10 * np.cos(2 * np.pi * (numbers + 0.5) / 26)).astype(np.float32)
    fine = np.interp(places, numbers, shape).astype(np.float32)
    nothing = torch.zeros(1, 1, 1)
    plain = augment._Room(None, None, torch.zeros(1, 1, 26), *[nothing] * 3, nothing - 200, nothing)
    colour = 3 * torch.randn(1, 1, 26, generator=torch.Generator().manual_seed(0))
    parts: list[dict[str, torch.Tensor]] = [
        {"longer": nothing + 0.12, "lower": nothing}, {"longer": nothing, "lower": nothing - 1},
        {"colour": colour}, {"gain": nothing + 4}, {"tilt": nothing + 6}, {"bow": nothing + 3},
        {"noise": nothing - 30}, {"noise": nothing - 25, "hiss": nothing + 10},
    ]  # fmt: skip
    for part in parts:
        told = {}
        for name, bands, at in (("26", shape, numbers), ("32", fine, places)):
            rows = torch.from_numpy(bands)[None, None]
            told[name] = augment._heard_in(plain._replace(**part), rows, torch.from_numpy(at))
        wanted = np.interp(places, numbers, told["26"][0, 0].numpy())
        off = np.abs(wanted - told["32"][0, 0].numpy())[1:-1]
        if "longer" in part:  # what comes from beyond the 32 they cannot tell
            source = places * (1 + float(part["longer"])) + float(part["lower"])
            off = off[(source > places[0])[1:-1] & (source < places[-1])[1:-1]]
        assert len(off) > 20 and off.max() < 0.5, (part.keys(), off)
        assert np.abs(wanted - fine).max() > 2, part.keys()


def test_sound_of_more_rows_draws_what_cepstra_alone_draw() -> None:
    before = torch.randn(2, 6, 45, generator=torch.Generator().manual_seed(0)) * 5 - 20
    for voice in (True, False):
        after = augment.sound(before, np.random.default_rng(1), voice=voice)
        alone = augment.sound(before[..., :13], np.random.default_rng(1), voice=voice)
        assert torch.equal(after[..., :13], alone) and after.shape == before.shape


def test_a_missing_or_damaged_file_is_said(tmp_path: Path) -> None:
    path = tmp_path / "part.safetensors"
    with pytest.raises(UserError, match="part.safetensors is missing or damaged"):
        load(SpeechEmbedding(), path)
    path.write_bytes(SPEECH.read_bytes()[:9000])
    with pytest.raises(UserError, match="part.safetensors is missing or damaged"):
        load(SpeechEmbedding(), path)


def test_the_file_is_made_from_the_original_graph(tmp_path: Path) -> None:
    """A graph of the original's form, with the weights that ship, becomes the file that ships."""
    onnx = pytest.importorskip("onnx")
    made = _loaded().state_dict()
    made |= {name: made[name].flatten() for name in ("scale", "shift")}
    layers = [("first",), *((f"weight_{k:02}", f"bias_{k:02}") for k in range(18)), ("last",)]
    nodes = [onnx.helper.make_node("Conv", ["x", *names], ["x"]) for names in layers]
    norm = ["scale", "shift", "mean", "variance"]
    nodes.insert(1, onnx.helper.make_node("BatchNormalization", ["x", *norm], ["x"], epsilon=0.25))
    more = {"last": torch.ones(3), "mean": torch.zeros(24), "variance": torch.full((24,), 0.75)}
    values = [onnx.numpy_helper.from_array(value.numpy(), name)
              for name, value in (made | more).items()]  # fmt: skip
    onnx.save(onnx.helper.make_model(onnx.helper.make_graph(nodes, "g", [], [], values)),
              tmp_path / "given.onnx")  # fmt: skip
    found = convert(tmp_path / "given.onnx", tmp_path / "made.safetensors")
    assert found.read_bytes() == SPEECH.read_bytes()
    licence = SPEECH.with_name("LICENSE-speech_embedding.txt").read_text()
    assert "Apache License" in licence and SPEECH.stat().st_size < 10**6
