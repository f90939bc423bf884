"""What diffrax puts into its programs, and attnflow's have no need of.

`diffrax.diffeqsolve` looks at run time whether times are sorted and inside the run and whether the
first step points forward, and its reverse mode looks for gradients that it cannot carry: each
through a callback into Python. attnflow checks its times itself, on the host; a gradient that would
be lost becomes NaN. And the time from which on a step goes to the end, a hundred roundings before it, is
found one rounding after another: two fifths of the operations of a short program. A version of diffrax that
is built otherwise keeps its own.
"""

import contextlib
import contextvars
import importlib
import inspect
import re
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

_HUNDRED = re.compile(r"for _ in range\(100\):\s+t1_clip_floor = eqxi\.prevbefore\(t1_clip_floor\)")


class _Floor:
    """The number that was found last."""

    at: jax.Array | None = None


_quiet: contextvars.ContextVar[_Floor | None] = contextvars.ContextVar("quiet", default=None)


@contextlib.contextmanager
def without_callbacks() -> Iterator[None]:
    """What diffrax traces in this context holds no callback into Python; other threads' does."""
    _install()
    token = _quiet.set(_Floor())
    try:
        yield
    finally:
        _quiet.reset(token)


class _Internal:
    """`equinox.internal` as one module of diffrax sees it."""

    def __init__(self, module: Any, by_hundreds: bool):
        self._module, self._by_hundreds = module, by_hundreds

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)

    def error_if(self, x: Any, pred: Any, msg: str, **kwargs: Any) -> Any:
        return x if _quiet.get() is not None else self._module.error_if(x, pred, msg, **kwargs)

    def prevbefore(self, x: Any) -> Any:
        floor = _quiet.get()
        if floor is None or not self._by_hundreds:
            return self._module.prevbefore(x)
        if x is not floor.at:  # the first of a hundred calls, each of what the one before gave
            floor.at = hundred_before(x)
        return floor.at

    def nondifferentiable_backward(self, x: Any, *args: Any, symbolic: bool = True, **kwargs: Any):
        if _quiet.get() is not None and not symbolic:
            return jax.tree.map(lambda leaf: _carries_none(leaf) if _is_real(leaf) else leaf, x)
        return self._module.nondifferentiable_backward(x, *args, symbolic=symbolic, **kwargs)


def _install() -> None:
    for name in ("diffrax._integrate", "diffrax._adjoint"):
        try:
            module = importlib.import_module(name)
        except ImportError:
            continue
        internal = getattr(module, "eqxi", None)
        if internal is not None and not isinstance(internal, _Internal):
            module.eqxi = _Internal(internal, _goes_by_hundreds(module))  # pyright: ignore[reportAttributeAccessIssue]


def _goes_by_hundreds(module: Any) -> bool:
    """Whether a module of diffrax looks for the number before another in its loop of a hundred alone."""
    try:
        source = inspect.getsource(module)
    except (OSError, TypeError):
        return False
    return source.count("eqxi.prevbefore") == 1 and _HUNDRED.search(source) is not None


def hundred_before(x: jax.Array) -> jax.Array:
    """What `equinox.internal.prevbefore`, called a hundred times, gives of a finite number or NaN.

    Denormal numbers are zero to XLA, and left out; nothing is differentiated.
    """
    kind = {4: jnp.int32, 8: jnp.int64}[x.dtype.itemsize]
    bits = jax.lax.bitcast_convert_type(x, kind)
    below = np.asarray(np.finfo(x.dtype).tiny).view(kind) - 1  # what a place of one comes after
    size = jnp.maximum((bits & np.iinfo(kind).max) - below, 0)
    place = jnp.where(bits < 0, -size, size) - 100
    back = jax.lax.bitcast_convert_type(jnp.abs(place) + jnp.where(place == 0, 0, below), x.dtype)
    back = jnp.where(place < 0, -back, back)
    lowest = np.finfo(x.dtype).min
    return jnp.where(jnp.isnan(x) | (back >= lowest), back, -jnp.inf)


def _is_real(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jnp.inexact)


@jax.custom_vjp
def _carries_none(x: jax.Array) -> jax.Array:
    return x


def _forward(x: jax.Array) -> tuple[jax.Array, None]:
    return x, None


def _backward(_: None, cotangent: jax.Array) -> tuple[jax.Array]:
    return (jnp.where(jnp.any(cotangent != 0), jnp.nan, cotangent),)


_carries_none.defvjp(_forward, _backward)
