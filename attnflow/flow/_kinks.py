"""Steps that end at the kinks of rectified sinusoids, found as the run goes and not from a list."""

import math
from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, Real

from ..model import AttentionField
from ..schedules import Sinusoid
from ._wrapped import WrappedController

_MOST = 64  # beyond this many entries, stopping at every kink costs more than it saves


class KinkState(eqx.Module):
    """The step wanted before a kink cut it short, the next kink's two sides, the run's end."""

    wanted: Any
    before: Any
    after: Any
    end: Any
    inner: Any


class KinkStops(WrappedController):
    r"""Any adaptive controller, its steps ended at the zeros of $\sin(\omega t + \varphi)$.

    A step across a kink of $|\sin|$ has an error that embedded estimates do not see: those are
    accepted whose stages happen to miss the kink, and runs were off by hundreds of tolerances. A
    step that ends at the kink is smooth. The step wanted before the cut is taken up again behind it.

    Steps end just before a kink and start just after it, by a few units of rounding: on the kink
    itself $|\sin|$ has no derivative, and a stage there would spoil the run's gradient.

    **Arguments:**

    - `controller`: an adaptive `diffrax` step size controller.
    - `omega`, `phase`: of the rectified sinusoids, vectors.
    """

    controller: diffrax.AbstractAdaptiveStepSizeController
    omega: Float[Array, " entries"]
    phase: Float[Array, " entries"]

    def wrap(self, direction):
        # Backwards in time, t is -t.
        inner = self.controller.wrap(direction)
        return KinkStops(inner, self.omega * direction, self.phase)  # pyright: ignore

    def next_kink(self, t: Real[ArrayLike, ""]) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """Just before and just after the first kink behind `t`."""
        speed = jnp.abs(self.omega)
        still = speed == 0
        safe = jnp.where(still, 1, speed)
        phase = jnp.where(self.omega < 0, -self.phase, self.phase)
        turns = (safe * t + phase) / jnp.pi
        eps = jnp.finfo(turns.dtype).eps
        slack = 4 * eps * (1 + jnp.abs(turns))
        times = ((jnp.floor(turns + slack) + 1) * jnp.pi - phase) / safe
        # As far as rounding of the argument moves a zero, in time.
        margin = 8 * eps * (jnp.abs(times) + (jnp.abs(phase) + 1) / safe)
        passed = still | (times - margin <= t)
        first = jnp.argmin(jnp.where(passed, jnp.inf, times - margin))
        none = jnp.all(passed)
        sides = (times - margin)[first], (times + margin)[first]
        return jnp.where(none, jnp.inf, sides[0]), jnp.where(none, jnp.inf, sides[1])

    def init(self, terms, t0, t1, y0, dt0, args, func, error_order):
        tnext, inner = self.controller.init(terms, t0, t1, y0, dt0, args, func, error_order)
        before, after = self.next_kink(t0)
        return jnp.minimum(tnext, before), KinkState(tnext - t0, before, after, t1, inner)

    def adapt_step_size(
        self, t0, t1, y0, y1_candidate, args, y_error, error_order, controller_state
    ):
        s = controller_state
        keep, next_t0, next_t1, jump, inner, result = self.controller.adapt_step_size(
            t0, t1, y0, y1_candidate, args, y_error, error_order, s.inner
        )
        step = next_t1 - next_t0
        step = jnp.where(keep & (t1 - t0 < s.wanted), jnp.maximum(step, s.wanted), step)
        cross = keep & (t1 >= s.before) & (s.after < s.end)
        next_t0 = jnp.where(cross, s.after, next_t0)
        before, after = self.next_kink(next_t0)
        end = jnp.minimum(next_t0 + step, before)
        state = KinkState(step, before, after, s.end, inner)
        return keep, next_t0, end, jump | cross, state, result


def stops_at_kinks(field: AttentionField) -> bool:
    """Whether every kink of the field's schedules can be stepped to: known by type, and few enough."""
    parts = field.kinked
    shapes = [
        jnp.broadcast_shapes(p.omega.shape, p.phase.shape) for p in parts if isinstance(p, Sinusoid)
    ]
    size = sum(math.prod(shape) for shape in shapes)
    return bool(parts) and all(isinstance(p, Sinusoid) for p in parts) and size <= _MOST


def with_kinks(controller: Any, field: AttentionField, t0: Array) -> Any:
    """`controller`, made to end steps at the kinks of the field's schedules where they are few."""
    if not stops_at_kinks(field):
        return controller
    pairs = [jnp.broadcast_arrays(*_same_rank(p.omega, p.phase)) for p in field.kinked]  # pyright: ignore
    omega, phase = (
        jax.lax.stop_gradient(jnp.concatenate([pair[k].ravel() for pair in pairs]).astype(t0.dtype))
        for k in (0, 1)
    )
    return KinkStops(controller, omega, phase)  # pyright: ignore[reportCallIssue]


def _same_rank(*arrays: Array) -> list[Array]:
    rank = max(a.ndim for a in arrays)
    return [a.reshape((1,) * (rank - a.ndim) + a.shape) for a in arrays]
