"""What would catch a wrong paper: asymmetry, masks, gradients, the rows of Table 3."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import TINY, learns, make_batch, make_step

from amie_core import config, losses
from amie_core.config import ABLATION
from amie_core.losses import mutual_information
from amie_core.training.amie import Amie, roll
from amie_core.training.method import rate_factor
from amie_core.training.windows import Batch, Windows


def weights(module: torch.nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten().clone() for p in module.parameters()])


def rolled(amie: Amie, batch: Batch, rate: float) -> tuple[torch.Tensor, ...]:
    given = batch.identity, batch.before, batch.windows, batch.lip_boxes
    return roll(amie.generator, amie.fine_mask, *given, rate)


def t_after_one_step(row: str, change: str | None) -> torch.Tensor:
    """T's weights after a step in which real or generated frames were changed."""
    profile = config.for_row(TINY, row)
    step, batch = make_step(profile), make_batch(profile)
    if change == "real":
        batch.frames.mul_(0.5)
    if change == "generated":  # G's frames depend on the face, T's real pairs do not
        batch.identity.mul_(0.5)
    step(batch, 0)
    return weights(step.amie.critic)


def test_asymmetry_t_learns_from_real_pairs_alone() -> None:
    base = t_after_one_step("ours", None)
    assert torch.equal(base, t_after_one_step("ours", "generated"))
    assert not torch.equal(base, t_after_one_step("ours", "real"))


def test_symmetric_rows_train_t_on_generated_pairs_alone() -> None:
    base = t_after_one_step("e", None)
    assert torch.equal(base, t_after_one_step("e", "real"))
    assert not torch.equal(base, t_after_one_step("e", "generated"))


def test_g_gets_gradient_through_both_terms_and_t_none() -> None:
    torch.manual_seed(0)
    amie, batch = Amie(TINY), make_batch(TINY)
    amie.critic.requires_grad_(False)
    frames, _, _ = rolled(amie, batch, 1.0)
    flat = frames.flatten(0, 1)
    both = amie.critic(flat, batch.windows.flatten(0, 1), batch.negatives.flatten(0, 1))
    zero = torch.zeros_like(both[0])
    out = amie.generator.decoder.out.weight
    grads = []
    for joint, marginal in ((both[0], zero), (zero, both[1])):
        loss = mutual_information(joint, marginal, "js")
        grads.append(torch.autograd.grad(loss, out, retain_graph=True)[0])
    assert all(g.abs().sum() > 0 for g in grads)
    assert all(p.grad is None for p in amie.critic.parameters())


def test_g_s_step_does_not_move_t_nor_gather_gradients_in_it() -> None:
    """With T's learning rate at 0 T stands still; D and T are frozen when G has learnt."""
    step, batch = make_step(config.with_changes(TINY, {"train.lr_critic": 0.0})), make_batch(TINY)
    before, g = weights(step.amie.critic), weights(step.amie.generator)
    step(batch, 0)
    assert torch.equal(before, weights(step.amie.critic))
    assert not torch.equal(g, weights(step.amie.generator))
    for judge in (step.amie.critic, step.amie.discriminator):
        assert not any(p.requires_grad for p in judge.parameters())


def logged(row: str, step: int = 11, **changes: Any) -> dict[str, float]:
    """What a step of a row logs once G no longer returns the identity face (default: the last)."""
    profile = config.for_row(config.with_changes(TINY, changes), row)
    made, batch = make_step(profile), make_batch(profile)
    torch.nn.init.normal_(made.amie.generator.decoder.out.weight, std=0.1)
    return {name: float(value) for name, value in made(batch, step).items()}


@pytest.mark.parametrize("row", [row for row in ABLATION if row not in ("baseline", "b")])
def test_the_mi_term_has_the_stated_share_of_the_gradient_in_every_row(row: str) -> None:
    """One λ3 for DV and JS would not: their gradients differ by a factor of two and more."""
    assert logged(row)["mi_share"] == pytest.approx(TINY.loss.mi_share, rel=1e-4)


def test_a_constant_lambda_is_a_setting_and_its_shares_differ() -> None:
    changes = {"loss.mi_share": 0.0, "loss.mi": 0.3}
    js, dv = logged("g", **changes), logged("dv_real_off", **changes)
    assert js["lambda3"] == dv["lambda3"] == pytest.approx(0.3)
    assert abs(np.log(dv["mi_share"] / js["mi_share"])) > 0.05


