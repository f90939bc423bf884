"""How arguments are refused: at once when their values are known, at run time when they are traced.

Three layers share these helpers: a `ValueError` with its remedy when a thing is built from concrete
numbers, `equinox.error_if` when the same numbers are tracers inside `jit`, `vmap` or `grad`.
"""

from typing import TypeVar

import equinox as eqx
import jax
import jax.core
import jax.numpy as jnp

_T = TypeVar("_T")


def is_concrete(*values) -> bool:
    """Whether every array in `values` has a value now, so that Python may look at it."""
    return not any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(values))


def check(value: _T, bad, message: str) -> _T:
    """`value`, refused with `message` where `bad` holds: a `ValueError` now, or an error at run time.

    **Arguments:**

    - `value`: any pytree of arrays; returned unchanged. Use what is returned, so that a traced
      check is not dropped by the compiler.
    - `bad`: a Boolean (array); `any` of it refuses.
    - `message`: one line that names the argument, what it got and the remedy.
    """
    if is_concrete(bad):
        if bool(jnp.any(jnp.asarray(bad))):
            raise ValueError(message)
        return value
    return eqx.error_if(value, jnp.any(bad), message)


def choose(name: str, value: str, options) -> str:
    """`value` if it is one of `options`, else a `ValueError` that lists them."""
    if value not in options:
        allowed = ", ".join(repr(option) for option in options)
        raise ValueError(f"`{name}` must be one of {allowed}; got {value!r}.")
    return value


def floating(name: str, value) -> jax.Array:
    """`value` as an array of real floating-point numbers; integers become the default float."""
    try:
        array = jnp.asarray(value)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"`{name}` must be an array of real numbers; got {type(value).__name__}."
        ) from error
    if jnp.issubdtype(array.dtype, jnp.floating):
        return array
    if jnp.issubdtype(array.dtype, jnp.integer):
        return array.astype(jnp.result_type(float))
    raise ValueError(f"`{name}` must be an array of real numbers; got dtype {array.dtype}.")
