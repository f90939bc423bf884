"""Signatures checked as they are called: shapes by jaxtyping, and where there are none by beartype alone.

jaxtyping binds and remembers the arguments of every call, for names of axes, and makes two checkers of every function
at import: of functions without shapes that is most of the time that tests of plain Python take.
"""

import dataclasses
import functools
import inspect
import typing
from collections.abc import Callable
from typing import Any

import beartype
import jaxtyping

# As PEP 484 has it, an int is accepted where a float is asked for.
_TYPECHECKER = "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))"
_by_jaxtyping = jaxtyping.jaxtyped
_by_beartype = beartype.beartype(
    conf=beartype.BeartypeConf(is_pep484_tower=True, violation_type=jaxtyping.TypeCheckError)
)


def check(package: str) -> None:
    """What is imported of a package from now on has its signatures checked."""
    jaxtyping.jaxtyped = _decorator  # by this name modules ask for it
    jaxtyping.install_import_hook(package, _TYPECHECKER)


def _decorator(*, typechecker: Callable[..., Any]) -> Callable[..., Any]:
    return functools.partial(_checked, typechecker=typechecker)


def _checked(fn: Any, typechecker: Callable[..., Any]) -> Any:
    if inspect.isclass(fn):
        init = fn.__init__
        made = dataclasses.is_dataclass(fn) and inspect.isfunction(init)
        if made and not hasattr(init, "checked_when_called"):
            fn.__init__ = _when_called(init, typechecker)
        return fn
    if inspect.isfunction(fn):
        return _when_called(fn, typechecker) if fn.__annotations__ else fn
    return _by_jaxtyping(fn, typechecker=typechecker)


def _when_called(fn: Callable[..., Any], typechecker: Callable[..., Any]) -> Callable[..., Any]:
    """What checks the arguments is made at the first call: most functions of the package are not called in a run."""
    checked = None

    @functools.wraps(fn)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        nonlocal checked
        __tracebackhide__ = True
        if jaxtyping.config.jaxtyping_disable:
            return fn(*args, **kwargs)
        if checked is None:
            shapes = _has_shapes(fn)
            checked = _by_jaxtyping(fn, typechecker=typechecker) if shapes else _by_beartype(fn)
        return checked(*args, **kwargs)

    wrapped.checked_when_called = True
    return wrapped


def _has_shapes(fn: Callable[..., Any]) -> bool:
    return any(map(_is_shape, fn.__annotations__.values()))


def _is_shape(annotation: Any) -> bool:
    """Whether it is one of jaxtyping's, or has one in it, or may have: a name that is not looked up yet."""
    if isinstance(annotation, str | typing.ForwardRef):
        return True
    if any(
        str(a.__module__).startswith("jaxtyping")
        for a in (annotation, type(annotation))
        if hasattr(a, "__module__")
    ):
        return True
    if isinstance(annotation, typing.TypeVar):
        return any(map(_is_shape, (annotation.__bound__, *annotation.__constraints__)))
    parts = annotation if isinstance(annotation, list) else typing.get_args(annotation)
    return typing.get_origin(annotation) is not typing.Literal and any(map(_is_shape, parts))
