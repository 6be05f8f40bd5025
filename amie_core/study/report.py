"""Table 4 beside the paper's, figures of a study, and what the paper's own could have shown."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from amie_core import paper
from amie_core.errors import UserError
from amie_core.machine import say
from amie_core.show.figures import MARKERS, PALETTE, STYLE, figure
from amie_core.study import statistics
from amie_core.study.analysis import analyse, span
from amie_core.study.plan import Form, Trial, latin_square, shown

NOT_RUN = "no study has been run"
# The paper's rows by the names that runs of these methods have in a study.
ROWS = {"davs": "Zhou et al. [2019]", "atvgnet": "Chen et al. [2019]", "ours": "AMIE (Ours)"}


def table4(result: dict[str, Any] | None = None) -> pd.DataFrame:
    """The paper's Table 4 with a column of ours beside each of its own, in per cent of the answers.

    result: `analyse`'s, of people; without one our columns say that there is none. Methods that
    the paper did not ask about get rows of their own. Raises UserError for simulated raters.
    """
    if result is not None and result["source"] != "people":
        raise UserError(f"Table 4 takes people's votes, these are {result['source']}")
    found = result["methods"] if result else []
    names = {ROWS.get(name, name): name for name in found}
    printed = {row.method: row for row in paper.TABLE_4}
    lines = {}
    for method in [*printed, *(name for name in names if name not in printed)]:
        line = {}
        for question in ("realistic", "synchronization"):
            row = printed.get(method)
            line[f"{question}, paper"] = f"{getattr(row, question):.2f}" if row else "–"
            line[f"{question}, ours"] = _ours(result, question, names.get(method))
        lines[method] = line
    return pd.DataFrame.from_dict(lines, orient="index").rename_axis("% of the answers")


def _ours(result: dict[str, Any] | None, question: str, method: str | None) -> str:
    if result is None:
        return NOT_RUN
    if method is None:
        return "–"
    row = result["questions"][question]["methods"][method]
    low, high = (100 * edge for edge in row["wilson"])
    return f"{100 * row['share']:.2f} [{low:.1f}, {high:.1f}]"


def shares(result: dict[str, Any]) -> pd.DataFrame:
    """`analyse`'s result, a line a question and method; the header says whose answers they are."""
    rows = []
    for question, column in result["questions"].items():
        for method, row in column["methods"].items():
            rows.append({
                "question": question, "method": method, "votes": row["votes"],
                "share, %": f"{100 * row['share']:.1f}",
                "Wilson": span(row["wilson"], 100.0), "over raters": span(row["bootstrap"], 100.0),
                "log strength": f"{row['strength']:+.2f} {span(row['strength_interval'])}",
            })  # fmt: skip
    index = pd.MultiIndex.from_product([[result["source"]], range(1, len(rows) + 1)])
    return pd.DataFrame(rows, index=index)


@rc_context(STYLE)
def sampling(methods: Sequence[str], trials: Sequence[Trial], forms: Sequence[Form]) -> Figure:
    """The design: a line a form, a place a trial with its clips from left to right.

    Each place says the trial's number and, by colour and letter, whose clip stands at A, B, …; what
    no method made is grey. Drawn are the forms of one Latin square: those after it are the same
    orders with the clips turned on.
    """
    colours = dict(zip(methods, PALETTE, strict=False))
    drawn, places = forms[: len(latin_square(len(trials)))], len(forms[0])
    choices = len(trials[0].methods)
    gap = 1.3 if len(trials) <= 10 else 1.8  # for the trial's number
    lefts = [(choices + gap) * place + gap * (place >= len(trials)) / 2 for place in range(places)]
    size = 7 if len(trials) <= 10 else 5.5  # pt
    fig = figure(7.0, 0.9 + 0.22 * len(drawn))
    axes = fig.subplots()
    for row, form in enumerate(drawn):
        for place, (number, turn) in enumerate(form):
            left = lefts[place]
            axes.text(left - 0.08, row, str(number), ha="right", va="center", fontsize=size)
            for at, name in enumerate(shown(list(trials[number].methods), turn)):
                face = colours.get(name, "0.45" if name == "real" else "0.8")
                axes.add_patch(Rectangle((left + at, row - 0.42), 0.94, 0.84, color=face))
                mark = name[0] if name in colours else "R" if name == "real" else name[-1]
                ink = "white" if name == "real" or face == PALETTE[0] else "black"
                axes.text(left + at + 0.47, row, mark, ha="center", va="center", fontsize=size,
                          color=ink)  # fmt: skip
    axes.set(xlim=(-1, lefts[-1] + choices), ylim=(len(drawn) - 0.4, -0.6), ylabel="form",
             yticks=range(len(drawn)), xlabel="place")  # fmt: skip
    axes.set_xticks([left + choices / 2 for left in lefts], [*map(str, range(1, places + 1))])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    said = [Patch(color=colours[name], label=f"{name[0]}  {name}") for name in methods]
    said += [Patch(color="0.45", label="R  the real clip"),
             Patch(color="0.8", label="0  the real clip,  1, 2  its sound moved")]  # fmt: skip
    fig.legend(handles=said, loc="outside upper left", ncols=len(said), frameon=False, fontsize=6.5)
    return fig


