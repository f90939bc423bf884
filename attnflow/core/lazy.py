"""Names imported when they are first used from the rooms beside, and names that have another now.

A package whose names are of its own modules uses lazy_loader, which takes them from nowhere else.
"""

import ast
import functools
import sys
import warnings
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


def from_rooms(
    package: str, file: str, old: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """`__getattr__`, `__dir__` and `__all__` of a package that offers names of the packages beside it.

    **Arguments:**

    - `package`, `file`: its `__name__` and `__file__`. The stub beside the file, `from ..room import Name as Name`,
      says which names there are.
    - `old`: passed on to [`renamed`][].
    """
    stub = ast.parse(Path(file).with_suffix(".pyi").read_text())
    homes = {
        alias.name: "." * node.level + (node.module or "")
        for node in stub.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    of_old = renamed(package, old, above=3)

    def get(name: str) -> Any:
        if name not in homes:
            return of_old(name)
        value = getattr(import_module(homes[name], package), name)
        setattr(sys.modules[package], name, value)
        return value

    return get, lambda: sorted({*vars(sys.modules[package]), *homes}), [*homes]


def renamed(package: str, names: Mapping[str, str], above: int = 2) -> Callable[[str], Any]:
    """`__getattr__` of a package for names that have another now: each goes on to work, with a warning.

    **Arguments:**

    - `package`: its name.
    - `names`: the name of today for each old one.
    - `above`: how many calls above the warning points to.
    """

    def get(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        new = names[name]
        message = f"{package}.{name} is called {package}.{new} now."
        warnings.warn(message, DeprecationWarning, stacklevel=above)
        return getattr(sys.modules[package], new)

    return get


def renamed_argument(old: str, new: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """A decorator for a function whose argument `old` is called `new` now: `old=` works, with a warning."""

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            if old in kwargs and new not in kwargs:
                message = f"`{old}` of {function.__name__} is called `{new}` now."
                warnings.warn(message, DeprecationWarning, stacklevel=2)
                kwargs[new] = kwargs.pop(old)
            return function(*args, **kwargs)

        return call

    return decorate


def renamed_attribute(old: str, new: str) -> property:
    """An attribute that goes on under its old name, `old = renamed_attribute("old", "new")`, with a warning."""

    def get(self: object) -> object:
        message = f"{type(self).__name__}.{old} is called {type(self).__name__}.{new} now."
        warnings.warn(message, DeprecationWarning, stacklevel=2)
        return getattr(self, new)

    return property(get)
