"""Classical estimators against known truth and scikit-learn; what must not matter to them."""

import time
from collections.abc import Callable

import numpy as np
import pytest
from conftest import shared_data
from scipy.special import ndtr
from sklearn.feature_selection import mutual_info_regression

from amie_core.errors import UserError
from amie_core.experiments.estimators.known_truth import correlated, gaussian_nats, sparse
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
    """On the same scales: what it reads too low on thin structure is the method's."""
    x, y = (BENCHMARK | OTHERS)[name].draw(2000, np.random.default_rng(0))
    theirs = mutual_info_regression(x, y[:, 0], n_neighbors=5, random_state=0)[0]
    assert ksg(x, y, ranks=False) == pytest.approx(theirs, abs=1e-3)


def test_ksg_is_fast_in_one_dimension() -> None:
    x, y = BENCHMARK["1v1-normal-0.75"].draw(10_000, np.random.default_rng(0))
    began = time.process_time()
    ksg(x[:, 0], y[:, 0])
    assert time.process_time() - began < 0.5


NORMAL = BENCHMARK["1v1-normal-0.75"]


def to_step(values: np.ndarray, step: float) -> np.ndarray:
    return np.round(values / step) * step


def two_digits(values: np.ndarray) -> np.ndarray:
    """Two significant digits: a lattice of no one width."""
    return np.array([float(f"{value:.1e}") for value in values.flat]).reshape(values.shape)


@pytest.mark.parametrize("step", [0.001, 0.01, 0.02, 0.05, 0.1])
@pytest.mark.parametrize(("n", "scatter"), [(1000, 0.03), (10_000, 0.015)])
def test_ksg_is_not_raised_by_rounding(n: int, scatter: float, step: float) -> None:
    """What these steps lose is about 0.001 nats. Lattice distances counted as they stand: +0.2."""
    x, y = NORMAL.draw(n, np.random.default_rng(1))
    for pair in ((to_step(x, step), to_step(y, step)), (to_step(x, step), y)):
        for ranks in (True, False):
            plain = ksg(x, y, ranks=ranks)
            assert ksg(*pair, ranks=ranks) == pytest.approx(plain, abs=scatter)


@pytest.mark.parametrize("step", [0.01, 0.02, 0.05])
def test_ksg_finds_the_truth_behind_the_shared_sample_rounded(step: float) -> None:
    with np.load(shared_data("mi", "1v1-normal-0.75.npz")) as sample:
        x, y = sample["x"], sample["y"]
    for pair in ((to_step(x, step), to_step(y, step)), (to_step(x, step), y)):
        assert ksg(*pair) == pytest.approx(NORMAL.nats, abs=0.02)


@pytest.mark.parametrize(
    "lattice",
    [two_digits, lambda v: np.floor(20 * v), lambda v: v.astype(np.float16),
     lambda v: to_step(v.astype(np.float32), np.float32(0.05)),
     lambda v: to_step(v, 0.05) + 1e-16 * np.sin(1e6 * v),
     lambda v: np.where(np.sin(1e6 * v) > 0, to_step(v, 0.05), v)],
    ids=["two digits", "whole", "half", "single", "almost tied", "half of the rows"],
)  # fmt: skip
def test_ksg_takes_any_lattice(lattice: Callable[[np.ndarray], np.ndarray]) -> None:
    x, y = NORMAL.draw(10_000, np.random.default_rng(1))
    assert ksg(lattice(x), lattice(y)) == pytest.approx(NORMAL.nats, abs=0.02)
    assert ksg(lattice(x), y) == pytest.approx(NORMAL.nats, abs=0.02)


@pytest.mark.parametrize("columns", [[0], [0, 1]])
@pytest.mark.parametrize("step", [0.01, 0.05, 0.1])
def test_ksg_takes_lattices_of_two_columns(step: float, columns: list[int]) -> None:
    """All columns rounded, or one beside a continuous one."""
    x, y = correlated(sparse(2), 2, 5000, np.random.default_rng(0))
    rounded = [values.copy() for values in (x, y)]
    for values in rounded:
        values[:, columns] = to_step(values[:, columns], step)
    assert ksg(*rounded) == pytest.approx(2 * gaussian_nats(0.8), abs=0.03)


def test_ksg_reads_independent_lattices_as_independent() -> None:
    x, y = np.random.default_rng(0).standard_normal((2, 5000))
    for step in (0.01, 0.05, 0.5, 2.0):
        assert abs(ksg(to_step(x, step), to_step(y, step))) < 0.02


def test_ksg_counts_ties() -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 2, 5000).astype(float)
    y = np.where(rng.random(5000) < 0.1, 1 - x, x)
    truth = np.log(2) + 0.1 * np.log(0.1) + 0.9 * np.log(0.9)
    assert ksg(x, y) == pytest.approx(truth, abs=0.02)


@pytest.mark.parametrize(
    ("levels", "n", "scatter"),
    [(2, 100, 0.03), (2, 1000, 0.02), (10, 1000, 0.03), (10, 10_000, 0.015), (100, 10_000, 0.015)],
)
def test_ksg_finds_the_entropy_of_what_is_discrete(levels: int, n: int, scatter: float) -> None:
    x = np.random.default_rng(0).integers(0, levels, n)
    assert ksg(x, -x) == pytest.approx(np.log(levels), abs=scatter)


