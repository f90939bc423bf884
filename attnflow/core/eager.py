"""Functions that are one compiled program where they are called by hand, not one for each operation."""

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import numpy as np

from .checks import is_concrete
from .compiled import compiled

_NO_NUMBERS = "OSUMm"  # kinds of NumPy: objects, words, dates
_F = TypeVar("_F", bound=Callable[..., Any])


def one_program(function: _F) -> _F:
    """`function`, jitted where all its arrays have values; inside another's trace it is as it was.

    For functions without run-time checks of values: inside a program these could only give NaN.
    What is not an array among the arguments has to be hashable. Arrays of words or objects, which no program
    takes, go to `function`, to be refused by name.
    """
    program = compiled(function)

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if is_concrete(args, kwargs) and not _wordy(args, kwargs):
            return program(*args, **kwargs)
        return function(*args, **kwargs)

    return call  # pyright: ignore[reportReturnType]


def _wordy(*values: Any) -> bool:
    leaves = jax.tree.leaves(values)
    return any(isinstance(leaf, np.ndarray) and leaf.dtype.kind in _NO_NUMBERS for leaf in leaves)
