"""Prepared clips on disk: what is written is read, and damage is named."""

from pathlib import Path

import numpy as np
import pytest

from amie_core import files
from amie_core.data import store
from amie_core.errors import UserError

ROW = dict.fromkeys(store.COLUMNS, "") | {"frames": 4, "seconds": 0.16, "width": 360, "height": 288}


def picture(k: int) -> np.ndarray:
    y, x = np.mgrid[:256, :256]
    return np.stack([x, y, np.full_like(x, 20 * k)], axis=2).astype(np.uint8)


@pytest.fixture
def folder(tmp_path):
    jpeg, offsets = store.encode(picture(k) for k in range(4))
    store.write_clip(
        tmp_path / "clips" / "s1" / "a.npz",
        {
            "name": np.array(["s1", "a", "train"]),
            "jpeg": jpeg,
            "offsets": offsets,
            "landmarks": np.arange(4 * 68 * 2, dtype=np.float32).reshape(4, 68, 2),
            "lip_box": np.array([140, 220, 64, 192]),
            "mfcc": np.zeros((32, 13), np.float32),
            "silent": np.array([True, False, False, True]),
            "audio": np.arange(2560, dtype=np.int16),
            "words": np.array(["bin", "blue"]),
            "word_times": np.array([[0.0, 0.1], [0.1, 0.16]]),
        },
    )
    rows = [
        {"speaker": "s1", "utterance": "a", "split": "train", "status": "ok",
         "file": "clips/s1/a.npz", "fps_in": 25.0},
        {"speaker": "s1", "utterance": "b", "split": "train", "status": "rejected",
         "reason": 'no "face", none', "frames": 0, "fps_in": 25.0},
        {"speaker": "s2", "utterance": "c", "split": "test_unseen", "status": "repaired",
         "reason": "x; y", "file": "clips/s2/c.npz", "fps_in": 30.0},
    ]  # fmt: skip
    keyed = {(row["speaker"], row["utterance"]): store.line(ROW | row) for row in rows}
    files.write_whole(tmp_path / "manifest.csv", store.table(keyed))
    files.write_whole(tmp_path / "corpus.json", b'{"corpus": "grid"}')
    return tmp_path


@pytest.mark.parametrize("size", [256, 64])
def test_a_clip_comes_back(folder, size):
    row = store.clips(folder, "train").iloc[0]
    for key in (row, row.file):
        clip = store.load_clip(folder, key, size=size)
        assert (clip.speaker, clip.utterance, clip.split) == ("s1", "a", "train")
        assert clip.frames.shape == (4, size, size, 3)
        wanted = picture(3)[:: 256 // size, :: 256 // size].astype(int)
        assert np.abs(clip.frames[3].astype(int) - wanted).mean() < 3  # RGB, not BGR
        assert clip.landmarks[3, 67, 1] == 543 and clip.lip_box == (140, 220, 64, 192)
        assert clip.mfcc.shape == (32, 13) and clip.silent.tolist() == [True, False, False, True]
        assert clip.audio.dtype == np.int16 and clip.audio[-1] == 2559
        assert clip.words == [("bin", 0.0, 0.1), ("blue", 0.1, 0.16)]


def test_usable_rows_by_split(folder):
    assert store.read_manifest(folder).status.tolist() == ["ok", "rejected", "repaired"]
    assert store.read_manifest(folder).reason.tolist() == ["", 'no "face", none', "x; y"]
    assert store.clips(folder).utterance.tolist() == ["a", "c"]
    assert store.clips(folder, "test_unseen").utterance.tolist() == ["c"]
    with pytest.raises(UserError, match="test_unseen, train"):
        store.clips(folder, "val")


def test_nothing_is_pickled_and_files_are_the_same_twice(folder):
    path = folder / "clips" / "s1" / "a.npz"
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    before = path.read_bytes()
    store.write_clip(path, arrays)
    assert path.read_bytes() == before


def test_damaged_and_absent_clips_say_so(folder):
    path = folder / "clips" / "s1" / "a.npz"
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(UserError, match="damaged"):
        store.load_clip(folder, "clips/s1/a.npz")
    with pytest.raises(UserError, match="absent"):
        store.load_clip(folder, "clips/s2/c.npz")


def test_clips_that_contradict_themselves_or_the_manifest_say_so(folder):
    path, (row, *_) = folder / "clips" / "s1" / "a.npz", store.clips(folder).to_dict("records")
    assert row["file"] == "clips/s1/a.npz"
    with pytest.raises(UserError, match="a.npz is absent or damaged"):
        store.load_clip(folder, row | {"frames": row["frames"] + 1})
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    store.write_clip(path, arrays | {"landmarks": arrays["landmarks"][1:]})
    with pytest.raises(UserError, match="a.npz is absent or damaged"):
        store.load_clip(folder, row)


def test_a_folder_that_is_not_prepared_says_so(tmp_path):
    for look in (store.read_manifest, store.clips, store.digest, store.settings):
        with pytest.raises(UserError, match="amie prepare"):
            look(tmp_path)


def test_settings_that_are_no_json_are_said_to_be_damaged(tmp_path):
    for text in ("{", "[]", "[" * 100_000):
        (tmp_path / "corpus.json").write_text(text)
        with pytest.raises(UserError, match="damaged"):
            store.settings(tmp_path)


def test_a_line_cut_short_is_dropped(folder):
    path = folder / "manifest.csv"
    path.write_text(path.read_text() + "s9,z,train,o")
    assert store.read_manifest(folder).speaker.tolist() == ["s1", "s1", "s2"]


def test_digest_follows_data_and_settings(folder):
    first = store.digest(folder)
    (folder / "corpus.json").write_text('{"corpus": "lrw"}')
    second = store.digest(folder)
    (folder / "manifest.csv").write_text((folder / "manifest.csv").read_text() + "\n")
    assert len({first, second, store.digest(folder)}) == 3


def test_what_a_link_points_to_is_written_and_a_device_written_into(tmp_path):
    (tmp_path / "there").write_text("old")
    (tmp_path / "link").symlink_to(tmp_path / "there")
    files.write_whole(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "there").read_text() == "new"
    null = tmp_path / "null"
    null.symlink_to("/dev/null")
    files.write_whole(null, b"new")
    assert Path("/dev/null").is_char_device()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "null", "there"]


def test_unwritable_targets_say_so_and_leave_nothing(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write"):
        files.write_whole(tmp_path / "file" / "a.npz", b"x")

    def full(self, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(type(tmp_path), "write_bytes", full)
    with pytest.raises(UserError, match="disk is full"):
        files.write_whole(tmp_path / "a.npz", b"x")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
