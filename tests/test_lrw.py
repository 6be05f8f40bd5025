"""LRW, which nobody here has: on a tree in its layout, cut out of GRID's sentences."""

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT, shared_data
from lrw_tree import lrw_tree

from amie_core import config
from amie_core.data import store
from amie_core.data.prepare import prepare
from amie_core.evaluation import sync_judge
from amie_core.experiments import cells, comparison, run_cell, tables
from amie_core.experiments.cells import Cell
from amie_core.paper import TABLE_1
from amie_core.peers import davs
from amie_core.training.windows import Windows

CLIPS = 15


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lrw")
    lrw_tree(shared_data("grid"), folder / "raw", CLIPS)
    prepare("lrw", folder / "raw", folder / "out", jobs=1)
    return folder / "out"


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMIE_FIGURES", str(tmp_path / "figures"))
    monkeypatch.setenv("AMIE_WORKSPACE", str(tmp_path / "work"))
    monkeypatch.setitem(config.REHEARSAL, "model.image_size", 64)


def test_words_are_prepared_and_nobody_is_named(prepared: Path) -> None:
    rows = store.clips(prepared)
    assert len(rows) == CLIPS and set(rows["speaker"]) == {""} and set(rows["frames"]) == {29}
    assert set(rows["split"]) == {"train", "val", "test"}
    clip = store.load_clip(prepared, rows.iloc[0])
    word = Path(rows["file"].iloc[0]).parent.name
    assert clip.words == [(word.lower(), 0.38, 0.78)]
    assert store.test_splits(prepared) == ("test",)
    words = {path.parent.name for path in (prepared / "clips").glob("*/*.npz")}
    assert len(store.one_each(prepared, 12)) == len(words) > 1


def test_no_person_is_looked_for_where_none_is_named(prepared: Path, small: None) -> None:
    settings = Cell("lrw-2", "davs", 0).settings
    batch = Windows(prepared, settings, 0, progress=False).batch(0)
    assert (batch.speakers == -1).all()
    persons = davs.person_class(batch.speakers)
    told = torch.randn(len(persons), davs.PERSONS, requires_grad=True)
    loss = davs.named_person(told, persons)
    loss.backward()
    assert loss == 0 and not told.grad.any()
    named = torch.tensor([0, 70])
    assert davs.person_class(named).tolist() == [0, 6]
    assert davs.named_person(told, persons := torch.tensor([3, -1])) == (
        torch.nn.functional.cross_entropy(told[:1], persons[:1])
    )


def test_the_judge_takes_as_many_places_as_a_clip_has(prepared: Path) -> None:
    assert [sync_judge.places_in(n) for n in (75, 45, 44, 29, 15, 9)] == [8, 8, 7, 4, 2, 2]
    judge = sync_judge.train_judge(prepared, 64, steps=3, progress=False)
    clip = store.load_clip(prepared, store.clips(prepared, "test").iloc[0], size=64)
    auc, offset = sync_judge.judged(judge, clip.frames, clip)
    assert 0 <= auc <= 1 and abs(offset) <= 15


def test_a_rehearsed_table_1(prepared: Path, small: None) -> None:
    """A row of AMIE's and a compared method: trained, judged, in the paper's table of LRW."""
    wanted = [Cell("lrw-2", "ours", 0), Cell("lrw-2", "davs", 0)]
    found = [run_cell.make(cell, prepared, progress=False) for cell in wanted]
    assert all(list(cell["splits"]) == ["test"] for cell in found)
    clips = found[0]["splits"]["test"]["clips"]
    assert {clip["speaker"] for clip in clips} == {""} and np.isfinite(clips[0]["psnr_rgb"])
    assert all(cell["training"]["steps"] == 2 for cell in found)
    shown = comparison.table(found, cells.real("lrw-2"), comparison.TABLE[1], "test")
    assert "needs LRW" not in shown.to_string()
    assert shown.loc[TABLE_1[-1].method, "seeds"] == "0"
    assert comparison.splits_of(found) == ("test", "test")
    assert "nobody named, " in tables.by_speaker(found, "psnr_rgb").to_string()
    assert not (Path(os.environ["AMIE_FIGURES"]) / "cells").exists()


@pytest.mark.slow
def test_every_table_of_a_tree_in_lrws_layout(tmp_path: Path) -> None:
    """`make reproduce` from raw clips to all tables; on two cores some ten minutes."""
    raw = lrw_tree(shared_data("grid"), tmp_path / "raw", 160)
    own = {"AMIE_WORKSPACE": str(tmp_path / "work"), "AMIE_FIGURES": str(tmp_path / "figures")}
    words = ["make", "reproduce", "PROFILE=lrw", f"DATA={raw}", "STEPS=20"]
    subprocess.run(words, cwd=ROOT, env=os.environ | own, check=True)
    made = {path.name for path in (tmp_path / "work" / "rehearsals" / "lrw-20").iterdir()}
    assert {"table1_lrw-20.md", "table3_lrw-20.md", "fig6_ablation_lrw-20.png"} <= made
    assert not (tmp_path / "figures").exists()
