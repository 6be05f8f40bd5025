"""How `model.motion` learns: from the landmarks and the sound of training clips, no pictures."""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from amie_core.config import WINDOW
from amie_core.data import store
from amie_core.data.audio import HOPS
from amie_core.machine import progress_bar
from amie_core.model.lips import parted, relative
from amie_core.model.motion import COEFFICIENTS, Motion
from amie_core.model.voices import Voices, learnt, print_of
from amie_core.training import augment, speech_embedding
from amie_core.training.windows import Windows

STEPS = 500
CLIPS, FRAMES = 24, 48  # of a step, and of each of its clips
LR, DECAY = 1e-3, 0.02
KNOWN = 8  # clips of a speaker at least: of fewer a voice is not known again
QUICK = 0.5  # weight of the error of the change from frame to frame
OPENING = 3.0  # weight of the opening's error beside the coefficients'
UNKNOWN = 0.5  # share of the windows whose voice is changed, so that it is nobody's
SMALL, LARGE = 0.025, 0.1  # deviation of the opening, in mouth widths: no face moves less or more


class _Spoken(NamedTuple):
    """A training clip."""

    who: str
    hops: Float[np.ndarray, "t c"]  # with the context of its first and its last frame
    moved: Float[np.ndarray, "n 31 2"]  # in mouth widths, from the mouth at rest
    opening: Float[np.ndarray, " n"]  # in mouth widths


def fit(motion: Motion, windows: Windows, seed: int, progress: bool = True) -> dict[str, float]:
    """Teach it, in place; returns the last step's errors. Its standardisation is set before."""
    clips, context, settings = [], HOPS * motion.context, windows.profile
    for k, (speaker, clip) in enumerate(windows.some()):
        who = f"clip {k}" if speaker < 0 else f"speaker {speaker}"
        heard = clip.mfcc
        if motion.told is not None:
            heard = store.rows(clip, motion.hears, settings.mfcc_rate, level=settings.level)
        heard = np.pad(heard, ((context, context), (0, 0)), mode="edge")
        clips.append(_Spoken(who, heard, *relative(clip.landmarks)))
    clips = [clip for clip in clips if len(clip.moved) >= 2]
    names = sorted({clip.who for clip in clips})
    of = {name: [clip for clip in clips if clip.who == name] for name in names}
    # A mouth that hardly moves in what is known of it says nothing of how it moves.
    size = {n: float(np.clip(np.concatenate([c.opening for c in of[n]]).std(), SMALL, LARGE))
            for n in names}  # fmt: skip
    _set_basis(motion, of, size)
    _set_voices(motion, of, size)
    _set_told(motion, clips)
    wanted = {id(c): _coefficients(motion, c.moved / size[c.who]) for c in clips}
    every = torch.cat(list(wanted.values()))
    spread = every.std(0).clamp(min=1e-6)
    opening = parted(motion.basis.unflatten(1, (-1, 2)))  # what each coefficient opens the lips by
    power = settings.train.speaker_power
    weight = np.array([len(of[n]) ** power for n in names])

    random = np.random.default_rng([seed, 11])
    optimizer = torch.optim.AdamW(motion.parameters(), LR, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LR, total_steps=STEPS, pct_start=0.05)
    frames = min(FRAMES, min(len(c.moved) for c in clips))
    rows = HOPS * frames + 2 * context + WINDOW[0] - HOPS
    changed = round(UNKNOWN * CLIPS)
    errors: dict[str, Tensor] = {}
    motion.train()
    for _ in progress_bar(range(STEPS), "motion", shown=progress):
        drawn = [of[n][random.integers(len(of[n]))]
                 for n in random.choice(names, CLIPS, p=weight / weight.sum())]  # fmt: skip
        first = [int(random.integers(len(c.moved) - frames + 1)) for c in drawn]
        hops = torch.stack([torch.from_numpy(c.hops[HOPS * k : HOPS * k + rows])
                            for c, k in zip(drawn, first, strict=True)])  # fmt: skip
        target = torch.stack([wanted[id(c)][k : k + frames]
                              for c, k in zip(drawn, first, strict=True)])  # fmt: skip
        hops = torch.cat([augment.sound(hops[:changed], random),
                          augment.sound(hops[changed:], random, voice=False)])  # fmt: skip
        off = motion.coefficients(motion.codes(hops)) - target
        errors = {
            "coefficients": _size(off / spread),
            "opening": OPENING * _size(off @ opening),
        }
        loss = torch.stack(list(errors.values())).sum()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(motion.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    motion.eval()
    return {name: error.item() for name, error in errors.items()}


def _set_basis(motion: Motion, of: dict[str, list[_Spoken]], size: dict[str, float]) -> None:
    """Principal directions of the movements, every speaker's at the same size and weight."""
    rows = [c.moved.reshape(len(c.moved), -1) / size[n] / len(of[n]) ** 0.5
            for n, clips in of.items() for c in clips]  # fmt: skip
    axes = np.linalg.svd(np.concatenate(rows).astype(np.float64), full_matrices=False)[2]
    axes = axes[:COEFFICIENTS] * np.sign(axes[:COEFFICIENTS].sum(1, keepdims=True))
    motion.basis.copy_(torch.from_numpy(axes.astype(np.float32)))


def _set_voices(motion: Motion, of: dict[str, list[_Spoken]], size: dict[str, float]) -> None:
    """What the voices sound like that are heard in many clips."""
    prints, sizes = [], []
    for name, clips in of.items():
        own = (clip.hops[HOPS * motion.context : -HOPS * motion.context or None] for clip in clips)
        found = [one for hops in own if (one := print_of(hops)) is not None]
        if len(found) >= KNOWN:
            prints.append(np.stack(found))
            sizes.append(size[name])
    for name, values in zip(Voices._fields, learnt(prints, sizes), strict=True):
        getattr(motion, f"voice_{name}").copy_(torch.from_numpy(values))


@torch.no_grad()
def _set_told(motion: Motion, clips: list[_Spoken]) -> None:
    """The frozen speech embedding, and mean and deviation of what it tells."""
    if motion.told is None:
        return
    speech_embedding.load(motion.told.embedding)
    bands = (torch.from_numpy(clip.hops[None, :, WINDOW[1] :]) for clip in clips)
    every = torch.cat([motion.told.heard(one)[0] for one in bands], 1)
    motion.told.mean.copy_(every.mean(1, keepdim=True))
    motion.told.deviation.copy_(every.std(1, keepdim=True) + 1e-3)


def _coefficients(motion: Motion, moved: np.ndarray) -> Float[Tensor, "n 6"]:
    return torch.from_numpy(moved.reshape(len(moved), -1)) @ motion.basis.T


def _size(error: Tensor) -> Tensor:
    """Of an error over frames (axis 1): itself, and its change from frame to frame."""
    return error.abs().mean() + QUICK * error.diff(dim=1).abs().mean()
