"""The figures of notebooks 04 and 05, drawn from deposited cells. Each returns a figure."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse

from amie_core.experiments import ablation, audit
from amie_core.paper import TABLE_1, TABLE_3
from amie_core.show.figures import MARKERS, PALETTE, STYLE, Frame, figure

Points = Float[np.ndarray, "n 2"]
LOOKS = tuple(zip(PALETTE, MARKERS, strict=True))
CHI_SQUARE_95 = 5.991  # 95 % quantile with two degrees of freedom
DISTANCES = {
    "frechet": "Fréchet distance", "sliced_wasserstein": "sliced Wasserstein", "mmd": "MMD²",
}  # fmt: skip


def ellipse_95(points: Points) -> tuple[tuple[float, float], float, float, float]:
    """Centre, full width, full height and angle (degrees) of a Gaussian's 95 % ellipse."""
    values, vectors = np.linalg.eigh(np.cov(points, rowvar=False))
    width, height = 2 * np.sqrt(CHI_SQUARE_95 * values[::-1].clip(0))
    angle = float(np.degrees(np.arctan2(vectors[1, 1], vectors[0, 1])))
    x, y = points.mean(0).tolist()
    return (x, y), float(width), float(height), angle


class View(NamedTuple):
    """Frames on two principal components of real ones; the components' shares of the variance."""

    real: Points
    generated: Mapping[str, Points]
    explained: Sequence[float]


def views(real: Mapping[str, Any], generated: Mapping[str, Mapping[str, Any]]) -> dict[str, View]:
    """What deposits hold for Fig. 3: whole frames, and lips where all of them have these.

    real: content of `real.json`; generated: a cell's deposit by the method's name.
    """
    found = {}
    for title, kind in (("whole frames", ""), ("lips, less the clip's mean", "lip_")):
        if all(f"{kind}projection" in of for of in (real, *generated.values())):
            points = {name: np.array(of[f"{kind}projection"]) for name, of in generated.items()}
            found[title] = View(
                np.array(real[f"{kind}projection"]), points, real[f"{kind}explained"]
            )
    return found


@rc_context(STYLE)
def distributions(of: Mapping[str, View]) -> Figure:
    """Fig. 3: a line a view, a panel a method before the real frames, in grey.

    Lips are one cloud and get 95 % ellipses; whole frames are a cloud a clip.
    """
    width = max(len(view.generated) for view in of.values())
    fig = figure(6.6, 0.2 + 2.7 * len(of))
    grid = fig.subplots(len(of), width, sharex="row", sharey="row", squeeze=False)
    for line, (title, view) in zip(grid, of.items(), strict=True):
        for order, (axes, (name, points)) in enumerate(
            zip(line, view.generated.items(), strict=True)
        ):
            clouds = {"real": (view.real, "0.6", "x"), name: (points, *LOOKS[order])}
            for label, (cloud, colour, marker) in clouds.items():
                axes.plot(*cloud.T, marker, color=colour, markersize=3, alpha=0.7, label=label)
                if title.startswith("lips"):
                    centre, *sides, angle = ellipse_95(cloud)
                    edge = "0.3" if label == "real" else colour
                    axes.add_patch(Ellipse(centre, *sides, angle=angle, fill=False,
                                           edgecolor=edge, linewidth=1.4))  # fmt: skip
            share = points.var(0).sum() / view.real.var(0).sum()
            axes.set(title=f"{name}, {title}\n{share:.0%} of the real variance",
                     xlabel=f"component 1 ({view.explained[0]:.0%})")  # fmt: skip
            axes.legend(frameon=False, fontsize=7, markerscale=1.6, loc="best")
        line[0].set_ylabel(f"component 2 ({view.explained[1]:.0%})")
    return fig


@rc_context(STYLE)
def distances(rows: Mapping[str, Sequence[Mapping[str, Any]]]) -> Figure:
    """Distances from the real clips: a panel a space and distance, a line a row, a dot a seed.

    rows: name -> one result of `RealClips.distances` a seed; bars are intervals over clips.
    """
    spaces = list(next(iter(rows.values()))[0])
    fig = figure(7.2, 1.2 + 0.36 * len(rows) * len(DISTANCES))
    grid = fig.subplots(len(DISTANCES), len(spaces), sharey=True, squeeze=False)
    for line, (distance, title) in zip(grid, DISTANCES.items(), strict=True):
        for axes, space in zip(line, spaces, strict=True):
            for at, (_, seeds) in enumerate(rows.items()):
                for k, found in enumerate(seeds):
                    cell = found[space][distance]
                    y = at + 0.16 * (k - (len(seeds) - 1) / 2)
                    if cell["interval"]:
                        axes.plot(cell["interval"], [y, y], color="0.6", linewidth=1)
                    axes.plot(cell["value"], y, MARKERS[k % 8], color=PALETTE[k % 8], markersize=3)
            axes.set_yticks(range(len(rows)), list(rows))
            axes.set_title(f"{title}, {space}")
            axes.axvline(0, color="0.8", linewidth=0.8)
    grid[0, 0].invert_yaxis()
    return fig


