"""Names of classes and functions in files: public paths, found again in known packages only.

A file may name what lives in the packages of `PACKAGES`, a function of `jax.numpy`, `jax.nn` or
`jax.lax`, or a class that the reader hands over. Nothing else is looked up, and nothing is called.
"""

import importlib
import inspect
import sys
from collections.abc import Iterable
from types import ModuleType
from typing import Any

import equinox as eqx
import jax

PACKAGES = ("attnflow", "diffrax", "equinox", "lineax", "optimistix")

# Their functions are objects of several types, some without a usable path: found by identity.
_JAX = {"jax.numpy": jax.numpy, "jax.nn": jax.nn, "jax.lax": jax.lax}


def _within(module: str) -> bool:
    return module.split(".")[0] in PACKAGES


def _follow(module: ModuleType, qualname: str) -> Any:
    """The object at a dotted name, going through classes only; `None` when it is not there."""
    value: Any = module
    for part in qualname.split("."):
        if value is not module and not inspect.isclass(value):
            return None
        value = getattr(value, part, None)
    return value


def name_of(thing: Any) -> str | None:
    """`"package:Name"` of a class, function or constant that a reader will find there; else `None`.

    The shortest public path is taken, so that a file outlives a move between private modules.
    """
    module, qualname = getattr(thing, "__module__", None), getattr(thing, "__qualname__", None)
    if isinstance(module, str) and isinstance(qualname, str) and _within(module):
        parts = module.split(".")
        for length in range(1, len(parts) + 1):
            path = ".".join(parts[:length])
            if _follow(importlib.import_module(path), qualname) is thing:
                return f"{path}:{qualname}"
        return None
    if isinstance(module, str) and _within(module):  # an object of a known class: a constant?
        for name, constant in vars(sys.modules[module]).items():
            if constant is thing:
                return f"{module}:{name}"
    if callable(thing):
        short = getattr(thing, "__name__", None)
        for path, namespace in _JAX.items():
            if isinstance(short, str) and getattr(namespace, short, None) is thing:
                return f"{path}:{short}"
    return None


def full_name(cls: type) -> str:
    """`"module:Qualified.name"` of a class that is not in the known packages."""
    return f"{cls.__module__}:{cls.__qualname__}"


class Finder:
    """Turns names back into classes and functions; `classes` are the reader's own."""

    def __init__(self, classes: Iterable[type] = ()):
        self._own: dict[str, type] = {}
        for cls in classes:
            if not inspect.isclass(cls):
                raise ValueError(f"`classes` must hold classes; got {cls!r}.")
            self._own[full_name(cls)] = cls

    def find(self, name: str) -> Any:
        """The object of that name, or a `ValueError` that says why it is not taken."""
        module, separator, qualname = name.partition(":")
        if not separator or not qualname:
            raise ValueError(f"the file holds {name!r}, which is not the name of a class.")
        if name in self._own:
            return self._own[name]
        if module in _JAX:
            value = _follow(_JAX[module], qualname) if "." not in qualname else None
            if value is None or isinstance(value, ModuleType):
                raise ValueError(f"the file names `{name}`, which this jax does not have.")
            return value
        if not _within(module):
            raise ValueError(
                f"the file holds a `{name}`, a class of your own: give it as "
                f"load(path, classes=[{qualname.split('.')[-1]}])."
            )
        try:
            value = _follow(importlib.import_module(module), qualname)
        except ImportError:
            value = None
        # What a known module imported from elsewhere (os, sys, ...) is not taken.
        home = getattr(value, "__module__", None)
        if value is None or not isinstance(home, str) or not _within(home):
            raise ValueError(
                f"the file names `{name}`, which the installed {module.split('.')[0]} does not "
                f"have; load it with the versions that its first line states."
            )
        return value


class _Probe(eqx.Enumeration):
    item = ""


Item = type(_Probe.item)  # equinox gives the type of its enumeration items no public name
_EnumerationType = type(_Probe)


def is_enumeration(thing: Any) -> bool:
    """Whether `thing` is a class of enumeration items, such as `diffrax.RESULTS`."""
    return isinstance(thing, _EnumerationType)
