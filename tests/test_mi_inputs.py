"""What people bring to an estimator: read, or refused in one line, and by all four alike."""

from collections.abc import Callable
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
import torch

from amie_core.errors import UserError
from amie_core.mutual_information import edgeworth, estimate, gaussian, ksg
from amie_core.mutual_information.checks import columns
from amie_core.mutual_information.estimation.fit import FitConfig


def critics(x: object, y: object) -> float:
    quick = FitConfig(epochs=1)
    return estimate(x, y, folds=2, critics=("smooth",), config=quick, progress=False).nats


ESTIMATORS = {"ksg": ksg, "gaussian": gaussian, "edgeworth": edgeworth, "estimate": critics}
N = 200
X = np.random.default_rng(0).standard_normal((N, 2)).round(2)
Y = X[:, :1] + np.random.default_rng(1).standard_normal((N, 1)).round(2)
EIGHTHS = np.round(8 * X) / 8  # exact in all of torch's and numpy's floats but the 8-bit ones
WHOLE = np.round(8 * X)


def frame() -> pd.DataFrame:
    return pd.DataFrame(X, columns=["left", "right"])


READ = {
    "list": (X.tolist(), X),
    "list of arrays": (list(X), X),
    "one column": (X[:, 0], X[:, :1]),
    "single": (X.astype(np.float32), X.astype(np.float32)),
    "half": (EIGHTHS.astype(np.float16), EIGHTHS),
    "long double": (X.astype(np.longdouble), X),
    "other bytes first": (X.astype(">f8"), X),
    "whole": (WHOLE.astype(np.int8), WHOLE),
    "truth": (X > 0, 1.0 * (X > 0)),
    "objects": (X.astype(object), X),
    "decimals": ([[Decimal(float(v)) for v in row] for row in X], X),
    "masked nowhere": (np.ma.array(X, mask=False), X),
    "tensor": (torch.tensor(X), X),
    "tensor with a gradient": (torch.tensor(X, requires_grad=True) * 1, X),
    "parameter": (torch.nn.Parameter(torch.tensor(X)), X),
    "bfloat16": (torch.tensor(EIGHTHS).bfloat16(), EIGHTHS),
    "half tensor": (torch.tensor(EIGHTHS).half().requires_grad_(), EIGHTHS),
    "truth tensor": (torch.tensor(X > 0), 1.0 * (X > 0)),
    "a conjugate's part": (torch.tensor(1j * X).conj().imag, -X),
    "frame": (frame(), X),
    "series": (frame().left, X[:, :1]),
    "frame with truth": (frame().assign(right=X[:, 1] > 0), np.c_[X[:, 0], X[:, 1] > 0]),
    "nullable": (pd.Series(WHOLE[:, 0]).astype("Int64"), WHOLE[:, :1]),
}


@pytest.mark.parametrize("name", READ)
def test_numbers_are_read_whatever_holds_them(name: str) -> None:
    given, meant = READ[name]
    for found in (columns(given, Y, least=2)[0], columns(Y, given, least=2)[1]):
        assert found.dtype == np.float64
        np.testing.assert_array_equal(found, meant)


def with_entry(value: object) -> list:
    return [*X[:3, 0].tolist(), value, *X[4:, 0].tolist()]


