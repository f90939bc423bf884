"""Better tries from good ones: along the gradient of the margin, and by mutation."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import optax
from jaxtyping import Array, Key

from ..core.compiled import compiled
from ..flow import simulate
from ._claim import Claim
from ._conclusions import AbstractRate

_STEPS, _TIME, _RATE = 40, 20.0, 0.05
_FLOOR = 1e-12  # of a margin, for its logarithm


@compiled
def ascend(claim: Claim, numbers: Any) -> Any:
    """Each row of free numbers at its best on the way of Adam up the logarithm of the margin at a time.

    The gradient goes through the solver, by starts and parameters together; parts of it that are not
    finite are left out of the step.
    """
    optimiser = optax.adam(_RATE)

    def loss(x):
        field, y = claim.build(x)
        t = jnp.zeros((), y.dtype)
        if not isinstance(claim.conclusion, AbstractRate):
            t = t + _TIME
            y = simulate(field, y, t1=_TIME, rtol=1e-6, atol=1e-8, throw=False).y1
        m = claim.conclusion.margin(field, t, y)
        # The logarithm, and its tangent below the floor, where margins may be negative.
        high = jnp.log(jnp.maximum(m, _FLOOR))
        return -jnp.where(m > _FLOOR, high, math.log(_FLOOR) + (m - _FLOOR) / _FLOOR)

    def one(x):
        def step(carry, _):
            x, state, best, least = carry
            now, gradient = jax.value_and_grad(loss)(x)
            better = now < least
            best = jax.tree.map(lambda new, old: jnp.where(better, new, old), x, best)
            gradient = jax.tree.map(lambda g: jnp.where(jnp.isfinite(g), g, 0), gradient)
            with jax.numpy_dtype_promotion("standard"):  # optax mixes integers and floats
                updates, state = optimiser.update(gradient, state)
                x = optax.apply_updates(x, updates)
            return (x, state, best, jnp.where(better, now, least)), None

        begin = (x, optimiser.init(x), x, jnp.asarray(jnp.inf, jax.tree.leaves(x)[0].dtype))
        return jax.lax.scan(step, begin, None, length=_STEPS)[0][2]

    return jax.vmap(one)(numbers)


def mutate(key: Key[Array, ""], parents: Any, children: int) -> Any:
    """Children of rows of free numbers: each number moved by a normal deviate, each child by a size of its own."""
    scale = 10 ** jr.uniform(jr.fold_in(key, 0), (children,), minval=-2.0, maxval=0.0)

    def child(leaf, k):
        base = jnp.repeat(leaf, children // leaf.shape[0], axis=0)
        step = scale.reshape(-1, *(1,) * (base.ndim - 1)).astype(base.dtype)
        return base + step * jr.normal(k, base.shape, base.dtype)

    leaves, structure = jax.tree.flatten(parents)
    keys = jr.split(jr.fold_in(key, 1), len(leaves))
    return jax.tree.unflatten(structure, [child(x, k) for x, k in zip(leaves, keys, strict=True)])
