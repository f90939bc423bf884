"""Lanes: trajectories under way side by side, each with its own time, step and part of the problem."""

from collections.abc import Callable
from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from ..core.callables import adapt
from ..core.types import PyTree, Scalar, Tokens
from ..flow import Options, Problem, assemble
from ..flow.events import FirstOf
from ..model import AttentionField
from ._starts import Recipe, start_is_good

# What a lane holds: nothing it may be given, nothing, a run under way, or one of the endings.
CLOSED, VACANT, RUNNING = -2, -1, 0
REACHED, TIME_UP, NOT_FINITE, STEP_LIMIT, BAD_START, SOLVER_FAILED, EVENT_NAN = 1, 2, 3, 4, 5, 6, 7
HELD = 8  # over at its start already, by an event

_FIRST_STEP = 0.01


class Lanes(eqx.Module):
    """The state of a crew of lanes; every array has a leading axis of lanes.

    **Attributes:**

    - `own`: the leaves of each lane's `Problem` that differ from lane to lane.
    - `t`, `tnext`: where the lane is, and the end of its next step.
    - `y`: tokens, in reduced coordinates.
    - `solver_state`, `control`: of solver and step size controller.
    - `jumped`: whether the field jumped at `t`; `None` where it never does.
    - `steps`, `accepted`: counted.
    - `status`: one of the numbers above.
    - `number`: of its trajectory.
    - `saves`, `saved`: what was observed at `ts` so far, and how many times; `None` without `ts`.
    """

    own: Any
    t: Float[Array, " lanes"]
    tnext: Float[Array, " lanes"]
    y: Float[Array, "lanes tokens reduced"]
    solver_state: Any
    control: Any
    jumped: Bool[Array, " lanes"] | None
    steps: Int[Array, " lanes"]
    accepted: Int[Array, " lanes"]
    status: Int[Array, " lanes"]
    number: Int[Array, " lanes"]
    saves: Any
    saved: Int[Array, " lanes"] | None


class OfField(eqx.Module):
    """An observer made from each trajectory's own field, where fields differ.

    **Arguments:**

    - `make`: a function of the field, or an observer's class: `OfField(af.Energy)`.
    """

    make: Callable[[AttentionField], Callable[..., PyTree[Array]]] = eqx.field(static=True)

    def __call__(self, t: Scalar, y: Tokens, args: object) -> PyTree[Array]:
        raise TypeError("OfField is an observer of ensembles; elsewhere make it of the field.")


class Maker(eqx.Module):
    """Makes lanes: a trajectory's number and data in, its problem and first state out."""

    recipe: Recipe
    options: Options

    def __call__(self, number: Array, own: Any) -> Problem:
        """The problem of one trajectory. A start that is no start is replaced by one that is."""
        return self.draw(number, own)[0]

    def draw(self, number: Array, own: Any) -> tuple[Problem, Bool[Array, ""]]:
        """The problem, and whether the trajectory has a start; a sampler is worked once for both."""
        field, y0 = self.recipe(number, own)
        good = start_is_good(field, y0)
        start = jnp.where(good, y0, _anywhere(y0))
        return assemble(field, start, _of_own_field(self.options, field)), good


def _of_own_field(options: Options, field: AttentionField) -> Options:
    def is_one(x):
        return isinstance(x, OfField)

    if not any(is_one(x) for x in jax.tree.leaves(options.observers, is_leaf=is_one)):
        return options
    observers = jax.tree.map(
        lambda x: adapt("observe", x.make(field)) if is_one(x) else x,
        options.observers,
        is_leaf=is_one,
    )
    return eqx.tree_at(lambda o: o.observers, options, observers)


def _anywhere(y0: Array) -> Array:
    # Rows that differ, so that nothing made from them is singular; thrown away unseen.
    tokens, dim = y0.shape
    rows = jnp.sin(1.0 + jnp.arange(tokens * dim).astype(y0.dtype)).reshape(tokens, dim)
    return rows / jnp.linalg.norm(rows, axis=1, keepdims=True)


def trace_problem(make: Callable[..., Problem], number: Any, own: Any) -> Any:
    """A pytree like the problem's arrays: 0 at leaves that depend on `number` or `own`, else `None`.

    Found by following the computation's graph, so that a matrix shared by all trajectories is not
    copied to each lane.
    """

    def arrays(number, own):
        return eqx.filter(make(number, own), eqx.is_array)

    jaxpr, out = jax.make_jaxpr(arrays, return_shape=True)(number, own)
    differs = set(jaxpr.jaxpr.invars)
    for equation in jaxpr.jaxpr.eqns:
        if any(v in differs for v in equation.invars if not hasattr(v, "val")):
            differs.update(equation.outvars)
    marks = [0 if not hasattr(v, "val") and v in differs else None for v in jaxpr.jaxpr.outvars]
    return jax.tree.unflatten(jax.tree.structure(out), marks)


def first_state(problem: Problem) -> tuple[Any, Array, Any, Array]:
    """Solver state, end of the first step, controller state, and whether the run is over at once."""
    o = problem.options
    terms = diffrax.ODETerm(problem.field)
    solver, controller = problem.solver, problem.controller
    # diffeqsolve chooses this first step too, whatever the field.
    dt0 = jnp.asarray(_FIRST_STEP, o.t0.dtype) if o.dt0 is None else o.dt0
    order = solver.error_order(terms)
    tnext, control = controller.init(terms, o.t0, o.t1, problem.y0, dt0, o.args, solver.func, order)
    solver_state = solver.init(terms, o.t0, jnp.minimum(tnext, o.t1), problem.y0, o.args)
    first = None if problem.event is None else problem.event.cond_fn
    holds = first.ends_at_start if isinstance(first, FirstOf) else jnp.array(False)
    numbers = jax.tree.map(jnp.asarray, (solver_state, control))
    return numbers[0], jnp.minimum(tnext, o.t1), numbers[1], holds


def pick(pred: Bool[Array, " lanes"], new: Any, old: Any) -> Any:
    """`new` in the lanes of `pred`, `old` in the others; pytrees with a leading axis of lanes."""

    def choose(a, b):
        return jnp.where(pred.reshape(pred.shape + (1,) * (a.ndim - 1)), a, b)

    return jax.tree.map(choose, new, old)


def take(lanes: Any, index: Int[Array, " some"]) -> Any:
    """Some of the lanes."""
    return jax.tree.map(lambda leaf: leaf[index], lanes)
