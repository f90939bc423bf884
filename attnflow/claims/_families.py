"""Equilibria that come in families for no symmetry that is known: curves of them, seen by going along."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..linearisation import chart, tangent_basis
from ..model import AttentionField
from ..theory import Spectrum, equilibrium, spectrum

_ALONG = 1e-2  # radians gone along a neutral direction
_OFF = 1e-3  # how far beside it the equilibrium there may be
_LEAST_WEIGHT = 1e-6  # of attention: what smaller ones do is hidden by rounding
_MOST = 4  # dimensions


def family_through(
    field: AttentionField, t: float, y: Float[Array, "tokens dim"], local: Spectrum
) -> int | None:
    r"""The dimension of an attracting family of equilibria through `y`, or `None` where none is seen.

    With $U = I$ and a symmetric $P$, three tokens on a circle are at rest along whole curves: in
    $\sum_j \alpha_{ij} y_j \parallel y_i$ one of the three equations follows from the others. Then zero
    is an eigenvalue, and what attracts an open set of starts is the curve. Such a family is taken for one
    where

    - the Jacobian has as many zero singular values as zero eigenvalues, and the rest is stable;
    - a hundredth of a radian along each zero direction, either way, there is an equilibrium of the same
      kind;
    - no weight of attention is so small that rounding would hide what it does: two clusters that creep at
      $e^{-60}$ look like a family as well.
    """
    zeros = local.neutral
    if local.unstable or not 0 < zeros <= _MOST or not local.at_rest:
        return None
    weights = np.asarray(field.attention(t, y), np.float64)
    reachable = field.mask.allowed(y.shape[0])
    allowed = (
        np.ones(weights.shape, bool)
        if reachable is None
        else np.broadcast_to(reachable, weights.shape)
    )
    if weights[allowed].min() < _LEAST_WEIGHT * float(field.scale):
        return None
    _, sizes, directions = np.linalg.svd(local.jacobian)
    if sizes[-zeros] > local.margin or (
        len(sizes) > zeros and sizes[-zeros - 1] < 100 * local.margin
    ):
        return None
    manifold = field.manifold
    x = manifold.whiten(y)
    x = x / jnp.linalg.norm(x, axis=1, keepdims=True)
    basis = tangent_basis(x)
    for direction in directions[-zeros:]:
        for step in (_ALONG, -_ALONG):
            xi = jnp.asarray(step * direction, x.dtype).reshape(x.shape[0], x.shape[1] - 1)
            there = equilibrium(field, manifold.unwhiten(chart(x, basis, xi)), t, throw=False)
            if not there.converged or there.moved > _OFF:
                return None
            other = spectrum(field, t, there.y)
            if other.unstable or other.neutral != zeros:
                return None
    return zeros
