"""A user's functions as modules, so that everything built from them stays a pytree of arrays."""

import inspect
from collections.abc import Callable
from typing import Any

import equinox as eqx

from .recognised import recognised


class Call(eqx.Module):
    """A plain function as a module without leaves: part of the structure, compared by identity."""

    function: Callable = eqx.field(static=True)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)


class OfTokens(eqx.Module):
    """A function `f(y)` as `f(t, y, args)`."""

    function: eqx.Module

    def __call__(self, t: Any, y: Any, args: Any = None) -> Any:
        return self.function(y)  # pyright: ignore[reportCallIssue]


class OfTimeAndTokens(eqx.Module):
    """A function `f(t, y)` as `f(t, y, args)`."""

    function: eqx.Module

    def __call__(self, t: Any, y: Any, args: Any = None) -> Any:
        return self.function(t, y)  # pyright: ignore[reportCallIssue]


def as_module(name: str, function: Any) -> eqx.Module:
    """`function` as an equinox module: itself if it is one, else a `Call` of it.

    Of functions that do the same the first is taken, so that what was compiled for it is found again.
    """
    if not callable(function):
        raise ValueError(f"`{name}` must be callable; got {type(function).__name__}.")
    return function if isinstance(function, eqx.Module) else Call(recognised(function))


def adapt(name: str, function: Any) -> Callable[..., Any]:
    """`f(y)`, `f(t, y)` or `f(t, y, args)` as a module called with `(t, y, args)`.

    The form is read from the number of required positional parameters, once.

    **Raises:**

    `ValueError` where `function` is not callable or requires none or more than three parameters.
    """
    if isinstance(function, (OfTokens, OfTimeAndTokens)):
        return function
    module = as_module(name, function)
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # no signature to be had: the diffrax form
        return module  # pyright: ignore[reportReturnType]
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    required = [p for p in parameters if p.kind in positional and p.default is p.empty]
    variadic = any(p.kind is inspect.Parameter.VAR_POSITIONAL for p in parameters)
    possible = [p for p in parameters if p.kind in positional]
    if len(required) == 1 and not variadic:
        return OfTokens(module)
    if len(required) == 2 and not (len(possible) == 3 and possible[2].name == "args"):
        return OfTimeAndTokens(module)
    if len(required) in (2, 3) or variadic:
        return module  # pyright: ignore[reportReturnType]
    raise ValueError(
        f"`{name}` must be a function of (y), (t, y) or (t, y, args); "
        f"got one that requires {len(required)} positional arguments."
    )
