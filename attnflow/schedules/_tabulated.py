"""Schedules given by a table in time: piecewise constant, and interpolated."""

from collections.abc import Callable
from typing import Any, ClassVar, Literal

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Real

from ..core.checks import check, choose, finite, scalar_time, shaped
from ..core.types import Numbers
from ._base import AbstractSchedule, Constant
from ._in_file import InFile
from ._range import Range, float64, hull, same_transposed


def _disordered(times: Any) -> Any:
    return ~(times[1:] > times[:-1])


def _times(name: str, times) -> Array:
    times = finite(name, times)
    shaped(name, times.shape, ("times",))
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

    never_trained: ClassVar[tuple[str, ...]] = ("times",)
    in_file: ClassVar[InFile | None] = InFile("piecewise", times=list, values="array")

    def __init__(self, times: Numbers, values: Numbers):
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

    def congruence(self, left: Array, right: Array) -> AbstractSchedule:
        return Piecewise(self.times, left @ (self.values @ right))

    def mapped(self, f: Callable[[Array], Array], linear: bool = False) -> "Piecewise":
        return Piecewise(self.times, jax.vmap(f)(self.values))

    def range_from(self, t0: float) -> Range:
        first = np.searchsorted(float64(self.times), t0, side="right")
        centre, radius = hull(float64(self.values)[first:])
        return Range(centre, radius, np.zeros_like(radius))

    def table_times(self) -> np.ndarray:
        return float64(self.times)

    def value_jumps(self) -> np.ndarray:
        return float64(self.times)

    def limits_known(self) -> bool:
        return True

    def frozen_at(self, t: float, side: Literal["left", "right"]) -> Constant:
        return Constant(self.values[np.searchsorted(float64(self.times), t, side=side)])

    def angular_frequencies(self) -> np.ndarray:
        return np.zeros(0)

    def is_symmetric(self) -> bool:
        return same_transposed(self.values)


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

    never_trained: ClassVar[tuple[str, ...]] = ("ts",)
    in_file: ClassVar[InFile | None] = InFile(
        "interpolated", ts=list, values="array", method=(Literal["linear", "cubic"], "cubic")
    )

    def __init__(self, ts: Numbers, values: Numbers, method: str = "cubic"):
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

    def congruence(self, left: Array, right: Array) -> AbstractSchedule:
        return Interpolated(self.ts, left @ (self.values @ right), self.method)

    def mapped(self, f: Callable[[Array], Array], linear: bool = False) -> "Interpolated | None":
        if not linear:
            return None
        return Interpolated(self.ts, jax.vmap(f)(self.values), self.method)

    def range_from(self, t0: float) -> Range:
        ts, values = float64(self.ts), float64(self.values)
        first = max(int(np.searchsorted(ts, t0, side="right")) - 1, 0)
        if t0 >= ts[-1]:
            return Range.constant(values[-1])
        width = np.diff(ts).reshape(-1, *(1,) * (values.ndim - 1))
        secant = np.diff(values, axis=0) / width
        centre, radius = hull(values[first:])
        slope = np.abs(secant)
        if self.method == "cubic":
            # A cubic that leaves a knot with the slope of the interval before it, and ends with its
            # own: it departs from its chord by 4/27 of the difference times the width, at most.
            turn = np.abs(np.diff(secant, axis=0, prepend=secant[:1]))
            radius = radius + (4 / 27 * turn * width)[first:].max(axis=0)
            slope = slope + turn
        return Range(centre, radius, slope[first:].max(axis=0))

    def table_times(self) -> np.ndarray:
        return float64(self.ts)

    def limits_known(self) -> bool:
        return True  # its jump times are those of its slope

    def angular_frequencies(self) -> np.ndarray:
        return np.zeros(0)

    def is_symmetric(self) -> bool:
        return same_transposed(self.values)