def test_ksg_takes_counts_that_depend_on_a_rate() -> None:
    """x exponential, y a Poisson count at that rate: I = 2 ln 2 - γ - Σ ln k / 2^k (Gao 2017)."""
    rng, k = np.random.default_rng(0), np.arange(2, 60)
    x = rng.exponential(size=10_000)
    truth = 2 * np.log(2) - np.euler_gamma - (np.log(k) / 2.0**k).sum()
    assert ksg(x, rng.poisson(x)) == pytest.approx(truth, abs=0.02)


MAPS = {
    "exp": lambda v: np.exp(6 * v),
    "steep": lambda v: np.exp(190 * v),
    "cube": lambda v: v**3,
    "squeezed": lambda v: np.tanh(2 * v),
    "uniform": ndtr,
    "jump": lambda v: v + 1e9 * (v > 0.3),
    "huge": lambda v: v * 1e160,
    "edge": lambda v: v * 3e307,
    "tiny": lambda v: v * 1e-170,
}


@pytest.mark.parametrize("name", MAPS)
def test_ksg_does_not_change_when_columns_are_bent(name: str) -> None:
    bent = MAPS[name]
    for dims in (1, 3):
        x, y = correlated(sparse(dims, 1), dims, 1000, np.random.default_rng(4))
        assert ksg(bent(x), y) == ksg(x, y) == ksg(x, bent(y))
        mixed = np.hstack([bent(x[:, :1]), x[:, 1:]])
        assert ksg(mixed, bent(y)) == ksg(x, y)
        assert ksg(-bent(x), y) == ksg(x, y) == ksg(-mixed, -bent(y))


@pytest.mark.parametrize("value", [1e6, -1e300])
@pytest.mark.parametrize("dims", [1, 5])
def test_ksg_shrugs_off_an_outlier(dims: int, value: float) -> None:
    x, y = correlated(sparse(dims, 1), dims, 1000, np.random.default_rng(4))
    spoilt = x.copy()
    spoilt[17, 0] = value
    assert ksg(spoilt, y) == pytest.approx(ksg(x, y), abs=0.005)
    assert ksg(spoilt, y, ranks=False) < ksg(x, y) - 0.1  # as its docstring says


def test_ksg_reads_what_both_tell_each_other() -> None:
    """The same from either side, ties or not."""
    x, y = correlated(sparse(2), 2, 1000, np.random.default_rng(0))
    for pair in ((x, y), (to_step(x, 0.1), y), (x[:, :1] > 0, to_step(y, 0.5))):
        for ranks in (True, False):
            there, back = ksg(*pair, ranks=ranks), ksg(*pair[::-1], ranks=ranks)
            assert there == pytest.approx(back, abs=1e-12)


def test_ksg_hardly_minds_the_order_of_tied_rows() -> None:
    x, y = (to_step(values, 0.1) for values in NORMAL.draw(1000, np.random.default_rng(0)))
    orders = [np.random.default_rng(seed).permutation(1000) for seed in range(10)]
    assert np.std([ksg(x[order], y[order]) for order in orders]) < 0.01


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
    ("k", "reason"),
    [(2.5, "k = 2.5: choose a whole"), (5.0, "whole"), (True, "whole"), (np.True_, "whole"),
     (None, "whole"), ("5", "whole"), (np.nan, "whole"), (0, "k = 0: .* at least 1"),
     (-3, "at least 1"), (99, "100 rows are too few for k = 99: lower k"), (100, "lower k")],
)  # fmt: skip
def test_ksg_refuses_what_is_no_number_of_neighbours(k: object, reason: str) -> None:
    with pytest.raises(UserError, match=reason) as caught:
        ksg(*NORMAL.draw(100, np.random.default_rng(0)), k=k)
    assert "\n" not in str(caught.value)


def test_ksg_takes_any_whole_number_of_neighbours() -> None:
    x, y = NORMAL.draw(100, np.random.default_rng(0))
    assert ksg(x, y, k=np.int64(5)) == ksg(x, y, k=np.uint8(5)) == ksg(x, y, k=np.array(5))
    assert np.isfinite(ksg(x, y, k=98)) and np.isfinite(ksg(x[:3], y[:3], k=1))


def test_gaussian_is_exact_on_gaussians() -> None:
    for name in ("1v1-normal-0.75", "multinormal-dense-5-5-0.5", "multinormal-sparse-5-5-2-2.0"):
        task = BENCHMARK[name]
        x, y = task.draw(20_000, np.random.default_rng(0))
        assert gaussian(x, y) == pytest.approx(task.nats, abs=0.02)
        assert edgeworth(x, y) == pytest.approx(task.nats, abs=0.03)


@pytest.mark.parametrize("estimator", [gaussian, edgeworth])
def test_moments_know_no_unit(estimator: Callable[..., float]) -> None:
    x, y = correlated(sparse(3), 3, 500, np.random.default_rng(0))
    for scale in (2.0**500, 2.0**-1000):  # exact, where 1e160 is not
        assert estimator(scale * x, y) == estimator(x, y) == estimator(x, scale * y)
    assert estimator(1e-170 * x, 1e300 * y) == pytest.approx(estimator(x, y), abs=1e-12)
    with pytest.raises(UserError, match="7 rows are too few for so many columns: give at least 8"):
        estimator(x[:7], y[:7])


def test_edgeworth_does_not_depend_on_the_axes() -> None:
    rng = np.random.default_rng(0)
    values = rng.exponential(size=(3000, 3)) @ rng.normal(size=(3, 3))
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    assert negentropy(values @ turn) == pytest.approx(negentropy(values), rel=1e-8)
    assert negentropy(values) > 0.3


