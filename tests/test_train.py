"""What would catch a wrong paper, a run that cannot be resumed, a loop that lies."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric

from amie_core import checkpoint, config
from amie_core.config import ABLATION, Profile
from amie_core.data.windows import Batch, Windows
from amie_core.errors import UserError
from amie_core.losses import mutual_information
from amie_core.step import Amie, Step, roll
from amie_core.train import TrainingStopped, train

TINY = config.with_changes(
    config.profile("smoke"),
    {
        "model.image_size": 32, "model.width": 8, "model.max_width": 16, "model.audio_width": 8,
        "model.embedding": 16, "train.batch": 4, "train.unroll": 3, "train.steps": 12,
        "train.checkpoint_every": 4, "train.log_every": 2, "train.warmup": 1,
        "train.precision": "32-true", "loss.perceptual": 0.0,
    },
)  # fmt: skip


def make_batch(profile: Profile, seed: int = 0) -> Batch:
    """Random pictures and sounds of a profile's shapes."""
    g = torch.Generator().manual_seed(seed)
    b, k, s = profile.train.batch, profile.train.unroll, profile.model.image_size
    return Batch(
        identity=torch.rand(b, 3, s, s, generator=g),
        before=torch.rand(b, 3, s, s, generator=g),
        frames=torch.rand(b, k, 3, s, s, generator=g),
        windows=torch.randn(b, k, 20, 13, generator=g),
        negatives=torch.randn(b, k, 20, 13, generator=g),
        lips=torch.rand(b, k, 1, s // 2, s // 2, generator=g),
        lip_boxes=torch.tensor([[152, 232, 64, 192]] * b),
    )


def make_step(profile: Profile, seed: int = 0) -> Step:
    torch.manual_seed(seed)
    fabric = Fabric(accelerator="cpu", devices=1)
    return Step(profile, Amie(profile), fabric, seed)


def weights(module: torch.nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten().clone() for p in module.parameters()])


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
    frames, _, _ = roll(amie, batch, 1.0)
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
    frames, _, masks = roll(amie, batch, 0.2)
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
    frames, _, masks = roll(amie, batch, 1.0)
    assert torch.equal(masks, torch.ones_like(masks))
    close, _, _ = roll(amie, batch, 1.0 - 1e-6)
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
    losses = [float(step(batch, i)["lip"]) for i in range(200)]  # the first is the copied face's
    assert np.mean(losses[-10:]) < 0.3 * losses[0]


def test_training_is_the_same_twice_and_not_for_another_seed(
    tiny_corpus: Path, tmp_path: Path
) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        train(TINY, tiny_corpus, tmp_path / name, seed=seed, steps=3, progress=False)
    a, b, c = (checkpoint.read_tensors(tmp_path / n / "state.safetensors")[0] for n in "abc")
    assert all(torch.equal(a[k], b[k]) for k in a)
    assert not all(torch.equal(a[k], c[k]) for k in a)


SCRIPT = """
import sys, torch
import os; torch.set_num_threads(min(2, len(os.sched_getaffinity(0))))
sys.path.insert(0, {tests!r})
from test_train import TINY
from amie_core.train import train
train(TINY, {data!r}, {out!r}, steps={steps}, progress=False)
"""


def test_killed_and_resumed_is_bitwise_the_uninterrupted_run(
    tiny_corpus: Path, tmp_path: Path
) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    train(TINY, tiny_corpus, whole, steps=40, progress=False)
    script = SCRIPT.format(
        tests=str(Path(__file__).parent), data=str(tiny_corpus), out=str(cut), steps=40
    )
    child = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.DEVNULL)
    until = time.time() + 120
    while not (cut / "state.safetensors").exists() and time.time() < until:
        assert child.poll() is None, "the run ended before it could be killed"
        time.sleep(0.01)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    assert not (cut / "done.json").exists()
    assert 0 < checkpoint.read_tensors(cut / "state.safetensors")[1]["step"] < 40
    train(TINY, tiny_corpus, cut, steps=40, progress=False)
    a, b = (checkpoint.read_tensors(p / "state.safetensors")[0] for p in (whole, cut))
    assert a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)
    steps = [json.loads(line)["step"] for line in (cut / "metrics.jsonl").open()]
    assert steps == sorted(set(steps)) and steps[-1] == 40


