"""`amie talk --alive`: eyes that blink, a head that drifts, by a seed and nothing else."""

import numpy as np
import pytest

from amie_core.config import FPS
from amie_core.data.alignment import TEMPLATE
from amie_core.talking.alive import HELD, SHUT, Alive


@pytest.fixture
def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8)


def _alive(seed: int = 0) -> Alive:
    return Alive((256, 256), np.eye(2, 3), TEMPLATE, seed)


def test_it_is_the_same_by_its_seed_and_begins_with_the_picture(picture: np.ndarray) -> None:
    first, again, other = (
        [living.frame(picture, number) for number in (0, 40)]
        for living in (_alive(), _alive(), _alive(1))
    )
    assert all(map(np.array_equal, first, again))
    assert not np.array_equal(first[1], other[1])
    assert np.array_equal(first[0], picture)  # no blink at once, no drift yet


def test_eyes_shut_and_open_again_every_few_seconds() -> None:
    living = _alive()
    shut = np.array([living.shut(number) for number in range(60 * FPS)])
    starts = np.flatnonzero((shut > 0) & (np.r_[0, shut[:-1]] == 0))
    assert 10 <= len(starts) <= 30  # a minute
    assert (np.diff(starts) >= 2 * FPS).all()
    for start in starts[:-1]:
        assert shut[start : start + len(SHUT)].tolist() == list(SHUT)


def test_a_blink_changes_the_eyes_and_little_else(picture: np.ndarray) -> None:
    living = _alive()
    number = living.blinks[0] + 1
    for wave in (living.sway, living.nod, living.turn):
        wave.phases[:] = 0
    still = _alive()
    still.blinks = [10**6]
    for wave in (still.sway, still.nod, still.turn):
        wave.phases[:] = 0
    changed = np.abs(living.frame(picture, number).astype(int) - still.frame(picture, number))
    changed = changed.mean(2)
    eyes = changed[88:110, 70:186].mean()
    assert eyes > 10 and changed[150:220].mean() < 0.2 * eyes


def test_far_from_the_face_nothing_moves(picture: np.ndarray) -> None:
    living = _alive()
    moved = living.frame(picture, 60)
    rows, columns = np.indices((256, 256))
    far = np.hypot(columns - TEMPLATE[30, 0], rows - TEMPLATE[30, 1]) > HELD + 6
    assert far.any() and np.array_equal(moved[far], picture[far])
    near = np.hypot(columns - TEMPLATE[30, 0], rows - TEMPLATE[30, 1]) < 60
    assert (moved[near] != picture[near]).mean() > 0.5
