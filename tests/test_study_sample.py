"""A ballot folder from runs and clips: blind, fair, whole or not there, and the same every time."""

import hashlib
import json
import math
import re
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from conftest import ROOT, shared_data
from standins import write_run

from amie_core import cli
from amie_core.data import sound, store
from amie_core.data.alignment import scale
from amie_core.data.prepare import prepare
from amie_core.data.video import read_video
from amie_core.errors import UserError
from amie_core.study import clips, sample
from amie_core.study.methods import open_methods


def make(runs: list[str], data: Path, out: Path, **more: Any) -> dict[str, Any]:
    settings = {"trials": 3, "repeats": 1, "size": 64, "progress": False} | more
    return sample.sample(runs, data, "train", out, **settings)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("runs")
    return [f"{n}={write_run(folder / n, seed=seed)}" for seed, n in enumerate(("red", "blue"))]


@pytest.fixture(scope="module")
def made(
    runs: list[str], tiny_corpus: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, Any]]:
    out = tmp_path_factory.mktemp("study") / "ballot"
    return out, make(runs, tiny_corpus, out)


def test_the_folder(made: tuple[Path, dict[str, Any]]) -> None:
    out, key = made
    files = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    named = {c for t in key["trials"].values() for c in [*t["clips"], t["reference"]]}
    assert files == {"index.html", "ballot.js", "ballot.css", "trials.js",
                     *(f"clips/{name}.mp4" for name in named)}  # fmt: skip
    assert len(named) == 7 * 3  # three main trials, two checks of each kind, two clips and one
    assert sample.read_key(out.with_name("ballot.key.json")) == key
    public = sample.read_ballot(out)
    assert public["study"] == key["study"] and public["forms"] == key["forms"]
    kinds = [trial["kind"] for trial in key["trials"].values()]
    assert sorted(kinds) == ["main"] * 3 + ["real"] * 2 + ["shift"] * 2
    assert key["balance"]["methods"] == {"red": 3, "blue": 3}
    assert key["runs"]["red"]["row"] == "ours" and key["runs"]["red"]["step"] == 1
    assert "42 raters" in key["power"] and "left out" in key["rule"]
    # Nothing is asked of anybody outside.
    for name in ("index.html", "ballot.js", "ballot.css", "trials.js"):
        assert not re.search(r"https?:|//\w+\.\w|fetch\(|XMLHttp|import ", (out / name).read_text())


def test_it_is_blind(made: tuple[Path, dict[str, Any]]) -> None:
    out, key = made
    text = (out / "trials.js").read_text()
    for word in ("red", "blue", 'real"', "shift", "main", "d01", "kind", "right"):
        assert word not in text, word
    comments = set()
    for path in (out / "clips").iterdir():
        assert b"red" not in path.read_bytes() and b"blue" not in path.read_bytes()
        with av.open(str(path)) as file:
            comments.add(file.metadata["comment"])
            assert file.streams.video[0].codec_context.name == "h264"
            assert file.streams.audio[0].codec_context.name == "aac"
    assert comments == {clips.NOTE}
    # Numbers of trials do not tell checks from main trials.
    kinds = [trial["kind"] for trial in key["trials"].values()]
    assert kinds != sorted(kinds)


def test_the_clips(made: tuple[Path, dict[str, Any]], runs: list[str], tiny_corpus: Path) -> None:
    out, key = made
    table = store.clips(tiny_corpus, "train")

    def seen(name: str) -> np.ndarray:
        return np.stack(list(read_video(out / "clips" / f"{name}.mp4").frames)).astype(float)

    def heard(name: str) -> np.ndarray:
        return sound.load_audio(out / "clips" / f"{name}.mp4")

    makers = {method.name: method.frames for method in open_methods(runs, tiny_corpus)}

    def wanted(name: str, file: str, part: slice) -> np.ndarray:
        return np.stack([scale(frame, 64) for frame in makers[name](file)[part]])

    for trial in key["trials"].values():
        row = table[table.utterance == trial["utterance"]].iloc[0]
        clip = store.load_clip(tiny_corpus, row)
        part = clips.cut(clip.silent)
        reference = heard(trial["reference"])
        n = part.stop - part.start
        assert trial["seconds"] == pytest.approx(n / 25)
        for name, method in trial["clips"].items():
            frames = seen(name)
            assert frames.shape == (n, 64, 64, 3)
            if method in makers:  # grey: H.264 halves the resolution of colours
                off = {other: np.abs((frames - wanted(other, row.file, part)).mean(-1)).mean()
                       for other in makers}  # fmt: skip
                assert off[method] < min(4, 0.5 * max(off.values()))
            else:
                assert np.abs(frames - seen(trial["reference"])).mean() < 1e-9
            if method == "shift1":  # its sound is MOVED frames late
                by = clips.MOVED * sound.FRAME_SAMPLES
                late = heard(name)
                count = min(len(late), len(reference)) - by - 2000
                assert np.corrcoef(late[by : by + count], reference[:count])[0, 1] > 0.9
            else:
                assert np.array_equal(heard(name), reference)


