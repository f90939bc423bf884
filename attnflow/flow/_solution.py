"""What a run returns: times, tokens or observed values, how it ended, and a summary when printed."""

from typing import Any

import diffrax
import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Bool, Float, Real

from ..core.checks import is_concrete
from ..core.types import PyTree
from ..model.reductions import AbstractLift

# Of a run whose tokens, or an event, stopped being finite. Older optimistix has no word for it.
NONFINITE: Any = getattr(diffrax.RESULTS, "nonfinite", diffrax.RESULTS.nonlinear_divergence)


class Dense(eqx.Module):
    """A continuous solution in reduced coordinates, evaluated as tokens."""

    interpolation: diffrax.DenseInterpolation
    lift: AbstractLift

    def evaluate(self, t: Array) -> Float[Array, "tokens dim"]:
        return self.lift(self.interpolation.evaluate(t))


class Solution(eqx.Module):
    """The result of `simulate` or `iterate`.

    **Attributes:**

    - `ts`: times of the saves, shape `(n,)`; NaN where a save did not happen.
    - `ys`: tokens `(n, tokens, dim)`, or the pytree of `observe` with a leading axis of `n`. Saves
      that did not happen are NaN (-1 for integers, the largest
      for unsigned ones, False for Booleans). Values keep their dtype to the last bit.
    - `saved`: Boolean `(n,)`, which saves happened.
    - `t0`, `t1`: where the run began and ended (the event's time, if one ended it).
    - `y1`: tokens at `t1`, shape `(tokens, dim)`.
    - `result`: a `diffrax.RESULTS`.
    - `event`: which event ended the run, a pytree of Booleans like `event=`; `None` without events.
    - `undefined`: the same for events that were NaN, which ends a run as failed.
    - `stats`: arrays: `num_steps`, `num_accepted_steps`, `num_rejected_steps`.
    - `reduction`: `"span"`, `"whitening"` or `"none"`.
    """

    ts: Float[Array, " n"]
    ys: PyTree[Array]
    saved: Bool[Array, " n"]
    t0: Float[Array, ""]
    t1: Float[Array, ""]
    y1: Float[Array, "tokens dim"]
    result: diffrax.RESULTS
    stats: dict[str, Array]
    event: PyTree[Bool[Array, ""]] | None = None
    undefined: PyTree[Bool[Array, ""]] | None = None
    dense: Dense | None = None
    reduction: str = eqx.field(static=True, default="none")

    def evaluate(self, t: Real[ArrayLike, ""]) -> Float[Array, "tokens dim"]:
        """Tokens at any time between `t0` and `t1`, for a run with `dense=True`."""
        if self.dense is None:
            raise ValueError("`evaluate` needs a continuous solution; pass dense=True to simulate.")
        return self.dense.evaluate(jnp.asarray(t).astype(self.y1.dtype))

    def __str__(self) -> str:
        *batch, tokens, dim = self.y1.shape
        head = f"{tokens} tokens in R^{dim}, {self.y1.dtype}"
        if batch:
            head = f"{' x '.join(map(str, batch))} trajectories of {head}"
        lines = [head]
        if is_concrete(self.t1, self.stats):
            lines += [
                f"  time        from {_span(self.t0)} until {_span(self.t1)}",
                f"  ended       {self._ending()}",
                f"  steps       {_span(self.stats['num_accepted_steps'])} accepted, "
                f"{_span(self.stats['num_rejected_steps'])} rejected",
            ]
        lines += [f"  reduction   {self.reduction}", f"  saved       {self._contents()}"]
        return "\n".join(lines)

    def _ending(self) -> str:
        code = np.asarray(self.result._value)
        names = {
            "at t1": diffrax.RESULTS.successful,
            "by an event": diffrax.RESULTS.event_occurred,
            "for want of steps (max_steps)": diffrax.RESULTS.max_steps_reached,
            "at the smallest step (is the field finite?)": diffrax.RESULTS.dt_min_reached,
            "where tokens stopped being finite": NONFINITE,
        }
        counts = {name: int(np.sum(code == np.asarray(r._value))) for name, r in names.items()}
        other = code.size - sum(counts.values())
        if other:
            counts["for another reason (see .result)"] = other
        parts = [name if code.size == 1 else f"{n} {name}" for name, n in counts.items() if n]
        return ", ".join(parts)

    def _contents(self) -> str:
        shape = "x".join(map(str, self.ts.shape))
        if isinstance(self.ys, dict):
            return f"{shape} times of {', '.join(map(str, self.ys))}"
        return f"{shape} times"


def _span(values: Array) -> str:
    array = np.asarray(values)
    low, high = float(array.min()), float(array.max())
    return f"{low:.6g}" if low == high else f"{low:.6g} to {high:.6g}"
