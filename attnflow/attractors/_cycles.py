"""Closed orbits of a field that time does not change: first return, Newton's method for the period, multipliers."""

from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ..flow import simulate
from ..linearisation import after_period, chart, tangent_basis
from ..model import AttentionField

_TIMES = 1024  # at which the first return is looked for
_POINTS = 256  # of the orbit that are remembered
_RETURNS = 0.1  # of the orbit's width: how close a return has to be for Newton's method to begin
_WIDTH = 1e-2  # an orbit narrower than that is none
_CLOSED = 1e-9  # by how much a polished orbit may miss itself
_ONE = 1e-5
_NEWTON = 12


class Cycle(NamedTuple):
    """A closed orbit: points of it, its period, and the multipliers, the largest first."""

    points: np.ndarray  # (points, tokens, dim), the same time apart
    period: float
    multipliers: np.ndarray

    @property
    def attracts(self) -> bool:
        """Whether every multiplier is inside the unit circle, but those that are 1: of its own direction and symmetries.

        One on the circle elsewhere turns beside the orbit at a frequency of its own, and does not come in.
        """
        others = self.multipliers[np.abs(self.multipliers - 1) > _ONE]
        return bool(np.abs(others).max(initial=0) < 1 - _ONE)


def cycle_from(field: AttentionField, y: np.ndarray, t: float, longest: float) -> Cycle | None:
    """The cycle that the orbit of `y` runs along, with a period up to `longest`; `None` where there is none."""
    start, t0 = jnp.asarray(y), jnp.asarray(t, y.dtype)
    ts = np.linspace(0.0, longest, _TIMES)
    orbit = _orbit(field, start, t0, jnp.asarray(ts, y.dtype))
    x = np.asarray(field.manifold.whiten(orbit), np.float64)
    away = np.linalg.norm(x - x[0], axis=-1).max(axis=1)
    width = away.max()
    if not np.isfinite(width) or width < _WIDTH:
        return None
    left = int(np.argmax(away > width / 2))
    inner = np.arange(left + 1, _TIMES - 1)
    low = inner[(away[inner] <= away[inner - 1]) & (away[inner] <= away[inner + 1])]
    low = low[away[low] <= _RETURNS * width]
    if not len(low):
        return None
    return _closed(field, start, t0, float(ts[low[0]]), longest)


def _closed(
    field: AttentionField, y: Array, t0: Array, period: float, longest: float
) -> Cycle | None:
    x = field.manifold.whiten(y)
    x = x / jnp.linalg.norm(x, axis=1, keepdims=True)
    for _ in range(_NEWTON):
        after = after_period(field, x, t0, jnp.asarray(period, x.dtype))
        miss, J, speed = (np.asarray(a, np.float64) for a in (*after, _speed(field, x, t0)))
        if not np.all(np.isfinite(miss)) or not np.all(np.isfinite(J)):
            return None
        M = np.concatenate([J - np.eye(len(J)), speed[:, None]], axis=1)
        if np.abs(miss).max() <= _CLOSED:
            break
        if field.frozen is not None:
            M[:, :-1][:, np.repeat(np.asarray(field.frozen), x.shape[1] - 1)] = 0
        # The shortest step: none along the orbit, nor along symmetries, where J - 1 is zero.
        step = np.linalg.lstsq(M, -miss, rcond=1e-7)[0]
        if np.abs(step[:-1]).max() > 0.5:
            return None
        x = chart(x, tangent_basis(x), jnp.asarray(step[:-1].reshape(x.shape[0], -1), x.dtype))
        period += float(step[-1])
        if not 0 < period <= 1.5 * longest:
            return None
    else:
        return None
    start = field.manifold.unwhiten(x)
    times = jnp.linspace(0.0, period, _POINTS + 1, dtype=x.dtype)
    points = np.asarray(_orbit(field, start, t0, times))[:-1]
    if np.ptp(points, axis=0).max() < _WIDTH:
        return None
    values = np.linalg.eigvals(J)
    return Cycle(points, period, values[np.argsort(-np.abs(values))])


@eqx.filter_jit
def _orbit(field: AttentionField, y: Array, t0: Array, ts: Array) -> Array:
    run = simulate(field, y, t0=t0, t1=t0 + ts[-1], ts=t0 + ts, rtol=1e-8, atol=1e-10, throw=False)
    return run.ys


@eqx.filter_jit
def _speed(field: AttentionField, x: Array, t0: Array) -> Array:
    """The velocity at whitened tokens `x`, in the chart there."""
    speed = field.manifold.whiten(field(t0, field.manifold.unwhiten(x)))
    return jnp.einsum("idk,id->ik", tangent_basis(x), speed).ravel()
