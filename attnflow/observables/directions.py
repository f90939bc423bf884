"""Tokens as directions: unit vectors, in the Euclidean product or in a manifold's."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from ..core.checks import check, floating, instance, shaped
from ..core.eager import one_program
from ..geometry import AbstractManifold, moderate


def as_tokens(y: Any) -> Float[Array, "tokens dim"]:
    """`y` as a (tokens, dim) array; else a `ValueError`."""
    y = floating("y", y)
    remedy = "Map over other axes with jax.vmap."
    shaped("y", y.shape, ("tokens", "dim"), also=", both at least 1", remedy=remedy)
    return y


def directions(
    y: Float[Array, "tokens dim"], manifold: AbstractManifold | None = None
) -> Float[Array, "tokens dim"]:
    r"""Unit vectors whose dot products are $\langle y_i, y_j\rangle_W / (|y_i|_W |y_j|_W)$.

    Without a manifold $W = I$. With one the tokens are whitened first, so that everything after is
    Euclidean. A zero token gives NaN.
    """
    x = as_tokens(y)
    if manifold is not None:
        manifold = instance("manifold", manifold, AbstractManifold, "None or a manifold")
        shaped("y", x.shape, ("tokens", manifold.dim), also=" on this manifold")
    return _unit(x, manifold)


@one_program
def _unit(x: Array, manifold: AbstractManifold | None) -> Array:
    if manifold is not None:
        x = manifold.whiten(x)
    x, _ = moderate(x)
    return x / jnp.linalg.norm(x, axis=1, keepdims=True)


def as_weights(weights: Any, y: Array) -> Float[Array, " tokens"]:
    """Token masses as non-negative numbers that sum to one."""
    weights = floating("weights", weights).astype(y.dtype)
    shaped("weights", weights.shape, y.shape[:1])
    message = "`weights` must be zero or more with a positive sum; got others."
    weights = check(weights, _no_masses, message)
    return weights / jnp.sum(weights)


def _no_masses(weights: Any) -> Any:
    total = weights.sum()
    return ~((weights >= 0).all() & (total > 0) & (total < jnp.inf))


def present(y: Array, weights: Array) -> Array:
    """The tokens, those without weight replaced by the first with some: padding may be zero."""
    return jnp.where((weights > 0)[:, None], y, y[jnp.argmax(weights > 0)][None])
