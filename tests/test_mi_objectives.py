"""Objectives: values that are known, and arithmetic that does not overflow."""

import math

import numpy as np
import pytest
import torch

from amie_core.experiments.estimators.known_truth import gaussian_nats
from amie_core.experiments.estimators.panels import exact_scores
from amie_core.mutual_information import (
    CHANCE_JS,
    EmaDv,
    Ruderman,
    dv,
    infonce,
    js,
    nwj,
    ruderman,
)

OBJECTIVES = [js, dv, nwj, EmaDv(), Ruderman()]


def test_knowing_nothing_scores_chance() -> None:
    zero = torch.zeros(10)
    assert js(zero, zero).item() == pytest.approx(-1.386294, abs=1e-6)
    assert js(zero, zero).item() == pytest.approx(CHANCE_JS, abs=1e-6)
    assert dv(zero, zero).item() == nwj(zero, zero).item() == 0
    assert infonce(torch.zeros(8, 8)).item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(("rho", "value"), [(0.5, -1.31245), (0.75, -1.17015), (0.9, -0.95719)])
def test_eq7_at_its_optimum(rho: float, value: float) -> None:
    scores = exact_scores(rho, 1_000_000, 1, np.random.default_rng(0))
    assert js(*scores).item() == pytest.approx(value, abs=1e-3)


def test_dv_ignores_a_constant() -> None:
    joint, marginal = torch.randn(50), torch.randn(70)
    moved = dv(joint + 37, marginal + 37).item()
    assert moved == pytest.approx(dv(joint, marginal).item(), abs=1e-4)


def test_nwj_has_its_one() -> None:
    value = nwj(*exact_scores(0.75, 400_000, 1, np.random.default_rng(1))).item()
    assert value == pytest.approx(gaussian_nats(0.75), abs=0.01)


def test_infonce_is_at_most_ln_n() -> None:
    assert infonce(100 * torch.eye(16)).item() == pytest.approx(math.log(16), abs=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("score", [-100.0, 100.0])
@pytest.mark.parametrize("objective", OBJECTIVES, ids=["js", "dv", "nwj", "ema", "ruderman"])
def test_extreme_scores_stay_finite(objective, score: float, dtype: torch.dtype) -> None:
    joint = torch.full((64,), score, dtype=dtype, requires_grad=True)
    marginal = torch.full((64,), score, dtype=dtype, requires_grad=True)
    value = objective(joint, marginal)
    value.backward()
    assert value.isfinite() and value.dtype == torch.float32
    assert joint.grad.isfinite().all() and marginal.grad.isfinite().all()


def test_ruderman_s_best_shift_gives_dv_and_none_gives_nwj() -> None:
    joint, marginal = torch.randn(300) + 1, 1.5 * torch.randn(900) - 1
    best = torch.logsumexp(marginal, 0) - math.log(900)
    assert ruderman(joint, marginal, best).item() == pytest.approx(dv(joint, marginal).item())
    none = torch.zeros(())
    assert ruderman(joint, marginal, none).item() == pytest.approx(nwj(joint, marginal).item())
    for away in (-1.0, -0.1, 0.1, 1.0):
        assert ruderman(joint, marginal, best + away) < dv(joint, marginal)
    learnt = Ruderman()
    optimiser = torch.optim.SGD(learnt.parameters(), 0.2)
    for _ in range(400):
        optimiser.zero_grad()
        (-learnt(joint, marginal)).backward()
        optimiser.step()
    assert learnt.shift.item() == pytest.approx(best.item(), abs=1e-3)


def test_a_constant_added_to_the_critic_moves_ruderman_s_best_shift_alone() -> None:
    joint, marginal, shift = torch.randn(50), torch.randn(70), torch.tensor(0.3)
    moved = ruderman(joint + 5, marginal + 5, shift + 5)
    assert moved.item() == pytest.approx(ruderman(joint, marginal, shift).item(), abs=1e-5)


def test_ema_corrects_the_gradient_alone() -> None:
    ema = EmaDv(0.9)
    joint = torch.randn(200)
    ema(joint, torch.randn(200) + 2)
    marginal = torch.randn(200, requires_grad=True)
    value = ema(joint, marginal)
    assert value.item() == pytest.approx(dv(joint, marginal).item(), abs=1e-5)
    value.backward()
    weight = -marginal.grad / (marginal.detach().exp() / 200)
    assert weight.std() < 1e-4 * weight.mean()  # e^T over one number, the running mean:
    assert weight.mean() < 1 / marginal.detach().exp().mean()  # it remembers the greater batch


def test_first_ema_gradient_is_the_plain_one() -> None:
    grads = []
    for objective in (EmaDv(), dv):
        marginal = torch.linspace(-2, 2, 50).requires_grad_()
        objective(torch.zeros(50), marginal).backward()
        grads.append(marginal.grad)
    torch.testing.assert_close(*grads, rtol=1e-3, atol=1e-6)


def test_ema_stands_still_in_eval_mode_and_is_saved() -> None:
    ema = EmaDv()
    ema(torch.randn(9), torch.randn(9))
    before = {key: value.clone() for key, value in ema.state_dict().items()}
    assert set(before) == {"log_mean", "updates"}
    ema.eval()
    ema(torch.randn(9), torch.randn(9) + 50)
    assert all(torch.equal(before[key], value) for key, value in ema.state_dict().items())
