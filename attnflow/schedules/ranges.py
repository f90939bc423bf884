"""What follows for a theorem from what a schedule knows of itself: jumps, return, times to look at."""

import math
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np

from ..core.compiled import compiled
from . import AbstractSchedule, Range


def range_of(schedule: AbstractSchedule, t0: float) -> Range:
    """The [`Range`][attnflow.schedules.Range] from `t0` on; no slope where a jump may hide in it."""
    bounds = schedule.range_from(t0)
    if schedule.limits_known():
        return bounds
    return bounds._replace(slope=np.full_like(bounds.slope, np.inf))


def finite(schedule: AbstractSchedule) -> bool:
    """Whether every number in the schedule is."""
    numbers = [x for x in jax.tree.leaves(schedule) if _is_real(x)]
    return all(np.all(np.isfinite(np.asarray(x, np.float64))) for x in numbers)


def _is_real(x) -> bool:
    return hasattr(x, "dtype") and np.issubdtype(x.dtype, np.number)


def knots(schedule: AbstractSchedule, t0: float) -> np.ndarray:
    """The times after `t0` that its tables hold, in order; those that come back for ever are left out."""
    every = np.unique(schedule.table_times())
    return every[every > t0]


def first_jump(schedule: AbstractSchedule, t0: float) -> tuple[float, float] | None:
    """The first time after `t0` at which a table makes `M` jump, and the largest entry's jump.

    The limits from both sides are exact: each piecewise constant part is put at its value before or
    behind the time, and the rest of the schedule, which is continuous, is evaluated at the time
    itself. A part that repeats is looked at for two periods.
    """
    periods = schedule.repeat_periods()
    times = np.unique(schedule.value_jumps())
    if len(periods):
        until = max([t0, *knots(schedule, t0)]) + 2 * float(periods.max())
        times = np.union1d(times, schedule.repeat_times(t0, until))
    # A part that closes smoothly does so to rounding of its own.
    units = 1024 if len(periods) else 8
    for t in map(float, times[times > t0]):
        left = schedule.frozen_at(t, "left")(jnp.asarray(t))
        right = schedule.frozen_at(t, "right")(jnp.asarray(t))
        size = float(jnp.max(jnp.abs(right - left), initial=0))
        scale = float(jnp.max(jnp.abs(right), initial=0) + jnp.max(jnp.abs(left), initial=0))
        if size > units * float(jnp.finfo(right.dtype).eps) * scale:
            return t, size
    return None


def recurrence(schedule: AbstractSchedule, t0: float) -> float | None:
    """A time by which the schedule has taken all its values, `None` where none is known.

    Past the last knot of its tables only sinusoids and what repeats move; with commensurate
    frequencies they come back together.
    """
    frequencies = schedule.angular_frequencies()
    if frequencies is None:
        return None
    moving = np.unique(frequencies)
    moving = moving[moving > 0]
    end = max([t0, *knots(schedule, t0)])
    if not len(moving):
        return end
    slowest, multiple = float(moving[0]), 1
    for omega in moving:
        ratio = Fraction(float(omega) / slowest).limit_denominator(64)
        if abs(float(ratio) * slowest - omega) > 1e-12 * omega:
            return None
        multiple = math.lcm(multiple, ratio.denominator)
    return end + 2 * math.pi * multiple / slowest


_MOST_PERIODS = 1_000  # of the shortest that comes back, within the time by which all do


def every_time(
    schedule: AbstractSchedule, t0: float, number: int
) -> tuple[np.ndarray, float] | None:
    """Times between which a schedule that comes back moves by its slope alone, and the longest step; `None`: not known.

    They begin with `t0`, and go until all values were taken: what is between two of them is reached from
    the earlier one without a jump, since tables' own times are among them.
    """
    end = recurrence(schedule, t0)
    if end is None:
        return None
    periods = schedule.repeat_periods()
    if len(periods) and (end - t0) / float(periods.min()) > _MOST_PERIODS:
        return None
    times = np.union1d(np.linspace(t0, max(end, t0), number), knots(schedule, t0))
    times = np.union1d(times, schedule.repeat_times(t0, end))
    times = times[(times >= t0) & (times <= max(end, t0))]
    return times, float(np.max(np.diff(times), initial=0.0))


def some_times(schedule: AbstractSchedule, t0: float) -> np.ndarray:
    """Times at which to look for a value that breaks a hypothesis: `t0`, knots, a few periods, later.

    Fewer for large matrices, so that all values fit into memory.
    """
    number = int(np.clip(1e7 // math.prod(schedule.shape), 2, 64))
    longest = float(schedule.repeat_periods().max(initial=0.0))
    returns = schedule.repeat_times(t0, t0 + longest)
    table = np.union1d(knots(schedule, t0), returns)[: 4 * number]
    between = (np.append(t0, table)[:-1] + table) / 2
    fraction = (np.arange(1, number + 1) * 0.6180339887498949) % 1
    frequency = schedule.frequency
    fastest = 0.0 if frequency is None else float(frequency)
    spans = [1.0, 30.0] if fastest == 0 else [1 / fastest, 30 / fastest]
    return np.concatenate([[t0], table, between, *(t0 + span * fraction for span in spans)])


def values_at(schedule: AbstractSchedule, times: np.ndarray) -> np.ndarray:
    """`M(t)` at each time, in float64: shape `(times, *shape)`."""
    return np.asarray(_values(schedule, jnp.asarray(times)), np.float64)


@compiled
def _values(schedule: AbstractSchedule, times: jax.Array) -> jax.Array:
    return jax.vmap(schedule)(times)
