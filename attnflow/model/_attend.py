"""Attention of many small systems at once, the batch last: exponentials are summed as they come, none is stored."""

import functools
import operator
from collections.abc import Iterable
from typing import TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array

from ..core.elementary import exp
from ._kernels import _exp
from ._times import added, settle, sums

# So many keys are summed in one loop. LLVM unrolls it then, and the loop over the batch around it vectorises.
_KEYS = 5
_KEYS_MASKED = 4
# Logits of at most this size need no shift: exp neither overflows nor vanishes, nor does any sum of 64.
_SAFE, _SAFE_SHORT = 300.0, 40.0  # float64, and float32


# Coordinate by coordinate, `(heads, tokens, batch)` each, or `(heads, tokens, width, batch)`.
Rows: TypeAlias = Array | tuple[Array, ...]


def attend(
    softmax: bool,
    q: Rows,
    k: Rows,
    values: Rows,
    scale: Array,
    bias: Array | None,
    allowed: Array | None,
    masses: Array | None,
) -> tuple[Array, ...]:
    r"""$\sum_h s_h \sum_j w_{hij} v_{hj}$, weights of the logits $q_{hi} \cdot k_{hj} + b_{hij}$.

    `(tokens, batch)` for each coordinate.

    **Arguments:**

    - `softmax`: whether weights of a row are divided by their sum; else by the number, or the mass, of the tokens.
    - `q`, `k`, `values`: heads and batch may be one.
    - `scale`: $s$, `(heads, 1, batch)`.
    - `bias`, `allowed`, `masses`: what broadcasts to `(heads, tokens, tokens, batch)`, or `None`.
    """
    return _attend(softmax, q, k, values, scale, bias, allowed, masses)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _attend(softmax, q, k, values, scale, bias, allowed, masses):
    shift = _shift(q, k, bias, allowed) if softmax else jnp.zeros(())
    q, k, values = (_coordinates(x) for x in (q, k, values))
    tokens = k[0].shape[1]
    most = _KEYS if allowed is None else _KEYS_MASKED
    pieces = -(-tokens // most)
    ends = [tokens * piece // pieces for piece in range(pieces + 1)]
    parts = []
    for some in map(slice, ends[:-1], ends[1:]):
        x = _logits(q, tuple(c[:, some] for c in k), None if bias is None else _of_keys(bias, some))
        e = exp(x - shift) if softmax else jnp.exp(x)
        if allowed is not None:
            e = jnp.where(_of_keys(allowed, some), e, 0)
        if masses is not None:
            e = e * _of_keys(masses, some)
        parts.append(sums((*(e * v[:, None, some] for v in values), e), 2))
    *weighed, mass = functools.reduce(added, parts)
    part = _part(softmax, scale, mass, allowed, masses, tokens)
    return sums(tuple(s * part for s in weighed), 0)


@_attend.defjvp
def _(softmax, primals, tangents):
    # Derivatives are those of the plain formula: with its weights stored it is faster to go through backwards.
    return jax.jvp(functools.partial(_plain, softmax), primals, tangents)


def _plain(softmax, q, k, values, scale, bias, allowed, masses):
    values = _coordinates(values)
    rows = _rows(settle(_logits(q, k, bias)), allowed, masses, scale, softmax)
    heads = max(rows.shape[0], values[0].shape[0])
    if values[0].shape[0] == 1:
        rows, heads = jnp.sum(rows, axis=0, keepdims=True), 1
    rows = settle(jnp.broadcast_to(rows, (heads, *rows.shape[1:])))
    return tuple(jnp.sum(rows * v[:, None], axis=(0, 2)) for v in values)


def total_of(terms: Iterable[Array]) -> Array:
    """The sum of some arrays, written out."""
    return functools.reduce(operator.add, terms)


def _of_keys(x: Array, some: slice) -> Array:
    return x if x.shape[2] == 1 else x[:, :, some]


def _coordinates(x: Rows) -> tuple[Array, ...]:
    return x if isinstance(x, tuple) else tuple(x[:, :, a] for a in range(x.shape[2]))


def _logits(q: Rows, k: Rows, bias: Array | None) -> Array:
    pairs = zip(_coordinates(q), _coordinates(k), strict=True)
    logits = total_of(a[:, :, None] * b[:, None] for a, b in pairs)
    return logits if bias is None else logits + bias


def _shift(q: Rows, k: Rows, bias: Array | None, allowed: Array | None) -> Array:
    # Taken off the logits of a row: zero, unless some logit of the system may be large; then the row's largest.
    bound = jnp.sqrt(_longest(q) * _longest(k))
    if bias is not None:
        bound = bound + jnp.max(jnp.abs(bias), axis=(0, 1, 2))
    large = bound > (_SAFE if bound.dtype == jnp.float64 else _SAFE_SHORT)

    def largest():
        logits = _logits(q, k, bias)
        return jnp.where(large, _largest(logits, allowed), 0)

    shape = jax.eval_shape(largest)
    return jax.lax.cond(jnp.any(large), largest, lambda: jnp.zeros(shape.shape, shape.dtype))


def _longest(x: Rows) -> Array:
    return jnp.max(total_of(c * c for c in _coordinates(x)), axis=(0, 1))


def _largest(logits: Array, allowed: Array | None) -> Array:
    seen = logits if allowed is None else jnp.where(allowed, logits, -jnp.inf)
    largest = jnp.max(seen, axis=2, keepdims=True)
    # Zero for a row that may attend to nobody; what is not a number stays so.
    return largest if allowed is None else jnp.where(jnp.isneginf(largest), 0, largest)


def _part(softmax, scale, mass, allowed, masses, tokens) -> Array:
    # What the sums of a row are multiplied by, `(heads, tokens, batch)`.
    if not softmax:
        return scale / (tokens if masses is None else jnp.sum(masses, axis=2))
    if allowed is not None:
        scale, mass = jnp.where(mass == 0, 0, scale), jnp.where(mass == 0, 1, mass)
    return scale / mass


def _rows(
    logits: Array, allowed: Array | None, masses: Array | None, scale: Array, softmax: bool
) -> Array:
    # `scale` times the kernels of `_kernels` along axis 2: one division a row, not one an entry.
    tokens = logits.shape[2]
    if not softmax:
        count = tokens if masses is None else jnp.sum(masses, axis=2, keepdims=True)
        return settle(_exp(logits, allowed, masses)) * (scale[:, :, None] / count)
    positive = settle(_exp(logits - settle(_largest(logits, allowed)), allowed, masses))
    total = settle(jnp.sum(positive, axis=2, keepdims=True))
    return positive * settle(_part(True, scale[:, :, None], total, allowed, masses, tokens))
