"""Closed orbits of a field that time does not change: first return, Newton's method for the period, multipliers."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float

from ..core.checks import instance, number
from ..core.compiled import compiled
from ..core.types import Numbers, Scalar
from ..flow import simulate
from ..linearisation import after_period, chart, check_field, check_state, tangent_basis
from ..model import AttentionField
from ..schedules.ranges import range_of

_TIMES = 1024  # at which the first return is looked for
_POINTS = 256  # of the orbit that are remembered
_RETURNS = 0.1  # of the orbit's width: how close a return has to be for Newton's method to begin
_WIDTH = 1e-2  # an orbit narrower than that is none
_CLOSED = 1e-9  # by how much a polished orbit may miss itself
_ONE = 1e-5
_NEWTON = 12


class Cycle(NamedTuple):
    """A closed orbit of a field that time does not change.

    **Attributes:**

    - `points`: tokens the same time apart, `(256, tokens, dim)`.
    - `period`: the least time after which tokens come back.
    - `multipliers`: complex, the largest first: eigenvalues of the derivative of the tokens a period later.
    """

    points: Float[np.ndarray, "points tokens dim"]
    period: float
    multipliers: Complex[np.ndarray, " n"]

    @property
    def attracts(self) -> bool:
        """Whether multipliers are inside the unit circle, but those that are 1: of its direction and symmetries.

        One on the circle elsewhere turns beside the orbit at a frequency of its own, and does not come in.
        """
        others = self.multipliers[np.abs(self.multipliers - 1) > _ONE]
        return bool(np.abs(others).max(initial=0) < 1 - _ONE)


def cycle(field: AttentionField, y: Numbers, *, longest: Scalar, t: Scalar = 0.0) -> Cycle | None:
    r"""The closed orbit next to the run from `y`: its period, and the multipliers that say whether it attracts.

    $$ \phi_T(x) = x, \qquad \mu_k \text{ eigenvalues of } D\phi_T(x). $$

    The first close return of the run gives a guess, and Newton's method for tokens and period the orbit (no
    part of its steps is along the orbit, nor along symmetries). It misses itself by no more than 1e-9.

    **Arguments:**

    - `field`: an [`AttentionField`][] that time does not change, whose tokens stay on the manifold.
    - `y`: tokens close to the orbit, such as the end of a long run, `(tokens, dim)`.
    - `longest`: the longest period that is looked for.
    - `t`: the time at which schedules are taken.

    **Returns:**

    A [`Cycle`][attnflow.attractors.Cycle]; `None` where there is no such orbit near.

    **Raises:**

    `ValueError` for bad arguments.

    ```python
    turn = jnp.array([[1.0, -2.0, 0.0], [2.0, 1.0, 0.0], [0.0, 0.0, 0.5]])
    field = af.AttentionField(af.Sphere(3), P=jnp.eye(3), U=turn, scale=1.0)
    end = af.simulate(field, af.Sphere(3).random(jax.random.key(0), (4,)), t1=40.0).y1
    af.attractors.cycle(field, end, longest=10.0).period       # pi
    ```
    """
    instance("field", field, AttentionField, "an AttentionField")
    longest = number("longest", longest, above=0.0)
    time, _ = check_state(check_field("field", field), t, y)
    refuse_moving(field, float(time))
    return cycle_from(field, np.asarray(y, time.dtype), float(time), longest)


def refuse_moving(field: AttentionField, t0: float) -> None:
    """A `ValueError` where P or U changes after `t0`."""
    for name, schedule in (("P", field.P), ("U", field.U)):
        if schedule is not None and np.any(range_of(schedule, t0).radius > 0):
            raise ValueError(
                f"`field` must not change in time, or nothing comes to rest; got {name} = "
                f"{type(schedule).__name__}. Freeze it: pass the matrix that it is at one time."
            )


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
        closed = np.abs(miss).max() <= _CLOSED
        if field.frozen is not None:
            M[:, :-1][:, np.repeat(np.asarray(field.frozen), x.shape[1] - 1)] = 0
        # The shortest step: none along the orbit, nor along symmetries, where J - 1 is zero.
        step = np.linalg.lstsq(M, -miss, rcond=1e-7)[0]
        if np.abs(step[:-1]).max() > 0.5:
            return None
        x = chart(x, tangent_basis(x), jnp.asarray(step[:-1].reshape(x.shape[0], -1), x.dtype))
        period += float(step[-1])
        if closed:  # and this was its last step, below all that the multipliers feel
            break
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


@compiled
def _orbit(field: AttentionField, y: Array, t0: Array, ts: Array) -> Array:
    run = simulate(field, y, t0=t0, t1=t0 + ts[-1], ts=t0 + ts, rtol=1e-8, atol=1e-10, throw=False)
    return run.ys


@compiled
def _speed(field: AttentionField, x: Array, t0: Array) -> Array:
    """The velocity at whitened tokens `x`, in the chart there."""
    speed = field.manifold.whiten(field(t0, field.manifold.unwhiten(x)))
    return jnp.einsum("idk,id->ik", tangent_basis(x), speed).ravel()
