"""What a run stores: functions of time and tokens, always of tokens and never of reduced coordinates."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from .._callables import adapt
from .._checks import floating
from ..model._reductions import AbstractLift, Identity


class Tokens(eqx.Module):
    """The tokens themselves."""

    def __call__(self, t, y, args=None):
        return y


def as_observers(observe: Any) -> Any:
    """`observe` as a pytree of modules called with `(t, y, args)`; `None` observes the tokens."""
    if observe is None:
        return Tokens()
    adapted = jax.tree.map(lambda f: adapt("observe", f), observe, is_leaf=_is_function)
    if not jax.tree.leaves(observe, is_leaf=_is_function):
        raise ValueError("`observe` must hold at least one function; got none.")
    return adapted


def _is_function(x: Any) -> bool:
    return callable(x) or isinstance(x, eqx.Module)


class Lifted(eqx.Module):
    """Observers of tokens as one function of the reduced state."""

    observers: Any
    lift: AbstractLift

    def values(self, t, x, args) -> Any:
        """The observers' values, in their own dtypes."""
        y = self.lift(x)
        call = lambda f: jax.tree.map(jnp.asarray, f(t, y, args))  # noqa: E731
        return jax.tree.map(call, self.observers, is_leaf=_is_function)

    def __call__(self, t, x, args):
        # Saved as floats: diffrax marks what an event cut off with inf, which integers lack.
        return jax.tree.map(lambda v: _as_float(v, x.dtype), self.values(t, x, args))


def _as_float(value: jax.Array, dtype) -> jax.Array:
    return value if jnp.issubdtype(value.dtype, jnp.inexact) else value.astype(dtype)


def mark_missing(values: Any, saved: jax.Array, structure: Any) -> Any:
    """Saves that did not happen as NaN (-1 for integers, False for Booleans), dtypes restored."""

    def mark(value, like):
        there = saved.reshape(saved.shape + (1,) * (value.ndim - 1))
        if jnp.issubdtype(like.dtype, jnp.bool_):
            return there & (jnp.where(there, value, 0) != 0)
        if jnp.issubdtype(like.dtype, jnp.integer):
            return jnp.where(there, jnp.where(there, value, 0).astype(like.dtype), -1)
        return jnp.where(there, value, jnp.nan)

    return jax.tree.map(mark, values, structure)


def observed(ts: Any, ys: Any, observe: Any, args: Any = None) -> Any:
    """What observers give of tokens that are saved already: a program beside the solver's, not in it.

    Observers inside the solver's loop are compiled with it, some of them twice; what is only looked
    at afterwards compiles sooner here, to the same values to rounding.

    **Arguments:**

    - `ts`, `ys`: times `(n,)` and tokens `(n, tokens, dim)`, as a [`Solution`][] without observers has
      them; NaN where a save did not happen.
    - `observe`, `args`: as in [`simulate`][].

    **Returns:**

    A pytree like `observe`, with a leading axis of `n`; missing saves marked as in [`Solution`][].

    **Raises:**

    `ValueError` where `ts` and `ys` do not fit together, or `observe` is none.
    """
    ts, ys = floating("ts", ts), floating("ys", ys)
    if ts.ndim != 1 or ys.ndim != 3 or ts.shape[0] != ys.shape[0]:
        raise ValueError(
            "`ts` must have shape (n,) and `ys` shape (n, tokens, dim), as those of a Solution; "
            f"got {ts.shape} and {ys.shape}."
        )
    return _of_each(as_observers(observe), ts, ys, args)


@eqx.filter_jit
def _of_each(observers: Any, ts: jax.Array, ys: jax.Array, args: Any) -> Any:
    save = Lifted(observers, Identity())
    values = jax.lax.map(lambda row: save.values(row[0], row[1], args), (ts, ys))
    like = jax.tree.map(lambda v: jax.ShapeDtypeStruct(v.shape[1:], v.dtype), values)
    return mark_missing(values, jnp.isfinite(ts), like)


def check_scalar(name: str, function: Callable, t, y, args) -> jax.ShapeDtypeStruct:
    """The dtype of a scalar function of tokens, refused if it is anything but one real or Boolean."""
    out = eqx.filter_eval_shape(function, t, y, args)
    if (
        not hasattr(out, "shape")
        or out.shape != ()
        or jnp.issubdtype(out.dtype, jnp.complexfloating)
    ):
        raise ValueError(f"`{name}` must give one real number or Boolean; got {out}.")
    return out
