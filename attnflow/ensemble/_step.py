"""What happens to lanes: a step, saves inside it, an end; the time of an event found."""

from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from ..flow import Problem, how_ended
from ._lanes import (
    BAD_START,
    EVENT_NAN,
    HELD,
    NOT_FINITE,
    REACHED,
    RUNNING,
    SOLVER_FAILED,
    STEP_LIMIT,
    TIME_UP,
    Lanes,
    pick,
)
from ._stages import Stepper


def observed(problem: Problem, t: Array, x: Array) -> Any:
    """The observers' values, in their own dtypes."""
    return problem.saves.values(t, x, problem.options.args)


def may_jump(stepper: Stepper, t, tnext, y, control) -> bool:
    # Whether the controller ever says that the field jumped; known while tracing.
    jumps = []

    def one(p, t, tnext, y, control):
        out = _control(p, t, tnext, y, y, y, control)
        jumps.append(not isinstance(out[3], bool))
        return out[1]

    jax.eval_shape(lambda *a: stepper.over_lanes(one, *a), t, tnext, y, control)
    return jumps[0]


def _control(p: Problem, t, tnext, y, y1, error, control):
    order: Any = p.solver.error_order(diffrax.ODETerm(p.field))
    args = p.options.args
    return p.controller.adapt_step_size(t, tnext, y, y1, args, error, order, control)


def step(stepper: Stepper, lanes: Lanes) -> Lanes:
    """One step of all lanes; those not under way stay as they are."""
    return step_and_stages(stepper, lanes)[0]


def step_and_stages(stepper: Stepper, lanes: Lanes) -> tuple[Lanes, Any]:
    """The same, and what interpolation inside the step needs."""
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

    place = stepper.lanes_axis
    keep, t, tnext, jumped, control, fine, small, over = stepper.over_lanes(
        decide,
        lanes.t,
        lanes.tnext,
        jnp.moveaxis(lanes.y, 0, place),
        y1,
        error,
        lanes.control,
        axes=(0, 0, place, place, place, 0),
    )
    o = stepper.problem.options
    under_way = lanes.status == RUNNING
    # A step in which an event happens is not taken: it is worked again when the lane is emptied.
    over &= under_way & keep
    moved = under_way & keep & ~over
    running = under_way & ~over
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
    moved_lanes = Lanes(
        own=None,
        t=jnp.where(running, t, lanes.t),
        tnext=jnp.where(running, tnext, lanes.tnext),
        y=pick(moved, jnp.moveaxis(y1, place, 0), lanes.y),
        solver_state=pick(moved, state, lanes.solver_state),
        control=pick(running, control, lanes.control),
        jumped=None if lanes.jumped is None else jnp.where(moved, jumped, lanes.jumped),
        steps=steps,
        accepted=lanes.accepted + (under_way & keep).astype(jnp.int32),
        status=status,
        number=lanes.number,
        saves=saves,
        saved=saved,
    )
    return moved_lanes, dense


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
        clipped = jnp.clip(at, lanes.t, lanes.tnext)
        y = stepper.interpolate(lanes.t, lanes.tnext, dense, clipped)
        # Steps go on a rounding behind a kink: what lies between is seen at its own time.
        values = stepper.over_lanes(observed, jnp.where(now, at, clipped), y)
        rows, place = jnp.arange(saved.shape[0]), jnp.where(now, saved, most)
        saves = jax.tree.map(
            lambda all_, new: all_.at[rows, place].set(new, mode="drop"), saves, values
        )
        return saves, saved + now.astype(jnp.int32)

    return jax.lax.while_loop(lambda c: jnp.any(pending(c[1])[0]), body, (lanes.saves, lanes.saved))


def finish(stepper: Stepper, lanes: Lanes, tokens: bool = False) -> dict[str, Any]:
    """What is kept of lanes that ended: for an event, its time is found in the step it fell into.

    With `tokens` the last ones are kept too, as `y1`.
    """
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
        interpolated = stepper.interpolate(t, tnext, dense, at)
        if saved is not None:
            span = eqx.tree_at(lambda s: s.tnext, lanes, tnext)
            saves, saved = _save(stepper, span, dense, at, fell)
        t, y = jnp.where(fell, at, t), pick(fell, interpolated, y)
        at_start = status == HELD
        if saved is not None:
            start = stepper.over_lanes(observed, t, y)
            early = at_start & (ts[0] <= t)
            first = jax.tree.map(lambda many, one: many.at[:, 0].set(one), saves, start)
            saves, saved = pick(early, first, saves), jnp.where(early, 1, saved)
        status = jnp.where(at_start, REACHED, status)

    def tokens_and_events(p, t, y, happened):
        values = None if p.options.ts is not None else observed(p, t, y)
        which, lost, finite = None, jnp.array(False), jnp.all(jnp.isfinite(y))
        if p.event is not None:
            happened &= finite
            which, nan = how_ended(p.event, None, t, p.lift(y), p.options.args, happened)
            lost = jnp.any(jnp.stack(jax.tree.leaves(nan)))
        return values, which, lost, finite

    values, which, lost, finite = stepper.over_lanes(tokens_and_events, t, y, status == REACHED)
    status = jnp.where(lost, EVENT_NAN, status)
    ended_well = (status == REACHED) | (status == TIME_UP)
    status = jnp.where(ended_well & ~finite, NOT_FINITE, status)
    if saves is None:
        saves = jax.tree.map(lambda v: v[:, None], values)
        saved = (status != BAD_START).astype(jnp.int32)
    more = {"y1": stepper.over_lanes(lambda p, y: p.lift(y), y)} if tokens else {}
    return more | {
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