@rc_context(STYLE)
def votes(result: dict[str, Any]) -> Figure:
    """Shares of the answers a question: Wilson's intervals thick, over raters thin, chance dashed.

    Answers of simulated raters are marked as such across the whole figure.
    """
    fig = figure(7.0, 0.9 + 0.32 * len(result["methods"]))
    chance = 1 / len(result["methods"])
    panels = fig.subplots(1, len(result["questions"]), sharey=True)
    for axes, (question, column) in zip(panels, result["questions"].items(), strict=True):
        for at, (name, row) in enumerate(column["methods"].items()):
            colour = PALETTE[at % len(PALETTE)]
            if row["bootstrap"] is not None:
                axes.plot(row["bootstrap"], [at, at], color=colour, linewidth=1)
            axes.plot(row["wilson"], [at, at], color=colour, linewidth=4, alpha=0.4)
            axes.plot(row["share"], at, MARKERS[at % len(MARKERS)], color=colour, markersize=6)
            axes.annotate(f"{row['share']:.0%}", (row["share"], at), xytext=(0, 6), fontsize=7,
                          textcoords="offset points", ha="center")  # fmt: skip
            if axes is panels[0]:
                axes.annotate(
                    name,
                    (0, at),
                    xytext=(-4, 0),
                    textcoords="offset points",
                    xycoords=("axes fraction", "data"),
                    ha="right",
                    va="center",
                )
        axes.axvline(chance, color="0.4", linestyle="--", linewidth=1)
        agreed = "–" if column["alpha"] is None else f"{column['alpha']:.2f}"
        axes.set(title=f"{question}: {column['answers']} answers, alpha {agreed}", xlim=(0, 1),
                 ylim=(-0.6, len(column["methods"]) - 0.2), yticks=[])  # fmt: skip
        axes.set_xlabel("share of the answers")
    if result["source"] != "people":
        fig.text(0.5, 0.5, result["source"].upper(), fontsize=19, color="0.55", alpha=0.5,
                 ha="center", va="center", rotation=8, zorder=9)  # fmt: skip
    return fig


def volunteers(trials: tuple[int, ...] = (1, 5, 20, 60, 120)) -> pd.DataFrame:
    """What the paper's 42 volunteers could have shown, by how many answers each gave a question.

    The paper does not say how many. A trial is one of three, so a method and the next one share
    only their own votes (Table 4): for each question the least head-to-head share that would be
    found, beside the one that was printed; answers of one person as independent and as correlated.
    """
    table: dict[str, dict[Any, str]] = {}
    for question in ("realistic", "synchronization"):
        first, second = sorted((getattr(r, question) for r in paper.TABLE_4), reverse=True)[:2]
        kept = (first + second) / 100
        for name, clustering in (("independent", 0.0), ("correlated", statistics.CLUSTERING)):
            least = [statistics.detectable(paper.VOLUNTEERS, t, kept=kept, clustering=clustering)
                     for t in trials]  # fmt: skip
            cells = [*least, statistics.head_to_head(first, second)]
            keys = [*trials, "printed"]
            table[f"{question}, {name}"] = {
                key: "none" if cell is None else f"{cell:.1%}"
                for key, cell in zip(keys, cells, strict=True)
            }
    return pd.DataFrame(table).rename_axis("answers each")


def unblinded(key: dict[str, Any], folder: Path) -> dict[str, list[np.ndarray]]:
    """Frames of the first main trial, by method, the real recording first: for those who may see.

    Raises UserError when a clip is gone.
    """
    from amie_core.data.video import read_video

    trial = next(trial for trial in key["trials"].values() if trial["kind"] == "main")
    named = {"real": trial["reference"]} | {m: clip for clip, m in trial["clips"].items()}
    return {
        method.replace("_", "\n"): [frame for frame in video.frames if frame is not None]
        for method, clip in named.items()
        for video in (read_video(folder / "clips" / f"{clip}.mp4"),)
    }


def people(key: dict[str, Any], files: Iterable[Path]) -> dict[str, Any] | None:
    """The analysis of people's answers in these files; None, and why, where nobody's counts."""
    files = list(files)
    try:
        return analyse(key, files)
    except UserError as error:
        if files:
            say(f"of {len(files)} files of answers none counts: {error}")
        return None
