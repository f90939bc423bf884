r"""Arrays of intervals that hold the exact results: NumPy, rounded outward.

An [`Interval`][] holds lower and upper ends, float64. Each sum, difference, product, quotient and root is rounded to
nearest by the machine (IEEE 754) and then moved outward by one number (`nextafter`), so that the interval
holds every value that its operands may have. sin, cos and exp are those of `_elementary.py`, moved
outward by their bounds of error.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ._elementary import ERROR, LARGEST, exponential, sincos
from ._types import Flags, Floats

PI = (float.fromhex("0x1.921fb54442d18p+1"), float.fromhex("0x1.921fb54442d19p+1"))


def down(x: Floats) -> Floats:
    """The number before."""
    return np.nextafter(x, -np.inf)


def up(x: Floats) -> Floats:
    """The number after."""
    return np.nextafter(x, np.inf)


@dataclass(frozen=True, eq=False)
class Interval:
    r"""$[\text{lo}, \text{hi}]$, element by element.

    **Attributes:**

    - `lo`, `hi`: the ends, float64 arrays of one shape, `lo <= hi`.

    The signs `+ - * /` take intervals and exact numbers.

    ```python
    from attnflow.cover import Interval
    x = Interval.of([0.1, 2.0], [0.2, 3.0])
    (x * x - x.sin()).hi
    ```
    """

    lo: Floats
    hi: Floats

    @staticmethod
    def of(lo: ArrayLike, hi: ArrayLike | None = None) -> Interval:
        """From ends; from exact numbers where there is one argument.

        **Raises:**

        - `ValueError`: an end that is no number, or ends in the wrong order.
        """
        a = np.atleast_1d(np.asarray(lo, np.float64))
        b = a if hi is None else np.atleast_1d(np.asarray(hi, np.float64))
        if not np.all(a <= b):
            raise ValueError("`lo` must not be above `hi`, and both must be numbers.")
        return Interval(a, b)

    @property
    def mid(self) -> Floats:
        """A number inside, near the middle."""
        return np.clip(0.5 * self.lo + 0.5 * self.hi, self.lo, self.hi)

    @property
    def width(self) -> Floats:
        """The upper end less the lower one, rounded up."""
        return up(self.hi - self.lo)

    def holds(self, x: Floats) -> Flags:
        """Whether a number is in it."""
        return (self.lo <= x) & (x <= self.hi)

    def meet(self, other: Interval) -> Interval:
        """What both hold; the lower end is above the upper one where that is nothing."""
        return Interval(np.maximum(self.lo, other.lo), np.minimum(self.hi, other.hi))

    def hull(self, other: Interval) -> Interval:
        """The smallest interval that holds both."""
        return Interval(np.minimum(self.lo, other.lo), np.maximum(self.hi, other.hi))

    def __neg__(self) -> Interval:
        return Interval(-self.hi, -self.lo)

    def __add__(self, other: Interval | float) -> Interval:
        other = _as(other)
        return Interval(down(self.lo + other.lo), up(self.hi + other.hi))

    __radd__ = __add__

    def __sub__(self, other: Interval | float) -> Interval:
        other = _as(other)
        return Interval(down(self.lo - other.hi), up(self.hi - other.lo))

    def __rsub__(self, other: float) -> Interval:
        return _as(other) - self

    def __mul__(self, other: Interval | float) -> Interval:
        other = _as(other)
        ends = (self.lo * other.lo, self.lo * other.hi, self.hi * other.lo, self.hi * other.hi)
        low = np.minimum(np.minimum(ends[0], ends[1]), np.minimum(ends[2], ends[3]))
        high = np.maximum(np.maximum(ends[0], ends[1]), np.maximum(ends[2], ends[3]))
        return Interval(down(low), up(high))

    __rmul__ = __mul__

    def __truediv__(self, other: Interval | float) -> Interval:
        """A divisor that holds zero gives everything."""
        other = _as(other)
        zero = (other.lo <= 0) & (other.hi >= 0)
        one = np.ones_like(other.lo)
        a, b = np.where(zero, one, other.lo), np.where(zero, one, other.hi)
        ends = (self.lo / a, self.lo / b, self.hi / a, self.hi / b)
        low = down(np.minimum(np.minimum(ends[0], ends[1]), np.minimum(ends[2], ends[3])))
        high = up(np.maximum(np.maximum(ends[0], ends[1]), np.maximum(ends[2], ends[3])))
        return Interval(np.where(zero, -np.inf, low), np.where(zero, np.inf, high))

    def square(self) -> Interval:
        """Never below zero."""
        a, b = self.lo * self.lo, self.hi * self.hi
        inside = (self.lo < 0) & (self.hi > 0)
        low = np.where(inside, 0.0, down(np.minimum(a, b)))
        return Interval(np.maximum(low, 0.0), up(np.maximum(a, b)))

    def sqrt(self) -> Interval:
        """Of what is not below zero in it."""
        low = down(np.sqrt(np.maximum(self.lo, 0.0)))
        return Interval(np.maximum(low, 0.0), up(np.sqrt(np.maximum(self.hi, 0.0))))

    def exp(self) -> Interval:
        """Ends within 64 of zero."""
        _demand_near(self)
        low, high = exponential(self.lo), exponential(self.hi)
        return Interval(down(low * (1 - 2 * ERROR)), up(high * (1 + 2 * ERROR)))

    def cos(self) -> Interval:
        """Ends within 64 of zero."""
        return _wave(self, 0.0)

    def sin(self) -> Interval:
        """Ends within 64 of zero."""
        return _wave(self, 0.5)


def _as(x: Interval | float) -> Interval:
    return x if isinstance(x, Interval) else Interval.of(x)


def _demand_near(x: Interval) -> None:
    if not (np.all(x.lo >= -LARGEST) and np.all(x.hi <= LARGEST)):
        raise ValueError(f"intervals of sin, cos and exp must lie within {LARGEST:g} of zero.")


def _wave(x: Interval, shift: float) -> Interval:
    """cos(x - shift pi): its ends, 1 where a multiple 2k of pi + shift pi may be inside, -1 where 2k + 1 may."""
    _demand_near(x)
    which = int(shift == 0.0)
    at_lo, at_hi = sincos(x.lo)[which], sincos(x.hi)[which]
    low, high = np.minimum(at_lo, at_hi) - 2 * ERROR, np.maximum(at_lo, at_hi) + 2 * ERROR
    # In units of pi, far enough outward for the roundings of both operations.
    a, b = x.lo / np.pi - shift - 1e-13, x.hi / np.pi - shift + 1e-13
    top = np.floor(b / 2) * 2 >= a
    bottom = np.floor((b - 1) / 2) * 2 + 1 >= a
    return Interval(
        np.where(bottom, -1.0, np.maximum(low, -1.0)), np.where(top, 1.0, np.minimum(high, 1.0))
    )
