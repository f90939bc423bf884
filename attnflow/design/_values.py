"""The objective of each of many starts, in the memory of one chunk of them."""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, Real

from ..core.arrays import cast_floats
from ..core.checks import floating
from ..core.types import Scalar
from ..ensemble.by_lanes import values_by_lanes
from ..flow import Integrator, Options, Solution, assemble, make_options, sort_options
from ..model import AttentionField
from ._objectives import AbstractObjective

CHUNK = 16

# Tokens of one start, of many, or a function of a key that draws one.
SearchStarts: TypeAlias = (
    Real[ArrayLike, "*starts tokens dim"] | Callable[..., Float[Array, "tokens dim"]]
)


def options_for(
    objective: AbstractObjective,
    field: AttentionField,
    starts: jax.ShapeDtypeStruct | Array,
    integrator: Integrator,
    *,
    t1: Scalar,
    t0: Scalar = 0.0,
    args: object = None,
) -> Options:
    """The options of the runs that an objective is of, for starts of one shape and dtype."""
    begin, end = floating("t0", t0), floating("t1", t1)
    needs = objective.asks(begin, end)
    shape = tuple(starts.shape)
    return make_options(
        field, shape, starts.dtype, integrator, t0=begin, t1=end, args=args, **needs
    )


def sort_keywords(
    function: str, options: Mapping[str, Any], allowed: type
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Keywords that are an integrator's, and the others.

    **Raises:**

    `ValueError` for a keyword that is none, and for what the objective asks for itself.
    """
    for name in ("ts", "observe", "event", "dense", "throw"):
        if name in options:
            raise ValueError(f"`{name}` is asked for by the objective; give it to OfRun instead.")
    return sort_options(function, options, allowed, ValueError)


def values(
    objective: AbstractObjective,
    field: AttentionField,
    starts: Float[Array, "n tokens dim"],
    options: Options,
    chunk: int = CHUNK,
    lanes: bool = True,
) -> Float[Array, " n"]:
    """The objective of the run from each start; NaN where the run failed.

    More starts than `chunk` go through the lanes of an ensemble, if there may be `lanes`. Else chunks are worked
    one after another, and by the gradient once more before they are worked backwards. Either way memory
    does not grow with the number of starts.
    """
    field = cast_floats(field, starts.dtype)
    number = starts.shape[0]
    if number == 1:
        return _one(objective, field, starts[0], options)[None]
    if number <= chunk:
        return _side_by_side(objective, field, starts, options)
    if lanes:
        found = values_by_lanes(_Value(objective, starts.dtype), field, starts, options)
        if found is not None:
            return found
    chunks = -(-number // chunk)
    at = jnp.minimum(jnp.arange(chunks * chunk), number - 1).reshape(chunks, chunk)
    work = eqx.filter_checkpoint(_side_by_side)
    per_row = jax.lax.map(lambda rows: work(objective, field, rows, options), starts[at])
    return per_row.reshape(-1)[:number]


def _side_by_side(objective: Any, field: Any, starts: Array, options: Any) -> Array:
    return jax.vmap(lambda y0: _one(objective, field, y0, options))(starts)


def _one(objective: Any, field: Any, y0: Array, options: Any) -> Array:
    problem = assemble(field, y0, options)
    solution = problem.solution(problem.integrate())
    fine = solution.result == diffrax.RESULTS.successful
    fine |= solution.result == diffrax.RESULTS.event_occurred
    fine &= jnp.all(jnp.isfinite(solution.y1))
    return jnp.where(fine, _Value(objective, y0.dtype)(solution), jnp.nan)


class _Value(eqx.Module):
    """What an objective gives of a run, one number, in the dtype of tokens."""

    objective: AbstractObjective
    dtype: Any = eqx.field(static=True)

    def __call__(self, solution: Solution) -> Array:
        value = self.objective.value(solution)
        if value.shape != ():
            raise ValueError(f"`objective` must give one number a run; got shape {value.shape}.")
        return value.astype(self.dtype)
