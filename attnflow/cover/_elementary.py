r"""sin, cos and exp of float64 numbers by sums and products alone, with bounds of their errors.

The sine of NumPy, or of a C library, comes with no bound that one may rest a proof on. These are Taylor
polynomials, and all that they ask of the machine is that `+`, `-`, `*` round to nearest (IEEE 754), and that
scaling by a power of two is exact.

*Reduction.* $x = k\,\pi/2 + r$ with $\pi/2 = A + B + C + \epsilon$, where $A$ and $B$ have 33 bits, so that $kA$ and
$kB$ are exact for $|k| < 2^{20}$, and $|\epsilon| < 10^{-36}$. $x - kA$ is exact: both are multiples of an ulp of the
smaller, and their difference is below 1. Two roundings are left, of numbers below 1: $r$ is wrong by at
most $2 \cdot 2^{-54} + 10^{-24}$. For exp, $\ln 2$ is split the same way, and $|r| < 0.35$.

*Polynomials.* The first term left out is below $0.79^{19}/19! < 10^{-19}$ for sin,
$0.79^{18}/18! < 3\cdot10^{-18}$ for cos, and $0.35^{14}/14! < 5\cdot10^{-18}$ for exp. Horner's last step adds
to a number of size at most 1 (1.42 for exp) a smaller one: half an ulp of the sum, and a few $2^{-53}$ of the
smaller. All in all less than $4\cdot10^{-16}$ for each.

So `ERROR` is more than twice what can happen: absolute for `sincos`, relative for `exponential`.
"""

import numpy as np

from ._types import Floats

ERROR = 1e-15
LARGEST = 64.0

# pi/2 and ln 2 in pieces of 33 bits and a rest.
_HALF_PI = (float.fromhex("0x1.921fb54400000p+0"), float.fromhex("0x1.0b4611a600000p-34"))
_HALF_PI_REST = float.fromhex("0x1.3198a2e037073p-69")
_LN2 = (float.fromhex("0x1.62e42fee00000p-1"), float.fromhex("0x1.a39ef35793c76p-33"))

_FACTORIALS = np.cumprod(np.concatenate([[1.0], np.arange(1.0, 19.0)]))
_SIN = [(-1) ** i / _FACTORIALS[2 * i + 1] for i in range(1, 9)]
_COS = [(-1) ** i / _FACTORIALS[2 * i] for i in range(2, 9)]
_EXP = [1 / _FACTORIALS[i] for i in range(2, 14)]


def _horner(coefficients: list, z: Floats) -> Floats:
    total = np.full_like(z, coefficients[-1])
    for c in coefficients[-2::-1]:
        total *= z
        total += c
    return total


def sincos(x: Floats) -> tuple[Floats, Floats]:
    r"""Sine and cosine of numbers in $[-64, 64]$, each within `ERROR`."""
    k = np.rint(x * (2 / np.pi))
    r = ((x - k * _HALF_PI[0]) - k * _HALF_PI[1]) - k * _HALF_PI_REST
    z = r * r
    s = r + r * (z * _horner(_SIN, z))
    c = 1 - (z * 0.5 - z * z * _horner(_COS, z))
    turn = k.astype(np.int64) & 3
    odd = (turn & 1).astype(bool)
    sine, cosine = np.where(odd, c, s), np.where(odd, s, c)
    np.negative(sine, out=sine, where=turn >= 2)
    np.negative(cosine, out=cosine, where=(turn == 1) | (turn == 2))
    return sine, cosine


def exponential(x: Floats) -> Floats:
    r"""$e^x$ of numbers in $[-64, 64]$, within `ERROR` times itself."""
    k = np.rint(x * (1 / np.log(2)))
    r = (x - k * _LN2[0]) - k * _LN2[1]
    p = 1 + (r + r * r * _horner(_EXP, r))
    return np.ldexp(p, k.astype(np.int32))
