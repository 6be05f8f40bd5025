"""The training loop (Lightning Fabric): runs, exact resume, logs, warnings."""

import contextlib
import json
import math
import time
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor

from amie_core import config, files, machine
from amie_core.config import FACE_SIZE, SAMPLE_RATE, Profile
from amie_core.data import store
from amie_core.errors import UserError, reason
from amie_core.model.talker import picture_size
from amie_core.training import checkpoint
from amie_core.training.board import Board
from amie_core.training.method import launch_fabric, method_of, precision_of
from amie_core.training.windows import Prefetch, Windows


class TrainingStopped(UserError):
    """Training met a non-finite loss; the last good checkpoint is kept."""


def train(
    settings: Profile,
    data: str | Path,
    out: str | Path,
    *,
    also: str | Path | None = None,
    start: str | Path | None = None,
    row: str = "ours",
    method: str = "amie",
    seed: int = 0,
    devices: int = 1,
    progress: bool = True,
) -> dict[str, Any]:
    """Train one run in folder `out` on the prepared clips of `data`; resume it if it was begun.

    settings: resolved (`config.resolve`), `row` the row of Table 3 that they are.
    `also`: a second prepared corpus that the share `train.mix` of the windows comes from; `start`:
    a run whose weights this one begins with, of the same sizes (its T and D included).
    `method`: one of config.METHODS (a compared method has no rows).
    A finished run is not run again. Several `devices` are several processes (DDP): call it from
    a script or the command line then, not from a notebook. Returns the content of done.json.
    Raises UserError for unusable input, TrainingStopped for a non-finite loss.
    """
    method_of(method)
    if method != "amie" and row != "ours":
        raise UserError(f"row {row!r} is one of AMIE's: method {method!r} has none")
    if config.for_row(settings, row) != settings:
        raise UserError(f"these are not the settings of row {row!r}: config.resolve gives them")
    model = settings.model
    if model.speech_embedding and (model.compose, settings.mfcc_rate) != ("landmarks", SAMPLE_RATE):
        raise UserError(f"model.speech_embedding needs compose=landmarks, mfcc_rate={SAMPLE_RATE}")
    if settings.train.lip_edges and (model.compose != "landmarks" or model.canvas == FACE_SIZE):
        raise UserError(f"train.lip_edges needs compose=landmarks, canvas < {FACE_SIZE}")
    folders, out = [Path(folder) for folder in (data, also) if folder is not None], Path(out)
    if (also is not None) != (0 < settings.train.mix < 1):
        mix = f"train.mix = {settings.train.mix:g}"
        raise UserError(f"{mix}: a share between 0 and 1 goes with a second folder (--also)")
    corpora = [store.settings(folder) for folder in folders]
    for folder, corpus in zip(folders, corpora, strict=True):
        if corpus.get("mfcc_rate", settings.mfcc_rate) != settings.mfcc_rate:
            raise UserError(
                f"{folder}: prepared with MFCC at {corpus['mfcc_rate']} Hz, the profile wants "
                f"{settings.mfcc_rate} Hz; prepare it again with --mfcc-rate {settings.mfcc_rate}"
            )
    digest = "+".join(store.digest(folder) for folder in folders)
    begun = checkpoint.run_name(Path(start)) if start is not None else ""
    identity = {
        "profile": config.to_dict(settings),
        "row": row if method == "amie" else method,
        "method": method,
        "seed": seed,
        "start": begun,
        "corpus": "+".join(str(corpus.get("corpus")) for corpus in corpora),
        "data_digest": digest,
        # Each device learns from a batch of its own: on more of them it is another run.
        "key": config.run_key(
            settings, seed, digest + begun + (f"+{devices} devices" if devices > 1 else ""), method
        ),
    }
    finished = _open_run(out, identity)
    if finished:
        return finished
    fabric = launch_fabric(settings, devices)
    with files.only_one(out, "train") if fabric.is_global_zero else contextlib.nullcontext():
        run = _Run(settings, identity, folders, out, fabric, progress)
        if start is not None:
            checkpoint.begin_from(run.networks, Path(start))
        if fabric.is_global_zero and not _open_run(out, identity):  # nobody was faster
            # Not before: what could not begin leaves the folder free.
            files.write_json(out / "config.json", identity | {"commit": run.commit})
        return run.loop()


def _open_run(out: Path, identity: dict[str, Any]) -> dict[str, Any] | None:
    """Make the run's folder, or check that it holds this very run; its result if it is done."""
    settings = out / "config.json"
    try:
        out.mkdir(parents=True, exist_ok=True)
        if settings.exists():
            known = files.from_json(settings.read_text())
            if not isinstance(known, dict) or known.get("key") != identity["key"]:
                raise UserError(
                    f"{out} holds a run with other settings, seed, data or --devices: choose "
                    "another --out"
                )
            done = out / "done.json"
            told = files.from_json(done.read_text()) if done.exists() else {}
            whole = {"steps", "minutes", "frames_per_second"} <= set(told)
            return told if whole and (out / checkpoint.GENERATOR).exists() else None
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"{out}: cannot be used as a run folder ({error})") from None
    return None


