"""Where sound and lips agree: a small critic on prepared clips, scored over offset and time.

The critic is T_θ of the model (Eq. 7, negatives within a clip), on the lip crop alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from amie_core.config import FACE_SIZE, ModelConfig
from amie_core.machine import progress_bar
from amie_core.model.critic import Critic
from amie_core.mutual_information.objectives import js
from amie_core.mutual_information.samplers import derangement, negatives_within_clip

CROP = 32  # px, square
SHAPE = ModelConfig(image_size=CROP, width=16, max_width=64, audio_width=16, embedding=64)


@dataclass(frozen=True)
class Lips:
    """Lip crops less their clip's mean (who speaks says nothing within a clip), and windows."""

    frames: Float[Tensor, "n 3 s s"]
    windows: Float[Tensor, "n 20 13"]
    silent: Bool[np.ndarray, " n"]


def load_lips(folder: Path, split: str | None = None, limit: int = 512) -> list[Lips]:
    """The clips of one split of a prepared corpus, at most `limit` of them, spread evenly.

    split: where none is named, that of unseen faces.
    """
    import cv2

    from amie_core.data import store
    from amie_core.data.audio import windows
    from amie_core.evaluation.evaluate import at_most

    loaded = []
    split = split or store.test_splits(folder)[-1]
    for _, row in at_most(store.clips(folder, split), limit).iterrows():
        clip = store.load_clip(folder, row, size=2 * CROP)
        top, bottom, left, right = (edge * 2 * CROP // FACE_SIZE for edge in clip.lip_box)
        crops = [cv2.resize(frame[top:bottom, left:right], (CROP, CROP)) for frame in clip.frames]
        frames = torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).float() / 255
        heard = torch.from_numpy(windows(clip.mfcc, len(frames)).copy())
        loaded.append(Lips(2 * (frames - frames.mean(0)), heard, clip.silent))
    return loaded


def train_critic(
    clips: Sequence[Lips], steps: int = 300, seed: int = 0, batch: int = 48, min_gap: int = 5,
    lr: float = 1e-3,
) -> Critic:  # fmt: skip
    """T on frames of four clips a step, each with negatives of its own clip. In eval mode."""
    rng = np.random.default_rng(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        critic = Critic(SHAPE)
        optimiser = torch.optim.AdamW(critic.parameters(), lr=lr, weight_decay=0.05)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, lr, total_steps=steps)
        for _ in progress_bar(range(steps), "critic", unit="step"):
            parts = []
            for clip in (clips[i] for i in rng.integers(len(clips), size=4)):
                n = len(clip.frames)
                j = rng.choice(n, min(batch // 4, n), replace=False)
                k = negatives_within_clip(n, min_gap, generator=rng, frames=j, silent=clip.silent)
                parts.append((clip.frames[j], clip.windows[j], clip.windows[k]))
            joint, marginal = critic(*(torch.cat(part) for part in zip(*parts, strict=True)))
            optimiser.zero_grad()
            (-js(joint, marginal)).backward()
            optimiser.step()
            schedule.step()
    return critic.eval()


@torch.no_grad()
def heat_map(
    critic: Critic, frames: Float[Tensor, "n 3 s s"], windows: Float[Tensor, "m 20 13"],
    reach: int = 8,
) -> Float[np.ndarray, "offsets n"]:  # fmt: skip
    """T(f_v, a_{v + offset}) for offsets -reach … reach; NaN where the clip has no such window."""
    f, a = critic.embed_frames(frames), critic.embed_windows(windows)
    rows = []
    for offset in range(-reach, reach + 1):
        at = np.arange(len(f)) + offset
        inside = (at >= 0) & (at < len(a))
        row = np.full(len(f), np.nan, np.float32)
        row[inside] = critic.score(f[inside], a[at[inside]]).numpy()
        rows.append(row)
    return np.stack(rows)


def conditions(own: Float[Tensor, "n 20 13"], seed: int, shift: int = 3) -> dict[str, Tensor]:
    """A clip's windows as they are; in a random order; `shift` frames late."""
    n = len(own)
    late: Int[np.ndarray, " n"] = np.clip(np.arange(n) - shift, 0, n - 1)
    mixed = own[derangement(n, np.random.default_rng(seed))]
    return {"real": own, "shuffled": mixed, f"{shift} frames late": own[late]}


def ridge(scores: Float[np.ndarray, "offsets ..."]) -> int:
    """The offset (frames) with the highest mean score."""
    means = np.nanmean(scores.reshape(len(scores), -1), 1)
    return int(means.argmax()) - len(scores) // 2


def heat_maps(critic: Critic, clips: Sequence[Lips], reach: int = 8) -> dict[str, Any]:
    """By condition: the map of the first clip, the mean score by offset over all clips, its ridge,
    and how far the ridge stands out (its score less the mean of all offsets)."""
    found: dict[str, Any] = {}
    for seed, clip in enumerate(clips):
        for name, windows in conditions(clip.windows, seed).items():
            scores = heat_map(critic, clip.frames, windows, reach)
            found.setdefault(name, []).append(scores)
    maps = {name: each[0] for name, each in found.items()}
    curves = {name: np.nanmean(np.hstack(each), 1) for name, each in found.items()}
    return {
        "maps": maps,
        "curves": {name: curve.tolist() for name, curve in curves.items()},
        "ridges": {name: ridge(curve) for name, curve in curves.items()},
        "heights": {name: float(curve.max() - curve.mean()) for name, curve in curves.items()},
    }
