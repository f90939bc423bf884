"""Tokens under a field that time changes with a period: the state that comes back, and whether it is stable."""

import math
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..linearisation import after_period, chart, tangent_basis
from ..model import AttentionField
from ..schedules import AbstractSchedule
from ..schedules.ranges import knots, range_of, recurrence

_STEPS = 8
_CLOSE = 1e-10  # radians by which a cycle may miss itself


class Recurrence(NamedTuple):
    """Since when a field does not change, or repeats: `period` is 0, positive, or `None` for never."""

    since: float
    period: float | None


def rest_of(field: AttentionField) -> Recurrence:
    """[`Recurrence`][] by the types of P and U."""
    schedules = [s for s in (field.P, field.U) if s is not None]
    since = max([0.0, *(float(k) for s in schedules for k in knots(s, 0.0))])
    moving = [s for s in schedules if range_of(s, since).radius.max() > 0]
    if not moving:
        return Recurrence(since, 0.0)
    ends = {recurrence(s, since) for s in moving}
    end = ends.pop()
    # Two periods that differ are taken for none, common or not.
    return Recurrence(since, None if ends or end is None else end - since)


def largest(schedule: AbstractSchedule) -> float:
    """A bound on the entries of a schedule at all times, by its type; infinite where none is known."""
    size = range_of(schedule, 0.0).size
    return float(size.max()) if np.all(np.isfinite(size)) else math.inf


class PeriodicOrbit(NamedTuple):
    """Tokens that come back after a period: where, by how much they miss, and the multipliers.

    `drift` is by how much the tokens it was sought from come back elsewhere.
    """

    y: Float[Array, "tokens dim"]
    drift: float
    miss: float
    multipliers: np.ndarray  # complex, the largest first


def cycle(field: AttentionField, y: Float[Array, "tokens dim"], rest: Recurrence) -> PeriodicOrbit:
    """The cycle near tokens `y`, taken at a time when the field's period begins: Newton's method."""
    assert rest.period
    manifold = field.manifold
    x = manifold.whiten(y)
    x = x / jnp.linalg.norm(x, axis=1, keepdims=True)
    start, period = jnp.asarray(rest.since, x.dtype), jnp.asarray(rest.period, x.dtype)
    miss, M = (
        np.asarray(a, np.float64) for a in after_period(field, x, start, period, mirrored=True)
    )
    drift = float(np.abs(miss).max())
    for _ in range(_STEPS):
        size = float(np.abs(miss).max())
        if not np.isfinite(size) or size <= _CLOSE / 100:
            break
        step = np.linalg.lstsq(np.eye(len(miss)) - M, miss, rcond=1e-8)[0]
        if not np.abs(step).max() <= 0.5:
            break
        xi = jnp.asarray(step, x.dtype).reshape(x.shape[0], x.shape[1] - 1)
        moved = chart(x, tangent_basis(x), xi)
        returned, other = (
            np.asarray(a, np.float64)
            for a in after_period(field, moved, start, period, mirrored=True)
        )
        if not np.abs(returned).max() < size:
            break
        x, miss, M = moved, returned, other
    multipliers = np.linalg.eigvals(M) if np.all(np.isfinite(M)) else np.full(1, np.inf + 0j)
    order = np.argsort(-np.abs(multipliers))
    return PeriodicOrbit(manifold.unwhiten(x), drift, float(np.abs(miss).max()), multipliers[order])
