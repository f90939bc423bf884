"""The exponential and the sine of many float64 numbers at once, in operations that vectorise.

XLA's CPU compiler calls the C library for each sine, one number at a time, and its exponential divides and guards
against more than attention can meet. These have no branch, and are as near to the exact values: polynomials of the
remainder, minimax to 2e-17, fitted in 50 digits.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

_LOG2E = 1.4426950408889634
# ln 2 and pi/2 in parts: multiples of the first ones, by whole numbers that occur, are exact.
_LN2 = (0.6931471804855391, 7.440617110012397e-11)
_HALF_PI = (1.570796012878418, 3.139164164167596e-07, 6.223371969669989e-14, 2.0222662487959506e-21)
# exp r = 1 + r + r^2 sum c_k r^k, for |r| up to ln(2) / 2.
_EXP = (
    0.5000000000000001,
    0.16666666666666669,
    0.04166666666662413,
    0.008333333333330062,
    0.0013888888917213717,
    0.00019841269863053618,
    2.4801521295954376e-05,
    2.7557268459997064e-06,
    2.7620088445409746e-07,
    2.510038549551032e-08,
)
# sin r = r + r^3 sum c_k r^2k and cos r = 1 - r^2/2 + r^4 sum c_k r^2k, for |r| up to pi/4.
_SIN = (
    -0.16666666666666666,
    0.008333333333330946,
    -0.0001984126983675497,
    2.755731610068303e-06,
    -2.5051131455427946e-08,
    1.591810123027412e-10,
)
_COS = (
    0.041666666666666664,
    -0.0013888888888887395,
    2.4801587298763433e-05,
    -2.7557317270560326e-07,
    2.0876146024689747e-09,
    -1.1382614868556325e-11,
)
# Added to a whole number it leaves that number, as two's complement, in the last bits.
_ALIGN = 1.5 * 2.0**52
_LEAST = -708.0  # below it exp is no normal number


def _polynomial(coefficients: tuple[float, ...], x: Array, square: Array) -> Array:
    # Even and odd powers apart: two short chains of products in place of a long one.
    even, odd = coefficients[::2], coefficients[1::2]
    return _horner(even, square) + x * _horner(odd, square)


def _horner(coefficients: tuple[float, ...], x: Array) -> Array:
    out = jnp.full_like(x, coefficients[-1])
    for c in coefficients[-2::-1]:
        out = out * x + c
    return out


def _whole(x: Array) -> Array:
    return jax.lax.round(x, jax.lax.RoundingMethod.TO_NEAREST_EVEN)


def _bits(x: Array) -> Array:
    return jax.lax.bitcast_convert_type(x, jnp.int64)


def _fits(x: Array) -> bool:
    return x.dtype == jnp.float64


@jax.custom_jvp
def exp(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """$e^x$ for $x$ up to 709, within 1.1 units in the last place; $e^{-708}$ for what is less.

    NaN stays NaN. Dtypes other than float64 have JAX's own.
    """
    if not _fits(x):
        return jnp.exp(x)
    x = jnp.maximum(x, _LEAST)
    n = _whole(x * _LOG2E)
    r = (x - n * _LN2[0]) - n * _LN2[1]
    square = r * r
    part = 1 + (r + square * _polynomial(_EXP, r, square))
    power = jax.lax.bitcast_convert_type(_bits(n + (_ALIGN + 1023)) << 52, jnp.float64)
    return part * power


@exp.defjvp
def _(primals, tangents):
    out = exp(primals[0])
    return out, out * tangents[0]


@jax.custom_jvp
def sin(x: Float[Array, "..."]) -> Float[Array, "..."]:
    r"""$\sin x$, within $2^{-52}$ up to $10^9$ radians; beyond, the sine of a number as near to $x$ as a rounding is.

    Dtypes other than float64 have JAX's own.
    """
    if not _fits(x):
        return jnp.sin(x)
    n = _whole(x * (2 / jnp.pi))
    r = x
    for part in _HALF_PI:
        r = r - n * part
    r = jnp.clip(r, -1.0, 1.0)  # beyond 10^15 the remainder is noise
    z = r * r
    quarter = _bits(n + _ALIGN)
    sine = r + r * z * _horner(_SIN, z)
    cosine = 1 - (0.5 * z - z * z * _horner(_COS, z))
    out = jnp.where((quarter & 1) == 1, cosine, sine)
    return jax.lax.bitcast_convert_type(_bits(out) ^ ((quarter & 2) << 62), jnp.float64)


@sin.defjvp
def _(primals, tangents):
    x = primals[0]
    return sin(x), sin(x + jnp.asarray(jnp.pi / 2, x.dtype)) * tangents[0]
