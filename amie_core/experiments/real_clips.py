"""What every cell is measured by: the real test clips, the judge, φ's features, the PCA of Fig. 3.

All of it comes from the data alone and is the same for every cell. `real.json`, beside the cells,
holds what it says of the real clips: reference rows, floor and ceilings, the judge's own AUC.
Clips are read as they are asked for and frames taken as they are made: of a corpus of any size
memory holds one clip, and what is kept of each.
"""

import io
from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8

from amie_core import files, machine
from amie_core.config import Profile, brief
from amie_core.data import store
from amie_core.data.store import PreparedClip
from amie_core.evaluation import distances, reference_rows, sync_judge
from amie_core.evaluation.distances import SPACES, Features
from amie_core.evaluation.evaluate import at_most
from amie_core.evaluation.reference_rows import ROWS, References
from amie_core.evaluation.sync_judge import Judgement
from amie_core.losses import crop_lips
from amie_core.model.sync import SyncNetwork
from amie_core.perceptual import Phi

if TYPE_CHECKING:
    import pandas as pd

PLOTTED = 300  # frames in Fig. 3
Frames = UInt8[np.ndarray, "n s s 3"]
Rows = Float[np.ndarray, "rows _"]


class Clips(Sequence[PreparedClip]):
    """Clips of one split, each read when it is asked for. `files`: as the manifest names them."""

    def __init__(self, data: Path, rows: "pd.DataFrame", size: int) -> None:
        self.data, self.size = data, size
        self.files: list[str] = rows["file"].tolist()
        self.lengths: list[int] = rows["frames"].tolist()

    def __len__(self) -> int:
        return len(self.files)

    @overload
    def __getitem__(self, at: int) -> PreparedClip: ...
    @overload
    def __getitem__(self, at: slice) -> list[PreparedClip]: ...
    def __getitem__(self, at: int | slice) -> PreparedClip | list[PreparedClip]:
        if isinstance(at, slice):
            return [self[k] for k in range(*at.indices(len(self)))]
        return store.load_clip(self.data, self.files[at], size=self.size)


