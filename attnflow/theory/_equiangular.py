"""The time that equiangular tokens take to come together, by quadrature of their one equation."""

import math
import operator

import numpy as np
from numpy.typing import ArrayLike

from .._checks import choose

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(20)
_LARGEST = 700.0  # exp(700) is about the largest number that a float holds


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
    choose("kernel", kernel, ("softmax", "exp"))
    try:
        tokens = operator.index(tokens)
    except TypeError:
        raise ValueError(f"`tokens` must be an integer from 2 on; got {tokens!r}.") from None
    if tokens < 2:
        raise ValueError(f"`tokens` must be an integer from 2 on; got {tokens}.")
    others = tokens - 1
    start = float(start)
    if not -1 / others < start < 1:
        raise ValueError(
            f"`start` must lie between -1/(tokens - 1) = {-1 / others:.6g} and 1, both left out; "
            f"got {start}."
        )
    cosine, beta = np.asarray(cosine, np.float64), np.asarray(beta, np.float64)
    bad = ~((cosine >= start) & (cosine < 1))
    if bad.any():
        raise ValueError(
            f"`cosine` must be in [start, 1), where start is {start}; got {cosine[bad].flat[0]}."
        )
    bad = ~(np.abs(beta) <= _LARGEST)
    if bad.any():
        raise ValueError(
            f"`beta` must be at most {_LARGEST:g} in size; got {beta[bad].flat[0]}, for which no "
            "float holds the times."
        )
    cosine, beta = np.broadcast_arrays(cosine, beta)

    # === integrate
    # In z = log((1 + (ℓ-1)γ) / (1 - γ)) both factors of γ' drop out, and dt/dz is smooth and
    # bounded: (ℓ-1 + e^{β(1-γ)}) / 2ℓ, or e^{-βγ} / 2.
    z = math.log1p(others * start) - math.log1p(-start)
    # The way to go in z, with its digits where it is short.
    step = cosine - start
    way = np.log1p(others * step / (1 + others * start)) + np.log1p(step / (1 - cosine))
    # |d(βγ)/dz| is at most |β|/2, so that in a panel the exponent changes by 4 or less.
    fineness = max(4.0, float(np.abs(beta).max(initial=0)) / 8)
    panels = max(1, math.ceil(float(way.max(initial=0)) * fineness))
    width = way / panels
    total = np.zeros_like(way)
    with np.errstate(over="ignore"):
        for panel in range(panels):
            for node, weight in zip(_NODES, _WEIGHTS, strict=True):
                at = z + width * (panel + (1 + node) / 2)
                power = np.exp(at) + others
                if kernel == "softmax":
                    slope = (others + np.exp(beta * (tokens / power))) / (2 * tokens)
                else:
                    slope = np.exp(-beta * (np.expm1(at) / power)) / 2
                total += weight / 2 * slope
        return (total * width)[()]