ROW_3 = np.repeat(np.arange(N)[:, None] == 3, 2, axis=1)
REFUSED = {
    "complex": (X + 1j * X, "complex numbers: give real and imaginary parts as two columns"),
    "complex tensor": (torch.tensor(X + 0j), "complex numbers"),
    "complex entry": (with_entry(1j), "complex numbers"),
    "masked": (np.ma.array(X, mask=ROW_3), "masked entries, first in row 3: remove such rows"),
    "masked whole": (np.ma.array(WHOLE.astype(int), mask=X > 2), "masked entries"),
    "dates": (np.arange(N).astype("M8[D]"), "dates: subtract a start and divide by a unit"),
    "durations": (np.arange(N).astype("m8[s]"), "durations: divide them by a unit"),
    "times with a zone": (pd.Series(pd.date_range("2020", periods=N, tz="UTC")), "Timestamp"),
    "text": (X.astype(str), "text: give numbers"),
    "bytes": (X.astype("S"), "text: give numbers"),
    "numbers as text": (with_entry("1.5"), "text: give numbers"),
    "text among objects": (np.array(with_entry("1.5"), object), "holds str in row 3"),
    "categories": (pd.Series(list("ab") * (N // 2)).astype("category"), "holds str in row 0"),
    "none": (with_entry(None), "NoneType in row 3: give real numbers alone"),
    "missing": (pd.Series(with_entry(pd.NA)), "row 3"),
    "missing nullable": (pd.Series(with_entry(pd.NA), dtype="Float64"), "row 3"),
    "NaN": (with_entry(np.nan), "NaN or infinity .*, first in row 3: remove such rows"),
    "infinity": (with_entry(-np.inf), "NaN or infinity .*, first in row 3"),
    "beyond float64": (X.astype(np.longdouble) * np.longdouble("1e4000"), "in float64"),
    "beyond any float": (with_entry(10**400), "too large"),
    "ragged": ([[1.0], [2.0, 3.0]] * (N // 2), "cannot be read as numbers"),
    "named fields": (np.zeros(N, [("a", float), ("b", float)]), "named fields: stack them"),
    "sparse": (torch.tensor(X).to_sparse(), "cannot be read as numbers"),
    "nothing": (None, "x is one NoneType, not rows: give an array of shape"),
    "generator": ((v for v in X), "x is one generator, not rows"),
    "word": ("numbers", "x is one str, not rows"),
    "cube": (np.zeros((N, 1, 1)), r"x must have shape \(n, d\) or \(n,\), not \(200, 1, 1\)"),
    "no column": (np.zeros((N, 0)), "must have shape"),
    "no row": (np.zeros((0, 1)), "same number of rows, not 0 and 200"),
    "fewer rows": (X[1:], "same number of rows, not 199 and 200"),
    "constant": (np.c_[X, np.ones(N)], "column 2 of x is constant: leave it out"),
}


@pytest.mark.parametrize("estimator", ESTIMATORS.values(), ids=ESTIMATORS)
@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_mi_is_refused_in_one_line(name: str, estimator: Callable[..., float]) -> None:
    given, reason = REFUSED[name]
    with pytest.raises(UserError, match=reason) as caught:
        estimator(given, Y)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("estimator", ESTIMATORS.values(), ids=ESTIMATORS)
def test_too_few_rows_are_refused(estimator: Callable[..., float]) -> None:
    with pytest.raises(UserError, match="2 rows are too few"):
        estimator([1.0, 2.0], [2.0, 1.0])


@pytest.mark.parametrize("estimator", ESTIMATORS.values(), ids=ESTIMATORS)
def test_the_value_is_that_of_the_numbers(estimator: Callable[..., float]) -> None:
    held = torch.tensor(X, requires_grad=True)
    value = estimator(X, Y)
    assert estimator(held, frame().left) == estimator(X, X[:, 0])
    assert estimator(held * 2, Y.tolist()) == value and held.grad is None
    assert isinstance(value, float)


def test_neighbours_stay_apart_among_huge_whole_numbers() -> None:
    """Nanoseconds since 1970: float64 knows every 256th."""
    for dtype, start in ((np.int64, 2**62), (np.int64, -(2**63)), (np.uint64, 2**63)):
        steps = np.random.default_rng(0).permutation(N).astype(dtype)
        found, _ = columns(steps + dtype(start), Y, least=2)
        np.testing.assert_array_equal(found[:, 0], steps)
    ends = np.array([-(2**63), 2**63 - 1, 0] * 2)
    np.testing.assert_allclose(columns(ends, ends, least=2)[0][:, 0], ends + 2.0**63)
