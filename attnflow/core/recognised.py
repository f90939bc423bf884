"""Functions that do the same are one function, so that a lambda written anew is not compiled anew.

A program compiled with a plain function inside is found again by that function's identity. A lambda in
a loop is another object at each turn, although nothing about it has changed. `recognised` looks at what
a function does: its code, its defaults, what its closure holds, and the global names it reads, and
gives back the earlier function where all of these are equal *now*, in both.

What cannot be compared for certain is never taken for equal: the function then stands for itself, as
it would without this, and a warning says once which name it was that could not be looked into.
"""

import builtins
import dis
import functools
import hashlib
import sys
import types
import warnings
import weakref
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.core
import jax.numpy as jnp
import numpy as np

_MOST = 256  # functions that are remembered; each keeps what it closes over alive
_BYTES = 2**20  # arrays up to here are compared by value
_DEPTH = 20  # of functions that use functions

# Nothing in these changes between calls.
_LIBRARIES = frozenset({
    "attnflow", "builtins", "diffrax", "equinox", "functools", "itertools", "jax", "jaxlib",
    "jaxtyping", "lineax", "math", "numpy", "operator", "optax", "optimistix", "scipy",
})  # fmt: skip

_READS = frozenset({"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"})

_seen: "OrderedDict[Any, Callable]" = OrderedDict()
_warned: "weakref.WeakKeyDictionary[types.CodeType, Any]" = weakref.WeakKeyDictionary()


class _Unknown(Exception):
    """What a function uses and cannot be compared by value: its name and type."""

    def __init__(self, name: str, value: Any):
        super().__init__(f"{name!r} ({type(value).__name__})")
        self.traced = isinstance(value, jax.core.Tracer)


def recognised(function: Callable) -> Callable:
    """An earlier function that does the same as `function`, or `function` itself."""
    code = _code_of(function)
    if code is None or _of_library(getattr(function, "func", function)):
        return function
    try:
        key = _of_function(function, 0)
    except _Unknown as unknown:
        if not unknown.traced:
            _warn_once(function, code, str(unknown))
        return function
    earlier = _seen.get(key)
    if earlier is not None and (earlier is function or _unchanged(earlier, key)):
        _seen.move_to_end(key)
        return earlier
    _seen[key] = function
    if len(_seen) > _MOST:
        _seen.popitem(last=False)
    return function


def hides_nothing(function: Callable) -> bool:
    """Whether all that a plain function reads is a value that can be looked at: none is being traced."""
    if _code_of(function) is None or _of_library(getattr(function, "func", function)):
        return _of_library(getattr(function, "func", function))
    try:
        _of_function(function, 0)
    except _Unknown:
        return False
    return True


def _unchanged(function: Callable, key: Any) -> bool:
    """Whether a remembered function is what it was: a list or array that it holds may have changed."""
    try:
        return _of_function(function, 0) == key
    except _Unknown:
        return False


def _warn_once(function: Callable, code: types.CodeType, what: str) -> None:
    first = _warned.setdefault(code, weakref.ref(function))
    if first == "warned" or first() is function:
        return
    _warned[code] = "warned"
    warnings.warn(
        f"the function {function.__qualname__!r} is compiled anew each time it is made: it uses {what}, "
        "which cannot be compared with what an earlier one used. Make the function once, outside the "
        "loop, or pass an equinox.Module that holds its numbers as arrays.",
        stacklevel=_outside(),
    )


def _outside() -> int:
    """How many frames up the caller's own code is."""
    level, frame = 1, sys._getframe(1)
    while frame is not None and frame.f_globals.get("__name__", "").split(".")[0] in _LIBRARIES:
        level, frame = level + 1, frame.f_back
    return level


def _code_of(function: Any) -> types.CodeType | None:
    if isinstance(function, functools.partial):
        return _code_of(function.func)
    if isinstance(function, types.MethodType):
        return _code_of(function.__func__)
    return getattr(function, "__code__", None)


def _of_library(thing: Any) -> bool:
    return (getattr(thing, "__module__", None) or "").split(".")[0] in _LIBRARIES


