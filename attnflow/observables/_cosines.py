"""Pairwise cosines of tokens, and the length of their mean direction."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, Real

from ..core.checks import instance
from ..geometry import AbstractManifold, safe_norm
from .directions import as_tokens, as_weights, directions, present


def cosines(
    y: Float[Array, "tokens dim"], manifold: AbstractManifold | None = None
) -> Float[Array, "tokens tokens"]:
    r"""The Gram matrix of the tokens' directions, $g_{ij} = \langle y_i, y_j\rangle_W / (|y_i|_W|y_j|_W)$.

    Entries are within [-1, 1], so that `arccos` of them is never NaN. How far two close tokens are
    apart is not to be had from `1 - g`: use [`misalignment`][] or `manifold.distance`.

    **Arguments:**

    - `y`: tokens, one a row, of any length.
    - `manifold`: whose inner product to take; `None` for the Euclidean one.

    ```python
    af.plot.gram(af.cosines(sol.y1))
    ```
    """
    unit = directions(y, manifold)
    return jnp.clip(jnp.matmul(unit, unit.T, precision=jax.lax.Precision.HIGHEST), -1, 1)


def order_parameter(
    y: Float[Array, "tokens dim"],
    manifold: AbstractManifold | None = None,
    *,
    weights: Float[Array, " tokens"] | None = None,
) -> Float[Array, ""]:
    r"""The length of the mean direction, $r = \big|\frac1\ell\sum_i y_i/|y_i|\big|$: 1 at consensus.

    It is Kuramoto's order parameter on any sphere, 0 when the directions balance.

    **Arguments:**

    - `y`: tokens, one a row, of any length.
    - `manifold`: whose inner product to take; `None` for the Euclidean one.
    - `weights`: token masses in place of $1/\ell$; tokens without weight may be anything.

    ```python
    af.order_parameter(jnp.array([[1.0, 0.0], [0.0, 1.0]]))  # 0.7071
    ```
    """
    y = as_tokens(y)
    if weights is None:
        mean = jnp.mean(directions(y, manifold), axis=0)
    else:
        weights = as_weights(weights, y)
        mean = weights @ directions(present(y, weights), manifold)
    square = jnp.sum(mean**2)
    # The derivative at 0, where the length has none, is taken as zero; NaN stays NaN.
    return safe_norm(square)


class OrderParameter(eqx.Module):
    """[`order_parameter`][] as an observer, `obs(t, y)`.

    **Arguments:** as those of [`order_parameter`][] after `y`.
    """

    manifold: AbstractManifold | None = None
    weights: Float[Array, " tokens"] | None = None

    def __check_init__(self) -> None:
        what = "None, attnflow.Sphere(dim) or attnflow.Ellipsoid(W)"
        instance("manifold", self.manifold, AbstractManifold | None, what)

    def __call__(self, t: Real[ArrayLike, ""], y: Float[Array, "tokens dim"]) -> Float[Array, ""]:
        return order_parameter(y, self.manifold, weights=self.weights)
