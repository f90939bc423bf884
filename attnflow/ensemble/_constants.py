"""What a derivative along a run takes as constant: the times of its steps; and the time of an event, which is not.

Which steps were taken is what it is, as where one run is differentiated (diffrax stops gradients of step
sizes). In reverse mode `_step_back.py` knows that; a forward derivative goes through the lanes as they are.
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from ..flow import Options
from ._lanes import Lanes
from ._stages import Stepper


def with_constant_steps(options: Options, lanes: Lanes) -> Lanes:
    """The same lanes, of whose times only those that are `t0` or `t1` move with these."""
    still: Any = jax.lax.stop_gradient
    begun, over = lanes.accepted == 0, lanes.t == options.t1
    t = jnp.where(begun, options.t0, jnp.where(over, options.t1, still(lanes.t)))
    tnext = jnp.where(lanes.tnext == options.t1, options.t1, still(lanes.tnext))
    control = jax.tree.map(still, lanes.control)
    return eqx.tree_at(lambda s: (s.t, s.tnext, s.control), lanes, (t, tnext, control))


def event_function(stepper: Stepper, t: Array, tnext: Array, dense: Any, at: Array) -> Array:
    """The event's function of each lane at times inside its step."""

    def of(p, t, y):
        return p.event.cond_fn(t, y, p.options.args)

    return stepper.over_lanes(of, at, stepper.interpolate(t, tnext, dense, at))


@eqx.filter_custom_jvp
def event_time(
    stepper: Stepper, t: Array, tnext: Array, dense: Any, *, search: Callable[..., Array]
) -> Array:
    """The time that `search` finds inside each step; it moves so that the event's function stays at zero."""
    return search(stepper, t, tnext, dense)


@event_time.def_jvp
def _(primals: Any, tangents: Any, *, search: Callable[..., Array]) -> tuple[Array, Array]:
    stepper, t, tnext, dense = primals
    at = event_time(stepper, t, tnext, dense, search=search)
    _, moved = eqx.filter_jvp(event_function, (*primals, at), (*tangents, None))
    value = lambda at: event_function(stepper, t, tnext, dense, at)  # noqa: E731
    _, rate = jax.jvp(value, (at,), (jnp.ones_like(at),))
    if moved is None:
        return at, jnp.zeros_like(at)
    fine = (rate != 0) & jnp.isfinite(rate)
    return at, jnp.where(fine, -moved / jnp.where(fine, rate, 1), 0).astype(at.dtype)
