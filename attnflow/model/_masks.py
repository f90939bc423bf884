"""Who may look at whom: no mask, causal, not oneself, any Boolean matrix, an additive bias."""

import abc
from typing import Any, TypeAlias

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Bool, Float

from ..core.checks import check, choose, floating, is_concrete
from ..core.types import Numbers


class AbstractMask(eqx.Module):
    """What a mask adds to the logits of `tokens` tokens, and which pairs it allows."""

    @abc.abstractmethod
    def allowed(self, tokens: int) -> Bool[Array, "tokens tokens"] | None:
        """`True` where token i may attend to token j; `None` where every pair may."""

    @abc.abstractmethod
    def bias(self) -> Float[Array, "*heads tokens tokens"] | None:
        """What is added to the logits, finite where allowed; `None` for nothing."""

    @property
    def tokens(self) -> int | None:
        """The number of tokens this mask is for, `None` for any."""
        return None


class Full(AbstractMask):
    """Every token attends to every token."""

    def allowed(self, tokens: int) -> None:
        return None

    def bias(self) -> None:
        return None


class Causal(AbstractMask):
    """Token i attends to tokens j <= i only, in numerator and denominator (paper, section 4)."""

    def allowed(self, tokens: int) -> Bool[Array, "tokens tokens"]:
        return jnp.asarray(np.tril(np.ones((tokens, tokens), bool)))

    def bias(self) -> None:
        return None


class BooleanMask(AbstractMask):
    """Token i attends to token j where `matrix[i, j]` is true.

    **Arguments:**

    - `matrix`: Boolean, shape `(tokens, tokens)`; each row allows at least one token.
    """

    matrix: Bool[Array, "tokens tokens"]

    def __init__(self, matrix: Bool[ArrayLike, "tokens tokens"]):
        matrix = _as_array(matrix)
        if matrix.dtype != jnp.bool_:
            raise ValueError(
                f"`mask` must be Boolean here; got {matrix.dtype}. Use mask.astype(bool)."
            )
        _check_square("mask", matrix.shape, (2,))
        self.matrix = _check_rows(matrix, jnp.any(matrix, axis=-1))

    def allowed(self, tokens: int) -> Bool[Array, "tokens tokens"]:
        return self.matrix

    def bias(self) -> None:
        return None

    @property
    def tokens(self) -> int:
        return self.matrix.shape[-1]


class AdditiveBias(AbstractMask):
    """A number added to each logit, $-\\infty$ where a pair is forbidden.

    **Arguments:**

    - `matrix`: real, shape `(tokens, tokens)` or `(heads, tokens, tokens)`.
    """

    matrix: Float[Array, "*heads tokens tokens"]

    def __init__(self, matrix: Float[ArrayLike, "*heads tokens tokens"]):
        matrix = floating("mask", matrix)
        _check_square("mask", matrix.shape, (2, 3))
        matrix = check(
            matrix,
            lambda m: ~(m < jnp.inf),
            "`mask` as a bias must be finite or -inf; got NaN or +inf.",
        )
        self.matrix = _check_rows(matrix, jnp.any(matrix > -jnp.inf, axis=-1))

    def allowed(self, tokens: int) -> Bool[Array, "*heads tokens tokens"]:
        return self.matrix > -jnp.inf

    def bias(self) -> Float[Array, "*heads tokens tokens"]:
        return jnp.where(self.matrix > -jnp.inf, self.matrix, 0)

    @property
    def tokens(self) -> int:
        return self.matrix.shape[-1]


class NoSelf(AbstractMask):
    r"""Every pair of another mask but $(i, i)$: nobody attends to itself.

    A token that is left with nobody to attend to, as the first of causal attention is, has a row of
    zeros, and attention does not move it.

    **Arguments:**

    - `mask`: whom tokens see apart from themselves, as `mask` of an `AttentionField`; everybody unless given.

    ```python
    field = af.AttentionField(sphere, P=jnp.eye(3), mask=af.model.NoSelf("causal"))
    ```
    """

    mask: AbstractMask

    def __init__(self, mask: "GivenMask" = None):
        self.mask = as_mask(mask)

    def allowed(self, tokens: int) -> Bool[Array, "..."]:
        others = jnp.asarray(~np.eye(tokens, dtype=bool))
        inner = self.mask.allowed(tokens)
        if inner is None:
            return others
        return inner & others.reshape((1,) * (inner.ndim - 2) + others.shape)

    def bias(self) -> Float[Array, "..."] | None:
        return self.mask.bias()

    @property
    def tokens(self) -> int | None:
        return self.mask.tokens


# What is taken where a mask is.
GivenMask: TypeAlias = AbstractMask | str | Bool[ArrayLike, "..."] | Numbers | None


def _check_square(name: str, shape: tuple[int, ...], ranks: tuple[int, ...]) -> None:
    if len(shape) not in ranks or shape[-1] != shape[-2] or 0 in shape:
        raise ValueError(
            f"`{name}` must have shape (tokens, tokens), with one token or more; got {shape}."
        )


def _check_rows(matrix: Array, some: Array) -> Array:
    row = (
        f"row {int(jnp.argmin(some.reshape(-1, some.shape[-1]).all(0)))}"
        if is_concrete(some)
        else "a row"
    )
    return check(
        matrix,
        ~some,
        f"`mask` must allow each token at least one token to attend to; got {row} that allows none. "
        "Let it attend to itself, or use weights= and frozen= for padding.",
    )


def as_mask(mask: GivenMask) -> AbstractMask:
    """`None`, `"causal"`, `"others"`, a Boolean matrix or an additive bias as a mask module."""
    if mask is None:
        return Full()
    if isinstance(mask, AbstractMask):
        return mask
    if isinstance(mask, str):
        choose("mask", mask, ("causal", "others"))
        return NoSelf() if mask == "others" else Causal()
    array = _as_array(mask)
    if array.dtype == jnp.bool_:
        return BooleanMask(array)
    if jnp.issubdtype(array.dtype, jnp.floating):
        return AdditiveBias(array)
    raise ValueError(
        f"`mask` must be None, 'causal', 'others', a Boolean matrix or a real bias; got dtype {array.dtype}. "
        "Say who attends to whom by true and false, mask.astype(bool), or give a bias as floats such as -1.0."
    )


def _as_array(mask: Any) -> Array:
    try:
        return jnp.asarray(mask)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(
            "`mask` must be None, 'causal', 'others', a Boolean matrix or a real bias; "
            f"got {type(mask).__name__}."
        ) from None
