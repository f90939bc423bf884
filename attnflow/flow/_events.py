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
    threshold = check(
        threshold, ~(threshold > 0), "`threshold` must be positive; got zero or less."
    )
    return Consensus(threshold, manifold)


class TimeBisection(optx.Bisection):
    """Bisection in time that ends when the interval does, whatever the function's value there.

    optimistix's own also waits for a small function value: a Boolean turned into a sign has none.
    """

    def terminate(self, fn, y, args, options, state, tags):
        width = jnp.abs(state.upper - state.lower)
        return width <= self.atol + self.rtol * jnp.abs(y), optx.RESULTS.successful


class Condition(eqx.Module):
    """An event function of tokens as diffrax wants it: of the reduced state, real, by keyword."""

    function: Any
    lift: AbstractLift

    def __call__(self, t, y, args, **kwargs) -> Float[Array, ""]:
        value = jnp.asarray(self.function(t, self.lift(y), args))
        if value.dtype == jnp.bool_:
            value = jnp.where(value, -1.0, 1.0)
        return value.astype(y.dtype)


class Oriented(eqx.Module):
    """A condition with its sign chosen so that it starts positive: its event is a fall to zero.

    With one orientation, bisection needs no search for the sign (which fails in lanes of a batch
    without an event). An event that holds at the start falls within the first step.
    """

    condition: Condition
    sign: Float[Array, ""]
    holds: Bool[Array, ""]
    t0: Float[Array, ""]

    def __call__(self, t, y, args, **kwargs) -> Float[Array, ""]:
        value = self.sign * self.condition(t, y, args)
        return jnp.where(self.holds, jnp.where(t > self.t0, -1.0, 1.0).astype(value.dtype), value)


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
        functions, direction = event, None
        finder = TimeBisection(rtol=4 * eps, atol=eps / 100, flip=True)
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
        condition: Any = Condition(function, lift)
        if isinstance(events.root_finder, TimeBisection):
            start = jax.lax.stop_gradient(condition(t0, y0, args))
            # Consensus and Booleans hold below zero; any other function only where it is zero.
            one_sided = out.dtype == jnp.bool_ or isinstance(function, Consensus)
            holds = start <= 0 if one_sided else start == 0
            sign = jnp.where(start < 0, -1.0, 1.0).astype(start.dtype)
            condition = Oriented(condition, sign, holds, t0)
            any_holds = any_holds | holds
        conditions.append(condition)
    functions = jax.tree.unflatten(events.structure, conditions)
    return diffrax.Event(functions, events.root_finder, events.direction), any_holds
