"""Tables 1 and 2 from deposits: what fills a cell, what does not, and the three ways of reading."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from amie_core.config import METHODS, RELATED
from amie_core.evaluation.metrics import DEFINITIONS
from amie_core.experiments import comparison, plots
from amie_core.experiments.comparison import CELLS, TABLE

SPACES = ("frame", "lips", "joint")


def deposit(name: str, seed: int, psnr: float, corpus: str = "grid") -> dict[str, Any]:
    clip = dict.fromkeys(DEFINITIONS, 0.5) | {"psnr_rgb": psnr, "psnr_rgb_uint8_legacy": psnr + 5}
    clips = [clip | {"sync_auc": 0.6, "psnr_rgb": psnr + d} for d in (-1.0, 1.0)]
    value = {space: {"frechet": {"value": 3.0, "interval": None}} for space in SPACES}
    return {
        "profile": "grid", "name": name, "seed": seed, "corpus": corpus, "image_size": 64,
        "commit": "abc", "machine": "m", "training": {"steps": 5, "minutes": 1.0},
        "splits": {split: {"clips": clips} for split in ("test_seen", "test_unseen")},
        "distances": value,
    }  # fmt: skip


def real() -> dict[str, Any]:
    clips = [dict.fromkeys(DEFINITIONS, 0.9)]
    names = ("copied_identity", "nearest_audio", "real_frames")
    splits = ("test_seen", "test_unseen")
    value = {space: {"frechet": {"value": 1.0, "interval": None}} for space in SPACES}
    return {
        "rows": {split: dict.fromkeys(names, clips) for split in splits},
        "judge": {split: {"auc": 0.8} for split in splits},
        "distances": {"floor": value, "copied_identity": value},
    }


@pytest.fixture
def found() -> list[dict[str, Any]]:
    levels = {"speech2vid": 20.0, "glance": 24.0, "davs": 22.0, "atvgnet": 23.0, "ours": 26.0}
    return [deposit(n, s, level + s) for n, level in levels.items() for s in (0, 1, 2)]


def test_methods_have_the_paper_s_names_and_ledgers() -> None:
    assert set(CELLS) == {*METHODS, "ours", *comparison.VARIANTS} - {"amie"}
    printed = {score.method for which in TABLE.values() for score in which.printed}
    assert printed == {label for label in CELLS.values() if "†" not in label}
    marked = [name for name, label in CELLS.items() if "†" in label]
    assert marked == [*RELATED, "synthesizing_s4"]
    assert CELLS["synthesizing_s4"] == "Suwajanakorn et al. [2017], s4 †"
    ledgers = comparison.ledgers()
    assert len(ledgers) == 7 and (ledgers.map(len) > 60).all(axis=None)


def test_table_2_three_ways(found: list[dict[str, Any]]) -> None:
    shown = comparison.table(found, real(), TABLE[2], "test_unseen")
    ours = shown.loc["AMIE (Ours)"]
    assert ours["PSNR, dB ↑ · correct"] == "27.00 [24.52, 29.48]"  # t(2) = 4.303, deviation 1
    assert ours["PSNR, dB ↑ · legacy"].startswith("32.00 [")
    assert ours["PSNR, dB ↑ · paper"] == "31.01" and ours["seeds"] == "0, 1, 2"
    assert shown.loc["Zhou et al. [2019]", "LMD, px at 256 ↓ · paper"] == "–"  # not in Table 2
    assert shown.loc["copied identity", "SSIM ↑ · correct"] == "0.900"
    lines = [label for name, label in CELLS.items() if name not in comparison.VARIANTS]
    ends = ["copied identity", "nearest audio", "real frames"]
    assert (shown.index == lines + ends).all()


def test_a_method_under_other_settings_has_a_line_where_it_has_run(
    found: list[dict[str, Any]],
) -> None:
    shown = comparison.table([*found, deposit("synthesizing_s4", 0, 21.0)], real(), TABLE[2],
                             "test_unseen")  # fmt: skip
    line = shown.loc[CELLS["synthesizing_s4"]]
    assert line["seeds"] == "0" and line["PSNR, dB ↑ · correct"].startswith("21.00")


def test_table_1_is_never_filled_by_another_corpus(found: list[dict[str, Any]]) -> None:
    shown = comparison.table(found, real(), TABLE[1], "test")
    own = [name for name in shown if "correct" in name or "legacy" in name]
    assert (shown[own] == "needs LRW").all(axis=None) and len(shown) == len(METHODS)
    assert shown.loc["AMIE (Ours)", "PSNR, dB ↑ · paper"] == "32.08"
    lrw = [cell | {"corpus": "lrw", "splits": {"test": cell["splits"]["test_seen"]}}
           for cell in found if cell["name"] != "davs"]  # fmt: skip
    shown = comparison.table(lrw, real(), TABLE[1], "test")
    assert shown.loc["AMIE (Ours)", "PSNR, dB ↑ · correct"].startswith("27.00")
    assert shown.loc["Zhou et al. [2019]", "PSNR, dB ↑ · correct"] == "not run"


def test_orders_and_lips(found: list[dict[str, Any]]) -> None:
    orders = comparison.orders(found, TABLE[2], "test_unseen")
    expected = "AMIE > Chen 2018 > Chen 2019 > Zhou 2019 > Chung 2017"
    assert orders.loc["PSNR, dB ↑", "correct"] == orders.loc["PSNR, dB ↑", "legacy"] == expected
    assert orders.loc["LMD, px at 256 ↓", "paper"].startswith("AMIE > Chen 2018 > Chen 2019")
    lips = comparison.lips(found, real(), "test_seen")
    assert lips.loc["AMIE (Ours)", "Fréchet distance of φ, lips ↓"] == "3.0 [3.0, 3.0]"
    assert lips.loc["real frames", "sync-judge AUC ↑"] == "0.80"
    assert plots.table_3(comparison.long(found, "test_seen")) is not None


def test_a_value_that_old_deposits_lack_is_a_gap_not_a_crash(found: list[dict[str, Any]]) -> None:
    for cell in found:
        for split in cell["splits"].values():
            split["clips"] = [{k: v for k, v in c.items() if k != "ssim_uniform_rgb"}
                              for c in split["clips"]]  # fmt: skip
    shown = comparison.table(found, real(), TABLE[2], "test_unseen")
    assert shown.loc["AMIE (Ours)", "SSIM ↑ · legacy"] == "–"
    assert shown.loc["AMIE (Ours)", "SSIM ↑ · correct"] == "0.500 [0.500, 0.500]"


def test_what_is_saved(
    found: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AMIE_FIGURES", str(tmp_path))
    made_by = {"profile": "grid", "corpus": "grid", "seeds": [0, 1, 2], "steps": 5, "size": 64,
               "runs": 15, "hours": 0.2, "machine": ["m"], "commit": ["abc"]}  # fmt: skip
    comparison.save(found, real(), made_by)
    text = (tmp_path / "table2.md").read_text()
    assert "27.00 [24.52, 29.48]" in text and "seeds 0, 1, 2" in text and "code abc" in text
    assert "Unseen faces" in text and "Known faces" in text and "wrap-around" in text
    assert "needs LRW" in (first := (tmp_path / "table1.md").read_text())
    assert json.loads((tmp_path / "table1.json").read_text())["runs"] == 15
    comparison.save(found, real(), made_by | {"profile": "smoke"})
    assert (tmp_path / "table2_smoke.csv").exists()
    comparison.save(found, real(), made_by | {"profile": "lrw"})
    assert (tmp_path / "table1_lrw.md").exists() and (tmp_path / "table1.md").read_text() == first


def test_lips_that_no_finder_sees_leave_a_gap(found: list[dict[str, Any]]) -> None:
    for cell in (cell for cell in found if cell["name"] == "davs"):
        for clip in (clip for split in cell["splits"].values() for clip in split["clips"]):
            clip["lmd_mouth_mean_256"] = clip["lip_correlation"] = None
    shown = comparison.table(found, real(), TABLE[2], "test_unseen")
    assert shown.loc["Zhou et al. [2019]", "LMD, px at 256 ↓ · correct"] == "–"
    frame = comparison.long(found, "test_seen")
    lost = frame[(frame["row"] == "davs") & (frame["metric"] == "lip_correlation")]
    assert lost["mean"].isna().all() and lost["seeds"].tolist() == [0]
    assert plots.table_3(frame) is not None
    few = [cell for cell in found if cell["name"] != "davs"]
    shown = comparison.table(few, real(), TABLE[2], "test_seen")
    assert shown.loc["Zhou et al. [2019]", "PSNR, dB ↑ · correct"] == "not run"


def test_interval_of_one_seed_is_none(found: list[dict[str, Any]]) -> None:
    shown = comparison.long([c for c in found if c["seed"] == 0], "test_seen", ["psnr_rgb"])
    assert shown["seeds"].tolist() == [1] * 5 and shown["low"].isna().all()
    assert np.isclose(shown.set_index("row").loc["ours", "mean"], 26)
