"""Tables 1 and 2 from deposited cells: the compared methods and AMIE, three ways of reading each.

Every column of the paper's tables is shown as *ours (correct)*, *ours (legacy protocol)*, *paper*.
A table is filled by runs on its own corpus alone; without them it says what it needs.
"""

from ast import get_docstring, parse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from amie_core import files
from amie_core.config import METHODS, PEERS
from amie_core.experiments.ablation import METRICS, mean_interval
from amie_core.experiments.tables import TITLES, clip_mean, origin
from amie_core.files import figures_dir, write_whole
from amie_core.paper import TABLE_1, TABLE_2, Score
from amie_core.show import figures

if TYPE_CHECKING:
    import pandas as pd

Deposit = Mapping[str, Any]
# Name of a cell -> name in the paper's tables, in their order.
CELLS = {("ours" if name == "amie" else name): printed for name, printed in METHODS.items()}
# Column of the paper -> correct metric, the one of released scripts, the paper's field, decimals.
COLUMNS = {
    "PSNR, dB ↑": ("psnr_rgb", "psnr_rgb_uint8_legacy", "psnr", 2),
    "SSIM ↑": ("ssim_gaussian_rgb", "ssim_uniform_rgb", "ssim", 3),
    "LMD, px at 256 ↓": ("lmd_mouth_mean_256", "lmd_mouth_sum_256_legacy", "lmd", 2),
}
LEGEND = (
    "Correct: PSNR in floats over colour, SSIM with Wang's Gaussian window, LMD the mean over the "
    "20 mouth points. Legacy: as released scripts of compared methods have it, PSNR with 8-bit "
    "wrap-around, SSIM with scikit-image's uniform window, LMD summed over the points. Means over "
    "seeds with 95 % intervals (Student's t). Paper: as printed, at a size it does not give."
)


@dataclass(frozen=True)
class PaperTable:
    """One of the paper's tables of methods, and runs on which corpora fill it here."""

    number: int
    corpora: tuple[str, ...]
    splits: tuple[str, ...]
    printed: tuple[Score, ...]


# Table 2 is "cross-dataset" in the paper; here its unseen faces are GRID's own unseen speakers.
# At the smoke profile the embedded corpus stands in for GRID, as everywhere.
TABLE = {
    1: PaperTable(1, ("lrw",), ("test",), TABLE_1),
    2: PaperTable(2, ("grid", "synthetic", "folder"), ("test_unseen", "test_seen"), TABLE_2),
}


def ledgers() -> "pd.DataFrame":
    """What each compared method kept and what was simplified, from the head of its own file."""
    import pandas as pd

    folder, lines = Path(__file__).parents[1] / "peers", {}
    for name in PEERS:
        text = get_docstring(parse((folder / f"{name}.py").read_text(encoding="utf-8"))) or ""
        head, _, rest = text.partition("Kept:")
        kept, _, simplified = rest.partition("Simplified, and why:")
        items = [" ".join(item.split()).rstrip(";.") for item in simplified.split("\n- ")[1:]]
        lines[f"{METHODS[name]} · {name}"] = {
            "after": " ".join(head.split()), "kept": " ".join(kept.split()),
            "simplified, and why": "<br>".join(items),
        }  # fmt: skip
    return pd.DataFrame.from_dict(lines, orient="index").rename_axis("method")


def by_seed(cells: Sequence[Deposit], name: str, metric: str, split: str) -> dict[int, float]:
    """A cell's mean over clips, by seed; seeds without a value are left out."""
    found = {}
    for cell in cells:
        clips = cell["splits"].get(split, {}).get("clips", []) if cell["name"] == name else []
        known = [clip[metric] for clip in clips if clip.get(metric) is not None]
        if known:
            found[cell["seed"]] = float(np.mean(known))
    return found


def long(cells: Sequence[Deposit], split: str, metrics: Sequence[str] = ()) -> "pd.DataFrame":
    """A line a method and metric: row, label, metric, seeds, mean, low, high.

    metrics: of the deposits; the ablation's where none is named. A method whose lips no landmark
    finder sees has no mean.
    """
    import pandas as pd

    lines, run = [], {cell["name"] for cell in cells}
    for metric in metrics or METRICS:
        for name, label in ((name, label) for name, label in CELLS.items() if name in run):
            found = list(by_seed(cells, name, metric, split).values())
            mean, interval = mean_interval(found) if found else (None, None)
            low, high = interval or (None, None)
            lines.append({"row": name, "label": label, "metric": metric, "seeds": len(found),
                          "mean": mean, "low": low, "high": high})  # fmt: skip
    columns = ["row", "label", "metric", "seeds", "mean", "low", "high"]
    frame = pd.DataFrame(lines, columns=columns)
    return frame.astype({"mean": float, "low": float, "high": float})


def table(cells: Sequence[Deposit], real: Deposit, which: PaperTable, split: str) -> "pd.DataFrame":
    """Table 1 or 2: a line a method and a reference row, three columns for each of the paper's.

    Where the cells are of no corpus that fills the table, "needs LRW" stands in their place.
    """
    import pandas as pd

    fitting = [cell for cell in cells if cell["corpus"] in which.corpora]
    printed = {score.method: score for score in which.printed}
    lines: dict[str, dict[str, str]] = {}
    for name, label in CELLS.items():
        seeds = sorted(cell["seed"] for cell in fitting if cell["name"] == name)
        line = {"seeds": ", ".join(map(str, seeds)) or "–"}
        for heading, (correct, legacy, field, digits) in COLUMNS.items():
            for kind, metric in (("correct", correct), ("legacy", legacy)):
                found = list(by_seed(fitting, name, metric, split).values())
                missing = "not run" if fitting else f"needs {which.corpora[0].upper()}"
                missing = "–" if any(cell["name"] == name for cell in fitting) else missing
                line[f"{heading} · {kind}"] = _cell(found, digits) if found else missing
            score = getattr(printed.get(label), field, None)
            line[f"{heading} · paper"] = "–" if score is None else f"{score:.2f}"
        lines[label] = line
    if fitting:
        lines |= reference_lines(real, split)
    frame = pd.DataFrame.from_dict(lines, orient="index").fillna("")
    return frame.rename_axis(f"Table {which.number}")


