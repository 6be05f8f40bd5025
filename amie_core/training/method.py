"""What every method's training shares: networks with their averaged copy, optimisers, schedule.

A method (AMIE in `amie.py`, the four compared ones in `peers/`) supplies its networks and what one
step learns; windows, batches, steps, seeds, precision, checkpoints and resume are the loop's.
"""

import copy
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Literal, cast

import numpy as np
import torch
from jaxtyping import Float
from lightning_fabric import Fabric
from torch import Tensor, nn

from amie_core.config import PEERS, ModelConfig, Profile, TrainConfig
from amie_core.errors import UserError
from amie_core.machine import fast_bf16
from amie_core.model.talker import Talker
from amie_core.training.windows import Batch, Windows

BF16_FROM = 128  # px, on a GPU: at 64 an H100 takes 98 ms a step in TF32, 131 in bf16


class Networks(nn.Module):
    """All networks of a run, and the EMA copy of the generator that is evaluated and shipped."""

    generator: Talker
    averaged: Talker

    def average(self) -> None:
        """Start the averaged copy; called once all networks are made."""
        self.averaged = copy.deepcopy(self.generator).requires_grad_(False)

    def fit(self, windows: Windows) -> None:
        """Take from the training data what is not learnt by steps: the sound's statistics."""
        self.set_standardisation(*windows.standardisation())

    def set_standardisation(self, mean: Float[Tensor, "*c"], std: Float[Tensor, "*c"]) -> None:
        """Give all audio inputs the corpus's mean and deviation of what they hear."""
        for module in self.modules():
            if isinstance(getattr(module, "std", None), Tensor):
                module.get_buffer("mean").copy_(mean)
                module.get_buffer("std").copy_(std)

    def shipped(self) -> dict[str, Tensor]:
        """What the small checkpoint holds, by name."""
        return {f"generator.{name}": t for name, t in self.averaged.state_dict().items()}


def rate_factor(step: int, first: int, last: int, t: TrainConfig) -> float:
    """The learning rate at a step of the phase first … last, as a share of the full one.

    Linear warm-up, constant, then a cosine down to `lr_end` over the last `decay` of the phase.
    """
    warm = min(1.0, (step - first + 1) / max(t.warmup, 1))
    way = (step - first) / max(last - first, 1)
    way = min(max((way - (1 - t.decay)) / max(t.decay, 1e-9), 0.0), 1.0)
    return warm * (t.lr_end + (1 - t.lr_end) * 0.5 * (1 + float(np.cos(np.pi * way))))