@pytest.mark.parametrize("row", ["baseline", "b"])
def test_rows_without_mi_get_none(row: str) -> None:
    assert logged(row)["lambda3"] == logged(row)["mi_share"] == 0


def test_t_learns_before_the_mi_term_counts() -> None:
    early = logged("ours", step=0, **{"loss.mi_from": 0.5})
    assert early["lambda3"] == early["mi_share"] == 0
    step, batch = make_step(TINY), make_batch(TINY)
    before = weights(step.amie.critic)
    step(batch, 0)
    assert not torch.equal(before, weights(step.amie.critic))
    assert logged("ours", step=6, **{"loss.mi_from": 0.5})["mi_share"] > 0


def test_the_step_is_eq_13s_own_gradient() -> None:
    """G's update from gradients met at the frames equals that of the weighted sum itself."""
    profile = config.with_changes(TINY, {"loss.mi_share": 0.0, "loss.mi": 0.3, "train.clip": 1e9})
    profile = config.for_row(profile, "g")
    step, batch = make_step(profile), make_batch(profile)
    torch.nn.init.normal_(step.amie.generator.decoder.out.weight, std=0.1)
    step(batch, 11)
    found = {n: p.grad.clone() for n, p in step.amie.generator.named_parameters()}

    fresh = make_step(profile)
    torch.nn.init.normal_(fresh.amie.generator.decoder.out.weight, std=0.1)
    for own, updated in (("discriminator", step.amie.discriminator), ("critic", step.amie.critic)):
        getattr(fresh.amie, own).load_state_dict(updated.state_dict())
    frames, _, _ = rolled(fresh.amie, batch, 1.0)
    random = np.random.default_rng([0, 11, 7])
    judged = np.sort(random.choice(3, profile.train.judged, replace=False))
    real, made = batch.frames.flatten(0, 1), frames.flatten(0, 1)
    boxes = batch.lip_boxes.repeat_interleave(3, 0)
    heard, others = batch.windows.flatten(0, 1), batch.negatives.flatten(0, 1)
    joint, marginal = fresh.amie.critic(losses.crop_lips(made, boxes), heard, others)
    verdict = fresh.amie.discriminator(
        frames[:, judged].flatten(0, 1), batch.windows[:, judged].flatten(0, 1)
    )
    parts = {
        "gan": losses.gan_generator(verdict), "lip": losses.lip(real, made, boxes),
        "pixel": torch.nn.functional.l1_loss(made, real),
        "mi": mutual_information(joint, marginal, "js"),
    }  # fmt: skip
    losses.total(parts, profile.loss).backward()
    for name, weight in fresh.amie.generator.named_parameters():
        torch.testing.assert_close(found[name], weight.grad, rtol=1e-3, atol=1e-6)


def test_every_row_judges_the_same_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attention draws a rate; the draw of the judged frames must not depend on it."""
    judged = {}
    for row in ("g", "ours"):
        step = make_step(config.for_row(TINY, row))
        seen: list[list[int]] = []
        real = step._update_g
        monkeypatch.setattr(step, "_update_g", lambda b, f, s, j, *more, real=real, seen=seen: (
            seen.append(j.tolist()), real(b, f, s, j, *more))[1])  # fmt: skip
        for number in range(6):
            step(make_batch(TINY, number), number)
        judged[row] = seen
    assert judged["g"] == judged["ours"] and len({tuple(j) for j in judged["g"]}) > 1


def test_averaged_weights_begin_again_where_the_decay_does() -> None:
    step = make_step(config.with_changes(TINY, {"train.decay": 0.5, "train.ema": 0.999}))
    batch = make_batch(TINY)
    for number in range(7):
        step(batch, number)
        own, averaged = weights(step.amie.generator), weights(step.amie.averaged)
        assert torch.equal(own, averaged) == (number == 6)
    step(batch, 7)
    own, averaged = weights(step.amie.generator), weights(step.amie.averaged)
    assert not torch.equal(own, averaged)


def test_learning_rates_stand_still_and_then_fall() -> None:
    t = config.with_changes(
        TINY, {"train.steps": 100, "train.warmup": 10, "train.decay": 0.4}
    ).train
    factors = np.array([rate_factor(step, 0, 100, t) for step in range(100)])
    assert np.all(np.diff(factors[:10]) > 0) and np.all(factors[10:60] == 1)
    assert np.all(np.diff(factors[60:]) < 0) and factors[-1] == pytest.approx(t.lr_end, abs=0.01)
    # What is judged, rate 1, gets its share: with a cosine over the whole run it was a twentieth.
    assert factors[60:].sum() / factors.sum() > 0.25


def test_the_lips_loss_does_not_reach_the_mask() -> None:
    """Weighed 160 times the mask's own loss, it would teach the predictor to uncover lips."""
    profile = TINY
    torch.manual_seed(0)
    amie, batch = Amie(profile), make_batch(profile)
    torch.nn.init.normal_(amie.generator.decoder.out.weight, std=0.1)
    frames, _, masks = rolled(amie, batch, 0.2)
    assert masks[:, 0].min().item() == pytest.approx(0.2)  # frame 0 wears the coarse mask …
    assert not torch.equal(masks[:, 1], masks[:, 0])  # … later ones a predicted one
    assert masks.min() >= 0.2 - 1e-6  # of the same rate
    (frames - batch.frames).abs().mean().backward()
    assert all(p.grad is None for p in amie.fine_mask.parameters())


