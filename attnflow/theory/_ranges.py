"""What a schedule's type says of all its values: where they lie, how fast they change, where they jump."""

import math
from fractions import Fraction
from functools import singledispatch
from typing import Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ..schedules import (
    AbstractSchedule,
    Bounded,
    Congruent,
    Constant,
    Factored,
    FixedSpectrum,
    Fourier,
    Interpolated,
    Modulated,
    Periodic,
    Piecewise,
    PositiveSemidefinite,
    Scaled,
    ScaledIdentity,
    Sinusoid,
    Sum,
    Symmetric,
)


class Range(NamedTuple):
    r"""Entry by entry, $|M(t) - \text{centre}| \le \text{radius}$ for every $t \ge t_0$.

    `slope` bounds $|\dot M(t)|$ wherever `M` does not jump. Infinite is unknown: a function of the
    user's has an infinite radius and slope. A radius of zero is a schedule that does not change.
    """

    centre: np.ndarray
    radius: np.ndarray
    slope: np.ndarray

    @property
    def size(self) -> np.ndarray:
        """A bound on each entry's absolute value."""
        return np.abs(self.centre) + self.radius


def _array(x) -> np.ndarray:
    return np.asarray(x, np.float64)


def _times(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The product of bounds: what is exactly zero stays so beside what is unknown."""
    with np.errstate(invalid="ignore"):
        product = a * b
    return np.where((a == 0) | (b == 0), 0.0, product)


def _matmul(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The matrix product of bounds, with the same rule."""
    known_a, known_b = np.where(np.isinf(a), 0, a), np.where(np.isinf(b), 0, b)
    unknown = np.isinf(a).astype(float) @ (b != 0) + (a != 0) @ np.isinf(b).astype(float)
    return np.where(unknown > 0, np.inf, known_a @ known_b)


def _product(a: Range, b: Range, times) -> Range:
    A, B = np.abs(a.centre), np.abs(b.centre)
    radius = times(A, b.radius) + times(a.radius, B) + times(a.radius, b.radius)
    slope = times(a.size, b.slope) + times(a.slope, b.size)
    return Range(
        _matmul(a.centre, b.centre) if times is _matmul else a.centre * b.centre, radius, slope
    )


def _still(value) -> Range:
    value = _array(value)
    return Range(value, np.zeros_like(value), np.zeros_like(value))


def _hull(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    low, high = values.min(axis=0), values.max(axis=0)
    return (low + high) / 2, (high - low) / 2


def _aligned(a: Range, rank: int, front: bool = False) -> Range:
    """Axes of length one until there are `rank`: at the end (a factor of matrices), or in front."""

    def shaped(x):
        missing = (1,) * (rank - x.ndim)
        return x.reshape(missing + x.shape if front else x.shape + missing)

    return Range(*(shaped(x) for x in a))


@singledispatch
def range_of(schedule: AbstractSchedule, t0: float) -> Range:
    """The [`Range`][] of a schedule from `t0` on; unknown for types that are not listed here."""
    shape = schedule.shape
    return Range(np.zeros(shape), np.full(shape, np.inf), np.full(shape, np.inf))


@range_of.register
def _(schedule: Constant, t0: float) -> Range:
    return _still(schedule.value)


@range_of.register
def _(schedule: Sinusoid, t0: float) -> Range:
    A, omega, phase = np.broadcast_arrays(
        _array(schedule.amplitude), _array(schedule.omega), _array(schedule.phase)
    )
    moving, size = (omega != 0) & (A != 0), np.abs(A)
    value = A * np.sin(phase)
    centre, radius = np.zeros_like(A), size
    if schedule.rectified:
        value, centre, radius = np.abs(value), size / 2, size / 2
    return Range(
        np.where(moving, centre, value), np.where(moving, radius, 0.0), size * np.abs(omega)
    )


@range_of.register
def _(schedule: Fourier, t0: float) -> Range:
    C, A, B = _array(schedule.constant), _array(schedule.cosine), _array(schedule.sine)
    omega = abs(float(schedule.omega))
    if omega == 0:
        return _still(C + A.sum(axis=0))
    size = np.hypot(A, B)
    k = np.arange(1, len(A) + 1)
    return Range(C, size.sum(axis=0), omega * np.tensordot(k, size, axes=1))


@range_of.register
def _(schedule: Piecewise, t0: float) -> Range:
    first = np.searchsorted(_array(schedule.times), t0, side="right")
    centre, radius = _hull(_array(schedule.values)[first:])
    return Range(centre, radius, np.zeros_like(radius))


@range_of.register
def _(schedule: Interpolated, t0: float) -> Range:
    ts, values = _array(schedule.ts), _array(schedule.values)
    first = max(int(np.searchsorted(ts, t0, side="right")) - 1, 0)
    if t0 >= ts[-1]:
        return _still(values[-1])
    width = np.diff(ts).reshape(-1, *(1,) * (values.ndim - 1))
    secant = np.diff(values, axis=0) / width
    centre, radius = _hull(values[first:])
    slope = np.abs(secant)
    if schedule.method == "cubic":
        # A cubic that leaves a knot with the slope of the interval before it, and ends with its
        # own: it departs from its chord by 4/27 of the difference times the width, at most.
        turn = np.abs(np.diff(secant, axis=0, prepend=secant[:1]))
        radius = radius + (4 / 27 * turn * width)[first:].max(axis=0)
        slope = slope + turn
    return Range(centre, radius, slope[first:].max(axis=0))


@range_of.register
def _(schedule: Sum, t0: float) -> Range:
    parts = [range_of(term, t0) for term in schedule.terms]
    return Range(*(sum(columns) for columns in zip(*parts, strict=True)))  # pyright: ignore


@range_of.register
def _(schedule: Scaled, t0: float) -> Range:
    c, s = range_of(schedule.coefficient, t0), range_of(schedule.schedule, t0)
    if c.centre.ndim == 1 and s.centre.ndim == 2:  # one number a head, one matrix for all
        s = _aligned(s, 3, front=True)
    return _product(_aligned(c, s.centre.ndim), s, _times)


@range_of.register
def _(schedule: ScaledIdentity, t0: float) -> Range:
    c = range_of(schedule.coefficient, t0)
    return _product(_aligned(c, c.centre.ndim + 2), _still(np.eye(schedule.dim)), _times)


@range_of.register
def _(schedule: Congruent, t0: float) -> Range:
    left = _product(_still(schedule.left), range_of(schedule.schedule, t0), _matmul)
    return _product(left, _still(schedule.right), _matmul)


@range_of.register
def _(schedule: Modulated, t0: float) -> Range:
    D = range_of(schedule.diagonal, t0)
    rows = _product(_aligned(D, D.centre.ndim + 1), _still(schedule.matrix), _times)
    return rows if schedule.left is None else _product(_still(schedule.left), rows, _matmul)


@range_of.register
def _(schedule: Factored, t0: float) -> Range:
    Q = Range(*(np.swapaxes(x, -1, -2) for x in range_of(schedule.Q, t0)))
    return _product(Q, range_of(schedule.K, t0), _matmul)


def _frobenius(x: np.ndarray) -> np.ndarray:
    """The Frobenius norm of bounds of entries, in place of each: what bounds any entry."""
    return np.broadcast_to(np.sqrt(np.sum(x**2, axis=(-2, -1), keepdims=True)), x.shape)


@range_of.register
def _(schedule: Bounded, t0: float) -> Range:
    inner, bound = range_of(schedule.schedule, t0), float(schedule.bound)
    # The map into the ball has slopes of at most one in the Frobenius norm.
    radius, slope = _frobenius(inner.radius), _frobenius(inner.slope)
    if np.all(np.isfinite(radius)) and radius.max(initial=0) < bound:
        still = Bounded(Constant(jnp.asarray(inner.centre)), schedule.bound, schedule.norm)
        return Range(_array(still(0.0)), radius, slope)
    return Range(np.zeros_like(radius), np.full_like(radius, bound), slope)


@range_of.register
def _(schedule: Symmetric, t0: float) -> Range:
    inner = range_of(schedule.schedule, t0)
    return Range(*((x + np.swapaxes(x, -1, -2)) / 2 for x in inner))


@range_of.register
def _(schedule: PositiveSemidefinite, t0: float) -> Range:
    S = range_of(schedule.schedule, t0)
    return _product(Range(*(np.swapaxes(x, -1, -2) for x in S)), S, _matmul)


@range_of.register
def _(schedule: FixedSpectrum, t0: float) -> Range:
    S, values = range_of(schedule.schedule, t0), _array(schedule.eigenvalues)
    shape = schedule.shape
    low, high = values.min(axis=-1)[..., None, None], values.max(axis=-1)[..., None, None]
    # O - O' moves by at most 2 |A - A'| (its derivative is -2 (I+A)^-1 dA (I+A)^-1, and I + A shrinks
    # nothing), and the eigenvalues lie within `half` of their middle, which no rotation moves.
    half = (high - low) / 2

    def moved(x):
        skew = _frobenius((x + np.swapaxes(x, -1, -2)) / 2)
        return np.broadcast_to(_times(4 * half, skew), shape)

    radius, slope = moved(S.radius), moved(S.slope)
    near = FixedSpectrum(schedule.eigenvalues, jnp.asarray(S.centre))
    if np.all(radius <= half):
        return Range(_array(near(0.0)), radius, slope)
    middle = np.broadcast_to((low + high) / 2 * np.eye(shape[-1]), shape)
    return Range(middle, np.broadcast_to(half, shape), slope)


@range_of.register
def _(schedule: Periodic, t0: float) -> Range:
    return range_of(schedule.schedule, 0.0)


def finite(schedule: AbstractSchedule) -> bool:
    """Whether every number in the schedule is."""
    return all(np.all(np.isfinite(_array(x))) for x in jax.tree.leaves(schedule) if _is_real(x))


def _is_real(x) -> bool:
    return hasattr(x, "dtype") and np.issubdtype(x.dtype, np.number)


def _parts(schedule: AbstractSchedule, *types: type) -> list:
    """The schedules of these types inside: but what a `Periodic` repeats has no times of its own."""

    def is_part(x):
        return isinstance(x, (*types, Periodic))

    found = jax.tree.leaves(schedule, is_leaf=is_part)
    return [x for x in found if isinstance(x, types)]


def knots(schedule: AbstractSchedule, t0: float) -> np.ndarray:
    """The times after `t0` that its tables hold, in order; those that come back for ever are left out."""
    tables = _parts(schedule, Piecewise, Interpolated)
    found = [_array(x.times if isinstance(x, Piecewise) else x.ts) for x in tables]
    every = np.unique(np.concatenate([np.zeros(0), *found]))
    return every[every > t0]


def _repeated(schedule: AbstractSchedule, t0: float, until: float) -> np.ndarray:
    """The times between at which parts that repeat begin anew or jump, in order; few of very many."""
    found = [np.zeros(0)]
    for part in _parts(schedule, Periodic):
        period = float(part.period)
        inner = _repeated(part.schedule, 0.0, period)
        inside = np.concatenate([[0.0], knots(part.schedule, 0.0), inner])
        first = np.floor(t0 / period)
        begins = first + np.arange(min(np.ceil((until - t0) / period) + 1, 4096.0))
        found.append((begins[:, None] * period + inside[inside < period][None, :]).ravel())
    every = np.unique(np.concatenate(found))
    return every[(every > t0) & (every <= until)]


def first_jump(schedule: AbstractSchedule, t0: float) -> tuple[float, float] | None:
    """The first time after `t0` at which a table makes `M` jump, and the largest entry's jump.

    The limits from both sides are exact: each piecewise constant part is put at its value before or
    behind the time, and the rest of the schedule, which is continuous, is evaluated at the time
    itself. A part that repeats is looked at for two periods.
    """
    periods = [float(x.period) for x in _parts(schedule, Periodic)]
    tables = [_array(x.times) for x in _parts(schedule, Piecewise)]
    times = np.unique(np.concatenate([np.zeros(0), *tables]))
    if periods:
        until = max([t0, *knots(schedule, t0)]) + 2 * max(periods)
        times = np.union1d(times, _repeated(schedule, t0, until))
    # A part that closes smoothly does so to rounding of its own.
    units = 1024 if periods else 8
    for t in times[times > t0]:
        left, right = (_limit(schedule, float(t), side) for side in ("left", "right"))
        size = float(jnp.max(jnp.abs(right - left), initial=0))
        scale = float(jnp.max(jnp.abs(right), initial=0) + jnp.max(jnp.abs(left), initial=0))
        if size > units * float(jnp.finfo(right.dtype).eps) * scale:
            return float(t), size
    return None


def _limit(schedule: AbstractSchedule, t: float, side: Literal["left", "right"]) -> jax.Array:
    """The limit of `M` at a time from one side."""

    def is_part(x):
        return isinstance(x, Piecewise | Periodic)

    def frozen(x):
        if isinstance(x, Piecewise):
            return Constant(x.values[np.searchsorted(_array(x.times), t, side=side)])
        if not isinstance(x, Periodic):
            return x
        # The time is a sum that was rounded: what is meant is the nearest time of a jump.
        period = float(x.period)
        phase, inner = t % period, x.schedule
        inside = np.concatenate([[0.0, period], knots(inner, 0.0), _repeated(inner, 0.0, period)])
        nearest = float(inside[np.argmin(np.abs(inside - phase))])
        if abs(nearest - phase) <= 8 * np.finfo(np.float64).eps * (t + period):
            phase = nearest
        if phase in (0.0, period):
            phase = period if side == "left" else 0.0
        return Constant(_limit(inner, phase, side))

    return jax.tree.map(frozen, schedule, is_leaf=is_part)(jnp.asarray(t))


def recurrence(schedule: AbstractSchedule, t0: float) -> float | None:
    """A time by which the schedule has taken all its values, `None` where none is known.

    Past the last knot of its tables only sinusoids and what repeats move; with commensurate
    frequencies they come back together.
    """
    waves = [np.abs(_array(x.omega)).ravel() for x in _parts(schedule, Sinusoid, Fourier)]
    turns = [2 * math.pi / _array(x.period).ravel() for x in _parts(schedule, Periodic)]
    moving = np.unique(np.concatenate([np.zeros(0), *waves, *turns]))
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


def some_times(schedule: AbstractSchedule, t0: float) -> np.ndarray:
    """Times at which to look for a value that breaks a hypothesis: `t0`, knots, a few periods, later.

    Fewer for large matrices, so that all values fit into memory.
    """
    number = int(np.clip(1e7 // math.prod(schedule.shape), 2, 64))
    longest = max((float(x.period) for x in _parts(schedule, Periodic)), default=0.0)
    table = np.union1d(knots(schedule, t0), _repeated(schedule, t0, t0 + longest))[: 4 * number]
    between = (np.append(t0, table)[:-1] + table) / 2
    fraction = (np.arange(1, number + 1) * 0.6180339887498949) % 1
    frequency = schedule.frequency
    fastest = 0.0 if frequency is None else float(frequency)
    spans = [1.0, 30.0] if fastest == 0 else [1 / fastest, 30 / fastest]
    return np.concatenate([[t0], table, between, *(t0 + span * fraction for span in spans)])


def values_at(schedule: AbstractSchedule, times: np.ndarray) -> np.ndarray:
    """`M(t)` at each time, in float64: shape `(times, *shape)`."""
    return _array(_values(schedule, jnp.asarray(times)))


@eqx.filter_jit
def _values(schedule: AbstractSchedule, times: jax.Array) -> jax.Array:
    return jax.vmap(schedule)(times)