def test_a_finished_run_is_not_run_again_and_another_is_refused(
    tiny_corpus: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    first = train(TINY, tiny_corpus, out, steps=2, progress=False)
    stamp = (out / "state.safetensors").stat().st_mtime_ns
    assert train(TINY, tiny_corpus, out, steps=2, progress=False) == first
    assert (out / "state.safetensors").stat().st_mtime_ns == stamp
    with pytest.raises(UserError, match="other settings"):
        train(TINY, tiny_corpus, out, steps=2, seed=5, progress=False)
    assert 0 <= first["data_wait"] < 1 and first["frames_per_second"] > 0 and first["resident"]
    generator, meta = checkpoint.load_generator(out)
    assert meta["step"] == 2 and meta["row"] == "ours" and not generator.training
    checkpoint.load_fine_mask(out)


def test_clips_that_do_not_fit_in_memory_give_the_same_batches(tiny_corpus: Path) -> None:
    kept = Windows(tiny_corpus, TINY, 0, progress=False)
    read = Windows(tiny_corpus, TINY, 0, resident_bytes=0, progress=False)
    assert kept.resident and not read.resident
    a, b = kept.batch(3), read.batch(3)
    for name in ("identity", "before", "frames", "windows", "negatives", "lips", "lip_boxes"):
        assert torch.equal(getattr(a, name), getattr(b, name)), name


def test_a_non_finite_loss_stops_and_keeps_the_last_checkpoint(
    tiny_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = Step.__call__

    def breaks(self: Step, batch: Batch, step: int) -> dict[str, torch.Tensor]:
        log = plain(self, batch, step)
        return log | {"g": log["g"] * float("nan")} if step >= 6 else log

    monkeypatch.setattr(Step, "__call__", breaks)
    with pytest.raises(TrainingStopped, match="g not finite near step 8"):
        train(TINY, tiny_corpus, tmp_path / "run", progress=False)
    assert checkpoint.read_tensors(tmp_path / "run" / "state.safetensors")[1]["step"] == 4


def test_warns_when_t_stays_at_chance_or_d_wins(
    tiny_corpus: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    def bad(self: Step, batch: Batch, step: int) -> dict[str, torch.Tensor]:
        values = {"lip": 0.1, "mi_js": -1.3863, "t_accuracy": 0.5, "d_accuracy": 1.0}
        return {name: torch.tensor(value) for name, value in values.items()}

    monkeypatch.setattr(Step, "__call__", bad)
    changes = {"train.checkpoint_every": 1000, "train.log_every": 50}
    train(TINY, tiny_corpus, tmp_path / "r", steps=300, changes=changes, progress=False)
    said = capsys.readouterr()
    assert "T has not left chance" in said.out + said.err and "D has won" in said.out + said.err


SUMS = """
import hashlib
from pathlib import Path
from amie_core import train as module
finish = module._Run._finish
def with_sum(self):
    weights = b"".join(p.detach().numpy().tobytes() for p in self.amie.parameters())
    digest = hashlib.sha256(weights).hexdigest()
    (self.out / f"sum{self.fabric.global_rank}").write_text(digest)
    return finish(self)
module._Run._finish = with_sum
"""


def test_two_processes_hold_the_same_weights(tiny_corpus: Path, tmp_path: Path) -> None:
    """DDP on two CPU processes: other batches, averaged gradients, the same weights bit by bit."""
    out = tmp_path / "two"
    script = tmp_path / "two.py"
    text = SCRIPT.format(
        tests=str(Path(__file__).parent), data=str(tiny_corpus), out=str(out), steps=3
    ).replace("steps=3", "steps=3, devices=2")
    own = "from amie_core.train import train"
    script.write_text(text.replace(own, SUMS + "train = module.train"))
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=300, env=environment
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads((out / "done.json").read_text())["devices"] == 2
    first, second = ((out / f"sum{rank}").read_text() for rank in (0, 1))
    assert first == second
    alone = train(TINY, tiny_corpus, tmp_path / "one", steps=3, progress=False)
    assert alone["devices"] == 1
    a, b = (checkpoint.read_tensors(p / "state.safetensors")[0] for p in (out, tmp_path / "one"))
    name = "networks.generator.decoder.out.weight"
    assert not torch.equal(a[name], b[name])  # the second process's batches did count


def test_bf16_runs_on_a_cpu(tiny_corpus: Path, tmp_path: Path) -> None:
    changes = {"train.precision": "bf16-mixed"}
    done = train(
        TINY, tiny_corpus, tmp_path / "run", steps=2, changes=changes, progress=False
    )
    assert done["steps"] == 2


@pytest.mark.slow
def test_compiled_training_runs(tiny_corpus: Path, tmp_path: Path) -> None:
    """In a process of its own: the tests' type checks cannot be compiled."""
    out = tmp_path / "run"
    text = SCRIPT.format(
        tests=str(Path(__file__).parent), data=str(tiny_corpus), out=str(out), steps=2
    ).replace("steps=2", "steps=2, changes={'train.compile': True}")
    subprocess.run([sys.executable, "-c", text], check=True, timeout=900)
    assert json.loads((out / "done.json").read_text())["steps"] == 2


def test_bad_input_is_one_clear_line(tmp_path: Path, tiny_corpus: Path) -> None:
    for wrong in (
        lambda: train("nope", tiny_corpus, tmp_path / "a"),
        lambda: train("smoke", tiny_corpus, tmp_path / "a", row="z"),
        lambda: train("smoke", tmp_path, tmp_path / "a"),
        lambda: train("smoke", tiny_corpus, tmp_path / "a", changes={"train.stepz": 1}),
        lambda: checkpoint.load_generator(tmp_path / "none"),
    ):
        with pytest.raises(UserError) as caught:
            wrong()
        assert "\n" not in str(caught.value)
    damaged = tmp_path / "x.safetensors"
    damaged.write_bytes(b"\x00" * 100)
    with pytest.raises(UserError, match="not a checkpoint"):
        checkpoint.load_generator(damaged)
