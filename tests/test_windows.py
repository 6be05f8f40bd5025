"""Training windows: what a batch holds, and which face is given away with it."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import TINY

from amie_core import config
from amie_core.data import store
from amie_core.training.windows import Windows, identity_frames


@pytest.mark.parametrize("length", [75, 29])
def test_identity_frames_lie_apart_from_the_window_and_are_drawn_evenly(length: int) -> None:
    """Drawn from anywhere, one window in twenty held its own identity face (in five at 29)."""
    random, k, gap = np.random.default_rng(0), 4, 10
    start = random.integers(1, length - k + 1, 20_000)
    drawn = identity_frames(start, np.full(len(start), length), k, gap, random)
    apart = np.maximum(start - drawn, drawn - (start + k - 1))
    assert apart.min() >= gap and drawn.min() == 0 and drawn.max() == length - 1
    middle = length // 2
    here = identity_frames(np.full(9000, middle), np.full(9000, length), k, gap, random)
    counts = np.bincount(here, minlength=length)
    allowed = [n for n in range(length) if n <= middle - gap or n >= middle + k - 1 + gap]
    assert set(np.flatnonzero(counts)) == set(allowed)
    assert counts[allowed].min() > 0.6 * 9000 / len(allowed)


def test_a_clip_too_short_gives_its_farther_end() -> None:
    start, lengths = np.array([1, 6, 4]), np.array([12, 12, 12])
    drawn = identity_frames(start, lengths, 4, 10, np.random.default_rng(0))
    assert drawn.tolist() == [11, 0, 0]


def test_a_batch_keeps_the_gap(tiny_corpus: Path) -> None:
    changes = {"train.augment": False, "train.identity_gap": 8, "train.batch": 16}
    windows = Windows(tiny_corpus, config.with_changes(TINY, changes), 0, progress=False)
    for step in range(5):
        batch = windows.batch(step)
        apart = (batch.frames - batch.identity[:, None]).abs().flatten(1).amax(1)
        assert apart.min() > 0  # the identity face is never a frame of its window


def test_what_networks_are_set_by_does_not_follow_the_memory_that_there_is(
    tiny_corpus: Path, tmp_path: Path
) -> None:
    """Of filmed clips alone, resident or not: portraits speak with those clips' own sound."""
    portraits = tmp_path / "portraits"
    shutil.copytree(tiny_corpus, portraits)
    settings = json.loads((portraits / "corpus.json").read_text())
    (portraits / "corpus.json").write_text(json.dumps(settings | {"corpus": "portraits"}))
    mixed = config.with_changes(TINY, {"train.mix": 0.5})
    told = []
    for memory in (None, 0):
        given = Windows(
            tiny_corpus, mixed, 0, also=portraits, resident_bytes=memory, progress=False
        )
        assert given.resident == (memory is None) and len(given.filmed) == len(given.rows) // 2
        told.append([*given.standardisation(), given.shapes()])
    assert all(torch.equal(a, b) for a, b in zip(*told, strict=True))
    filmed = store.clips(tiny_corpus, "train")["frames"].sum()
    assert len(told[0][2]) == filmed
