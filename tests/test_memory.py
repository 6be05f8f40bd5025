"""Memory is bounded: four times the corpus takes no more, in each stage of the way."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT
from media import drawn, write_media
from tiny import TINY, short

from amie_core.data import store
from amie_core.data.prepare import prepare
from amie_core.training.loop import train

GROWTH = 1.1  # of the peak, where the corpus has four times as many clips
CLIPS = {"prepare": 16, "train": 90, "judge": 40, "evaluate": 5}  # past the warm-up of allocators


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One clip of LRW's length."""
    folder = tmp_path_factory.mktemp("one")
    frames, sound = drawn(frames=29)
    write_media(folder / "raw" / "a.mp4", frames, sound)
    prepare("folder", folder / "raw", folder / "out", jobs=1, backend="mesh")
    return folder / "out"


@pytest.fixture(scope="module")
def run(tiny_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run")
    train(short(TINY, 1), tiny_corpus, out, progress=False)
    return out


def many(one: Path, out: Path, clips: int, split: str) -> Path:
    """A prepared corpus of so many clips, all of them the same."""
    out.mkdir()
    (out / "corpus.json").write_bytes((one / "corpus.json").read_bytes())
    row = store.row_of(next(iter(store.read_lines(one / "manifest.csv").values())))
    lines = {}
    for k in range(clips):
        name = f"{k:05d}"
        os.link(one / row["file"], out / f"{name}.npz")
        changed = {"utterance": name, "split": split, "file": f"{name}.npz"}
        lines[row["speaker"], name] = store.line(row | changed)
    (out / "manifest.csv").write_bytes(store.table(lines))
    return out


def peak(*words: str | Path) -> int:
    script = Path(__file__).with_name("peak_memory.py")
    environment = os.environ | {"AMIE_WORKSPACE": str(words[-1]) + ".work", "TQDM_DISABLE": "1"}
    done = subprocess.run([sys.executable, script, *words], capture_output=True, text=True,
                          cwd=ROOT, env=environment)  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return int(done.stdout.split()[-1])


@pytest.mark.parametrize("stage", CLIPS)
def test_four_times_the_corpus_takes_no_more_memory(
    stage: str, prepared: Path, run: Path, tmp_path: Path
) -> None:
    found = []
    for times in (1, 4):
        given, out = tmp_path / f"given{times}", tmp_path / f"out{times}"
        count = times * CLIPS[stage]
        if stage == "prepare":
            frames, sound = drawn(frames=29)
            for k in range(count):
                write_media(given / f"{k}.mp4", frames, sound)
        else:
            many(prepared, given, count, "test" if stage == "evaluate" else "train")
        found.append(peak(stage, given, run if stage == "evaluate" else out))
    print(f"{stage}: {found[0]} MB for {CLIPS[stage]} clips, {found[1]} for {4 * CLIPS[stage]}")
    assert found[1] < GROWTH * found[0]
