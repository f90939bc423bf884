"""What a run stores: functions of time and tokens, always of tokens and never of reduced coordinates."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import ArrayLike, Real

from ..core.callables import adapt
from ..core.checks import floating
from ..core.compiled import compiled
from ..core.types import Functions, PyTree
from ..model.reductions import AbstractLift, Identity


class AllTokens(eqx.Module):
    """The tokens themselves."""

    def __call__(self, t, y, args=None):
        return y


def as_observers(observe: Any) -> Any:
    """`observe` as a pytree of modules called with `(t, y, args)`; `None` observes the tokens."""
    if observe is None:
        return AllTokens()
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

    def values(self, t: Any, x: Any, args: Any) -> Any:
        """The observers' values, in their own dtypes."""
        y = self.lift(x)
        call = lambda f: jax.tree.map(jnp.asarray, f(t, y, args))  # noqa: E731
        return jax.tree.map(call, self.observers, is_leaf=_is_function)

    def __call__(self, t: Any, x: Any, args: Any) -> Any:
        # Saved as floats: diffrax marks what an event cut off with inf, which integers lack.
        return jax.tree.map(lambda v: _encode(v, x.dtype), self.values(t, x, args))


# === integers among floats, to the last bit

_PART = 16  # bits, whole in every float of a run


def _in_parts(dtype: Any, floats: Any) -> bool:
    return bool(jnp.iinfo(dtype).bits > jnp.finfo(floats).nmant)


def _shifts(dtype: Any) -> tuple[Any, jax.Array]:
    # The unsigned integer of the same width, and where its parts begin.
    bits = jnp.iinfo(dtype).bits
    unsigned = jnp.dtype(f"uint{bits}")
    return unsigned, jnp.arange(0, bits, _PART, dtype=unsigned)


def _encode(value: jax.Array, floats: Any) -> jax.Array:
    """An array as floats: those too wide for them in parts of 16 bits, along a last axis."""
    if jnp.issubdtype(value.dtype, jnp.inexact):
        return value
    if jnp.issubdtype(value.dtype, jnp.bool_) or not _in_parts(value.dtype, floats):
        return value.astype(floats)
    unsigned, shifts = _shifts(value.dtype)
    bits = jax.lax.bitcast_convert_type(value, unsigned)[..., None]
    shifts = shifts.reshape((1,) * value.ndim + shifts.shape)
    return ((bits >> shifts) & jnp.asarray(2**_PART - 1, unsigned)).astype(floats)


def _decode(value: jax.Array, there: jax.Array, like: Any) -> jax.Array:
    rows = value.ndim - (there.ndim + len(like.shape))  # one where integers are in parts
    there = there.reshape(there.shape + (1,) * (value.ndim - there.ndim))
    value = jnp.where(there, value, 0)
    if not rows:
        return value.astype(like.dtype)
    unsigned, shifts = _shifts(like.dtype)
    shifts = shifts.reshape((1,) * (value.ndim - 1) + shifts.shape)
    bits = jnp.sum(value.astype(unsigned) << shifts, axis=-1, dtype=unsigned)
    return jax.lax.bitcast_convert_type(bits, like.dtype)


def missing(dtype: DTypeLike) -> int:
    """What an integer is that was not saved: -1; the largest there is, where there is no -1."""
    return -1 if jnp.issubdtype(dtype, jnp.signedinteger) else int(jnp.iinfo(dtype).max)


def mark_missing(values: Any, saved: jax.Array, structure: Any) -> Any:
    """Saves that did not happen as NaN ([`missing`][] for integers, False for Booleans), dtypes restored."""

    def mark(value, like):
        there = saved.reshape(saved.shape + (1,) * len(like.shape))
        if jnp.issubdtype(like.dtype, jnp.bool_):
            return there & (jnp.where(there, value, 0) != 0)
        if jnp.issubdtype(like.dtype, jnp.integer):
            absent = jnp.asarray(missing(like.dtype), like.dtype)
            return jnp.where(there, _decode(value, saved, like), absent)
        return jnp.where(there, value, jnp.nan)

    return jax.tree.map(mark, values, structure)


def observed(
    ts: Real[ArrayLike, "..."],
    ys: Real[ArrayLike, "..."],
    observe: Functions,
    args: object = None,
) -> PyTree[jax.Array]:
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
    times, tokens = floating("ts", ts), floating("ys", ys)
    if times.ndim != 1 or tokens.ndim != 3 or times.shape[0] != tokens.shape[0]:
        raise ValueError(
            "`ts` must have shape (n,) and `ys` shape (n, tokens, dim), as those of a Solution; "
            f"got {times.shape} and {tokens.shape}."
        )
    return _of_each(as_observers(observe), times, tokens, args)


@compiled
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
