"""Schedules given by a table in time: piecewise constant, and interpolated."""

from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, Real

from .._checks import check, choose, finite, scalar_time
from ._base import AbstractSchedule


def _disordered(times: Any) -> Any:
    return ~(times[1:] > times[:-1])


def _times(name: str, times) -> Array:
    times = finite(name, times)
    if times.ndim != 1 or times.shape[0] == 0:
        raise ValueError(
            f"`{name}` must be a vector of at least one time; got shape {times.shape}."
        )
    return check(times, _disordered, f"`{name}` must increase strictly; got times out of order.")


class Piecewise(AbstractSchedule):
    r"""$M(t) = M_k$ for $t_k \le t < t_{k+1}$: piecewise constant, continuous from the right.

    Its jump times reach the solver, which steps to each and restarts behind it.

    **Arguments:**

    - `times`: $t_1 < \dots < t_m$, shape `(m,)`.
    - `values`: shape `(m + 1, ...)`; `values[0]` holds before `times[0]`, `values[m]` from `times[-1]` on.
    """

    times: Float[Array, " m"]
    values: Float[Array, "m_plus_1 ..."]

    def __init__(self, times, values):
        self.times = _times("times", times)
        self.values = finite("values", values)
        if self.values.ndim == 0 or self.values.shape[0] != self.times.shape[0] + 1:
            raise ValueError(
                f"`values` must have one entry more than `times` ({self.times.shape[0] + 1}); "
                f"got shape {self.values.shape}."
            )

    def __call__(self, t: Real[ArrayLike, ""]) -> Float[Array, "..."]:
        index = jnp.searchsorted(self.times, scalar_time(t, self.times.dtype), side="right")
        return self.values[index]

    @property
    def frequency(self) -> None:
        return None

    @property
    def jump_times(self) -> Float[Array, " m"]:
        return jax.lax.stop_gradient(self.times)

    def congruence(self, left, right) -> AbstractSchedule:
        return Piecewise(self.times, left @ (self.values @ right))


class Interpolated(AbstractSchedule):
    r"""$M(t)$ interpolated through values at given times by diffrax, held constant outside them.

    `"linear"` is `diffrax.LinearInterpolation`, with a kink at each knot; `"cubic"` is
    `diffrax.CubicInterpolation` with backward Hermite coefficients, whose slope is continuous and whose
    second derivative jumps at each knot. The solver steps to the knots of either.

    **Arguments:**

    - `ts`: knots, increasing, shape `(n,)` with $n \ge 2$.
    - `values`: shape `(n, ...)`.
    - `method`: `"linear"` or `"cubic"`.
    """

    ts: Float[Array, " n"]
    values: Float[Array, "n ..."]
    method: str = eqx.field(static=True)

    def __init__(self, ts, values, method: str = "cubic"):
        self.ts = _times("ts", ts)
        self.values = finite("values", values)
        self.method = choose("method", method, ("linear", "cubic"))
        if self.ts.shape[0] < 2:
            raise ValueError(
                "`ts` must hold at least two knots; got one. Use Constant for one value."
            )
        if self.values.shape[:1] != self.ts.shape:
            raise ValueError(
                f"`values` must have one entry for each of the {self.ts.shape[0]} knots; "
                f"got shape {self.values.shape}."
            )

    def __call__(self, t: Real[ArrayLike, ""]) -> Float[Array, "..."]:
        ts = self.ts.astype(self.values.dtype)
        t = jnp.clip(scalar_time(t, ts.dtype), ts[0], ts[-1])
        if self.method == "linear":
            return diffrax.LinearInterpolation(ts, self.values).evaluate(t)
        # The cubic at t rests on three knots, the one before its interval and the interval's own:
        # coefficients of all would be computed anew at each evaluation.
        start = jnp.searchsorted(ts, t, side="left") - 2
        width = min(3, ts.shape[0])
        near, values = (
            jax.lax.dynamic_slice_in_dim(x, jnp.clip(start, 0, ts.shape[0] - width), width)
            for x in (ts, self.values)
        )
        coefficients = diffrax.backward_hermite_coefficients(near, values)
        return diffrax.CubicInterpolation(near, coefficients).evaluate(t)

    @property
    def frequency(self) -> Float[Array, ""] | None:
        # Steps end at knots, and between them nothing oscillates.
        return None

    @property
    def jump_times(self) -> Float[Array, " kinks"]:
        """Where the slope jumps: at every knot, or for cubics where the constants begin and end."""
        return self.break_times if self.method == "linear" else self.break_times[jnp.array([0, -1])]

    @property
    def break_times(self) -> Float[Array, " n"]:
        return jax.lax.stop_gradient(self.ts)

    def congruence(self, left, right) -> AbstractSchedule:
        return Interpolated(self.ts, left @ (self.values @ right), self.method)
