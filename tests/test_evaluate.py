"""Evaluation: the arithmetic of the rows, the nearest audio, what fails and what is kept."""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from standins import TINY, write_run

from amie_core.data import store
from amie_core.data.alignment import lip_box
from amie_core.data.store import PreparedClip
from amie_core.errors import UserError
from amie_core.evaluation import evaluate as evaluation
from amie_core.evaluation import reference_rows
from amie_core.evaluation.contact_sheet import writable
from amie_core.evaluation.evaluate import evaluate, table
from amie_core.evaluation.metrics import DEFINITIONS
from amie_core.evaluation.reference_rows import NearestAudio
from amie_core.model import talker
from amie_core.training import checkpoint


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("workspace")


@pytest.fixture(autouse=True)
def in_workspace(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMIE_WORKSPACE", str(workspace))


@pytest.fixture(scope="module")
def short(tiny_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny corpus cut to 12 frames a clip: landmarks are what an evaluation costs."""
    folder = tmp_path_factory.mktemp("short") / "prepared"
    shutil.copytree(tiny_corpus, folder)
    for file in folder.glob("clips/*/*.npz"):
        with np.load(file) as old:
            arrays = {name: old[name] for name in old.files}
        arrays["offsets"] = arrays["offsets"][8:21]
        arrays["jpeg"] = arrays["jpeg"][arrays["offsets"][0] : arrays["offsets"][-1]]
        arrays["offsets"] = arrays["offsets"] - arrays["offsets"][0]
        arrays["landmarks"], arrays["silent"] = arrays["landmarks"][8:20], arrays["silent"][8:20]
        arrays["mfcc"] = arrays["mfcc"][32 : 32 + 4 * 12 + 16]
        store.write_clip(file, arrays)
    lines = store.read_lines(folder / "manifest.csv")
    cut = {key: store.line({**store.row_of(line), "frames": "12"}) for key, line in lines.items()}
    (folder / "manifest.csv").write_bytes(store.table(cut))
    return folder


@pytest.fixture(scope="module")
def result(run: Path, short: Path, workspace: Path) -> dict:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AMIE_WORKSPACE", str(workspace))
        return evaluate(run, short, "test_seen", workspace / "new" / "e.json", progress=False)


def test_what_is_reported(result: dict, workspace: Path) -> None:
    assert json.loads((workspace / "new" / "e.json").read_text()) == result
    for key in ("profile", "corpus", "split", "seeds", "commit", "image_size", "landmark_size"):
        assert result[key], key
    assert result["split"] == "test_seen" and result["failed"] == []
    assert result["clips"] == result["clips_in_split"] == 2
    references = {"copied_identity", "nearest_audio", "loudness", "real_frames"}
    assert set(result["rows"]) == {"model"} | references
    for row in result["rows"].values():
        assert set(row["mean"]) == set(DEFINITIONS) == set(result["definitions"])
        assert len(row["clips"]) == 2
        for name, value in row["mean"].items():
            each = [clip[name] for clip in row["clips"] if clip[name] is not None]
            assert value["clips"] == len(each)
            if each:
                assert value["mean"] == pytest.approx(np.mean(each))
                low, high = value["interval"]
                assert min(each) <= low <= value["mean"] <= high <= max(each)
    text = table(result)
    assert "psnr_rgb" in text and "nearest_audio" in text and "test_seen" in text


def test_the_rows_calibrate(result: dict) -> None:
    still, real = (result["rows"][kind]["mean"] for kind in ("copied_identity", "real_frames"))
    assert still["lip_variance_ratio"]["mean"] == 0
    assert still["lip_correlation"] == {"mean": None, "interval": None, "clips": 0}
    assert still["psnr_rgb"]["mean"] > 15
    assert real["psnr_rgb"]["mean"] is None and real["ssim_gaussian_rgb"]["mean"] == 1
    assert real["lip_correlation"]["mean"] > 0.5  # through 32 px
    assert 0 < real["lmd_mouth_mean_256"]["mean"] < still["lmd_mouth_mean_256"]["mean"] + 3


def test_same_again_and_from_what_was_kept(
    result: dict, run: Path, short: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> None:
        raise AssertionError("reference rows were measured again")

    monkeypatch.setattr(reference_rows.References, "_measure", never)
    again = evaluate(run, short, "test_seen", progress=False)
    assert again["rows"] == result["rows"]


def test_a_still_model_scores_as_the_copied_frame(
    run: Path, short: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def still(_: object, face: np.ndarray, windows: np.ndarray, mouth: tuple, *more) -> np.ndarray:
        asked.append((face, windows, mouth))
        return np.repeat(face[None], len(windows), axis=0)

    monkeypatch.setattr(talker, "generate", still)
    result = evaluate(run, short, "test_unseen", limit=2, progress=False)
    assert result["clips"] == 2 and result["clips_in_split"] == 3
    for ours, copied in zip(
        *(result["rows"][kind]["clips"] for kind in ("model", "copied_identity")), strict=True
    ):
        assert {k: pytest.approx(v) for k, v in copied.items()} == ours
    # All that a model is given: the first frame and the sound.
    row = store.clips(short, "test_unseen").iloc[0]
    clip = store.load_clip(short, row, size=TINY.image_size)
    assert (asked[0][0] == clip.frames[0]).all() and asked[0][1].shape == (12, 20, 13)
    assert asked[0][2] == lip_box(clip.landmarks[:1])


def test_frames_that_are_no_numbers_are_no_result(short: Path, tmp_path: Path) -> None:
    """As uint8 they would be pictures, with a PSNR."""
    broken = write_run(tmp_path / "broken")
    tensors, meta = checkpoint.read_tensors(broken / checkpoint.GENERATOR)
    huge = {name: t * 1e30 if t.is_floating_point() else t for name, t in tensors.items()}
    checkpoint.write_tensors(broken / checkpoint.GENERATOR, huge, meta)
    with pytest.raises(UserError, match="not finite"):
        evaluate(broken, short, "test_seen", progress=False)


def test_a_damaged_clip_is_listed_and_the_rest_goes_on(
    run: Path, short: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "damaged"
    shutil.copytree(short, folder)
    rows = store.clips(folder, "test_seen")
    (folder / rows["file"].iloc[0]).write_bytes(b"PK no clip")
    result = evaluate(run, folder, "test_seen", progress=False)
    assert [c["utterance"] for c in result["failed"]] == [rows["utterance"].iloc[0]]
    assert {len(row["clips"]) for row in result["rows"].values()} == {1}
    assert result["rows"]["model"]["mean"]["psnr_rgb"]["interval"] is None  # one clip says nothing
    (folder / rows["file"].iloc[1]).unlink()
    with pytest.raises(UserError, match="no clip of 'test_seen' could be evaluated"):
        evaluate(run, folder, "test_seen", progress=False)


def test_unusable_input(run: Path, short: Path, tmp_path: Path) -> None:
    slow = write_run(tmp_path / "slow", mfcc_rate=5000)
    (tmp_path / "file").write_text("")
    wrong = [
        ((tmp_path / "none", short, "test_seen"), "no such file"),
        ((run, tmp_path / "none", "test_seen"), "no prepared clips"),
        ((run, short, "test_sen"), "no clips of split 'test_sen'"),
        ((slow, short, "test_seen"), "--mfcc-rate 5000"),
        ((run, short, "test_seen", tmp_path / "file" / "e.json"), "cannot make"),
        ((run, short, "test_seen", tmp_path), "cannot write"),
    ]
    for path in (run / "generator.safetensors", short / "manifest.csv", short / "corpus.json"):
        before = path.read_bytes()
        with pytest.raises(UserError, match="would overwrite its own input"):
            evaluate(run, short, "test_seen", path, progress=False)
        assert path.read_bytes() == before
    for arguments, message in wrong:
        with pytest.raises(UserError, match=message):
            evaluate(*arguments, progress=False)
    for sheet in (tmp_path, tmp_path / "s.txt", tmp_path / "file" / "s.png"):
        with pytest.raises(UserError):
            writable(sheet)
    with pytest.raises(UserError, match="limit 0"):
        evaluate(run, short, "test_seen", limit=0, progress=False)


def test_numbers_that_json_does_not_know() -> None:
    assert evaluation._finite({"a": [float("nan"), 1.0], "b": (float("inf"), 2)}) == {
        "a": [None, 1.0], "b": [None, 2],
    }  # fmt: skip


class Toy:
    """Four-frame clips in memory: every clip's picture k is painted 10·clip + k."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        random = np.random.default_rng(0)
        speakers = [("a", "train"), ("a", "train"), ("b", "train"), ("c", "test_unseen")]
        self.clips = {}
        for i, (speaker, split) in enumerate(speakers):
            frames = np.stack([np.full((16, 16, 3), 10 * i + k, np.uint8) for k in range(4)])
            hops = random.normal(0, 1, (32, 13)).astype(np.float32)
            self.clips[f"{i}"] = PreparedClip(
                speaker, f"u{i}", split, frames, np.zeros((4, 68, 2), np.float32),
                (0, 80, 0, 128), hops, np.zeros(4, bool), np.zeros(2560, np.int16),
            )  # fmt: skip
        rows = [(f, c.speaker, c.split, 4) for f, c in self.clips.items()]
        self.table = pd.DataFrame(rows, columns=["file", "speaker", "split", "frames"])
        monkeypatch.setattr(store, "clips", lambda folder, split=None: self.table)
        monkeypatch.setattr(store, "load_clip", self.load)

    def load(self, folder: Path, file: str, size: int = 0, only: Any = None) -> PreparedClip:
        clip = self.clips[file]
        return clip if only is None else dataclasses.replace(clip, frames=clip.frames[list(only)])

    def asking(self, speaker: str, of: str, order: list[int]) -> PreparedClip:
        """A clip of `speaker` whose frames sound as frames of clip `of`, in that order."""
        hops = np.zeros((32, 13), np.float32)
        hops[:20] = self.clips[of].mfcc[4 * order[0] : 4 * order[0] + 20]
        return PreparedClip(
            speaker, "new", "test", self.clips[of].frames[:1], np.zeros((1, 68, 2), np.float32),
            (0, 80, 0, 128), hops, np.zeros(1, bool), np.zeros(640, np.int16),
        )  # fmt: skip


def test_nearest_audio(monkeypatch: pytest.MonkeyPatch) -> None:
    toy = Toy(monkeypatch)
    nearest = NearestAudio(Path("toy"), 16)

    def picked(speaker: str, of: str, k: int, file: str = "new") -> int:
        return int(nearest.frames(toy.asking(speaker, of, [k]), file)[0, 0, 0, 0])

    assert picked("c", "2", 3) == 23  # an unseen speaker: any training clip, the very frame
    assert picked("c", "0", 1) == 1
    assert picked("a", "1", 2) == 12  # a seen speaker: his own
    assert picked("a", "2", 2) < 20  # … even where another sounds nearer
    assert picked("a", "1", 2, file="1") < 10  # never the clip itself
    assert picked("b", "2", 2, file="2") < 20  # no other clip of his: any other
    few = NearestAudio(Path("toy"), 16, limit=4)
    assert len(few._pool(None)[0]) == 1  # whole clips, until there are enough


def test_a_corpus_without_training_clips_has_no_nearest_row(
    run: Path, short: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "test_only"
    shutil.copytree(short, folder)
    manifest = folder / "manifest.csv"
    manifest.write_text(manifest.read_text().replace(",train,", ",other,"))
    result = evaluate(run, folder, "test_seen", limit=1, progress=False)
    assert result["rows"]["nearest_audio"]["clips"] == []
    assert "nearest_audio" not in table(result) and result["clips"] == 1
