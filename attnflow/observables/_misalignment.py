"""The paper's error between tokens, eq. (9), without the cancellation of 1 - cos."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, Real

from ..core.checks import instance
from ..core.eager import one_program
from ..geometry import AbstractManifold
from .directions import as_tokens, as_weights, directions, present


def misalignment(
    y: Float[Array, "tokens dim"],
    manifold: AbstractManifold | None = None,
    *,
    weights: Float[Array, " tokens"] | None = None,
) -> Float[Array, ""]:
    r"""How far the tokens are from the first, zero at consensus (paper, eq. 9).

    $$ E(y) = 1 - \frac1\ell \sum_{i=1}^{\ell} \frac{y_1^\top y_i}{|y_1|\,|y_i|}
            = \frac1\ell \sum_{i=1}^{\ell} \tfrac12 \Big|\frac{y_1}{|y_1|} - \frac{y_i}{|y_i|}\Big|^2 $$

    It is computed in the second form, which resolves to the square of the machine epsilon; in the
    first nothing under 1e-7 survives in float32.

    **Arguments:**

    - `y`: tokens, one a row, of any length.
    - `manifold`: cosines in its inner product; `None` for the Euclidean one of eq. (9), which is
      also what the paper uses on ellipsoids.
    - `weights`: token masses in place of $1/\ell$ (they are normalised); the reference is then the
      first token that has some, and tokens without weight may be anything (padding).

    **Returns:**

    A scalar in [0, 2].

    ```python
    af.misalignment(jnp.array([[1.0, 0.0], [0.0, 1.0]]))  # 0.5
    ```
    """
    y = as_tokens(y)
    if weights is None:
        return _from_first(directions(y, manifold))
    weights = as_weights(weights, y)
    unit = directions(present(y, weights), manifold)
    reference = unit[jnp.argmax(weights > 0)]
    return jnp.sum(weights * jnp.sum((unit - reference[None]) ** 2, axis=1)) / 2


@one_program
def _from_first(unit: Array) -> Array:
    return jnp.mean(jnp.sum((unit - unit[:1]) ** 2, axis=1)) / 2


class Misalignment(eqx.Module):
    """[`misalignment`][] as an observer, `obs(t, y)`.

    **Arguments:** as those of [`misalignment`][] after `y`.
    """

    manifold: AbstractManifold | None = None
    weights: Float[Array, " tokens"] | None = None

    def __check_init__(self) -> None:
        what = "None, attnflow.Sphere(dim) or attnflow.Ellipsoid(W)"
        instance("manifold", self.manifold, AbstractManifold | None, what)

    def __call__(self, t: Real[ArrayLike, ""], y: Float[Array, "tokens dim"]) -> Float[Array, ""]:
        return misalignment(y, self.manifold, weights=self.weights)
