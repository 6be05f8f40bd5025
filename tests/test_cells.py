"""Cells: planned by settings, deposited whole, taken as they are, remade when settings change."""

import contextlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import TINY, short

from amie_core import config, machine
from amie_core.data import store
from amie_core.data.prepare import prepare
from amie_core.data.store import PreparedClip
from amie_core.errors import UserError
from amie_core.experiments import cells, critic_probe, plots, real_clips, run_cell, tables
from amie_core.experiments.cells import Cell
from amie_core.experiments.notebook import TableSettings, provenance_of
from amie_core.files import figures_dir, workspace
from amie_core.paper import SEEDS, registered
from amie_core.training import checkpoint
from amie_core.training.loop import train


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMIE_FIGURES", str(tmp_path / "figures"))
    monkeypatch.setenv("AMIE_WORKSPACE", str(tmp_path / "work"))


def test_a_seed_more_plans_its_own_cells_only() -> None:
    eight = {(c.name, c.seed, c.key) for c in cells.planned("grid")}
    nine = {(c.name, c.seed, c.key) for c in cells.planned("grid", seeds=9)}
    assert eight < nine
    assert {seed for _, seed, _ in nine - eight} == {8}
    assert len(eight) == SEEDS * len(config.ABLATION)


def test_the_length_curve_has_cells_of_its_own_but_for_the_tables_length() -> None:
    curve = cells.planned_lengths("grid")
    assert len(curve) == 4 * len(config.LENGTH_ROWS) * config.LENGTH_SEEDS
    own = [cell for cell in curve if cell.steps is None]
    assert {cell.settings.train.steps for cell in own} == {1200}
    assert set(own) <= set(cells.planned("grid"))
    assert len({cell.deposit for cell in curve}) == len({cell.key for cell in curve}) == len(curve)
    longest = Cell("grid", "b", 1, 5600)
    assert longest.settings.train.steps == 5600 and longest.deposit.name == "b_1_5600.json"
    assert cells.planned_lengths("smoke") == []


