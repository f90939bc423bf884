"""A tape worked backwards: cotangents of results taken through every step to starts and parameters.

Which steps were taken is what it is: times between the first and the last count as constants, as they
do where one run is differentiated (diffrax stops gradients of step sizes).
"""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from ._advance import join
from ._lanes import take
from ._stages import Stepper
from ._step import observed
from ._step_back import StepBack, wide
from ._tape import ARRIVED, FELL, STILL, Tape


class Bars(eqx.Module):
    """Cotangents, while a tape is worked backwards.

    **Attributes:**

    - `y`, `slope`: of each lane's tokens and slope.
    - `shared`, `own`: of the leaves that all trajectories share, and of each lane's own.
    - `saves`: how many saves of each lane are still to be gone through.
    - `starts`: of each trajectory's own leaves, by trajectory.
    """

    y: Float[Array, "lanes tokens reduced"]
    slope: Array
    shared: Any
    own: Any
    saves: Int[Array, " lanes"] | None
    starts: Any


@dataclasses.dataclass
class Pull:
    """How a group's tape is worked backwards.

    **Attributes:**

    - `parts`: shared leaves, axes, and what is no array, of the problem.
    - `owns`: each trajectory's own leaves.
    - `marks`: Booleans like shared and own leaves: those asked for.
    - `results`, `cotangents`: by trajectory; the latter of `t1`, `y1` and, by name, `ys`.
    - `first`: the number of the first trajectory.
    """

    parts: tuple[Any, Any, Any]
    owns: Any
    marks: tuple[Any, Any]
    results: dict[str, Any]
    cotangents: dict[str, Any]
    first: Int[Array, ""]

    def zero(self, lanes: Any) -> Bars:
        """Nothing yet."""
        shared, own = self._asked(self.parts[0], 0), self._asked(lanes.own, 1)
        zeros = lambda tree: jax.tree.map(jnp.zeros_like, tree)  # noqa: E731
        return Bars(
            jnp.zeros_like(lanes.y),
            jnp.zeros_like(lanes.solver_state),
            zeros(shared),
            zeros(own),
            None if lanes.saved is None else jnp.zeros_like(lanes.saved),
            zeros(self._asked(self.owns, 1)),
        )

    def _asked(self, tree: Any, which: int) -> Any:
        return jax.tree.map(lambda x, m: x if m else None, tree, self.marks[which])

    def _stepper(self, asked: tuple[Any, Any], own: Any) -> Stepper:
        shared, axes, rest = self.parts
        return Stepper(join(eqx.combine(asked[0], shared), eqx.combine(asked[1], own), rest), axes)

    # === a window

    def window(self, tape: Tape, lanes: Any, ticks: Array, refills: Array, bars: Bars) -> Bars:
        """Backwards through all that is on the tape; `lanes` as they were at its end."""

        def one_refill(carry):
            k, end, number, own, bars = carry
            begin = tape.refills.ticks[k]

            def one_tick(carry):
                n, bars = carry
                return n - 1, self.tick(tape, n, number, own, bars)

            tick = (end - 1, bars)
            _, bars = jax.lax.while_loop(lambda c: c[0] >= begin, one_tick, tick)
            index, given = tape.refills.index[k], tape.refills.given[k]
            few = take(number, index)
            place = jnp.where(given, few - self.first, self.results["status"].shape[0])
            lane = jnp.where(given, index, number.shape[0])

            def deposit(all_, mine):
                return all_.at[place].set(mine[index], mode="drop")

            mine, shared = bars.own, bars.shared
            if mine.y0 is not None:
                mine = eqx.tree_at(_start, mine, mine.y0 + bars.y)
            if shared.y0 is not None:  # all begin at one place
                begun = jnp.where(wide(given, bars.y[index]), bars.y[index], 0)
                shared = eqx.tree_at(_start, shared, shared.y0 + jnp.sum(begun, axis=0))
            starts = jax.tree.map(deposit, bars.starts, mine)
            empty = lambda x: x.at[lane].set(0, mode="drop")  # noqa: E731
            bars = Bars(
                empty(bars.y),
                empty(bars.slope),
                shared,
                jax.tree.map(empty, bars.own),
                bars.saves,
                starts,
            )
            before = tape.refills.before[k]
            own = jax.tree.map(
                lambda all_, mine: mine.at[lane].set(all_[before - self.first], mode="drop"),
                self.owns,
                own,
            )
            number = number.at[lane].set(before, mode="drop")
            return k - 1, begin, number, own, bars

        carry = (refills - 1, ticks, lanes.number, lanes.own, bars)
        return jax.lax.while_loop(lambda c: c[0] >= 0, one_refill, carry)[-1]

    # === a tick

    def tick(self, tape: Tape, n: Array, number: Array, own: Any, bars: Bars) -> Bars:
        """Backwards through one step of all lanes."""
        t, what, y = tape.t[n], tape.what[n], tape.y[n]
        who = what != STILL
        # A step of length zero where there was none.
        tnext = jnp.where(who, tape.tnext[n], t)
        asked = (self._asked(self.parts[0], 0), self._asked(own, 1))
        jumped = None if tape.jumped is None else tape.jumped[n]
        of = lambda asked: self._stepper(asked, own)  # noqa: E731
        step = StepBack(of, asked, t, tnext, y, tape.k[n], who, jumped)
        zero = lambda tree: jax.tree.map(jnp.zeros_like, tree)  # noqa: E731
        # Cotangents of asked leaves, of `t`, `tnext`, the start, the unprojected end, and stages.
        inside = (zero(asked), zero(t), zero(t), zero(y), zero(y), zero(step.k))
        ybar = bars.y
        ending = what >= ARRIVED

        def at_end(inside, ybar):
            more, end = self._end(step, what, number)
            return jax.tree.map(jnp.add, inside, more), ybar + end

        inside, ybar = jax.lax.cond(
            jnp.any(ending), at_end, lambda inside, ybar: (inside, ybar), inside, ybar
        )
        saves = bars.saves
        if saves is not None:
            assert tape.saved is not None
            before = tape.saved[n]
            saves = jnp.where(ending, self.results["saved"][number - self.first], saves)
            inside, saves = self._saves(step, who, number, before, saves, inside)
        asked_bar, ybar, slope_bar = step.pull(inside, ybar, bars.slope, who)
        keep = lambda new, old: jnp.where(wide(who, new), new, old)  # noqa: E731
        return Bars(
            keep(ybar, bars.y),
            keep(slope_bar, bars.slope),
            jax.tree.map(jnp.add, bars.shared, asked_bar[0]),
            jax.tree.map(jnp.add, bars.own, asked_bar[1]),
            saves,
            bars.starts,
        )

    def _end(self, step: StepBack, what: Array, number: Array) -> tuple[Any, Array]:
        """Cotangents of a last step's inside, and of the tokens at its end."""
        fell, arrived = what == FELL, what == ARRIVED
        row = number - self.first
        at = jnp.where(fell, self.results["t1"][row], step.t)
        tnext = jnp.where(fell, step.tnext, step.t + 1)

        def ends(asked, t, tnext, y, moved, k, y1, at):
            stepper = step.of(asked)
            inner = stepper.interpolate(t, tnext, step.dense(y, moved, k), at)
            last = jnp.where(wide(fell, y1), inner, y1)

            def seen(p, fell, at, y):
                t = jnp.where(fell, at, p.options.t1)
                values = None if p.options.ts is not None else floats(observed(p, t, y))
                return values, p.lift(y), t

            out = stepper.over_lanes(seen, fell, at, last)
            if stepper.problem.event is None:
                return (*out, None)

            def happens(p, t, y):
                return p.event.cond_fn(t, y, p.options.args)

            return (*out, stepper.over_lanes(happens, at, inner))

        given = (step.asked, step.t, tnext, step.y, step.moved, step.k, step.y1, at)
        out, pull = jax.vjp(ends, *given)
        bars = self.cotangents
        mask = fell | arrived

        def of(bar):
            return jnp.where(wide(mask, bar[row]), bar[row], 0)

        def of_first(bar):
            return of(bar[:, 0])

        values = None
        if out[0] is not None:
            values = jax.tree.map(lambda v, b: of_first(b).astype(v.dtype), out[0], bars["ys"])
        first = (values, of(bars["y1"]), of(bars["t1"]), _none_or_zero(out[3]))
        back = pull(first)
        if out[3] is not None:
            # The event stays at zero: its time moves by what its function moves, over its slope in time.
            one = jnp.ones_like(at)
            _, rate = jax.jvp(lambda at: ends(*given[:-1], at)[3], (at,), (one,))
            rate = jnp.asarray(rate)
            moves = fell & (rate != 0) & jnp.isfinite(rate)
            share = jnp.where(moves, -back[-1] / jnp.where(moves, rate, 1), 0)
            zeros = jax.tree.map(jnp.zeros_like, out[:3])
            more = pull((*zeros, share.astype(out[3].dtype)))
            back = jax.tree.map(jnp.add, back, more)
        asked, t, tnext, y, moved, k, y1, _ = back
        tnext = jnp.where(fell, tnext, 0)
        return (asked, jnp.where(fell, t, 0), tnext, y, moved, k), y1

    def _saves(self, step, who, number, before, saves, inside) -> tuple[Any, Array]:
        """Backwards through the saves inside a step, the last first."""
        row = number - self.first
        bars = self.cotangents["ys"]

        def pending(saves):
            return who & (saves > before)

        def body(carry):
            inside, saves = carry
            now = pending(saves)
            place = jnp.maximum(saves - 1, 0)
            tnext = jnp.where(now, step.tnext, step.t + 1)

            def values(asked, t, tnext, y, moved, k):
                stepper = step.of(asked)
                ts: Any = stepper.problem.options.ts
                at = jnp.where(now, ts[place], t)
                clipped = jnp.clip(at, t, tnext)
                x = stepper.interpolate(t, tnext, step.dense(y, moved, k), clipped)
                return floats(stepper.over_lanes(observed, at, x))

            given = (step.asked, step.t, tnext, step.y, step.moved, step.k)
            out, pull = jax.vjp(values, *given)

            def of(value, bar):
                mine = bar[row, place]
                return jnp.where(wide(now, mine), mine, 0).astype(value.dtype)

            back = pull(jax.tree.map(of, out, bars))
            return jax.tree.map(jnp.add, inside, back), saves - now.astype(saves.dtype)

        return jax.lax.while_loop(lambda c: jnp.any(pending(c[1])), body, (inside, saves))


def _start(problem: Any) -> Any:
    return problem.y0


def floats(values: Any) -> Any:
    """Values that have derivatives; `None` in place of others."""
    return eqx.filter(values, eqx.is_inexact_array)


def _none_or_zero(value: Any) -> Any:
    return None if value is None else jnp.zeros_like(value)
