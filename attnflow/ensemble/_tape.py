"""A group of trajectories run with a tape: every step of every lane, from which its gradient is worked backwards."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from ._advance import Crew, Inbox, join
from ._constants import with_constant_steps
from ._lanes import REACHED, RUNNING, TIME_UP, VACANT, Lanes, pick, take
from ._stages import Stepper
from ._step import finish, step_and_stages

# What a lane did in one step of all: nothing that counts, a step, its last step, the step an event fell into.
STILL, MOVED, ARRIVED, FELL = 0, 1, 2, 3


class Refills(eqx.Module):
    """Which lanes were given which trajectories in place of which, and after how many ticks."""

    index: Int[Array, "*refills few"]
    given: Bool[Array, "*refills few"]
    before: Int[Array, "*refills few"]
    ticks: Int[Array, "*refills"]


class Tape(eqx.Module):
    """Each lane at the beginning of each of its steps, and its stages; rows that were counted are filled."""

    t: Float[Array, "ticks lanes"]
    tnext: Float[Array, "ticks lanes"]
    y: Float[Array, "ticks lanes tokens reduced"]
    k: Array
    what: Int[Array, "ticks lanes"]
    saved: Int[Array, "ticks lanes"] | None
    jumped: Bool[Array, "ticks lanes"] | None
    refills: Refills


class Where(eqx.Module):
    """How far a group is: its lanes, and how many of its trajectories were begun."""

    lanes: Lanes
    taken: Int[Array, ""]


class Group(eqx.Module):
    """So many trajectories worked by so many lanes, window after window of so many ticks.

    A tick is a step of all lanes, a window what the tape has room for.
    """

    crew: Crew
    ticks: int = eqx.field(static=True)
    refills: int = eqx.field(static=True)

    def begin(self, inbox: Inbox) -> tuple[Where, dict[str, Any], tuple[Any, Any, Any]]:
        """Lanes with nothing under way, room for results by trajectory, and the parts of the problem.

        Every lane holds the first trajectory's problem and start, so that whatever is worked in it is finite.
        """
        parts = self.crew.parts(inbox)
        shared, axes, rest = parts
        lanes = self.crew.lanes
        numbers = jnp.broadcast_to(inbox.numbers[0], (lanes,))
        own = jax.tree.map(lambda x: jnp.broadcast_to(x[0], (lanes, *x.shape[1:])), inbox.own)
        first = self.crew.begin(*parts, numbers, own)
        vacant = jnp.full(lanes, VACANT, jnp.int32)
        first = eqx.tree_at(lambda s: s.status, first, vacant)
        few = take(first, jnp.arange(self.crew.few))

        def ended(few):
            return finish(Stepper(join(shared, few.own, rest), axes), few, tokens=True)

        rows = jax.eval_shape(ended, few)
        store = jax.tree.map(lambda s: jnp.zeros((self.crew.block, *s.shape[1:]), s.dtype), rows)
        return Where(first, jnp.zeros((), jnp.int32)), store, parts

    def blank(self, parts: tuple[Any, Any, Any], lanes: Lanes) -> Tape:
        """An empty tape."""
        shared, axes, rest = parts
        bare = eqx.tree_at(lambda s: s.own, lanes, None, is_leaf=lambda x: x is None)
        k = jax.eval_shape(
            lambda: step_and_stages(Stepper(join(shared, lanes.own, rest), axes), bare)[1]["k"]
        )

        def rows(x, dtype=None):
            return jnp.zeros((self.ticks, *x.shape), x.dtype if dtype is None else dtype)

        few = (self.refills, self.crew.few)
        refills = Refills(
            jnp.zeros(few, jnp.int32),
            jnp.zeros(few, bool),
            jnp.zeros(few, jnp.int32),
            jnp.zeros(self.refills, jnp.int32),
        )
        saved = None if lanes.saved is None else rows(lanes.saved)
        jumped = None if lanes.jumped is None else rows(lanes.jumped)
        what = rows(lanes.status, jnp.int8)
        t, tnext, y = rows(lanes.t), rows(lanes.tnext), rows(lanes.y)
        return Tape(t, tnext, y, rows(k), what, saved, jumped, refills)

    def busy(self, at: Where, inbox: Inbox) -> Bool[Array, ""]:
        """Whether anything is left to do."""
        return (inbox.count > at.taken) | jnp.any(at.lanes.status >= RUNNING)

    def window(
        self, parts: tuple[Any, Any, Any], inbox: Inbox, at: Where, store: Any, tape: Tape | None
    ) -> tuple[Where, Any, Tape | None, Int[Array, ""], Int[Array, ""]]:
        """Work until the tape is full or nothing is left; without a tape until nothing is left.

        **Returns:**

        Where the group is then, results, the tape, and how many ticks and refills are on it.
        """
        shared, axes, rest = parts
        crew = self.crew

        def is_due(lanes, taken):
            ended = jnp.sum(lanes.status > RUNNING)
            free = ended + jnp.sum(lanes.status == VACANT)
            idle = ~jnp.any(lanes.status == RUNNING)
            return (ended >= crew.few) | ((free >= crew.few) & (inbox.count > taken)) | idle

        def has_room(done, refilled):
            if tape is None:
                return jnp.array(True)
            return (done < self.ticks) & (refilled < self.refills)

        def outer(carry):
            at, store, tape, done, refilled = carry
            lanes, store, taken, log = self._refill(parts, inbox, at, store)
            own = lanes.own
            lanes = eqx.tree_at(lambda s: s.own, lanes, None, is_leaf=lambda x: x is None)
            stepper = Stepper(join(shared, own, rest), axes)
            lanes = with_constant_steps(stepper.problem.options, lanes)
            if tape is not None:
                index, given, before = log
                new = Refills(index, given, before, done)
                refills = jax.tree.map(lambda a, x: a.at[refilled].set(x), tape.refills, new)
                tape = eqx.tree_at(lambda s: s.refills, tape, refills)

            def inner(carry):
                lanes, tape, done = carry
                moved, dense = step_and_stages(stepper, lanes)
                moved = with_constant_steps(stepper.problem.options, moved)
                if tape is not None:
                    tape = _write(tape, done, lanes, moved, dense["k"])
                return moved, tape, done + 1

            def steps_on(carry):
                lanes, _, done = carry
                return ~is_due(lanes, taken) & has_room(done, 0)

            lanes, tape, done = jax.lax.while_loop(steps_on, inner, (lanes, tape, done))
            lanes = eqx.tree_at(lambda s: s.own, lanes, own, is_leaf=lambda x: x is None)
            return Where(lanes, taken), store, tape, done, refilled + 1

        def outer_on(carry):
            at, _, _, done, refilled = carry
            return self.busy(at, inbox) & has_room(done, refilled)

        zero = jnp.zeros((), jnp.int32)
        return jax.lax.while_loop(outer_on, outer, (at, store, tape, zero, zero))

    def _refill(self, parts, inbox, at, store):
        shared, axes, rest = parts
        lanes, taken = at.lanes, at.taken
        free = (lanes.status == VACANT) | (lanes.status > RUNNING)
        order = jnp.where(lanes.status > RUNNING, 0, jnp.where(free, 1, 2))
        index = jnp.argsort(order, stable=True)[: self.crew.few].astype(jnp.int32)
        few = take(lanes, index)
        ended = few.status > RUNNING
        rows = finish(Stepper(join(shared, few.own, rest), axes), few, tokens=True)
        place = jnp.where(ended, few.number - inbox.numbers[0], self.crew.block)
        store = jax.tree.map(lambda all_, new: all_.at[place].set(new, mode="drop"), store, rows)
        usable = free[index]
        offer = taken + jnp.cumsum(usable.astype(jnp.int32)) - 1
        given = usable & (offer < inbox.count)
        where = jnp.where(given, offer, 0)
        new = self.crew.begin(shared, axes, rest, inbox.numbers[where], take(inbox.own, where))
        vacant = eqx.tree_at(lambda s: s.status, few, jnp.where(usable, VACANT, few.status))
        lanes = jax.tree.map(
            lambda all_, some: all_.at[index].set(some), lanes, pick(given, new, vacant)
        )
        taken = taken + jnp.sum(given).astype(jnp.int32)
        return lanes, store, taken, (index, given, few.number)


def _write(tape: Tape, tick: Array, lanes: Lanes, after: Lanes, k: Array) -> Tape:
    """The tape with one more row: lanes before and after a step of all."""
    moved = (lanes.status == RUNNING) & (after.accepted > lanes.accepted)
    what = jnp.where(moved, MOVED, STILL)
    what = jnp.where(moved & (after.status == TIME_UP), ARRIVED, what)
    what = jnp.where((lanes.status == RUNNING) & (after.status == REACHED), FELL, what)
    what = what.astype(jnp.int8)
    row = (lanes.t, lanes.tnext, lanes.y, k, what, lanes.saved, lanes.jumped)
    old = (tape.t, tape.tnext, tape.y, tape.k, tape.what, tape.saved, tape.jumped)
    new: Any = jax.tree.map(lambda all_, x: all_.at[tick].set(x), old, row)
    t, tnext, y, k, what, saved, jumped = new
    return Tape(t, tnext, y, k, what, saved, jumped, tape.refills)
