"""Metrics of a trained run on a split, beside the rows that calibrate them.

Every clip is generated from its first frame and its sound alone, each frame from the model's own
last one: never teacher-forced.
"""

import math
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from amie_core import files
from amie_core.data.store import PreparedClip
from amie_core.errors import UserError
from amie_core.evaluation import metrics
from amie_core.machine import pick_device, progress_bar

if TYPE_CHECKING:
    import pandas as pd

BOOTSTRAP_SEED = 0


def evaluate(
    run: str | Path,
    data: str | Path,
    split: str,
    out: str | Path | None = None,
    *,
    device: str = "cpu",
    limit: int | None = None,
    progress: bool = True,
    features: bool = False,
    syncnet: str | Path | None = None,
) -> dict[str, Any]:
    """Measure a run (folder or .safetensors file) on the prepared clips of `data`'s `split`.

    `limit`: at most so many clips, spread evenly over the split. `features`: the slower metrics on
    VGG features too; `syncnet`: its weight file, for LSE (network_metrics.DEFINITIONS). Returns,
    and writes to `out` as JSON, what `Evaluation.result` does. Raises UserError for unusable input,
    or when no clip could be evaluated.
    """
    out = None if out is None else _writable(Path(out), Path(run), Path(data))
    evaluation = Evaluation(run, data, split, device=device, limit=limit, progress=progress)

    from amie_core.evaluation.network_metrics import NetworkMetrics

    further = NetworkMetrics(features, syncnet)
    for clip, frames in evaluation:
        evaluation.add(further(clip, frames))
    result = evaluation.result(further.values())
    if out is not None:
        files.write_json(out, result)
    return result


class Evaluation:
    """A run on a split: iterating generates and measures clip after clip, `result` has the values.

    Yields (clip, frames): a prepared clip, and what the run makes of its first frame and its sound.
    The identity face is the clip's first frame, which no metric looks at again. Pixel metrics are
    taken at the model's own size, landmark metrics in px at 256² (metrics.DEFINITIONS). `add` gives
    values of the clip just yielded, to stand with its own. A clip that fails is listed under
    "failed" and left out of every row.
    """

    def __init__(
        self,
        run: str | Path,
        data: str | Path,
        split: str,
        *,
        device: str = "cpu",
        limit: int | None = None,
        progress: bool = True,
    ) -> None:
        self.run, self.data, self.split, self.progress = Path(run), Path(data), split, progress
        if limit is not None and limit < 1:
            raise UserError(f"limit {limit}: evaluate at least one clip")

        from amie_core.data import store

        self.settings, rows = store.settings(self.data), store.clips(self.data, split)

        from amie_core.evaluation.reference_rows import ROWS, References
        from amie_core.training import checkpoint

        self.generator, self.meta = checkpoint.load_generator(self.run, pick_device(device))
        wanted = self.meta["mfcc_rate"]
        if self.settings.get("mfcc_rate", wanted) != wanted:
            raise UserError(
                f"{data}: prepared with MFCC at {self.settings['mfcc_rate']} Hz, the run wants "
                f"{wanted} Hz; prepare it again with --mfcc-rate {wanted}"
            )
        self.begun, self.in_split = time.perf_counter(), len(rows)
        self.rows = at_most(rows, limit)
        self.references = References(self.data, self.meta["image_size"])
        self.found: dict[str, list[dict[str, Any]]] = {"model": [], **{name: [] for name in ROWS}}
        self.failed: list[dict[str, str]] = []

    def __iter__(self) -> "Iterator[tuple[PreparedClip, np.ndarray]]":
        rows = self.rows.to_dict("records")
        for row in progress_bar(rows, "evaluate", shown=self.progress, unit="clip"):
            name = {"speaker": row["speaker"], "utterance": row["utterance"]}
            try:
                clip, frames, values = self._one(row["file"])
            except (UserError, OSError, ValueError, IndexError) as error:
                self.failed.append(name | {"reason": " ".join(str(error).split())})
                continue
            for kind, metric in values.items():
                self.found[kind].append(name | metric)
            yield clip, frames

    def add(self, values: dict[str, Any]) -> None:
        """Further values of the clip that was yielded last."""
        self.found["model"][-1] |= values

    def result(self, further: dict[str, Any] | None = None) -> dict[str, Any]:
        """The values per clip, their means with 95 % intervals (bootstrap over clips), the same
        for each reference row, and where all of it comes from.

        further: metrics of the split as a whole. Raises UserError when no clip was evaluated.
        """
        from amie_core.data import store
        from amie_core.evaluation.reference_rows import ROWS

        meta, clips = self.meta, self.found["model"]
        if not clips:
            reason = self.failed[0]["reason"]
            raise UserError(f"{self.data}: no clip of {self.split!r} could be evaluated: {reason}")
        return _finite({
            "run": self.run.resolve().name,
            **{key: meta[key] for key in ("profile", "row", "step")},
            "method": meta.get("method", "amie"),
            "corpus": self.settings.get("corpus"),
            "split": self.split,
            "trained_on": {"corpus": meta["corpus"], "split": meta["split"]},
            "seeds": {"training": meta["seed"], "bootstrap": BOOTSTRAP_SEED},
            "commit": {"training": meta["commit"], "evaluation": files.commit()},
            "data_digest": store.digest(self.data),
            "image_size": meta["image_size"],
            "landmark_size": 256,
            "landmark_backend": self.references.backend,
            "generation": "autoregressive from each clip's first frame, which is then left out",
            "clips": len(clips),
            "clips_in_split": self.in_split,
            "definitions": {name: known.words for name, known in metrics.DEFINITIONS.items()},
            "reference_rows": ROWS,
            "rows": {kind: _row(clips) for kind, clips in self.found.items()},
            "further": further or {},
            "failed": self.failed,
            "seconds": round(time.perf_counter() - self.begun, 1),
        })  # fmt: skip

    def _one(self, file: str) -> "tuple[PreparedClip, np.ndarray, dict[str, dict[str, Any]]]":
        """A clip, its generated frames, the values of the model and of each reference row."""
        from amie_core.data import store
        from amie_core.evaluation.reference_rows import compare, measure_lips
        from amie_core.model.talker import spoken

        clip = store.load_clip(self.data, file, size=self.meta["image_size"])
        n = len(clip.frames)
        if n < 2:
            raise UserError(f"{file}: {n} frame, nothing to generate")
        reference = self.references.of(clip, file)
        made = spoken(self.generator, self.meta, clip)
        values = compare(made, measure_lips(made), clip.frames, reference.real, clip.silent)
        frames = {"frames": n - 1}
        rows = {kind: frames | row for kind, row in reference.rows.items()}
        return clip, made, {"model": frames | values} | rows


