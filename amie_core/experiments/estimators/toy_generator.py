"""The paper's claim in two parameters: a generator f̂ = c·a + s·ε of the "audio" a.

Real "lips" f and audio a are standard Gaussians with correlation rho, so the true generator is
c = rho, s = sqrt(1 - rho²). Symmetric: the critic T is trained on generated pairs. Asymmetric
(sec. 3.2): on real pairs, and evaluated on generated ones. Both give the generator its gradient.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from amie_core.experiments.estimators.known_truth import gaussian_nats
from amie_core.mutual_information import objectives

STARTS = {"blurry": (0.2, 0.3), "anti-sync": (-0.3, 0.6)}  # c, s


def symmetric_value(c: np.ndarray, s: np.ndarray) -> np.ndarray:
    """I(F̂; A) = ½ ln(1 + c²/s²), what a critic trained on generated pairs finds (DV, nats).

    Blind to the sign of c: lips that close when they should open score as high.
    """
    return 0.5 * np.log1p((c / s) ** 2)


def asymmetric_value(c: np.ndarray, s: np.ndarray, rho: float) -> np.ndarray:
    """DV of the ideal real critic on generated pairs: E[T*] (nats), its second term being 0.

    Equal to I(F̂; A) less the posterior mismatch. Highest at c = 1/rho, s = 0: value I + ½.
    """
    spread = rho**2 * (c**2 + s**2 + 1) - 2 * rho * c
    return gaussian_nats(rho) - spread / (2 * (1 - rho**2))


def mismatch(c: np.ndarray, s: np.ndarray, rho: float) -> np.ndarray:
    """E KL(p̂(a|f̂) ‖ p(a|f̂)), nats: what asymmetry takes off for lips that mean something else.

    Between p̂ = N(c f̂/v, s²/v), v = c² + s², and p = N(rho f̂, 1 - rho²).
    """
    v, rest = c**2 + s**2, 1 - rho**2
    shift = (c / v - rho) ** 2 * v
    return 0.5 * (np.log(rest * v / s**2) + (s**2 / v + shift) / rest - 1)


def total_value(c: np.ndarray, s: np.ndarray, rho: float, weight: float) -> np.ndarray:
    """What a generator with an L2 term and λ3 = weight maximises: -E|f - f̂|² + weight · MI."""
    return -((c**2 + s**2 + 1) - 2 * rho * c) + weight * asymmetric_value(c, s, rho)


def best_gain(rho: float, weight: float) -> float:
    """The c that maximises `total_value` (s = 0): from rho at weight 0 up to 1/rho."""
    pull = weight / (2 * (1 - rho**2))
    return rho * (1 + pull) / (1 + pull * rho**2)


def path(
    pairs: str, objective: str, start: tuple[float, float], seed: int, rho: float = 0.75,
    steps: int = 1500, batch: int = 256, every: int = 50, lr: float = 5e-3,
) -> list[tuple[float, float]]:  # fmt: skip
    """(c, s) every `every` steps of a generator that follows a critic in training.

    pairs: "real" (asymmetric) or "generated" (symmetric); objective: "js" or "dv". One step of T,
    then one of G with the updated T, as in the model.
    """
    torch.manual_seed(seed)
    critic = nn.Sequential(nn.Linear(2, 32), nn.SiLU(), nn.Linear(32, 32), nn.SiLU(),
                           nn.Linear(32, 1))  # fmt: skip
    c = nn.Parameter(torch.tensor(start[0]))
    log_s = nn.Parameter(torch.tensor(math.log(start[1])))
    learner = torch.optim.Adam(critic.parameters(), lr=lr)
    generator = torch.optim.Adam([c, log_s], lr=2e-3)
    value = getattr(objectives, objective)

    def judged(lips: Tensor, audio: Tensor) -> Tensor:
        halves = critic(torch.stack([lips.repeat(2), torch.cat([audio, audio.roll(1)])], 1))
        return value(halves[:batch], halves[batch:])

    def generated(audio: Tensor) -> Tensor:
        return c * audio + log_s.exp() * torch.randn(batch)

    points = []
    for step in range(steps + 1):
        if step % every == 0:
            points.append((round(c.item(), 4), round(log_s.exp().item(), 4)))
        audio = torch.randn(batch)
        real = rho * audio + math.sqrt(1 - rho**2) * torch.randn(batch)
        learner.zero_grad()
        lips = real if pairs == "real" else generated(audio).detach()
        (-judged(lips, audio)).backward()
        learner.step()
        audio = torch.randn(batch)
        generator.zero_grad()
        (-judged(generated(audio), audio)).backward()
        generator.step()
    return points


def paths(seeds: Sequence[int] = range(5), rho: float = 0.75, steps: int = 1500) -> dict[str, Any]:
    """Figure `mi_paths`: paths[start][pairs][objective], one a seed."""
    found = {
        name: {pairs: {objective: [path(pairs, objective, start, seed, rho, steps)
                                   for seed in seeds]
                       for objective in ("dv", "js")}
               for pairs in ("generated", "real")}
        for name, start in STARTS.items()
    }  # fmt: skip
    return {"rho": rho, "steps": steps, "seeds": list(seeds), "paths": found}


def recovered(found: dict[str, Any], pairs: str, objective: str) -> int:
    """In how many seeds the anti-sync start ends in sync (c > 0)."""
    return sum(points[-1][0] > 0 for points in found["paths"]["anti-sync"][pairs][objective])
