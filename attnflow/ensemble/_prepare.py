"""Which means are worked by lanes that refill, and with how many lanes: by types and shapes."""

import dataclasses
from collections.abc import Callable
from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.core
import jax.numpy as jnp

from ..core.callables import Call, OfTimeAndTokens, OfTokens
from ..core.outlines import remembered
from ..core.recognised import hides_nothing
from ..flow import Options, Problem, inner_solver
from ..flow.events import FirstOf
from ..model.many import fits_columns
from ._advance import Inbox
from ._backwards import MeanWork, Objective, TapePlan, solution_of
from ._lanes import Maker, OfField
from ._stages import is_explicit
from ._starts import Starts

_TAPE_BYTES = 2**26
_TICKS = 32, 512  # the shortest tape and the longest: it is cleared before it is used


def prepared(
    objective: Objective, many: Starts, options: Options, chunk: int | None
) -> tuple[MeanWork, TapePlan, Any] | None:
    """What is to be worked by lanes, or `None` where runs have to be worked side by side.

    By lanes go explicit solvers, and events whose time is found by bisection.
    """
    if options.dense:
        return None
    data = jax.tree.map(jnp.asarray, many.data)
    maker = Maker(_hoisted_recipe(many, data), _hoisted_options(many, options))
    looked = remembered((maker, data, chunk, many.number), lambda: _look(maker, data, many, chunk))
    if looked is None:
        return None
    plan, row, tape = looked
    if not _hides_nothing(objective.function):
        like = eqx.filter_eval_shape(lambda row: solution_of(maker.options, row), row)
        objective = dataclasses.replace(objective, function=hoisted(objective.function, like))
    times = (options.t0, options.t1, options.rtol, options.atol, options.ts, options.dt0)
    fine = jnp.array(True)
    for x in times:
        fine &= True if x is None else jnp.all(jnp.isfinite(x))
    work = MeanWork(objective, maker, data, fine)
    like = remembered((work, chunk, many.number), lambda: _sums_like(work, plan, row))
    return work, plan, (like, tape)


def _look(
    maker: Maker, data: Any, many: Starts, chunk: int | None
) -> tuple[TapePlan, Any, Any] | None:
    own = jax.tree.map(lambda a: a[0], data)
    heads = []

    def look(number, own):
        problem = maker(number, own)
        heads.append(problem.field.heads)
        return problem

    problem: Problem = eqx.filter_eval_shape(look, jnp.zeros((), jnp.int32), own)
    if not is_explicit(problem.solver):
        return None
    if problem.event is not None and not isinstance(problem.event.cond_fn, FirstOf):
        return None
    plan = _plan(problem, heads[0], many.number, chunk)
    row, tape = eqx.filter_eval_shape(lambda maker, data: _row(maker, plan, data), maker, data)
    return plan, row, tape


def _sums_like(work: MeanWork, plan: TapePlan, row: Any) -> Any:
    """Shapes of what the objective gives."""

    def sums(work, row):
        rows = jax.tree.map(lambda x: jnp.zeros((plan.block, *x.shape), x.dtype), row)
        counts = jnp.ones(plan.block, bool)
        return work.objective.values(work.maker.options, rows, counts)

    return eqx.filter_eval_shape(sums, work, row)


def _plan(problem: Problem, heads: int, number: int, chunk: int | None) -> TapePlan:
    tokens, dim = problem.y0.shape
    products = heads * tokens * dim * (tokens + dim)
    most = 64 if fits_columns(problem.field, tokens) else 16 if products < 100_000 else 1
    if chunk is None:
        # Two trajectories a lane; of fewer two groups, for two cores, if they are worth the while.
        groups = -(-number // (2 * most)) if number > 4 * most else min(2, number // 16)
        chunk = -(-number // max(1, groups))
    block = min(chunk, number)
    lanes = most if most == 1 else min(most, 8 * -(-block // 8))
    stages = 1 + inner_solver(problem.solver).tableau.num_stages
    size = problem.y0.dtype.itemsize * lanes * (stages * problem.y0.size + 4)
    useful = problem.options.max_steps * -(-block // lanes) + 16
    ticks = max(_TICKS[0], min(_TICKS[1], _TAPE_BYTES // size))
    return TapePlan(block, lanes, min(ticks, useful))


def _row(maker: Maker, plan: TapePlan, data: Any) -> tuple[Any, Any]:
    """Results of one trajectory, and a group's tape."""
    rows = jax.tree.map(lambda x: x[jnp.zeros(plan.block, jnp.int32)], data)
    zero = jnp.zeros((), jnp.int32)
    group = plan.group(maker)
    at, store, parts = group.begin(Inbox(rows, jnp.zeros(plan.block, jnp.int32), zero))
    return jax.tree.map(lambda x: x[0], store), group.blank(parts, at.lanes)


# === what functions close over


def hoisted(function: Any, *like: Any) -> Any:
    """`function`, with what it closes over and is being traced as arrays of a module.

    A derivative is taken in arrays that are handed over; one that a closure hides would not be seen.
    """
    if isinstance(function, OfField) or _hides_nothing(function):
        return function
    module = eqx.filter_closure_convert(function, *like)
    hidden = any(isinstance(x, jax.core.Tracer) for x in jax.tree.leaves(module))
    return Hoisted(module) if hidden else function


class Hoisted(eqx.Module):
    """A function with what it closed over; numbers that do not depend on anything come out as arrays."""

    function: Any

    def __call__(self, *args: Any) -> Any:
        number = lambda x: isinstance(x, (float, int)) and hasattr(x, "dtype")  # noqa: E731
        out = self.function(*args)
        return jax.tree.map(lambda x: jnp.asarray(x) if number(x) else x, out)


def _hides_nothing(function: Any) -> bool:
    if isinstance(function, (OfTokens, OfTimeAndTokens)):
        return _hides_nothing(function.function)
    if isinstance(function, Call):
        return hides_nothing(function.function)
    if isinstance(function, eqx.Module):
        return type(function).__module__.startswith("attnflow.")
    return hides_nothing(function)


def _hoisted_recipe(many: Starts, data: Any) -> Any:
    recipe = many.recipe
    if recipe.sample is None:
        return recipe
    own = jax.tree.map(lambda a: a[0], data)
    of = own if recipe.key is None else recipe.key
    sample = hoisted(recipe.sample, of)
    return eqx.tree_at(lambda r: r.sample, recipe, sample, is_leaf=lambda x: x is None)


def _hoisted_options(many: Starts, options: Options) -> Options:
    y = jax.ShapeDtypeStruct(many.shape, many.dtype)

    def of(function: Callable[..., Any]) -> Any:
        return hoisted(function, options.t0, y, options.args)

    def is_function(x: Any) -> bool:
        return callable(x) or isinstance(x, eqx.Module)

    observers = jax.tree.map(of, options.observers, is_leaf=is_function)
    options = eqx.tree_at(lambda o: o.observers, options, observers)
    if options.events is not None and not isinstance(options.events.functions, diffrax.Event):
        functions = tuple(of(f) for f in options.events.functions)
        options = eqx.tree_at(lambda o: o.events.functions, options, functions)
    return options