def reference_lines(real: Deposit, split: str) -> dict[str, dict[str, str]]:
    """Copied frame, nearest sound, real frames by the same columns."""
    lines = {}
    for name, clips in real["rows"].get(split, {}).items():
        line = {}
        for heading, (correct, legacy, _, digits) in COLUMNS.items():
            for kind, metric in (("correct", correct), ("legacy", legacy)):
                line[f"{heading} · {kind}"] = clip_mean(clips, metric, digits)
            line[f"{heading} · paper"] = ""
        lines[name.replace("_", " ")] = line
    return lines


def _cell(values: Sequence[float], digits: int) -> str:
    mean, interval = mean_interval(values)
    if interval is None:
        return f"{mean:.{digits}f} (one seed)"
    return f"{mean:.{digits}f} [{interval[0]:.{digits}f}, {interval[1]:.{digits}f}]"


def orders(cells: Sequence[Deposit], which: PaperTable, split: str) -> "pd.DataFrame":
    """The methods from best to worst by each column: correct, legacy, and as printed."""
    import pandas as pd

    lines = {}
    for heading, (correct, legacy, field, _) in COLUMNS.items():
        sign = -1 if "↑" in heading else 1
        ranked = {}
        for kind, metric in (("correct", correct), ("legacy", legacy)):
            means = {label: np.mean(list(found.values())) for name, label in CELLS.items()
                     if (found := by_seed(cells, name, metric, split))}  # fmt: skip
            ranked[kind] = means
        ranked["paper"] = {score.method: getattr(score, field) for score in which.printed
                           if getattr(score, field) is not None}  # fmt: skip
        lines[heading] = {
            kind: " > ".join(_short(name) for name in sorted(means, key=lambda k: sign * means[k]))
            for kind, means in ranked.items()
        }
    return pd.DataFrame.from_dict(lines, orient="index")


def _short(label: str) -> str:
    """Chung et al. [2017] -> Chung 2017."""
    return label.replace(" et al. [", " ").replace("]", "").replace(" (Ours)", "")


def lips(cells: Sequence[Deposit], real: Deposit, split: str) -> "pd.DataFrame":
    """What the paper's metrics do not see: do lips move, when they should, as far as they should?

    Lip correlation, variance ratio, the sync judge's AUC and, for known faces, the Fréchet
    distance of φ's features of the lips from real ones.
    """
    import pandas as pd

    names = {name: METRICS[name][0] for name in ("lip_correlation", "lip_variance_ratio",
                                                 "sync_auc")}  # fmt: skip
    lines: dict[str, dict[str, str]] = {}
    for name, label in CELLS.items():
        line = {heading: _cell(list(found.values()), 2) if found else "–"
                for metric, heading in names.items()
                for found in [by_seed(cells, name, metric, split)]}  # fmt: skip
        apart = [c["distances"]["lips"]["frechet"]["value"] for c in cells if c["name"] == name]
        if split == "test_seen":
            line["Fréchet distance of φ, lips ↓"] = _cell(apart, 1) if apart else "–"
        lines[label] = line
    for name, clips in real["rows"].get(split, {}).items():
        line = {heading: clip_mean(clips, metric, 2) for metric, heading in names.items()}
        if name == "real_frames" and real["judge"][split]["auc"] is not None:
            line[names["sync_auc"]] = f"{real['judge'][split]['auc']:.2f}"
        key = {"real_frames": "floor", "copied_identity": "copied_identity"}.get(name)
        if split == "test_seen":
            heading = "Fréchet distance of φ, lips ↓"
            value = real["distances"][key]["lips"]["frechet"]["value"] if key else None
            line[heading] = "–" if value is None else f"{value:.1f}"
        lines[name.replace("_", " ")] = line
    return pd.DataFrame.from_dict(lines, orient="index").rename_axis(split)


def save(found: Sequence[Deposit], real: Deposit, provenance: Mapping[str, Any]) -> None:
    """Write table1 and table2 to figures/: Markdown, CSV, provenance. Smoke's carry its name."""
    import pandas as pd

    for number, which in TABLE.items():
        parts, frames = [f"# Table {number} ({origin(provenance)})\n"], []
        for split in which.splits:
            shown = table(found, real, which, split)
            frames.append(shown.assign(split=split))
            parts.append(f"## {TITLES[split]} (`{split}`)\n\n{markdown(shown)}\n")
            if provenance["corpus"] in which.corpora:
                parts.append(f"{markdown(lips(found, real, split))}\n")
        suffix = "_smoke" if provenance["profile"] == "smoke" else ""
        target = figures_dir() / f"table{number}{suffix}"
        write_whole(target.with_suffix(".md"), "\n".join([*parts, LEGEND, ""]).encode())
        write_whole(target.with_suffix(".csv"), pd.concat(frames).to_csv().encode())
        files.write_json(target.with_suffix(".json"), dict(provenance))


def markdown(shown: "pd.DataFrame") -> str:
    """A table of strings as Markdown."""
    rows = zip(shown.index, shown.fillna("").values.tolist(), strict=True)
    heading = [shown.index.name or "", *shown.columns]
    return figures.markdown([heading, *([name, *row] for name, row in rows)])
