"""The paper's Figures 1 and 2 as one drawing, every number in it read off one training step.

G's step stands above, D's and T's below. Boxes are links to their files, the numbers in their
corners to the notebooks that show them; an SVG keeps the links, a PNG does not.
"""

import base64
import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, PathPatch, Rectangle
from matplotlib.path import Path as Line
from matplotlib.patheffects import withStroke
from PIL import Image

from amie_core.data.alignment import lip_opening
from amie_core.data.audio import windows
from amie_core.data.store import PreparedClip
from amie_core.experiments.pipeline import (
    BOXES,
    MOVED,
    PASSED,
    STEPS,
    UNTOUCHED,
    Box,
    Observed,
    size,
)
from amie_core.show.figures import PALETTE, PRINT_DPI, STYLE, Frame, Shown, figure, save_figure

BLUE, ORANGE, GREEN, RED, PURPLE, SKY = PALETTE[:6]
KINDS = {"input": SKY, "G": BLUE, "D": GREEN, "T": ORANGE, "φ": PURPLE, "loss": RED}


@dataclass(frozen=True)
class Pictures:
    """What the drawing shows of one clip; windows are standardised."""

    identity: Frame
    previous: Frame
    generated: Frame
    real: Frame
    other: Frame  # another real frame f_j of the clip
    window: Float[np.ndarray, "20 13"]
    far: Float[np.ndarray, "20 13"]  # a window a_k far from f_j