def test_one_loudness(made: tuple[Path, dict[str, Any]], tiny_corpus: Path) -> None:
    for row in store.clips(tiny_corpus).itertuples():
        clip = store.load_clip(tiny_corpus, row.file)
        wave = clips.sound_of(clip)
        assert len(wave) == len(clip.frames) * sound.FRAME_SAMPLES
        active = wave.reshape(-1, sound.FRAME_SAMPLES)[~clip.silent]
        decibels = 20 * math.log10(math.sqrt((active**2).mean()))
        assert decibels == pytest.approx(clips.LEVEL, abs=0.1)


def test_reference_rows_can_be_compared(runs: list[str], tiny_corpus: Path) -> None:
    methods = open_methods(["copied_identity", runs[0], "nearest_audio"], tiny_corpus)
    assert [method.name for method in methods] == ["copied_identity", "red", "nearest_audio"]
    clip = store.load_clip(tiny_corpus, file := store.clips(tiny_corpus, "train").file[0], size=32)
    still, _, nearest = (method.frames(file) for method in methods)
    assert (still == clip.frames[:1]).all() and still.shape == nearest.shape == clip.frames.shape
    assert len(np.unique(nearest, axis=0)) > 5


def test_level_leaves_silence_and_peaks_alone() -> None:
    quiet = np.zeros(6400, np.float32)
    assert (clips.level(quiet, np.zeros(10, bool)) == 0).all()
    click = quiet.copy()
    click[100] = 0.01  # one sample: at LEVEL it would be far above 1
    assert np.abs(clips.level(click, np.zeros(10, bool))).max() == pytest.approx(clips.PEAK)


def test_cut_and_moved() -> None:
    silent = np.ones(50, bool)
    assert clips.cut(silent) == slice(0, 50)
    silent[10:40] = False
    assert clips.cut(silent) == slice(10 - clips.MARGIN, 40 + clips.MARGIN)
    silent[:] = False
    assert clips.cut(silent) == slice(0, 50)
    wave = np.arange(1, 1281, dtype=float)
    assert (clips.moved(wave, 1)[640:] == wave[:640]).all() and not clips.moved(wave, 1)[:640].any()
    assert (clips.moved(wave, -1)[:640] == wave[640:]).all()
    assert (clips.moved(wave, 0) == wave).all() and not clips.moved(wave, 2).any()
    assert [clips.shift_of(way) for way in range(4)] == [0, 10, -10, 20]


def test_the_same_draw_again_and_another(
    made: tuple[Path, dict[str, Any]], runs: list[str], tiny_corpus: Path, tmp_path: Path
) -> None:
    def digest(folder: Path) -> dict[str, str]:
        return {path.name: hashlib.sha256(path.read_bytes()).hexdigest()
                for path in folder.rglob("*") if path.is_file()}  # fmt: skip

    out, key = made
    again = make(runs, tiny_corpus, tmp_path / "again", key=tmp_path / "k.json")
    assert again == key and digest(tmp_path / "again") == digest(out)
    other = make(runs, tiny_corpus, tmp_path / "other", seed=1)
    assert other["study"] != key["study"]


def test_a_ballot_of_other_methods_or_of_weights_trained_again_is_another_study(
    made: tuple[Path, dict[str, Any]], runs: list[str], tiny_corpus: Path, tmp_path: Path
) -> None:
    """Though raters see the same names: an answer read by the other key would count for another."""
    red, blue = runs
    turned = make([f"red={blue.partition('=')[2]}", f"blue={red.partition('=')[2]}"],
                  tiny_corpus, tmp_path / "turned")  # fmt: skip
    retrained = write_run(tmp_path / "again", seed=7)
    anew = make([f"red={retrained}", blue], tiny_corpus, tmp_path / "anew")
    assert turned["trials"] == anew["trials"] == made[1]["trials"]
    assert len({turned["study"], anew["study"], made[1]["study"]}) == 3