class MethodStep:
    """One training step of a method: schedule, its own `update`, then the averaged weights."""

    def __init__(self, profile: Profile, networks: Networks, fabric: Fabric, seed: int) -> None:
        self.profile, self.networks, self.fabric, self.seed = profile, networks, fabric, seed
        self.optimizers: dict[str, torch.optim.Optimizer] = {}
        self.rates: dict[str, float] = {}  # by optimiser, where it is not train.lr
        self.phases: dict[str, tuple[int, int]] = {}  # first and last step, where not the whole run

    def update(self, batch: Batch, step: int, random: np.random.Generator) -> dict[str, Tensor]:
        """Learn from a batch; returns the values to log, "lip" (Eq. 11) among them."""
        raise NotImplementedError

    def __call__(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """Run one step; returns the values to log, detached."""
        random = np.random.default_rng([self.seed, step, 7])  # the same on every device
        self._schedule(step)
        log = self.update(batch, step, random)
        with torch.no_grad():
            # What was learnt before the decay, under attention on dimmed faces, is left behind.
            turn = round((1 - self.profile.train.decay) * self.profile.train.steps)
            age = step - turn if step >= turn else step
            decay = 0.0 if step == turn else min(self.profile.train.ema, (1 + age) / (10 + age))
            averaged, own = self.networks.averaged, self.networks.generator
            torch._foreach_lerp_(list(averaged.parameters()), list(own.parameters()), 1 - decay)
            for mine, its in zip(averaged.buffers(), own.buffers(), strict=True):
                mine.copy_(its)
        return {name: value.detach() for name, value in log.items()}

    def log_line(self, values: dict[str, float]) -> str:
        """The logged values in a few words, beside the progress bar."""
        judged = f", D right {values['d_accuracy']:.0%}" if "d_accuracy" in values else ""
        return f"lip {values['lip']:.4f}{judged}"

    def warnings(self, values: dict[str, float]) -> dict[str, str]:
        """What the smoothed values warn of, by a name for each warning."""
        if values.get("d_accuracy", 0.0) > 0.98:
            text = "D has won (98 % right): G gets little from L_GAN; lower loss.gan or lr"
            return {"d": text}
        return {}

    def adam(self, parameters: Iterable[Any]) -> torch.optim.Adam:
        """Adam of the profile; one fused kernel a step instead of a loop over parameters."""
        t = self.profile.train
        return torch.optim.Adam(parameters, t.lr, t.betas, fused=True)

    def _schedule(self, step: int) -> None:
        """Warm-up, constant, decay: a function of the step alone, so nothing to resume."""
        t = self.profile.train
        for name, optimizer in self.optimizers.items():
            factor = rate_factor(step, *self.phases.get(name, (0, t.steps)), t)
            for group in optimizer.param_groups:
                group["lr"] = factor * self.rates.get(name, t.lr)

    def apply(self, name: str, loss: Tensor) -> None:
        """Backward, mean of the gradients over devices, clip, update."""
        optimizer = self.optimizers[name]
        optimizer.zero_grad(set_to_none=True)
        self.fabric.backward(loss)
        parameters = [p for g in optimizer.param_groups for p in g["params"] if p.grad is not None]
        if self.fabric.world_size > 1:
            flat = torch.cat([p.grad.flatten() for p in parameters])
            flat = cast(Tensor, self.fabric.all_reduce(flat, reduce_op="mean"))
            for p, mean in zip(
                parameters, flat.split([p.numel() for p in parameters]), strict=True
            ):
                p.grad.copy_(mean.view_as(p))
        nn.utils.clip_grad_norm_(parameters, self.profile.train.clip)
        optimizer.step()


@dataclass(frozen=True)
class Method:
    """How a method is made: its generator alone, all its networks, its step."""

    generator: Callable[[ModelConfig], Talker]
    networks: Callable[[Profile], Networks]
    step: Callable[[Profile, Any, Fabric, int], MethodStep]


def precision_of(settings: Profile, gpu: bool) -> Literal["32-true", "bf16-mixed"]:
    """The run's precision; "auto" is bfloat16 where it runs in hardware and is faster."""
    if settings.train.precision != "auto":
        return settings.train.precision
    # A GPU waits for the host at small pictures, and bf16's casts are launches too.
    small = gpu and settings.model.image_size < BF16_FROM
    return "bf16-mixed" if fast_bf16(gpu) and not small else "32-true"


def launch_fabric(settings: Profile, devices: int) -> Fabric:
    """Fabric on the GPUs where there are any, else the CPU; launched (UserError: too few GPUs)."""
    gpu = torch.cuda.is_available()
    if gpu and devices > torch.cuda.device_count():
        raise UserError(f"--devices {devices}: this machine has {torch.cuda.device_count()} GPUs")
    made = Fabric(
        accelerator="cuda" if gpu else "cpu",
        devices=devices,
        strategy="ddp" if devices > 1 else "auto",
        precision=precision_of(settings, gpu),
    )
    made.launch()
    if gpu:
        torch.set_float32_matmul_precision("high")
        torch.backends.cudnn.benchmark = True
    return made


def _of_module(name: str) -> Callable[[], Method]:
    """Gives a module's METHOD; imports it only then."""
    return lambda: import_module(name).METHOD


# What makes a method, by its name; config.METHODS has the name that tables give it.
MAKERS: dict[str, Callable[[], Method]] = {
    "amie": _of_module("amie_core.training.amie"),
    **{name: _of_module(f"amie_core.peers.{name}") for name in PEERS},
}


def method_of(name: str) -> Method:
    """The method of that name (UserError when there is none)."""
    if name not in MAKERS:
        raise UserError(f"unknown method {name!r}: choose one of {', '.join(MAKERS)}")
    return MAKERS[name]()
