"""A sync judge: does this mouth say this sound? Trained on real training clips alone.

`model.sync.SyncNetwork` over five lip crops, learnt by picking each mouth's own sound among others
of the same clip (multi-way matching, Chung, Chung and Kang 2019). No generator ever sees it, so
that it can judge them.
"""

from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from amie_core.config import FACE_SIZE, LIP_CROP
from amie_core.data import corpora, store
from amie_core.data.audio import windows
from amie_core.errors import UserError
from amie_core.files import workspace
from amie_core.losses import crop_lips
from amie_core.machine import progress_bar
from amie_core.model.sync import SyncNetwork
from amie_core.training.checkpoint import read_tensors, write_tensors

VERSION = 1
SPAN = 5  # lip crops seen at once: 0.2 s, as long as an MFCC window
APART = 5  # frames: nearer windows share sound (20 hops of 10 ms)
MAX_OFFSET = 15  # frames searched to either side, as SyncNet does
STEPS, CLIPS, PLACES = 800, 12, 8  # of training: clips a step, places a clip (short ones: fewer)
HELD = 128 << 20  # bytes of lip crops that are kept while it learns; others are read again


class Judgement(NamedTuple):
    """AUC of own against other sounds of the clip; best offset in frames (0: in sync)."""

    auc: float | None
    offset: int | None


class _Clip(NamedTuple):
    lips: Tensor  # (n, 3, h, w) uint8
    windows: Tensor  # (n, 20, 13)
    silent: Bool[np.ndarray, " n"]


def _lips(frames: UInt8[np.ndarray, "n s s 3"], box: tuple[int, int, int, int]) -> Tensor:
    pictures = torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2)
    return crop_lips(pictures, torch.tensor([box]).expand(len(pictures), 4))


def _windows(clip: store.PreparedClip) -> Float[Tensor, "n 20 13"]:
    return torch.from_numpy(windows(clip.mfcc, len(clip.landmarks)).copy())


def _clip(clip: store.PreparedClip) -> _Clip:
    return _Clip(_lips(clip.frames, clip.lip_box), _windows(clip), clip.silent)


