"""Plots of a training: curves, frames side by side, attention masks."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from amie_core.mutual_information.objectives import CHANCE_JS
from amie_core.show.figures import MARKERS, PALETTE, STYLE, Frame, draw_frame, figure, spread


def _curve(axes: Axes, records: Sequence[Mapping[str, float | int]], key: str, order: int) -> None:
    """One quantity over the steps, named at its end; missing ones are left out."""
    steps = [record["step"] for record in records if key in record]
    values = [record[key] for record in records if key in record]
    if values:
        axes.plot(steps, values, color=PALETTE[order], marker=MARKERS[order], markersize=4,
                  markevery=max(1, len(steps) // 6), linewidth=1.2, label=key)  # fmt: skip


@rc_context(STYLE)
def training_curves(records: Sequence[Mapping[str, float | int]]) -> Figure:
    """Losses, T's value against chance, what D and T get right, the attention rate.

    records: the lines of a run's metrics.jsonl.
    """
    fig = figure(7.0, 4.4)
    (losses, mi), (right, rate) = fig.subplots(2, 2, sharex=True)
    for order, key in enumerate(("lip", "pixel", "perceptual", "mask")):
        _curve(losses, records, key, order)
    losses.set(title="losses of G (Eq. 10, 11, and two added)", yscale="log")
    for order, key in enumerate(("mi_js", "mi_generated")):
        _curve(mi, records, key, order)
    mi.axhline(CHANCE_JS, color="0.3", linestyle="--", linewidth=1)
    mi.annotate(f"chance {CHANCE_JS:.3f}", (0.02, CHANCE_JS), xytext=(0, 3), fontsize=7,
                xycoords=("axes fraction", "data"), textcoords="offset points")  # fmt: skip
    mi.set(title="Eq. 7 on real and on generated pairs")
    for order, key in enumerate(("t_accuracy", "d_accuracy")):
        _curve(right, records, key, order)
    right.axhline(0.5, color="0.3", linestyle="--", linewidth=1)
    right.set(title="share that T and D get right", xlabel="step", ylim=(0.3, 1.02))
    _curve(rate, records, "rate", 0)
    rate.set(title="attention rate (sec. 3.3)", xlabel="step", ylim=(0, 1.05))
    for axes in (losses, mi, right):
        if axes.get_legend_handles_labels()[0]:
            axes.legend(frameon=False, fontsize=7)
    return fig


@rc_context(STYLE)
def rows_of_frames(rows: Mapping[str, Sequence[Frame]], count: int = 8) -> Figure:
    """Clips of equal length one under another, `count` frames each, labelled with their frame."""
    of = min(len(frames) for frames in rows.values())
    chosen = spread(count, of)
    fig = figure(7.0, 0.25 + 0.86 * len(rows))
    grid = fig.subplots(len(rows), len(chosen), squeeze=False)
    for line, (name, frames) in zip(grid, rows.items(), strict=True):
        for axes, at in zip(line, chosen, strict=True):
            draw_frame(axes, frames[at], f"{at}" if line is grid[0] else "")
        line[0].set_ylabel(name, fontsize=8)
    return fig


@rc_context(STYLE)
def masks(
    frames: Sequence[Frame],
    worn: Float[np.ndarray, "n s s"],
    rate: float,
    records: Sequence[Mapping[str, float]] = (),
    count: int = 6,
) -> Figure:
    """Generated frames, the attention masks that their identity face wore, and the rates given.

    records: lines of metrics.jsonl; each has the rate of its steps.
    """
    fig = figure(7.0, 3.9 if records else 2.7)
    chosen = range(min(count, len(frames)))
    heights = [1, 1, 0.8] if records else [1, 1]
    spec = fig.add_gridspec(len(heights), len(chosen), height_ratios=heights)
    rows = [[fig.add_subplot(spec[line, at]) for at in chosen] for line in range(2)]
    for at in chosen:
        draw_frame(rows[0][at], frames[at], f"frame {at}")
        shown = rows[1][at].imshow(worn[at], vmin=0, vmax=1, cmap="cividis")
        rows[1][at].set(xticks=[], yticks=[])
        rows[1][at].set_title("coarse" if at == 0 else "predicted", fontsize=7)
    bar = fig.colorbar(shown, ax=rows[1], shrink=0.9)
    bar.set_label(f"mask, rate {rate:g}", fontsize=7)
    if records:
        schedule = fig.add_subplot(spec[2, :])
        _curve(schedule, records, "rate", 0)
        schedule.set(title="rate during training (sec. 3.3)", xlabel="step", ylim=(0, 1.05))
    return fig
