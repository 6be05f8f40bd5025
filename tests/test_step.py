"""What would catch a wrong paper: asymmetry, masks, gradients, the rows of Table 3."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import TINY, learns, make_batch, make_step

from amie_core import config
from amie_core.config import ABLATION
from amie_core.losses import mutual_information
from amie_core.training.amie import Amie, roll
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


def test_t_is_updated_before_g_sees_it_and_not_by_g() -> None:
    """With T's learning rate at 0 T stands still: G's step leaves no trace in it."""
    step, batch = make_step(config.with_changes(TINY, {"train.lr_critic": 0.0})), make_batch(TINY)
    before, g = weights(step.amie.critic), weights(step.amie.generator)
    step(batch, 0)
    assert torch.equal(before, weights(step.amie.critic))
    assert not torch.equal(g, weights(step.amie.generator))


def test_mask_prediction_reaches_the_loss() -> None:
    """Without its own loss the fine mask still learns, through the frame that wears its mask."""
    profile = config.with_changes(TINY, {"loss.mask": 0.0})
    torch.manual_seed(0)
    amie, batch = Amie(profile), make_batch(profile)
    torch.nn.init.normal_(amie.generator.decoder.out.weight, std=0.1)
    frames, _, masks = rolled(amie, batch, 0.2)
    assert masks[:, 0].min().item() == pytest.approx(0.2)  # frame 0 wears the coarse mask …
    assert not torch.equal(masks[:, 1], masks[:, 0])  # … later ones a predicted one
    assert masks.min() >= 0.2 - 1e-6  # of the same rate
    (frames - batch.frames).abs().mean().backward()
    gradient = [p.grad for p in amie.fine_mask.parameters()]
    assert all(g is not None for g in gradient) and sum(g.abs().sum() for g in gradient) > 0


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
