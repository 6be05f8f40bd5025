"""The sync judge: it learns from real clips, says who is in sync, and is kept."""

from pathlib import Path

import numpy as np
import pytest
import torch

from amie_core.data import store
from amie_core.errors import UserError
from amie_core.evaluation import sync_judge
from amie_core.model.sync import SyncNetwork


@pytest.fixture(scope="module")
def trained(tiny_corpus: Path) -> SyncNetwork:
    return sync_judge.train_judge(tiny_corpus, 32, steps=120, progress=False)


def test_judge_tells_own_sound_from_others(trained: SyncNetwork, tiny_corpus: Path) -> None:
    row = store.clips(tiny_corpus, "train").iloc[0]
    clip = store.load_clip(tiny_corpus, row, size=32)
    real = sync_judge.judged(trained, clip.frames, clip)
    still = sync_judge.judged(trained, np.repeat(clip.frames[:1], len(clip.frames), 0), clip)
    assert real.auc > 0.8
    assert abs(real.offset) <= 1
    assert 0.3 < still.auc < 0.7  # lips that never move fit no sound better than another


def test_judge_finds_the_offset(trained: SyncNetwork, tiny_corpus: Path) -> None:
    clip = store.load_clip(tiny_corpus, store.clips(tiny_corpus, "train").iloc[1], size=32)
    late = np.roll(clip.frames, 4, axis=0)  # frame i shows what belongs to sound i − 4
    assert abs(sync_judge.judged(trained, late, clip).offset + 4) <= 1


def test_judge_does_not_judge_what_is_too_short(tiny_corpus: Path) -> None:
    clip = store.load_clip(tiny_corpus, store.clips(tiny_corpus, "train").iloc[0], size=32)
    judge = SyncNetwork(sync_judge.SPAN).eval()
    assert sync_judge.judged(judge, clip.frames[:8], clip) == (None, None)


def test_judge_is_kept_and_read_again(tiny_corpus: Path, tmp_path: Path) -> None:
    kept = tmp_path / "judge.safetensors"
    first = sync_judge.judge_of(tiny_corpus, 32, kept, steps=3, progress=False)
    stamp = kept.stat().st_mtime_ns
    again = sync_judge.judge_of(tiny_corpus, 32, kept, steps=3, progress=False)
    assert kept.stat().st_mtime_ns == stamp
    for a, b in zip(first.parameters(), again.parameters(), strict=True):
        torch.testing.assert_close(a, b)
    # another budget: another judge
    sync_judge.judge_of(tiny_corpus, 32, kept, steps=4, progress=False)
    assert kept.stat().st_mtime_ns != stamp


def test_judge_needs_training_clips(tiny_corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="manifest|prepared"):
        sync_judge.train_judge(tmp_path, 32, progress=False)


def test_summary_counts_what_can_be_told() -> None:
    of = sync_judge.Judgement
    found = sync_judge.overall([of(0.5, 3), of(1.0, 1), of(None, None)])
    assert found == {"auc": 0.75, "in_sync": 0.5, "clips": 2}
