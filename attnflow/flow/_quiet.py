"""diffrax's own run-time checks, left out where attnflow has made them before.

`diffrax.diffeqsolve` looks at run time whether times are sorted and inside the run and whether the
first step points forward, and its reverse mode looks for gradients that it cannot carry: each
through a callback into Python. attnflow checks its times itself, on the host; a gradient that would
be lost becomes NaN. A version of diffrax that is built otherwise keeps its callbacks.
"""

import contextlib
import contextvars
import importlib
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp

_quiet: contextvars.ContextVar[bool] = contextvars.ContextVar("quiet", default=False)


@contextlib.contextmanager
def without_callbacks() -> Iterator[None]:
    """What diffrax traces in this context holds no callback into Python; other threads' does."""
    _install()
    token = _quiet.set(True)
    try:
        yield
    finally:
        _quiet.reset(token)


class _Internal:
    """`equinox.internal` as one module of diffrax sees it."""

    def __init__(self, module: Any):
        self._module = module

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)

    def error_if(self, x: Any, pred: Any, msg: str, **kwargs: Any) -> Any:
        return x if _quiet.get() else self._module.error_if(x, pred, msg, **kwargs)

    def nondifferentiable_backward(self, x: Any, *args: Any, symbolic: bool = True, **kwargs: Any):
        if _quiet.get() and not symbolic:
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
            module.eqxi = _Internal(internal)  # pyright: ignore[reportAttributeAccessIssue]


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
