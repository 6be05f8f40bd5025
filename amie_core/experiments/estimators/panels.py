"""What the figures and tables of notebook 02 show: each panel's numbers, as plain dictionaries."""

import itertools
import json
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from amie_core.experiments.estimators import known_truth as kt
from amie_core.files import figures_dir, write_whole
from amie_core.mutual_information import objectives, readouts
from amie_core.mutual_information.classical import edgeworth, gaussian, ksg
from amie_core.mutual_information.estimation.estimate import estimate
from amie_core.mutual_information.estimation.fit import FitConfig

NEURAL = ("js", "dv", "ruderman", "nwj", "infonce")


def exact_scores(
    rho: float, n: int, dims: int, rng: np.random.Generator
) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
    """Scores of the exact critic on n joint and n independent Gaussian pairs of `dims` columns."""
    a, b, e = rng.standard_normal((3, n, dims))
    joint = kt.gaussian_log_ratio(a, rho * a + np.sqrt(1 - rho**2) * e, rho).sum(1)
    return torch.from_numpy(joint), torch.from_numpy(kt.gaussian_log_ratio(a, b, rho).sum(1))


def kept(name: str, run: Callable[[], dict[str, Any]], rerun: bool = False) -> dict[str, Any]:
    """Results of a long experiment from figures/mi_NAME.json; run and written there if `rerun`.

    Where $AMIE_FIGURES names another folder that has no such file, the committed one is read.
    """
    target = figures_dir() / f"mi_{name}.json"
    committed = Path(__file__).resolve().parents[3] / "figures" / target.name
    found_at = target if target.is_file() else committed
    if rerun or not found_at.is_file():
        began = time.process_time()
        found = run() | {"cpu_seconds": round(time.process_time() - began)}
        write_whole(target, f"{json.dumps(found)}\n".encode())
        found_at = target
    return json.loads(found_at.read_text())


def correlation_and_dimension(
    seeds: Sequence[int] = range(5), n: int = 1000,
    correlations: Sequence[float] = (0.0, 0.3, 0.6, 0.8, 0.9), dims: Sequence[int] = (2, 5, 10),
) -> dict[str, Any]:  # fmt: skip
    """Figure `mi_correlation`: estimators on Gaussians, over correlation (1-D) and dimension.

    The correlation is .5 where the dimension varies.
    Returns rows of rho, dims, truth and, by estimator, one value (nats) a seed; js_exact is the
    value of Eq. 7 with the exact critic, on its own scale.
    """
    rows = []
    for rho, d in [(r, 1) for r in correlations] + [(0.5, d) for d in dims]:
        values: dict[str, list[float]] = {}
        for seed in seeds:
            x, y = kt.correlated(kt.sparse(d, d, rho), d, n, np.random.default_rng([seed, d]))
            found = {"ksg": ksg(x, y), "gaussian": gaussian(x, y), "edgeworth": edgeworth(x, y)}
            for objective in NEURAL:
                found[objective] = estimate(
                    x, y, objective, seed=seed, folds=3, critics=("smooth",), progress=False,
                    config=FitConfig(epochs=10),
                ).nats  # fmt: skip
            scores = exact_scores(rho, 100_000, d, np.random.default_rng(seed))
            found["js_exact"] = float(objectives.js(*scores))
            for name, value in found.items():
                values.setdefault(name, []).append(round(value, 5))
        rows.append({"rho": rho, "dims": d, "truth": d * kt.gaussian_nats(rho), "values": values})
    return {"n": n, "seeds": list(seeds), "rows": rows}


def exact_critic_batches(
    rho: float = 0.9, dims: int = 5, batches: Sequence[int] = (16, 32, 64, 128, 256, 512),
    pairs: int = 32_768, seeds: Sequence[int] = range(5),
) -> dict[str, Any]:  # fmt: skip
    """Figure `mi_batches`: read-outs of the exact critic, averaged over batches of size B.

    With the critic exact, what is left is bias and variance of the read-out. Returns, by read-out
    and batch size, one mean over batches a seed and the scatter of single batches.
    """
    reads: dict[str, Callable[[Tensor, Tensor], float]] = {
        "dv": readouts.dv_pooled, "nwj": readouts.nwj, "smile": readouts.smile,
        "xi": readouts.xi_jsd,
    }  # fmt: skip
    values: dict[str, dict[str, list[float]]] = {name: {} for name in reads}
    scatter: dict[str, dict[str, float]] = {name: {} for name in reads}
    pooled = []
    for seed in seeds:
        joint, marginal = exact_scores(rho, pairs, dims, np.random.default_rng(seed))
        pooled.append(readouts.dv_pooled(joint, marginal))
        for size in batches:
            halves = list(zip(joint.split(size), marginal.split(size), strict=True))[:128]
            for name, read in reads.items():
                each = np.array([read(j, m) for j, m in halves])
                values[name].setdefault(str(size), []).append(float(each.mean()))
                scatter[name][str(size)] = float(each.std())
    return {"rho": rho, "dims": dims, "truth": dims * kt.gaussian_nats(rho), "pairs": pairs,
            "seeds": list(seeds), "values": values, "scatter": scatter, "dv_pooled": pooled}


