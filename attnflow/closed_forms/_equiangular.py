"""The time that equiangular tokens take to come together, and their cosine at a time, by quadrature."""

import math
import operator

import numpy as np
from numpy.typing import ArrayLike

from ..core.checks import choose, number, numbers

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(20)
LARGEST = 700.0  # exp(700) is about the largest number that a float holds
_END = 760.0  # of z: e^-760 is below the smallest


def equiangular_time(
    cosine: ArrayLike,
    beta: ArrayLike,
    tokens: int,
    *,
    start: float = 0.0,
    kernel: str = "softmax",
) -> np.float64 | np.ndarray:
    r"""When `tokens` tokens that all have the cosine `start` with one another reach `cosine`.

    Under full attention on the sphere with `U = I`, `P = beta I` and `scale = 1` they stay
    equiangular, and their common cosine γ obeys, with ℓ tokens,

        softmax:  γ' = 2 e^{βγ} (1 - γ) ((ℓ-1)γ + 1) / (e^β + (ℓ-1) e^{βγ})
        exp:      γ' = (2/ℓ) e^{βγ} (1 - γ) ((ℓ-1)γ + 1)

    Orthonormal tokens (`start = 0`) stand for random ones in high dimension: there their cosines
    are small, and stay close to one another. Good to about 1e-12 of the time.

    **Arguments:**

    - `cosine`: the cosine to reach, in [`start`, 1).
    - `beta`: β, of either sign and at most 700 in size; broadcast against `cosine`.
    - `tokens`: ℓ, at least 2.
    - `start`: the cosine at `t = 0`, above `-1/(tokens - 1)`.
    - `kernel`: `"softmax"`, or `"exp"` for its sum over ℓ in place of the normalisation.

    **Returns:**

    The times in float64, of the shape that `cosine` and `beta` have together; infinite where a
    float is too small for them.

    **Raises:**

    - `ValueError`: an argument outside what is said above.

    Source: Geshkovski, Letrouit, Polyanskiy and Rigollet, arXiv:2312.10794, on orthogonal starts.

    ```python
    af.theory.equiangular_time(0.999, [0.0, 1.0, 4.0], tokens=32)
    ```
    """
    # === check arguments
    tokens, start = _setting(tokens, start, kernel)
    cosine, beta = numbers("cosine", cosine), _betas(beta)
    bad = ~((cosine >= start) & (cosine < 1))
    if bad.any():
        raise ValueError(
            f"`cosine` must be in [start, 1), where start is {start}; got {cosine[bad].flat[0]}."
        )
    cosine, beta = np.broadcast_arrays(cosine, beta)

    # === integrate
    others = tokens - 1
    z = math.log1p(others * start) - math.log1p(-start)
    # The way to go in z, with its digits where it is short.
    step = cosine - start
    way = np.log1p(others * step / (1 + others * start)) + np.log1p(step / (1 - cosine))
    fineness = _fineness(float(np.abs(beta).max(initial=0)))
    panels = max(1, math.ceil(float(way.max(initial=0)) * fineness))
    width = way / panels
    total = np.zeros_like(way)
    with np.errstate(over="ignore", invalid="ignore"):
        for panel in range(panels):
            for node, weight in zip(_NODES, _WEIGHTS, strict=True):
                at = z + width * (panel + (1 + node) / 2)
                total += weight / 2 * _slope(at, beta, tokens, kernel)
        return np.where(way > 0, total * width, 0)[()]


def equiangular_cosine(
    t: ArrayLike,
    beta: ArrayLike,
    tokens: int,
    *,
    start: float = 0.0,
    kernel: str = "softmax",
) -> np.float64 | np.ndarray:
    r"""The common cosine γ of equiangular tokens at the time `t`: [`equiangular_time`][] inverted.

    Good to 1e-12, or to what an error of 1e-13 of `t` does to it where that is more: long before they
    meet under a large β. Near 1 ask [`equiangular_gap`][].

    **Arguments:**

    - `t`: times, zero or more.
    - `beta`: β, of either sign and at most 700 in size; broadcast against `t`.
    - `tokens`, `start`, `kernel`: as in [`equiangular_time`][].

    **Returns:**

    Cosines in float64, of the shape that `t` and `beta` have together.

    **Raises:**

    - `ValueError`: an argument outside what is said above.

    Source: Geshkovski, Letrouit, Polyanskiy and Rigollet, arXiv:2312.10794, on orthogonal starts.

    ```python
    af.theory.equiangular_cosine([1.0, 5.0], 1.0, tokens=8)  # 0.362586879849, 0.999443470754
    ```
    """
    z = _reached(t, beta, tokens, start, kernel)
    small = np.exp(-np.abs(z))
    # (e^z - 1)/(e^z + ℓ - 1), and the same with e^-z where e^z is large
    up = -np.expm1(-np.abs(z)) / (1 + (tokens - 1) * small)
    down = np.expm1(-np.abs(z)) / (small + (tokens - 1))
    return np.where(z > 0, up, down)[()]


