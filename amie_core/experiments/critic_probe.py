"""Is T late, or do the frames say nothing? What a critic finds in a finished generator's frames.

A row's own T meets frames while they are learnt, and may be behind. A fresh T, trained for a stated
number of steps on what the finished generator makes of training clips, is not: where it too stays
at chance on the generator's test clips, their lips tell nothing of the sound. A third, trained on
the real frames of the same clips, says what there is to be found.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from amie_core import machine
from amie_core.config import Profile
from amie_core.data import store
from amie_core.data.audio import windows
from amie_core.data.store import PreparedClip
from amie_core.evaluation.evaluate import at_most
from amie_core.losses import crop_lips, mutual_information
from amie_core.model import Critic
from amie_core.model.critic import paired_accuracy
from amie_core.model.talker import Talker, spoken
from amie_core.mutual_information.samplers import negatives_within_clip
from amie_core.training import checkpoint

CLIPS, STEPS, PAIRS = 48, 400, 32  # training clips; a fresh T's steps; pairs a step
ASKED = 200  # test clips, at most
Frames = UInt8[np.ndarray, "n s s 3"]
taught: dict[tuple[object, ...], Critic] = {}  # by real frames, the last: it is every row's


class Pairs(NamedTuple):
    """What T sees of one clip."""

    seen: Tensor  # (n, 3, h, w) uint8: faces or lip crops
    heard: Float[Tensor, "n 20 13"]
    silent: Bool[np.ndarray, " n"]


def pairs_of(clip: PreparedClip, frames: Frames, region: str) -> Pairs:
    """A clip's pairs with its real frames or generated ones; frame 0, which is given, left out."""
    seen = torch.from_numpy(frames[1:].copy()).permute(0, 3, 1, 2)
    if region == "lips":
        seen = crop_lips(seen, torch.tensor([clip.lip_box]).expand(len(seen), 4))
    heard = torch.from_numpy(windows(clip.mfcc, len(frames))[1:].copy())
    return Pairs(seen, heard, clip.silent[1:])


@torch.no_grad()
def accuracy(critic: Critic, clips: Sequence[Pairs], gap: int, *, seed: int = 0) -> float:
    """How often T scores a frame's own sound above another of its clip; chance is a half.

    Every frame once, with one sound at least `gap` frames away; mean over clips.
    """
    random, right = np.random.default_rng(seed), []
    for seen, heard, silent in clips:
        other = negatives_within_clip(len(seen), gap, silent=silent, generator=random)
        joint, marginal = critic(
            *_on(critic, seen.float().div(255), heard, heard[torch.from_numpy(other)])
        )
        right.append(float(paired_accuracy(joint, marginal)))
    return float(np.mean(right))


def fresh_critic(
    clips: Sequence[Pairs], settings: Profile, *, seed: int = 0, steps: int = STEPS
) -> Critic:
    """A T of the row's settings and objective JS, trained on these clips alone."""
    torch.manual_seed(seed)
    random = np.random.default_rng(seed)
    critic = Critic(settings.model, settings.loss.critic_region)
    cepstra = torch.cat([clip.heard.flatten(0, 1) for clip in clips])
    critic.audio_encoder.mean.copy_(cepstra.mean(0))
    critic.audio_encoder.std.copy_(cepstra.std(0) + 1e-3)
    critic.to(machine.pick_device("auto"))
    checkpoint.channels_last(critic)
    t = settings.train
    optimizer = torch.optim.Adam(critic.parameters(), t.lr_critic, t.betas, fused=True)
    for _ in range(steps):
        seen, heard, other = [], [], []
        for k in random.integers(len(clips), size=PAIRS):
            clip = clips[k]
            at = random.integers(len(clip.seen), size=1)
            far = negatives_within_clip(
                len(clip.seen), t.min_gap, frames=at, silent=clip.silent, generator=random
            )
            seen.append(clip.seen[at])
            heard.append(clip.heard[at])
            other.append(clip.heard[far])
        joint, marginal = critic(
            *_on(critic, torch.cat(seen).float().div_(255), torch.cat(heard), torch.cat(other))
        )
        optimizer.zero_grad(set_to_none=True)
        mutual_information(joint, marginal, "js").backward()
        torch.nn.utils.clip_grad_norm_(critic.parameters(), t.clip)
        optimizer.step()
    return critic.eval()


def _on(critic: Critic, *tensors: Tensor) -> list[Tensor]:
    """The tensors, where the critic is."""
    device = next(critic.parameters()).device
    return [tensor.to(device) for tensor in tensors]


def own_critic(run: Path, settings: Profile) -> Critic:
    """The T that a finished run ended with (UserError: no such run)."""
    tensors, _ = checkpoint.read_tensors(run / checkpoint.STATE)
    critic = Critic(settings.model, settings.loss.critic_region)
    prefix = "networks.critic."
    critic.load_state_dict({n[len(prefix) :]: t for n, t in tensors.items() if n[:16] == prefix})
    return critic.eval()


def probe(
    run: Path,
    data: Path,
    settings: Profile,
    talker: Talker,
    asked: Mapping[str, Sequence[Pairs]],
    *,
    clips: int = CLIPS,
    steps: int = STEPS,
) -> dict[str, float]:
    """Paired accuracies on test clips: the row's own T and fresh ones, on real and made frames.

    talker: the run's generator; asked: pairs of test clips, "real" and as it "made" them. Keys:
    own_real, own_made, fresh_made (a fresh T trained and asked on generated frames), fresh_real
    (on real ones).
    """
    region, gap, t = settings.loss.critic_region, settings.train.min_gap, settings.train
    key = (store.digest(data), clips, steps, region, gap, settings.model, t.lr_critic, t.betas)
    rows = at_most(store.clips(data, "train"), clips)
    train = [store.load_clip(data, f, size=settings.model.image_size) for f in rows["file"]]
    train = [clip for clip in train if len(clip.frames) > gap + 1]
    own = own_critic(run, settings)
    found = {f"own_{name}": accuracy(own, asked[name], gap) for name in ("made", "real")}
    made = [pairs_of(clip, spoken(talker, {}, clip), region) for clip in train]
    found["fresh_made"] = accuracy(fresh_critic(made, settings, steps=steps), asked["made"], gap)
    if key not in taught:
        taught.clear()
        real = [pairs_of(clip, clip.frames, region) for clip in train]
        taught[key] = fresh_critic(real, settings, steps=steps)
    found["fresh_real"] = accuracy(taught[key], asked["real"], gap)
    return {name: round(value, 4) for name, value in found.items()}
