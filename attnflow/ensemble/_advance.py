"""The compiled heart of an ensemble: step all lanes, take out those that ended, put new starts in."""

from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from ..flow._problem import Problem
from ._lanes import (
    BAD_START,
    CLOSED,
    HELD,
    NOT_FINITE,
    REACHED,
    RUNNING,
    SOLVER_FAILED,
    STEP_LIMIT,
    TIME_UP,
    VACANT,
    Lanes,
    Maker,
    first_state,
    pick,
    take,
    trace_problem,
)
from ._stages import Stepper


class Inbox(eqx.Module):
    """Starts that wait: their data, the number of the first, how many there are."""

    own: Any
    first: Int[Array, ""]
    count: Int[Array, ""]


class Outbox(eqx.Module):
    """Trajectories that ended, in the order in which they did; rows up to `count` are filled."""

    rows: dict[str, Any]
    count: Int[Array, ""]


class Work(eqx.Module):
    """What was done: rounds of steps of all lanes, and times that lanes were taken out and refilled."""

    rounds: Int[Array, ""]
    refills: Int[Array, ""]


class Crew(eqx.Module):
    """So many lanes, refilled so many at a time, and how their trajectories are made."""

    maker: Maker
    lanes: int = eqx.field(static=True)
    few: int = eqx.field(static=True)
    block: int = eqx.field(static=True)

    # === the problem, for all lanes or a few

    def _problem(self, inbox: Inbox) -> tuple[Any, Any, Any]:
        # The leaves all trajectories share, which leaves those are, and what is not an array.
        own = jax.tree.map(lambda x: x[0], inbox.own)
        problem = self.maker(inbox.first, own)
        axes = trace_problem(self.maker, inbox.first, own)
        arrays, rest = eqx.partition(problem, eqx.is_array)
        shared = jax.tree.map(lambda x, axis: x if axis is None else None, arrays, axes)
        return shared, axes, rest

    @eqx.filter_jit
    def empty(self, inbox: Inbox, usable: Array) -> Lanes:
        """A crew with nothing under way; lanes from `usable` on stay closed."""
        shared, axes, rest = self._problem(inbox)
        numbers = jnp.broadcast_to(inbox.first, (self.lanes,))
        own = jax.tree.map(lambda x: jnp.broadcast_to(x[0], (self.lanes, *x.shape[1:])), inbox.own)
        like = jax.eval_shape(
            lambda n, own: self._begin(shared, axes, rest, n, own)[0], numbers, own
        )
        lanes = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), like)
        status = jnp.where(jnp.arange(self.lanes) < usable, VACANT, CLOSED)
        return eqx.tree_at(lambda s: s.status, lanes, status.astype(jnp.int32))

    def _begin(self, shared, axes, rest, numbers, own) -> tuple[Lanes, Bool[Array, " some"]]:
        # Lanes at their starts, and whether each has a start.
        def one(number, own):
            problem = self.maker(number, own)
            arrays = eqx.filter(problem, eqx.is_array)
            mine = jax.tree.map(lambda x, axis: None if axis is None else x, arrays, axes)
            return mine, first_state(problem), problem.y0, self.maker.is_good(number, own)

        mine, (solver_state, tnext, control, holds), y, good = jax.vmap(one)(numbers, own)
        stepper = Stepper(_join(shared, mine, rest), axes)
        o = stepper.problem.options
        t = jnp.broadcast_to(o.t0, numbers.shape)
        solver_state = stepper.begin(solver_state, t, y)
        zero = jnp.zeros(numbers.shape, jnp.int32)
        status = jnp.where(good, jnp.where(holds, HELD, RUNNING), BAD_START).astype(jnp.int32)
        jumped = None
        if _may_jump(stepper, t, tnext, y, control):
            jumped = jnp.zeros(numbers.shape, bool)
        saves = saved = None
        if o.ts is not None:
            values = jax.eval_shape(lambda t, y: stepper.over_lanes(_observed, t, y), t, y)
            count, times = numbers.shape[0], o.ts.shape[0]
            saves = jax.tree.map(lambda v: jnp.zeros((count, times, *v.shape[1:]), v.dtype), values)
            saved = zero
        return Lanes(
            own=mine,
            t=t,
            tnext=tnext,
            y=y,
            solver_state=solver_state,
            control=control,
            jumped=jumped,
            steps=zero,
            accepted=zero,
            status=status,
            number=numbers,
            saves=saves,
            saved=saved,
        ), good

    # === the loop

    @eqx.filter_jit
    def advance(
        self, lanes: Lanes, inbox: Inbox, last: Bool[Array, ""], rounds: Int[Array, ""]
    ) -> tuple[Lanes, Outbox, Int[Array, ""], Work]:
        """Work until the inbox is empty (the `last` time: until all lanes are), or for so many rounds.

        **Returns:**

        The lanes, what ended, how many starts were taken from the inbox, the work done.
        """
        shared, axes, rest = self._problem(inbox)
        outbox = self._outbox(shared, axes, rest, lanes)
        zero = jnp.zeros((), jnp.int32)

        def count(lanes, code):
            return jnp.sum(lanes.status == code)

        def is_due(lanes, taken):
            ended = jnp.sum(lanes.status > RUNNING)
            free, left = ended + count(lanes, VACANT), inbox.count - taken
            idle = count(lanes, RUNNING) == 0
            return (ended >= self.few) | ((free >= self.few) & (left > 0)) | idle

        def goes_on(lanes, taken):
            left = inbox.count - taken
            busy = jnp.any(lanes.status >= RUNNING)
            return (left > 0) | (last & busy)

        def outer(carry):
            lanes, outbox, taken, work = carry
            own, rest_of_lanes = (
                lanes.own,
                eqx.tree_at(lambda s: s.own, lanes, None, is_leaf=lambda x: x is None),
            )
            stepper = Stepper(_join(shared, own, rest), axes)

            def inner(carry):
                lanes, done = carry
                return _step(stepper, lanes), done + 1

            def steps_on(carry):
                lanes, done = carry
                return ~is_due(lanes, taken) & (done < rounds)

            moved, done = jax.lax.while_loop(steps_on, inner, (rest_of_lanes, work.rounds))
            lanes = eqx.tree_at(lambda s: s.own, moved, own, is_leaf=lambda x: x is None)
            lanes, outbox, taken = self._refill(shared, axes, rest, lanes, inbox, outbox, taken)
            return lanes, outbox, taken, Work(done, work.refills + 1)

        def outer_on(carry):
            lanes, _, taken, work = carry
            return goes_on(lanes, taken) & (work.rounds < rounds)

        start = (lanes, outbox, zero, Work(zero, zero))
        return jax.lax.while_loop(outer_on, outer, start)

    # === taking out and putting in

    def _outbox(self, shared, axes, rest, lanes: Lanes) -> Outbox:
        few = take(lanes, jnp.arange(self.few))
        rows = jax.eval_shape(
            lambda few: _finish(Stepper(_join(shared, few.own, rest), axes), few), few
        )
        room = self.block + self.lanes
        empty = jax.tree.map(lambda s: jnp.zeros((room, *s.shape[1:]), s.dtype), rows)
        return Outbox(empty, jnp.zeros((), jnp.int32))

    def _refill(self, shared, axes, rest, lanes, inbox, outbox, taken):
        free = (lanes.status == VACANT) | (lanes.status > RUNNING)
        # The first few free lanes: those that ended before those that were never used.
        order = jnp.where(lanes.status > RUNNING, 0, jnp.where(free, 1, 2))
        index = jnp.argsort(order, stable=True)[: self.few]
        few = take(lanes, index)
        ended = few.status > RUNNING

        rows = _finish(Stepper(_join(shared, few.own, rest), axes), few)
        room = self.block + self.lanes
        place = jnp.where(ended, outbox.count + jnp.cumsum(ended.astype(jnp.int32)) - 1, room)
        rows = jax.tree.map(
            lambda all_, new: all_.at[place].set(new, mode="drop"), outbox.rows, rows
        )
        outbox = Outbox(rows, outbox.count + jnp.sum(ended).astype(jnp.int32))

        usable = free[index]
        offer = taken + jnp.cumsum(usable.astype(jnp.int32)) - 1
        given = usable & (offer < inbox.count)
        where = jnp.where(given, offer, 0)
        new, _ = self._begin(shared, axes, rest, inbox.first + where, take(inbox.own, where))
        vacant = eqx.tree_at(lambda s: s.status, few, jnp.where(usable, VACANT, few.status))
        few = pick(given, new, vacant)
        lanes = jax.tree.map(lambda all_, some: all_.at[index].set(some), lanes, few)
        return lanes, outbox, taken + jnp.sum(given).astype(jnp.int32)


