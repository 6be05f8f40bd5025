"""The figures of notebook 02. Each function returns a figure and saves nothing."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from amie_core.experiments.estimators import toy_generator
from amie_core.experiments.estimators.panels import NEURAL
from amie_core.show.figures import MARKERS, PALETTE, STYLE, figure

LABELS = {"ksg": "KSG", "gaussian": "Gaussian", "edgeworth": "Edgeworth", "js": "critic, JS",
          "dv": "critic, DV", "ruderman": "critic, Ruderman", "nwj": "critic, NWJ",
          "infonce": "critic, InfoNCE"}  # fmt: skip


def _band(axes: Axes, x: np.ndarray, values: list[list[float]], order: int, label: str) -> None:
    """Mean over seeds with a band from the least to the greatest."""
    table = np.array(values)
    axes.plot(x, table.mean(1), color=PALETTE[order], marker=MARKERS[order], markersize=4,
              linewidth=1, label=label)  # fmt: skip
    axes.fill_between(x, table.min(1), table.max(1), color=PALETTE[order], alpha=0.2, linewidth=0)


@rc_context(STYLE)
def correlation_and_dimension(found: Mapping[str, Any]) -> Figure:
    """Figure `mi_correlation`: estimate minus truth; JS on its own axis."""
    fig = figure(7.0, 2.9)
    left, middle, right = fig.subplots(1, 3)
    line = [row for row in found["rows"] if row["dims"] == 1]
    deep = [row for row in found["rows"] if row["dims"] > 1]
    for axes, rows, key in ((left, line, "rho"), (middle, deep, "dims")):
        x = np.array([row[key] for row in rows], float)
        for order, name in enumerate(("ksg", "gaussian", "edgeworth", *NEURAL)):
            errors = [[v - row["truth"] for v in row["values"][name]] for row in rows]
            _band(axes, x, errors, order, LABELS[name])
        axes.axhline(0, color="0.4", linewidth=0.8)
    left.set(xlabel="correlation, one dimension", ylabel="estimate − truth, nats", ylim=(-.2, .2))
    middle.set(xlabel="dimensions, correlation 0.5", ylim=(-.6, .6))
    left.legend(frameon=False, fontsize=6, loc="lower left")
    truth = np.array([row["truth"] for row in line])
    _band(right, truth, [row["values"]["js_exact"] for row in line], 0, "Eq. 7, exact critic")
    right.set(xlabel="truth, nats", ylabel="Eq. 7: orders, does not measure")
    return fig


@rc_context(STYLE)
def exact_critic_batches(found: Mapping[str, Any]) -> Figure:
    """Figure `mi_batches`: mean of the read-outs (left), scatter of one batch (right)."""
    fig = figure(7.0, 2.6)
    left, right = fig.subplots(1, 2)
    names = {"dv": "DV, mean over batches", "nwj": "NWJ", "smile": "SMILE", "xi": "Ξ(JSD)"}
    for order, (name, label) in enumerate(names.items()):
        sizes = np.array([int(size) for size in found["values"][name]])
        _band(left, sizes, list(found["values"][name].values()), order, label)
        right.plot(sizes, list(found["scatter"][name].values()), color=PALETTE[order],
                   marker=MARKERS[order], markersize=4, linewidth=1)  # fmt: skip
    left.axhline(found["truth"], color="0.4", linewidth=0.8)
    left.axhline(np.mean(found["dv_pooled"]), color=PALETTE[0], linestyle=":", label="DV, pooled")
    left.set(xscale="log", xlabel="pairs in a batch", ylabel="nats (line: truth)")
    right.set(xscale="log", yscale="log", xlabel="pairs in a batch", ylabel="scatter, nats")
    for axes in (left, right):
        axes.set_xticks(sizes, [str(size) for size in sizes], minor=False)
        axes.set_xticks([], minor=True)
    left.legend(frameon=False, fontsize=6)
    return fig


@rc_context(STYLE)
def stability(found: Mapping[str, Any]) -> Figure:
    """Figure `mi_stability`: held-out readings over steps, by task (rows) and rate (columns)."""
    fig = figure(7.0, 4.0)
    rates = list(next(iter(found["traces"]["gaussian"].values())))
    grid = fig.subplots(2, len(rates), sharex=True, squeeze=False)
    for row, (task, traces) in zip(grid, found["traces"].items(), strict=True):
        truth = found["truth"][task]
        for axes, rate in zip(row, rates, strict=True):
            for order, (name, by_rate) in enumerate(traces.items()):
                for seed, values in enumerate(by_rate[rate]):
                    steps = np.arange(len(values)) * found["every"]
                    axes.plot(steps, np.clip(values, -0.6 * truth, 1.6 * truth), linewidth=0.8,
                              color=PALETTE[order], marker=MARKERS[order], markevery=(5, 10),
                              markersize=3, label=name if seed == 0 else None)  # fmt: skip
            axes.axhline(truth, color="0.4", linewidth=0.8)
            axes.set(title=f"{task}, learning rate {rate}", ylim=(-0.6 * truth, 1.6 * truth))
        row[0].set(ylabel="held out, nats")
    grid[0, 0].legend(frameon=False, fontsize=6)
    for axes in grid[1]:
        axes.set(xlabel="step")
    return fig


def _plane(axes: Axes, value: Any, levels: np.ndarray) -> None:
    c, s = np.meshgrid(np.linspace(-2, 2, 161), np.linspace(0.02, 1.2, 80))
    lines = axes.contour(c, s, value(c, s), levels=levels, cmap="cividis", linewidths=0.6)
    axes.clabel(lines, fontsize=5)


@rc_context(STYLE)
def paths(found: Mapping[str, Any]) -> Figure:
    """Figure `mi_paths`: closed forms as contours, paths of trained generators."""
    fig = figure(7.0, 3.0)
    grid = fig.subplots(1, 3, sharey=True)
    rho = found["rho"]
    _plane(grid[0], toy_generator.symmetric_value, np.arange(0, 4, 0.5))
    _plane(grid[1], lambda c, s: toy_generator.asymmetric_value(c, s, rho), np.arange(-6, 1.5, 0.5))
    levels = np.array([0.05, 0.2, 0.5, 1, 2, 4, 8])
    _plane(grid[2], lambda c, s: toy_generator.mismatch(c, s, rho), levels)
    for axes, pairs in zip(grid, ("generated", "real"), strict=False):
        for order, objective in enumerate(("dv", "js")):
            for start, by_pairs in found["paths"].items():
                for seed, points in enumerate(by_pairs[pairs][objective]):
                    label = objective.upper() if seed == 0 and start == "blurry" else None
                    axes.plot(*np.array(points).T, color=PALETTE[3 * order], linewidth=0.7,
                              marker=MARKERS[order], markevery=[-1], markersize=4, label=label)
    for axes, title in zip(grid, ("symmetric: I(F̂; A)", "asymmetric: E[T*]",
                                  "their gap: posterior mismatch"), strict=True):  # fmt: skip
        axes.plot(rho, np.sqrt(1 - rho**2), "*", color="black", markersize=8)
        axes.set(title=title, xlabel="gain c")
    grid[1].axvline(1 / rho, color="0.4", linewidth=0.8, linestyle=":")
    grid[0].set(ylabel="noise s (star: real lips)")
    grid[0].legend(frameon=False, fontsize=6, loc="upper left")
    return fig


@rc_context(STYLE)
def trade(rho: float = 0.75, weight: float = 0.2) -> Figure:
    """Figure `mi_trade`: what a generator with an L2 term and λ3 = weight climbs, its best gain."""
    fig = figure(4.0, 2.6)
    axes = fig.subplots()
    _plane(axes, lambda c, s: toy_generator.total_value(c, s, rho, weight), np.arange(-6, 2, 0.5))
    best = toy_generator.best_gain(rho, weight)
    axes.plot(rho, np.sqrt(1 - rho**2), "*", color="black", markersize=8, label="real lips")
    axes.axvline(best, color=PALETTE[3], label=f"best gain {best:.2f}")
    axes.axvline(1 / rho, color="0.4", linestyle=":", label=f"1/ρ = {1 / rho:.2f}")
    axes.set(xlabel="gain c", ylabel="noise s", title=f"ρ = {rho:.2f}, λ3 = {weight:.2f}")
    axes.legend(frameon=False, fontsize=6, loc="upper left")
    return fig


def explorer() -> Any:
    """Sliders for ρ and λ3 over `trade`; without a live kernel the first picture stands."""
    from IPython.display import display
    from ipywidgets import FloatSlider, interactive_output

    def draw(rho: float, weight: float) -> None:
        display(trade(rho, weight))

    sliders = {"rho": FloatSlider(0.75, min=0.1, max=0.95, step=0.05, description="ρ"),
               "weight": FloatSlider(0.2, min=0, max=2, step=0.05, description="λ3")}  # fmt: skip
    display(*sliders.values(), interactive_output(draw, sliders))


@rc_context(STYLE)
def heat_maps(
    maps: Mapping[str, Float[np.ndarray, "offsets n"]], curves: Mapping[str, list[float]]
) -> Figure:
    """Figure `mi_heat`: critic scores over offset and time of one clip, and the mean over clips."""
    fig = figure(7.0, 4.2)
    grid = fig.subplots(len(maps), 2, width_ratios=(2.5, 1), sharex="col", sharey=True)
    low, high = np.nanpercentile(np.stack(list(maps.values())), (2, 98))
    for order, ((name, scores), (heat, line)) in enumerate(zip(maps.items(), grid, strict=True)):
        reach = len(scores) // 2
        shape = (0, scores.shape[1] / 25, -reach - 0.5, reach + 0.5)
        heat.imshow(scores, extent=shape, aspect="auto", origin="lower", cmap="cividis",
                    interpolation="nearest", vmin=low, vmax=high)  # fmt: skip
        line.plot(curves[name], np.arange(-reach, reach + 1), color=PALETTE[order],
                  marker=MARKERS[order], markersize=3, linewidth=1)  # fmt: skip
        heat.set(title=name, ylabel="offset, frames")
    grid[-1, 0].set(xlabel="s")
    grid[-1, 1].set(xlabel="mean T over clips")
    return fig
