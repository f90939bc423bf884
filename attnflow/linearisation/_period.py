"""Tokens a period later, seen from where they began: what they miss themselves by, and its derivative."""

import diffrax
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..core.compiled import compiled
from ..flow import simulate
from ..model import AttentionField
from ._jacobian import chart, tangent_basis


@compiled
def after_period(
    field: AttentionField,
    x: Float[Array, "tokens dim"],
    start: Float[Array, ""],
    period: Float[Array, ""],
    *,
    mirrored: bool = False,
) -> tuple[Float[Array, " coordinates"], Float[Array, "coordinates coordinates"]]:
    """Where tokens are a period later, in the chart at where they began, and the derivative by the chart.

    **Arguments:**

    - `field`: eq. (6).
    - `x`: whitened unit tokens.
    - `start`, `period`: from when, and for how long.
    - `mirrored`: count it as a return too where all tokens come to their antipodes, which move as they do, mirrored.

    **Returns:**

    Coordinates, zero where tokens return, infinite where the chart does not reach; and their derivative.
    """
    basis, manifold = tangent_basis(x), field.manifold

    def after(xi):
        run = simulate(
            field, manifold.unwhiten(chart(x, basis, xi)), t0=start, t1=start + period,
            rtol=1e-11, atol=1e-13, adjoint=diffrax.ForwardMode(), throw=False,
        )  # fmt: skip
        end = manifold.whiten(run.y1)
        # The chart backwards: pi(x + B xi) has xi = B'p / x'p.
        along = jnp.sum(x * end, axis=1, keepdims=True)
        back = (jnp.min(along) > 0) | (mirrored & (jnp.max(along) < 0))
        return jnp.where(back, jnp.einsum("idk,id->ik", basis, end) / along, jnp.inf)

    xi = jnp.zeros((x.shape[0], x.shape[1] - 1), x.dtype)
    return after(xi).ravel(), jax.jacfwd(after)(xi).reshape(xi.size, xi.size)
