"""How far tokens are apart as measures: Wasserstein distances of equal masses, and the length of a path."""

from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Real

from ..core.checks import floating, instance, is_concrete
from ..core.eager import one_program
from ..geometry import AbstractManifold

_ORDERS = (1, 2)


def wasserstein(
    x: Real[Array, "tokens dim"],
    y: Real[Array, "tokens dim"],
    manifold: AbstractManifold,
    *,
    order: int = 2,
) -> Float[Array, ""]:
    r"""The Wasserstein distance of two sets of as many tokens, each a measure of equal masses.

    $$ W_p(x, y) = \min_\sigma \Big(\frac1\ell \sum_i d(x_i, y_{\sigma(i)})^p\Big)^{1/p} $$

    with the manifold's distance $d$: the angle, or $|x - y|$ in $\mathbb{R}^d$. It is exact:

    - on the circle, $\mathbb{R}^2$'s sphere or ellipse, sorted angles are matched in one of the cyclic orders, all of
      which are tried; in $\mathbb{R}^1$ they are matched in their order. Both are traceable, and vectorise;
    - elsewhere it is an optimal assignment, found by SciPy on the host: for tokens that are known, outside `jit`.

    **Arguments:**

    - `x`, `y`: tokens, of one shape.
    - `manifold`: [`Sphere`][], [`Ellipsoid`][] or [`Euclidean`][].
    - `order`: $p$, 1 or 2.

    **Raises:**

    `ValueError`: shapes that differ or do not fit the manifold, another order; traced tokens where SciPy is needed.

    ```python
    af.wasserstein(jnp.array([[0.0], [1.0]]), jnp.array([[1.5], [0.5]]), af.Euclidean(1))   # 0.5
    ```
    """
    x, y = floating("x", x), floating("y", y)
    _check(x, y, manifold, order)
    return _distance(x, y, manifold, order)


def wasserstein_length(
    ys: Real[Array, "times tokens dim"], manifold: AbstractManifold, *, order: int = 2
) -> Float[Array, ""]:
    r"""The length of a path of measures, $\sum_k W_p(y(t_k), y(t_{k+1}))$ over its saves.

    From below it tends to the length of the path as saves become dense. Tokens that change places make no way.

    **Arguments:**

    - `ys`: tokens at two times or more, as `simulate` saves them.
    - `manifold`, `order`: as for [`wasserstein`][], and how it is computed.

    **Raises:**

    `ValueError` as [`wasserstein`][], or fewer than two times.

    ```python
    af.wasserstein_length(af.simulate(field, y0, t1=5.0, ts=ts).ys, field.manifold)
    ```
    """
    ys = floating("ys", ys)
    if ys.ndim != 3 or ys.shape[0] < 2:
        raise ValueError(
            f"`ys` must have shape (times, tokens, dim), with two times or more; got {ys.shape}."
        )
    _check(ys[0], ys[1], manifold, order)
    if _on_a_line(manifold):
        return _length(ys, manifold, order)
    steps = [_distance(a, b, manifold, order) for a, b in pairwise(ys)]
    return jnp.sum(jnp.stack(steps))


def _check(x: Array, y: Array, manifold: AbstractManifold, order: int) -> None:
    what = "a Sphere, an Ellipsoid or Euclidean"
    instance("manifold", manifold, AbstractManifold, what)
    if x.ndim != 2 or x.shape != y.shape or x.shape[1] != manifold.dim or x.shape[0] == 0:
        raise ValueError(
            f"`x` and `y` must be as many tokens of {manifold.dim} coordinates; got shapes {x.shape} and {y.shape}."
        )
    if order not in _ORDERS:
        raise ValueError(f"`order` must be 1 or 2; got {order!r}.")
    if not _on_a_line(manifold) and not is_concrete(x, y, manifold):
        raise ValueError(
            "`x` and `y` must be known, not traced, but on the circle and in R^1: an optimal assignment is found on "
            "the host. Save the tokens, and call this outside jit and vmap."
        )


def _on_a_line(manifold: AbstractManifold) -> bool:
    """Whether there is one coordinate, on a circle or a line, so that sorting is enough."""
    return manifold.dim == (1 if manifold.flat else 2)


def _distance(x: Array, y: Array, manifold: AbstractManifold, order: int) -> Array:
    if _on_a_line(manifold):
        return _sorted(x, y, manifold, order)
    from scipy.optimize import linear_sum_assignment

    costs = np.asarray(_costs(x, y, manifold, order))
    if not np.isfinite(costs).all():
        return jnp.asarray(jnp.nan, x.dtype)
    chosen = costs[linear_sum_assignment(costs)]
    return jnp.asarray(np.mean(chosen) ** (1 / order), x.dtype)


@one_program
def _costs(x: Array, y: Array, manifold: AbstractManifold, order: int) -> Array:
    return jax.lax.map(lambda a: manifold.distance(a[None], y), x) ** order


@one_program
def _sorted(x: Array, y: Array, manifold: AbstractManifold, order: int) -> Array:
    if manifold.flat:
        gap = jnp.abs(jnp.sort(x[:, 0]) - jnp.sort(y[:, 0]))
        return _root(jnp.mean(gap**order), order)
    a, b = (jnp.sort(_angles(manifold.whiten(z))) for z in (x, y))
    tokens = a.shape[0]
    # The k-th of one meets the (k + m)-th of the other, which goes on round the circle: -l <= m <= l.
    around = jnp.concatenate([b - 2 * jnp.pi, b, b + 2 * jnp.pi])

    def cost(m: Array) -> Array:
        return jnp.mean(jnp.abs(a - jax.lax.dynamic_slice_in_dim(around, m, tokens)) ** order)

    return _root(jnp.min(jax.vmap(cost)(jnp.arange(2 * tokens + 1))), order)


def _angles(x: Array) -> Array:
    return jnp.arctan2(x[:, 1], x[:, 0])


def _root(mean: Array, order: int) -> Array:
    if order == 1:
        return mean
    return jnp.where(mean > 0, jnp.sqrt(jnp.where(mean > 0, mean, 1)), mean)


@one_program
def _length(ys: Array, manifold: AbstractManifold, order: int) -> Array:
    return jnp.sum(jax.vmap(lambda x, y: _sorted(x, y, manifold, order))(ys[:-1], ys[1:]))
