"""Quantiles of values that may be infinite, such as times of what never happened."""

from collections.abc import Callable
from typing import Any

import numpy as np


def quantile(values: Any, q: Any, quantiles: Callable[..., Any] = np.quantile) -> np.ndarray:
    """`numpy.quantile(values, q, axis=0)`, infinite between infinities: NumPy's is NaN there.

    Between a finite value and an infinite one it is infinite, between the two infinities NaN.

    **Arguments:**

    - `values`: numbers, one row each.
    - `q`: in [0, 1].
    - `quantiles`: `numpy.quantile`, or `numpy.nanquantile` to leave NaN out.
    """
    values = np.asarray(values, np.float64)
    if not np.isinf(values).any():
        return quantiles(values, q, axis=0)
    low = quantiles(values, q, axis=0, method="lower")
    high = quantiles(values, q, axis=0, method="higher")
    with np.errstate(invalid="ignore"):
        between = quantiles(values, q, axis=0)
        beyond = low + high
    between = np.where(np.isfinite(low) & np.isfinite(high), between, beyond)
    return np.where(low == high, low, between)
