"""Free numbers onto the sets that claims speak of: smooth maps, so that search is by gradients."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..core.lapack import eigh


def on_sphere(x: Float[Array, "tokens dim"]) -> Float[Array, "tokens dim"]:
    """Rows of any length but zero as unit vectors."""
    return x / jnp.linalg.norm(x, axis=-1, keepdims=True)


def in_cap(x: Float[Array, "tokens dim"], v: Float[Array, " dim"]) -> Float[Array, "tokens dim"]:
    """Unit vectors of the open hemisphere $v^\\top y > 0$: the part along the unit vector `v` is made positive."""
    along = x @ v
    across = x - along[:, None] * v[None]
    return on_sphere(across + positive(along)[:, None] * v[None])


def positive(x: Float[Array, "..."]) -> Float[Array, "..."]:
    r"""$(x + \sqrt{x^2 + 1})/2$: positive, and never so small as to vanish beside other numbers."""
    root = jnp.sqrt(x**2 + 1)
    return jnp.where(x < 0, 0.5 / (root + jnp.abs(x)), 0.5 * (x + root))


def in_ball(x: Float[Array, "*heads dim dim"], bound: float) -> Float[Array, "*heads dim dim"]:
    """Matrices of Frobenius norm below `bound`, each head by itself."""
    square = jnp.sum((x / bound) ** 2, axis=(-2, -1), keepdims=True)
    return x / jnp.sqrt(1 + square)


def symmetric(x: Float[Array, "*heads dim dim"]) -> Float[Array, "*heads dim dim"]:
    """The symmetric part."""
    return (x + jnp.swapaxes(x, -1, -2)) / 2


def positive_definite(x: Float[Array, "*heads dim dim"]) -> Float[Array, "*heads dim dim"]:
    """$xx^\\top$ and a tenth of the identity: symmetric, eigenvalues 0.1 and more."""
    square = symmetric(x @ jnp.swapaxes(x, -1, -2))
    return square + _identity(square) / 10


def with_top(
    x: Float[Array, "heads dim dim"], value: Float[Array, ""]
) -> Float[Array, "heads dim dim"]:
    """Symmetric matrices, shifted by one multiple of the identity so that their sum's top eigenvalue is `value`."""
    S = symmetric(x)
    shift = value - eigh(jnp.sum(S, axis=0))[0][-1]
    return S + shift / S.shape[0] * _identity(S)


def _identity(x: Float[Array, "*heads dim dim"]) -> Float[Array, "*heads dim dim"]:
    return jnp.broadcast_to(jnp.eye(x.shape[-1], dtype=x.dtype), x.shape)


def between(x: Float[Array, "..."], low: float, high: float) -> Float[Array, "..."]:
    """Numbers of the open interval."""
    return low + (high - low) * jax.nn.sigmoid(x)
