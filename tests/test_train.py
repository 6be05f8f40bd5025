"""Runs that resume exactly, stop when they must, and say what they do."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from tiny import TINY, short

from amie_core import config
from amie_core.errors import UserError
from amie_core.files import SHIPPED
from amie_core.training import checkpoint
from amie_core.training.amie import AmieStep
from amie_core.training.board import Board
from amie_core.training.loop import TrainingStopped, train
from amie_core.training.method import precision_of
from amie_core.training.windows import Batch, Windows


def test_training_is_the_same_twice_and_not_for_another_seed(
    tiny_corpus: Path, tmp_path: Path
) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        train(short(TINY, 3), tiny_corpus, tmp_path / name, seed=seed, progress=False)
    a, b, c = (checkpoint.read_tensors(tmp_path / n / "state.safetensors")[0] for n in "abc")
    assert all(torch.equal(a[k], b[k]) for k in a)
    assert not all(torch.equal(a[k], c[k]) for k in a)


SCRIPT = """
import sys, torch
torch.set_num_threads(1)  # as in the tests: their number changes the last bits
sys.path.insert(0, {tests!r})
from tiny import TINY, short
from amie_core import config
from amie_core.training.loop import train
train(short(TINY, {steps}), {data!r}, {out!r}, progress=False)
"""


def test_killed_and_resumed_is_bitwise_the_uninterrupted_run(
    tiny_corpus: Path, tmp_path: Path
) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    train(short(TINY, 40), tiny_corpus, whole, progress=False)
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
    train(short(TINY, 40), tiny_corpus, cut, progress=False)
    a, b = (checkpoint.read_tensors(p / "state.safetensors")[0] for p in (whole, cut))
    assert a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)
    lines = (cut / "metrics.jsonl").read_text().splitlines()
    steps = [json.loads(line)["step"] for line in lines]
    assert steps == sorted(set(steps)) and steps[-1] == 40


def test_what_was_logged_before_the_first_checkpoint_is_logged_anew(
    tiny_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise UserError("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(checkpoint, "write_tensors", full)
        with pytest.raises(UserError, match="disk is full"):
            train(short(TINY, 8), tiny_corpus, tmp_path, progress=False)
    assert (tmp_path / "metrics.jsonl").read_text()
    train(short(TINY, 8), tiny_corpus, tmp_path, progress=False)
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [2, 4, 6, 8]


def test_damage_in_a_run_folder_is_passed_over_or_said(tiny_corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    train(short(TINY, 4), tiny_corpus, out, progress=False)
    (out / checkpoint.GENERATOR).unlink()  # a finished run without its weights is not finished
    with (out / "metrics.jsonl").open("ab") as log:
        log.write(b'{x}\n{"a": 1}\n\xff\xfe\n')
    train(short(TINY, 4), tiny_corpus, out, progress=False)
    assert checkpoint.read_tensors(out / checkpoint.GENERATOR)[1]["step"] == 4
    lines = (out / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [2, 4]
    (out / "config.json").write_text("[]")
    with pytest.raises(UserError, match="other settings"):
        train(short(TINY, 4), tiny_corpus, out, progress=False)


def test_a_second_process_is_told(tiny_corpus: Path, tmp_path: Path) -> None:
    from filelock import FileLock

    out = tmp_path / "run"
    out.mkdir()
    told = pytest.raises(UserError, match="another amie train is at work")
    with FileLock(out / ".train.lock"), told:
        train(short(TINY, 2), tiny_corpus, out, progress=False)
    assert train(short(TINY, 2), tiny_corpus, out, progress=False)["steps"] == 2


def test_a_finished_run_is_not_run_again_and_another_is_refused(
    tiny_corpus: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    first = train(short(TINY, 2), tiny_corpus, out, progress=False)
    stamp = (out / "state.safetensors").stat().st_mtime_ns
    assert train(short(TINY, 2), tiny_corpus, out, progress=False) == first
    assert (out / "state.safetensors").stat().st_mtime_ns == stamp
    with pytest.raises(UserError, match="other settings"):
        train(short(TINY, 2), tiny_corpus, out, seed=5, progress=False)
    assert 0 <= first["data_wait"] < 1 and first["frames_per_second"] > 0 and first["resident"]
    generator, meta = checkpoint.load_generator(out)
    assert meta["step"] == 2 and meta["row"] == "ours" and not generator.training
    checkpoint.load_fine_mask(out)


def test_clips_that_do_not_fit_in_memory_give_the_same_batches(tiny_corpus: Path) -> None:
    kept = Windows(tiny_corpus, TINY, 0, progress=False)
    read = Windows(tiny_corpus, TINY, 0, resident_bytes=0, progress=False)
    assert kept.resident and not read.resident
    a, b = kept.batch(3), read.batch(3)
    for name in vars(a):
        assert torch.equal(getattr(a, name), getattr(b, name)), name


def test_a_non_finite_loss_stops_and_keeps_the_last_checkpoint(
    tiny_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = AmieStep.__call__

    def breaks(self: AmieStep, batch: Batch, step: int) -> dict[str, torch.Tensor]:
        log = plain(self, batch, step)
        return log | {"g": log["g"] * float("nan")} if step >= 6 else log

    monkeypatch.setattr(AmieStep, "__call__", breaks)
    with pytest.raises(TrainingStopped, match="g not finite near step 8"):
        train(TINY, tiny_corpus, tmp_path / "run", progress=False)
    assert checkpoint.read_tensors(tmp_path / "run" / "state.safetensors")[1]["step"] == 4


def test_weights_that_are_not_finite_are_never_saved(
    tiny_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The step's own losses are from before its update: they may be finite still."""
    plain, run = AmieStep.__call__, tmp_path / "run"

    def breaks(self: AmieStep, batch: Batch, step: int) -> dict[str, torch.Tensor]:
        log = plain(self, batch, step)
        if step == 7:
            next(self.amie.generator.parameters()).data[0] = float("nan")
        return log

    monkeypatch.setattr(AmieStep, "__call__", breaks)
    with pytest.raises(TrainingStopped, match=r"generator.* not finite near step 8"):
        train(TINY, tiny_corpus, run, progress=False)
    for name in ("state", "generator"):
        tensors, meta = checkpoint.read_tensors(run / f"{name}.safetensors")
        own = [t for n, t in tensors.items() if "generator." in n]
        assert meta["step"] == 4 and own and all(bool(t.isfinite().all()) for t in own)


