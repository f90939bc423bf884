"""The field of many small systems at once: the batch is the last axis, sums over coordinates are written out.

Under `vmap` a product of ten tokens with a 3 by 3 matrix becomes a batched matrix product, which
compilers do one small product at a time. With the batch as the last axis every operation is a loop
over lanes of the batch that vectorises.
"""

import functools
import operator
from collections.abc import Callable, Iterable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..geometry import Euclidean, Sphere
from ..schedules import AbstractSchedule, Constant, QueryKey, normalised, turned
from ._field import AttentionField
from ._kernels import Exponential, Softmax, _exp
from ._normalisations import Post
from ._rescaled import Rescaled

_DIM, _TOKENS = 4, 64


def fits_columns(field: AttentionField, tokens: int) -> bool:
    """Whether `columns` can evaluate this kind of field, and is the faster way to: by type and shape."""
    return (
        field.dim <= _DIM
        and tokens <= _TOKENS
        and type(field.manifold) in (Sphere, Euclidean)
        and type(field.normalisation) in (Post, Rescaled)
        and type(field.kernel) in (Softmax, Exponential)
        and field.drift is None
        and (field.matrix_scores or (type(field.P) is QueryKey and _width(field.P) <= 2 * _DIM))
    )


def _width(P: QueryKey) -> int:
    # Of queries; asked of shapes alone too, where arrays have no values.
    return eqx.filter_eval_shape(lambda Q: Q(jnp.zeros(())), P.Q).shape[-2]


def settle(x: Array) -> Array:
    """`x`, computed once and stored, although what uses it would fuse it in and compute it again.

    XLA's CPU compiler fuses an exponential into each sum that uses it and evaluates it there anew,
    and it removes optimisation barriers. A conditional it cannot decide makes it store its operand;
    the predicate is true of any bits.
    """
    first = x[(0,) * x.ndim]
    unsigned = jnp.uint64 if x.dtype.itemsize == 8 else jnp.uint32
    true = (jax.lax.bitcast_convert_type(first, unsigned) | unsigned(1)) != 0
    return jax.lax.cond(true, lambda x: x, jnp.zeros_like, x)


