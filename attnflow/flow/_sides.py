"""Steps that end where smooth pieces of a field meet see each piece from its own side."""

from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Real

from ..core.types import PyTree
from ._wrapped import BoolScalar, ForwardingSolver, RealScalar

# How many units of rounding a time may be off and still be a break: where a step begins (a run may
# start at 0.1 added ten times), and where it ends (diffrax moves a step's end to `t1` by a hundred).
_BEGIN, _END = 8, 128
# The same in lengths of the step, times the root of the unit: grids of constant steps are off so.
_GRID = 0.05


class Breaks(eqx.Module):
    """The times where smooth pieces of a field meet, and which of them a step touches."""

    times: Float[Array, " n"]

    def following(self, t: Real[Array, ""]) -> Float[Array, ""]:
        """The first break behind `t`; one that `t` is at, to rounding, is passed. Infinite for none."""
        passed = self.times - t <= _BEGIN * self._unit(t)
        return jnp.min(jnp.where(passed, jnp.inf, self.times), initial=jnp.inf)

    def beyond(self, t: Real[Array, ""], step: Real[Array, ""]) -> Float[Array, ""]:
        """The first break behind `t`, where a step of that length begins; one that it begins at is passed."""
        passed = self.times - t <= self._near(t, step, _BEGIN)
        return jnp.min(jnp.where(passed, jnp.inf, self.times), initial=jnp.inf)

    def touches(self, t: Real[Array, ""], step: Real[Array, ""]) -> Bool[Array, ""]:
        """Whether `t`, the end of a step of that length, is at a break."""
        return jnp.any(jnp.abs(self.times - t) <= self._near(t, step, _END))

    def limits(
        self, t0: Real[Array, ""], t1: Real[Array, ""]
    ) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """The first and last time at which a step from `t0` to `t1` may look at the field.

        Just behind a break that it begins at, and just before one that it ends at.
        """
        step = t1 - t0
        behind = self.times - t0 <= self._near(t0, step, _BEGIN)
        begins = behind & (t0 - self.times <= self._near(t0, step, _BEGIN))
        ends = ~behind & (jnp.abs(self.times - t1) <= self._near(t1, step, _END))
        first = jnp.max(jnp.where(begins, self.times, -jnp.inf), initial=-jnp.inf)
        last = jnp.min(jnp.where(ends, self.times, jnp.inf), initial=jnp.inf)
        low = jnp.where(jnp.isfinite(first), first + _aside(first), t0)
        high = jnp.where(jnp.isfinite(last), last - _aside(last), t1)
        return jnp.maximum(low, t0), jnp.minimum(high, t1)

    def _unit(self, t: Array) -> Array:
        return jnp.finfo(self.times.dtype).eps * jnp.maximum(jnp.abs(self.times), jnp.abs(t))

    def _near(self, t: Array, step: Array, units: int) -> Array:
        root = jnp.sqrt(jnp.finfo(self.times.dtype).eps)
        return units * self._unit(t) + _GRID * root * jnp.abs(step)


def _aside(t: Array) -> Array:
    # As far as rounding moves a break of a periodic schedule; at zero, the least number there is.
    info = jnp.finfo(t.dtype)
    size = jnp.where(jnp.isfinite(t), jnp.abs(t), 0)
    return jnp.maximum(4 * info.eps * size, info.tiny)


def breaks_of(field: Any, dtype: Any) -> Breaks | None:
    """The breaks of a field's schedules; `None` where there are none."""
    times = field.break_times
    if times is None:
        return None
    return Breaks(jnp.sort(jax.lax.stop_gradient(jnp.asarray(times, dtype))))


def jumps_of(field: Any, dtype: Any) -> Breaks | None:
    """Those of them at which the field itself jumps; `None` where there are none."""
    times = field.jump_times
    if times is None:
        return None
    return Breaks(jnp.sort(jax.lax.stop_gradient(jnp.asarray(times, dtype))))


class SidedSolver(ForwardingSolver):
    """Any `diffrax` solver, its stages at a break evaluated on the side of the break that the step is on.

    A stage on the break itself sees the field of the next piece: a step of Tsit5 that ends there, or
    one of constant steps whose grid falls on it, would be of first order.

    **Arguments:**

    - `solver`: a `diffrax` solver.
    - `breaks`: of the field.
    """

    solver: diffrax.AbstractSolver[Any]
    breaks: Breaks

    def step(
        self,
        terms: PyTree[diffrax.AbstractTerm[Any, Any]],
        t0: RealScalar,
        t1: RealScalar,
        y0: PyTree,
        args: PyTree,
        solver_state: PyTree,
        made_jump: BoolScalar,
    ) -> tuple[PyTree, PyTree, dict[str, PyTree], PyTree, diffrax.RESULTS]:
        if isinstance(terms, diffrax.AbstractTerm):
            # Backwards in time diffrax hands on -t, and terms that know of it.
            direction = getattr(terms, "direction", 1)
            breaks = Breaks(self.breaks.times * direction)
            terms = SidedTerm(terms, *breaks.limits(jnp.asarray(t0), jnp.asarray(t1)))
        return self.solver.step(terms, t0, t1, y0, args, solver_state, made_jump)


class SidedTerm(diffrax.AbstractTerm):
    """A term whose vector field is looked at between two times alone."""

    term: diffrax.AbstractTerm
    low: Float[Array, ""]
    high: Float[Array, ""]

    def vf(self, t, y, args):
        return self.term.vf(jnp.clip(t, self.low, self.high), y, args)

    def contr(self, t0, t1, **kwargs):
        return self.term.contr(t0, t1, **kwargs)

    def prod(self, vf, control):
        return self.term.prod(vf, control)

    def vf_prod(self, t, y, args, control):
        return self.term.vf_prod(jnp.clip(t, self.low, self.high), y, args, control)

    def is_vf_expensive(self, t0, t1, y, args):
        return self.term.is_vf_expensive(t0, t1, y, args)
