"""Sums of an objective over trajectories and their gradients, by lanes that refill: forwards, then backwards.

A group is run forwards with a tape of its steps. What the tape has no room for is run again from the
lanes as they were at a window's beginning: memory is that of one group, one tape and a few such states.
"""

from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.core
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from ..flow import Problem, Solution, missing
from ._advance import Crew, Inbox
from ._lanes import EVENT_NAN, REACHED, SOLVER_FAILED, STEP_LIMIT, TIME_UP, Maker
from ._pull import Pull, floats
from ._step import observed
from ._tape import Group, Tape, Where

_STATES = 32  # lanes remembered, at the beginnings of windows
_AHEAD, _DONE = -1, -2


class Objective(eqx.Module):
    """A user's function of a solution, summed over trajectories; NaN for one that failed."""

    function: Any

    def each(self, options: Any, rows: dict[str, Any], counts: Bool[Array, " n"]) -> Any:
        """Its value of each of `rows`; zero for those that do not count."""

        def one(row):
            solution = solution_of(options, row)
            fine = (row["status"] == REACHED) | (row["status"] == TIME_UP)
            fine &= jnp.all(jnp.isfinite(row["y1"]))
            return jax.tree.map(lambda v: or_nan(v, fine), self.function(solution))

        return jax.tree.map(lambda v: jnp.where(_wide(counts, v), v, 0), jax.vmap(one)(rows))

    def values(self, options: Any, rows: dict[str, Any], counts: Bool[Array, " n"]) -> Any:
        """The sum over those of `rows` that count."""
        return jax.tree.map(lambda v: jnp.sum(v, axis=0), self.each(options, rows, counts))


class OfEach(Objective):
    """The same, not summed: each value in the place of its trajectory, zero elsewhere."""

    number: int = eqx.field(static=True)

    def values(self, options: Any, rows: dict[str, Any], counts: Bool[Array, " n"]) -> Any:
        """Values by trajectory, `(number, ...)`."""

        def placed(v):
            return jnp.zeros((self.number, *v.shape[1:]), v.dtype).at[rows["number"]].add(v)

        return jax.tree.map(placed, self.each(options, rows, counts))


class MeanWork(eqx.Module):
    """An objective of trajectories: what is differentiated is in its arrays."""

    objective: Objective
    maker: Maker
    data: Any
    fine: Bool[Array, ""]  # whether times and tolerances are what they must be


def solution_of(options: Any, row: dict[str, Any]) -> Solution:
    """One trajectory's results as `simulate` gives them."""
    times = jax.tree.leaves(row["ys"])[0].shape[0]
    saved = jnp.arange(times, dtype=jnp.int32) < row["saved"]
    ts = row["t1"][None] if options.ts is None else options.ts
    results: Any = diffrax.RESULTS
    result: Any = results.successful
    for code, how in (
        (REACHED, results.event_occurred),
        (STEP_LIMIT, results.max_steps_reached),
        (SOLVER_FAILED, results.nonlinear_divergence),
    ):
        result = results.where(row["status"] == code, how, result)
    bad = (row["status"] > TIME_UP) & (row["status"] != STEP_LIMIT)
    result = results.where(bad, results.nonlinear_divergence, result)
    event = row["event"]
    undefined = None
    if event is not None:
        lost = row["status"] == EVENT_NAN
        undefined = jax.tree.map(lambda e: lost & jnp.ones_like(e), event)
    return Solution(
        ts=jnp.where(saved, ts, jnp.nan),
        ys=jax.tree.map(lambda v: _marked(v, saved), row["ys"]),
        saved=saved,
        t0=options.t0,
        t1=row["t1"],
        y1=row["y1"],
        result=result,
        stats={
            "num_steps": row["steps"],
            "num_accepted_steps": row["accepted"],
            "num_rejected_steps": row["steps"] - row["accepted"],
        },
        event=event,
        undefined=undefined,
    )


