"""Tables of deposited cells as people read them: HTML for notebooks, Markdown and CSV for files."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from amie_core.experiments import ablation, claims
from amie_core.experiments.ablation import LABELS, METRICS, Deposit, known_mean, with_interval
from amie_core.show import figures

TITLES = {
    "test_seen": "Known faces, unseen sentences",
    "test_unseen": "Unseen faces",
    "test": "LRW's own test split",
}
LEGEND = (
    "Means over seeds, [95 % interval, Student's t], (paired difference to the row that the paper "
    "compares with), the paper's value on LRW (and difference)."
)
# What `critic_probe` measures, in words.
PROBES = {
    "own_real": "its T, real pairs", "own_made": "its T, generated pairs",
    "fresh_real": "fresh T, real pairs", "fresh_made": "fresh T, generated pairs",
}  # fmt: skip
# Heading of Table 3 -> metric, decimals.
COLUMNS = {heading: (metric, 3) for metric, (heading, _) in METRICS.items()}


def save_paper_table(
    number: int,
    title: str,
    splits: Mapping[str, pd.DataFrame],
    provenance: Mapping[str, Any],
    paragraphs: Mapping[str, Sequence[str]],
    notes: Sequence[str],
) -> None:
    """Write tableN to figures/: Markdown with a section a split, CSV of all splits, provenance.

    splits: what the CSV holds of each; paragraphs: what the Markdown says of each; notes: what
    stands under them. The profile is in the name, but for GRID's.
    """
    profile, text = provenance["profile"], [f"# {title} ({origin(provenance)})"]
    other = provenance.get("tested")  # where no face is known: training never saw the corpus
    for split, said in paragraphs.items():
        title = f"Tested on {other}" if other else TITLES[split]
        text += [f"## {title} (`{split}`)", *said]
    every = pd.concat([table.assign(split=split) for split, table in splits.items()])
    name = f"table{number}" if profile == "grid" else f"table{number}_{profile}"
    figures.write_table(every, name, dict(provenance), [*text, *notes], indent=1)


def origin(provenance: Mapping[str, Any]) -> str:
    """Where a table of cells comes from, in a line under its title."""
    seeds = ", ".join(map(str, provenance["seeds"]))
    corpus = provenance["corpus"]
    corpus += f", tested on {provenance['tested']}" if "tested" in provenance else ""
    return (f"profile {provenance['profile']}, corpus {corpus}, seeds {seeds}, "
            f"{provenance['steps']} steps, {provenance['size']} px, {provenance['runs']} runs, "
            f"{provenance['hours']} hours, {'; '.join(provenance['machine'])}, "
            f"code {', '.join(provenance['commit'])}")  # fmt: skip


def clip_mean(clips: Sequence[Mapping[str, Any]], metric: str, digits: int) -> str:
    """Mean of a metric over the clips that have a value, as text."""
    mean = known_mean(clips, metric)
    return "–" if mean is None else f"{mean:.{digits}f}"


def reference_lines(
    real: Deposit, split: str, columns: Mapping[str, tuple[str, int]]
) -> dict[str, dict[str, str]]:
    """Copied frame, nearest sound, real frames: their means. columns: heading -> metric, decimals.

    The sync judge has heard real frames alone.
    """
    lines = {}
    for name, clips in real["rows"].get(split, {}).items():
        line = {heading: clip_mean(clips, *column) for heading, column in columns.items()}
        for heading, (metric, digits) in columns.items():
            if metric == "sync_auc" and name == "real_frames":
                line[heading] = clip_mean([{metric: real["judge"][split]["auc"]}], metric, digits)
        lines[name.replace("_", " ")] = line
    return lines


def table_3(table: pd.DataFrame, real: Deposit, split: str) -> pd.DataFrame:
    """Table 3 in words: a line a row, a column a metric; below, what the real clips score."""
    lines: dict[str, dict[str, str]] = {}
    for row, part in table.groupby("row", sort=False):
        line = {METRICS[cell["metric"]][0]: _cell(cell) for cell in part.to_dict("records")}
        name = f"{part['label'].iloc[0]} [{row}]"
        lines[name] = {"seeds": str(part["seeds"].max()), **line}
    lines |= reference_lines(real, split, COLUMNS)
    frame = pd.DataFrame.from_dict(lines, orient="index").rename_axis("row")
    return frame.reindex(columns=["seeds", *COLUMNS]).fillna("")


def styled(table: pd.DataFrame, real: Deposit, split: str) -> str:
    """Table 3 as HTML, our row in bold."""
    frame = table_3(table, real, split).rename_axis(None)
    style = frame.style.set_uuid("table3").set_table_styles(
        [{"selector": "td", "props": "white-space: pre-line; text-align: right"}]
    )
    ours = [name for name in frame.index if name == f"{LABELS['ours']} [ours]"]
    return style.set_properties(subset=(ours, slice(None)), **{"font-weight": "bold"}).to_html()


def _cell(cell: Mapping[str, Any]) -> str:
    """One cell: mean with interval, paired difference, the paper's value and difference."""
    interval = (cell["low"], cell["high"]) if _known(cell["low"]) else None
    text = with_interval(cell["mean"], interval, ".3f")
    if _known(cell["difference"]):
        text += f"\n({cell['difference']:+.3f} to {cell['against']})"
    if _known(cell["paper"]):
        text += f"\npaper {cell['paper']:.2f}"
        if _known(cell["paper_difference"]):
            text += f" ({cell['paper_difference']:+.2f})"
    return text


