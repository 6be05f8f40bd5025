"""Where sharp critics start: frequencies that stand out, and none where there is nothing."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from amie_core.experiments.estimators.tasks import OTHERS
from amie_core.mutual_information.estimation import frequencies
from amie_core.mutual_information.estimation.frequencies import (
    _fallen,
    _products,
    _Sum,
    _turns,
    waves,
)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """As `estimate` runs it: the matrices are small, and threads would only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def standardised(name: str, n: int = 3000) -> tuple[np.ndarray, np.ndarray]:
    sample = OTHERS[name].draw(n, np.random.default_rng(0))
    x, y = ((v - v.mean(0)) / v.std(0) for v in sample)
    return x, y


@pytest.mark.parametrize(("name", "teeth"), [("saw-3-0.1", 3), ("saw-8-0.1", 8)])
def test_finds_the_slope_of_a_saw(name: str, teeth: int) -> None:
    """The ridge sin 2πm(teeth·x - y): m times 2π·teeth and 2π radians a unit, opposite signs."""
    x, y = standardised(name)
    found = waves(x, y, 32, np.random.default_rng(1))
    assert found.pair_x.shape == found.pair_y.shape == (1, 32)
    unit = 2 * np.pi / np.sqrt(12)  # radians a unit, in standard deviations of a uniform
    turns_x, turns_y = found.pair_x[0] / unit, found.pair_y[0] / unit
    strong = np.abs(np.abs(turns_y) - 1) < 0.5  # m = ±1; others are harmonics
    assert strong.sum() >= 5
    # Seen through a window one unit long, a ridge is a lobe that reaches one turn to either side.
    off = turns_x[strong] * np.sign(turns_y[strong]) + teeth
    assert np.median(np.abs(off)) < 1


@pytest.mark.parametrize("name", ["independent-1-1", "independent-5-5"])
def test_finds_next_to_nothing_where_there_is_nothing(name: str) -> None:
    found = waves(*standardised(name), 32, np.random.default_rng(1))
    assert found.pair_x.shape[1] <= 4
    assert found.x.shape[1] <= 4 and found.y.shape[1] <= 4


def test_is_seeded() -> None:
    x, y = standardised("wave-6-0.1")
    first, again, other = (waves(x, y, 8, np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first.pair_x, other.pair_x)


def test_the_strongest_waves_of_a_saw_are_its_harmonics() -> None:
    """Found one by one, off the grid of candidates, each once though its lobe holds many."""
    x, y = standardised("saw-8-0.1", 8000)
    found = waves(x, y, 32, np.random.default_rng(2))
    unit = 2 * np.pi / np.sqrt(12)
    turns_x, turns_y = (freq[0, :6:2] / unit for freq in (found.pair_x, found.pair_y))
    harmonic = np.round(-turns_y * np.sign(turns_x))
    assert sorted(harmonic) == [1, 2, 3]
    assert np.abs(np.abs(turns_x) - 8 * harmonic) == pytest.approx(0, abs=0.1)
    assert np.abs(np.abs(turns_y) - harmonic) == pytest.approx(0, abs=0.1)


def test_each_strong_wave_comes_twice_a_quarter_turn_apart() -> None:
    found = waves(*standardised("saw-3-0.1"), 8, np.random.default_rng(2))
    assert np.array_equal(found.pair_x[:, ::2], found.pair_x[:, 1::2])
    assert found.phase[1::2] - found.phase[::2] == pytest.approx(np.pi / 2)


def test_of_a_large_sample_some_rows_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = []

    def turns(values, frequency):
        rows.append(len(values))
        return _turns(values, frequency)

    monkeypatch.setattr(frequencies, "ROWS", 1000)
    monkeypatch.setattr(frequencies, "_turns", turns)
    found = waves(*standardised("saw-3-0.1", 20_000), 8, np.random.default_rng(1))
    assert found.pair_x.shape == (1, 8) and set(rows) == {1000}


def test_both_products_of_turns_are_the_complex_ones() -> None:
    generator = np.random.default_rng(0)
    shapes = [(50, 3), (50, 2)]
    of_x, of_y = (torch.complex(*torch.as_tensor(generator.normal(size=(2, *s)))) for s in shapes)
    for one, other in ((of_x, of_y), (of_y, of_x)):
        straight, crossed = _products(one, other)
        torch.testing.assert_close(straight, one.T @ other / 50)
        torch.testing.assert_close(crossed, one.T @ other.conj() / 50)


def test_a_peaks_slope_is_that_of_its_value() -> None:
    """Beside autograd on the definition, with one wave already in the model."""
    generator = np.random.default_rng(1)
    x, y = (torch.as_tensor(generator.normal(size=(400, d)), dtype=torch.float32) for d in (2, 1))
    y += x[:, :1]
    ones, weight = torch.ones(400, 1) + 0j, torch.tensor([0.5, 0.2 + 0.1j])
    known = _turns(x, torch.tensor([[0.7], [-0.2]])), _turns(y, torch.tensor([[-0.6]]))
    model = _Sum(*(torch.cat([ones, part], 1) for part in known), weight)

    place = torch.tensor([0.9, 0.1, -0.8], requires_grad=True)
    of_x, of_y = _turns(x, place[:2, None]), _turns(y, place[2:, None])
    expected = torch.zeros(())
    for a, b, w in zip(model.x.T, model.y.T, weight, strict=True):  # a wave and its conjugate
        expected = expected + w * (of_x.T @ a.conj()).mean() * (of_y.T @ b.conj()).mean() / 400**2
        expected = expected + w.conj() * (of_x.T @ a).mean() * (of_y.T @ b).mean() / 400**2
    value = ((of_x * of_y).mean() - expected).abs().square()
    value.backward()
    found, slope = _fallen(place.detach().double().numpy(), x, y, model)
    assert -found / 400 == pytest.approx(value.item(), rel=1e-4)
    np.testing.assert_allclose(-slope / 400, place.grad, rtol=1e-3, atol=1e-5)