def at_most(rows: "pd.DataFrame", limit: int | None) -> "pd.DataFrame":
    """Rows of a manifest, at most `limit` of them, spread evenly."""
    if limit is None or limit >= len(rows):
        return rows
    return rows.iloc[np.linspace(0, len(rows) - 1, limit).round().astype(int)]


def _row(clips: list[dict[str, Any]]) -> dict[str, Any]:
    """Means with intervals, and the clips they come from."""
    return {
        "mean": metrics.means(clips, seed=BOOTSTRAP_SEED),
        "unmeasured_frames": sum(clip["unmeasured_frames"] for clip in clips),
        "frames": sum(clip["frames"] for clip in clips),
        "clips": clips,
    }


def _writable(path: Path, run: Path, data: Path) -> Path:
    """The path, its folder made; UserError before hours of work, not after."""
    own = {path.resolve(), *path.resolve().parents}
    folder = run.parent if run.is_file() else run
    if path.is_file() and {run.resolve(), folder.resolve(), data.resolve()} & own:
        try:
            earlier = "rows" in files.from_json(path.read_text())
        except (OSError, ValueError, TypeError):
            earlier = False
        if not earlier:  # another evaluation's result may be replaced
            raise UserError(f"{path} would overwrite its own input: choose another --out")
    return files.writable(path, "--out")


def _finite(value: Any) -> Any:
    """The same without numbers that JSON does not know."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def table(result: dict[str, Any]) -> str:
    """The means of `evaluate`'s result as text: a line a metric, a column a row of the table."""
    rows = [(kind, row) for kind, row in result["rows"].items() if row["clips"]]
    lines = [
        f"{result['run']}: profile {result['profile']}, row {result['row']}, "
        f"step {result['step']}; corpus {result['corpus']}, split {result['split']}, "
        f"{result['clips']} of {result['clips_in_split']} clips, {result['image_size']} px",
        " " * 25 + "".join(f"{kind:>26}" for kind, _ in rows),
    ]
    for name in result["definitions"]:
        cells = [_cell(row["mean"][name]) for _, row in rows]
        lines.append(f"{name:25}" + "".join(f"{cell:>26}" for cell in cells))
    for name, found in result["further"].items():
        cells = [_cell(found["rows"][kind]) if kind in found["rows"] else "" for kind, _ in rows
                 ] if "rows" in found else [f"  skipped: {found['skipped']}"]  # fmt: skip
        lines.append(f"{name:25}" + "".join(f"{cell:>26}" for cell in cells).rstrip())
    return "\n".join(lines)


def _cell(value: dict[str, Any]) -> str:
    if value["mean"] is None:
        return "-"
    if value["interval"] is None:
        return f"{value['mean']:.3f}"
    return f"{value['mean']:.3f} [{value['interval'][0]:.3f}, {value['interval'][1]:.3f}]"


def results(result: Mapping[str, Any]) -> "pd.DataFrame":
    """Means of `evaluate`'s result, a line a row (model, references), a column a metric.

    Variants of a metric are left out.
    """
    import pandas as pd

    def cell(value: Mapping[str, Any]) -> str:
        if value["mean"] is None:
            return "-"
        interval = value["interval"]
        text = f"{value['mean']:.2f}"
        return text if interval is None else f"{text} ({interval[0]:.2f} to {interval[1]:.2f})"

    variants = {name for name, known in metrics.DEFINITIONS.items() if known.variant}
    rows = {name: row["mean"] for name, row in result["rows"].items() if row["clips"]}
    means = {
        name: {key: cell(mean) for key, mean in row.items() if key not in variants}
        for name, row in rows.items()
    }
    return pd.DataFrame.from_dict(means, orient="index").rename_axis(result["split"])
