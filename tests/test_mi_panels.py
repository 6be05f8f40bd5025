"""Notebook 02: its formulas, and the number behind each of its plots."""

import json
from types import SimpleNamespace

import nbformat
import numpy as np
import pytest
import torch
from conftest import ROOT

from amie_core.experiments.estimators import coherence, panels, plots, toy_generator
from amie_core.experiments.estimators.known_truth import gaussian_log_ratio, gaussian_nats
from amie_core.model.critic import Critic
from amie_core.mutual_information import objectives, readouts


def kept(name: str) -> dict:
    return json.loads((ROOT / "figures" / f"mi_{name}.json").read_text())


def test_formulas_written_out_in_the_notebook_are_the_packages(capsys) -> None:
    cells = nbformat.read(ROOT / "notebooks" / "02_mutual_information.ipynb", as_version=4).cells
    sources = {cell.id: cell.source for cell in cells}
    scope: dict = {"settings": SimpleNamespace(seed=3)}
    for name in ("mi-02", "mi-eq-2", "mi-eq-4", "mi-eq-6", "mi-tr-3"):
        exec(sources[name], scope)
    assert "the same partners: True" in capsys.readouterr().out
    for scores, pairs in zip(scope["scores"]["exact T*"], ("joint", "marginal"), strict=True):
        f, a = scope[pairs].numpy().T
        np.testing.assert_allclose(scores, gaussian_log_ratio(f, a, 0.75), atol=1e-12)
    scores = torch.randn(2, 5000, generator=torch.Generator().manual_seed(0)).double()
    joint, marginal = scores[0] + 1, scores[1] - 1
    for by_hand, package, within in (
        ("donsker_varadhan", objectives.dv, 1e-12), ("jensen_shannon", objectives.js, 1e-12),
        ("nwj", readouts.nwj, 1e-12), ("smile", readouts.smile, 1e-12),
        ("xi", readouts.xi_jsd, 1e-6),
    ):  # fmt: skip
        value = float(scope[by_hand](joint, marginal))
        assert value == pytest.approx(float(package(joint, marginal)), abs=within)


def test_mi_correlation_js_orders_and_does_not_measure() -> None:
    line = [row for row in kept("correlation")["rows"] if row["dims"] == 1]
    exact = [np.mean(row["values"]["js_exact"]) for row in line]
    assert exact == sorted(exact) and exact[0] == pytest.approx(-2 * np.log(2), abs=1e-5)
    for row in line:
        assert len(row["values"]["js"]) >= 5
        assert np.mean(row["values"]["js"]) == pytest.approx(row["truth"], abs=0.05)


def test_mi_correlation_ksg_and_critics_in_ten_dimensions() -> None:
    row = next(row for row in kept("correlation")["rows"] if row["dims"] == 10)
    assert np.mean(row["values"]["ksg"]) < row["truth"] - 0.5
    assert np.mean(row["values"]["js"]) > np.mean(row["values"]["ksg"]) + 0.2


def test_mi_stability_js_is_steadier_but_not_always_better() -> None:
    found = kept("stability")
    last = {task: {name: {lr: np.mean([run[-1] for run in runs]) for lr, runs in by_rate.items()}
                   for name, by_rate in traces.items()}
            for task, traces in found["traces"].items()}  # fmt: skip
    assert len(found["seeds"]) >= 3
    for name in ("dv", "dv+ema", "js", "smile"):
        calm = last["gaussian"][name]["0.0005"]
        assert calm == pytest.approx(found["truth"]["gaussian"], abs=0.2)
    student = last["student"]
    assert student["dv+ema"]["0.005"] < 0 < student["js"]["0.005"] < student["smile"]["0.005"]
    assert student["js"]["0.05"] < student["dv"]["0.05"] - 0.1  # raw tails, a large rate


def test_mi_paths_asymmetry_recovers() -> None:
    found = kept("paths")
    assert len(found["seeds"]) >= 5
    for objective in ("dv", "js"):
        assert toy_generator.recovered(found, "real", objective) >= 4
        assert toy_generator.recovered(found, "generated", objective) == 0


