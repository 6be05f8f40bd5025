"""What every cell is measured by: the real test clips, the judge, φ's features, the PCA of Fig. 3.

All of it comes from the data alone and is the same for every cell. `real.json`, beside the cells,
holds what it says of the real clips: reference rows, floor and ceilings, the judge's own AUC.
"""

import io
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8

from amie_core import files
from amie_core.config import Profile
from amie_core.data import store
from amie_core.data.store import PreparedClip
from amie_core.errors import UserError
from amie_core.evaluation import distances, reference_rows, sync_judge
from amie_core.evaluation.distances import SPACES, Features
from amie_core.evaluation.evaluate import at_most
from amie_core.evaluation.reference_rows import ROWS, References
from amie_core.evaluation.sync_judge import Judgement
from amie_core.losses import crop_lips
from amie_core.perceptual import Phi

SPLITS = ("test_seen", "test_unseen", "test")  # LRW has the last alone
PLOTTED = 300  # frames in Fig. 3
Frames = UInt8[np.ndarray, "n s s 3"]


def splits_of(data: Path) -> tuple[str, ...]:
    """The test splits of a prepared corpus (UserError when it has none)."""
    known = set(store.clips(data)["split"])
    found = tuple(split for split in SPLITS if split in known)
    if not found:
        raise UserError(f"{data}: no clips to test on: prepare a corpus with a test split")
    return found