def _plain_critic(inputs: int, width: int = 64) -> torch.nn.Sequential:
    nn = torch.nn
    return nn.Sequential(nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(),
                         nn.Linear(width, 1))  # fmt: skip


def _smile_objective(joint: Tensor, marginal: Tensor) -> Tensor:
    """JS's gradient, SMILE's value (Song and Ermon 2020)."""
    js = objectives.js(joint, marginal)
    return js + (readouts.smile(joint, marginal) - js).detach()


def trace(
    objective: str, lr: float, draw: Callable, seed: int, steps: int = 600, batch: int = 256,
    every: int = 20,
) -> list[float]:  # fmt: skip
    """Held-out reading (nats) of a plain critic on fresh samples, every `every` steps.

    objective: "dv", "dv+ema", "js" (read as DV) or "smile". Not finite: training has broken down.
    """
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)

    def sample(n: int) -> tuple[Tensor, Tensor]:
        x, y = (torch.from_numpy(v).float() for v in draw(n, rng))
        return torch.cat([x, y], 1), torch.cat([x, y.roll(1, 0)], 1)

    held, values = sample(4000), []
    critic = _plain_critic(held[0].shape[1])
    losses: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
        "dv": objectives.dv, "dv+ema": objectives.EmaDv(), "js": objectives.js,
        "smile": _smile_objective,
    }  # fmt: skip
    read = readouts.smile if objective == "smile" else readouts.dv_pooled
    optimiser = torch.optim.Adam(critic.parameters(), lr=lr)
    for step in range(steps + 1):
        if step % every == 0:
            with torch.no_grad():
                values.append(round(read(*(critic(part) for part in held)), 4))
        joint, marginal = (critic(part) for part in sample(batch))
        optimiser.zero_grad()
        (-losses[objective](joint, marginal)).backward()
        optimiser.step()
    return values


def stability(
    seeds: Sequence[int] = range(3), rates: Sequence[float] = (5e-4, 5e-3, 5e-2), steps: int = 600
) -> dict[str, Any]:
    """Figure `mi_stability`: traces by task, objective and learning rate, one a seed.

    Tasks: five correlated Gaussian pairs (rho = .8), and Student vectors as they come, whose raw
    tails no critic here is protected from.
    """

    def gauss(n: int, rng: np.random.Generator) -> kt.Pairs:
        return kt.correlated(kt.sparse(5, 5), 5, n, rng)

    def tails(n: int, rng: np.random.Generator) -> kt.Pairs:
        return kt.student(5, 5, 2, n, rng)

    cases = {"gaussian": (gauss, 5 * kt.gaussian_nats(0.8)),
             "student": (tails, kt.student_nats(5, 5, 2))}  # fmt: skip
    traces = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a critic that overflows is a result here
        for name, (draw, _) in cases.items():
            traces[name] = {
                objective: {str(lr): [trace(objective, lr, draw, s, steps) for s in seeds]
                            for lr in rates}
                for objective in ("dv", "dv+ema", "js", "smile")
            }  # fmt: skip
    truth = {name: nats for name, (_, nats) in cases.items()}
    return {"truth": truth, "traces": traces, "seeds": list(seeds), "every": 20, "steps": steps}


def benchmark(
    tasks: Sequence[kt.Task], n: int = 10_000, seeds: Sequence[int] = (1, 2), progress: bool = True
) -> dict[str, Any]:
    """Table `mi_held_out`: KSG and `estimate` at its defaults beside truth, on fresh samples."""
    rows = []
    for task, seed in itertools.product(tasks, seeds):
        x, y = task.draw(n, np.random.default_rng(seed))
        found = estimate(x, y, seed=seed, progress=progress)
        rows.append({
            "task": task.name, "seed": seed, "truth": round(float(task.nats), 4),
            "ksg": round(ksg(x, y), 4) if x.shape[1] <= 5 else None,
            "neural": round(found.nats, 4), "interval": [round(v, 4) for v in found.interval],
            "critic": found.critic, "rank_gaussianised": found.rank_gaussianised,
            "cpu_seconds": round(found.cpu_seconds),
        })  # fmt: skip
    return {"n": n, "seeds": list(seeds), "rows": rows}