class RealClips:
    """Measures generated clips of one prepared corpus at one size. `kept`: a judge's weights.

    taught: the prepared corpus that the judge learns from, this one where it is None.
    """

    def __init__(
        self, data: Path, settings: Profile, *, kept: Path | None = None,
        taught: Path | None = None, progress: bool = True,
    ) -> None:  # fmt: skip
        self.data, self.size, self.progress = data, settings.model.image_size, progress
        self.digest = store.digest(data)
        self.references = References(data, self.size)
        self.judge_steps = 60 if brief(settings) else sync_judge.STEPS
        self.kept = kept
        table = store.clips(data)
        self.teacher = taught or data
        self.splits = store.test_splits(data)
        self.clips = {
            split: Clips(
                data, at_most(table[table["split"] == split], settings.evaluate_clips), self.size
            )
            for split in self.splits
        }

    @property
    def seen(self) -> Clips:
        """The clips that distances and figures are made of."""
        return self.clips[self.splits[0]]

    @cached_property
    def shown(self) -> int:
        """Number of the clip of the first split whose copied first frame has the median LMD."""
        errors = []
        for clip, file in zip(self.seen, self.seen.files, strict=True):
            copied = self.references.of(clip, file).rows["copied_identity"]
            errors.append(copied["lmd_mouth_mean_256"] or 0.0)
        return int(np.argsort(errors, kind="stable")[len(errors) // 2])

    @cached_property
    def judge(self) -> SyncNetwork:
        """The sync judge of this corpus and size."""
        return sync_judge.judge_of(self.teacher, self.size, self.kept, steps=self.judge_steps,
                              progress=self.progress)  # fmt: skip

    def judged(self, frames: Frames, clip: PreparedClip) -> Judgement:
        """What the judge says of frames generated for a clip."""
        return sync_judge.judged(self.judge, frames, clip)

    @cached_property
    def phi(self) -> Phi:
        """φ, whose features the distances are measured in."""
        return Phi("relu2_2").to(machine.pick_device("auto"))

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

    def distances(self, found: list[Features]) -> dict[str, Any]:
        """Distances from the real clips of features of clips generated for the first split."""
        return distances.distances(found, self.real, self.by)

    @cached_property
    def pca(self) -> tuple[Any, Any]:
        """scikit-learn's PCA to two components, of pixels and of lip movements (which know nothing
        of who is speaking), fitted on real test frames only."""
        from sklearn.decomposition import PCA

        rows = plotted((clip.frames for clip in self.seen), self.seen, 2 * PLOTTED)
        pixels, lips = (PCA(2, svd_solver="randomized", random_state=0).fit(r) for r in rows)
        return pixels, lips

    def project(self, rows: tuple[Rows, Rows]) -> dict[str, list[list[float]]]:
        """Both PCAs' components of `plotted` frames, the same frames for every cell."""
        named = zip(("projection", "lip_projection"), self.pca, rows, strict=True)
        return {name: np.round(pca.transform(r), 3).tolist() for name, pca, r in named}

    def describe(self) -> dict[str, Any]:
        """What stands in real.json."""
        rows: dict[str, Any] = {}
        own: dict[str, Any] = {}
        for split, clips in self.clips.items():
            found: dict[str, list[dict[str, Any]]] = {name: [] for name in ROWS}
            verdicts = []
            for clip, file in zip(clips, clips.files, strict=True):
                name = {"speaker": clip.speaker, "utterance": clip.utterance}
                for row, values in self.references.of(clip, file).rows.items():
                    found[row].append(name | values)
                verdicts.append(self.judged(clip.frames, clip))
            rows[split], own[split] = found, sync_judge.overall(verdicts)
        real, still = Gathered(self), []
        for clip in self.seen:
            real.add(clip, clip.frames)
            copied = np.repeat(clip.frames[:1], len(clip.frames), axis=0)
            still.append(distances.features(self.phi, clip, copied))
        told = real.told()
        shown = self.seen[self.shown]
        shares = [pca.explained_variance_ratio_.tolist() for pca in self.pca]
        return {
            "data_digest": self.digest, "version": reference_rows.VERSION,
            "image_size": self.size, "rows": rows, "judge": own,
            "distances": {
                "floor": told.pop("distances"),
                "shuffled": self.distances(distances.shuffled(real.features)),
                "copied_identity": self.distances(still),
            },
            "explained": shares[0], "lip_explained": shares[1], **told,
            "shown": {
                "speaker": shown.speaker, "utterance": shown.utterance,
                "lip_box": list(shown.lip_box),
            },
        }  # fmt: skip


class Gathered:
    """What is kept of the clips that a cell makes for the first split, as they are made."""

    def __init__(self, real: RealClips) -> None:
        self.real, self.chosen = real, chosen(real.seen.lengths, PLOTTED)
        self.features: list[Features] = []
        self.rows: list[tuple[Rows, Rows]] = []
        self.shown: Frames | None = None

    def add(self, clip: PreparedClip, frames: Frames) -> None:
        """The next clip, and the frames made for it."""
        at = len(self.features)
        self.features.append(distances.features(self.real.phi, clip, frames))
        self.rows.append(rows_of(clip, frames, self.chosen[at]))
        if at == self.real.shown:
            self.shown = frames

    def told(self) -> dict[str, Any]:
        """What stands in a deposit."""
        rows = tuple(np.concatenate(part) for part in zip(*self.rows, strict=True))
        of_real = self.real.distances(self.features)
        return {"distances": of_real, **self.real.project((rows[0], rows[1]))}


def plotted(made: Iterable[Frames], of: Clips, most: int) -> tuple[Rows, Rows]:
    """At most so many frames of the clips `of`, real or made for them: pixels, lip movements.

    Spread evenly over all frames but each clip's first, the same ones whoever made them.
    """
    numbers = chosen(of.lengths, most)
    rows = [rows_of(c, f, n) for c, f, n in zip(of, made, numbers, strict=True) if len(n)]
    pixels, lips = (np.concatenate(part) for part in zip(*rows, strict=True))
    return pixels, lips


def chosen(lengths: Sequence[int], most: int) -> list[Int[np.ndarray, " k"]]:
    """Which frames of clips so long are plotted: their numbers in each clip."""
    first = np.cumsum([0, *(length - 1 for length in lengths)])
    every = np.linspace(0, first[-1] - 1, min(most, int(first[-1]))).round().astype(int)
    return [every[(every >= a) & (every < b)] - a + 1 for a, b in pairwise(first)]


def rows_of(
    clip: PreparedClip, frames: Frames, numbers: Int[np.ndarray, " k"]
) -> tuple[Rows, Rows]:
    """Frames of a clip as rows: pixels in [0, 1], and lip crops less the clip's mean crop."""
    # Sizes told: a clip of a large corpus may have no frame among those that are plotted.
    pixels = frames[numbers].reshape(len(numbers), frames[0].size).astype(np.float32) / 255
    box = torch.tensor([clip.lip_box]).expand(len(frames) - 1, 4)
    crops = crop_lips(torch.from_numpy(frames[1:].copy()).permute(0, 3, 1, 2), box)
    lips = crops.flatten(1).float().div(255)
    return pixels, (lips - lips.mean(0)).numpy()[numbers - 1]
