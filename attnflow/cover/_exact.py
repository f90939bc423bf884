"""Numbers of arguments as exact ones: floats count as their shortest decimals."""

import re
from fractions import Fraction
from typing import Any

import numpy as np

Number = float | int | str | Fraction
_TEXT = re.compile(r"-?[0-9]{1,20}(\.[0-9]{1,30})?|-?[0-9]{1,20}/[0-9]{1,20}")


def exact_number(name: str, x: Any) -> Fraction:
    """A number as its shortest decimal."""
    text = str(x) if isinstance(x, str | Fraction) else None
    real = isinstance(x, int | float | np.number) and not isinstance(x, bool)
    if text is None and real and np.isfinite(float(x)):
        text = np.format_float_positional(float(x), trim="0")
    if text is None or not _TEXT.fullmatch(text) or re.search(r"/0+$", text):
        raise ValueError(
            f"`{name}` must be of finite numbers, or fractions as '-2/3'; got {x!r:.60}."
        )
    return Fraction(text)


def exact_range(name: str, ends: Any, most: float) -> tuple[Fraction, Fraction]:
    """A range lo <= hi of exact numbers, within `most` of zero."""
    try:
        lo, hi = ends
    except (TypeError, ValueError):
        raise ValueError(f"`{name}` must be a range (lo, hi); got {ends!r:.60}.") from None
    exact = exact_number(name, lo), exact_number(name, hi)
    if not -most <= exact[0] <= exact[1] <= most:
        raise ValueError(
            f"`{name}` must be a range lo <= hi within {most:g} of zero; got {lo} to {hi}."
        )
    return exact
