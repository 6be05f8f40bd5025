"""How what is heard becomes a movement as large as a voice's own (`model.manner`)."""

import numpy as np
import pytest

from amie_core.model import lips, manner
from amie_core.model.lips import MOVED

SIZE = np.float32(0.0625)
N = 400
CORNER = MOVED.index(48)


def _told(openings: np.ndarray, aside: np.ndarray | float = 0.0) -> np.ndarray:
    """Displacements: the lower lip by the openings, a corner with 0.3 of them and aside."""
    moves = np.zeros((len(openings), len(MOVED), 2), np.float32)
    moves[:, lips.APART[0], 1] = openings[:, None]
    moves[:, CORNER, 0] = 0.3 * openings + aside
    return moves


@pytest.fixture
def openings() -> np.ndarray:
    """Of lips that are now and then closed more than at rest; deviation 1."""
    drawn = np.random.default_rng(0).uniform(-1, 1, N) * 3**0.5
    return (0.5 + drawn / drawn.std()).astype(np.float32)


def _said(made: manner.Manner, told: np.ndarray, near: float = 1.0) -> np.ndarray:
    return made(told, np.full(len(told), near, np.float32))


def test_a_known_voice_opens_as_far_as_it_does_and_closes_beyond_rest_by_little(
    openings: np.ndarray,
) -> None:
    for sure in (0.7, 1.0, 1.2):  # networks stay nearer to the mean, or not
        told = _told(openings.mean() + sure * (openings - openings.mean()))
        opening = lips.parted(_said(manner.manner_of(told, SIZE, 1.0), told))
        wanted = np.where(openings < 0, manner.BEYOND_REST * openings, openings)
        assert (openings < 0).mean() > 0.2
        assert opening == pytest.approx(SIZE * wanted, abs=1e-6)


def test_where_an_unknown_mouth_lies_in_the_mean_is_left_out_but_for_its_opening(
    openings: np.ndarray,
) -> None:
    aside = 2 + np.random.default_rng(1).standard_normal(N)
    told = _told(openings, aside)
    known, unknown, half = (
        _said(manner.manner_of(told, SIZE, share), told) for share in (1.0, 0.0, 0.5)
    )
    assert lips.parted(unknown) == pytest.approx(lips.parted(known), abs=1e-6)
    off = [
        moved[:, CORNER, 0] - np.polyfit(openings, told[:, CORNER, 0], 1)[0] * lips.parted(moved)
        for moved in (known, unknown)
    ]
    assert off[0] - off[1] == pytest.approx(np.full(N, (off[0] - off[1]).mean()), abs=1e-5)
    assert off[0].mean() > 1.5 * SIZE and off[1].mean() == pytest.approx(0, abs=1e-3)
    paused = 1 + 0.5 * (manner.KNOWN_PAUSES - 1)
    assert manner.manner_of(told, SIZE, 0.5).paused == pytest.approx(paused)
    assert half == pytest.approx((known + unknown) / 2, abs=1e-5)


def test_in_pauses_known_voices_move_more_and_others_as_is_heard(openings: np.ndarray) -> None:
    told = _told(openings, np.random.default_rng(1).standard_normal(N))
    for known, kept in {0.0: 1.0, 1.0: manner.KNOWN_PAUSES}.items():
        made = manner.manner_of(told, SIZE, known)
        loud, half, quiet = (_said(made, told, near) for near in (1.0, 0.5, 0.0))
        assert np.allclose(quiet, kept * loud, atol=1e-6), known
        assert np.allclose(half, (loud + quiet) / 2, atol=1e-6)


def test_where_little_is_said_what_is_told_counts_as_it_is(openings: np.ndarray) -> None:
    told = _told(openings, 1.0)
    for known in (0.0, 1.0):
        made = manner.manner_of(told[: manner.SOME - 1], SIZE, known)
        for near in (0.0, 1.0):
            assert np.allclose(_said(made, told, near), SIZE * told)
    silent = manner.manner_of(told[:0], SIZE, 0.0)
    assert np.allclose(_said(silent, told), SIZE * told)
    still = np.zeros_like(told)  # said, but nothing moves
    for known in (0.0, 1.0):
        assert np.isfinite(_said(manner.manner_of(still, SIZE, known), still)).all()
