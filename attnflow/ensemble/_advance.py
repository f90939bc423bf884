"""The compiled heart of an ensemble: step all lanes, take out those that ended, put new starts in."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from ..core.compiled import compiled
from ..core.one_function import in_one_function
from ..flow import Problem
from ._lanes import (
    BAD_START,
    CLOSED,
    HELD,
    RUNNING,
    VACANT,
    Lanes,
    Maker,
    first_state,
    pick,
    take,
    trace_problem,
)
from ._stages import Stepper
from ._step import finish, may_jump, observed, step

# Lanes from which all steps between two refills are one native function: that takes half a second more to
# compile, which the few trajectories of narrow crews would not earn.
_WIDE = 128


class Inbox(eqx.Module):
    """Starts that wait: their data and numbers, and how many there are."""

    own: Any
    numbers: Int[Array, " block"]
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
    holds: bool = eqx.field(static=True, default=False)  # see `Stepper`

    # === the problem, for all lanes or a few

    def parts(self, inbox: Inbox) -> tuple[Any, Any, Any]:
        """The leaves all trajectories share, 0 at those they do not, and what is not an array."""
        own = jax.tree.map(lambda x: x[0], inbox.own)
        problem = self.maker(inbox.numbers[0], own)
        axes = trace_problem(self.maker, inbox.numbers[0], own)
        arrays, rest = eqx.partition(problem, eqx.is_array)
        shared = jax.tree.map(lambda x, axis: x if axis is None else None, arrays, axes)
        return shared, axes, rest

    def empty(self, inbox: Inbox, usable: Array) -> Lanes:
        """A crew with nothing under way; lanes from `usable` on stay closed."""
        shared, axes, rest = self.parts(inbox)
        numbers = jnp.broadcast_to(inbox.numbers[0], (self.lanes,))
        own = jax.tree.map(lambda x: jnp.broadcast_to(x[0], (self.lanes, *x.shape[1:])), inbox.own)
        like = jax.eval_shape(lambda n, own: self.begin(shared, axes, rest, n, own), numbers, own)
        lanes = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), like)
        status = jnp.where(jnp.arange(self.lanes) < usable, VACANT, CLOSED)
        return eqx.tree_at(lambda s: s.status, lanes, status.astype(jnp.int32))

    def begin(
        self, shared: Any, axes: Any, rest: Any, numbers: Int[Array, " some"], own: Any
    ) -> Lanes:
        """Lanes at their starts."""

        def one(number, own):
            problem, good = self.maker.draw(number, own)
            arrays = eqx.filter(problem, eqx.is_array)
            mine = jax.tree.map(lambda x, axis: None if axis is None else x, arrays, axes)
            return mine, first_state(problem), problem.y0, good

        mine, (solver_state, tnext, control, holds), y, good = jax.vmap(one)(numbers, own)
        stepper = Stepper(join(shared, mine, rest), axes, self.holds)
        o = stepper.problem.options
        t = jnp.broadcast_to(o.t0, numbers.shape)
        solver_state = stepper.begin(solver_state, t, y)
        zero = jnp.zeros(numbers.shape, jnp.int32)
        status = jnp.where(good, jnp.where(holds, HELD, RUNNING), BAD_START).astype(jnp.int32)
        jumped = None
        if may_jump(stepper, t, tnext, y, control):
            jumped = jnp.zeros(numbers.shape, bool)
        saves = saved = None
        if o.ts is not None:
            values = jax.eval_shape(lambda t, y: stepper.over_lanes(observed, t, y), t, y)
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
        )

    # === the loop

    def advance(
        self, lanes: Lanes, inbox: Inbox, last: Bool[Array, ""], rounds: Int[Array, ""]
    ) -> tuple[Lanes, Outbox, Int[Array, ""], Work]:
        """Work until the inbox is empty (the `last` time: until all lanes are), or for so many rounds.

        **Returns:**

        The lanes, what ended, how many starts were taken from the inbox, the work done.
        """
        shared, axes, rest = self.parts(inbox)
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
            stepper = Stepper(join(shared, own, rest), axes, self.holds)

            def inner(carry):
                lanes, done = carry
                return step(stepper, lanes), done + 1

            def steps_on(carry):
                lanes, done = carry
                return ~is_due(lanes, taken) & (done < rounds)

            def stretch(carry):
                return jax.lax.while_loop(steps_on, inner, carry)

            given = (rest_of_lanes, work.rounds)
            wide = lanes.status.size >= _WIDE
            moved, done = in_one_function(stretch, given) if wide else stretch(given)
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
            lambda few: finish(Stepper(join(shared, few.own, rest), axes, self.holds), few), few
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

        rows = finish(Stepper(join(shared, few.own, rest), axes, self.holds), few)
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
        new = self.begin(shared, axes, rest, inbox.numbers[where], take(inbox.own, where))
        vacant = eqx.tree_at(lambda s: s.status, few, jnp.where(usable, VACANT, few.status))
        few = pick(given, new, vacant)
        lanes = jax.tree.map(lambda all_, some: all_.at[index].set(some), lanes, few)
        return lanes, outbox, taken + jnp.sum(given).astype(jnp.int32)


class CrewPrograms(NamedTuple):
    """`Crew.empty` and `Crew.advance`, compiled."""

    empty: Callable[..., Lanes]
    advance: Callable[..., tuple[Lanes, Outbox, Int[Array, ""], Work]]


@functools.cache
def crew_programs() -> CrewPrograms:
    """The two programs of a crew."""
    return CrewPrograms(compiled(Crew.empty), compiled(Crew.advance))


def join(shared: Any, own: Any, rest: Any) -> Problem:
    """A problem of its parts."""
    return eqx.combine(eqx.combine(own, shared), rest)