def test_the_fine_mask_learns_while_it_is_worn() -> None:
    step, batch = make_step(TINY), make_batch(TINY)
    for number, learns_it in ((0, True), (11, False)):  # low rates, then rate 1
        before = weights(step.amie.fine_mask)
        log = step(batch, number)
        assert ("mask" in log) == learns_it
        assert torch.equal(before, weights(step.amie.fine_mask)) != learns_it


def test_at_rate_one_the_mask_changes_nothing() -> None:
    torch.manual_seed(0)
    amie, batch = Amie(TINY), make_batch(TINY)
    torch.nn.init.normal_(amie.generator.decoder.out.weight, std=0.1)
    frames, _, masks = rolled(amie, batch, 1.0)
    assert torch.equal(masks, torch.ones_like(masks))
    close, _, _ = rolled(amie, batch, 1.0 - 1e-6)
    assert torch.allclose(frames, close, atol=1e-4)


@pytest.mark.parametrize("row", ABLATION)
def test_every_row_of_table_3_steps(row: str) -> None:
    profile = config.for_row(TINY, row)
    step = make_step(profile)
    log = step(make_batch(profile), 0)
    assert all(torch.isfinite(value).all() for value in log.values())
    assert ("mask" in log) == profile.attention.enabled


def test_ablation_rows_are_what_the_paper_says() -> None:
    cells = {
        row: (p.loss.objective, p.loss.critic_pairs, p.attention.enabled, p.loss.mi > 0)
        for row in ABLATION
        for p in [config.for_row(config.profile("grid"), row)]
    }
    assert cells["a"] == ("dv", "generated", False, True)
    assert cells["c"] == ("dv", "generated", True, True)
    assert cells["d"] == ("js", "generated", False, True)
    assert cells["e"] == ("js", "generated", True, True)
    assert cells["f"] == ("dv", "real", True, True)
    assert cells["g"] == ("js", "real", False, True)
    assert cells["ours"] == ("js", "real", True, True)
    assert cells["dv_real_off"] == ("dv", "real", False, True)
    assert (cells["baseline"][2:], cells["b"][2:]) == ((False, False), (True, False))


def test_one_clip_overfit(tiny_corpus: Path) -> None:
    """G learns the lips of a few windows by heart; a wrong sign or a cut gradient would not."""
    changes = {"train.steps": 200, "train.lr": 4e-3, "train.ema": 0.9, "attention.enabled": False,
               "train.augment": False, "train.teacher": (0.0, 0.0)}  # fmt: skip
    profile = config.with_changes(TINY, changes)
    windows = Windows(tiny_corpus, profile, 0, progress=False)
    windows.weights = np.eye(len(windows.rows))[0]  # one clip
    step, batch = make_step(profile), windows.batch(0)
    step.amie.set_standardisation(*windows.standardisation())
    copied = float(step(batch, 0)["lip"])  # the first frame is the identity face's
    assert learns(step, batch, below=0.3 * copied, most=200, first=1)
