"""The Lyapunov function of Theorem 3.2's proof, eq. (7), resolved below rounding near its minimum."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, Real

from ..core.checks import finite, floating, instance, shaped
from ..geometry import AbstractManifold
from .directions import as_tokens, directions


def lyapunov(
    y: Float[Array, "tokens dim"],
    v: Float[Array, " dim"],
    manifold: AbstractManifold | None = None,
) -> Float[Array, ""]:
    r"""The misalignment with `v` of the token least aligned with it (paper, eq. 7).

    $$ V(y) = \max_{1 \le i \le \ell} \big(1 - v^\top y_i\big) $$

    Under Theorem 3.2 it decreases strictly until consensus while the tokens lie in the open
    hemisphere of `v`; it is below 1 exactly there. It is computed from
    $1 - v^\top y = \tfrac12|v-y|^2 + \tfrac12(1-|v|^2) + \tfrac12(1-|y|^2)$, where for unit vectors
    (to rounding) the last two are exactly zero: values far below the machine epsilon are resolved.

    **Arguments:**

    - `y`: tokens, one a row.
    - `v`: the axis of the hemisphere.
    - `manifold`: `None` for the Euclidean product, literally (the statement of Theorem 3.2 on any
      ellipsoid); else the product of its $W$ of `v` and the tokens, both normalised.

    **Raises:**

    - `ValueError`: `v` is not a vector of the tokens' dimension.

    ```python
    af.lyapunov(jnp.array([[1.0, 0.0], [0.6, 0.8]]), jnp.array([1.0, 0.0]))  # 0.4
    ```
    """
    return jnp.max(lyapunov_each(y, v, manifold))


def lyapunov_each(
    y: Float[Array, "tokens dim"],
    v: Float[Array, " dim"],
    manifold: AbstractManifold | None = None,
) -> Float[Array, " tokens"]:
    r"""$V_i = 1 - v^\top y_i$ for each token (the $V_1, V_2$ of the paper's Fig. 6).

    **Arguments:** as those of [`lyapunov`][].
    """
    y = as_tokens(y)
    v = floating("v", v).astype(y.dtype)
    shaped("v", v.shape, y.shape[1:], also=", the tokens' dimension")
    if manifold is not None:
        y, v = directions(y, manifold), directions(v[None], manifold)[0]
    off_v = (1 - jnp.sum(v**2)) / 2
    off_y = (1 - jnp.sum(y**2, axis=1)) / 2
    return jnp.sum((v[None] - y) ** 2, axis=1) / 2 + _exact_zero(off_v) + _exact_zero(off_y)


def _exact_zero(off: Array) -> Array:
    # Rounding of a unit vector's length is dropped from the value; its derivative stays.
    rounding = jnp.abs(off) <= 16 * jnp.finfo(off.dtype).eps
    return off - jax.lax.stop_gradient(jnp.where(rounding, off, 0))


class Lyapunov(eqx.Module):
    """[`lyapunov`][] as an observer, `obs(t, y)`.

    **Arguments:** as those of [`lyapunov`][] after `y`.
    """

    v: Float[Array, " dim"]
    manifold: AbstractManifold | None

    def __init__(self, v: Float[Array, " dim"], manifold: AbstractManifold | None = None):
        self.v = finite("v", v)
        shaped("v", self.v.shape, ("dim",))
        what = "None, attnflow.Sphere(dim) or attnflow.Ellipsoid(W)"
        self.manifold = instance("manifold", manifold, AbstractManifold | None, what)

    def __call__(self, t: Real[ArrayLike, ""], y: Float[Array, "tokens dim"]) -> Float[Array, ""]:
        return lyapunov(y, self.v, self.manifold)
