r"""Ranges of the pull between two tokens and of its slope, over boxes of angles and of beta.

$$ k(x) = e^{\beta\cos x}\sin x, \qquad k'(x) = e^{\beta\cos x}(\cos x - \beta\sin^2 x) $$

with $x \in [0, 2\pi]$ the angle from one token to the other. Their critical points are known:

- $k' = 0$ where $\cos x = c^* = 2\beta / (1 + \sqrt{1 + 4\beta^2})$, a maximum of $k$ in $[0, \pi]$, a minimum
  in $[\pi, 2\pi]$;
- $k'' = -\sin x\, e^{\beta\cos x}(1 + 3\beta\cos x - \beta^2\sin^2 x) = 0$ at multiples of $\pi$ and where
  $\beta\cos x = u = 2(\beta^2 - 1) / (3 + \sqrt{5 + 4\beta^2})$. (The other root has $|u| \geq |\beta|$.)

So the extremes in x at one beta are at ends of the box and at critical points inside it. In beta, $k$ is monotone for
each x: its extremes are at the ends. Of $k'$ the second derivative in beta is
$e^{\beta c}\,c\,(c^2 - 2s^2 - \beta c s^2)$, of size at most $M = e^{|\beta|}(2 + 0.4|\beta|)$, so that
between the ends $k'$ is within $M (\beta_1 - \beta_0)^2/8$ of the numbers between its values there.

*Rounding.* sin, cos, exp are within $10^{-15}$ (`_elementary.py`), hence $k$ within
$3 \cdot 10^{-15}\,e^{|\beta|}(1 + |\beta|)$ and $k'$ within $5 \cdot 10^{-15}\,e^{|\beta|}(1 + |\beta|)^2$.
`unit` is a bound with room for the sums made of them.
"""

from typing import NamedTuple

import numpy as np

from ._elementary import exponential, sincos
from ._types import Floats

TWO_PI_UP = float.fromhex("0x1.921fb54442d19p+2")
MOST_BETA = 16.0
_NEAR = 1e-13  # of cosines, one of which is that of a critical point


class Ranges(NamedTuple):
    """Lower and upper bounds of k and of its slope, `(boxes, pairs)`, up to `unit`."""

    k_lo: Floats
    k_hi: Floats
    slope_lo: Floats
    slope_hi: Floats


def unit(beta_lo: Floats, beta_hi: Floats) -> Floats:
    r"""$10^{-13} e^{|\beta|}(1 + |\beta|)^2$: ten times the error of any one value of `ranges`.

    A sum of m of them with weights w, in any order, is wrong by less than this times the sum of |w|, for m <= 100.
    """
    b = np.maximum(np.abs(beta_lo), np.abs(beta_hi))
    return 1e-13 * exponential(b) * (1 + b) ** 2


def ranges(x_lo: Floats, x_hi: Floats, beta_lo: Floats, beta_hi: Floats) -> Ranges:
    r"""Bounds over $x \in [x_0, x_1] \cap [0, 2\pi]$, shape `(boxes, pairs)`, and beta, `(boxes, 1)`."""
    x_lo, x_hi = np.minimum(x_lo, TWO_PI_UP), np.minimum(x_hi, TWO_PI_UP)
    s0, c0 = sincos(x_lo)
    s1, c1 = sincos(x_hi)
    # Sides of pi, each on the side that admits more.
    left, right = x_lo <= 3.2, x_hi >= 3.1
    at_pi = (x_lo <= np.pi + 1e-9) & (x_hi >= np.pi - 1e-9)
    by_end = []
    for beta in (beta_lo, beta_hi):
        e0, e1 = exponential(beta * c0), exponential(beta * c1)
        k0, k1 = e0 * s0, e1 * s1
        star = 2 * beta / (1 + np.sqrt(1 + 4 * beta**2))
        most = exponential(beta * star) * np.sqrt(1 - star**2)
        above, below = _crossed(c0, c1, star, left, right)
        k_hi = np.where(above, most, np.maximum(k0, k1))
        k_lo = np.where(below, -most, np.minimum(k0, k1))
        d0, d1 = e0 * (c0 - beta * s0**2), e1 * (c1 - beta * s1**2)
        d_lo, d_hi = np.minimum(d0, d1), np.maximum(d0, d1)
        middle = np.where(at_pi, -exponential(-beta), d_lo)
        d_lo, d_hi = np.minimum(d_lo, middle), np.maximum(d_hi, middle)
        u = 2 * (beta**2 - 1) / (3 + np.sqrt(5 + 4 * beta**2))
        there = np.abs(u) <= np.abs(beta) * (1 + _NEAR)
        c = np.clip(u / np.where(there & (beta != 0), beta, 1.0), -1.0, 1.0)
        above, below = _crossed(c0, c1, c, left, right)
        extreme = np.where(
            there & (above | below), exponential(beta * c) * (c - beta * (1 - c**2)), d_lo
        )
        by_end.append((k_lo, k_hi, np.minimum(d_lo, extreme), np.maximum(d_hi, extreme)))
    one, two = by_end
    b = np.maximum(np.abs(beta_lo), np.abs(beta_hi))
    bend = exponential(b) * (2 + 0.4 * b) * (beta_hi - beta_lo) ** 2 / 8
    return Ranges(
        np.minimum(one[0], two[0]),
        np.maximum(one[1], two[1]),
        np.minimum(one[2], two[2]) - bend,
        np.maximum(one[3], two[3]) + bend,
    )


def _crossed(c0: Floats, c1: Floats, c: Floats, left: np.ndarray, right: np.ndarray):
    """Whether the angle of cosine c in [0, pi] may be in the box, and the one in [pi, 2 pi]."""
    first = left & (c0 >= c - _NEAR) & (right | (c1 <= c + _NEAR))
    second = right & (c1 >= c - _NEAR) & (left | (c0 <= c + _NEAR))
    return first, second
