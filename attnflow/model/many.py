"""The field of many small systems at once: the batch is the last axis, sums over coordinates are written out.

Under `vmap` a product of ten tokens with a 3 by 3 matrix becomes a batched matrix product, which
compilers do one small product at a time. With the batch as the last axis every operation is a loop
over lanes of the batch that vectorises.
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..geometry import Euclidean, Sphere
from ..schedules import AbstractSchedule, QueryKey, normalised, turned
from ._attend import attend
from ._field import AttentionField
from ._kernels import Exponential, Softmax
from ._normalisations import Post
from ._rescaled import Rescaled
from ._times import at_times, by_system, differs, settle, sums

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
    tokens = y.shape[0]

    def of_field(get: Callable[[Any], Any], part: Any) -> Array:
        return by_system(get, field, axes) if differs(part) else get(field)[..., None]

    def timed(get: Callable[[Any], AbstractSchedule]) -> Array:
        return at_times(get(field), get(axes), t, y.dtype)

    def of_tokens(matrices: Array) -> tuple[Array, ...]:
        # M_h y_j for every head and token: (heads, tokens, batch) for each row of M.
        matrices = matrices.reshape(-1, *matrices.shape[-3:])
        rows = (matrices[:, None, a] * y[None] for a in range(matrices.shape[1]))
        return sums(tuple(rows), 2)

    if type(field.P) is QueryKey:
        q, k = _queries_and_keys(field.P, axes.P, timed, of_tokens, of_field)
    else:
        # The matrix on the side of the queries: keys are the tokens then, as values often are.
        q, k = of_tokens(jnp.swapaxes(timed(lambda f: f.P), -3, -2)), y[None]
    bias = allowed = masses = None
    if field.mask.bias() is not None:
        bias = of_field(lambda f: f.mask.bias().astype(y.dtype), axes.mask)
        bias = bias.reshape(-1, *bias.shape[-3:])
    if field.mask.allowed(tokens) is not None:
        allowed = of_field(lambda f: f.mask.allowed(tokens), axes.mask)
        allowed = allowed.reshape(-1, *allowed.shape[-3:])
    if field.weights is not None:
        masses = of_field(lambda f: f.weights.astype(y.dtype), axes.weights)[None, None]
        allowed = masses > 0 if allowed is None else allowed & (masses > 0)
    scale = of_field(lambda f: f.scale.astype(y.dtype), axes.scale)[None, None]
    if field.U is None:
        values = y[None]
    elif field.U.identity_coefficient() is not None:
        c = timed(lambda f: f.U.identity_coefficient())
        values, scale = y[None], scale * c.reshape(-1, 1, c.shape[-1])
    else:
        values = of_tokens(timed(lambda f: f.U))
    softmax = type(field.kernel) is Softmax
    A = jnp.stack(attend(softmax, q, k, values, scale, bias, allowed, masses), axis=1)

    if field.manifold.flat:
        velocity = A
        if isinstance(field.normalisation, Rescaled):
            rates = of_tokens(timed(lambda f: f.normalisation.rate))
            velocity = A - jnp.stack([x[0] for x in rates], axis=1)
    else:
        square, along = jnp.sum(y * y, axis=1, keepdims=True), jnp.sum(y * A, axis=1, keepdims=True)
        velocity = (A - y * (along / square)) / jnp.sqrt(square)
    if field.frozen is not None:
        frozen = of_field(lambda f: f.frozen, axes.frozen)[:, None]
        velocity = jnp.where(frozen, 0, velocity)
    return velocity


def _queries_and_keys(
    P: QueryKey,
    axes: Any,
    timed: Callable[[Any], Array],
    of_tokens: Callable[[Array], tuple[Array, ...]],
    of_field: Callable[[Any, Any], Array],
) -> tuple[Array, Array]:
    """Queries and keys whose products are the logits, `(heads, tokens, width, batch)`."""
    parts = (of_tokens(timed(lambda f: f.P.Q)), of_tokens(timed(lambda f: f.P.K)))
    q, k = (jnp.stack(some, axis=2) for some in parts)
    if P.normalise:
        q, k = normalised(q, 2), normalised(k, 2)
    if P.rates is not None:
        rates = of_field(lambda f: f.P.rates.astype(q.dtype), axes.rates)
        q, k = settle(turned(q, rates)), settle(turned(k, rates))
    if P.temperatures is not None:
        tau = of_field(lambda f: f.P.temperatures.astype(q.dtype), axes.temperatures)
        q = settle(q * tau[None, :, None])
    return q, k