def test_mi_paths_optimum_is_hyper_articulated() -> None:
    rho = 0.75
    c, s = np.linspace(-2, 2, 4001), np.array(1e-6)
    values = toy_generator.asymmetric_value(c, s, rho)
    assert c[values.argmax()] == pytest.approx(1 / rho, abs=1e-3)
    assert values.max() == pytest.approx(gaussian_nats(rho) + 0.5, abs=1e-5)
    assert toy_generator.best_gain(rho, 0.0) == rho
    weights = [toy_generator.best_gain(rho, weight) for weight in (0.0, 0.2, 1.0, 1e6)]
    assert weights == sorted(weights) and weights[-1] == pytest.approx(1 / rho, abs=1e-3)
    total = toy_generator.total_value(c, s, rho, 0.5)
    assert c[total.argmax()] == pytest.approx(toy_generator.best_gain(rho, 0.5), abs=1e-3)


def test_mi_paths_gap_is_the_posterior_mismatch() -> None:
    c, s = np.array([0.5, -0.4, 1.2, 0.75]), np.array([0.3, 0.6, 0.9, np.sqrt(1 - 0.75**2)])
    gap = toy_generator.symmetric_value(c, s) - toy_generator.asymmetric_value(c, s, 0.75)
    np.testing.assert_allclose(gap, toy_generator.mismatch(c, s, 0.75), atol=1e-12)
    assert gap[-1] == pytest.approx(0, abs=1e-12)  # real lips are understood as they are


def test_mi_paths_path_is_seeded_and_asymmetric_turns_round() -> None:
    runs = [toy_generator.path("real", "js", (-0.3, 0.6), 0, steps=100) for _ in range(2)]
    assert runs[0] == runs[1] and runs[0][-1][0] > runs[0][0][0]
    away = toy_generator.path("generated", "js", (-0.3, 0.6), 0, steps=200)
    assert away[-1][0] < away[0][0]


def test_mi_heat_ridge_is_where_the_sound_is() -> None:
    class Known(Critic):
        """Embeddings that are the time itself: the score falls with the distance."""

        def __init__(self) -> None:
            torch.nn.Module.__init__(self)

        def embed_frames(self, frames: torch.Tensor) -> torch.Tensor:
            return frames[:, 0, 0, :1]

        def embed_windows(self, windows: torch.Tensor) -> torch.Tensor:
            return windows[:, 0, :1]

        def score(self, frames: torch.Tensor, windows: torch.Tensor) -> torch.Tensor:
            return -(frames - windows).abs().squeeze(1)

    time = torch.arange(40.0)
    frames, own = time[:, None, None, None].expand(-1, 3, 8, 8), time[:, None, None]
    cases = coherence.conditions(own.expand(-1, 20, 13), 0)
    maps = {name: coherence.heat_map(Known(), frames, w) for name, w in cases.items()}
    ridges = [coherence.ridge(scores) for scores in maps.values()]
    assert ridges[0] == 0 and ridges[2] == 3
    curves = {name: np.nanmean(scores, 1).tolist() for name, scores in maps.items()}
    pictures = [axes.images[0] for axes in plots.heat_maps(maps, curves).axes if axes.images]
    limits = [picture.get_clim() for picture in pictures]
    assert len(limits) == 3 and all(low < high for low, high in limits)  # edges are NaN


def test_mi_heat_of_the_notebook() -> None:
    found = kept("ridges")
    assert found["ridges"]["real"] == 0 and found["ridges"]["3 frames late"] == 3
    assert found["heights"]["shuffled"] < 0.25 * found["heights"]["real"]


@pytest.mark.slow
def test_mi_heat_with_a_trained_critic(tiny_corpus) -> None:
    clips = coherence.load_lips(tiny_corpus, "train")
    found = coherence.heat_maps(coherence.train_critic(clips, steps=150), clips)
    assert found["ridges"]["real"] == 0 and found["ridges"]["3 frames late"] == 3


def test_results_are_kept_and_run_again_when_asked(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("AMIE_FIGURES", str(tmp_path))
    calls = []

    def run() -> dict:
        calls.append(1)
        return {"value": len(calls)}

    assert panels.kept("unheard_of", run)["value"] == 1
    assert panels.kept("unheard_of", run)["value"] == 1
    assert panels.kept("unheard_of", run, rerun=True)["value"] == 2
    assert "paths" in panels.kept("paths", run)  # the committed file
