"""Observers of where the tokens are: the hemisphere that holds them, and how far off the manifold."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, Real

from ..core.checks import instance
from ..geometry import AbstractManifold, hemisphere_margin


class HemisphereMargin(eqx.Module):
    """The margin of [`hemisphere_margin`][attnflow.geometry.hemisphere_margin], as `obs(t, y)`.

    Positive while some open hemisphere holds all tokens.
    """

    def __call__(self, t: Real[ArrayLike, ""], y: Float[Array, "tokens dim"]) -> Float[Array, ""]:
        return hemisphere_margin(y)[0]


class Residual(eqx.Module):
    r"""The largest distance of a token from the manifold, $\max_i \big||y_i|_W - 1\big|$, as `obs(t, y)`.

    **Arguments:**

    - `manifold`: the manifold.
    """

    manifold: AbstractManifold

    def __check_init__(self) -> None:
        instance("manifold", self.manifold, AbstractManifold, "attnflow.Sphere or Ellipsoid")

    def __call__(self, t: Real[ArrayLike, ""], y: Float[Array, "tokens dim"]) -> Float[Array, ""]:
        return jnp.max(self.manifold.residual(y))