def _join(shared: Any, own: Any, rest: Any) -> Problem:
    return eqx.combine(eqx.combine(own, shared), rest)


def _observed(problem: Problem, t: Array, x: Array) -> Any:
    return problem.saves(t, x, problem.options.args)


def _may_jump(stepper: Stepper, t, tnext, y, control) -> bool:
    # Whether the controller ever says that the field jumped; known while tracing.
    found = []

    def one(p, t, tnext, y, control):
        out = _control(p, t, tnext, y, y, y, control)
        found.append(not isinstance(out[3], bool))
        return out[1]

    jax.eval_shape(lambda *a: stepper.over_lanes(one, *a), t, tnext, y, control)
    return found[0]


def _control(p: Problem, t, tnext, y, y1, error, control):
    order: Any = p.solver.error_order(diffrax.ODETerm(p.field))
    args = p.options.args
    return p.controller.adapt_step_size(t, tnext, y, y1, args, error, order, control)


def _step(stepper: Stepper, lanes: Lanes) -> Lanes:
    """One step of all lanes; those not under way stay as they are."""
    y1, error, dense, state, worked = stepper(
        lanes.t, lanes.tnext, lanes.y, lanes.solver_state, lanes.jumped
    )
    if error is not None:
        error = jnp.where(jnp.isnan(error), jnp.inf, error)

    def decide(p, t, tnext, y, y1, error, control):
        o = p.options
        keep, t_new, t_end, jumped, control, result = _control(p, t, tnext, y, y1, error, control)
        t_new = jnp.minimum(t_new, o.t1)
        near = o.t1 - 100 * jnp.finfo(t.dtype).eps * jnp.abs(o.t1)
        there = jnp.where(keep, o.t1, t_new + 0.5 * (o.t1 - t_new))
        t_end = jnp.where(t_end > near, there, t_end)
        fine = jnp.asarray(result == diffrax.RESULTS.successful)
        small = jnp.asarray(result == diffrax.RESULTS.dt_min_reached)
        over = jnp.array(False)
        if p.event is not None:
            over = p.event.cond_fn(t_new, jnp.where(keep, y1, y), o.args) <= 0
        control = jax.tree.map(jnp.asarray, control)
        return jnp.asarray(keep), t_new, t_end, jnp.asarray(jumped), control, fine, small, over

    keep, t, tnext, jumped, control, fine, small, over = stepper.over_lanes(
        decide, lanes.t, lanes.tnext, lanes.y, y1, error, lanes.control
    )
    o = stepper.problem.options
    under_way = lanes.status == RUNNING
    # A step in which an event happens is not taken: it is worked again when the lane is emptied.
    over &= under_way & keep
    moved = under_way & keep & ~over
    again = under_way & ~over
    steps = lanes.steps + under_way.astype(jnp.int32)
    status = lanes.status
    status = jnp.where(under_way & (steps >= o.max_steps), STEP_LIMIT, status)
    status = jnp.where(moved & (t >= o.t1), TIME_UP, status)
    status = jnp.where(under_way & ~worked, SOLVER_FAILED, status)
    status = jnp.where(under_way & ~fine, jnp.where(small, NOT_FINITE, SOLVER_FAILED), status)
    status = jnp.where(over, REACHED, status).astype(lanes.status.dtype)
    saves, saved = lanes.saves, lanes.saved
    if saved is not None:
        saves, saved = _save(stepper, lanes, dense, lanes.tnext, moved)
    return Lanes(
        own=None,
        t=jnp.where(again, t, lanes.t),
        tnext=jnp.where(again, tnext, lanes.tnext),
        y=pick(moved, y1, lanes.y),
        solver_state=pick(moved, state, lanes.solver_state),
        control=pick(again, control, lanes.control),
        jumped=None if lanes.jumped is None else jnp.where(moved, jumped, lanes.jumped),
        steps=steps,
        accepted=lanes.accepted + (under_way & keep).astype(jnp.int32),
        status=status,
        number=lanes.number,
        saves=saves,
        saved=saved,
    )


