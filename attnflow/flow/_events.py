"""Events that end a run: consensus, or any function of time and tokens; times found by root-finding."""

from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import optimistix as optx
from jaxtyping import Array, Bool, Float

from .._callables import adapt
from .._checks import check, floating
from ..geometry import AbstractManifold
from ..model._reductions import AbstractLift
from ..observables import misalignment
from ._observe import check_scalar


class Consensus(eqx.Module):
    r"""The event that misalignment (eq. 9) falls to a threshold: $E(y) - \varepsilon = 0$.

    A run that starts below the threshold ends where it starts.
    """

    threshold: Float[Array, ""]
    manifold: AbstractManifold | None = None

    def __call__(self, t, y, args=None) -> Float[Array, ""]:
        return misalignment(y, self.manifold) - self.threshold.astype(y.dtype)


def consensus(threshold, manifold: AbstractManifold | None = None) -> Consensus:
    r"""The event that ends a run at consensus: $E(y) \le$ `threshold`.

    **Arguments:**

    - `threshold`: positive; a number or traced scalar (another value does not recompile).
    - `manifold`: take $E$ in its inner product; `None` for eq. (9) as printed, Euclidean.

    ```python
    sol = af.simulate(field, y0, t1=1000.0, event=af.consensus(1e-6))
    sol.t1                                                   # the time of consensus
    ```
    """
    threshold = floating("threshold", threshold)
    threshold = check(threshold, ~(threshold > 0), "`threshold` must be positive; got zero or less.")
    return Consensus(threshold, manifold)


class Condition(eqx.Module):
    """An event function of tokens as diffrax wants it: of the reduced state, real, by keyword.

    A Boolean becomes -1 where true, so that bisection finds the time at which it turns. An event
    that holds at the start changes sign within the first step.
    """

    function: Any
    lift: AbstractLift
    t0: Float[Array, ""]
    holds: Bool[Array, ""] | None

    def value(self, t, x, args) -> Float[Array, ""]:
        value = jnp.asarray(self.function(t, self.lift(x), args))
        if value.dtype == jnp.bool_:
            return jnp.where(value, -1.0, 1.0).astype(x.dtype)
        return value.astype(x.dtype)

    def __call__(self, t, y, args, **kwargs) -> Float[Array, ""]:
        value = self.value(t, y, args)
        if self.holds is None:
            return value
        started = jnp.where(t > self.t0, 1.0, -1.0).astype(value.dtype)
        return jnp.where(self.holds, started, value)


class Events(eqx.Module):
    """A pytree of events, adapted: what `assemble` is given."""

    functions: Any
    root_finder: Any
    direction: Any
    structure: Any = eqx.field(static=True)


def as_events(event: Any, dtype) -> Events | None:
    """A function, module, pytree of them or `diffrax.Event` as `Events`."""
    if event is None or isinstance(event, Events):
        return event
    if isinstance(event, diffrax.Event):
        functions, finder, direction = event.cond_fn, event.root_finder, event.direction
    else:
        eps = float(jnp.finfo(dtype).eps)
        functions, finder, direction = event, optx.Bisection(rtol=8 * eps, atol=8 * eps), None
    leaves, structure = jax.tree.flatten(functions, is_leaf=callable)
    if not leaves:
        raise ValueError("`event` must hold at least one function; got none.")
    return Events(tuple(adapt("event", f) for f in leaves), finder, direction, structure)


def build_event(
    events: Events, lift: AbstractLift, t0, y0, args
) -> tuple[diffrax.Event, Bool[Array, ""]]:
    """The `diffrax.Event` of `events` on the reduced state, and whether one holds at the start."""
    conditions, any_holds = [], jnp.asarray(False)
    for function in events.functions:
        out = check_scalar("event", function, t0, lift(y0), args)
        condition = Condition(function, lift, t0, None)
        if out.dtype == jnp.bool_ or isinstance(function, Consensus) or _wraps_consensus(function):
            holds = condition.value(t0, y0, args) <= 0
            condition = Condition(function, lift, t0, holds)
            any_holds = any_holds | holds
        conditions.append(condition)
    functions = jax.tree.unflatten(events.structure, conditions)
    return diffrax.Event(functions, events.root_finder, events.direction), any_holds


def _wraps_consensus(function: Any) -> bool:
    return isinstance(getattr(function, "function", None), Consensus)
