"""Packages whose names are imported when they are asked for, so that importing the package costs nothing."""

import sys
import warnings
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def lazily(
    package: str, homes: Mapping[str, str], old: Mapping[str, str] | None = None
) -> tuple[Callable[[str], Any], Callable[[], Any]]:
    """`__getattr__` and `__dir__` of a package, from the module inside it that each name lives in.

    A name that is its own module stands for that module; a home `"..room"` is the package beside.
    `old` names are passed on as [`renamed`][] does.
    """

    of_old = renamed(package, old or {}, above=3)

    def get(name: str) -> Any:
        if name not in homes:
            return of_old(name)
        home = homes[name]
        module = import_module(home if home.startswith("..") else f".{home}", package)
        value = module if home == name else getattr(module, name)
        setattr(sys.modules[package], name, value)
        return value

    def names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *homes})

    return get, names


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
