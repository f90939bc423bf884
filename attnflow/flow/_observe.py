"""What a run stores: functions of time and tokens, always of tokens and never of reduced coordinates."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from .._callables import adapt
from ..model._reductions import AbstractLift


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
