"""Products of arrays of tokens and matrices, with and without an axis of heads."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array

_HEADS = 8  # more are left to one batched product: programs do not grow with them


def rows_times(y: Array, matrix: Array) -> Array:
    """$M y_j$ for rows $y_j$: `(tokens, cols)` by `(*heads, rows, cols)` to `(*heads, tokens, rows)`."""
    if matrix.ndim == 2:
        return y @ matrix.T
    # One product with the heads side by side: a matmul would copy the tokens for each head.
    return jnp.einsum("jd,hed->hje", y, matrix)


def pair(x: Array, y: Array) -> Array:
    """$x_i^\top y_j$ for `(*heads, tokens, d)` and `(*heads, others, d)`, heads on either or both."""
    if x.ndim == 2 and y.ndim == 3:
        return jnp.einsum("id,hjd->hij", x, y)
    if x.ndim == 3 and y.ndim == 2:
        return jnp.einsum("hid,jd->hij", x, y)
    return jnp.matmul(x, jnp.swapaxes(y, -1, -2))


def by_head(a: Array, b: Array) -> Array:
    """The matrix products of `(heads, m, n)` and `(heads, n, k)`, one after the other.

    XLA's CPU compiler works a batch of them by loops of its own, and each alone by a library. Heads on one alone are
    a batch, as `jnp.matmul` has them.
    """
    if a.ndim != 3 or b.ndim != 3 or len(a) > _HEADS:
        return jnp.matmul(a, b)
    return jnp.stack([x @ y for x, y in zip(a, b, strict=True)])


def materialise(x: Array) -> Array:
    """`x`, computed once, although what uses it would fuse it in and compute it again.

    XLA's CPU compiler fuses `x` into a broadcast product `x[:, None] * y`, where it evaluates each
    sine of `x` once for every row of `y`, and it removes optimisation barriers. A product with a
    small identity matrix is exact, is not fused, and batches. (50 tokens in R^500, 2 heads: a
    diagonal of 1000 sines cost 0.45 ms an evaluation fused, 0.03 ms so.)
    """
    if x.size < 64:
        return x
    width = 8
    padded = jnp.pad(x.ravel(), (0, -x.size % width)).reshape(-1, width)
    eye = jnp.eye(width, dtype=x.dtype)
    same = jnp.matmul(padded, eye, precision=jax.lax.Precision.HIGHEST)
    return same.ravel()[: x.size].reshape(x.shape)


def times(a: Array, b: Array) -> Array:
    """The entrywise product, the one of lower rank (no head axis) repeated over the other's first axes."""
    rank = max(a.ndim, b.ndim)
    return a.reshape((1,) * (rank - a.ndim) + a.shape) * b.reshape((1,) * (rank - b.ndim) + b.shape)


def norms(matrices: Array) -> Array:
    """The largest singular value of each matrix, by a few steps of the power method from the longest row."""
    rows = jnp.sum(jnp.square(matrices), axis=-1)
    longest = jnp.argmax(rows, axis=-1)[..., None, None]
    v = jnp.take_along_axis(matrices, longest, axis=-2)[..., 0, :]
    norm = jnp.zeros(())
    for _ in range(3):
        v = v / jnp.maximum(jnp.linalg.norm(v, axis=-1, keepdims=True), jnp.finfo(v.dtype).tiny)
        w = jnp.einsum("...ij,...j->...i", matrices, v)
        norm = jnp.linalg.norm(w, axis=-1)
        v = jnp.einsum("...ij,...i->...j", matrices, w)
    return norm


def from_mean(schedule: Callable[[Array], Array], times: Array) -> Array:
    """Values of a schedule at some times, less their mean."""
    values = jax.lax.map(schedule, times).astype(times.dtype)
    return values - jnp.mean(values, axis=0, keepdims=True)