class TapePlan(eqx.Module):
    """How many trajectories are worked together, by how many lanes, and how long the tape is."""

    block: int = eqx.field(static=True)
    lanes: int = eqx.field(static=True)
    ticks: int = eqx.field(static=True)

    def group(self, maker: Maker) -> Group:
        """The group of trajectories of a maker."""
        few = max(1, self.lanes // 8)
        crew = Crew(maker, lanes=self.lanes, few=few, block=self.block)
        return Group(crew, self.ticks, max(16, self.ticks // 4))


def forwards(work: MeanWork, plan: TapePlan, first: Int[Array, ""], count: Int[Array, ""]) -> Any:
    """The sum of the objective over one group."""
    group, inbox = plan.group(work.maker), _inbox(work, plan, first, count)
    at, store, parts = group.begin(inbox)
    _, store, *_ = group.window(parts, inbox, at, store, None)
    counts = jnp.arange(plan.block, dtype=jnp.int32) < count
    return work.objective.values(work.maker.options, store, counts)


def _inbox(work: MeanWork, plan: TapePlan, first: Array, count: Array) -> Inbox:
    return Inbox(work.data, first + jnp.arange(plan.block, dtype=jnp.int32), count)


class _States(eqx.Module):
    """Lanes at the beginnings of some windows: every `apart`-th."""

    lanes: Where
    apart: Int[Array, ""]


def backwards(
    work: MeanWork,
    plan: TapePlan,
    first: Int[Array, ""],
    count: Int[Array, ""],
    cotangent: Any,
    asked: Any,
    tape: Tape,
) -> tuple[tuple[Any, Any], Tape]:
    """The sum over one group, and its derivative along `cotangent` in the arrays of `work` that are asked for.

    **Arguments:**

    - `asked`: Booleans like the leaves of `work`.
    - `tape`: one to write on, handed on so that its memory is used again.
    """
    group, inbox = plan.group(work.maker), _inbox(work, plan, first, count)
    at, store, parts = group.begin(inbox)
    counts = jnp.arange(plan.block, dtype=jnp.int32) < count
    wanted, others = eqx.partition(work, asked)

    leaves = _Leaves(parts[1], first, count, plan.block)
    marks = tuple(
        depends(lambda w, of=of: of(eqx.combine(w, others)), wanted)
        for of in (leaves.shared, leaves.own)
    )
    owns = leaves.own(work)

    def look(store):
        # The sum, and its derivative in what is asked for and in the results.
        def seen(wanted, floats):
            work = eqx.combine(wanted, others)
            rows = eqx.combine(floats, store)
            return work.objective.values(work.maker.options, rows, counts)

        sums, pull = jax.vjp(seen, wanted, _floats_of(store))
        return sums, *pull(cotangent)

    def pull_of(store, rows_bar):
        return Pull(parts, owns, marks, store, rows_bar, first)  # pyright: ignore[reportArgumentType]

    def body(carry):
        at, store, tape, states, position, target, results, bars = carry
        ahead = target == _AHEAD
        states = jax.lax.cond(
            ahead & (position % states.apart == 0), _remember, lambda s, *_: s, states, at, position
        )
        at, store, written, ticks, refills = group.window(parts, inbox, at, store, tape)
        assert written is not None
        tape = written
        position = position + 1
        over = ahead & ~group.busy(at, inbox)
        results = jax.lax.cond(over, lambda r: look(store), lambda r: r, results)
        target = jnp.where(over, position - 1, target)
        here = (target >= 0) & (position == target + 1)
        ticks, refills = jnp.where(here, ticks, 0), jnp.where(here, refills, 0)
        bars = pull_of(store, results[2]).window(tape, at.lanes, ticks, refills, bars)
        # The window before: from the last state that is no later.
        target = jnp.where(here, jnp.where(target == 0, _DONE, target - 1), target)
        again = here & (target >= 0)
        which = jnp.maximum(target, 0) // states.apart
        position = jnp.where(again, which * states.apart, position)
        at = jax.lax.cond(
            again, lambda at: jax.tree.map(lambda x: x[which], states.lanes), lambda at: at, at
        )
        return at, store, tape, states, position, target, results, bars

    zero = jnp.zeros((), jnp.int32)
    results = jax.tree.map(
        lambda s: jnp.zeros(s.shape, s.dtype), jax.eval_shape(lambda s: look(s), store)
    )
    states = _States(jax.tree.map(lambda x: jnp.zeros((_STATES, *x.shape), x.dtype), at), zero + 1)
    bars = pull_of(store, results[2]).zero(at.lanes)
    carry: Any = (at, store, tape, states, zero, zero + _AHEAD, results, bars)
    carry = jax.lax.while_loop(lambda c: c[5] != _DONE, body, carry)
    store, tape, (sums, wanted_bar, rows_bar), bars = carry[1], carry[2], carry[6], carry[7]

    def inputs(wanted):
        work = eqx.combine(wanted, others)
        asked = [
            jax.tree.map(lambda x, m: x if m else None, of(work), m)
            for of, m in zip((leaves.shared, leaves.own), marks, strict=True)
        ]
        return (*asked, leaves.held(work))

    out, pull = jax.vjp(inputs, wanted)
    held = (store["status"] == REACHED) & (store["steps"] == 0)
    held_bar = {name: rows_bar[name] for name in ("t1", "y1")}
    held_bar["ys"] = jax.tree.map(lambda bar: bar[:, 0], rows_bar["ys"])
    held_bar = jax.tree.map(
        lambda like, bar: jnp.where(_wide(held, bar), bar, 0).astype(like.dtype), out[2], held_bar
    )
    (more,) = pull((bars.shared, bars.starts, held_bar))
    return (sums, jax.tree.map(jnp.add, wanted_bar, more)), tape


class _Leaves(eqx.Module):
    """The arrays of a group's problems, as functions of what they are made from."""

    axes: Any = eqx.field(static=True)
    first: Int[Array, ""]
    count: Int[Array, ""]
    block: int = eqx.field(static=True)

    def _split(self, problem: Problem, shared: bool) -> Any:
        arrays = eqx.filter(problem, eqx.is_array)
        return jax.tree.map(
            lambda x, axis: x if (axis is None) == shared else None, arrays, self.axes
        )

    def _each(self, work: MeanWork, of: Any) -> Any:
        at = jnp.minimum(jnp.arange(self.block, dtype=jnp.int32), jnp.maximum(self.count - 1, 0))
        each = lambda number, own: of(work.maker(number, own))  # noqa: E731
        return jax.vmap(each)(self.first + at, work.data)

    def shared(self, work: MeanWork) -> Any:
        """Those that all share."""
        own = jax.tree.map(lambda x: x[0], work.data)
        return self._split(work.maker(self.first, own), True)

    def own(self, work: MeanWork) -> Any:
        """Those of each trajectory."""
        return self._each(work, lambda problem: self._split(problem, False))

    def held(self, work: MeanWork) -> dict[str, Any]:
        """The results of trajectories that are over where they begin."""

        def of(problem):
            o, y = problem.options, problem.y0
            ys = floats(observed(problem, o.t0, y))
            return {"t1": o.t0, "y1": problem.lift(y), "ys": ys}

        return self._each(work, of)


def _remember(states: _States, at: Where, position: Array) -> _States:
    """One more state; where there is no room, every other one is forgotten first."""
    full = position // states.apart >= _STATES

    def thin(states):
        half = jnp.minimum(2 * jnp.arange(_STATES, dtype=jnp.int32), _STATES - 1)
        return _States(jax.tree.map(lambda x: x[half], states.lanes), 2 * states.apart)

    states = jax.lax.cond(full, thin, lambda s: s, states)
    row = position // states.apart
    keep = jax.tree.map(lambda all_, x: all_.at[row].set(x), states.lanes, at)
    return _States(keep, states.apart)


def depends(of: Any, wanted: Any) -> Any:
    """Booleans like what `of(wanted)` gives: which floats of it depend on `wanted`."""
    jaxpr, out = jax.make_jaxpr(of, return_shape=True)(wanted)
    differs = set(jaxpr.jaxpr.invars)
    for equation in jaxpr.jaxpr.eqns:
        if any(v in differs for v in equation.invars if not hasattr(v, "val")):
            differs.update(equation.outvars)
    marks = [
        not hasattr(v, "val") and v in differs and jnp.issubdtype(v.aval.dtype, jnp.inexact)
        for v in jaxpr.jaxpr.outvars
    ]
    return jax.tree.unflatten(jax.tree.structure(out), marks)


def _floats_of(store: Any) -> Any:
    # Results that a derivative may be taken in.
    return {
        "t1": store["t1"],
        "y1": store["y1"],
        "ys": eqx.filter(store["ys"], eqx.is_inexact_array),
        **{name: None for name in store if name not in ("t1", "y1", "ys")},
    }


def _marked(value: Array, saved: Array) -> Array:
    there = _wide(saved, value)
    if jnp.issubdtype(value.dtype, jnp.bool_):
        return there & value
    if jnp.issubdtype(value.dtype, jnp.integer):
        return jnp.where(there, value, jnp.asarray(missing(value.dtype), value.dtype))
    return jnp.where(there, value, jnp.nan)


def or_nan(value: Any, fine: Array) -> Array:
    value = jnp.asarray(value)
    if not jnp.issubdtype(value.dtype, jnp.floating):
        value = value.astype(jnp.result_type(float))
    return jnp.where(fine, value, jnp.nan)


def _wide(flags: Array, like: Array) -> Array:
    return flags.reshape(flags.shape + (1,) * (like.ndim - flags.ndim))