def _stacks(lips: Tensor, centres: Tensor) -> Tensor:
    """Stacks (b, 3·SPAN, h, w) around the frames numbered `centres`."""
    picked = lips[centres[:, None] + torch.arange(SPAN) - SPAN // 2]
    return picked.flatten(1, 2).float().div_(255)


def train_judge(
    data: str | Path, size: int, *, seed: int = 0, steps: int = STEPS, progress: bool = True,
    beside_expert: bool = False,
) -> SyncNetwork:  # fmt: skip
    """Train a judge on the real clips of `data`'s train split, frames at `size` px.

    beside_expert: on those alone that no sync expert learns from (`training.sync_expert`). Raises
    UserError when no training clip is long enough.
    """
    table = store.clips(data, "train")
    if beside_expert:
        names = zip(table["speaker"], table["utterance"], strict=True)
        table = table[[not corpora.of_expert(*name) for name in names]]
        if table.empty:
            raise UserError(f"{data}: too few training clips for a judge beside an expert")
    places = places_in(int(table["frames"].median()))
    need = SPAN + places * APART
    table = table[table["frames"] >= need]
    if table.empty:
        raise UserError(f"{data}: no training clip has {need} frames or more")
    files = table["file"].tolist()
    crop = (LIP_CROP[0] * size // FACE_SIZE) * (LIP_CROP[1] * size // FACE_SIZE) * 3
    most = max(CLIPS, HELD // (crop * int(table["frames"].median())))

    @lru_cache(maxsize=most)
    def clip_of(file: str) -> _Clip:
        return _clip(store.load_clip(data, file, size=size))

    torch.manual_seed(seed)
    random = np.random.default_rng(seed)
    judge = SyncNetwork(SPAN)
    cepstra = torch.cat([
        _windows(store.load_clip(data, file, only=[])).flatten(0, 1) for file in files[:512]
    ])  # fmt: skip
    judge.audio.mean.copy_(cepstra.mean(0))
    judge.audio.std.copy_(cepstra.std(0) + 1e-3)
    optimizer = torch.optim.AdamW(judge.parameters(), 2e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps)
    target = torch.arange(places).repeat(CLIPS)
    for _ in progress_bar(range(steps), "judge", shown=progress):
        drawn = [clip_of(files[i]) for i in random.integers(len(files), size=CLIPS)]
        at = [_places(len(c.lips), places, random) for c in drawn]
        seen = torch.cat([_stacks(c.lips, p) for c, p in zip(drawn, at, strict=True)])
        gain = torch.from_numpy(random.uniform(0.7, 1.3, (len(seen), 1, 1, 1)).astype(np.float32))
        seen = (seen * gain).clamp_(0, 1)
        heard = torch.cat([c.windows[p] for c, p in zip(drawn, at, strict=True)])
        lips = judge.see(seen).unflatten(0, (CLIPS, places))
        sound = judge.hear(heard).unflatten(0, (CLIPS, places))
        scores = judge.sharpness.exp() * lips @ sound.transpose(1, 2)
        loss = F.cross_entropy(scores.flatten(0, 1), target)
        loss = loss + F.cross_entropy(scores.transpose(1, 2).flatten(0, 1), target)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
    return judge.eval()


def places_in(frames: int) -> int:
    """Places for the sounds of a clip so long: PLACES, fewer in LRW's 29 frames, at least two."""
    return min(PLACES, max(2, (frames - SPAN) // APART))


def _places(frames: int, count: int, random: np.random.Generator) -> Tensor:
    """`count` frame numbers of a clip, at least APART from one another, room for a stack."""
    free = frames - SPAN - (count - 1) * APART
    loose = np.sort(random.integers(0, free + 1, count))
    return torch.from_numpy(SPAN // 2 + loose + APART * np.arange(count))


@torch.inference_mode()
def judged(
    judge: SyncNetwork,
    frames: UInt8[np.ndarray, "n s s 3"],
    clip: store.PreparedClip,
    reach: int = MAX_OFFSET,
) -> Judgement:
    """How well `frames` (real or generated for `clip`, at the judge's size) fit its sound.

    AUC: the cosine of a mouth with its own sound against that with all sounds of the clip APART
    frames away or more, pairs of two silences left out. Offset: where the mean cosine is
    greatest, of at most `reach` frames either way. None where the clip is too short or too silent
    to tell.
    """
    from sklearn.metrics import roc_auc_score

    n = len(frames)
    if n < SPAN + APART:
        return Judgement(None, None)
    centres = torch.arange(SPAN // 2, n - SPAN // 2)
    lips = judge.see(_stacks(_lips(frames, clip.lip_box), centres))
    sound = judge.hear(torch.from_numpy(windows(clip.mfcc, n).copy()))
    scores = (lips @ sound.T).numpy()  # (centres, n)
    at = centres.numpy()
    gap = np.arange(n)[None] - at[:, None]
    both_silent = clip.silent[at][:, None] & clip.silent[None, :n]
    own = scores[(gap == 0) & ~both_silent]
    other = scores[(np.abs(gap) >= APART) & ~both_silent]
    auc = None
    if len(own) and len(other):
        labels = np.r_[np.ones(len(own)), np.zeros(len(other))]
        auc = float(roc_auc_score(labels, np.r_[own, other]))
    reach = min(reach, n - SPAN)
    means = {k: scores[gap == k].mean() for k in range(-reach, reach + 1)}
    return Judgement(auc, int(max(means, key=lambda k: means[k])))


def overall(judgements: list[Judgement]) -> dict[str, Any]:
    """Mean AUC over clips, and the share of clips whose best offset is within one frame."""
    aucs = [j.auc for j in judgements if j.auc is not None]
    near = [abs(j.offset) <= 1 for j in judgements if j.offset is not None]
    return {
        "auc": float(np.mean(aucs)) if aucs else None,
        "in_sync": float(np.mean(near)) if near else None,
        "clips": len(aucs),
    }


def judge_of(
    data: str | Path,
    size: int,
    kept: Path | None = None,
    *,
    steps: int = STEPS,
    progress: bool = True,
    beside_expert: bool = False,
) -> SyncNetwork:
    """The judge of a prepared corpus at one size: read from `kept` if it fits, else trained.

    What is trained is kept there (None: in the workspace), and read the next time. beside_expert:
    see `train_judge`.
    """
    digest = store.digest(data)
    key = {"version": VERSION, "size": size, "steps": steps, "data_digest": digest}
    if beside_expert:
        key["beside_expert"] = True
    if kept is None:
        which = "-beside" if beside_expert else ""
        name = f"{digest[:16]}-{size}-{steps}{which}-v{VERSION}.safetensors"
        kept = workspace() / "judges" / name
    if kept.is_file():
        tensors, meta = read_tensors(kept)
        if meta == key:
            judge = SyncNetwork(SPAN)
            judge.load_state_dict(tensors)
            return judge.eval()
    judge = train_judge(data, size, steps=steps, progress=progress, beside_expert=beside_expert)
    kept.parent.mkdir(parents=True, exist_ok=True)
    write_tensors(kept, judge.state_dict(), key)
    return judge
