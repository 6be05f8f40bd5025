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

from amie_core.config import CELL_VARIANTS, METHODS, PEERS, RELATED
from amie_core.experiments.ablation import METRICS, mean_interval, values, with_interval
from amie_core.experiments.tables import reference_lines, save_paper_table
from amie_core.paper import TABLE_1, TABLE_2, Score
from amie_core.show import figures

if TYPE_CHECKING:
    import pandas as pd

Deposit = Mapping[str, Any]
VARIANTS = {name: of for variants in CELL_VARIANTS.values() for name, of in variants.items()}
# Name of a cell -> name in the paper's tables, in their order; what stands in none says so.
CELLS = {
    cell: printed + said + (" †" if name in RELATED else "")
    for name, printed in METHODS.items()
    for cell, said in [
        ("ours" if name == "amie" else name, ""),
        *((cell, f", {', '.join(map(str, changed.values()))}")
          for cell, (method, changed) in VARIANTS.items() if method == name),
    ]
}  # fmt: skip
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
    "seeds with 95 % intervals (Student's t). Paper: as printed, at a size it does not give. "
    "†: named in the paper's section 2, not in its tables; Suwajanakorn et al. is a model of one "
    "person, the training speaker with the most frames (GRID: s1) or the one named beside it."
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


def long(cells: Sequence[Deposit], split: str, metrics: Sequence[str] = ()) -> "pd.DataFrame":
    """A line a method and metric: row, label, metric, seeds, mean, low, high.

    metrics: of the deposits; the ablation's where none is named. A method whose lips no landmark
    finder sees has no mean.
    """
    import pandas as pd

    lines, run = [], {cell["name"] for cell in cells}
    for metric in metrics or METRICS:
        by_method = values(cells, metric, split)
        for name, label in ((name, label) for name, label in CELLS.items() if name in run):
            found = list(by_method.get(name, {}).values())
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
    for name, label in _lines(cells).items():
        seeds = sorted(cell["seed"] for cell in fitting if cell["name"] == name)
        line = {"seeds": ", ".join(map(str, seeds)) or "–"}
        for heading, (correct, legacy, field, digits) in COLUMNS.items():
            for kind, metric in (("correct", correct), ("legacy", legacy)):
                found = list(values(fitting, metric, split).get(name, {}).values())
                missing = "not run" if fitting else f"needs {which.corpora[0].upper()}"
                missing = "–" if any(cell["name"] == name for cell in fitting) else missing
                line[f"{heading} · {kind}"] = _cell(found, digits) if found else missing
            score = getattr(printed.get(label), field, None)
            line[f"{heading} · paper"] = "–" if score is None else f"{score:.2f}"
        lines[label] = line
    if fitting:
        lines |= reference_lines(real, split, _columns())
    frame = pd.DataFrame.from_dict(lines, orient="index").fillna("")
    return frame.rename_axis(f"Table {which.number}")


def _lines(cells: Sequence[Deposit]) -> dict[str, str]:
    """Name and label of every method, and of a method under other settings where that has run."""
    run = {cell["name"] for cell in cells}
    return {n: label for n, label in CELLS.items() if n not in VARIANTS or n in run}


def _columns() -> dict[str, tuple[str, int]]:
    """The columns that are measured here: heading -> metric, decimals."""
    return {f"{heading} · {kind}": (metric, digits)
            for heading, (correct, legacy, _, digits) in COLUMNS.items()
            for kind, metric in (("correct", correct), ("legacy", legacy))}  # fmt: skip


def _cell(seeds: Sequence[float], digits: int) -> str:
    return with_interval(*mean_interval(seeds), f".{digits}f", " (one seed)")


def splits_of(cells: Sequence[Deposit]) -> tuple[str, str]:
    """The splits of known and of unseen faces; one for both where the corpus has one (LRW)."""
    splits = list(cells[0]["splits"])
    return splits[0], splits[-1]


def orders(cells: Sequence[Deposit], which: PaperTable, split: str) -> "pd.DataFrame":
    """The methods from best to worst by each column: correct, legacy, and as printed."""
    import pandas as pd

    lines = {}
    for heading, (correct, legacy, field, _) in COLUMNS.items():
        sign = -1 if "↑" in heading else 1
        ranked = {}
        for kind, metric in (("correct", correct), ("legacy", legacy)):
            found = values(cells, metric, split)
            ranked[kind] = {label: np.mean(list(found[name].values()))
                            for name, label in CELLS.items() if name in found}  # fmt: skip
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

    Lip correlation, variance ratio, the sync judge's AUC and, for the first split, the Fréchet
    distance of φ's features of the lips from real ones.
    """
    import pandas as pd

    columns = {METRICS[metric][0]: (metric, 2)
               for metric in ("lip_correlation", "lip_variance_ratio", "sync_auc")}  # fmt: skip
    lines: dict[str, dict[str, str]] = {}
    for name, label in _lines(cells).items():
        by_method = {h: values(cells, metric, split) for h, (metric, _) in columns.items()}
        lines[label] = {heading: _cell(list(found[name].values()), 2) if name in found else "–"
                        for heading, found in by_method.items()}  # fmt: skip
    lines |= reference_lines(real, split, columns)
    if real["rows"] and split == next(iter(real["rows"])):  # the split that distances are of
        known = {name.replace("_", " "): "–" for name in real["rows"].get(split, {})}
        for name, key in (("real frames", "floor"), ("copied identity", "copied_identity")):
            known[name] = f"{real['distances'][key]['lips']['frechet']['value']:.1f}"
        for name, label in _lines(cells).items():
            apart = [c["distances"]["lips"]["frechet"]["value"] for c in cells if c["name"] == name]
            known[label] = _cell(apart, 1) if apart else "–"
        for name, line in lines.items():
            line["Fréchet distance of φ, lips ↓"] = known[name]
    return pd.DataFrame.from_dict(lines, orient="index").rename_axis(split)


def save(found: Sequence[Deposit], real: Deposit, provenance: Mapping[str, Any]) -> None:
    """Write table1 and table2 to figures/."""
    for number, which in TABLE.items():
        shown = {split: table(found, real, which, split) for split in which.splits}
        words = {split: [figures.markdown(frame)] for split, frame in shown.items()}
        if provenance["corpus"] in which.corpora:
            for split, said in words.items():
                said.append(figures.markdown(lips(found, real, split)))
        save_paper_table(number, f"Table {number}", shown, provenance, words, [LEGEND])
