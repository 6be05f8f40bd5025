"""What every estimator asks of its input."""

import numpy as np

from amie_core.errors import UserError


def columns(x: np.ndarray, y: np.ndarray, least: int) -> tuple[np.ndarray, np.ndarray]:
    """x and y as float64 arrays (n, d); one dimension is taken as one column.

    Raises UserError for unequal lengths, fewer than `least` rows, values that are not finite
    numbers, and columns that never change (they carry no information and have no scale).
    """
    checked = []
    for name, values in (("x", x), ("y", y)):
        try:
            values = np.asarray(values, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise UserError(f"{name} does not hold numbers: {error}") from None
        values = values[:, None] if values.ndim == 1 else values
        if values.ndim != 2 or not values.shape[1]:
            raise UserError(f"{name} must have shape (n, d) or (n,), not {values.shape}")
        checked.append(values)
    if len(checked[0]) != len(checked[1]):
        lengths = f"{len(checked[0])} and {len(checked[1])}"
        raise UserError(f"x and y must have the same number of rows, not {lengths}")
    if len(checked[0]) < least:
        raise UserError(f"{len(checked[0])} rows are too few: this estimator needs {least}")
    for name, values in zip("xy", checked, strict=True):
        if not np.isfinite(values).all():
            row = int(np.flatnonzero(~np.isfinite(values).all(1))[0])
            raise UserError(f"{name} holds NaN or infinity, first in row {row}: remove such rows")
        still = np.flatnonzero(np.ptp(values, axis=0) == 0)
        if len(still):
            raise UserError(f"column {still[0]} of {name} is constant: leave it out")
    return checked[0], checked[1]
