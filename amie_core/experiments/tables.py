"""Tables of deposited cells as people read them: HTML for notebooks, Markdown and CSV for files."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from amie_core import files
from amie_core.experiments import ablation
from amie_core.experiments.ablation import LABELS, METRICS, Deposit
from amie_core.files import figures_dir, write_whole
from amie_core.show import figures

TITLES = {
    "test_seen": "Known faces, unseen sentences",
    "test_unseen": "Unseen faces",
    "test": "LRW's own test split",
}
LEGEND = (
    "Means over seeds, [95 % interval, Student's t], (paired difference to the row that the paper "
    "compares with), the paper's value on LRW (and difference).\n"
)


def styled(table: pd.DataFrame, real: Deposit, split: str) -> str:
    """Table 3 as HTML: a line a row, a column a metric; below, what the real clips score."""
    lines: dict[str, dict[str, str]] = {}
    for cell in table.to_dict("records"):
        heading = METRICS[cell["metric"]][0]
        lines.setdefault(f"{cell['label']} [{cell['row']}]", {})[heading] = _cell(cell)
    lines |= reference_lines(real, split)
    frame = pd.DataFrame.from_dict(lines, orient="index")
    style = frame.style.set_uuid("table3").set_table_styles(
        [{"selector": "td", "props": "white-space: pre-line; text-align: right"}]
    )
    ours = [name for name in frame.index if name == f"{LABELS['ours']} [ours]"]
    return style.set_properties(subset=(ours, slice(None)), **{"font-weight": "bold"}).to_html()


def _cell(cell: Mapping[str, Any]) -> str:
    """One cell: mean with interval, paired difference, the paper's value and difference."""
    text = f"{cell['mean']:.3f}"
    if _known(cell["low"]):
        text += f" [{cell['low']:.3f}, {cell['high']:.3f}]"
    if _known(cell["difference"]):
        text += f"\n({cell['difference']:+.3f} to {cell['against']})"
    if _known(cell["paper"]):
        text += f"\npaper {cell['paper']:.2f}"
        if _known(cell["paper_difference"]):
            text += f" ({cell['paper_difference']:+.2f})"
    return text


def _known(number: float | None) -> bool:
    return number is not None and not np.isnan(number)


def clip_mean(clips: Sequence[Mapping[str, Any]], metric: str, digits: int) -> str:
    """Mean of a metric over the clips that have a value, as text."""
    found = [clip[metric] for clip in clips if clip.get(metric) is not None]
    return f"{np.mean(found):.{digits}f}" if found else "–"


def reference_lines(real: Deposit, split: str) -> dict[str, dict[str, str]]:
    """Copied frame, nearest sound, real frames: their means, by heading."""
    lines = {}
    for name, clips in real["rows"][split].items():
        line = {}
        for metric, (heading, _) in METRICS.items():
            line[heading] = clip_mean(clips, metric, 3)
        if name == "real_frames" and real["judge"][split]["auc"] is not None:
            line[METRICS["sync_auc"][0]] = f"{real['judge'][split]['auc']:.3f}"
        lines[name.replace("_", " ")] = line
    return lines


def markdown(table: pd.DataFrame, real: Deposit, split: str) -> str:
    """Table 3 as Markdown, a line a row."""
    headings = [METRICS[m][0] for m in dict.fromkeys(table["metric"])]
    lines = [["row", "seeds", *headings]]
    for row, part in table.groupby("row", sort=False):
        name = f"{part['label'].iloc[0]} [{row}]"
        cells = [_cell(cell).replace("\n", "<br>") for cell in part.to_dict("records")]
        lines.append([name, str(part["seeds"].max()), *cells])
    for name, values_ in reference_lines(real, split).items():
        lines.append([name, "", *(values_[heading] for heading in headings)])
    return figures.markdown(lines)


def save_table_3(found: Sequence[Deposit], real: Deposit, provenance: Mapping[str, Any]) -> None:
    """Write table3 to figures/: Markdown with both splits and the claims, CSV, provenance.

    The profile is in the name, but for GRID's.
    """
    profile = provenance["profile"]
    name = "table3" if profile == "grid" else f"table3_{profile}"
    parts = [f"# Table 3: the ablation ({origin(provenance)})\n"]
    frames = []
    for split in found[0]["splits"]:
        table, title = ablation.table(found, split), TITLES[split]
        frames.append(table.assign(split=split))
        parts.append(f"## {title} (`{split}`)\n\n{markdown(table, real, split)}\n")
    parts.append(LEGEND)
    parts.append(f"## The paper's five claims\n\n{ablation.RULE}\n")
    claims = ablation.statements(found)
    parts.append(figures.markdown([list(claims.columns), *claims.values.tolist()]) + "\n")
    target = figures_dir() / name
    write_whole(target.with_suffix(".md"), "\n".join(parts).encode())
    write_whole(target.with_suffix(".csv"), pd.concat(frames).to_csv(index=False).encode())
    files.write_json(target.with_suffix(".json"), dict(provenance))


def origin(provenance: Mapping[str, Any]) -> str:
    """Where a table of cells comes from, in a line under its title."""
    seeds = ", ".join(map(str, provenance["seeds"]))
    return (f"profile {provenance['profile']}, corpus {provenance['corpus']}, seeds {seeds}, "
            f"{provenance['steps']} steps, {provenance['size']} px, {provenance['runs']} runs, "
            f"{provenance['hours']} hours, {'; '.join(provenance['machine'])}, "
            f"code {', '.join(provenance['commit'])}")  # fmt: skip


def distances(found: Sequence[Deposit], real: Deposit) -> pd.DataFrame:
    """Fig. 3 in numbers: a line a space and distance; means over seeds, AMIE − MINE by seed."""
    lines = []
    of = {name: {c["seed"]: c["distances"] for c in found if c["name"] == name}
          for name in ("c", "ours")}  # fmt: skip
    for space in real["distances"]["floor"]:
        for kind in real["distances"]["floor"][space]:
            by = {name: {seed: d[space][kind]["value"] for seed, d in seeds.items()}
                  for name, seeds in of.items()}  # fmt: skip
            delta = ablation.difference(by["ours"], by["c"])
            fixed = {name: real["distances"][name][space][kind]["value"]
                     for name in ("floor", "shuffled", "copied_identity")}  # fmt: skip
            lines.append({
                "features": space, "distance": kind,
                **{name.replace("_", " "): f"{value:.3g}" for name, value in fixed.items()},
                "MINE (c)": f"{np.mean(list(by['c'].values())):.3g}",
                "AMIE (ours)": f"{np.mean(list(by['ours'].values())):.3g}",
                "AMIE − MINE": "–" if delta is None else f"{delta.mean:+.3g}" + (
                    "" if delta.interval is None
                    else f" [{delta.interval[0]:+.3g}, {delta.interval[1]:+.3g}]"),
            })  # fmt: skip
    return pd.DataFrame(lines).set_index(["features", "distance"])
