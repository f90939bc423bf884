r"""The kinks of a schedule by a rule: at the zeros of a sine, followed as a run goes and never listed."""

import math
from typing import Literal, Protocol, runtime_checkable

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, Real


class Kinks(eqx.Module):
    r"""Kinks that come back for ever, at the times $(k\pi - \varphi)/\omega$ for all whole $k$.

    These are the zeros of $\sin(\omega t + \varphi)$, where $|\sin|$ has a kink. What has a kink every $p$ from
    $t_0$ on has them at $\omega = \pi/p$, $\varphi = -\omega t_0$.

    **Arguments:**

    - `omega`, `phase`: numbers or arrays that broadcast, an entry for each series of kinks; none where $\omega = 0$.
    """

    omega: Float[Array, "..."] = eqx.field(converter=jnp.asarray)
    phase: Float[Array, "..."] = eqx.field(converter=jnp.asarray)

    @property
    def size(self) -> int:
        """How many series."""
        return math.prod(jnp.broadcast_shapes(self.omega.shape, self.phase.shape))

    def along(self, direction: Real[ArrayLike, ""]) -> "Kinks":
        """The same kinks in the time of a run of that direction."""
        return Kinks(self.omega * direction, self.phase)

    def next_kink(self, t: Real[ArrayLike, ""]) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """Just before and just after the first kink behind `t`; of vectors `omega` and `phase`."""
        speed = jnp.abs(self.omega)
        resting = speed == 0
        safe = jnp.where(resting, 1, speed)
        phase = jnp.where(self.omega < 0, -self.phase, self.phase)
        turns = (safe * t + phase) / jnp.pi
        eps = jnp.finfo(turns.dtype).eps
        slack = 4 * eps * (1 + jnp.abs(turns))
        times = ((jnp.floor(turns + slack) + 1) * jnp.pi - phase) / safe
        # As far as rounding of the argument moves a zero, in time.
        margin = 8 * eps * (jnp.abs(times) + (jnp.abs(phase) + 1) / safe)
        passed = resting | (times - margin <= t)
        first = jnp.argmin(jnp.where(passed, jnp.inf, times - margin))
        none = jnp.all(passed)
        sides = (times - margin)[first], (times + margin)[first]
        return jnp.where(none, jnp.inf, sides[0]), jnp.where(none, jnp.inf, sides[1])


# Rules for all kinks that no list of times holds; none, where there are none; or that no rule is known.
KnownKinks = tuple[Kinks, ...] | Literal["anywhere"]


@runtime_checkable
class HasKinks(Protocol):
    """What answers for its kinks: a schedule, or a part of one."""

    def kinks(self) -> KnownKinks: ...


def all_kinks(*schedules: HasKinks) -> KnownKinks:
    """The kinks of all the schedules together."""
    rules: list[Kinks] = []
    for schedule in schedules:
        kinks = schedule.kinks()
        if kinks == "anywhere":
            return "anywhere"
        rules += kinks
    return tuple(rules)