def equiangular_gap(
    t: ArrayLike,
    beta: ArrayLike,
    tokens: int,
    *,
    start: float = 0.0,
    kernel: str = "softmax",
) -> np.float64 | np.ndarray:
    r"""$1 - \gamma$ at the time `t`, with its digits down to 1e-300: what [`equiangular_cosine`][] rounds.

    It falls as $e^{-2t}$ in the end under softmax and as $e^{-2 e^\beta t}$ under exp. The misalignment
    (paper, eq. 9) is `(tokens - 1)/tokens` of it. Its relative error is about 1e-12, or what an error of
    1e-13 of `t` does to it where that is more.

    **Arguments, returns and raises:** as those of [`equiangular_cosine`][]; zero where a float is too
    large for the gap.

    ```python
    af.theory.equiangular_gap(300.0, 1.0, tokens=8)  # 1e-259, where the cosine is 1
    ```
    """
    z = _reached(t, beta, tokens, start, kernel)
    small = np.exp(-np.abs(z))
    up = tokens * small / (1 + (tokens - 1) * small)
    return np.where(z > 0, up, tokens / (small + (tokens - 1)))[()]


# In z = log((1 + (ℓ-1)γ) / (1 - γ)) both factors of γ' drop out, and dt/dz is smooth and bounded:
# (ℓ-1 + e^{β(1-γ)}) / 2ℓ, or e^{-βγ} / 2.


def _slope(
    z: np.float64 | np.ndarray, beta: np.float64 | np.ndarray, tokens: int, kernel: str
) -> np.float64 | np.ndarray:
    """dt/dz."""
    others = tokens - 1
    small = np.exp(-np.abs(z))
    if kernel == "softmax":
        gap = (
            tokens * np.where(z > 0, small, 1) / np.where(z > 0, 1 + others * small, small + others)
        )
        return (others + np.exp(beta * gap)) / (2 * tokens)
    cosine = np.where(z > 0, 1 - small, small - 1) / np.where(
        z > 0, 1 + others * small, small + others
    )
    return np.exp(-beta * cosine) / 2


def _fineness(beta: float) -> float:
    """Panels per unit of z: |d(βγ)/dz| is at most |β|/2, so that the exponent changes by 4 in one."""
    return max(4.0, beta / 8)


def _reached(t: ArrayLike, beta: ArrayLike, tokens: int, start: float, kernel: str) -> np.ndarray:
    """z at the times `t`."""
    tokens, start = _setting(tokens, start, kernel)
    t, beta = numbers("t", t), _betas(beta)
    bad = ~((t >= 0) & np.isfinite(t))
    if bad.any():
        raise ValueError(f"`t` must be finite and zero or more; got {t[bad].flat[0]}.")
    t, beta = np.broadcast_arrays(t, beta)
    out = np.empty(t.shape)
    for value in np.unique(beta):
        at = beta == value
        out[at] = _invert(t[at], float(value), tokens, start, kernel)
    return out


def _invert(t: np.ndarray, beta: float, tokens: int, start: float, kernel: str) -> np.ndarray:
    """z at the times `t` for one β: its panel by the times at all panels' ends, then Newton's steps."""
    z = math.log1p((tokens - 1) * start) - math.log1p(-start)
    width = 1 / _fineness(abs(beta))
    slope = lambda at: _slope(at, np.float64(beta), tokens, kernel)  # noqa: E731

    def elapsed(left, length):
        """The time from `left` to `left + length`."""
        at = left[:, None] + length[:, None] * ((1 + _NODES) / 2)[None, :]
        total = np.sum(slope(at) * (_WEIGHTS / 2)[None, :], axis=1)
        return np.where(length > 0, total * length, 0)

    with np.errstate(over="ignore", invalid="ignore"):
        lefts = z + width * np.arange(math.ceil((_END - z) / width))
        ends = np.cumsum(elapsed(lefts, np.full_like(lefts, width)), dtype=np.longdouble)
        panel = np.minimum(np.searchsorted(ends, t), len(lefts) - 1)
        begun = np.concatenate([np.zeros(1, np.longdouble), ends])[panel]
        left, rest = lefts[panel], (t - begun).astype(np.float64)
        # Within a panel dt/dz changes by a factor of e^4 at most; halving catches steps out of bounds.
        low, high = np.zeros_like(rest), np.full_like(rest, width)
        length = width / 2 * np.ones_like(rest)
        for _ in range(60):
            over = elapsed(left, length) - rest
            high, low = np.where(over > 0, length, high), np.where(over > 0, low, length)
            step = length - over / slope(left + length)
            length = np.where((step >= low) & (step <= high), step, (low + high) / 2)
        # Past the last panel no float holds the gap.
        return np.where(t > ends[-1], np.inf, left + length)


def _setting(tokens: int, start: float, kernel: str) -> tuple[int, float]:
    choose("kernel", kernel, ("softmax", "exp"))
    try:
        tokens = operator.index(tokens)
    except TypeError:
        raise ValueError(f"`tokens` must be an integer from 2 on; got {tokens!r}.") from None
    if tokens < 2:
        raise ValueError(f"`tokens` must be an integer from 2 on; got {tokens}.")
    start = number("start", start)
    if not -1 / (tokens - 1) < start < 1:
        raise ValueError(
            f"`start` must lie between -1/(tokens - 1) = {-1 / (tokens - 1):.6g} and 1, both left "
            f"out; got {start}."
        )
    return tokens, start


def _betas(beta: ArrayLike) -> np.ndarray:
    beta = numbers("beta", beta)
    bad = ~(np.abs(beta) <= LARGEST)
    if bad.any():
        raise ValueError(
            f"`beta` must be at most {LARGEST:g} in size; got {beta[bad].flat[0]}, for which no "
            "float holds the times."
        )
    return beta
