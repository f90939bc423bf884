"""Types that public signatures share: one number, numbers, tokens, a tree of functions, a device."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import jax
from jaxtyping import Array, ArrayLike, Float, Real

# One real number: Python's, NumPy's or JAX's, traced ones too.
Scalar: TypeAlias = Real[ArrayLike, ""]
# Tokens of one moment.
Tokens: TypeAlias = Float[Array, "tokens dim"]

# Leaves of a kind, nested as one likes. jaxtyping's is for run time alone: here a checker finds anything.
# Functions: a function of tokens, or a dictionary, list or tuple of such.
if TYPE_CHECKING:
    from typing_extensions import TypeAliasType, TypeVar

    _Leaf = TypeVar("_Leaf", default=Any)
    PyTree = TypeAliasType("PyTree", Any, type_params=(_Leaf,))

    Functions: TypeAlias = Callable[..., object] | Mapping[str, "Functions"] | Sequence["Functions"]

    # Real numbers of any shape, in lists too.
    Numbers: TypeAlias = Real[ArrayLike, "..."] | Sequence["Numbers"]

    class Device(Protocol):
        """A device of JAX, which has no type that a checker sees."""

        platform: str
        id: int

else:
    from jaxtyping import PyTree as PyTree

    Functions, Device = PyTree[Callable], jax.Device
    Numbers = Real[ArrayLike, "..."] | list | tuple
