"""What every estimator asks of its input, and how it reads what people bring."""

import numbers
import operator
from decimal import Decimal
from typing import Any

import numpy as np
from jaxtyping import Float

from amie_core.errors import UserError, reason

# Any, not a type: what is not fit is refused below, in words.
Rows = Any  # (n, d), or (n,) for one column: an array, a tensor, a pandas table, nested lists
Whole = Any  # a whole number

EXACT = 2**53  # whole numbers beyond are rounded in float64
TEXT = "text: give numbers (categories: a whole number each)"
REFUSED = {  # kinds of dtype that numpy would turn into floats without a word, or nearly so
    "c": "complex numbers: give real and imaginary parts as two columns",
    "M": "dates: subtract a start and divide by a unit, such as np.timedelta64(1, 's')",
    "m": "durations: divide them by a unit, such as np.timedelta64(1, 's')",
    "S": TEXT, "T": TEXT, "U": TEXT,
}  # fmt: skip


def whole(name: str, value: Whole, least: int) -> int:
    """`value` as an int. UserError for floats, truth values and what is below `least`."""
    try:
        found = None if isinstance(value, bool | np.bool_) else operator.index(value)
    except TypeError:
        found = None
    if found is None or found < least:
        raise UserError(f"{name} = {value!r}: choose a whole number, at least {least}")
    return found


def _array(name: str, values: Rows) -> np.ndarray:
    """`values` as an array of their own type; masked entries are refused."""
    if np.ma.isMaskedArray(values):
        masked = np.atleast_1d(np.ma.getmaskarray(values))
        if masked.any():
            row = int(np.argwhere(masked)[0][0])
            raise UserError(f"{name} has masked entries, first in row {row}: remove such rows")
        values = values.data
    if hasattr(values, "detach"):  # a tensor; numpy has none of torch's smaller floats
        small = values.is_floating_point() and values.dtype.itemsize < 4
        values = (values.float() if small else values).numpy(force=True)
    return np.asarray(values)


def _numbers(name: str, values: np.ndarray) -> Float[np.ndarray, "n d"]:
    """`values` (n, d) as float64; UserError for what is not a real number."""
    if values.dtype.kind in REFUSED:
        raise UserError(f"{name} holds {REFUSED[values.dtype.kind]}")
    if values.dtype.names:
        raise UserError(f"{name} has named fields: stack them as columns (n, d)")
    if values.dtype.kind == "O":
        for (row, _), entry in np.ndenumerate(values):
            if not isinstance(entry, numbers.Real | Decimal | np.bool_):
                what = f"{type(entry).__name__} in row {row}"
                raise UserError(f"{name} holds {what}: give real numbers alone")
    if values.dtype.kind in "iu" and np.abs(values.astype(np.float64)).max(initial=0) > EXACT:
        # A shift changes no MI and keeps neighbours apart, nanoseconds say. It is exact:
        # differences of 64 bits are, modulo 2^64.
        values = values.astype(np.uint64) - values.min(0).astype(np.uint64)
    with np.errstate(over="ignore"):  # long double, beyond float64: infinity, refused as such
        return values.astype(np.float64)


def _table(name: str, given: Rows) -> Float[np.ndarray, "n d"]:
    try:
        values = _array(name, given)
        if not values.ndim:
            what = f"one {type(given).__name__}, not rows"
            raise UserError(f"{name} is {what}: give an array of shape (n, d) or (n,)")
        values = values[:, None] if values.ndim == 1 else values
        if values.ndim != 2 or not values.shape[1]:
            raise UserError(f"{name} must have shape (n, d) or (n,), not {values.shape}")
        return _numbers(name, values)
    except (TypeError, ValueError, ArithmeticError, RuntimeError) as error:
        raise UserError(f"{name} cannot be read as numbers: {reason(error)}") from None


def columns(
    x: Rows, y: Rows, least: int
) -> tuple[Float[np.ndarray, "n dx"], Float[np.ndarray, "n dy"]]:
    """x and y as float64 arrays (n, d); one dimension is taken as one column.

    Real numbers of any kind are read: whole and truth values, half precision, pandas tables, lists,
    masked arrays without masked entries, and tensors, which are detached: an estimate has no
    gradient. UserError, in one line, for anything else (complex numbers, dates, text, None, masked
    entries), for unequal lengths, fewer than `least` rows, NaN and infinity, and columns that never
    change (they carry no information and have no scale).
    """
    checked = _table("x", x), _table("y", y)
    if len(checked[0]) != len(checked[1]):
        lengths = f"{len(checked[0])} and {len(checked[1])}"
        raise UserError(f"x and y must have the same number of rows, not {lengths}")
    if len(checked[0]) < least:
        raise UserError(f"{len(checked[0])} rows are too few: this estimator needs {least}")
    for name, values in zip("xy", checked, strict=True):
        if not np.isfinite(values).all():
            row = int(np.flatnonzero(~np.isfinite(values).all(1))[0])
            what = f"NaN or infinity (in float64), first in row {row}"
            raise UserError(f"{name} holds {what}: remove such rows")
        still = np.flatnonzero(values.min(0) == values.max(0))
        if len(still):
            raise UserError(f"column {still[0]} of {name} is constant: leave it out")
    return checked[0], checked[1]
