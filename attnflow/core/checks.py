"""How arguments are refused: at once when their values are known, by NaN when they are traced.

No compiled program of attnflow holds a callback into Python: such a program can neither be kept in
JAX's cache nor be lowered for another platform. So an error is a `ValueError` with its remedy where
the values are known (eagerly, and under an eager `vmap` or `grad` too, which are looked through),
and under a `jit` of the caller's the refused values become NaN: see [`raise_under_jit`][].
"""

import math
from collections.abc import Callable
from typing import Any, TypeVar

import equinox as eqx
import equinox.internal as eqxi
import jax
import jax.core
import jax.numpy as jnp
import numpy as np

from .arguments import (
    boolean as boolean,
    instance as instance,
    number as number,
    numbers as numbers,
    shaped as shaped,
    shown as shown,
    whole as whole,
)

_T = TypeVar("_T")

_raises = False


def is_concrete(*values: Any) -> bool:
    """Whether every array in `values` has a value now, so that Python may look at it."""
    return not any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(values))


def raise_under_jit(on: bool = True) -> None:
    """What a wrong value does inside a `jax.jit` of your own: raise, or become NaN (the default).

    Outside `jit` a wrong argument raises a `ValueError` and a run that fails a `RuntimeError`, whatever
    is set here. Inside, numbers are not known until the program runs. By default what is refused then
    is replaced by NaN, in the lane of a `vmap` that it belongs to alone; such programs are kept in
    JAX's compilation cache and can be exported. With `True` they stop with the same sentence instead
    (`equinox.error_if`), through a callback into Python, which no cache and no other platform takes.

    Sets it for the process, and clears JAX's compiled programs where that changes what they should do.

    **Arguments:**

    - `on`: `True` or `False`.

    ```python
    af.raise_under_jit()
    jax.jit(lambda y0: af.simulate(field, y0, t1=1.0).y1)(2 * y0)        # stops, and says why
    ```
    """
    global _raises
    on = boolean("on", on)
    if on != _raises:
        _raises = on
        jax.clear_caches()


def check(value: _T, bad: Any, message: str, *, error: type[Exception] = ValueError) -> _T:
    """`value`, refused with `message` where `bad` holds: an `error` now, or NaN at run time.

    **Arguments:**

    - `value`: any pytree of arrays; returned unchanged where nothing is bad. Use what is returned, so
      that a traced check is not dropped by the compiler.
    - `bad`: a Boolean (array), or a function of `value` that gives one and is handed NumPy's arrays
      where these are known, so that nothing is compiled; `any` of it refuses.
    - `message`: one line that names the argument, what it got and the remedy.
    - `error`: the kind of error.
    """
    if isinstance(bad, Callable):
        if is_concrete(value):
            with np.errstate(all="ignore"):
                bad = bad(jax.tree.map(np.asarray, value))
        else:
            bad = bad(value)
    if is_concrete(bad):
        if np.any(np.asarray(bad)):
            raise error(message)
        return value
    anywhere = eqxi.unvmap_any(bad)  # an eager vmap or grad around is looked through
    if is_concrete(anywhere):
        if bool(anywhere):
            raise error(message)
        return value
    if _raises:
        return eqx.error_if(value, anywhere, message)
    return _spoiled(value, jnp.any(bad))


def nan_with(value: _T, *others: Any) -> _T:
    """`value`, NaN where a number of the `others` is: what was refused must not end as a right value."""
    floats = [x for x in jax.tree.leaves(others) if eqx.is_inexact_array(x)]
    if is_concrete(floats):
        return value
    return _spoiled(value, jnp.any(jnp.stack([jnp.any(jnp.isnan(x)) for x in floats])))


def _spoiled(value: _T, bad: jax.Array) -> _T:
    def spoil(leaf):
        if eqx.is_inexact_array(leaf):
            return jnp.where(bad, jnp.asarray(jnp.nan, leaf.dtype), leaf)
        return leaf

    return jax.tree.map(spoil, value)


