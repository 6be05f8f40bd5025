"""Portraits that wear the mouth of a clip: whose movement, whose face, what is refused."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny import TINY

from amie_core import cli, config
from amie_core.config import SAMPLE_RATE
from amie_core.data import store
from amie_core.data.alignment import lip_opening, similarity, transform
from amie_core.errors import UserError
from amie_core.talking import portraits
from amie_core.training import sync_expert
from amie_core.training.windows import Windows


@pytest.fixture(scope="module")
def pictures(tiny_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three faces as pictures, one of them large; a wall."""
    folder = tmp_path_factory.mktemp("portraits")
    for k, (_, rows) in enumerate(store.clips(tiny_corpus).groupby("speaker")):
        face = Image.fromarray(store.load_clip(tiny_corpus, rows.iloc[0]).frames[0])
        face.resize((900, 900) if k == 0 else (256, 256)).save(folder / f"p{k}.png")
    Image.new("RGB", (300, 300), (90, 120, 90)).save(folder / "wall.png")
    return folder


def test_movement_is_the_clips_and_the_face_the_portraits(
    pictures: Path, tiny_corpus: Path
) -> None:
    row = store.clips(tiny_corpus, "train").iloc[-1]
    clip = store.load_clip(tiny_corpus, row)
    made = portraits.worn(pictures / "p0.png", tiny_corpus, row["file"], 5)
    frames = np.stack([frame for frame in made.frames if frame is not None])
    assert made.landmarks is not None and made.audio is not None
    assert len(frames) == len(made.landmarks) == portraits.FRAMES
    assert len(made.audio) == portraits.FRAMES * SAMPLE_RATE // 25
    assert np.allclose(made.audio * 32767, clip.audio[5 * 640 : 35 * 640], atol=0.51)
    # The lips are as far apart as the clip's, each in widths of its own mouth.
    theirs = lip_opening(clip.landmarks)[5:35]
    mine = lip_opening(made.landmarks)
    assert np.corrcoef(mine, theirs)[0, 1] > 0.99
    # A larger picture than is used was made smaller; forehead and background stay as they are.
    assert frames.shape[1] < 900
    points = made.landmarks[0]
    brow = int(points[17:27, 1].min())
    assert (frames[:, : brow - 5] == frames[:1, : brow - 5]).all()
    # What is between the lips is what the clip shows there, in the portrait's light.
    wide = int(mine.argmax())

    def between(frame: np.ndarray, points: np.ndarray) -> np.ndarray:
        x, y = points[[61, 62, 63, 65, 66, 67]].mean(0).round().astype(int)
        cheeks = points[[[2, 48], [14, 54]]].mean(1).round().astype(int)
        skin = np.mean([frame[b - 3 : b + 4, a - 3 : a + 4].mean((0, 1)) for a, b in cheeks], 0)
        return frame[y - 1 : y + 2, x - 2 : x + 3].mean((0, 1)) / skin

    own = between(clip.frames[5 + wide], clip.landmarks[5 + wide])
    assert between(frames[wide], made.landmarks[wide]) == pytest.approx(own, abs=0.12)
    assert (own < 0.7).all()  # not skin


def test_prepared_portraits_train_beside_real_clips(
    pictures: Path, tiny_corpus: Path, tmp_path: Path
) -> None:
    out = tmp_path / "prepared"
    done = portraits.prepare_portraits(pictures, tiny_corpus, out, jobs=1)
    assert (done.ok, done.rejected) == (3, 1)
    table = store.read_manifest(out)
    assert "face" in table[table["speaker"] == "wall"]["reason"].item()
    rows = store.clips(out, "train")
    assert set(rows["frames"]) == {portraits.FRAMES} and set(rows["landmarks"]) == {"exact"}
    clip = store.load_clip(out, rows.iloc[0])
    aligned = transform(clip.landmarks, similarity(clip.landmarks))
    assert np.abs(aligned - clip.landmarks).max() < 1  # it lies as every prepared face does
    again = portraits.prepare_portraits(pictures, tiny_corpus, out, jobs=1)
    assert again == done  # nothing anew
    mixed = config.with_changes(TINY, {"train.mix": 0.5})
    windows = Windows(tiny_corpus, mixed, 0, also=out, progress=False)
    assert windows.batch(0).frames.shape[:2] == (TINY.train.batch, TINY.train.unroll)
    # How mouths move is learnt from those who were filmed.
    real = len(store.clips(tiny_corpus, "train"))
    assert len(windows.rows) == real + 3
    assert windows.filmed.tolist() == list(range(real)) and len(list(windows.some())) == real
    drawn = sync_expert.shares(windows)  # portraits may say what the judge's half says
    assert drawn[real:].sum() == 0 and drawn.sum() == pytest.approx(1)
    with pytest.raises(UserError, match="portraits alone"):
        Windows(out, TINY, 0, progress=False)


def test_the_mouth_hangs_on_the_pictures_place_alone(tiny_corpus: Path, tmp_path: Path) -> None:
    names = ["p1.png", "p2.png", "ann/1.jpg", "bob/1.jpg", "bob/1.png"]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    every = {s.speaker: s for s in portraits.sources(tmp_path, tiny_corpus)}
    assert set(every) == {"p1", "p2", "ann_1", "bob_1.jpg", "bob_1.png"}
    assert {source.split for source in every.values()} == {"train"}
    for name in names[1:]:
        (tmp_path / name).unlink()
    (alone,) = portraits.sources(tmp_path, tiny_corpus)
    assert (alone.utterance, alone.reader.args) == (every["p1"].utterance, every["p1"].reader.args)


def test_what_is_missing_is_said(
    pictures: Path, tiny_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    (tmp_path / "none").mkdir()
    refused = {
        f"portraits --root {pictures}": "need --mouths",
        f"portraits --root none --mouths {tiny_corpus}": "no clips under none",
        f"portraits --root nowhere --mouths {tiny_corpus}": "nowhere is not a folder",
        f"portraits --root {pictures} --mouths none": "none holds no prepared clips",
        f"folder --root {pictures} --mouths {tiny_corpus}": "goes with --corpus portraits",
        f"portraits --root {pictures} --mouths {tiny_corpus} --backend mesh": "--backend",
    }
    monkeypatch.chdir(tmp_path)
    for words, said in refused.items():
        assert cli.main(["prepare", "--out", "out", "--corpus", *words.split()]) == 2
        told = capsys.readouterr().err
        assert said in told and told.count("\n") == 1, told
