"""Steps that end where a field is not smooth: at breaks known from lists, and at kinks found as the run goes."""

from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, Real

from ..schedules import Kinks
from ._sides import Breaks
from ._wrapped import WrappedController


class StopState(eqx.Module):
    """The step wanted before a stop cut it short, the next stop's two sides, the run's end."""

    wanted: Any
    before: Any
    after: Any
    end: Any
    inner: Any


class Stops(WrappedController):
    r"""Any adaptive controller, its steps ended at breaks and at the zeros of $\sin(\omega t + \varphi)$.

    A step across a kink or a break has an error that embedded estimates do not see: those are
    accepted whose stages happen to miss it, and runs were off by hundreds of tolerances. A step that
    ends there is smooth. The step wanted before the cut is taken up again behind it, however short
    the cut one was: a run may start a rounding before a break.

    Steps end at breaks themselves (a `SidedSolver` sees to their sides). They end just before a kink
    and start just after it, by a few units of rounding: on the kink itself $|\sin|$ has no
    derivative, and a stage there would spoil the run's gradient.

    **Arguments:**

    - `controller`: an adaptive `diffrax` step size controller.
    - `breaks`, `kinks`: of the field; either may be `None`.
    """

    controller: diffrax.AbstractAdaptiveStepSizeController[Any, Any]
    breaks: Breaks | None
    kinks: Kinks | None

    def wrap(self, direction):
        # Backwards in time, t is -t.
        breaks = None if self.breaks is None else Breaks(self.breaks.times * direction)
        kinks = None if self.kinks is None else self.kinks.along(direction)
        return Stops(self.controller.wrap(direction), breaks, kinks)  # pyright: ignore

    def following(self, t: Real[ArrayLike, ""]) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """Where the steps from `t` on end next, and where they go on behind it."""
        t = jnp.asarray(t)
        before = after = jnp.asarray(jnp.inf, t.dtype)
        if self.breaks is not None:
            before = after = self.breaks.following(t)
        if self.kinks is not None:
            kink, behind = self.kinks.next_kink(t)
            after = jnp.where(kink < before, behind, after)
            before = jnp.minimum(before, kink)
        return before, after

    def init(self, terms, t0, t1, y0, dt0, args, func, error_order):
        tnext, inner = self.controller.init(terms, t0, t1, y0, dt0, args, func, error_order)
        before, after = self.following(t0)
        return jnp.minimum(tnext, before), StopState(tnext - t0, before, after, t1, inner)

    def adapt_step_size(
        self, t0, t1, y0, y1_candidate, args, y_error, error_order, controller_state
    ):
        s = controller_state
        keep, next_t0, next_t1, jump, inner, result = self.controller.adapt_step_size(
            t0, t1, y0, y1_candidate, args, y_error, error_order, s.inner
        )
        step = next_t1 - next_t0
        wanted = s.wanted
        if isinstance(self.controller, WrappedController):  # tokens may have come apart since
            wanted = jnp.minimum(wanted, self.controller.longest(inner))
        step = jnp.where(keep & (t1 - t0 < s.wanted), jnp.maximum(step, wanted), step)
        there = keep & (t1 >= s.before)
        next_t0 = jnp.where(there & (s.after < s.end), jnp.maximum(next_t0, s.after), next_t0)
        before, after = self.following(next_t0)
        end = jnp.minimum(next_t0 + step, before)
        state = StopState(step, before, after, s.end, inner)
        return keep, next_t0, end, jump | there, state, result


class GridState(eqx.Module):
    """The next point of the grid, the steps' length, and their state there."""

    target: Any
    step: Any
    inner: Any


class GridStops(diffrax.AbstractStepSizeController[Any, Any]):
    """Constant steps whose grid stays what it is, those that would run over a jump ended there.

    A step over a jump has an error of first order, whatever the solver; the same step in two, up to the jump
    and from it to the grid, keeps the solver's order. Jumps on the grid take no further step.

    **Arguments:**

    - `controller`: a `diffrax.ConstantStepSize`.
    - `breaks`: of the field; the last stage of a step that ends at one is not the first of the next.
    - `jumps`: those of them at which the field itself jumps.
    """

    controller: diffrax.ConstantStepSize
    breaks: Breaks
    jumps: Breaks

    def wrap(self, direction):
        def turned(breaks):
            return Breaks(breaks.times * direction)

        return GridStops(self.controller.wrap(direction), turned(self.breaks), turned(self.jumps))

    def init(self, terms, t0, t1, y0, dt0, args, func, error_order):
        target, inner = self.controller.init(terms, t0, t1, y0, dt0, args, func, error_order)
        return self._end(t0, target, target - t0), GridState(target, target - t0, inner)

    def _end(self, t, target, step):
        jump = self.jumps.beyond(jnp.asarray(t), jnp.asarray(step))
        return jnp.where(self.jumps.touches(target, step), target, jnp.minimum(jump, target))

    def adapt_step_size(
        self, t0, t1, y0, y1_candidate, args, y_error, error_order, controller_state
    ):
        s, end = controller_state, jnp.asarray(t1)
        keep, next_t0, next_t1, jump, inner, result = self.controller.adapt_step_size(
            t0, t1, y0, y1_candidate, args, y_error, error_order, s.inner
        )
        # Steps that end at a jump are none of the grid's, which counts its own.
        there = end >= s.target
        inner = jax.tree.map(lambda new, old: jnp.where(there, new, old), inner, s.inner)
        target = jnp.where(there, next_t1, s.target)
        jump = jump | self.breaks.touches(end, end - t0)
        next_end = self._end(next_t0, target, s.step)
        return keep, next_t0, next_end, jump, GridState(target, s.step, inner), result


class MarkedJumps(diffrax.AbstractStepSizeController[Any, Any]):
    """Any controller that goes its own way, such as constant steps, told of the breaks that it lands on.

    The last stage of a step is then not taken for the first of the next, which is on the other side.

    **Arguments:**

    - `controller`: a `diffrax` step size controller that is not adaptive.
    - `breaks`: of the field.
    """

    controller: diffrax.AbstractStepSizeController[Any, Any]
    breaks: Breaks

    def wrap(self, direction):
        return MarkedJumps(
            self.controller.wrap(direction),  # pyright: ignore[reportCallIssue]
            Breaks(self.breaks.times * direction),
        )

    def init(self, terms, t0, t1, y0, dt0, args, func, error_order):
        return self.controller.init(terms, t0, t1, y0, dt0, args, func, error_order)

    def adapt_step_size(
        self, t0, t1, y0, y1_candidate, args, y_error, error_order, controller_state
    ):
        keep, next_t0, next_t1, jump, state, result = self.controller.adapt_step_size(
            t0, t1, y0, y1_candidate, args, y_error, error_order, controller_state
        )
        end = jnp.asarray(t1)
        return keep, next_t0, next_t1, jump | self.breaks.touches(end, end - t0), state, result
