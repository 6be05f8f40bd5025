"""Raw clips to prepared clips: what is repaired, what is rejected and why, kills and resumes."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from fractions import Fraction

import numpy as np
import pytest
from conftest import shared_data
from media import drawn, write_media

from amie_core import files
from amie_core.data import alignment, face_track, faces, landmarks_mesh, store
from amie_core.data import prepare as module
from amie_core.data.prepare import Summary, prepare
from amie_core.errors import UserError

pytestmark = pytest.mark.skipif(
    not landmarks_mesh.available(), reason="the mesh's files are not installed"
)


def flat(n: int) -> np.ndarray:
    return np.full((n, 256, 256, 3), (40, 90, 160), np.uint8)


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    """A folder of odd videos, prepared once: the folder, its manifest by utterance."""
    root = tmp_path_factory.mktemp("odd")
    face, voice = drawn(1, 50)
    other = drawn(2, 50)[0]
    hidden = face.copy()
    hidden[20:23] = flat(3)
    late = np.concatenate([flat(8), face[:42]])
    kept = [k for k in range(40) if k not in (11, 12)]
    write_media(root / "good.mp4", face[:40], voice)
    write_media(root / "noface.mp4", flat(30), voice)
    write_media(root / "two.mp4", np.concatenate([face[:30], other[:30]], axis=2), voice)
    write_media(root / "mute.mp4", face[:30])
    write_media(root / "silent.mp4", face[:30], np.zeros(30 * 640))
    write_media(root / "rate30.mp4", face[:48], voice[: 48 * 16000 // 30], fps=Fraction(30))
    write_media(root / "hidden.mp4", hidden[:40], voice)
    write_media(root / "late.mp4", late, voice)
    write_media(root / "gap.mp4", face[kept], voice, times=kept)
    write_media(root / "cut.mp4", np.concatenate([face[:20], other[:20]]), voice)
    write_media(root / "cutlate.mp4", np.concatenate([face[:40], other[:10]]), voice)
    write_media(root / "early.mp4", face[:45], voice[: 30 * 640])
    (root / "broken.mp4").write_bytes(b"\0" * 5000)
    out = tmp_path_factory.mktemp("prepared") / "odd"
    summary = prepare("folder", root, out, jobs=1, backend="mesh")
    table = store.read_manifest(out)
    return out, {row.utterance: row for row in table.itertuples()}, summary, root


@pytest.mark.parametrize(
    "name, status, frames, reason",
    [
        ("good", "ok", 40, ""),
        ("noface", "rejected", 0, "no face"),
        ("two", "rejected", 0, "two faces"),
        ("mute", "rejected", 0, "no sound"),
        ("silent", "rejected", 0, "silent"),
        ("rate30", "repaired", 40, "from 30 to 25"),
        ("hidden", "repaired", 40, "landmarks of 3 frames interpolated"),
        ("late", "repaired", 42, "frames 8 to 49 of 50"),
        ("gap", "repaired", 40, "variable rate"),
        ("cut", "repaired", None, "cut at 0.80 s"),
        ("cutlate", "repaired", 40, "cut at 1.60 s: only frames 0 to 39"),
        ("early", "repaired", None, "sound ends"),
        ("broken", "rejected", 0, "cannot be read"),
    ],
)
def test_odd_clips_are_repaired_or_listed(odd, name, status, frames, reason):
    row = odd[1][name]
    if name == "cut":  # half of 40 frames is less than the 25 that a clip needs
        status, frames, reason = "rejected", 0, "cut at 0.80 s: no stretch"
    assert (row.status, reason in row.reason) == (status, True), row.reason
    if name == "early":  # a codec's last block may add a frame or two
        assert 30 <= row.frames <= 33
    else:
        assert row.frames == frames
    assert (odd[0] / "clips" / row.speaker / f"{name}.npz").exists() == (status != "rejected")


def test_summary_counts_them(odd):
    _, rows, summary, _ = odd
    statuses = [row.status for row in rows.values()]
    assert (summary.ok, summary.repaired, summary.rejected) == tuple(
        statuses.count(s) for s in ("ok", "repaired", "rejected")
    )
    assert summary.frames == sum(row.frames for row in rows.values())
    assert summary.seconds == pytest.approx(summary.frames / 25, abs=0.01)


def test_a_prepared_clip_is_aligned_once_and_whole(odd):
    out, rows, _, _ = odd
    clip = store.load_clip(out, rows["good"].file)
    n = rows["good"].frames
    assert clip.frames.shape == (n, 256, 256, 3) and clip.landmarks.shape == (n, 68, 2)
    assert clip.mfcc.shape == (4 * n + 16, 13) and clip.silent.shape == (n,)
    assert clip.audio.shape == (n * 640,)
    eyes = clip.landmarks.mean(axis=0)
    assert np.abs(eyes[36:48] - alignment.TEMPLATE[36:48]).mean() < 6
    assert clip.lip_box == alignment.lip_box(clip.landmarks)
    again, seen = faces.measure_landmarks(clip.frames[::8])  # landmarks lie on the stored pictures
    assert seen.all()
    assert np.linalg.norm(again - clip.landmarks[::8], axis=2)[:, 36:].mean() < 4


def test_settings_are_kept_and_other_ones_refused(odd):
    out, _, _, root = odd
    assert store.settings(out)["mfcc_rate"] == 16000 and store.settings(out)["backend"] == "mesh"
    with pytest.raises(UserError, match="mfcc_rate 16000, not 5000"):
        prepare("folder", root, out, jobs=1, mfcc_rate=5000, backend="mesh")


def test_a_call_that_made_nothing_does_not_keep_the_folder(tmp_path):
    root, out = tmp_path / "in", tmp_path / "out"
    root.mkdir(), out.mkdir()
    write_media(root / "noface.mp4", flat(30), np.ones(30 * 640) / 9)
    prepare("folder", root, tmp_path / "first", jobs=1, backend="mesh")
    settings = store.settings(tmp_path / "first")
    (out / "corpus.json").write_text(json.dumps(settings | {"mfcc_rate": 5000}))  # and ended here
    with files.only_one(out, "prepare"), pytest.raises(UserError, match="another amie prepare"):
        prepare("folder", root, out, jobs=1, backend="mesh")
    assert store.settings(out)["mfcc_rate"] == 5000
    prepare("folder", root, out, jobs=1, backend="mesh")
    assert store.settings(out) == settings and len(store.read_manifest(out)) == 1
    with pytest.raises(UserError, match="mfcc_rate 16000, not 5000"):
        prepare("folder", root, out, jobs=1, mfcc_rate=5000, backend="mesh")


def test_a_second_call_does_only_what_is_missing(odd, monkeypatch):
    out, rows, summary, root = odd
    manifest = (out / "manifest.csv").read_bytes()
    good = out / rows["good"].file
    good.unlink()
    others = {p: p.stat().st_mtime_ns for p in (out / "clips").rglob("*.npz")}
    assert prepare("folder", root, out, jobs=1, backend="mesh") == summary
    assert good.exists() and (out / "manifest.csv").read_bytes() == manifest
    assert all(p.stat().st_mtime_ns == at for p, at in others.items())


def test_damaged_streams(tmp_path):
    summary = prepare("grid", shared_data("damaged"), tmp_path, jobs=1, backend="mesh")
    rows = {row.speaker: row for row in store.read_manifest(tmp_path).itertuples()}
    assert (summary.repaired, summary.rejected) == (1, 1)
    assert rows["s1"].frames == 75 and "1 lost frames" in rows["s1"].reason
    assert "9 of 75 frames lost" in rows["s4"].reason


def test_real_grid_clips(tmp_path):
    """A 360×288 and a 720×576 clip, and the one whose first 12 frames are grey."""
    root = tmp_path / "grid"
    for clip in ("s1/bbaszn.mpg", "s1/brwa4p.mpg", "s15/bbad8n.mpg"):
        (root / clip).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(shared_data("grid", clip), root / clip)
    (root / "alignments" / "s1").mkdir(parents=True)
    shutil.copy(shared_data("grid", "alignments", "s1", "bbaszn.align"), root / "alignments" / "s1")
    out = tmp_path / "out"
    assert prepare("grid", root, out, jobs=2, backend="mesh").rejected == 0
    rows = {row.utterance: row for row in store.read_manifest(out).itertuples()}
    assert rows["bbad8n"].width == 720 and rows["bbaszn"].width == 360
    assert "frames 12 to 74" in rows["brwa4p"].reason
    clip = store.load_clip(out, rows["bbaszn"].file)
    assert clip.words[1] == ("bin", 0.57, 0.79)
    assert 0.5 < np.diff(alignment.lip_opening(clip.landmarks)).std() < 4  # px: it talks, smoothly
    assert clip.silent[:10].all() and not clip.silent[17:40].all()


def test_drawn_clips_keep_their_exact_landmarks(tiny_corpus):
    table = store.clips(tiny_corpus)
    assert len(table) == 9 and set(table.landmarks) == {"exact"} and set(table.status) == {"ok"}
    assert store.settings(tiny_corpus)["identities"] == 3


def test_splits_are_brought_up_to_date(tmp_path):
    root = tmp_path / "raw"
    face, voice = drawn(1, 50)
    write_media(root / "s7" / "a.mp4", face[:26], voice)
    prepare("folder", root, tmp_path / "out", jobs=1, backend="mesh")
    (root / "splits.csv").write_text("speaker,utterance,split\ns7,a,val\n")
    prepare("folder", root, tmp_path / "out", jobs=1, backend="mesh")
    (row,) = (row for _, row in store.clips(tmp_path / "out", "val").iterrows())
    assert store.load_clip(tmp_path / "out", row).split == "val"


def test_a_prepared_clip_that_is_cut_off_is_prepared_again(tmp_path):
    root, out = tmp_path / "raw", tmp_path / "out"
    face, voice = drawn(1, 50)
    write_media(root / "s7" / "a.wmv", face[:26], voice)
    prepare("folder", root, out, jobs=1, backend="mesh")
    (made,) = out.rglob("a.npz")
    whole = made.read_bytes()
    made.write_bytes(whole[: len(whole) // 2])
    assert prepare("folder", root, out, jobs=1, backend="mesh").ok == 1
    assert made.read_bytes() == whole


def test_a_clip_on_its_head_is_refused(tmp_path):
    face, voice = drawn(1, 50)
    write_media(tmp_path / "raw" / "a.mp4", face[:30, ::-1, ::-1], voice)
    out = tmp_path / "out"
    assert prepare("folder", tmp_path / "raw", out, jobs=1, backend="mesh").rejected == 1
    reason = store.read_manifest(out)["reason"][0]
    assert reason == "the face is upside down: turn the clip by 180°"


def test_a_rate_that_is_none_of_mfccs_leaves_nothing(tmp_path):
    with pytest.raises(UserError, match="16000 or 5000 Hz"):
        prepare("synthetic", None, tmp_path / "out", mfcc_rate=8000)
    assert not (tmp_path / "out").exists()


def test_a_file_made_good_is_prepared_again(tmp_path):
    root, out = tmp_path / "raw", tmp_path / "out"
    face, voice = drawn(1, 50)
    write_media(root / "s7" / "a.mp4", face[:26], voice)
    (root / "s7" / "b.mp4").write_bytes(b"cut short")
    assert prepare("folder", root, out, jobs=1, backend="mesh").rejected == 1
    write_media(root / "s7" / "b.mp4", face[:27], voice)
    stamps = {p: p.stat().st_mtime_ns for p in out.rglob("a.npz")}
    assert prepare("folder", root, out, jobs=1, backend="mesh").ok == 2
    assert {p: p.stat().st_mtime_ns for p in stamps} == stamps  # the other one is left alone
    os.utime(root / "s7" / "a.mp4")  # a copy has a new time, and the same content
    assert prepare("folder", root, out, jobs=1, backend="mesh").ok == 2
    assert {p: p.stat().st_mtime_ns for p in stamps} == stamps


def test_a_second_root_adds_and_never_replaces(tmp_path):
    out = tmp_path / "out"
    face, voice = drawn(1, 50)
    write_media(tmp_path / "one" / "s7" / "a.mp4", face[:26], voice)
    write_media(tmp_path / "two" / "s8" / "a.mp4", face[:27], voice)
    prepare("folder", tmp_path / "one", out, jobs=1, backend="mesh")
    assert prepare("folder", tmp_path / "two", out, jobs=1, backend="mesh").ok == 2
    assert set(store.read_manifest(out).speaker) == {"s7", "s8"}
    write_media(tmp_path / "three" / "s7" / "a.mp4", face[:30], voice)
    with pytest.raises(UserError, match=r"other clips under 1 of the names.*s7/a"):
        prepare("folder", tmp_path / "three", out, jobs=1, backend="mesh")
    (tmp_path / "one").rename(tmp_path / "moved")  # the same files elsewhere are the same clips
    stamps = {p: p.stat().st_mtime_ns for p in out.rglob("*.npz")}
    assert prepare("folder", tmp_path / "moved", out, jobs=1, backend="mesh").ok == 2
    assert {p: p.stat().st_mtime_ns for p in out.rglob("*.npz")} == stamps


def test_names_that_differ_stay_apart(tmp_path):
    root, out = tmp_path / "raw", tmp_path / "out"
    face, voice = drawn(1, 50)
    film = write_media(tmp_path / "a.mp4", face[:26], voice).read_bytes()
    names = ["Take 1.mp4", "Take_1.mp4", "day/one.mp4", "day_one.mp4", "x" * 240 + ".mp4"]
    for name in [f"who/{name}" for name in names]:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(film)
    latin = os.fsencode(root) + b"/who/caf\xe9.mp4"
    with open(latin, "wb") as file:
        file.write(b"no film")
    summary = prepare("folder", root, out, jobs=1, backend="mesh")
    assert (summary.ok, summary.rejected) == (5, 1)
    table = store.read_manifest(out)
    assert table.utterance.is_unique and {"Take_1", "day_one", "caf_"} <= set(table.utterance)
    assert len(list(out.rglob("*.npz"))) == 5 and table.file.nunique() == 6  # "" of the rejected
    before = (out / "manifest.csv").read_bytes()
    prepare("folder", root, out, jobs=1, backend="mesh")
    assert (out / "manifest.csv").read_bytes() == before


def test_a_second_process_is_told(tmp_path):
    from filelock import FileLock

    (tmp_path / "out").mkdir()
    told = pytest.raises(UserError, match="another amie prepare is at work")
    with FileLock(tmp_path / "out" / ".prepare.lock"), told:
        prepare("synthetic", None, tmp_path / "out", jobs=1, identities=1, utterances=1)


def everything(folder):
    kept = [p for p in folder.rglob("*") if p.is_file() and p.suffix != ".lock"]
    return {str(p.relative_to(folder)): p.read_bytes() for p in kept}


DRAWN = {"jobs": 1, "identities": 3, "utterances": 3}


def test_four_shards_gathered_are_the_same_bytes(tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    prepare("synthetic", None, whole, **DRAWN)
    done = [prepare("synthetic", None, parts, **DRAWN, shard=(i, 4)) for i in range(1, 5)]
    assert sum(part.ok for part in done) == 9 and max(part.ok for part in done) < 9
    assert not (parts / "manifest.csv").exists()  # nobody trains on a part for the whole
    before = {p: p.stat().st_mtime_ns for p in parts.glob("clips/*/*.npz")}
    assert prepare("synthetic", None, parts, **DRAWN).ok == 9
    assert {p: p.stat().st_mtime_ns for p in parts.glob("clips/*/*.npz")} == before
    assert everything(parts) == everything(whole)


def test_a_shard_resumes_and_the_gathering_call_does_what_is_missing(tmp_path, monkeypatch):
    out, made = tmp_path / "out", []
    real = module.prepare_clip

    def killed(source, *rest):
        if len(made) == 2:
            raise KeyboardInterrupt
        made.append(source.utterance)
        return real(source, *rest)

    monkeypatch.setattr(module, "prepare_clip", killed)
    with pytest.raises(KeyboardInterrupt):
        prepare("synthetic", None, out, **DRAWN, shard=(1, 2))
    early = {p: p.stat().st_mtime_ns for p in out.glob("clips/*/*.npz")}
    monkeypatch.setattr(module, "prepare_clip", real)
    shard = prepare("synthetic", None, out, **DRAWN, shard=(1, 2))
    assert len(early) == 2 < shard.ok < 9
    assert prepare("synthetic", None, out, **DRAWN).ok == 9  # shard 2 was never called
    assert all(path.stat().st_mtime_ns == at for path, at in early.items())
    prepare("synthetic", None, tmp_path / "whole", **DRAWN)
    assert everything(out) == everything(tmp_path / "whole")


def test_a_shard_at_work_is_not_gathered(tmp_path):
    from filelock import FileLock

    folder = tmp_path / "out" / "shards" / "1-of-2"
    folder.mkdir(parents=True)
    told = pytest.raises(UserError, match="1-of-2: another amie prepare is at work")
    with FileLock(folder / ".prepare.lock"), told:
        prepare("synthetic", None, tmp_path / "out", **DRAWN)
    with pytest.raises(UserError, match="shard 5/4"):
        prepare("synthetic", None, tmp_path / "out", **DRAWN, shard=(5, 4))


# More clips than the pool takes in at once, or ctrl-C would find nothing left to drop.
SCRIPT = """
import sys
from amie_core.data.prepare import prepare
if __name__ == "__main__":
    prepare("synthetic", None, sys.argv[1], jobs=2, identities=2, utterances=7)
