"""Samplers: no true pair among negatives, no shared audio, no silence on both sides."""

import numpy as np
import pytest

from amie_core.mutual_information import across_clips, derangement, negatives_within_clip

rng = np.random.default_rng


def test_derangement_moves_everything() -> None:
    for seed in range(200):
        order = derangement(7, rng(seed))
        assert sorted(order) == list(range(7)) and (order != np.arange(7)).all()
    assert (derangement(50, rng(3)) == derangement(50, rng(3))).all()
    with pytest.raises(ValueError, match="at least 2"):
        derangement(1, rng(0))


def test_every_derangement_is_as_likely() -> None:
    generator = rng(0)
    seen = [tuple(derangement(4, generator)) for _ in range(9000)]
    counts = np.array([seen.count(kind) for kind in set(seen)])
    assert len(counts) == 9 and (abs(counts / 1000 - 1) < 0.15).all()


def test_negatives_keep_their_distance_and_cover_the_clip() -> None:
    generator = rng(0)
    draws = np.stack([negatives_within_clip(29, generator=generator) for _ in range(300)])
    assert (abs(draws - np.arange(29)) >= 5).all()
    assert set(draws[:, 14]) == set(range(10)) | set(range(19, 29))


def test_negatives_for_some_frames_only() -> None:
    frames = np.array([3, 3, 20])
    k = negatives_within_clip(29, 5, generator=rng(0), frames=frames)
    assert k.shape == (3,) and (abs(k - frames) >= 5).all()
    with pytest.raises(ValueError, match="29 frames"):
        negatives_within_clip(29, 5, generator=rng(0), frames=np.array([29]))


def test_no_pair_is_silent_on_both_sides() -> None:
    silent = np.zeros(30, bool)
    silent[:12] = silent[25:] = True
    generator = rng(1)
    for _ in range(50):
        k = negatives_within_clip(30, 5, generator=generator, silent=silent)
        assert not (silent & silent[k]).any() and (abs(k - np.arange(30)) >= 5).all()


def test_fallback_gives_up_the_gap_before_the_silence_rule() -> None:
    silent = np.ones(10, bool)
    silent[2] = False
    k = negatives_within_clip(10, 5, generator=rng(0), silent=silent)
    assert (np.delete(k, 2) == 2).all() and k[2] >= 7
    k = negatives_within_clip(10, 5, generator=rng(0), silent=np.ones(10, bool))
    assert (k == np.where(np.arange(10) < 5, 9, 0)).all()
    assert (negatives_within_clip(2, 5, generator=rng(0)) == [1, 0]).all()


def test_across_clips() -> None:
    ids = np.array([4, 4, 4, 7, 7, 9])
    k = across_clips(ids, rng(0))
    assert (ids[k] != ids).all()
    with pytest.raises(ValueError, match="two clips"):
        across_clips(np.zeros(5, int), rng(0))
