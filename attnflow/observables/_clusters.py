"""Which tokens point the same way: clusters of them, and the part of all pairs."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Bool, Float, Int, Real

from ..core.checks import check, check_now, floating, instance, shaped, shown
from ..core.compiled import compiled
from ..core.eager import one_program
from ..geometry import AbstractManifold
from .directions import as_tokens, directions


def clusters(
    y: Float[Array, "tokens dim"],
    threshold: float | Float[Array, ""],
    manifold: AbstractManifold | None = None,
) -> Int[Array, " tokens"]:
    r"""The cluster of each token: connected components of $\cos\angle(y_i, y_j) \ge$ `threshold`.

    A chain of close neighbours is one cluster however far its ends are apart (where the rank of a
    thresholded Gram matrix would count several). Distances are computed as
    $1 - \cos = \tfrac12|\hat y_i - \hat y_j|^2$, so a threshold of `1 - 1e-12` means what it says.

    **Arguments:**

    - `y`: tokens, one a row, of any length.
    - `threshold`: the least cosine of neighbours, in [-1, 1].
    - `manifold`: whose inner product to take; `None` for the Euclidean one.

    **Returns:**

    Labels `0, 1, ...` in the order in which clusters first appear, shape `(tokens,)`. Inside `jit`,
    where nothing can be refused, all are -1 (and the count 0) if a token has no direction.

    **Raises:**

    - `ValueError`: `threshold` is outside [-1, 1]; a token is zero, NaN or infinite.

    ```python
    af.clusters(jnp.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.01]]), 0.99)  # [0 1 0]
    ```
    """
    return _labels(_known(directions(y, manifold)), _slack(threshold))


def clusters_within(
    y: Float[Array, "tokens dim"],
    radius: float | Float[Array, ""],
    manifold: AbstractManifold,
) -> Int[Array, " tokens"]:
    r"""The cluster of each token: connected components of $d(y_i, y_j) \le$ `radius`.

    The distance is the manifold's: $|y_i - y_j|$ in [`Euclidean`][attnflow.geometry.Euclidean], where
    [`clusters`][] would look at directions alone, and the angle on spheres and ellipsoids.

    **Arguments:**

    - `y`: tokens, one a row.
    - `radius`: the largest distance of neighbours, zero or more.
    - `manifold`: of the tokens.

    **Returns:**

    Labels as those of [`clusters`][].

    **Raises:**

    - `ValueError`: a negative radius, tokens of another dimension, NaN or infinite.

    ```python
    af.clusters_within(jnp.array([[0.0], [5.0], [0.1]]), 0.2, af.Euclidean(1))  # [0 1 0]
    ```
    """
    return ClustersWithin(radius, manifold)._label(_known(as_tokens(y)))


def cluster_count(
    y: Float[Array, "tokens dim"],
    threshold: float | Float[Array, ""],
    manifold: AbstractManifold | None = None,
) -> Int[Array, ""]:
    """How many [`clusters`][] there are.

    **Arguments:** as those of [`clusters`][].
    """
    return jnp.max(clusters(y, threshold, manifold)) + 1


def aligned_pairs(
    y: Float[Array, "tokens dim"],
    threshold: float | Float[Array, ""],
    manifold: AbstractManifold | None = None,
) -> Float[Array, ""]:
    r"""The part of pairs of tokens with $\cos\angle(y_i, y_j) \ge$ `threshold`, in [0, 1].

    It is what the phase diagram of Geshkovski et al. (arXiv:2312.10794) shows; one token alone has
    no pairs and gives 1. Cosines are compared as they are rounded: to 1e-15 in float64, 1e-6 in
    float32.

    **Arguments:** as those of [`clusters`][].
    """
    return _part(directions(y, manifold), _slack(threshold))


def _part(unit: Float[Array, "tokens dim"], slack: Array) -> Float[Array, ""]:
    # One product of matrices: observed often, differences of all pairs would cost more than the flow.
    tokens = unit.shape[0]
    if tokens == 1:
        return jnp.where(jnp.all(jnp.isfinite(unit)), jnp.ones((), unit.dtype), jnp.nan)
    gram = jnp.matmul(unit, unit.T, precision=jax.lax.Precision.HIGHEST)
    cushion = 8 * jnp.finfo(unit.dtype).eps
    close = (1 - gram <= slack.astype(unit.dtype) + cushion) & ~jnp.eye(tokens, dtype=bool)
    part = jnp.sum(close, dtype=unit.dtype) / (tokens * (tokens - 1))
    return jnp.where(jnp.all(jnp.isfinite(unit)), part, jnp.nan)


def _known(unit: Array) -> Array:
    # Labels are integers, which have no NaN: a token without a direction is refused where it is known.
    return check_now(
        unit,
        lambda u: ~np.isfinite(u),
        "`y` must have finite rows that are not zero; got a token without a direction.",
    )


def _slack(threshold) -> Array:
    # A Python float is subtracted from 1 in double precision, whatever the tokens' dtype.
    if isinstance(threshold, (int, float)) and not isinstance(threshold, bool):
        slack = jnp.asarray(1.0 - float(threshold) if abs(threshold) <= 1 else jnp.nan)
    else:
        slack = 1 - floating("threshold", threshold)
    shaped("threshold", slack.shape, ())
    message = f"`threshold` is a cosine and must be in [-1, 1]; got {shown(threshold)}."
    return check(slack, lambda s: ~((s >= 0) & (s <= 2)), message)


@compiled
def _labels(unit: Float[Array, "tokens dim"], slack: Array) -> Int[Array, " tokens"]:
    # Compiled as one program: by itself a loop would be compiled anew at each call.
    return _label(_neighbours(unit, slack))


def _neighbours(unit: Array, slack: Array) -> Bool[Array, "tokens tokens"]:
    # The cushion, of the size of the square of rounding, joins tokens that differ by rounding alone.
    slack = slack.astype(unit.dtype) + (4 * jnp.finfo(unit.dtype).eps) ** 2
    return jax.lax.map(lambda row: jnp.sum((unit - row[None]) ** 2, axis=1) / 2 <= slack, unit)


def _label(joined: Bool[Array, "tokens tokens"]) -> Int[Array, " tokens"]:
    # `joined` is symmetric: (a - b)² and (b - a)² are the same float.
    tokens = joined.shape[0]
    index = jnp.arange(tokens)

    def sweep(state):
        # The least label among one's neighbours, handed on to the token that lent its own; then
        # labels of labels, so that long chains close in about log2(tokens) sweeps.
        label, _ = state
        least = jnp.min(jnp.where(joined, label[None], tokens), axis=1)
        new = label.at[label].min(least)
        new = jnp.minimum(new, least)
        new = new[new]
        return new, jnp.any(new != label)

    root, _ = jax.lax.while_loop(lambda state: state[1], sweep, (index, jnp.asarray(True)))
    labels = (jnp.cumsum(root == index) - 1)[root]
    # A token without a direction is not even its own neighbour.
    return jnp.where(jnp.all(jnp.diagonal(joined)), labels, -1)


class Clusters(eqx.Module):
    """[`clusters`][] as an observer, `obs(t, y)`.

    **Arguments:** as those of [`clusters`][] after `y`.
    """

    slack: Float[Array, ""]
    manifold: AbstractManifold | None

    def __init__(
        self, threshold: float | Float[Array, ""], manifold: AbstractManifold | None = None
    ):
        self.slack = _slack(threshold)
        what = "None, attnflow.Sphere(dim) or attnflow.Ellipsoid(W)"
        self.manifold = instance("manifold", manifold, AbstractManifold | None, what)

    def __call__(
        self, t: Real[ArrayLike, ""], y: Float[Array, "tokens dim"]
    ) -> Int[Array, " tokens"]:
        return _labels(directions(y, self.manifold), self.slack)


class ClustersWithin(eqx.Module):
    """[`clusters_within`][] as an observer, `obs(t, y)`.

    **Arguments:** as those of [`clusters_within`][attnflow.observables.clusters_within] after `y`.
    """

    radius: Float[Array, ""]
    manifold: AbstractManifold

    def __init__(self, radius: float | Float[Array, ""], manifold: AbstractManifold):
        value = floating("radius", radius)
        shaped("radius", value.shape, ())
        message = f"`radius` must be zero or more; got {shown(radius)}."
        self.radius = check(value, lambda r: ~(r >= 0), message)
        what = "a Sphere, an Ellipsoid or Euclidean"
        self.manifold = instance("manifold", manifold, AbstractManifold, what)

    def __call__(
        self, t: Real[ArrayLike, ""], y: Float[Array, "tokens dim"]
    ) -> Int[Array, " tokens"]:
        return self._label(as_tokens(y))

    def _label(self, y: Array) -> Array:
        return _labels_within(y, self.radius, self.manifold)


@one_program
def _labels_within(y: Array, radius: Array, manifold: AbstractManifold) -> Array:
    near = jax.lax.map(lambda row: manifold.distance(row[None], y), y) <= radius.astype(y.dtype)
    return _label(near & near.T)


class ClusterCount(eqx.Module):
    """[`cluster_count`][] as an observer, `obs(t, y)`.

    **Arguments:** as those of [`clusters`][attnflow.observables.clusters] after `y`.
    """

    clusters: Clusters

    def __init__(
        self, threshold: float | Float[Array, ""], manifold: AbstractManifold | None = None
    ):
        self.clusters = Clusters(threshold, manifold)

    def __call__(self, t: Real[ArrayLike, ""], y: Float[Array, "tokens dim"]) -> Int[Array, ""]:
        return jnp.max(self.clusters(t, y)) + 1


class AlignedPairs(eqx.Module):
    """[`aligned_pairs`][] as an observer, `obs(t, y)`.

    **Arguments:** as those of [`aligned_pairs`][] after `y`.
    """

    clusters: Clusters

    def __init__(
        self, threshold: float | Float[Array, ""], manifold: AbstractManifold | None = None
    ):
        self.clusters = Clusters(threshold, manifold)

    def __call__(self, t: Real[ArrayLike, ""], y: Float[Array, "tokens dim"]) -> Float[Array, ""]:
        return _part(directions(y, self.clusters.manifold), self.clusters.slack)
