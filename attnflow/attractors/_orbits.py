"""Closed orbits that leave a Hopf point, followed in the parameter: shooting on the manifold, with multipliers."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float

from ..core.arrays import cast_floats
from ..core.compiled import compiled
from ..flow import simulate
from ..linearisation import chart, tangent_basis
from ..model import AttentionField
from ._arc import Curve
from ._events import Event

_FIRST = 0.03  # radians: the size of the first orbit
_LONGEST = 0.15
_POINTS = 64
_NEWTON = 12
_CLOSED = 1e-9
_TRIES = 6


@dataclass(frozen=True, eq=False)
class Orbit:
    """A closed orbit at one value of the parameter.

    **Attributes:**

    - `value`, `period`: the parameter, and the time that one turn takes.
    - `points`: tokens the same time apart, `(64, tokens, dim)`.
    - `amplitude`: half the largest distance that a token has between two of them, in the metric of W.
    - `multipliers`: complex, the largest first; those of its own direction and of symmetries are 1.
    - `stable`: whether none is outside the unit circle, to 1e-6.
    """

    value: float
    period: float
    points: Float[np.ndarray, "points tokens dim"]
    amplitude: float
    multipliers: Complex[np.ndarray, " n"]

    @property
    def stable(self) -> bool:
        return bool(np.abs(self.multipliers).max(initial=0) <= 1 + 1e-6)


class _Shot(NamedTuple):
    miss: Array  # coordinates of the end in the chart at the start
    jacobian: Array
    by_period: Array
    by_value: Array


class _Closed(NamedTuple):
    """An orbit by a point on it: whitened tokens, the period, the parameter in its unit, the derivative."""

    x: np.ndarray
    period: float
    place: float
    jacobian: np.ndarray

    @property
    def row(self) -> np.ndarray:
        return np.concatenate([self.x.ravel(), [self.place]])


@compiled
def _shot(
    family: Callable[..., AttentionField], x: Array, t0: Array, period: Array, value: Array
) -> _Shot:
    basis = tangent_basis(x)

    def back(end: Array) -> Array:
        along = jnp.sum(x * end, axis=1, keepdims=True)
        inner = jnp.einsum("idk,id->ik", basis, end) / along
        return jnp.where(jnp.min(along) > 0, inner, jnp.inf)

    def end_of(xi: Array, value: Array) -> Array:
        field = cast_floats(family(value), x.dtype)
        run = simulate(
            field, field.manifold.unwhiten(chart(x, basis, xi)), t0=t0, t1=t0 + period,
            rtol=1e-11, atol=1e-13, adjoint=diffrax.ForwardMode(), throw=False,
        )  # fmt: skip
        return field.manifold.whiten(run.y1)

    def returned(both: Array) -> tuple[Array, Array]:
        end = end_of(both[:-1].reshape(x.shape[0], -1), both[-1])
        return back(end).ravel(), end

    both = jnp.append(jnp.zeros(x.size - x.shape[0], x.dtype), value)
    by_both, end = jax.jacfwd(returned, has_aux=True)(both)
    field = cast_floats(family(value), x.dtype)
    speed = field.manifold.whiten(field(t0 + period, field.manifold.unwhiten(end)))
    by_period = jax.jvp(back, (end,), (speed,))[1].ravel()
    return _Shot(back(end).ravel(), by_both[:, :-1], by_period, by_both[:, -1])


@compiled
def _around(
    family: Callable[..., AttentionField], x: Array, t0: Array, period: Array, value: Array
) -> Array:
    field = cast_floats(family(value), x.dtype)
    ts = t0 + period * jnp.arange(_POINTS, dtype=x.dtype) / _POINTS
    y = field.manifold.unwhiten(x)
    return simulate(field, y, t0=t0, t1=t0 + period, ts=ts, rtol=1e-9, atol=1e-11, throw=False).ys


def orbits_from(
    curve: Curve, event: Event, number: int, low: float, high: float
) -> tuple[Orbit, ...]:
    """Up to `number` closed orbits on the branch that leaves the Hopf point, the smallest first."""
    frame = event.frame
    free = curve.free(frame)
    values, V = np.linalg.eig(free.T @ frame.local.jacobian @ free)
    k = int(np.argmin(np.abs(values - 1j * event.eigenvalue.imag)))
    mode = V[:, k] / np.linalg.norm(np.real(V[:, k]))
    way = curve.lifted(frame, free, np.append(np.real(mode), 0.0))
    way /= np.linalg.norm(way)
    period = 2 * np.pi / event.eigenvalue.imag
    centre = np.concatenate([curve.place(frame)[:-1], [curve.place(frame)[-1]]])
    found: list[_Closed] = []
    length, tries = _FIRST, 0
    while len(found) < number and tries < _TRIES:
        if not found:
            guess, along = centre + length * way, way
            origin = centre
        else:
            # Along the secant; from the first orbit on, from the equilibrium outward.
            origin = found[-1].row
            along = origin - (found[-2].row if len(found) > 1 else centre)
            along /= np.linalg.norm(along)
            guess = origin + length * along
            period = found[-1].period
        got = _closed(curve, event, guess, period, origin, along, length)
        if got is None:
            length, tries = length / 2, tries + 1
            continue
        if not low <= got.place * curve.unit <= high:
            break
        found.append(got)
        length, tries = min(1.5 * length, _LONGEST), 0
    return tuple(_orbit(curve, event, one) for one in found)


def _closed(
    curve: Curve, event: Event, guess: np.ndarray, period: float, origin: np.ndarray,
    along: np.ndarray, length: float,
) -> _Closed | None:  # fmt: skip
    """The closed orbit in the plane at a distance from `origin`, by Newton's method."""
    like = event.frame.x
    x = guess[:-1].reshape(like.shape)
    x = x / np.linalg.norm(x, axis=1, keepdims=True)
    place, first = float(guess[-1]), period
    for _ in range(_NEWTON):
        at = jnp.asarray(x, like.dtype)
        shot = _shot(
            curve.family, at, event.frame.t, jnp.asarray(period, like.dtype),
            jnp.asarray(place * curve.unit, like.dtype),
        )  # fmt: skip
        miss, J, by_period, by_value = (np.asarray(a, np.float64) for a in shot)
        if not all(np.all(np.isfinite(a)) for a in (miss, J, by_period, by_value)):
            return None
        basis = np.asarray(tangent_basis(at), np.float64)
        off = float(along @ (np.append(x.ravel(), place) - origin)) - length
        if np.abs(miss).max() <= _CLOSED and abs(off) <= _CLOSED:
            return _Closed(x, period, place, J)
        row = np.einsum("idk,id->ik", basis, along[:-1].reshape(x.shape)).ravel()
        top = np.column_stack([J - np.eye(len(J)), by_period, by_value * curve.unit])
        M = np.vstack([top, np.concatenate([row, [0.0, along[-1]]])])
        if event.frame.local.frozen is not None:
            M[:, :-2][:, np.repeat(event.frame.local.frozen, basis.shape[2])] = 0
        # The shortest step: none along the orbit, nor along symmetries, where J - 1 is zero.
        step = np.linalg.lstsq(M, -np.append(miss, off), rcond=1e-9)[0]
        if not np.abs(step[:-2]).max() <= 0.5 or not 0.2 * first < period + step[-2] < 5 * first:
            return None
        x = x + np.einsum("idk,ik->id", basis, step[:-2].reshape(len(x), -1))
        x = x / np.linalg.norm(x, axis=1, keepdims=True)
        period, place = period + float(step[-2]), place + float(step[-1])
    return None


def _orbit(curve: Curve, event: Event, one: _Closed) -> Orbit:
    dtype = event.frame.x.dtype
    value = one.place * curve.unit
    points = np.asarray(
        _around(
            curve.family, jnp.asarray(one.x, dtype), event.frame.t, jnp.asarray(one.period, dtype),
            jnp.asarray(value, dtype),
        )
    )  # fmt: skip
    x = np.asarray(curve.field.manifold.whiten(jnp.asarray(points)), np.float64)
    apart = np.linalg.norm(x[:, None] - x[None, :], axis=-1).max() / 2
    multipliers = np.linalg.eigvals(one.jacobian)
    order = np.argsort(-np.abs(multipliers))
    return Orbit(value, one.period, points, float(apart), multipliers[order].astype(complex))
