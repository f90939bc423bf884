"""Events that end a run: consensus, or any function of time and tokens; times found by root-finding."""

from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import optimistix as optx
from jaxtyping import Array, Bool, Float

from ..core.callables import adapt
from ..core.checks import check, floating, instance, shaped
from ..core.types import PyTree, Scalar, Tokens
from ..geometry import AbstractManifold
from ..model.reductions import AbstractLift, Identity
from ..observables import misalignment
from ._observe import check_scalar


class Consensus(eqx.Module):
    r"""The event that misalignment (eq. 9) falls to a threshold: $E(y) - \varepsilon = 0$.

    A run that starts below the threshold ends where it starts.
    """

    threshold: Float[Array, ""]
    manifold: AbstractManifold | None = None

    def __call__(self, t: Scalar, y: Tokens, args: object = None) -> Float[Array, ""]:
        return misalignment(y, self.manifold) - self.threshold.astype(y.dtype)


def consensus(threshold: Scalar, manifold: AbstractManifold | None = None) -> Consensus:
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
    shaped("threshold", threshold.shape, ())
    what = "None, attnflow.Sphere(dim) or attnflow.Ellipsoid(W)"
    manifold = instance("manifold", manifold, AbstractManifold | None, what)
    threshold = check(
        threshold, lambda x: ~(x > 0), "`threshold` must be positive; got zero or less."
    )
    return Consensus(threshold, manifold)


class TimeBisection(optx.Bisection[Any]):
    """Bisection in time that ends when the interval does, on the side where the event has happened.

    optimistix's own also waits for a small function value (a Boolean turned into a sign has none),
    and takes the dtype of time from the function's values.
    """

    def init(
        self, fn: Any, y: Any, args: Any, options: Any, f_struct: Any, aux_struct: Any, tags: Any
    ) -> Any:
        state = super().init(fn, y, args, options, f_struct, aux_struct, tags)
        lower, upper = (jnp.asarray(options[k], y.dtype) for k in ("lower", "upper"))
        return eqx.tree_at(lambda s: (s.lower, s.upper), state, (lower, upper))

    def terminate(self, fn: Any, y: Any, args: Any, options: Any, state: Any, tags: Any) -> Any:
        # To the last bit, as ensembles do, but for the numbers beside zero, which have no end.
        width = state.upper - state.lower
        middle = state.lower + 0.5 * width
        closed = (middle <= state.lower) | (middle >= state.upper)
        return closed | (jnp.abs(width) <= self.atol), optx.RESULTS.successful

    def postprocess(
        self, fn: Any, y: Any, aux: Any, args: Any, options: Any, state: Any, tags: Any, result: Any
    ) -> Any:
        return state.upper, aux, {}


class EventCondition(eqx.Module):
    """An event function of tokens as diffrax wants it: of the reduced state, real, by keyword."""

    function: Any
    lift: AbstractLift

    def __call__(self, t: Any, y: Any, args: Any, **kwargs: Any) -> Float[Array, ""]:
        value = jnp.asarray(self.function(t, self.lift(y), args))
        if value.dtype == jnp.bool_:
            value = jnp.where(value, -1.0, 1.0)
        return value.astype(y.dtype)


class FirstOf(eqx.Module):
    """Several conditions as one, which falls through zero when the first of them happens.

    Each has its sign chosen so that it starts positive. With one orientation, bisection needs no
    search for the sign (which fails in lanes of a batch without an event), and the least of them is
    a scalar, which bisection needs. An event that holds at the start falls within the first step.

    One that is NaN falls too, so that the run ends there: `lost` tells it from one that happened.
    """

    conditions: tuple[EventCondition, ...]
    signs: tuple[Float[Array, ""], ...]
    holds: tuple[Bool[Array, ""], ...]
    nan: tuple[Bool[Array, ""], ...]
    t0: Float[Array, ""]
    structure: Any = eqx.field(static=True)

    @property
    def ends_at_start(self) -> Bool[Array, ""]:
        """Whether the run ends where it starts: an event holds there, or is NaN."""
        return jnp.any(jnp.stack(self.holds + self.nan))

    def _values(self, t, y, args) -> Float[Array, " events"]:
        pairs = zip(self.signs, self.conditions, strict=True)
        return jnp.stack([sign * condition(t, y, args) for sign, condition in pairs])

    def __call__(self, t: Any, y: Any, args: Any, **kwargs: Any) -> Float[Array, ""]:
        # In the default dtype, not that of the tokens: diffrax compares it with a Python float.
        values = self._values(t, y, args)
        value = jnp.min(jnp.where(jnp.isnan(values), -1, values)).astype(jnp.result_type(float))
        # Zero has fallen, as in ensembles; bisection looks for what is below it.
        value = value - jnp.where(value == 0, jnp.finfo(value.dtype).tiny, 0)
        fallen = jnp.where(t > self.t0, -1.0, 1.0).astype(value.dtype)
        return jnp.where(self.ends_at_start, fallen, value)

    def on_tokens(self) -> "FirstOf":
        """The same conditions as functions of tokens, without the lift."""
        conditions = tuple(EventCondition(c.function, Identity()) for c in self.conditions)
        return FirstOf(conditions, self.signs, self.holds, self.nan, self.t0, self.structure)

    def which(self, t: Any, y: Any, args: Any, ended: Bool[Array, ""]) -> tuple[Any, Any]:
        """Which event ended the run at `(t, y)`, and which were NaN there while none happened.

        Two pytrees of Booleans like the user's; in one of them at least all are False.
        """
        values = self._values(t, y, args)
        nan = jnp.where(self.ends_at_start, jnp.stack(self.nan), jnp.isnan(values))
        values = jnp.where(jnp.isnan(values), jnp.inf, values)
        holds = jnp.stack(self.holds)
        first = jnp.where(self.ends_at_start, jnp.argmax(holds), jnp.argmin(values))
        fell = jnp.where(self.ends_at_start, jnp.any(holds), jnp.any(values <= 0))
        lost = ended & jnp.any(nan) & ~fell
        flags = [ended & ~lost & (first == k) for k in range(len(self.conditions))]
        undefined = [lost & one for one in nan]
        return jax.tree.unflatten(self.structure, flags), jax.tree.unflatten(
            self.structure, undefined
        )