@rc_context(STYLE)
def rows_and_lips(strips: Mapping[str, Frame], lip_box: Sequence[int], count: int = 6) -> Figure:
    """Fig. 6: a line a row of the ablation, its frames and beside them the lips, enlarged.

    strips: frames side by side in one picture, as cells deposit them; lip_box in 256ths.
    """
    size = next(iter(strips.values())).shape[0]
    top, bottom, left, right = (round(side * size / 256) for side in lip_box)
    fig = figure(7.4, 0.2 + 0.5 * len(strips))
    grid = fig.subplots(len(strips), 2, squeeze=False, width_ratios=[1, 1.6])
    for line, (name, strip) in zip(grid, strips.items(), strict=True):
        frames = [strip[:, k * size : (k + 1) * size] for k in range(strip.shape[1] // size)]
        lips = [frame[top:bottom, left:right] for frame in frames[:count]]
        for axes, pictures in zip(line, (frames[:count], lips), strict=True):
            axes.imshow(np.concatenate(pictures, axis=1), interpolation="nearest")
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
        line[0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=7)
    return fig


def _short_title(heading: str) -> str:
    """On two lines, so that panels' titles do not meet."""
    return heading.replace(", ", "\n").replace(" on ", "\non ")


@rc_context(STYLE)
def table_3(table: pd.DataFrame) -> Figure:
    """Every metric of Table 3, a dot and a 95 % interval over seeds a row."""
    metrics = list(dict.fromkeys(table["metric"]))
    rows = list(dict.fromkeys(table["row"]))
    fig = figure(7.4, 0.8 + 0.3 * len(rows))
    for axes, metric in zip(fig.subplots(1, len(metrics), sharey=True), metrics, strict=True):
        part = table[table["metric"] == metric].set_index("row")
        for at, row in enumerate(rows):
            found = part.loc[row]
            if pd.notna(found["low"]):
                axes.plot([found["low"], found["high"]], [at, at], color="0.5", linewidth=1.2)
            axes.plot(
                found["mean"], at, "o", color=PALETTE[3 if row == "ours" else 0], markersize=4
            )
        axes.set_yticks(range(len(rows)), rows)
        axes.set_title(_short_title(ablation.METRICS[metric][0]), fontsize=7)
        axes.tick_params(labelsize=6)
        axes.grid(axis="y", color="0.9")
        axes.set_axisbelow(True)
    fig.axes[0].invert_yaxis()
    return fig


@rc_context(STYLE)
def lengths(found: Sequence[Mapping[str, Any]], split: str) -> Figure:
    """Every metric of Table 3 against the length of training: a line a row, bars over seeds."""
    steps = sorted({cell["training"]["steps"] for cell in found})
    rows = list(dict.fromkeys(cell["name"] for cell in found))
    metrics = list(ablation.METRICS)
    fig = figure(7.4, 4.2)
    grid = fig.subplots(2, -(-len(metrics) // 2), sharex=True, squeeze=False).ravel()
    for axes, metric in zip(grid, metrics, strict=False):
        for k, row in enumerate(rows):
            points = []
            for at, length in enumerate(steps):
                cells = [c for c in found if (c["name"], c["training"]["steps"]) == (row, length)]
                own = list(ablation.values(cells, metric, split).get(row, {}).values())
                if own:
                    mean, interval = ablation.mean_interval(own)
                    points.append((at, mean))
                    if interval:
                        axes.plot([at, at], interval, color=PALETTE[k], linewidth=0.8)
            axes.plot(*zip(*points, strict=True), MARKERS[k] + "-", color=PALETTE[k], markersize=4,
                      label=row)  # fmt: skip
        axes.set_title(ablation.METRICS[metric][0], fontsize=7)
        axes.set_xticks(range(len(steps)), [f"{n:,}" for n in steps], fontsize=6)
    for axes in grid[len(metrics) :]:
        axes.set_axis_off()
    grid[0].legend(frameon=False, fontsize=7)
    fig.supxlabel("steps", fontsize=7)
    return fig


@rc_context(STYLE)
def critics(found: Sequence[Mapping[str, Any]], begins: float) -> Figure:
    """T's paired accuracy and share of G's gradient through training, a panel a row, a line a seed.

    begins: the share of training after which the MI term counts, dashed.
    """
    lines = {"t_accuracy": ("own pairs", "0.2"), "t_accuracy_generated": ("generated", PALETTE[0]),
             "mi_share": ("share of the gradient", PALETTE[1])}  # fmt: skip
    rows = [row for row in ablation.ABLATION if any(c["name"] == row for c in found)]
    fig = figure(7.4, 0.6 + 1.5 * -(-len(rows) // 4))
    grid = fig.subplots(-(-len(rows) // 4), 4, sharex=True, sharey=True, squeeze=False).ravel()
    for axes, row in zip(grid, rows, strict=False):
        for cell in (c for c in found if c["name"] == row):
            at = [line["step"] for line in cell["trace"]]
            for key, (_, colour) in lines.items():
                axes.plot(at, [line[key] for line in cell["trace"]], color=colour, linewidth=0.7)
        axes.axvline(begins * found[0]["training"]["steps"], color="0.6", linestyle="--")
        axes.axhline(0.5, color="0.8", linewidth=0.6)
        axes.set_title(row, fontsize=7)
        axes.set_ylim(0, 1)
    for axes in grid[len(rows) :]:
        axes.set_axis_off()
    for label, colour in lines.values():
        grid[0].plot([], [], color=colour, label=label)
    grid[0].legend(frameon=False, fontsize=6, loc="center right")
    return fig


Errors = Mapping[str, Float[np.ndarray, " _"]]


@rc_context(STYLE)
def readings(pairs: Float[np.ndarray, "n 2"], shapes: Errors) -> Figure:
    """Legacy against true PSNR: every clip of our runs, errors of known shape, the paper's pair."""
    fig = figure(5.2, 3.4)
    axes = fig.subplots()
    true = np.linspace(12, 40, 57)
    axes.plot(true, true, color="0.6", linewidth=0.8, linestyle=":")
    axes.annotate("right reading", (36.2, 35.2), fontsize=6, color="0.4", rotation=38)
    axes.plot(*pairs.T, "o", color=PALETTE[5], markersize=2.5, markeredgewidth=0, alpha=0.7,
              label="a clip of our runs")  # fmt: skip
    for k, (name, errors) in enumerate(shapes.items()):
        read = [audit.read_as(errors[:40_000], db) for db in true]
        axes.plot(true, read, color=PALETTE[k], linewidth=1.2, label=name)
        axes.plot(true[::8], read[::8], MARKERS[k + 1], color=PALETTE[k], markersize=4)
    axes.plot(TABLE_3[-1].psnr, TABLE_1[-1].psnr, "*", color=PALETTE[6], markersize=11)
    axes.annotate(f"Table 3 ({TABLE_3[-1].psnr}) against\nTable 1 ({TABLE_1[-1].psnr})",
                  (TABLE_3[-1].psnr, TABLE_1[-1].psnr), (16, 34.5), fontsize=7,
                  arrowprops={"arrowstyle": "-", "linewidth": 0.6})  # fmt: skip
    axes.set(xlabel="PSNR in floats, dB", ylabel="PSNR as 8-bit code reads it, dB")
    axes.legend(frameon=False, fontsize=7, loc="lower right")
    return fig


@rc_context(STYLE)
def errors(of: Errors) -> Figure:
    """How often an error of how many grey levels occurs, beside a Gaussian of the same deviation.

    Shaded: errors whose squares do not wrap around.
    """
    fig = figure(7.2, 0.4 + 1.6 * ((len(of) + 2) // 3))
    grid = fig.subplots((len(of) + 2) // 3, 3, sharex=True, sharey=True, squeeze=False).ravel()
    bins = np.arange(-120.5, 121, 3)
    middle = (bins[1:] + bins[:-1]) / 2
    for k, (axes, (name, found)) in enumerate(zip(grid, of.items(), strict=False)):
        axes.axvspan(-16, 16, color="0.92")
        share = np.histogram(found, bins)[0] / len(found) / 3
        axes.semilogy(middle, np.where(share > 0, share, np.nan), color=PALETTE[k % 8])
        deviation = float(found.std()) or 1.0
        bell = np.exp(-0.5 * (middle / deviation) ** 2) / deviation / np.sqrt(2 * np.pi)
        axes.semilogy(middle, bell, color="0.5", linestyle="--", linewidth=0.8)
        axes.set(title=f"{name}, kurtosis {audit.kurtosis(found):.0f}", ylim=(1e-6, 1))
    for axes in grid[len(of) :]:
        axes.set_axis_off()
    fig.supylabel("share of all values a grey level", fontsize=7)
    grid[len(of) - 1].set_xlabel("error, grey levels (dashed: Gaussian)", fontsize=7)
    return fig