def pictures(clip: PreparedClip, made: UInt8[np.ndarray, "n s s 3"]) -> Pictures:
    """Those of the frame at which the clip's mouth is widest open; `made`: its generated frames."""
    at = int(lip_opening(clip.landmarks)[1:].argmax()) + 1
    rows = windows((clip.mfcc - clip.mfcc.mean(0)) / (clip.mfcc.std(0) + 1e-6), len(made))
    other, far = (at + len(made) // 3) % len(made), (at + 2 * len(made) // 3) % len(made)
    return Pictures(clip.frames[0], made[at - 1], made[at], clip.frames[at], clip.frames[other],
                    rows[at], rows[far])  # fmt: skip


Units = int | float  # of the drawing: 1000 wide, y downwards
WIDTH, HEIGHT = 1000, 728
# A line: colour, width, dashes. The gradient comes back along "learn", is cut at "cut".
LINES = {
    "data": ("0.55", 1.1, "-"),
    "learn": ("0.1", 1.7, "-"),
    "cut": (RED, 1.7, (0, (3.5, 2))),
}


def _tint(colour: str, strength: float) -> tuple[float, ...]:
    return tuple(1 - strength * (1 - part) for part in to_rgb(colour))


class _Sheet:
    """The paper that boxes, pictures and arrows are put on."""

    def __init__(self) -> None:
        self.figure = figure(11.25, 11.25 * HEIGHT / WIDTH)
        self.figure.set_layout_engine("none")  # places are the drawing's own
        self.axes: Axes = self.figure.add_axes((0, 0, 1, 1))
        self.axes.set(xlim=(0, WIDTH), ylim=(HEIGHT, 0))
        self.axes.axis("off")

    def text(self, x: Units, y: Units, text: str, size: Units = 8.5, **how: Any) -> None:
        how = {"ha": "center", "va": "center"} | how
        self.axes.text(x, y, text, fontsize=size, **how)

    def panel(self, left: Units, top: Units, right: Units, bottom: Units, title: str) -> None:
        frame = FancyBboxPatch((left, top), right - left, bottom - top, zorder=0, fc="0.975",
                               ec="0.85", boxstyle="round,pad=0,rounding_size=8")  # fmt: skip
        self.axes.add_patch(frame)
        self.text(left + 12, top + 15, title, 10, ha="left", weight="bold", color="0.2")

    def box(
        self, name: str, x: Units, y: Units, w: Units, h: Units, *lines: str, moved: bool = True
    ) -> None:
        """A box of BOXES around (x, y): its link, its kind's colour, its notebook in the corner.

        moved: whether the panel's step changes it; else its edge is dashed.
        """
        it = BOXES[name]
        colour = KINDS[it.kind]
        patch = FancyBboxPatch(
            (x - w / 2, y - h / 2), w, h, boxstyle="round,pad=0,rounding_size=6", zorder=4,
            fc=_tint(colour, 0.28 if moved else 0.1), ec=colour, lw=1.5,
            ls="-" if moved else (0, (3, 2)), url=it.code,
        )  # fmt: skip
        self.axes.add_patch(patch)
        self.chip(it, x + w / 2, y - h / 2)
        first = y - 6.5 * (len(lines) - 1)
        for at, line in enumerate(lines):
            bold = "bold" if at == 0 else "normal"
            self.text(x, first + 13 * at, line, 8.5 if at else 9, weight=bold, zorder=6,
                      url=it.code)  # fmt: skip

    def chip(self, it: Box, right: Units, top: Units) -> None:
        """The number of the notebook that shows it, a link, in a corner."""
        edge = FancyBboxPatch((right - 20, top - 7), 18, 12, zorder=5, fc="white", lw=0.8,
                              ec=KINDS[it.kind], boxstyle="round,pad=0,rounding_size=4",
                              url=it.shown)  # fmt: skip
        self.axes.add_patch(edge)
        self.text(right - 11, top - 0.6, it.notebook, 6.5, zorder=6, url=it.shown)

    def picture(self, image: Any, x: Units, y: Units, w: Units, h: Units, name: str = "") -> None:
        """A picture around (x, y); `name` of BOXES makes it a link, an input has its notebook."""
        extent = (x - w / 2, x + w / 2, y + h / 2, y - h / 2)
        sound = getattr(image, "ndim", 3) == 2
        how: dict[str, Any] = {"cmap": "cividis", "vmin": -2.5, "vmax": 2.5} if sound else {}
        self.axes.imshow(image, extent=extent, aspect="auto", zorder=3, interpolation="nearest",
                         **how)  # fmt: skip
        url = BOXES[name].code if name else None
        edge = Rectangle((x - w / 2, y - h / 2), w, h, fill=bool(url), fc=(1, 1, 1, 0), ec="0.3",
                         lw=0.8, zorder=4, url=url)  # fmt: skip
        self.axes.add_patch(edge)
        if name and BOXES[name].kind == "input":
            self.chip(BOXES[name], x + w / 2 + 8, y - h / 2)

    def line(
        self, kind: str, *points: tuple[Units, Units], head: bool = True, over: bool = False
    ) -> None:
        """A straight line or one with right angles; with a white edge where it goes over others."""
        colour, width, dashes = LINES[kind]
        (x0, y0), (x1, y1) = points[-2:]
        away = max(abs(x1 - x0), abs(y1 - y0))
        neck = (x1 - 6 * (x1 - x0) / away, y1 - 6 * (y1 - y0) / away)
        line = PathPatch(Line([*points[:-1], neck if head else points[-1]]), fill=False, zorder=2,
                         ec=colour, lw=width, ls=dashes, joinstyle="miter",
                         capstyle="butt")  # fmt: skip
        if over:
            line.set_path_effects([withStroke(linewidth=width + 4, foreground="0.975")])
        self.axes.add_patch(line)
        if head:
            style = "-|>,head_length=5,head_width=2.8"
            self.axes.add_patch(FancyArrowPatch(neck, (x1, y1), arrowstyle=style, color=colour,
                                lw=0.1, mutation_scale=1.3, shrinkA=0, shrinkB=0,
                                zorder=2))  # fmt: skip

    def dot(self, x: Units, y: Units, kind: str) -> None:
        """Where a line branches."""
        self.axes.plot(x, y, "o", ms=3.6, color=LINES[kind][0], zorder=3)

    def node(self, x: Units, y: Units, sign: str) -> None:
        """A small circle with a sign: what happens to lines that meet."""
        self.axes.plot(x, y, "o", ms=15, mfc="white", mec=BLUE, mew=1.4, zorder=4)
        self.text(x, y, sign, 9.5, zorder=5)


AUDIO, FACE, BEFORE = 104, 220, 352  # heights of the three inputs
JUDGES = {"D": 90, "T": 170, "φ": 262, "lip crop": 338}


@rc_context(STYLE)
def draw(seen: Observed, shown: Pictures) -> Figure:
    """The pipeline: G's step above, D's and T's below, and what each step moves.

    The pictures are links to the files where they are made, each box to its file, the number in
    its corner to the notebook that shows it.
    """
    sheet = _Sheet()
    _generator(sheet, seen, shown)
    _judges(sheet, seen, shown)
    _own_steps(sheet, shown)
    _effects(sheet, seen)
    _legend(sheet)
    return sheet.figure


def _generator(sheet: _Sheet, seen: Observed, shown: Pictures) -> None:
    """Inputs, G, and the frame that it makes."""
    shapes = seen.shapes
    sheet.panel(8, 8, 992, 450, "G speaks, and learns last of the three: Eq. 13")
    picture, window = size(shapes["image encoder"][0]), size(shapes["audio encoder"][0])
    for name, y, image, (wide, high), label, shape in (
        ("MFCC window", AUDIO, shown.window.T, (84, 54), "sound $a_i$", window),
        ("identity face", FACE, shown.identity, (64, 64), "identity $I_f$", picture),
        ("previous frame", BEFORE, shown.previous, (64, 64), r"previous $\hat{f}_{i-1}$", picture),
    ):
        sheet.picture(image, 72, y, wide, high, name)
        sheet.text(72, y + high / 2 + 11, label)
        sheet.text(72, y + high / 2 + 25, shape, 8)
    # The sound goes to D and T, the identity through its mask; mask and frame before are detached.
    sheet.line("data", (114, AUDIO), (246, AUDIO))
    sheet.line("data", (156, AUDIO), (156, 46), (728, 46), (728, JUDGES["T"] - 10),
               (764, JUDGES["T"] - 10))  # fmt: skip
    sheet.dot(156, AUDIO, "data")
    sheet.line("data", (104, FACE), (178, FACE), head=False)
    sheet.line("learn", (178, FACE), (246, FACE))
    sheet.line("cut", (104, BEFORE), (246, BEFORE))
    sheet.line("cut", (178, BEFORE), (178, 309))
    sheet.dot(178, BEFORE, "cut")
    sheet.line("cut", (178, 264), (178, FACE + 11))
    sheet.node(178, FACE, "×")
    sheet.text(186, 248, "$M_i$", ha="left")
    sheet.box("fine mask", 178, 287, 104, 42, "Fine mask", size(shapes["fine mask"][1]))
    outs = {
        "audio encoder": (AUDIO, " → ".join(map(size, shapes["spread"]))),
        "identity encoder": (FACE, f"maps … {size(shapes['identity encoder'][1])}"),
        "image encoder": (BEFORE, size(shapes["image encoder"][1])),
    }
    for name, (y, made) in outs.items():
        sheet.box(name, 314, y, 132, 46, name.capitalize(), made)
    sheet.line("learn", (314, FACE - 23), (314, FACE - 60), (548, FACE - 60), (548, FACE - 44))
    sheet.text(324, FACE - 69, "skips: all maps", 8, ha="left")
    sheet.line("learn", (380, AUDIO), (430, AUDIO), (430, FACE - 11), over=True)
    sheet.line("learn", (380, BEFORE), (430, BEFORE), (430, FACE + 11))
    sheet.line("learn", (380, FACE), (419, FACE))
    sheet.line("learn", (441, FACE), (488, FACE))
    sheet.node(430, FACE, "‖")
    sheet.text(437, FACE - 22, size(shapes["frame decoder"][0]), 8, ha="left")
    sheet.box("frame decoder", 548, FACE, 116, 88, "Frame decoder",
              size(shapes["frame decoder"][1]), "added to $I_f$")  # fmt: skip
    sheet.line("learn", (606, FACE), (634, FACE))
    sheet.picture(shown.generated, 672, FACE, 76, 76, "frame decoder")
    sheet.text(672, FACE + 50, r"generated $\hat{f}_i$")
    sheet.text(672, FACE + 64, picture, 8)
    sheet.line("cut", (618, FACE), (618, 432), (24, 432), (24, BEFORE), (40, BEFORE))
    sheet.dot(618, FACE, "cut")
    sheet.text(330, 421, r"$\hat{f}_i$ is $\hat{f}_{i-1}$ of the next frame: detached, no gradient "
               "goes back in time", color=RED)  # fmt: skip


def _judges(sheet: _Sheet, seen: Observed, shown: Pictures) -> None:
    """D, T, φ and the lip crop look at the frame; Eq. 9 to 12 make up Eq. 13."""
    features = [size(shape) for shape in seen.shapes.get("φ", ())]
    lines = {
        "D": ("D", r"$D(\hat{f}_i, a_i)$"),
        "T": ("T", r"$T(\hat{f}_i, a_i), T(\hat{f}_j, a_k)$"),
        "φ": ("φ", features[0], f"→ {features[1]}") if features else ("φ", "not used here"),
        "lip crop": ("Lip crop", size(seen.shapes["lip crop"][1])),
    }
    losses = {"D": ("Eq. 9", "$L_{GAN}$"), "T": ("Eq. 12", "$L_{mi}$"),
              "φ": ("Eq. 10", "$L_{perc}$"), "lip crop": ("Eq. 11", "$L_{lip}$")}  # fmt: skip
    sheet.picture(shown.real, 672, BEFORE, 76, 76, "identity face")
    sheet.text(672, BEFORE + 50, "real $f_i$")
    sheet.text(672, BEFORE + 64, size(seen.shapes["image encoder"][0]), 8)
    d, t, phi, crop = JUDGES.values()
    sheet.line("data", (728, d - 11), (764, d - 11))
    sheet.line("learn", (710, FACE), (745, FACE), (745, d + 11), (764, d + 11), over=True)
    sheet.line("learn", (745, FACE), (745, crop - 10), (764, crop - 10))
    sheet.line("learn", (745, t + 11), (764, t + 11))
    sheet.line("learn", (745, phi - 13), (764, phi - 13))
    sheet.line("data", (710, BEFORE), (764, BEFORE))
    sheet.line("data", (728, BEFORE), (728, phi + 13), (742, phi + 13), head=False)
    sheet.line("data", (748, phi + 13), (764, phi + 13))
    for x, y, kind in ((728, d - 11, "data"), (745, FACE, "learn"), (745, t + 11, "learn"),
                       (745, phi - 13, "learn"), (728, BEFORE, "data")):  # fmt: skip
        sheet.dot(x, y, kind)
    for name, y in JUDGES.items():
        sheet.line("learn", (872, y), (896, y))
        sheet.line("learn", (956, y), (977, y), head=False)
        sheet.box(name, 818, y, 108, 56 if name == "φ" else 44, *lines[name], moved=False)
        sheet.box(losses[name][0], 926, y, 60, 40, *losses[name])
    sheet.line("learn", (976, d), (976, 410), (964, 410))
    sheet.box("Eq. 13", 846, 410, 236, 54, "Eq. 13",
              r"$L_{GAN}+\lambda_1 L_{perc}+\lambda_2 L_{lip}+\lambda_3 L_{mi}$",
              "and ours: L1 of the frame")  # fmt: skip


def _own_steps(sheet: _Sheet, shown: Pictures) -> None:
    """D's and T's own steps: which pairs they learn from."""
    top = 464
    for left, title, rows, name, loss, note in (
        (8, "D learns first: Eq. 9",
         ((shown.real, shown.window, r"$\{f_i, a_i\}$ real", "data"),
          (shown.generated, shown.window, r"$\{\hat{f}_i, a_i\}$ generated", "cut")),
         "D", "Eq. 9", "the generated frame is detached: G stays"),
        (338, "T learns second, on real pairs alone: Eq. 7",
         ((shown.real, shown.window, r"$\{f_i, a_i\}$ joint", "data"),
          (shown.other, shown.far, r"$\{f_j, a_k\}$ marginal", "data")),
         "T", "Eq. 7", "no generated frame: this is the asymmetry of AMIE"),
    ):  # fmt: skip
        sheet.panel(left, top, left + 316, 680, title)
        middle = top + 105
        for y, (face, window, label, kind) in zip((top + 62, top + 136), rows, strict=True):
            sheet.picture(face, left + 36, y, 46, 46)
            sheet.picture(window.T, left + 98, y, 58, 40)
            sheet.text(left + 72, y + 34, label, 8.5)
            sheet.line(kind, (left + 127, y), (left + 192, y), (left + 192, middle
                       + (-26 if y < middle else 26)))  # fmt: skip
        sheet.line("learn", (left + 218, middle), (left + 244, middle))
        sheet.box(name, left + 192, middle, 54, 50, name)
        sheet.box(loss, left + 275, middle, 62, 40, loss)
        sheet.text(left + 158, 667, note, 8.5, color="0.3")


def _effects(sheet: _Sheet, seen: Observed) -> None:
    """What each step moved, as observed."""
    sheet.panel(668, 464, 992, 680, "What each step moved, as observed")
    columns = {name: 806 + 40 * at for at, name in enumerate(seen.effect["g"])}
    for name, x in columns.items():
        sheet.text(x, 508, name, 9, weight="bold")
    for y, (step, title) in zip((534, 564, 594, 624), STEPS.items(), strict=True):
        sheet.text(682, y, title, 9, ha="left")
        for name, x in columns.items():
            _effect(sheet, seen.effect[step][name], x, y, name)
    for x, what, label in ((700, MOVED, "moved"), (774, PASSED, "passes the gradient on"),
                           (932, UNTOUCHED, "neither")):  # fmt: skip
        _effect(sheet, what, x - 10, 661, "G")
        sheet.text(x + 2, 661, label, 8, ha="left", color="0.3")


def _effect(sheet: _Sheet, what: str, x: Units, y: Units, name: str) -> None:
    colour = KINDS.get(name, BLUE)
    if what == UNTOUCHED:
        sheet.text(x, y, "–", 9, color="0.5")
    else:
        fill = colour if what == MOVED else "white"
        sheet.axes.plot(x, y, "o", ms=9, mfc=fill, mec=colour, mew=1.6, zorder=4)


def _legend(sheet: _Sheet) -> None:
    """What colours, lines and corners mean."""
    y = 697
    for x, kind, label in ((14, "learn", "the gradient comes back along it"),
                           (236, "cut", "the gradient is cut"), (398, "data", "data")):  # fmt: skip
        sheet.line(kind, (x, y), (x + 32, y))
        sheet.text(x + 38, y, label, 8.5, ha="left")
    for x, kind, label in (
        (480, "input", "inputs"),
        (545, "G", "G"),
        (586, "D", "D"),
        (627, "T", "T"),
        (668, "φ", "fixed"),
        (726, "loss", "losses"),
    ):
        patch = FancyBboxPatch((x, y - 6), 14, 12, boxstyle="round,pad=0,rounding_size=3",
                               fc=_tint(KINDS[kind], 0.28), ec=KINDS[kind], lw=1.2)  # fmt: skip
        sheet.axes.add_patch(patch)
        sheet.text(x + 19, y, label, 8.5, ha="left")
    sheet.text(790, y, "in the corner: the notebook", 8.5, ha="left")


def show(fig: Figure, provenance: dict[str, Any], alt: str) -> Shown:
    """Write the drawing to figures/ as pipeline_PROFILE.svg and .png, and show it 900 px wide."""
    save_figure(fig, "pipeline", provenance, alt=alt, vector=True)
    buffer = io.BytesIO()
    with rc_context(STYLE):
        fig.savefig(buffer, dpi=PRINT_DPI, format="png")
    large = Image.open(buffer).convert("RGB")
    small = large.resize((900, round(900 * large.height / large.width)), Image.Resampling.LANCZOS)
    # An octree keeps the few pixels of a rare colour, which the median cut of `png` does not.
    kept, buffer = small.quantize(256, Image.Quantize.FASTOCTREE), io.BytesIO()
    kept.save(buffer, "PNG", optimize=True)
    return Shown(alt, [("image/png", base64.b64encode(buffer.getvalue()).decode())])
