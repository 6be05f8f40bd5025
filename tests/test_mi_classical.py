"""Classical estimators against known truth and against scikit-learn."""

import time

import numpy as np
import pytest
from sklearn.feature_selection import mutual_info_regression

from amie_core.errors import UserError
from amie_core.experiments.estimators.tasks import BENCHMARK, OTHERS
from amie_core.mutual_information import edgeworth, gaussian, ksg
from amie_core.mutual_information.classical import negentropy

BARS = {
    "1v1-normal-0.75": 0.02,
    "1v1-bimodal-0.75": 0.02,
    "wiggly-1v1-normal-0.75": 0.02,
    "half_cube-1v1-normal-0.75": 0.02,
    "1v1-additive-0.1": 0.035,
    "asinh-student-identity-1-1-1": 0.025,
    "swissroll_x-normal_cdf-1v1-normal-0.75": 0.02,
    "multinormal-dense-5-5-0.5": 0.03,
    "steps-5": 0.02,
    "wave-2-0.3": 0.025,
    "ring-0.05": 0.05,
    "bowl-0.1": 0.03,
    "digits-10-0.2": 0.02,
    "mixture-0.75-0.3": 0.025,
}


@pytest.mark.parametrize("name", BARS)
def test_ksg_meets_its_bars(name: str) -> None:
    task = (BENCHMARK | OTHERS)[name]
    x, y = task.draw(10_000, np.random.default_rng(0))
    assert ksg(x, y) == pytest.approx(task.nats, abs=BARS[name])


def test_ksg_fails_in_five_dimensions_where_two_matter() -> None:
    task = BENCHMARK["multinormal-sparse-5-5-2-2.0"]
    assert ksg(*task.draw(10_000, np.random.default_rng(0))) < task.nats - 0.2


@pytest.mark.parametrize("name", ["1v1-additive-0.1", "1v1-additive-0.02", "saw-8-0.1", "checks-8"])
def test_ksg_agrees_with_scikit_learn_in_one_dimension(name: str) -> None:
    """What it reads too low on thin structure is the method's, then."""
    x, y = (BENCHMARK | OTHERS)[name].draw(2000, np.random.default_rng(0))
    theirs = mutual_info_regression(x, y[:, 0], n_neighbors=5, random_state=0)[0]
    assert ksg(x, y) == pytest.approx(theirs, abs=1e-3)


def test_ksg_is_fast_in_one_dimension() -> None:
    x, y = BENCHMARK["1v1-normal-0.75"].draw(10_000, np.random.default_rng(0))
    began = time.process_time()
    ksg(x[:, 0], y[:, 0])
    assert time.process_time() - began < 0.5


def test_ksg_counts_ties() -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 2, 5000).astype(float)
    y = np.where(rng.random(5000) < 0.1, 1 - x, x)
    truth = np.log(2) + 0.1 * np.log(0.1) + 0.9 * np.log(0.9)
    assert ksg(x, y) == pytest.approx(truth, abs=0.02)


def test_ksg_keeps_atoms_apart_from_their_neighbours_whatever_the_scale() -> None:
    """Ranks alone count in a column with atoms, so that bending it changes nothing."""
    x, y = OTHERS["mixture-0.75-0.3"].draw(3000, np.random.default_rng(3))
    assert ksg(np.exp(x), y**3) == pytest.approx(ksg(x, y), abs=1e-12)


def test_ksg_reads_structure_thinner_than_its_boxes_too_low() -> None:
    task = OTHERS["saw-8-0.1"]
    x, y = task.draw(10_000, np.random.default_rng(0))
    few, usual = ksg(x, y, k=1), ksg(x, y)
    assert usual < few - 0.02 < task.nats - 0.05


@pytest.mark.parametrize(
    ("x", "y", "reason"),
    [(np.arange(9.0), np.arange(8.0), "9 and 8"), (np.ones(9), np.arange(9.0), "constant"),
     (np.full(9, np.nan), np.arange(9.0), "NaN"), (np.arange(3.0), np.arange(3.0), "too few"),
     (np.zeros((9, 1, 1)), np.arange(9.0), "shape"), (np.array(["a"] * 9), np.ones(9), "numbers")],
)  # fmt: skip
def test_ksg_refuses_what_has_no_mi(x: np.ndarray, y: np.ndarray, reason: str) -> None:
    with pytest.raises(UserError, match=reason) as caught:
        ksg(x, y)
    assert "\n" not in str(caught.value)


def test_gaussian_is_exact_on_gaussians() -> None:
    for name in ("1v1-normal-0.75", "multinormal-dense-5-5-0.5", "multinormal-sparse-5-5-2-2.0"):
        task = BENCHMARK[name]
        x, y = task.draw(20_000, np.random.default_rng(0))
        assert gaussian(x, y) == pytest.approx(task.nats, abs=0.02)
        assert edgeworth(x, y) == pytest.approx(task.nats, abs=0.03)


def test_edgeworth_does_not_depend_on_the_axes() -> None:
    rng = np.random.default_rng(0)
    values = rng.exponential(size=(3000, 3)) @ rng.normal(size=(3, 3))
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    assert negentropy(values @ turn) == pytest.approx(negentropy(values), rel=1e-8)
    assert negentropy(values) > 0.3


