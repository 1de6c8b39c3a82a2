"""The order of the means: first over the cases of a class, then over the classes. NaN marks what is not counted."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


def ratio(part: Ints | Floats, whole: Ints | Floats, where: Bools) -> Floats:
    """Divide in float64, NaN elsewhere."""
    quotient = np.full(whole.shape, np.nan)
    np.divide(part, whole, out=quotient, where=where)
    return quotient


def mean_over_cases(values: Floats) -> Floats:
    """Return (K,), the mean of each class over its countable cases out of (N, K); NaN where a class has none."""
    countable = ~np.isnan(values)
    number = countable.sum(axis=0)
    return ratio(np.where(countable, values, 0).sum(axis=0), number, number > 0)


def mean_over_classes(values: Floats) -> float:
    """Return the mean of (K,) over the classes that have a countable case, NaN if none has."""
    countable = values[~np.isnan(values)]
    return float(countable.mean()) if countable.size else float("nan")
