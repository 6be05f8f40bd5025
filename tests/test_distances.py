"""Distances of distributions: closed forms, orders, floors."""

import numpy as np
import pytest
import torch

from amie_core.data.store import PreparedClip
from amie_core.evaluation import distances


def gaussian(n: int, d: int, seed: int, shift: float = 0.0, scale: float = 1.0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, d)) * scale + shift


def test_frechet_has_the_closed_form_of_two_gaussians() -> None:
    # In 3-D: |Δμ|² = 3·2² = 12; tr(C1 + C2 − 2√(C1 C2)) = 3·(1 − 3)² = 12
    found = distances.frechet(gaussian(60_000, 3, 0), gaussian(60_000, 3, 1, shift=2.0, scale=3.0))
    assert found == pytest.approx(24.0, rel=0.02)


def test_frechet_of_a_set_with_itself_is_zero() -> None:
    x = gaussian(300, 20, 0)
    assert abs(distances.frechet(x, x)) < 1e-8


def test_sliced_wasserstein_of_a_shift() -> None:
    # W1 of a shift along u projected on θ is |shift·θ|; in one dimension it is the shift itself
    x = gaussian(500, 1, 0)
    assert distances.sliced_wasserstein(x, x + 0.7) == pytest.approx(0.7)


def test_mmd_is_unbiased_and_sees_a_shift() -> None:
    x, y = gaussian(400, 4, 0), gaussian(400, 4, 1)
    same = [distances.mmd(gaussian(60, 4, s), gaussian(60, 4, s + 100), 2.0) for s in range(40)]
    assert abs(np.mean(same)) < 4 * np.std(same) / np.sqrt(len(same))
    assert distances.mmd(x, y + 1.0, 2.0) > 20 * abs(distances.mmd(x, y, 2.0))


def test_mmd_agrees_with_scikit_learns_kernel() -> None:
    from sklearn.metrics.pairwise import rbf_kernel

    x, y, width = gaussian(50, 3, 0), gaussian(40, 3, 1, shift=0.5), 1.3
    k = [rbf_kernel(a, b, gamma=1 / (2 * width**2)) for a, b in ((x, x), (y, y), (x, y))]
    by_hand = (
        (k[0].sum() - 50) / (50 * 49) + (k[1].sum() - 40) / (40 * 39) - 2 * k[2].mean()
    )  # Gretton et al. 2012, Eq. 3
    assert distances.mmd(x, y, width) == pytest.approx(by_hand)


def clips(seed: int, shift: float = 0.0, count: int = 6) -> list[distances.Features]:
    made = []
    for k in range(count):
        lips = gaussian(12, 4, 1000 * seed + k, shift)
        sound = lips[:, :2] + 0.1 * gaussian(12, 2, 1000 * seed + k + 500)
        frame = gaussian(12, 5, 1000 * seed + k + 700, shift)
        made.append({"frame": frame, "lips": lips, "joint": np.concatenate([lips, sound], 1)})
    return made


def test_distances_order_floor_and_shift_and_carry_intervals() -> None:
    real = clips(0)
    by = distances.standardisation(real)
    floor = distances.distances(clips(1), real, by)
    far = distances.distances(clips(1, shift=2.0), real, by)
    for space in distances.SPACES:
        for kind, found in far[space].items():
            if kind == "coherence":
                continue  # of what moves together: a shift is none of its business
            assert found["value"] > floor[space][kind]["value"], (space, kind)
            low, high = found["interval"]
            assert low < high


def test_shuffled_sounds_move_the_joint_space_only() -> None:
    real, again = clips(0, count=10), clips(1, count=10)
    by = distances.standardisation(real)
    floor = distances.distances(again, real, by, draws=1)
    moved = distances.distances(distances.shuffled(again), real, by, draws=1)
    for space in ("frame", "lips"):
        assert moved[space]["frechet"]["value"] == pytest.approx(floor[space]["frechet"]["value"])
    assert moved["joint"]["frechet"]["value"] > 1.5 * floor["joint"]["frechet"]["value"]
    assert moved["joint"]["coherence"]["value"] > 2 * floor["joint"]["coherence"]["value"]


def test_coherence_is_0_for_the_real_tie_1_for_none_and_ignores_who_it_is() -> None:
    real = clips(0, count=30)
    by = distances.standardisation(real)
    assert distances.coherence_distance(real, real, by) == 0
    moved = [c | {"joint": c["joint"] + k} for k, c in enumerate(real)]  # another face each
    assert distances.coherence_distance(moved, real, by) == pytest.approx(0, abs=1e-9)
    still = [c | {"joint": np.concatenate([0 * c["lips"], c["joint"][:, 4:]], 1)} for c in real]
    assert distances.coherence_distance(still, real, by) == pytest.approx(1)
    against = [c | {"joint": c["joint"] * np.r_[-np.ones(4), np.ones(2)]} for c in real]
    assert distances.coherence_distance(against, real, by) == pytest.approx(2)


def test_features_of_chosen_frames() -> None:
    class Colours(torch.nn.Module):
        def forward(self, frames: torch.Tensor) -> torch.Tensor:
            return frames

    frames = np.random.default_rng(0).integers(0, 255, (20, 32, 32, 3), np.uint8)
    clip = PreparedClip(
        "a", "b", "train", frames, np.zeros((20, 68, 2)), (152, 232, 64, 192),
        np.zeros((96, 13)), np.zeros(20, bool), np.zeros(16, np.int16),
    )  # fmt: skip
    found = distances.features(Colours(), clip, frames, slice(2, None, 4))
    assert found["frame"].shape == (5, 6)
    np.testing.assert_allclose(
        found["frame"][0, :3], frames[2].reshape(-1, 3).mean(0) / 255, atol=1e-6
    )
    assert found["joint"].shape == (5, 6 + 65)
