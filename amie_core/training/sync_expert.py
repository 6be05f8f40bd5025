"""A sync expert in G's loss, beside or instead of the paper's MI term (`loss.sync_share`).

Not in the paper (`paper.LEDGER`: changed). Wav2Lip's lever (Prajwal et al. 2020): a network that
tells whether a mouth says a sound learns from real clips alone and is frozen before G begins; T
learns beside G. Half of the training clips teach it, so that a judge can learn from the others
(`sync_judge.train_judge`, beside_expert).
"""

import copy
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from amie_core import losses
from amie_core.config import Profile, with_changes
from amie_core.data.corpora import of_expert
from amie_core.errors import UserError
from amie_core.machine import progress_bar
from amie_core.model.sync import SyncNetwork
from amie_core.training.windows import Batch, Windows

STEPS, BATCH = 800, 32  # windows a step
LR, DECAY = 2e-3, 0.02
FIRST = 10**6  # its batches are others than those of G


class Heard(NamedTuple):
    """What the expert says of windows: Eq. of `losses.sync`; how often it picks the own sound."""

    loss: Float[Tensor, ""]
    accuracy: Float[Tensor, ""]


def made(profile: Profile) -> SyncNetwork:
    """An expert that has learnt nothing: it sees all frames of a window at once."""
    return SyncNetwork(profile.train.unroll).requires_grad_(False).eval()


def heard(expert: SyncNetwork, batch: Batch, frames: Float[Tensor, "b k 3 s s"]) -> Heard:
    """The middle sound of each window among the negatives of its clip.

    These lie away from their own frames: one in thirty may share two fifths of the middle's sound.
    """
    b, k = frames.shape[:2]
    boxes = batch.lip_boxes.repeat_interleave(k, 0)
    crops = losses.crop_lips(frames.flatten(0, 1), boxes)
    lips = expert.see(crops.unflatten(0, (b, k)).flatten(1, 2).clamp(0, 1))
    own = expert.hear(batch.windows[:, k // 2])
    others = expert.hear(batch.negatives.flatten(0, 1)).unflatten(0, (b, k))
    cosines = (lips * own).sum(1), torch.einsum("be,bke->bk", lips, others)
    accuracy = (cosines[0] > cosines[1].amax(1)).float().mean()
    return Heard(losses.sync(*cosines, expert.sharpness.exp()), accuracy)


def shares(windows: Windows) -> Float[np.ndarray, " clips"]:
    """How often each training clip is drawn: none of the judge's half, and no portrait, which may
    say what these say. UserError: nothing is left.
    """
    names = zip(windows.rows["speaker"], windows.rows["utterance"], strict=True)
    its = np.array([of_expert(*name) for name in names])
    weights = windows.weights * (its & ~windows.rows["worn"].to_numpy(bool))
    if not weights.any():
        raise UserError("too few training clips for a sync expert beside a judge: it gets half")
    return weights / weights.sum()


def fit(expert: SyncNetwork, windows: Windows, steps: int | None = None) -> None:
    """Teach it, in place, what real clips show. UserError: none of the training clips is its own.

    Its standardisation is set before. steps: STEPS where None.
    """
    steps = STEPS if steps is None else steps
    half = copy.copy(windows)  # the same clips laid, others drawn
    half.weights = shares(windows)
    half.profile = with_changes(windows.profile, {"train.batch": BATCH})
    half.rank = 0  # every device gets the same expert
    expert.to(windows.device).requires_grad_(True).train()
    optimizer = torch.optim.AdamW(expert.parameters(), LR, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LR, total_steps=steps)
    for step in progress_bar(range(steps), "expert", shown=windows.progress):
        batch = half.batch(FIRST + step)
        loss = heard(expert, batch, batch.frames).loss
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
    expert.requires_grad_(False).eval()