def _of_function(function: Any, depth: int) -> Any:
    """What a Python function does, as something hashable."""
    if depth > _DEPTH:
        raise _Unknown(function.__qualname__, function)
    if isinstance(function, functools.partial):
        parts = (function.func, function.args, tuple(sorted(function.keywords.items())))
        return ("partial", *(_of_value("partial", part, depth + 1) for part in parts))
    if isinstance(function, types.MethodType):
        owner = _of_value("self", function.__self__, depth + 1)
        return ("method", owner, _of_function(function.__func__, depth + 1))
    code = function.__code__
    read: list[tuple[str, Any]] = [("defaults", function.__defaults__)]
    read += sorted((function.__kwdefaults__ or {}).items())
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
        try:
            read.append((name, cell.cell_contents))
        except ValueError:  # a cell that is not filled yet
            raise _Unknown(name, None) from None
    outer, names = _names(code)
    read += [(n, function.__globals__[n]) for n in outer if n in function.__globals__]
    values = tuple(
        (name, "itself" if value is function else _of_value(name, value, depth + 1, names))
        for name, value in read
    )
    return ("function", code, id(function.__globals__), values)


@functools.lru_cache(maxsize=1024)
def _names(code: types.CodeType) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The global names that code reads, and all names in it, attributes among them."""
    outer = {i.argval for i in dis.get_instructions(code) if i.opname in _READS}
    every = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            inner = _names(constant)
            outer.update(inner[0])
            every.update(inner[1])
    return tuple(sorted(outer)), tuple(sorted(every))


def _of_value(name: str, value: Any, depth: int, names: tuple[str, ...] = ()) -> Any:
    """A value as something hashable that is equal for equal values, and for those alone."""
    if depth > _DEPTH:
        raise _Unknown(name, value)
    if value is None or isinstance(value, (bool, int, str, bytes, np.dtype, type(...))):
        return (type(value), value)
    if isinstance(value, (float, complex)):
        return (type(value), repr(value))  # minus zero is not zero, NaN is NaN
    if isinstance(value, jax.core.Tracer):
        raise _Unknown(name, value)
    if isinstance(value, (np.ndarray, np.generic, jax.Array)):
        return _of_array(name, value)
    if isinstance(value, types.ModuleType):
        return _of_module(value, depth, names)
    if isinstance(value, (tuple, list)):
        return (type(value), *(_of_value(name, v, depth + 1, names) for v in value))
    if isinstance(value, dict):
        pairs = tuple((_of_value(name, k, depth + 1), _of_value(name, v, depth + 1, names))
                      for k, v in value.items())  # fmt: skip
        return (dict, pairs)
    if isinstance(value, type) or value is vars(builtins).get(getattr(value, "__name__", "")):
        return ("type", id(value))
    if isinstance(value, eqx.Module):
        leaves, structure = jax.tree.flatten(value)
        return ("module", structure, *(_of_value(name, leaf, depth + 1) for leaf in leaves))
    if callable(value) and _of_library(type(value)) and hasattr(value, "__wrapped__"):
        return ("jitted", _of_value(name, value.__wrapped__, depth + 1))  # of one's own function
    if callable(value) and _of_library(value):
        return ("is", id(value))
    if isinstance(value, (types.FunctionType, types.MethodType, functools.partial)):
        return _of_function(value, depth)
    raise _Unknown(name, value)


def _of_array(name: str, value: Any) -> Any:
    if isinstance(value, jax.Array):
        if jnp.issubdtype(value.dtype, jax.dtypes.extended):  # keys: cannot change
            return ("key", str(value.dtype), np.asarray(jax.random.key_data(value)).tobytes())
        if value.nbytes > _BYTES:
            return ("is", id(value))  # cannot change, and is kept alive by the one who holds it
    array = np.asarray(value)
    if array.dtype == object or array.nbytes > 64 * _BYTES:
        raise _Unknown(name, value)
    digest = hashlib.sha256(np.ascontiguousarray(array).tobytes()).digest()
    weak = bool(getattr(value, "weak_type", False))
    return (type(value), weak, array.shape, array.dtype.str, digest)


def _of_module(module: types.ModuleType, depth: int, names: tuple[str, ...]) -> Any:
    """A module by what the function may read of it: its attributes of the names in the code."""
    if module.__name__.split(".")[0] in _LIBRARIES:
        return ("is", module.__name__)
    there = [n for n in names if n in vars(module)]
    values = tuple(_of_value(n, vars(module)[n], depth + 1, names) for n in there)
    return ("module", module.__name__, tuple(there), values)