def test_unusable_input_leaves_nothing(runs: list[str], tiny_corpus: Path, tmp_path: Path) -> None:
    full = tmp_path / "full"
    full.mkdir()
    (full / "there.txt").write_text("older")
    path = runs[0].partition("=")[2]
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"runs": runs[:1]}, "at least two methods"),
        ({"runs": [path, path]}, "two methods are called 'ours'"),
        ({"runs": [*runs[:1], f"real={path}"]}, "cannot be called 'real'"),
        ({"runs": ["copied_identity", "nearest_audio"]}, "one of them a run"),
        ({"runs": [*runs, str(tmp_path / "none")]}, "no such file"),
        ({"data": tmp_path / "none"}, "no prepared clips"),
        ({"split": "test_never"}, "no clips of split"),
        ({"out": full}, "there already"),
        ({"key": full / "there.txt"}, "there already"),
        ({"key": tmp_path / "ballot" / "key.json"}, "which raters get"),
        ({"trials": 5}, "has 4 clips"),
        ({"trials": 0}, "at least 1"),
        ({"repeats": 9}, "at most all again"),
        ({"choices": 3}, "--choices 3"),
        ({"size": 65}, "--size 65"),
    ]
    good = {"runs": runs, "data": tiny_corpus, "split": "train", "out": tmp_path / "ballot",
            "trials": 3, "progress": False}  # fmt: skip
    for change, message in wrong:
        with pytest.raises(UserError, match=message):
            sample.sample(**(good | change))
        assert sorted(path.name for path in tmp_path.rglob("*")) == ["full", "there.txt"], change


def test_more_choices_than_a_screen_has_letters_are_refused(
    tiny_corpus: Path, tmp_path: Path
) -> None:
    many = [f"n{seed}={write_run(tmp_path / str(seed), seed=seed)}" for seed in range(8)]
    with pytest.raises(UserError, match="--choices 8: from 2 to 7"):
        make(many, tiny_corpus, tmp_path / "ballot", choices=8)
    key = make(many, tiny_corpus, tmp_path / "ballot", choices=7, trials=1, repeats=0)
    assert all(len(trial["clips"]) == 7 for trial in key["trials"].values()
               if trial["kind"] == "main")  # fmt: skip