"""


def _text(path) -> str:
    return path.read_text() if path.exists() else ""


def start(script, out) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, script, out], stderr=subprocess.PIPE, stdout=subprocess.PIPE,
        env={**os.environ, "TQDM_DISABLE": "1"}, start_new_session=True,
        # a test run in the background ignores ctrl-C, and its children would inherit that
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip


@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGINT])
def test_killed_and_resumed(tmp_path, blow):
    (tmp_path / "job.py").write_text(SCRIPT)
    out = tmp_path / "out"
    process = start(tmp_path / "job.py", out)
    deadline = time.time() + 240
    while "ok" not in _text(out / "manifest.csv") and time.time() < deadline:
        time.sleep(0.02)
    process.send_signal(blow)
    process.wait(timeout=60)
    process.stderr.close(), process.stdout.close()
    time.sleep(1.0)  # workers whose parent is gone end themselves
    early = {p: p.stat().st_mtime_ns for p in out.glob("clips/*/*.npz")}
    rows = store.read_manifest(out)
    assert 0 < len(rows) < 14
    for row in rows.itertuples():
        store.load_clip(out, row.file, size=64)  # every listed clip is whole
    time.sleep(0.5)
    assert {p: p.stat().st_mtime_ns for p in out.glob("clips/*/*.npz")} == early  # none works on
    if blow is signal.SIGINT:
        assert not list(out.rglob("*.part"))
    listed = {out / row.file for row in rows.itertuples()}
    assert prepare("synthetic", None, out, jobs=1, identities=2, utterances=7).ok == 14
    assert all(p.stat().st_mtime_ns == early[p] for p in listed)
    assert not list(out.rglob("*.part")) and len(store.read_manifest(out)) == 14
    assert json.loads((out / "corpus.json").read_text())["corpus"] == "synthetic"


def test_an_unwritable_target_ends_it_in_one_line(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write"):
        prepare("synthetic", None, tmp_path / "file" / "out", identities=1, utterances=1)
    whole = files.write_whole

    def full(path, data):
        if path.suffix == ".npz":
            raise UserError("cannot write: the disk is full")
        whole(path, data)

    monkeypatch.setattr(store, "write_whole", full)
    with pytest.raises(UserError, match="disk is full"):
        prepare("synthetic", None, tmp_path / "out", jobs=1, identities=1, utterances=1)


def test_one_odd_clip_does_not_end_the_others(tmp_path, monkeypatch):
    from amie_core.data import corpora

    sources = corpora.corpus("synthetic", identities=1, utterances=2)

    def explode():
        raise ZeroDivisionError("odd")

    odd = type(sources[0])("d99", "z", "train", None, explode)
    monkeypatch.setattr(corpora, "corpus", lambda *a, **k: [*sources[:1], odd])
    summary = prepare("synthetic", None, tmp_path, jobs=1, identities=1, utterances=2)
    assert summary == Summary(1, 0, 1, summary.frames, summary.seconds)
    assert "ZeroDivisionError: 'odd'" in store.read_manifest(tmp_path).reason[1]


def test_span_and_fill():
    seen = np.ones(40, bool)
    seen[[0, 10, 11, 39]] = False
    assert face_track.usable_span(seen, []) == (1, 39)
    seen[20:26] = False
    assert face_track.usable_span(seen, []) == (1, 20)
    assert face_track.usable_span(np.ones(30, bool), [12]) == (12, 30)
    assert face_track.usable_span(np.zeros(5, bool), []) == (0, 0)
    points = np.arange(4, dtype=np.float32)[:, None, None] * np.ones((4, 68, 2), np.float32)
    gap = points.copy()
    gap[1:3] = np.nan
    np.testing.assert_allclose(face_track.fill(gap), points)