def test_a_full_disk_under_the_log_is_said(
    tiny_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Board, "add", full)
    with pytest.raises(UserError, match="run: cannot write its log .no space left on device"):
        train(TINY, tiny_corpus, tmp_path / "run", progress=False)


def test_a_damaged_run_folder_is_said_to_be(tiny_corpus: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    first = train(short(TINY, 2), tiny_corpus, run, progress=False)
    (run / "done.json").write_text('{"steps": 2}')  # not whole: it is finished again
    again = train(short(TINY, 2), tiny_corpus, run, progress=False)
    assert again["last"] == first["last"] and "minutes" in again
    (run / "done.json").write_text("2")
    with pytest.raises(UserError, match="cannot be used as a run folder"):
        train(short(TINY, 2), tiny_corpus, run, progress=False)
    (run / "done.json").unlink()
    tensors, meta = checkpoint.read_tensors(run / "state.safetensors")
    fewer = dict(list(tensors.items())[5:])
    for damaged, told in ((fewer, meta), (tensors, {"key": meta["key"]})):
        checkpoint.write_tensors(run / "state.safetensors", damaged, told)
        with pytest.raises(UserError, match=r"state.safetensors is damaged or of other code"):
            train(short(TINY, 2), tiny_corpus, run, progress=False)


def test_on_another_number_of_devices_it_is_another_run(tiny_corpus: Path, tmp_path: Path) -> None:
    train(short(TINY, 1), tiny_corpus, tmp_path / "run", progress=False)
    with pytest.raises(UserError, match="other settings, seed, data or --devices"):
        train(short(TINY, 1), tiny_corpus, tmp_path / "run", devices=2, progress=False)


def test_warns_when_t_stays_at_chance_or_d_wins(
    tiny_corpus: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    def bad(self: AmieStep, batch: Batch, step: int) -> dict[str, torch.Tensor]:
        values = {"lip": 0.1, "mi_t": -1.3863, "mi_js": -1.3863, "t_accuracy": 0.5}
        values["d_accuracy"] = 1.0
        return {name: torch.tensor(value) for name, value in values.items()}

    monkeypatch.setattr(AmieStep, "__call__", bad)
    changes = {"train.checkpoint_every": 1000, "train.log_every": 50}
    settings = config.with_changes(short(TINY, 300), changes)
    train(settings, tiny_corpus, tmp_path / "r", progress=False)
    said = capsys.readouterr()
    assert "T has not left chance" in said.out + said.err and "D has won" in said.out + said.err


def test_a_t_of_dv_that_tells_pairs_is_not_said_to_be_at_chance() -> None:
    """Eq. 7 of DV's scores may be anything: they have a free offset."""
    step = AmieStep.__new__(AmieStep)
    step.profile = config.resolve("grid", "c")
    known = {"lip": 0.1, "mi_t": 1.4, "mi_js": -23.0, "t_accuracy": 0.86, "d_accuracy": 0.6}
    assert "chance" not in step.warnings(known)
    assert "chance" in step.warnings(known | {"t_accuracy": 0.5})
    assert "MI 1.400 (chance 0.000)" in step.log_line(known)


SUMS = """
import hashlib
from pathlib import Path
from amie_core.training import loop as module
finish = module._Run._finish
def with_sum(self):
    weights = b"".join(p.detach().numpy().tobytes() for p in self.networks.parameters())
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
    ).replace("progress=False", "devices=2, progress=False")
    own = "from amie_core.training.loop import train"
    script.write_text(text.replace(own, SUMS + "train = module.train"))
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=300, env=environment
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads((out / "done.json").read_text())["devices"] == 2
    first, second = ((out / f"sum{rank}").read_text() for rank in (0, 1))
    assert first == second
    alone = train(short(TINY, 3), tiny_corpus, tmp_path / "one", progress=False)
    assert alone["devices"] == 1
    a, b = (checkpoint.read_tensors(p / "state.safetensors")[0] for p in (out, tmp_path / "one"))
    name = "networks.generator.decoder.out.weight"
    assert not torch.equal(a[name], b[name])  # the second process's batches did count


@pytest.mark.parametrize(
    ("asked", "gpu", "size", "wanted"),
    [
        ("auto", True, 64, "32-true"),
        ("auto", True, 256, "bf16-mixed"),
        ("auto", False, 64, "bf16-mixed"),
        ("bf16-mixed", True, 64, "bf16-mixed"),
        ("32-true", True, 256, "32-true"),
    ],
)
def test_bf16_is_taken_where_it_is_faster(
    asked: str, gpu: bool, size: int, wanted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("amie_core.training.method.fast_bf16", lambda gpu: True)
    changes = {"train.precision": asked, "model.image_size": size}
    assert precision_of(config.with_changes(TINY, changes), gpu) == wanted


def test_bf16_runs_on_a_cpu(tiny_corpus: Path, tmp_path: Path) -> None:
    brief = config.with_changes(short(TINY, 2), {"train.precision": "bf16-mixed"})
    done = train(brief, tiny_corpus, tmp_path / "run", progress=False)
    assert (done["steps"], done["precision"]) == (2, "bf16-mixed")


@pytest.mark.slow
def test_compiled_training_runs(tiny_corpus: Path, tmp_path: Path) -> None:
    """In a process of its own: the tests' type checks cannot be compiled."""
    out = tmp_path / "run"
    text = SCRIPT.format(
        tests=str(Path(__file__).parent), data=str(tiny_corpus), out=str(out), steps=2
    ).replace("short(TINY, 2)", "config.with_changes(short(TINY, 2), {'train.compile': True})")
    subprocess.run([sys.executable, "-c", text], check=True, timeout=900)
    assert json.loads((out / "done.json").read_text())["steps"] == 2


def test_bad_input_is_one_clear_line(tmp_path: Path, tiny_corpus: Path) -> None:
    for wrong in (
        lambda: config.resolve("nope"),
        lambda: config.resolve("smoke", "z"),
        lambda: config.resolve("smoke", changes={"train.stepz": 1}),
        lambda: train(TINY, tiny_corpus, tmp_path / "a", row="z"),
        lambda: train(TINY, tiny_corpus, tmp_path / "a", row="b"),  # the settings of another row
        lambda: train(TINY, tmp_path, tmp_path / "a"),
        lambda: checkpoint.load_generator(tmp_path / "none"),
    ):
        with pytest.raises(UserError) as caught:
            wrong()
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "a" / "config.json").exists()  # the folder is free for another run
    nothing = tmp_path / "nan.safetensors"
    tensors, meta = checkpoint.read_tensors(SHIPPED)
    name = next(name for name, tensor in tensors.items() if tensor.is_floating_point())
    checkpoint.write_tensors(nothing, tensors | {name: tensors[name] * float("nan")}, meta)
    with pytest.raises(UserError, match="holds what is no number"):
        checkpoint.load_generator(nothing)
    for missing in ("mfcc_rate", "step", "commit"):
        less = {name: told for name, told in meta.items() if name != missing}
        checkpoint.write_tensors(nothing, tensors, less)
        with pytest.raises(UserError, match=f"header does not describe a generator .'{missing}'"):
            checkpoint.load_generator(nothing)
    damaged = tmp_path / "x.safetensors"
    damaged.write_bytes(b"\x00" * 100)
    with pytest.raises(UserError, match="not a checkpoint"):
        checkpoint.load_generator(damaged)


def test_tensorboard_reads_the_curves_and_a_run_begun_again_goes_on(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    first = Board(tmp_path, 0)
    for step in (1, 2, 3):
        first.add({"lip": step / 2, "d": 1.0}, step)
    again = Board(tmp_path, 3)  # step 3 was lost with the checkpoint that was not written
    again.add({"lip": 7.0}, 3)
    read = EventAccumulator(str(tmp_path))
    read.Reload()
    assert [(p.step, p.value) for p in read.Scalars("lip")] == [(1, 0.5), (2, 1.0), (3, 7.0)]
