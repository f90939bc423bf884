"""What a found schedule has to be better than: constants, the identity, random and the paper's schedules."""

from typing import Any

import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Key

from ..core.checks import instance
from ..core.lazy import renamed_argument
from ..model import AttentionField
from ..schedules import Constant, Modulated, Sinusoid
from ._evolve import Evolution
from ._optimised import Optimised
from ._trainable import Ball, Searched

_WITHIN = 0.9999  # of the bound
_MULTIPLES = (-1.0, -0.25, 0.25, 0.5, 1.0)
_RANDOM = 3


@renamed_argument("found", "optimised")
def baselines(
    optimised: Optimised, key: Key[Array, ""], *, constant: bool = True
) -> dict[str, Searched]:
    """Schedules within the same bound that a search should beat, by name.

    `P = 0`; multiples of the identity up to the bound, either sign; random constants at the bound; the
    paper's schedules (D(t)P' of Figs. 1-3 and of Fig. 4) with P' random, scaled to stay within the
    bound; and the best constant that the same search finds, from random constants. `U` of a
    two-part search is that of the field it was given.

    **Arguments:**

    - `optimised`: searched with an `AttentionField` as `field` and a number as the bound of P.
    - `key`: of what is random.
    - `constant`: search for the best constant too, which takes as long as the search did.

    **Raises:**

    `ValueError` where the search had no norm bound of P, or a function as `field`.
    """
    instance("optimised", optimised, Optimised, "what optimise gives")
    template = optimised.task.model.field
    ball = optimised.task.model.bounds
    ball = ball.get("P") if isinstance(ball, dict) else ball
    if not isinstance(template, AttentionField) or not isinstance(ball, Ball):
        raise ValueError(
            "`optimised` needs an AttentionField as `field` and a number as the bound of P for baselines "
            "to be made; name your own instead: evaluate(..., baselines={...})."
        )
    shape, dim = optimised.field.P.shape, template.dim
    dtype = optimised.task.sign.dtype
    heads = shape[0] if len(shape) == 3 else 1
    length = _WITHIN * float(ball.bound)

    def sized(matrix: Array) -> Array:
        norm = _norm(matrix, ball.norm)
        return (length * matrix / norm[..., None, None]).astype(dtype)

    def over_heads(matrix: Array) -> Array:
        return jnp.broadcast_to(matrix, shape)

    eye = sized(jnp.eye(dim))
    out: dict[str, Any] = {"P = 0": Constant(jnp.zeros(shape, dtype))}
    for part in _MULTIPLES:
        size = part * float(eye[0, 0])
        out[f"P = {size:.4g} I"] = Constant(over_heads(part * eye))
    for k in range(_RANDOM):
        drawn = jr.normal(jr.fold_in(key, k), shape)
        out[f"random P, {k + 1}"] = Constant(sized(drawn))
    out |= _papers(jr.fold_in(key, _RANDOM), heads, dim, sized)
    if constant:
        best = best_constant(optimised, jr.fold_in(key, _RANDOM + 1))
        out["best constant P"] = (
            best.schedule["P"] if isinstance(best.schedule, dict) else best.schedule
        )
    return out


@renamed_argument("found", "optimised")
def best_constant(optimised: Optimised, key: Key[Array, ""]) -> Optimised:
    """The same search over constant P alone, from a random constant and from multiples of the identity.

    On the starts that the search had. It begins, by restart, at a normal matrix, at a negative and at
    a positive multiple of the identity with a little noise.
    """
    instance("optimised", optimised, Optimised, "what optimise gives")
    shape = optimised.field.P.shape
    ball = optimised.task.model.bounds
    two = isinstance(ball, dict)
    bound = float((ball["P"] if two else ball).bound)
    dim, dtype = shape[-1], optimised.task.sign.dtype
    multiples = jnp.asarray([0.0, -1.0, 1.0]) * bound / dim**0.5
    order = iter(range(3))

    def begin(_):
        # Three schedules, one a restart, in this order; starts are drawn as the search drew them.
        k = next(order)
        noise = jr.normal(jr.fold_in(key, k), shape) * (bound / dim) * (1.0 if k == 0 else 0.02)
        value = (multiples[k] * jnp.broadcast_to(jnp.eye(dim), shape) + noise).astype(dtype)
        return {"P": value} if two else value

    bounds = {"P": ball["P"]} if two else ball
    restarts = 1 if isinstance(optimised.optimiser, Evolution) else 3
    return optimised.rerun(begin, bounds=bounds, restarts=restarts, progress=False)


def _papers(key: Array, heads: int, dim: int, sized: Any) -> dict[str, Any]:
    """D(t) P' of the paper's figures; |D(t)P'| is largest where every entry of D is."""
    P = sized(jr.uniform(jr.fold_in(key, 0), (heads, dim, dim), minval=-0.5, maxval=0.5))
    omega = jnp.pi * jnp.asarray([10.0, 10.0, 6.0])[jnp.arange(dim) % 3]
    phase = jnp.pi / 2 * jnp.asarray([1.0, 0.0, 1.0])[jnp.arange(dim) % 3]
    turning = Sinusoid(1.0, omega, phase)
    frequency, start = (jr.uniform(jr.fold_in(key, k), (heads, dim)) for k in (1, 2))
    rectified = Sinusoid(1.0, frequency, 2 * jnp.pi * start, rectified=True)
    return {
        "paper, Figs. 1-3": Modulated(turning, P),
        "paper, Fig. 4": Modulated(rectified, P),
    }


def _norm(matrix: Array, norm: str) -> Array:
    kind: Any = "fro" if norm == "frobenius" else 2
    return jnp.asarray(np.linalg.norm(np.asarray(matrix), kind, axis=(-2, -1)))