def _step_of(line: str) -> float:
    """The step that a log line tells of; none ever where it cannot be read: a kill cut it."""
    try:
        return float(files.from_json(line)["step"])
    except (ValueError, KeyError, TypeError):
        return math.inf


class _Run:
    """One run: its networks, its folder, its loop."""

    def __init__(
        self,
        settings: Profile,
        identity: dict[str, Any],
        folders: list[Path],
        out: Path,
        fabric: Fabric,
        progress: bool,
    ) -> None:
        self.settings, self.identity, self.out = settings, identity, out
        self.fabric, self.progress = fabric, progress and fabric.is_global_zero
        torch.manual_seed(identity["seed"])  # the initial weights; batches have their own seeds
        method = method_of(identity["method"])
        self.networks = method.networks(settings)
        self.windows = Windows(
            folders[0], settings, identity["seed"], also=folders[1] if folders[1:] else None,
            hears=self.networks.generator.hears, rank=fabric.global_rank, device=fabric.device,
            progress=self.progress,
        )  # fmt: skip
        if not (out / checkpoint.STATE).exists():  # else it is known from there
            self.networks.fit(self.windows)
        fabric.to_device(self.networks)
        checkpoint.channels_last(self.networks)
        self.step = method.step(settings, self.networks, fabric, identity["seed"])
        self.done, self.seconds, self.waited = 0, 0.0, 0.0
        self.smooth: dict[str, float] = {}
        self.warned: set[str] = set()
        self.board: Board | None = None
        self.commit = files.commit()  # of the code that runs, whatever is edited meanwhile

    def loop(self) -> dict[str, Any]:
        """Train to the last step; returns what done.json holds."""
        t = self.settings.train
        self._resume()
        if self.done == t.steps:
            self._save()  # a kill may have come between its two files
        batches = Prefetch(self.windows, self.done, t.steps)
        bar = machine.progress_bar(
            what="train", shown=self.progress, total=t.steps, initial=self.done, unit="step"
        )
        pending: list[dict[str, Tensor]] = []
        begun, before = time.perf_counter(), (self.seconds, self.waited)
        try:
            for batch in batches:
                pending.append(self.step(batch, self.done))
                self.done += 1
                last = self.done == t.steps
                save = last or self.done % t.checkpoint_every == 0
                if save or self.done % t.log_every == 0:
                    # Reading values waits for the device, so it is done once in a while.
                    self.seconds = before[0] + time.perf_counter() - begun
                    self.waited = before[1] + batches.waited
                    self._log(pending, bar)
                    pending = []
                if save:
                    self._save()
                bar.update()
        finally:
            batches.close()
            bar.close()
        return self._finish()

    def _refuse(self, broken: list[str]) -> None:
        if broken:
            raise TrainingStopped(
                f"{self.out}: {', '.join(broken)} not finite near step {self.done}; stopped, the "
                f"last good checkpoint is kept. A lower train.lr or other weights may help"
            )

    def _log(self, pending: list[dict[str, Tensor]], bar: Any) -> None:
        names = dict.fromkeys(name for values in pending for name in values)
        mean = {  # a step may lack a value: no mask is worn at rate 1
            name: float(torch.stack([p[name].float() for p in pending if name in p]).mean())
            for name in names
        }
        self._refuse([name for name, value in mean.items() if not math.isfinite(value)])
        for name, value in mean.items():
            self.smooth[name] = 0.9 * self.smooth.get(name, value) + 0.1 * value
        t = self.settings.train
        rate = self._speed()
        entry = {
            "step": self.done,
            "seconds": round(self.seconds, 3),
            "frames_per_second": round(rate, 2),
            "data_wait": round(self.waited / max(self.seconds, 1e-9), 5),
            **{name: float(f"{value:.6g}") for name, value in mean.items()},
        }
        if self.fabric.is_global_zero:
            try:
                with (self.out / "metrics.jsonl").open("a") as file:
                    file.write(json.dumps(entry) + "\n")
                self._board().add(entry, self.done)
            except OSError as error:
                raise UserError(
                    f"{self.out}: cannot write its log ({reason(error)}): make room, then the same "
                    "command goes on"
                ) from error
        bar.set_postfix_str(
            f"{rate:.0f} frames/s, data wait {entry['data_wait']:.1%}, {self.step.log_line(mean)}"
        )
        if self.done > 0.3 * t.steps and self.done >= 200:
            for name, text in self.step.warnings(self.smooth).items():
                if name not in self.warned:
                    self.warned.add(name)
                    machine.say(f"warning at step {self.done}: {text}")

    def _speed(self) -> float:
        """Frames generated and learnt from a second, over the whole run and all devices."""
        t = self.settings.train
        frames = self.done * t.batch * t.unroll * self.fabric.world_size
        return frames / max(self.seconds, 1e-9)

    def _board(self) -> Board:
        if self.board is None:
            self.board = Board(self.out / "tensorboard", self.done)
        return self.board

    def _meta(self) -> dict[str, Any]:
        plain = config.to_dict(self.settings)
        return {
            "profile": plain["name"],
            "corpus": self.identity["corpus"],
            "split": "train",
            "row": self.identity["row"],
            "method": self.identity["method"],
            "seed": self.identity["seed"],
            "commit": self.commit,
            "step": self.done,
            "steps": plain["train"]["steps"],
            "image_size": picture_size(self.settings.model),
            "mfcc_rate": plain["mfcc_rate"],
            "level": plain["level"],
            "data_digest": self.identity["data_digest"],
            "model": plain["model"],
            "start": self.identity["start"],
        }

    def _save(self) -> None:
        """Everything of the run in one file, then the generator alone; each written whole.

        What a step did to the weights shows in no loss before the next: they are looked at.
        """
        weights = self.networks.named_parameters()
        self._refuse([name for name, w in weights if not bool(w.isfinite().all())][:3])
        if not self.fabric.is_global_zero:
            return
        state = {f"networks.{n}": t for n, t in self.networks.state_dict().items()}
        for name, optimizer in self.step.optimizers.items():
            for index, values in optimizer.state_dict()["state"].items():
                for key, value in values.items():
                    state[f"optimizers.{name}.{index}.{key}"] = torch.as_tensor(value)
        clock = {"seconds": self.seconds, "waited": self.waited, "smooth": self.smooth}
        checkpoint.write_tensors(
            self.out / checkpoint.STATE, state, {"step": self.done, "key": self.identity["key"]}
            | clock,
        )  # fmt: skip
        checkpoint.write_tensors(
            self.out / checkpoint.GENERATOR, self.networks.shipped(), self._meta()
        )

    def _resume(self) -> None:
        """Take up the last checkpoint, if there is one; log lines after it are dropped."""
        if (self.out / checkpoint.STATE).exists():
            self._take_up()
        log = self.out / "metrics.jsonl"
        if log.exists() and self.fabric.is_global_zero:
            lines = log.read_text(errors="replace").splitlines()
            kept = [ln for ln in lines if _step_of(ln) <= self.done]
            files.write_whole(log, "".join(f"{ln}\n" for ln in kept).encode())

    def _take_up(self) -> None:
        """Networks, optimizers and clock as the last checkpoint has them."""
        state, meta = checkpoint.read_tensors(self.out / checkpoint.STATE)
        if meta.get("key") != self.identity["key"]:
            raise UserError(f"{self.out} holds the state of another run: choose another --out")
        try:
            self._lay(state, meta)
        except (RuntimeError, KeyError, IndexError, ValueError, TypeError):
            raise UserError(
                f"{self.out / checkpoint.STATE} is damaged or of other code: remove it to begin "
                "the run anew, or choose another --out"
            ) from None

    def _lay(self, state: dict[str, Tensor], meta: dict[str, Any]) -> None:
        clock = {name: meta[name] for name in ("step", "smooth", "seconds", "waited")}
        own = {n.removeprefix("networks."): t for n, t in state.items() if n[:9] == "networks."}
        self.networks.load_state_dict(own)
        for name, optimizer in self.step.optimizers.items():
            plain = optimizer.state_dict()
            weights = [p for group in optimizer.param_groups for p in group["params"]]
            prefix = f"optimizers.{name}."
            for full, value in state.items():
                if full.startswith(prefix):
                    index, key = full.removeprefix(prefix).split(".")
                    if value.ndim:  # the fused kernel wants its moments laid out as the weights
                        value = torch.empty_like(weights[int(index)]).copy_(value)
                    plain["state"].setdefault(int(index), {})[key] = value
            optimizer.load_state_dict(plain)
        self.done, self.smooth = int(clock["step"]), dict(clock["smooth"])
        self.seconds, self.waited = float(clock["seconds"]), float(clock["waited"])

    def _finish(self) -> dict[str, Any]:
        result = {
            "steps": self.done,
            "minutes": round(self.seconds / 60, 2),
            "frames_per_second": round(self._speed(), 1),
            "data_wait": round(self.waited / max(self.seconds, 1e-9), 5),
            "resident": self.windows.resident,
            "parameters": sum(p.numel() for p in self.networks.generator.parameters()),
            "devices": self.fabric.world_size,
            "precision": precision_of(self.settings, torch.cuda.is_available()),
            "machine": machine.describe(),
            "torch": torch.__version__,
            "commit": self.commit,
            "key": self.identity["key"],
            "last": {name: float(f"{value:.5g}") for name, value in self.smooth.items()},
        }
        if self.fabric.is_global_zero:
            files.write_json(self.out / "done.json", result)
        return result
