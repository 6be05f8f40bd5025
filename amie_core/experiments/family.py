"""The family tree of the methods: what goes in, what lies between, what comes out, what it loses.

What lies between a voice and a picture is each method's own idea; where it loses is measured.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from amie_core.experiments.ablation import METRICS, values
from amie_core.experiments.comparison import CELLS
from amie_core.show.figures import PALETTE, STYLE, figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class Kin(NamedTuple):
    """One method, in a few words each."""

    goes_in: str
    between: str
    comes_out: str
    learns_by: str
    kind: str  # of what lies between: one of KINDS


KINDS = {"code": PALETTE[0], "landmarks": PALETTE[1], "texture": PALETTE[2]}
HEADINGS = ("goes in", "lies between", "comes out", "learns by", "loses most")
FAMILY = {
    "speech2vid": Kin("face, sound", "joint code", "each frame,\nthen deblurred", "L1", "code"),
    "glance": Kin("lips, sound", "joint code\nover frames", "lips of a block\nat once",
                  "L1, GAN, change of\nsound and movement", "code"),
    "davs": Kin("face, sound\nor video", "person ⊕ speech", "each frame",
                "L1, GAN,\nadversaries", "code"),
    "sda": Kin("face, sound,\nnoise", "joint code\nwith memory", "each frame",
               "L1 below, three\ndiscriminators", "code"),
    "ours": Kin("face, sound,\nlast frame", "joint code", "a frame after\nthe other",
                "L1, GAN, φ, mutual\ninformation", "code"),
    "atvgnet": Kin("face, its points,\nsound", "landmarks", "attention ·\ncolour + face",
                   "L1, GAN", "landmarks"),
    "obamanet": Kin("face, its points,\nsound", "outline of\nthe mouth", "the face round\nit",
                    "L1, GAN", "landmarks"),
    "synthesizing": Kin("one person's\nframes, sound", "mouth shape,\nnearest frames",
                        "their median,\nteeth put back", "shape error;\nnothing drawn", "texture"),
}  # fmt: skip


def loses(cells: Sequence[Mapping[str, Any]], split: str) -> dict[str, str]:
    """For each method that has run: the metric on which most others are ahead of it, and its place.

    The variance ratio counts by its distance from 1, as a factor. Of equal places the first metric.
    """
    places: dict[str, tuple[int, int, str]] = {}
    for metric, (heading, sign) in METRICS.items():
        means = {n: float(np.mean(list(v.values())))
                 for n, v in values(cells, metric, split).items() if n in FAMILY and v}  # fmt: skip
        worse = {name: -sign * mean if sign else abs(np.log(max(mean, 1e-3)))
                 for name, mean in means.items()}  # fmt: skip
        for place, name in enumerate(sorted(worse, key=lambda name: worse[name]), 1):
            if place > places.get(name, (0, 0, ""))[0]:
                places[name] = place, len(worse), heading.split(",")[0].rstrip(" ↑↓")
    return {name: f"{metric}:\n{place} of {of}" for name, (place, of, metric) in places.items()}


@rc_context(STYLE)
def drawn(cells: Sequence[Mapping[str, Any]], split: str) -> Figure:
    """A line a method, a box for each part of its way from sound to picture."""
    lost = loses(cells, split)
    fig = figure(7.4, 0.5 + 0.52 * len(FAMILY))
    axes = fig.subplots()
    axes.set(xlim=(-1.05, len(HEADINGS)), ylim=(len(FAMILY) - 0.4, -0.9))
    axes.axis("off")
    for at, heading in enumerate(HEADINGS):
        axes.text(at + 0.5, -0.65, heading, ha="center", fontsize=7, weight="bold")
    for line, (name, kin) in enumerate(FAMILY.items()):
        label = CELLS[name].replace(" [", "\n[")
        axes.text(-0.02, line, label, ha="right", va="center", fontsize=6)
        parts = (kin.goes_in, kin.between, kin.comes_out, kin.learns_by, lost.get(name, "not run"))
        for at, text in enumerate(parts):
            _box(axes, at, line, text, KINDS[kin.kind] if at == 1 else "0.6")
            if at in (1, 2):
                axes.annotate("", (at + 0.05, line), (at - 0.05, line),
                              arrowprops={"arrowstyle": "->", "color": "0.4"})  # fmt: skip
    return fig


def _box(axes: "Axes", at: int, line: int, text: str, colour: str) -> None:
    where = (at + 0.06, line - 0.38)
    style = "round,pad=0,rounding_size=0.06"
    axes.add_patch(FancyBboxPatch(where, 0.88, 0.76, style, facecolor="none", edgecolor=colour))
    axes.text(at + 0.5, line, text, ha="center", va="center", fontsize=5.5)