def choose(name: str, value: str, options: Any) -> str:
    """`value` if it is one of `options`, else a `ValueError` that lists them."""
    if not isinstance(value, str) or value not in options:
        allowed = ", ".join(repr(option) for option in options)
        raise ValueError(f"`{name}` must be one of {allowed}; got {shown(value)}.")
    return value


def floating(name: str, value: Any) -> jax.Array:
    """`value` as an array of real floating-point numbers; integers become the default float."""
    try:
        array = jnp.asarray(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(
            f"`{name}` must be an array of real numbers; got {type(value).__name__}."
        ) from error
    if jnp.issubdtype(array.dtype, jnp.floating):
        return array
    if jnp.issubdtype(array.dtype, jnp.integer):
        return array.astype(jnp.result_type(float))
    raise ValueError(f"`{name}` must be an array of real numbers; got dtype {array.dtype}.")


# === kinds of arguments, each refused in the same words wherever it is one

# One array beyond this is a slip of the pen on any machine that these flows run on.
_MOST_BYTES = 2**35


def check_now(value: _T, bad: Any, message: str) -> _T:
    """`value`, refused where `bad(value)` holds and is known; a traced value passes as it is."""
    if is_concrete(value) and np.any(bad(np.asarray(value))):
        raise ValueError(message)
    return value


def finite(name: str, value: Any) -> jax.Array:
    """`floating`, refused where an entry is NaN or infinite and known now; traced values pass."""
    array = floating(name, value)
    if is_concrete(array) and array.size:
        bad = ~np.isfinite(np.asarray(array))
        if bad.any():
            got = "NaN" if np.isnan(np.asarray(array)).any() else "an infinite number"
            raise ValueError(f"`{name}` must be finite; got {got}.")
    return array


def scalar_time(t: Any, dtype: Any) -> jax.Array:
    """`t` as one time in that dtype."""
    t = floating("t", t)
    if t.ndim:
        raise ValueError(
            f"`t` must be one time, a scalar; got shape {t.shape}. Map over times with jax.vmap."
        )
    return t.astype(dtype)


def real(name: str, value: Any) -> jax.Array:
    """`floating`, in one of the two precisions that everything here is computed in."""
    array = floating(name, value)
    if array.dtype not in (jnp.float32, jnp.float64):
        raise ValueError(
            f"`{name}` must be float32 or float64; got {array.dtype}. Convert it: x.astype(float)."
        )
    return array


def sizes(name: str, shape: Any, itemsize: int = 8) -> tuple[int, ...]:
    """`shape` as a tuple of whole numbers, refused where an array of it is beyond any memory."""
    if not isinstance(shape, tuple | list):
        raise ValueError(
            f"`{name}` must be a tuple of whole numbers, such as (8,); got {shown(shape)}."
        )
    shape = tuple(whole(name, size, least=0, most=10**30) for size in shape)
    room(name, shape, itemsize)
    return shape


def room(name: str, shape: Any, itemsize: int = 8, *, what: str = "an array") -> None:
    """Refuse an array that no memory holds, before it is asked for, with the size it would have had."""
    size = math.prod(int(n) for n in shape) * itemsize
    if size > _MOST_BYTES:
        raise ValueError(
            f"`{name}` asks for {what} of shape {tuple(int(n) for n in shape)}, "
            f"{size / 2**30:,.0f} GiB, beyond the {_MOST_BYTES >> 30} GiB allowed; make it smaller."
        )


def typed_key(key: Any) -> Any:
    """A random key as one of JAX's own type, of whichever kind it was."""
    return key if jnp.issubdtype(key.dtype, jax.dtypes.prng_key) else jax.random.wrap_key_data(key)


def random_key(name: str, key: Any) -> Any:
    """`key` if it is one random key of JAX, typed or of the older kind."""
    kind = getattr(key, "dtype", None)
    if kind is not None and jnp.issubdtype(kind, jax.dtypes.prng_key) and key.ndim == 0:
        return key
    if kind == jnp.uint32 and key.ndim == 1:
        return key
    shape = f" of shape {key.shape}" if kind is not None else ""
    raise ValueError(
        f"`{name}` must be one random key, such as jax.random.key(0); got {shown(key)}{shape}."
    )