def _known(number: float | None) -> bool:
    return number is not None and not np.isnan(number)


def save_table_3(
    found: Sequence[Deposit], effects: Sequence[claims.Effect], real: Deposit,
    provenance: Mapping[str, Any],
) -> None:  # fmt: skip
    """Write table3 to figures/, with all splits and what `claims.effects` says of the claims."""
    frames = {split: ablation.table(found, split) for split in found[0]["splits"]}
    words = {split: [figures.markdown(table_3(frame, real, split))]
             for split, frame in frames.items()}  # fmt: skip
    answers = figures.markdown(claims.answers(effects).set_index("claim"))
    every = figures.markdown(claims.table(effects).set_index("claim"))
    notes = [LEGEND, "## The paper's claims", claims.RULE, answers, "### Every test", every]
    rows = {split: frame.set_index("row") for split, frame in frames.items()}
    save_paper_table(3, "Table 3: the ablation", rows, provenance, words, notes)


def critics(found: Sequence[Deposit], begins: float) -> pd.DataFrame:
    """What T knew, a line a row with MI: means over seeds.

    Paired accuracy on the row's own pairs when the MI term began (mean of the twentieth of the run
    before it) and at the end, λ3 and the term's share of the gradient from there on, and the
    accuracies of `critic_probe` on test clips.
    """
    lines: dict[str, dict[str, str]] = {}
    for row in ablation.ABLATION:
        own = [cell for cell in found if cell["name"] == row and "critic" in cell]
        if not own:
            continue
        parts: dict[str, list[float]] = {}
        for cell in own:
            steps, log = cell["training"]["steps"], cell["trace"]
            start = begins * steps
            before = [e["t_accuracy"] for e in log if start - 0.05 * steps < e["step"] <= start]
            after = [e for e in log if e["step"] > start]
            values = {
                "T when MI begins": before or [log[0]["t_accuracy"]],
                "T at the end": [e["t_accuracy"] for e in log[-3:]],
                "share of the gradient": [e["mi_share"] for e in after],
                "λ3": [e["lambda3"] for e in after],
            }
            for name, found_here in values.items():
                parts.setdefault(name, []).append(float(np.mean(found_here)))
            for name, words in PROBES.items():
                parts.setdefault(words, []).append(cell["critic"][name])
        lines[f"{LABELS[row]} [{row}]"] = {"seeds": str(len(own))} | {
            name: f"{np.mean(of):.3f}" + (f" ± {np.std(of, ddof=1):.3f}" if len(of) > 1 else "")
            for name, of in parts.items()
        }
    return pd.DataFrame.from_dict(lines, orient="index").rename_axis("row")


def by_speaker(found: Sequence[Deposit], metric: str) -> pd.DataFrame:
    """A metric by row and test speaker, means over seeds: a mean over clips hides who they are."""
    lines: dict[str, dict[str, str]] = {}
    for row in dict.fromkeys(cell["name"] for cell in found):
        own = [cell for cell in found if cell["name"] == row]
        for split in own[0]["splits"]:
            clips = [clip for cell in own for clip in cell["splits"][split]["clips"]]
            for speaker in sorted({clip["speaker"] for clip in clips}):
                of = [clip for clip in clips if clip["speaker"] == speaker]
                heading = f"{speaker or 'nobody named'}, {len(of) // len(own)} of {split}"
                lines.setdefault(row, {})[heading] = clip_mean(of, metric, 3)
    return pd.DataFrame.from_dict(lines, orient="index").rename_axis(METRICS[metric][0])


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
                "AMIE − MINE": "–" if delta is None
                else with_interval(delta.mean, delta.interval, "+.3g"),
            })  # fmt: skip
    return pd.DataFrame(lines).set_index(["features", "distance"])