def _save(stepper: Stepper, lanes: Lanes, dense: Any, until: Array, who: Array) -> tuple[Any, Any]:
    """The saves and how many, with those up to `until` of the lanes `who` made."""
    ts: Any = stepper.problem.options.ts
    most = ts.shape[0]

    def pending(saved):
        at = ts[jnp.minimum(saved, most - 1)]
        return who & (saved < most) & (at <= until), at

    def body(carry):
        saves, saved = carry
        now, at = pending(saved)
        inside = jnp.clip(at, lanes.t, lanes.tnext)
        y = stepper.interpolate(lanes.t, lanes.tnext, dense, inside)
        values = stepper.over_lanes(_observed, inside, y)
        rows, place = jnp.arange(saved.shape[0]), jnp.where(now, saved, most)
        saves = jax.tree.map(
            lambda all_, new: all_.at[rows, place].set(new, mode="drop"), saves, values
        )
        return saves, saved + now.astype(jnp.int32)

    return jax.lax.while_loop(lambda c: jnp.any(pending(c[1])[0]), body, (lanes.saves, lanes.saved))


def _finish(stepper: Stepper, lanes: Lanes) -> dict[str, Any]:
    """What is kept of lanes that ended: for an event, its time is found in the step it fell into."""
    ts: Any = stepper.problem.options.ts
    event = stepper.problem.event
    t, y, status = lanes.t, lanes.y, lanes.status
    saves, saved = lanes.saves, lanes.saved
    if event is not None:
        # Lanes that ended otherwise take a step that goes nowhere, over an interval of its own.
        fell = status == REACHED
        tnext = jnp.where(fell, lanes.tnext, t + 1)
        _, _, dense, _, _ = stepper(t, tnext, y, lanes.solver_state, lanes.jumped)
        at = _bisect(stepper, t, tnext, dense)
        inside = stepper.interpolate(t, tnext, dense, at)
        if saved is not None:
            span = eqx.tree_at(lambda s: s.tnext, lanes, tnext)
            saves, saved = _save(stepper, span, dense, at, fell)
        t, y = jnp.where(fell, at, t), pick(fell, inside, y)
        at_start = status == HELD
        if saved is not None:
            start = stepper.over_lanes(_observed, t, y)
            early = at_start & (ts[0] <= t)
            first = jax.tree.map(lambda many, one: many.at[:, 0].set(one), saves, start)
            saves, saved = pick(early, first, saves), jnp.where(early, 1, saved)
        status = jnp.where(at_start, REACHED, status)

    def tokens_and_events(p, t, y, happened):
        values = None if p.options.ts is not None else p.saves(t, y, p.options.args)
        which = None
        if p.event is not None:
            which = p.event.cond_fn.on_tokens().which(t, p.lift(y), p.options.args, happened)
        return values, which, jnp.all(jnp.isfinite(y))

    values, which, finite = stepper.over_lanes(tokens_and_events, t, y, status == REACHED)
    ended_well = (status == REACHED) | (status == TIME_UP)
    status = jnp.where(ended_well & ~finite, NOT_FINITE, status)
    if saves is None:
        saves = jax.tree.map(lambda v: v[:, None], values)
        saved = (status != BAD_START).astype(jnp.int32)
    return {
        "number": lanes.number,
        "status": status.astype(jnp.int8),
        "t1": t,
        "steps": lanes.steps,
        "accepted": lanes.accepted,
        "ys": saves,
        "saved": saved,
        "event": which,
    }


def _bisect(stepper: Stepper, t: Array, tnext: Array, dense: Any) -> Array:
    """The time inside each step at which the event function has fallen through zero."""
    halvings = jnp.finfo(t.dtype).nmant + 2

    def fallen(p, t, y):
        return p.event.cond_fn(t, y, p.options.args) <= 0

    def body(_, ends):
        low, high = ends
        middle = low + 0.5 * (high - low)
        y = stepper.interpolate(t, tnext, dense, middle)
        down = stepper.over_lanes(fallen, middle, y)
        return jnp.where(down, low, middle), jnp.where(down, middle, high)

    return jax.lax.fori_loop(0, halvings, body, (t, tnext))[1]