class RealClips:
    """Measures generated clips of one prepared corpus at one size. `kept`: a judge's weights."""

    def __init__(
        self, data: Path, settings: Profile, *, kept: Path | None = None, progress: bool = True
    ) -> None:
        self.data, self.size, self.progress = data, settings.model.image_size, progress
        self.digest = store.digest(data)
        self.references = References(data, self.size)
        self.judge_steps = 60 if settings.name == "smoke" else sync_judge.STEPS
        self.kept = kept
        self.clips: dict[str, list[PreparedClip]] = {}
        self.files: dict[str, list[str]] = {}
        self.splits = splits_of(data)
        for split in self.splits:
            rows = at_most(store.clips(data, split), settings.evaluate_clips)
            self.files[split] = rows["file"].tolist()
            self.clips[split] = [store.load_clip(data, f, size=self.size) for f in rows["file"]]

    @property
    def seen(self) -> list[PreparedClip]:
        """The clips that distances and figures are made of."""
        return self.clips[self.splits[0]]

    @cached_property
    def shown(self) -> int:
        """Number of the clip of the first split whose copied first frame has the median LMD."""
        errors = []
        for clip, file in zip(self.seen, self.files[self.splits[0]], strict=True):
            copied = self.references.of(clip, file).rows["copied_identity"]
            errors.append(copied["lmd_mouth_mean_256"] or 0.0)
        return int(np.argsort(errors, kind="stable")[len(errors) // 2])

    @cached_property
    def judge(self) -> sync_judge.Judge:
        """The sync judge of this corpus and size."""
        return sync_judge.judge_of(self.data, self.size, self.kept, steps=self.judge_steps,
                              progress=self.progress)  # fmt: skip

    def judged(self, frames: Frames, clip: PreparedClip) -> Judgement:
        """What the judge says of frames generated for a clip."""
        return sync_judge.judged(self.judge, frames, clip)

    @cached_property
    def phi(self) -> Phi:
        """φ, whose features the distances are measured in."""
        return Phi("relu2_2")

    @cached_property
    def real(self) -> list[Features]:
        """Features of the real clips at the frames REAL, kept in the workspace."""
        kept = self.references.folder / f"phi-{len(self.seen)}.npz"
        if kept.is_file():
            with np.load(kept, allow_pickle=False) as file:
                return [{s: file[f"{s}{k}"] for s in SPACES} for k in range(len(self.seen))]
        found = [distances.features(self.phi, c, c.frames, distances.REAL) for c in self.seen]
        buffer = io.BytesIO()
        named = {f"{s}{k}": v for k, clip in enumerate(found) for s, v in clip.items()}
        np.savez(buffer, **named)  # type: ignore[arg-type]  # no array is named allow_pickle
        files.write_whole(kept, buffer.getvalue())
        return found

    @cached_property
    def by(self) -> distances.Standardisation:
        """Standardisation and kernel widths."""
        return distances.standardisation(self.real)

    def distances(self, made: list[Frames]) -> dict[str, Any]:
        """Distances of clips generated for the first split from the real ones."""
        of = zip(self.seen, made, strict=True)
        return self._distances([distances.features(self.phi, clip, frames) for clip, frames in of])

    def _distances(self, found: list[Features]) -> dict[str, Any]:
        return distances.distances(found, self.real, self.by)

    @cached_property
    def pca(self) -> Any:
        """scikit-learn's PCA to two components, fitted on real test frames only."""
        from sklearn.decomposition import PCA

        rows = pixels([clip.frames for clip in self.seen], 2 * PLOTTED)
        return PCA(2, svd_solver="randomized", random_state=0).fit(rows)

    def project(self, made: list[Frames]) -> list[list[float]]:
        """Real test frames' first two components of PLOTTED frames, the same for every cell."""
        return np.round(self.pca.transform(pixels(made, PLOTTED)), 3).tolist()

    @cached_property
    def lip_pca(self) -> Any:
        """The same of lip movements of real test frames: it knows nothing of who is speaking."""
        from sklearn.decomposition import PCA

        rows = lip_movements([clip.frames for clip in self.seen], self.seen, 2 * PLOTTED)
        return PCA(2, svd_solver="randomized", random_state=0).fit(rows)

    def project_lips(self, made: list[Frames]) -> list[list[float]]:
        """The first two components of the lip movements of the frames that `project` takes."""
        moved = lip_movements(made, self.seen, PLOTTED)
        return np.round(self.lip_pca.transform(moved), 3).tolist()

    def describe(self) -> dict[str, Any]:
        """What stands in real.json."""
        rows: dict[str, Any] = {}
        for split in self.splits:
            found: dict[str, list[dict[str, Any]]] = {name: [] for name in ROWS}
            for clip, file in zip(self.clips[split], self.files[split], strict=True):
                name = {"speaker": clip.speaker, "utterance": clip.utterance}
                for row, values in self.references.of(clip, file).rows.items():
                    found[row].append(name | values)
            rows[split] = found
        own = {s: [self.judged(c.frames, c) for c in self.clips[s]] for s in self.splits}
        again = [distances.features(self.phi, clip, clip.frames) for clip in self.seen]
        still = [np.repeat(clip.frames[:1], len(clip.frames), axis=0) for clip in self.seen]
        return {
            "data_digest": self.digest, "version": reference_rows.VERSION,
            "image_size": self.size, "rows": rows,
            "judge": {split: sync_judge.overall(verdicts) for split, verdicts in own.items()},
            "distances": {
                "floor": self._distances(again),
                "shuffled": self._distances(distances.shuffled(again)),
                "copied_identity": self.distances(still),
            },
            "explained": [float(share) for share in self.pca.explained_variance_ratio_],
            "projection": self.project([clip.frames for clip in self.seen]),
            "lip_explained": [float(share) for share in self.lip_pca.explained_variance_ratio_],
            "lip_projection": self.project_lips([clip.frames for clip in self.seen]),
            "shown": {
                "speaker": self.seen[self.shown].speaker,
                "utterance": self.seen[self.shown].utterance,
                "lip_box": list(self.seen[self.shown].lip_box),
            },
        }  # fmt: skip


def pixels(clips: list[Frames], most: int) -> Float[np.ndarray, "rows d"]:
    """At most so many frames (frame 0 of each clip left out), spread evenly, as rows in [0, 1]."""
    every = np.concatenate([frames[1:] for frames in clips])
    return every[_spread(len(every), most)].reshape(-1, every[0].size).astype(np.float32) / 255


def lip_movements(
    made: list[Frames], of: list[PreparedClip], most: int
) -> Float[np.ndarray, "rows d"]:
    """The lip crops of the frames that `pixels` takes, each less the mean crop of its own clip.

    made: real or generated for the clips `of`, whose lip boxes cut them.
    """
    every = []
    for frames, clip in zip(made, of, strict=True):
        box = torch.tensor([clip.lip_box]).expand(len(frames) - 1, 4)
        lips = crop_lips(torch.from_numpy(frames[1:].copy()).permute(0, 3, 1, 2), box)
        rows = lips.flatten(1).float().div(255)
        every.append((rows - rows.mean(0)).numpy())
    joined = np.concatenate(every)
    return joined[_spread(len(joined), most)]


def _spread(count: int, most: int) -> Int[np.ndarray, " n"]:
    """At most so many indices, spread evenly."""
    return np.linspace(0, count - 1, min(most, count)).round().astype(int)
