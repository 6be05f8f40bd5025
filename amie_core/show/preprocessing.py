"""Plots of what preparation does: alignment, landmarks, MFCC and its windows, lip opening."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from amie_core.config import WINDOW
from amie_core.data.audio import BEFORE, HOPS
from amie_core.data.landmarks_fan import WEIGHTS
from amie_core.show.figures import MARKERS, PALETTE, STYLE, Frame, Shown, draw_frame, figure

Points = Float[np.ndarray, "68 2"]
# The 68 points as lines: jaw, brows, nose, eyes, outer and inner lips.
STROKES = (
    range(17), range(17, 22), range(22, 27), range(27, 31), range(31, 36),
    (*range(36, 42), 36), (*range(42, 48), 42), (*range(48, 60), 48), (*range(60, 68), 60),
)  # fmt: skip


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
    draw_frame(one, raw, "raw: detection and landmarks")
    left, top, right, bottom = box
    size = (right - left, bottom - top)
    one.add_patch(Rectangle((left, top), *size, fill=False, edgecolor=PALETTE[1], linewidth=1.5))
    _strokes(one, raw_points, PALETTE[5], 0.8)
    draw_frame(two, aligned, "aligned; dots: the template")
    _strokes(two, points, PALETTE[5])
    two.plot(*template.T, ".", color=PALETTE[1], markersize=2)
    top, bottom, left, right = lip_box
    draw_frame(three, aligned[top:bottom, left:right], "lip box: 80×128 px")
    return fig


@rc_context(STYLE)
def landmark_finders(raw: Frame, found: Mapping[str, Points]) -> Figure:
    """The 68 points of each finder on the same raw frame: the face, and its mouth enlarged."""
    fig = figure(7.0, 2.8)
    every = np.concatenate(list(found.values()))
    mouths = np.concatenate([points[48:] for points in found.values()])
    for axes, points, title in zip(
        fig.subplots(1, 2), (every, mouths), ("68 points", "lips, enlarged"), strict=True
    ):
        draw_frame(axes, raw, title)
        middle, half = (points.min(0) + points.max(0)) / 2, 0.6 * np.ptp(points, axis=0).max()
        axes.set(xlim=(middle[0] - half, middle[0] + half), ylim=(middle[1] + half,
                 middle[1] - half))  # fmt: skip
        for (name, its), colour, style in zip(
            found.items(), (PALETTE[5], PALETTE[1], PALETTE[6]), ("-", "--", ":"), strict=False
        ):
            for stroke in STROKES:
                (line,) = axes.plot(*its[list(stroke)].T, style, color=colour, linewidth=1.2)
            line.set_label(name)
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    return fig


def landmark_note(found: Mapping[str, Points]) -> Shown:
    """How far the points of others lie from the first's; what to do where face-alignment is not."""
    (first, mine), *others = found.items()
    eyes = np.linalg.norm(mine[42:48].mean(0) - mine[36:42].mean(0))
    told = []
    for name, its in others:
        apart = np.linalg.norm(mine - its, axis=1) / eyes
        told.append(
            f"{first} and {name} lie {apart.mean():.1%} of the distance between the eyes apart, "
            f"mean of 68 points; at the lips {apart[48:].mean():.1%}."
        )
    if "face-alignment" not in found:
        told.append(
            f"face-alignment is not shown: its files {' and '.join(WEIGHTS)} "
            "are not in the torch hub cache (<code>torch.hub.get_dir()</code>, in checkpoints). "
            "Put them there and run this cell again; nothing else needs them."
        )
    text = "".join(f"<p>{line[0].upper()}{line[1:]}</p>" for line in told)
    return Shown("how far landmark finders lie apart", [("text/html", text)])


@rc_context(STYLE)
def one_cepstrum(
    curves: Mapping[str, Float[np.ndarray, "_ 13"]],
    compared: Bool[np.ndarray, " hops"],
    cepstrum: int = 1,
) -> Figure:
    """One cepstrum of a clip as several codes compute it, and their difference from the first.

    compared: hops in which they mean the same; the others are shaded.
    """
    fig = figure(7.0, 3.0)
    above, below = fig.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    seconds = np.arange(-BEFORE, len(compared) - BEFORE) / 100
    (first, ours), *_ = curves.items()
    looks = ((PALETTE[5], "-", 3.5), (PALETTE[3], "--", 1.4), (PALETTE[6], ":", 1.8))
    for (name, rows), (colour, style, width) in zip(curves.items(), looks, strict=False):
        line = {"color": colour, "linestyle": style, "linewidth": width}
        above.plot(seconds, rows[: len(seconds), cepstrum], label=name, **line)
        if name != first:
            apart = np.abs(rows[: len(seconds), cepstrum] - ours[: len(seconds), cepstrum])
            below.plot(seconds, np.where(compared, apart, np.nan), **line)
    for axes in (above, below):
        axes.fill_between(seconds, 0, 1, where=~compared, color="0.92", step="mid",
                          transform=axes.get_xaxis_transform())  # fmt: skip
    above.set(ylabel=f"cepstrum {cepstrum}")
    above.set_title("one cepstrum by each code; grey: not compared", loc="left")
    above.legend(frameon=False, ncols=3, loc="lower right", bbox_to_anchor=(1, 0.97))
    below.set(xlabel="s", ylabel=f"difference\nfrom {first}")
    return fig


def cepstra_note(
    curves: Mapping[str, Float[np.ndarray, "_ 13"]],
    compared: Bool[np.ndarray, " hops"],
    failed: str = "",
) -> Shown:
    """The greatest difference of each code from the first, over all 13 cepstra.

    failed: the name of the error that keeps torchaudio from being imported.
    """
    ours, *_ = curves.values()
    span = np.ptp(ours[compared])
    told = [
        f"{name}: {np.abs(rows[: len(compared)] - ours[: len(compared)])[compared].max():.1e}"
        for name, rows in list(curves.items())[1:]
    ]
    text = f"Greatest difference from ours, of values that span {span:.0f}: {', '.join(told)}."
    if failed:
        text += (
            f" torchaudio is not among them: it does not import here ({failed}), as is usual "
            "beside a torch for the CPU alone; nothing else needs it."
        )
    alt = "the greatest difference of each library from ours"
    return Shown(alt, [("text/html", f"<p>{text}</p>")])


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
    above.add_patch(Rectangle((HOPS * at, 0), HOPS, 1, fill=False, ec=PALETTE[1], lw=2.5))
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
