"""Types that public signatures share: one number, numbers, tokens, a tree of functions, a device."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, TypeAlias

import jax
from jaxtyping import Array, ArrayLike, Float, PyTree, Real

# One real number: Python's, NumPy's or JAX's, traced ones too.
Scalar: TypeAlias = Real[ArrayLike, ""]
# Tokens of one moment.
Tokens: TypeAlias = Float[Array, "tokens dim"]

# A function of tokens, or a dictionary, list or tuple of such, nested as one likes. jaxtyping's PyTree is for run time
# alone (a type checker takes it for anything).
if TYPE_CHECKING:
    Functions: TypeAlias = Callable[..., object] | Mapping[str, "Functions"] | Sequence["Functions"]

    # Real numbers of any shape, in lists too.
    Numbers: TypeAlias = Real[ArrayLike, "..."] | Sequence["Numbers"]

    class Device(Protocol):
        """A device of JAX, which has no type that a checker sees."""

        platform: str
        id: int

else:
    Functions, Device = PyTree[Callable], jax.Device
    Numbers = Real[ArrayLike, "..."] | list | tuple
