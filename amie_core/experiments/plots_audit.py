"""The figures of notebook 08. Each returns a figure."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float
from matplotlib import rc_context
from matplotlib.figure import Figure

from amie_core.experiments import audit
from amie_core.paper import TABLE_1, TABLE_3
from amie_core.show.figures import MARKERS, PALETTE, STYLE, figure

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
