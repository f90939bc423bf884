"""The kinks of rectified sinusoids, found as a run goes and not from a list."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, Real

from ..model import AttentionField
from ..schedules import Sinusoid

_MOST = 64  # beyond this many entries, stopping at every kink costs more than it saves


class Kinks(eqx.Module):
    r"""The zeros of $\sin(\omega t + \varphi)$, where $|\sin|$ has a kink.

    **Arguments:**

    - `omega`, `phase`: of the rectified sinusoids, vectors.
    """

    omega: Float[Array, " entries"]
    phase: Float[Array, " entries"]

    def along(self, direction) -> "Kinks":
        """The same kinks in the time of a run of that direction."""
        return Kinks(self.omega * direction, self.phase)

    def next_kink(self, t: Real[ArrayLike, ""]) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """Just before and just after the first kink behind `t`."""
        speed = jnp.abs(self.omega)
        still = speed == 0
        safe = jnp.where(still, 1, speed)
        phase = jnp.where(self.omega < 0, -self.phase, self.phase)
        turns = (safe * t + phase) / jnp.pi
        eps = jnp.finfo(turns.dtype).eps
        slack = 4 * eps * (1 + jnp.abs(turns))
        times = ((jnp.floor(turns + slack) + 1) * jnp.pi - phase) / safe
        # As far as rounding of the argument moves a zero, in time.
        margin = 8 * eps * (jnp.abs(times) + (jnp.abs(phase) + 1) / safe)
        passed = still | (times - margin <= t)
        first = jnp.argmin(jnp.where(passed, jnp.inf, times - margin))
        none = jnp.all(passed)
        sides = (times - margin)[first], (times + margin)[first]
        return jnp.where(none, jnp.inf, sides[0]), jnp.where(none, jnp.inf, sides[1])


def stops_at_kinks(field: AttentionField) -> bool:
    """Whether every kink of the field's schedules can be stepped to: known by type, and few enough."""
    parts = field.kinked
    shapes = [
        jnp.broadcast_shapes(p.omega.shape, p.phase.shape) for p in parts if isinstance(p, Sinusoid)
    ]
    size = sum(math.prod(shape) for shape in shapes)
    return bool(parts) and all(isinstance(p, Sinusoid) for p in parts) and size <= _MOST


def kinks_of(field: AttentionField, dtype) -> Kinks | None:
    """The kinks of the field's schedules, where they are few enough to be stepped to."""
    if not stops_at_kinks(field):
        return None
    pairs = [jnp.broadcast_arrays(*_same_rank(p.omega, p.phase)) for p in field.kinked]  # pyright: ignore
    omega, phase = (
        jax.lax.stop_gradient(jnp.concatenate([pair[k].ravel() for pair in pairs]).astype(dtype))
        for k in (0, 1)
    )
    return Kinks(omega, phase)


def _same_rank(*arrays: Array) -> list[Array]:
    rank = max(a.ndim for a in arrays)
    return [a.reshape((1,) * (rank - a.ndim) + a.shape) for a in arrays]