def columns(
    field: AttentionField,
    axes: Any,
    t: Float[Array, " batch"],
    y: Float[Array, "tokens dim batch"],
) -> Float[Array, "tokens dim batch"]:
    r"""$\dot y$ of eq. (6) for a batch of systems, one a column.

    **Arguments:**

    - `field`: of a kind that `fits_columns` accepts; leaves marked in `axes` have a leading batch axis.
    - `axes`: a pytree like `field`: 0 for leaves that differ from system to system, else `None`.
    - `t`: a time for each system.
    - `y`: tokens, the batch last.
    """
    tokens, dim, _ = y.shape

    def differs(part: Any) -> bool:
        return bool(jax.tree.leaves(part))

    def by_system(get: Callable[[Any], Any], part: Any) -> Array:
        # An array of the field, the batch last; of length one where it is the same for all.
        if not differs(part):
            return get(field)[..., None]
        return eqx.filter_vmap(get, in_axes=(axes,), out_axes=-1)(field)

    def at_times(get: Callable[[Any], AbstractSchedule]) -> Array:
        schedule = get(field)
        constant = isinstance(schedule, Constant) and schedule.is_constant()
        if constant and not differs(get(axes)):
            return get(field)(t[0]).astype(y.dtype)[..., None]
        each = eqx.filter_vmap(lambda f, t: get(f)(t), in_axes=(axes, 0), out_axes=-1)
        return settle(each(field, t).astype(y.dtype))

    def of_tokens(matrices: Array) -> Array:
        # M_h y_j for every head and token: (heads, tokens, dim, batch).
        matrices = matrices.reshape(-1, *matrices.shape[-3:])
        return settle(_sum(matrices[:, None, :, b] * y[None, :, None, b] for b in range(dim)))

    if type(field.P) is QueryKey:
        logits = _of_queries_and_keys(field.P, axes.P, at_times, of_tokens, by_system)
    else:
        scores = of_tokens(at_times(lambda f: f.P))
        logits = _sum(y[None, :, None, a] * scores[:, None, :, a] for a in range(dim))
    if field.mask.bias() is not None:
        bias = by_system(lambda f: f.mask.bias().astype(y.dtype), axes.mask)
        logits = logits + bias.reshape(-1, *bias.shape[-3:])
    allowed = masses = None
    if field.mask.allowed(tokens) is not None:
        allowed = by_system(lambda f: f.mask.allowed(tokens), axes.mask)
        allowed = allowed.reshape(-1, *allowed.shape[-3:])
    if field.weights is not None:
        masses = by_system(lambda f: f.weights.astype(y.dtype), axes.weights)[None, None]
        allowed = masses > 0 if allowed is None else allowed & (masses > 0)
    scale = by_system(lambda f: f.scale.astype(y.dtype), axes.scale)[None, None, None]
    rows = _rows(settle(logits), allowed, masses, scale, type(field.kernel) is Softmax)

    multiple = field.U is not None and field.U.identity_coefficient() is not None
    if multiple:
        c = at_times(lambda f: f.U.identity_coefficient())
        rows = rows * c.reshape(-1, 1, 1, c.shape[-1])
    if field.U is None or multiple:
        values = y[None]
    else:
        values = of_tokens(at_times(lambda f: f.U))
    if values.shape[0] == 1:
        rows = jnp.sum(rows, axis=0, keepdims=True)
    rows = settle(jnp.broadcast_to(rows, (values.shape[0], *rows.shape[1:])))
    A = [jnp.sum(rows * values[:, None, :, a], axis=(0, 2)) for a in range(dim)]
    A = settle(jnp.stack(A, axis=1))

    if field.manifold.flat:
        velocity = A
        if isinstance(field.normalisation, Rescaled):
            velocity = A - of_tokens(at_times(lambda f: f.normalisation.rate))[0]
    else:
        square, along = jnp.sum(y * y, axis=1, keepdims=True), jnp.sum(y * A, axis=1, keepdims=True)
        velocity = (A - y * (along / square)) / jnp.sqrt(square)
    if field.frozen is not None:
        frozen = by_system(lambda f: f.frozen, axes.frozen)[:, None]
        velocity = jnp.where(frozen, 0, velocity)
    return velocity


def _of_queries_and_keys(
    P: QueryKey,
    axes: Any,
    at_times: Callable[[Any], Array],
    of_tokens: Callable[[Array], Array],
    by_system: Callable[[Any, Any], Array],
) -> Array:
    """The logits of scores that no matrix gives, `(heads, tokens, tokens, batch)`."""
    q, k = of_tokens(at_times(lambda f: f.P.Q)), of_tokens(at_times(lambda f: f.P.K))
    if P.normalise:
        q, k = normalised(q, 2), normalised(k, 2)
    if P.rates is not None:
        rates = by_system(lambda f: f.P.rates.astype(q.dtype), axes.rates)
        q, k = settle(turned(q, rates)), settle(turned(k, rates))
    logits = _sum(q[:, :, None, a] * k[:, None, :, a] for a in range(q.shape[2]))
    if P.temperatures is None:
        return logits
    tau = by_system(lambda f: f.P.temperatures.astype(q.dtype), axes.temperatures)
    return logits * tau[None, :, None]


def _sum(terms: Iterable[Array]) -> Array:
    return functools.reduce(operator.add, terms)


def _rows(
    logits: Array, allowed: Array | None, masses: Array | None, scale: Array, softmax: bool
) -> Array:
    # `scale` times the kernels of `_kernels` along axis 2: one division a row, not one an entry.
    tokens = logits.shape[2]
    if not softmax:
        count = tokens if masses is None else jnp.sum(masses, axis=2, keepdims=True)
        return settle(_exp(logits, allowed, masses)) * (scale / count)
    seen = logits if allowed is None else jnp.where(allowed, logits, -jnp.inf)
    largest = jnp.max(seen, axis=2, keepdims=True)
    if allowed is not None:
        largest = jnp.where(jnp.isneginf(largest), 0, largest)
    positive = settle(_exp(logits - settle(largest), allowed, masses))
    total = settle(jnp.sum(positive, axis=2, keepdims=True))
    if allowed is not None:
        scale, total = jnp.where(total == 0, 0, scale), jnp.where(total == 0, 1, total)
    return positive * settle(scale / total)
