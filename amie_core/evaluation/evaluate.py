"""Metrics of a trained run on a split, beside the rows that calibrate them.

Every clip is generated from its first frame and its sound alone, each frame from the model's own
last one: never teacher-forced.
"""

import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm.auto import tqdm

from amie_core.errors import UserError
from amie_core.evaluation import metrics

if TYPE_CHECKING:
    import pandas as pd

    from amie_core.data.store import PreparedClip

    Also = Callable[[PreparedClip, np.ndarray], dict[str, Any]]

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
    also: "Also | None" = None,
    features: bool = False,
    syncnet: str | Path | None = None,
) -> dict[str, Any]:
    """Measure a run (folder or .safetensors file) on the prepared clips of `data`'s `split`.

    The identity face is the clip's first frame, which no metric looks at again. Pixel metrics are
    taken at the model's own size, landmark metrics in px at 256² (metrics.DEFINITIONS). `limit`:
    at most so many clips, spread evenly over the split. `also(clip, frames)`: further values of a
    generated clip, to stand with its own. `features`: the slower metrics on VGG features too;
    `syncnet`: its weight file, for LSE (further.DEFINITIONS). Returns, and writes to `out` as
    JSON, the values per clip, their means with 95 % intervals (bootstrap over clips), and the
    same for each reference row. A clip that fails is listed under "failed" and left out of every
    row. Raises UserError for unusable input, or when no clip could be evaluated.
    """
    run, data = Path(run), Path(data)
    out = None if out is None else _writable(Path(out))
    if limit is not None and limit < 1:
        raise UserError(f"limit {limit}: evaluate at least one clip")

    from amie_core.data import store

    settings, rows = store.settings(data), store.clips(data, split)

    from amie_core.evaluation.network_metrics import Further
    from amie_core.evaluation.reference_rows import ROWS, References
    from amie_core.talking.talk import pick_device, quiet
    from amie_core.training import checkpoint

    generator, meta = checkpoint.load_generator(run, pick_device(device))
    if settings.get("mfcc_rate", meta["mfcc_rate"]) != meta["mfcc_rate"]:
        raise UserError(
            f"{data}: prepared with MFCC at {settings['mfcc_rate']} Hz, the run wants "
            f"{meta['mfcc_rate']} Hz; prepare it again with --mfcc-rate {meta['mfcc_rate']}"
        )
    further = Further(features, syncnet)
    begun, in_split = time.perf_counter(), len(rows)
    rows = at_most(rows, limit)
    references = References(data, meta["image_size"])
    found: dict[str, list[dict[str, Any]]] = {"model": [], **{name: [] for name in ROWS}}
    failed: list[dict[str, str]] = []
    bar = tqdm(rows.to_dict("records"), "evaluate", unit="clip", **quiet(progress))
    for row in bar:
        name = {"speaker": row["speaker"], "utterance": row["utterance"]}
        try:
            values = _one(generator, references, data, row["file"], meta["image_size"],
                          [further, *([also] if also else [])])  # fmt: skip
        except (UserError, OSError, ValueError) as error:
            failed.append(name | {"reason": " ".join(str(error).split())})
            continue
        for kind, metric in values.items():
            found[kind].append(name | metric)
    if not found["model"]:
        raise UserError(f"{data}: no clip of {split!r} could be evaluated: {failed[0]['reason']}")
    result = {
        "run": run.resolve().name,
        **{key: meta[key] for key in ("profile", "row", "step")},
        "method": meta.get("method", "amie"),
        "corpus": settings.get("corpus"),
        "split": split,
        "trained_on": {"corpus": meta["corpus"], "split": meta["split"]},
        "seeds": {"training": meta["seed"], "bootstrap": BOOTSTRAP_SEED},
        "commit": {"training": meta["commit"], "evaluation": checkpoint.commit()},
        "data_digest": store.digest(data),
        "image_size": meta["image_size"],
        "landmark_size": 256,
        "landmark_backend": references.backend,
        "generation": "autoregressive from each clip's first frame, which is then left out",
        "clips": len(found["model"]),
        "clips_in_split": in_split,
        "definitions": metrics.DEFINITIONS,
        "reference_rows": ROWS,
        "rows": {kind: _row(clips) for kind, clips in found.items()},
        "further": further.values(),
        "failed": failed,
        "seconds": round(time.perf_counter() - begun, 1),
    }
    result = _finite(result)
    if out is not None:
        checkpoint.write_json(out, result)
    return result


def at_most(rows: "pd.DataFrame", limit: int | None) -> "pd.DataFrame":
    """Rows of a manifest, at most `limit` of them, spread evenly."""
    if limit is None or limit >= len(rows):
        return rows
    return rows.iloc[np.linspace(0, len(rows) - 1, limit).round().astype(int)]


def _one(
    generator: Any, references: Any, data: Path, file: str, size: int, also: "list[Also]"
) -> dict[str, dict[str, Any]]:
    """Values of the model and of each reference row on one clip."""
    from amie_core.data import faces, store
    from amie_core.data.audio import windows
    from amie_core.evaluation.reference_rows import compare, measure
    from amie_core.talking.talk import generate

    clip = store.load_clip(data, file, size=size)
    n = len(clip.frames)
    if n < 2:
        raise UserError(f"{file}: {n} frame, nothing to generate")
    reference = references.of(clip, file)
    mouth = faces.lip_box(clip.landmarks[:1])  # of the one frame that is given
    made = generate(generator, clip.frames[0], windows(clip.mfcc, n), mouth)
    values = compare(made, measure(made), clip.frames, reference.real)
    frames = {"frames": n - 1}
    for look in also:
        values = values | look(clip, made)
    return {"model": frames | values} | {k: frames | v for k, v in reference.rows.items()}


def _row(clips: list[dict[str, Any]]) -> dict[str, Any]:
    """Means with intervals, and the clips they come from."""
    return {
        "mean": metrics.summary(clips, seed=BOOTSTRAP_SEED),
        "unmeasured_frames": sum(clip["unmeasured_frames"] for clip in clips),
        "frames": sum(clip["frames"] for clip in clips),
        "clips": clips,
    }


def _writable(path: Path) -> Path:
    """The path, its folder made; UserError before hours of work, not after."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make {path.parent}: {error.strerror}") from None
    if path.is_dir() or not os.access(path.parent, os.W_OK):
        raise UserError(f"cannot write {path}: choose another --out")
    return path


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
    for name in metrics.DEFINITIONS:
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
