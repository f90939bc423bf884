"""The objective of each of many starts, in the memory of one chunk of them."""

from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..core.arrays import cast_floats
from ..core.checks import floating
from ..flow import Options, assemble, make_options
from ..model import AttentionField
from ._objectives import AbstractObjective

CHUNK = 16
_OPTIONS = ("rtol", "atol", "dt0", "solver", "controller", "adjoint", "max_steps", "args")


def options_for(
    objective: AbstractObjective, field: AttentionField, shape: Any, dtype: Any, t1: Any, given: Any
) -> Options:
    """The options of the runs that an objective is of, from what `simulate` takes.

    **Raises:**

    `ValueError` for what `simulate` does not take, and for what the objective asks for itself.
    """
    for name in ("ts", "observe", "event", "dense", "throw"):
        if name in given:
            raise ValueError(f"`{name}` is asked for by the objective; give it to OfRun instead.")
    unknown = set(given) - {*_OPTIONS, "t0", "reduce"}
    if unknown:
        raise ValueError(f"`{min(unknown)}` is no argument of optimise, nor of simulate.")
    t0, t1 = floating("t0", given.get("t0", 0.0)), floating("t1", t1)
    asked = {"ts": None, "observe": None, "event": None} | objective.asks(t0, t1)
    return make_options(
        field,
        tuple(shape),
        jnp.dtype(dtype),
        t0=t0,
        t1=t1,
        **asked,
        **{name: given.get(name) for name in _OPTIONS},
        dense=False,
        reduce=given.get("reduce", True),
    )


def values(
    objective: AbstractObjective,
    field: AttentionField,
    starts: Float[Array, "n tokens dim"],
    options: Options,
    chunk: int = CHUNK,
) -> Float[Array, " n"]:
    """The objective of the run from each start; NaN where the run failed.

    Chunks are worked one after another, and by the gradient once more before they are worked
    backwards, so that memory does not grow with the number of starts.
    """
    field = cast_floats(field, starts.dtype)
    number = starts.shape[0]
    if number == 1:
        return _one(objective, field, starts[0], options)[None]
    if number <= chunk:
        return _side_by_side(objective, field, starts, options)
    chunks = -(-number // chunk)
    at = jnp.minimum(jnp.arange(chunks * chunk), number - 1).reshape(chunks, chunk)
    work = eqx.filter_checkpoint(_side_by_side)
    found = jax.lax.map(lambda rows: work(objective, field, rows, options), starts[at])
    return found.reshape(-1)[:number]


def _side_by_side(objective: Any, field: Any, starts: Array, options: Any) -> Array:
    return jax.vmap(lambda y0: _one(objective, field, y0, options))(starts)


def _one(objective: Any, field: Any, y0: Array, options: Any) -> Array:
    problem = assemble(field, y0, options)
    solution = problem.solution(problem.integrate())
    fine = solution.result == diffrax.RESULTS.successful
    fine |= solution.result == diffrax.RESULTS.event_occurred
    fine &= jnp.all(jnp.isfinite(solution.y1))
    value = objective.value(solution)
    if value.shape != ():
        raise ValueError(f"`objective` must give one number a run; got shape {value.shape}.")
    return jnp.where(fine, value.astype(y0.dtype), jnp.nan)