class Events(eqx.Module):
    """A pytree of events, adapted: what `assemble` is given."""

    functions: Any
    root_finder: Any
    direction: Any
    structure: Any = eqx.field(static=True)


def as_events(event: Any, dtype: Any) -> Events | None:
    """A function, module, pytree of them or `diffrax.Event` as `Events`."""
    if event is None or isinstance(event, Events):
        return event
    if isinstance(event, diffrax.Event):
        functions, finder, direction = event.cond_fn, event.root_finder, event.direction
    else:
        eps = float(jnp.finfo(dtype).eps)
        functions, direction = event, None
        finder = TimeBisection(rtol=0.0, atol=eps / 100, flip=True)
    leaves, structure = jax.tree.flatten(functions, is_leaf=callable)
    if not leaves:
        raise ValueError("`event` must hold at least one function; got none.")
    return Events(tuple(adapt("event", f) for f in leaves), finder, direction, structure)


def build_event(events: Events, lift: AbstractLift, t0: Any, y0: Any, args: Any) -> diffrax.Event:
    """The `diffrax.Event` of `events` on the reduced state.

    Its function is a `FirstOf`, unless the user gave a `diffrax.Event`, which is kept as it is.
    """
    shapes = [check_scalar("event", f, t0, lift(y0), args) for f in events.functions]
    if not isinstance(events.root_finder, TimeBisection):
        raw = [Raw(function, lift) for function in events.functions]
        functions = jax.tree.unflatten(events.structure, raw)
        # diffrax looks at them in turn: what is NaN is said before a sign is read off it.
        return diffrax.Event(
            (AnyNaN(tuple(raw)), functions), events.root_finder, (None, events.direction)
        )
    conditions = tuple(EventCondition(function, lift) for function in events.functions)
    signs, holds, nan = [], [], []
    for condition, shape in zip(conditions, shapes, strict=True):
        start = jax.lax.stop_gradient(condition(t0, y0, args))
        # Consensus and Booleans hold below zero; any other function only where it is zero.
        one_sided = shape.dtype == jnp.bool_ or isinstance(condition.function, Consensus)
        holds.append(start <= 0 if one_sided else start == 0)
        nan.append(jnp.isnan(start))
        signs.append(jnp.where((start < 0) & (not one_sided), -1.0, 1.0).astype(start.dtype))
    first = FirstOf(conditions, tuple(signs), tuple(holds), tuple(nan), t0, events.structure)
    return diffrax.Event(first, events.root_finder, None)


def how_ended(
    event: diffrax.Event,
    mask: PyTree[Array] | None,
    t: Array,
    y: Tokens,
    args: PyTree,
    ended: Bool[Array, ""],
) -> tuple[PyTree[Array], PyTree[Array]]:
    """Which event ended a run at `(t, y)`, tokens, and which were NaN there while none happened."""
    if isinstance(event.cond_fn, FirstOf):
        return event.cond_fn.on_tokens().which(t, y, args, ended)
    any_nan, functions = event.cond_fn
    both: Any = mask
    lost, own = both
    structure = jax.tree.structure(functions, is_leaf=callable)
    each = jnp.stack(any_nan.each(t, y, args))
    undefined = list(ended & lost & (each | ~jnp.any(each)))
    return jax.tree.map(lambda m: m & ended, own), jax.tree.unflatten(structure, undefined)


class Raw(eqx.Module):
    """A user's own diffrax event function, of the reduced state."""

    function: Any
    lift: AbstractLift

    def __call__(self, t: Any, y: Any, args: Any, **kwargs: Any) -> Any:
        return self.function(t, self.lift(y), args)


class AnyNaN(eqx.Module):
    """Whether any of the user's own diffrax event functions is NaN, which ends the run as failed."""

    raw: tuple[Raw, ...]

    def each(self, t: Any, y: Any, args: Any) -> list[Bool[Array, ""]]:
        """The same of each of them, at tokens `y`."""
        return [_is_nan(one.function(t, y, args)) for one in self.raw]

    def __call__(self, t: Any, y: Any, args: Any, **kwargs: Any) -> Bool[Array, ""]:
        return jnp.any(jnp.stack([_is_nan(one(t, y, args)) for one in self.raw]))


def _is_nan(value: Any) -> Bool[Array, ""]:
    return jnp.isnan(jnp.asarray(value).astype(jnp.result_type(float)))
