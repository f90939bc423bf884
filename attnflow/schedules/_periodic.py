"""A stretch of another schedule, over and over."""

import math
from typing import ClassVar, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Real

from ..core.checks import check, finite, scalar_time, shaped, whole
from ..core.types import Scalar
from ._base import AbstractSchedule, Constant, GivenSchedule, as_schedule
from ._in_file import InFile
from ._kinks import KnownKinks
from ._lists import fastest
from ._range import Range, float64


class Periodic(AbstractSchedule):
    r"""$M(t) = S(t \bmod T)$: what $S$ is on $[0, T)$, repeated for ever, before time zero as well.

    The solver steps to the jumps of $S$ inside a period and to every multiple of $T$, where $M$ or
    its slope jumps unless $S$ closes smoothly. It is told of `periods` periods from time zero on,
    since a list of jumps ends somewhere: a run past `periods` times $T$, or one that begins before
    zero, still has the right $M$ but may step over its jumps.

    The gradient by $T$ is that of $S(t - kT)$ between jumps. As with the `times` of [`Piecewise`][],
    that a jump moves is not in it: it is the whole derivative of a run where $M$ is continuous.

    **Arguments:**

    - `schedule`: $S$, an array or schedule of any shape.
    - `period`: $T > 0$.
    - `periods`: a whole number, the end of the run over $T$ or more.

    **Raises:**

    `ValueError` on a period or number of periods that is not positive.

    ```python
    # On for 0.7, off for 0.3, and so on until time 20.
    P = af.Periodic(af.Piecewise([0.7], jnp.stack([P0, 0 * P0])), period=1.0, periods=20)
    ```
    """

    schedule: AbstractSchedule
    period: Float[Array, ""]
    periods: int = eqx.field(static=True)

    never_trained: ClassVar[tuple[str, ...]] = ("period",)
    in_file: ClassVar[InFile | None] = InFile(
        "periodic", schedule="schedule", period=float, periods=int
    )

    def __init__(self, schedule: GivenSchedule, period: Scalar, periods: int):
        self.schedule = as_schedule("schedule", schedule)
        period = finite("period", period)
        shaped("period", period.shape, ())
        self.period = check(
            period, lambda p: ~(p > 0), "`period` must be positive; got zero or less."
        )
        # The jumps of all periods are listed, and steps end at each.
        self.periods = whole("periods", periods, most=10**7)

    def _phase(self, t) -> Array:
        return jnp.mod(scalar_time(t, self.period.dtype), self.period)

    def __call__(self, t: Real[ArrayLike, ""]) -> Float[Array, "..."]:
        return self.schedule(self._phase(t))

    def kinks(self) -> KnownKinks:
        """None where $S$ has none; else those of $S$ in one period, again and again, which is no rule."""
        return "anywhere" if self.schedule.kinks() else ()

    @property
    def frequency(self) -> Float[Array, ""] | None:
        """At least one cycle a period."""
        own = (1 / self.period).astype(jnp.result_type(float))
        inner = fastest(self.schedule)
        return own if inner is None else jnp.maximum(own, inner)

    @property
    def jump_times(self) -> Float[Array, " jumps"]:
        return self._every_period(self.schedule.jump_times)

    @property
    def break_times(self) -> Float[Array, " breaks"]:
        return self._every_period(self.schedule.break_times)

    def _every_period(self, inner: Array | None) -> Array:
        period = jax.lax.stop_gradient(self.period)
        breaks = jnp.zeros((0,), period.dtype) if inner is None else inner.astype(period.dtype)
        # Those of S outside the period are none of M's: the beginning of the period stands for them.
        breaks = jnp.where((breaks > 0) & (breaks < period), breaks, 0)
        breaks = jnp.concatenate([jnp.zeros((1,), period.dtype), breaks])
        begins = jnp.arange(self.periods + 1).astype(period.dtype) * period
        return (begins[:, None] + breaks[None, :]).ravel()

    def apply(self, t: Real[ArrayLike, ""], y: Array) -> Array:
        return self.schedule.apply(self._phase(t), y)

    def bilinear(self, t: Real[ArrayLike, ""], x: Array, y: Array) -> Array:
        return self.schedule.bilinear(self._phase(t), x, y)

    def square_norm(self, t: Real[ArrayLike, ""]) -> Array:
        return self.schedule.square_norm(self._phase(t))

    def congruence(self, left: Array, right: Array) -> AbstractSchedule:
        inner = self.schedule.congruence(left, right)
        return Periodic(inner, self.period, self.periods)

    # === what it knows of itself: times of S come back, and are no times of its own

    def is_constant(self) -> bool:
        return self.schedule.is_constant()

    def is_symmetric(self) -> bool:
        return self.schedule.is_symmetric()

    def range_from(self, t0: float) -> Range:
        return self.schedule.range_from(0.0)

    def table_times(self) -> np.ndarray:
        return np.zeros(0)

    def value_jumps(self) -> np.ndarray:
        return np.zeros(0)

    def angular_frequencies(self) -> np.ndarray:
        return 2 * math.pi / float64(self.period).ravel()

    def repeat_periods(self) -> np.ndarray:
        return float64(self.period).ravel()

    def repeat_times(self, t0: float, until: float) -> np.ndarray:
        period = float(self.period)
        stretch = self._breaks_of_stretch()
        first = np.floor(t0 / period)
        begins = first + np.arange(min(np.ceil((until - t0) / period) + 1, 4096.0))
        every = np.unique(begins[:, None] * period + stretch[stretch < period][None, :])
        return every[(every > t0) & (every <= until)]

    def _breaks_of_stretch(self) -> np.ndarray:
        """Zero, and the times of S after it at which its tables change, or its parts that repeat."""
        table, period = self.schedule.table_times(), float(self.period)
        own = self.schedule.repeat_times(0.0, period)
        return np.concatenate([np.zeros(1), np.unique(table[table > 0]), own])

    def limits_known(self) -> bool:
        return self.schedule.limits_known()

    def frozen_at(self, t: float, side: Literal["left", "right"]) -> Constant:
        # The time is a sum that was rounded: what is meant is the nearest time of a jump.
        period, stretch = float(self.period), self._breaks_of_stretch()
        phase = t % period
        times = np.concatenate([stretch[:1], [period], stretch[1:]])
        nearest = float(times[np.argmin(np.abs(times - phase))])
        if abs(nearest - phase) <= 8 * np.finfo(np.float64).eps * (t + period):
            phase = nearest
        if phase in (0.0, period):
            phase = period if side == "left" else 0.0
        return Constant(self.schedule.frozen_at(phase, side)(jnp.asarray(phase)))