def test_of_two_at_one_ballot_the_second_takes_nothing_away(
    runs: list[str], tiny_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, key, put = tmp_path / "ballot", tmp_path / "ballot.key.json", sample.files.write_whole

    def meanwhile(path: Path, data: bytes) -> None:
        put(path, data)
        if path.name == sample.TRIALS:
            key.write_text("the first one's")

    monkeypatch.setattr(sample.files, "write_whole", meanwhile)
    with pytest.raises(UserError, match="was made meanwhile"):
        make(runs, tiny_corpus, out)
    assert key.read_text() == "the first one's" and not out.exists()


def test_a_key_that_cannot_be_written_is_said_before_anything_is_made(
    runs: list[str], tiny_corpus: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    for more in ({"key": tmp_path / "file" / "key.json"}, {"out": tmp_path / "file" / "ballot"}):
        with pytest.raises(UserError, match="cannot make .*file"):
            sample.sample(runs, tiny_corpus, "train", **{"out": tmp_path / "ballot"} | more)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_failure_half_way_leaves_nothing(
    runs: list[str], tiny_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise UserError("the disk is full")

    monkeypatch.setattr(clips, "write", full)
    with pytest.raises(UserError, match="disk"):
        make(runs, tiny_corpus, tmp_path / "ballot")
    assert not list(tmp_path.iterdir())


def test_the_ballot_that_is_kept_here() -> None:
    """ballots/grid: whole, small, of this code's page, and its key is its own."""
    folder = ROOT / "ballots" / "grid"
    key, public = sample.read_key(f"{folder}.key.json"), sample.read_ballot(folder)
    assert public == {"study": key["study"]} | sample._public(key)
    named = {c for t in key["trials"].values() for c in [*t["clips"], t["reference"]]}
    assert {path.stem for path in (folder / "clips").iterdir()} == named
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < 6e6
    for path in sample.STATIC.iterdir():  # copy them there when they change
        assert (folder / path.name).read_bytes() == path.read_bytes()


def test_no_ballot_no_key(tmp_path: Path) -> None:
    (tmp_path / "k.json").write_text(json.dumps({"study": "x"}))
    with pytest.raises(UserError, match="no ballot"):
        sample.read_ballot(tmp_path)
    for path in (tmp_path / "k.json", tmp_path / "none.json"):
        with pytest.raises(UserError, match="no key"):
            sample.read_key(path)


def test_a_damaged_key_is_said_to_be(made: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    key, path = made[1], tmp_path / "k.json"
    first = next(iter(key["trials"]))
    path.write_text("\ufeff" + json.dumps(key), encoding="utf-8")  # as an editor saves it
    assert sample.read_key(path)["study"] == key["study"]
    for wrong in ({"trials": None}, {"forms": "a"}, {"forms": []}, {"methods": []}, {"choices": 1},
                  {"questions": None}, {"trials": key["trials"] | {first: {}}},
                  {"methods": key["methods"][1:]}, {"methods": [*key["methods"][1:], "another"]},
                  {"trials": {k: v for k, v in key["trials"].items() if k != first}}):  # fmt: skip
        path.write_text(json.dumps(key | wrong))
        with pytest.raises(UserError, match="is damaged"):
            sample.read_key(path)
    path.write_text("[" * 100_000)
    with pytest.raises(UserError, match="no key"):
        sample.read_key(path)
    path.write_text(json.dumps({name: part for name, part in key.items() if name != "runs"}))
    with pytest.raises(UserError, match="is damaged"):
        sample.read_key(path)


def test_the_command_line(
    runs: list[str], tiny_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("TQDM_DISABLE", "1")
    out, sim = tmp_path / "ballot", tmp_path / "answers"
    words = ["study", "sample", "--runs", *runs, "--data", tiny_corpus, "--split", "train",
             "--out", out, "--trials", "2", "--repeats", "1", "--size", "64"]  # fmt: skip
    assert cli.main([str(word) for word in words]) == 0
    said = capsys.readouterr().out
    assert "6 trials in 6 forms, methods red, blue" in said and "raters needed" in said
    key = f"{out}.key.json"
    assert cli.main(["study", "simulate", "--key", key, "--out", str(sim), "--raters", "8"]) == 0
    report = tmp_path / "result.json"
    words = ["study", "analyse", "--key", key, "--answers", str(sim), "--out", str(report)]
    assert cli.main(words) == 2  # people are asked for, and nobody is there
    assert "nobody voted" in capsys.readouterr().err and not report.exists()
    assert cli.main([*words, "--simulated"]) == 0
    assert "SIMULATED RATERS: NOBODY VOTED" in capsys.readouterr().out
    assert json.loads(report.read_text())["source"] == "simulated raters: nobody voted"
    (tmp_path / "all").mkdir()
    sim.rename(tmp_path / "all" / "inner")  # answers are looked for in folders below, too
    answer = next((tmp_path / "all" / "inner").glob("*.csv"))
    before = answer.read_bytes()
    words = ["study", "analyse", "--key", key, "--answers", str(tmp_path / "all"), "--simulated"]
    assert cli.main([*words, "--out", str(answer)]) == 2
    assert "would overwrite its own input" in capsys.readouterr().err
    assert answer.read_bytes() == before


def test_on_grid(runs: list[str], tmp_path: Path) -> None:
    raw = tmp_path / "raw" / "s1"
    raw.mkdir(parents=True)
    for path in sorted(shared_data("grid", "s1").glob("*.mpg"))[:2]:
        (raw / path.name).symlink_to(path)
    prepare("grid", raw.parent, tmp_path / "prepared", jobs=1)
    split = store.clips(tmp_path / "prepared").split.iloc[0]
    count = len(store.clips(tmp_path / "prepared", split))
    key = sample.sample(runs, tmp_path / "prepared", split, tmp_path / "b", trials=count,
                        repeats=0, size=64, progress=False)  # fmt: skip
    assert {trial["speaker"] for trial in key["trials"].values()} == {"s1"}
    assert all(1 < trial["seconds"] < 3 for trial in key["trials"].values())