def test_a_changed_setting_changes_exactly_what_it_touches(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = {c.name: c.key for c in cells.planned("grid", seeds=1)}
    changed = config.ABLATION | {"f": config.ABLATION["f"] | {"loss.mi": 0.2}}
    monkeypatch.setattr(config, "ABLATION", changed)
    after = {c.name: c.key for c in cells.planned("grid", seeds=1)}
    assert {name for name in before if before[name] != after[name]} == {"f"}


def test_every_row_has_the_same_budget() -> None:
    settings = [cell.settings for cell in cells.planned("grid", seeds=1)]
    for name in ("steps", "batch", "unroll", "judged", "lr", "lr_critic", "speaker_power"):
        assert len({getattr(s.train, name) for s in settings}) == 1, name


def test_a_tuned_setting_is_its_methods_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(config.CELL_TUNED, "grid", {"davs": {"train.lr": 1e-3}})
    assert Cell("grid", "davs", 0).settings.train.lr == 1e-3
    assert Cell("grid", "glance", 0).settings.train.lr == Cell("grid", "b", 0).settings.train.lr


def test_a_variant_is_its_method_under_other_settings() -> None:
    plain, variant = Cell("grid", "synthesizing", 0), Cell("grid", "synthesizing_s4", 0)
    assert variant.method == plain.method == "synthesizing" and variant.row == "ours"
    assert variant.settings.train.person == "s4" and plain.settings.train.person == ""
    changed = config.with_changes(plain.settings, {"train.person": "s4"})
    assert variant.settings == changed and variant.key != plain.key
    assert variant.deposit.name == "synthesizing_s4_0.json"
    names = ["synthesizing", "synthesizing_s4"]
    assert [c.name for c in cells.planned("grid", names, 1)] == names
    assert [c.name for c in cells.planned("lrw", names, 1)] == names[:1]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cell scale that takes seconds."""
    scale = {"model.image_size": 32, "model.width": 8, "model.max_width": 16, "train.steps": 2,
             "train.batch": 2, "loss.perceptual": 0.0, "evaluate_clips": 1}  # fmt: skip
    monkeypatch.setitem(config.CELL_SCALE, "smoke", scale)


def test_a_cell_is_trained_measured_deposited_once(
    quick: None, tiny_corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = Cell("smoke", "c", 0)
    made = run_cell.make(cell, tiny_corpus, progress=False)
    assert made == json.loads(cell.deposit.read_text())
    assert set(made["splits"]) == {"test_seen", "test_unseen"}
    clip = made["splits"]["test_seen"]["clips"][0]
    assert clip["psnr_rgb"] > 5 and 0 <= clip["sync_auc"] <= 1
    assert made["distances"]["joint"]["frechet"]["value"] > 0
    assert made["claims"] == registered()
    assert made["trace"][-1]["step"] == 2 and "mi_share" in made["trace"][-1]
    assert set(made["critic"]) == {"own_real", "own_made", "fresh_real", "fresh_made"}
    assert all(0 <= value <= 1 for value in made["critic"].values())
    assert list(tables.critics([made], 0.4).index) == ["(c) + MINE + DA [c]"]
    assert len(tables.by_speaker([made], "psnr_rgb")) == 1
    assert plots.critics([made], 0.4) is not None and plots.lengths([made], "test_seen") is not None
    assert np.shape(made["lip_projection"]) == np.shape(made["projection"])
    measured_by = real_clips.RealClips(tiny_corpus, cell.settings, progress=False)
    again = run_cell.generated(cell, tiny_corpus, measured_by.seen)
    rows = real_clips.plotted(again, measured_by.seen, real_clips.PLOTTED)
    for name, points in measured_by.project(rows).items():
        np.testing.assert_allclose(points, made[name], atol=2e-3)
    assert run_cell.generated(Cell("smoke", "a", 0), tiny_corpus, measured_by.seen) is None
    strips = cells.strips("smoke", ["c", "ours"], 0)
    assert list(strips) == ["real", "c"]  # `ours` has not been deposited
    assert strips["c"].shape == (32, 8 * 32, 3)
    with monkeypatch.context() as patch:  # a deposit of another length is not shown as this one
        patch.setitem(config.CELL_SCALE["smoke"], "train.steps", 3)
        assert list(cells.strips("smoke", ["c"], 0)) == ["real"]
    real = cells.real("smoke")
    assert real["distances"]["floor"]["frame"]["frechet"]["value"] < (
        made["distances"]["frame"]["frechet"]["value"]
    )
    fig = plots.rows_and_lips(strips, real["shown"]["lip_box"])
    assert len(fig.axes) == 4
    both = plots.views(real, {"MINE": made, "AMIE": made})
    assert len(plots.distributions(both).axes) == 4
    older = {key: value for key, value in made.items() if key != "lip_projection"}
    assert list(plots.views(real, {"MINE": older, "AMIE": made})) == ["whole frames"]

    def never(*_: object, **__: object) -> None:
        raise AssertionError("a deposited cell was trained again")

    monkeypatch.setattr(run_cell, "train", never)
    assert run_cell.make(cell, tiny_corpus, progress=False) == made
    assert run_cell.make_all([cell], tiny_corpus) == [made]
    assert run_cell.make_all([cell, Cell("smoke", "a", 0)], None) == [made]  # no data: no training
    monkeypatch.setitem(config.CELL_SCALE["smoke"], "loss.mi", 0.5)
    assert cells.read(cell) is None  # other settings: not this cell's result


def test_a_rehearsal_is_small_and_deposits_apart() -> None:
    cell = Cell("lrw-20", "davs", 0)
    assert (cell.settings.train.steps, cell.settings.train.batch) == (20, 2)
    assert cell.settings.model == Cell("lrw", "davs", 0).settings.model
    assert cells.planned("lrw-20") == [Cell("lrw-20", row, 0) for row in config.ABLATION]
    assert cells.deposits("lrw-20") == workspace() / "rehearsals/lrw-20/cells/lrw-20"
    assert cells.deposits("lrw") == figures_dir() / "cells/lrw"
    for name in ("lrw-0", "lrw-", "lrv-20", "lrw-2-0"):
        with pytest.raises(UserError, match="unknown profile"):
            config.profile(name)


def test_a_cell_is_tested_on_another_corpus(
    quick: None, tiny_corpus: Path, tmp_path: Path
) -> None:
    """Trained on one corpus, measured on another: Table 2's protocol. It has no train split."""
    other = tmp_path / "other"
    prepare("synthetic", None, other, jobs=1, identities=2, utterances=2, seed=5)
    lines = store.read_lines(other / "manifest.csv")
    for key, line in lines.items():
        lines[key] = store.line(store.row_of(line) | {"split": "test"})
    (other / "manifest.csv").write_bytes(store.table(lines))
    settings = TableSettings("smoke", seeds=1, test_data=str(other))
    (cell,) = settings.planned(["c"])
    made = run_cell.make(cell, tiny_corpus, progress=False)
    assert cell.deposit.parent.name == settings.table == "smoke-on-synthetic"
    assert list(made["splits"]) == ["test"] and made["splits"]["test"]["clips"][0]["psnr_rgb"] > 5
    assert made["trained_on"] == "synthetic" and made["tested_digest"] == store.digest(other)
    assert run_cell.run_folder(cell, tiny_corpus) == (
        run_cell.run_folder(Cell("smoke", "c", 0), tiny_corpus)
    )  # the same training
    assert provenance_of([made])["tested"] == "synthetic"
    assert cells.read(cell, tiny_corpus) == made and cells.read(Cell("smoke", "c", 0)) is None
    with pytest.raises(UserError, match="no prepared clips"):
        _ = TableSettings("smoke", test_data=str(tmp_path)).table


def test_a_fresh_critic_finds_a_tie_where_there_is_one_and_none_where_there_is_none() -> None:
    """Frames that show their sound, and frames that show nothing: late T or silent frames."""
    settings = Cell("smoke", "g", 0).settings
    settings = config.with_changes(settings, {"train.lr_critic": 3e-3, "train.min_gap": 2})

    def clips(seed: int, tied: bool) -> list[critic_probe.Pairs]:
        random, made = np.random.default_rng(seed), []
        for _ in range(6):
            level = random.uniform(0, 1, 24)
            heard = np.tile(level[:, None, None] * 8 - 4, (1, 20, 13)).astype(np.float32)
            grey = level if tied else np.full(24, 0.5)
            seen = np.tile((255 * grey)[:, None, None, None], (1, 3, 10, 16)).astype(np.uint8)
            made.append(critic_probe.Pairs(torch.from_numpy(seen), torch.from_numpy(heard),
                                           np.zeros(24, bool)))  # fmt: skip
        return made

    for tied in (True, False):
        critic = critic_probe.fresh_critic(clips(0, tied), settings, steps=60)
        found = critic_probe.accuracy(critic, clips(1, tied), 2)
        assert found > 0.75 if tied else 0.3 < found < 0.7


def test_a_finished_generator_is_probed(tiny_corpus: Path, tmp_path: Path) -> None:
    settings = short(TINY, 1)
    train(settings, tiny_corpus, tmp_path / "run", progress=False)
    talker, _ = checkpoint.load_generator(tmp_path / "run")
    row = store.clips(tiny_corpus, "train").iloc[0]
    clip = store.load_clip(tiny_corpus, row, size=settings.model.image_size)
    pairs = [critic_probe.pairs_of(clip, clip.frames, settings.loss.critic_region)]
    found = critic_probe.probe(tmp_path / "run", tiny_corpus, settings, talker,
                               {"real": pairs, "made": pairs}, clips=2, steps=2)  # fmt: skip
    assert set(found) == {"own_real", "own_made", "fresh_made", "fresh_real"}
    assert found["own_real"] == found["own_made"] and all(0 <= v <= 1 for v in found.values())


def test_a_cell_that_fails_is_reported_and_the_rest_goes_on(
    quick: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_cell.make_all([Cell("smoke", "a", 0)], tmp_path / "nothing") == []
    assert "a seed 0: cells:" in capsys.readouterr().out


def test_nothing_deposited_is_one_line() -> None:
    with pytest.raises(UserError, match="no results of profile grid yet"):
        cells.real("grid")
    with pytest.raises(UserError, match="no cell of these settings"):
        provenance_of([])


def test_tables_of_a_profile_without_data_are_shown_from_deposits() -> None:
    assert not TableSettings("grid").trains
    assert TableSettings("smoke").trains
    with pytest.raises(UserError, match="seeds must be int"):
        TableSettings.of({"seeds": "3"})


def test_ellipse_holds_95_per_cent_of_a_gaussian() -> None:
    random = np.random.default_rng(0)
    points = random.standard_normal((20_000, 2)) * [3.0, 1.0]
    turn = np.deg2rad(30)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    centre, width, height, angle = plots.ellipse_95(points @ rotation.T + [5.0, -2.0])
    np.testing.assert_allclose(centre, [5, -2], atol=0.1)
    assert (width / 2, height / 2) == pytest.approx((3 * 2.448, 2.448), rel=0.03)
    assert angle % 180 == pytest.approx(30, abs=1.5)


def test_lip_movements_know_nothing_of_who_is_speaking() -> None:
    random = np.random.default_rng(0)
    frames = random.integers(0, 100, (9, 64, 64, 3), np.uint8)
    lighter = frames + np.uint8(100)  # another face, the same movement
    clip = PreparedClip(
        "a", "b", "test_seen", frames, np.zeros((9, 68, 2)), (152, 232, 64, 192),
        np.zeros((52, 13)), np.zeros(9, bool), np.zeros(16, np.int16),
    )  # fmt: skip
    every = np.arange(1, 9)
    _, moved = real_clips.rows_of(clip, frames, every)
    _, same = real_clips.rows_of(clip, lighter, every)
    assert moved.shape == (8, 3 * 20 * 32)  # 80 × 128 of 256ths; frame 0 of a clip is given
    np.testing.assert_allclose(moved, same, atol=1e-5)
    np.testing.assert_allclose(moved.mean(0), 0, atol=1e-6)


@pytest.mark.parametrize("most", [1, 5, 40, 300])
def test_plotted_frames_are_spread_over_all_but_each_clips_first(most: int) -> None:
    lengths = [29, 75, 2, 29]
    numbers = real_clips.chosen(lengths, most)
    every = [(clip, k) for clip, n in enumerate(lengths) for k in range(1, n)]
    wanted = np.linspace(0, len(every) - 1, min(most, len(every))).round().astype(int)
    assert [(c, k) for c, ks in enumerate(numbers) for k in ks] == [every[i] for i in wanted]


def test_of_more_clips_than_are_plotted_some_have_no_frame() -> None:
    """As of LRW's 500: a clip without one has rows all the same, none of them."""
    frames = np.zeros((3, 64, 64, 3), np.uint8)
    clip = PreparedClip(
        "a", "b", "test_seen", frames, np.zeros((3, 68, 2)), (152, 232, 64, 192),
        np.zeros((12, 13)), np.zeros(3, bool), np.zeros(16, np.int16),
    )  # fmt: skip
    numbers = real_clips.chosen([3] * 40, 30)
    rows = [real_clips.rows_of(clip, frames, own) for own in numbers]
    assert any(len(pixels) == 0 for pixels, _ in rows)
    pixels, lips = (np.concatenate(part) for part in zip(*rows, strict=True))
    assert pixels.shape == (30, 64 * 64 * 3) and len(lips) == 30


def test_two_cells_hold_two_devices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    with machine.one_device(tmp_path) as first:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES")  # the second cell is another process
        with machine.one_device(tmp_path) as second:
            assert (first, second) == ("0", "1")
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
        with machine.one_device(tmp_path) as third:
            assert third == "1"
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    with contextlib.ExitStack() as held:  # five cells share two
        names = []
        for _ in range(5):
            names.append(held.enter_context(machine.one_device(tmp_path, shared=3)))
            monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
        assert names == ["0", "1", "0", "1", "0"]
    monkeypatch.setenv("AMIE_CELLS_A_GPU", "2")
    with contextlib.ExitStack() as held:
        for wanted in ("0", "1", "0", "1"):
            assert held.enter_context(machine.one_device(tmp_path)) == wanted
            monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setenv("AMIE_CELLS_A_GPU", "many")
    with pytest.raises(UserError, match="AMIE_CELLS_A_GPU"), machine.one_device(tmp_path):
        pass
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    with machine.one_device(tmp_path) as none:
        assert none is None
