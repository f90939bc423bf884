"""The matrices P(t) of a lane, kept until another time is asked for: stages and steps share times.

In span coordinates P(t) is most of what an evaluation costs (50 tokens in R^500: 85 of 135 microseconds).
"""

from typing import Any

import equinox as eqx
import jax
from jaxtyping import Array, Float

from ..flow import Problem
from ..schedules import Constant


class Held(eqx.Module):
    """The slope that a lane's next step begins with, and the matrices worked last and their time.

    **Attributes:**

    - `slope`: like tokens.
    - `t`, `matrices`: $P(t)$, in the tokens' dtype.
    """

    slope: Float[Array, "*lanes tokens reduced"]
    t: Float[Array, "*lanes"]
    matrices: Float[Array, "*lanes heads rows cols"] | Float[Array, "*lanes rows cols"]


def first_held(problem: Problem, t: Array, y: Array) -> Held:
    """The slope at a time and tokens, and the matrices that gave it."""
    matrices = _matrices(problem, t, y.dtype)
    held = Held(y, t, matrices)
    return Held(slope_of(problem, t, y, held), t, matrices)


def held_at(problem: Problem, t: Array, held: Held) -> Held:
    """`held`, with matrices of another time where that is asked for. Under `vmap` both would be worked."""
    matrices = jax.lax.cond(
        t == held.t,
        lambda: held.matrices,
        lambda: _matrices(problem, t, held.matrices.dtype),
    )
    return Held(held.slope, t, matrices)


def slope_of(problem: Problem, t: Array, y: Array, held: Held) -> Array:
    """The field with the matrices that are held."""
    field = eqx.tree_at(lambda f: f.P, problem.field, Constant(held.matrices))
    return field(t, y, problem.options.args)


def _matrices(problem: Problem, t: Array, dtype: Any) -> Array:
    return problem.field.P(t).astype(dtype)
