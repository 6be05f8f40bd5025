"""The figures of notebooks 01 and 03. Each function returns a figure and saves nothing."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from amie_core.config import WINDOW
from amie_core.data.audio import BEFORE, HOPS
from amie_core.mutual_information.objectives import CHANCE_JS
from amie_core.show.figures import MARKERS, PALETTE, STYLE, Frame, figure, spread

Points = Float[np.ndarray, "68 2"]
# The 68 points as lines: jaw, brows, nose, eyes, outer and inner lips.
STROKES = (
    range(17), range(17, 22), range(22, 27), range(27, 31), range(31, 36),
    (*range(36, 42), 36), (*range(42, 48), 42), (*range(48, 60), 48), (*range(60, 68), 60),
)  # fmt: skip


def _picture(axes: Axes, frame: Frame, title: str = "") -> None:
    axes.imshow(frame, interpolation="nearest")
    axes.set(title=title, xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


def _strokes(axes: Axes, points: Points, colour: str, width: float = 1.0) -> None:
    for stroke in STROKES:
        axes.plot(*points[list(stroke)].T, color=colour, linewidth=width)


@rc_context(STYLE)
def alignment(
    raw: Frame,
    box: Sequence[float],
    raw_points: Points,
    aligned: Frame,
    points: Points,
    template: Points,
    lip_box: Sequence[int],
) -> Figure:
    """A raw frame with its detection and 68 points; the same aligned; its lip box.

    box: (left, top, right, bottom) in px of the raw frame; lip_box: (top, bottom, left, right).
    """
    fig = figure(7.0, 2.5)
    one, two, three = fig.subplots(1, 3)
    _picture(one, raw, "raw: detection and landmarks")
    left, top, right, bottom = box
    size = (right - left, bottom - top)
    one.add_patch(Rectangle((left, top), *size, fill=False, edgecolor=PALETTE[1], linewidth=1.5))
    _strokes(one, raw_points, PALETTE[5], 0.8)
    _picture(two, aligned, "aligned; dots: the template")
    _strokes(two, points, PALETTE[5])
    two.plot(*template.T, ".", color=PALETTE[1], markersize=2)
    top, bottom, left, right = lip_box
    _picture(three, aligned[top:bottom, left:right], "lip box: 80×128 px")
    return fig


@rc_context(STYLE)
def mfcc_window(frames: Sequence[Frame], mfcc: Float[np.ndarray, "hops 13"], at: int) -> Figure:
    """The 20×13 window of frame `at`, drawn under it, among its four neighbours.

    mfcc: padded cepstra of the clip, row r is hop r − 8; a frame lasts four hops.
    """
    fig = figure(7.0, 3.4)
    above, below = fig.subplots(2, 1, sharex=True, height_ratios=(1, 1.1))
    for v in range(at - 2, at + 3):
        first = HOPS * v
        above.imshow(frames[v], extent=(first, first + HOPS, 0, 1), aspect="auto")
    above.set(yticks=[], title=f"frames {at - 2} to {at + 2}", ylim=(0, 1))
    above.spines[:].set_visible(False)
    above.add_patch(
        Rectangle((HOPS * at, 0), HOPS, 1, fill=False, ec=PALETTE[1], lw=2.5)
    )
    row = HOPS * at  # of the window's first hop, hop 4·at − 8
    hop, margin = row - BEFORE, HOPS
    rows = mfcc[row - margin : row + WINDOW[0] + margin]
    scaled = (rows - mfcc.mean(0)) / (mfcc.std(0) + 1e-6)  # else c0 hides all others
    extent = (hop - margin, hop + WINDOW[0] + margin, -0.5, WINDOW[1] - 0.5)
    below.imshow(scaled.T, extent=extent, aspect="auto", origin="lower", cmap="cividis",
                 interpolation="nearest", vmin=-2.5, vmax=2.5)  # fmt: skip
    edge = Rectangle((hop, -0.5), WINDOW[0], WINDOW[1], fill=False, ec=PALETTE[1], lw=2.5)
    below.add_patch(edge)
    below.set(xlabel="hop of 10 ms", ylabel="cepstrum", xlim=extent[:2])
    return fig


@rc_context(STYLE)
def cepstra(rates: Mapping[int, Float[np.ndarray, "hops 13"]]) -> Figure:
    """The standardised cepstra of one clip, computed from sound at several sampling rates (Hz)."""
    fig = figure(7.0, 2.8)
    for axes, (rate, mfcc) in zip(
        fig.subplots(len(rates), 1, sharex=True, squeeze=False)[:, 0], rates.items(), strict=True
    ):
        scaled = (mfcc - mfcc.mean(0)) / (mfcc.std(0) + 1e-6)
        axes.imshow(scaled.T, aspect="auto", origin="lower", cmap="cividis", vmin=-2.5, vmax=2.5,
                    extent=(-BEFORE / 100, len(mfcc) / 100 - BEFORE / 100, -0.5, 12.5))  # fmt: skip
        axes.set(ylabel="cepstrum", title=f"{rate} Hz")
    axes.set(xlabel="s")
    return fig


@rc_context(STYLE)
def lip_opening(
    opening: Mapping[str, Float[np.ndarray, " n"]], silent: Bool[np.ndarray, " n"] | None = None
) -> Figure:
    """Lip opening over a clip, px in the 256 px face; silent stretches are shaded."""
    fig = figure(7.0, 2.0)
    axes = fig.subplots()
    for (name, values), colour, marker in zip(opening.items(), PALETTE, MARKERS, strict=False):
        axes.plot(np.arange(len(values)) / 25, values, color=colour, marker=marker,
                  markevery=5, markersize=4, linewidth=1.2, label=name)  # fmt: skip
    if silent is not None:
        axes.fill_between(np.arange(len(silent)) / 25, *axes.get_ylim(), where=silent, color="0.9")
    axes.set(xlabel="s", ylabel="lip opening, px")
    axes.legend(frameon=False, ncols=len(opening), loc="upper right")
    return fig


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
            _picture(axes, frames[at], f"{at}" if line is grid[0] else "")
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
        _picture(rows[0][at], frames[at], f"frame {at}")
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
