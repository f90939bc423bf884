"""From logits to attention: softmax, the unnormalised exponential, hardmax."""

import abc
from typing import TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from ..core.checks import check, choose, finite

# Of all tokens, or of some: a block of rows.
Logits: TypeAlias = Float[Array, "heads rows tokens"]
Allowed: TypeAlias = Bool[Array, "some #rows tokens"]
Masses: TypeAlias = Float[Array, "1 1 tokens"]


class AbstractKernel(eqx.Module):
    """How logits $y_i^\\top P y_j$ become weights."""

    @abc.abstractmethod
    def __call__(
        self,
        logits: Logits,
        allowed: Allowed | None,
        weights: Masses | None,
    ) -> Logits:
        """Weights of each row, zero where not `allowed`; `weights` are the tokens' masses."""


def _largest(logits: Array, allowed: Array | None) -> Array:
    masked = logits if allowed is None else jnp.where(allowed, logits, -jnp.inf)
    largest = jnp.max(masked, axis=-1, keepdims=True)
    # Zero for a row that may attend to nobody; what is not a number stays so.
    return jax.lax.stop_gradient(jnp.where(jnp.isneginf(largest), 0, largest))


def _exp(shifted: Array, allowed: Array | None, weights: Array | None) -> Array:
    # The inner `where` keeps a forbidden pair's huge logit out of exp, value and gradient.
    if allowed is None:
        out = jnp.exp(shifted)
    else:
        out = jnp.where(allowed, jnp.exp(jnp.where(allowed, shifted, 0)), 0)
    return out if weights is None else out * weights


def _combine(allowed: Array | None, weights: Array | None) -> Array | None:
    if weights is None:
        return allowed
    present = weights > 0
    return present if allowed is None else allowed & present


class Softmax(AbstractKernel):
    r"""$w_j e^{s_{ij}} / \sum_k w_k e^{s_{ik}}$, by the shifted exponential: no overflow at any logit."""

    def __call__(self, logits: Logits, allowed: Allowed | None, weights: Masses | None) -> Logits:
        allowed = _combine(allowed, weights)
        positive = _exp(logits - _largest(logits, allowed), allowed, weights)
        total = jnp.sum(positive, axis=-1, keepdims=True)
        # A row that sees no mass at all attends to nothing, instead of dividing by zero.
        return jnp.where(total == 0, 0, positive / jnp.where(total == 0, 1, total))


class Exponential(AbstractKernel):
    r"""$w_j e^{s_{ij}} / \sum_k w_k$ (with unit masses $e^{s_{ij}}/\ell$): rows do not sum to one.

    The "USA" model of Geshkovski et al. (arXiv:2312.10794), a gradient flow for symmetric
    parameters. Logits above 709 (float64) or 88 (float32) overflow, as they must here; an
    additive bias of minus the largest logit is a change of time.
    """

    def __call__(self, logits: Logits, allowed: Allowed | None, weights: Masses | None) -> Logits:
        count = logits.shape[-1] if weights is None else jnp.sum(weights)
        return _exp(logits, _combine(allowed, weights), weights) / count


class Hardmax(AbstractKernel):
    r"""All attention on the largest logits of a row, shared among ties (Alcalde et al., arXiv:2407.01602).

    **Arguments:**

    - `tolerance`: logits within `tolerance * max(1, |largest|)` of the largest are ties; `None`
      for 256 units of rounding. Equality of floats would decide ties by the order of summation.
    """

    tolerance: Float[Array, ""] | None

    def __init__(self, tolerance: float | None = None):
        if tolerance is None:
            self.tolerance = None
        else:
            value = finite("tolerance", tolerance)
            if value.ndim:
                raise ValueError(f"`tolerance` must be a scalar; got shape {value.shape}.")
            self.tolerance = check(
                value, lambda v: ~(v >= 0), "`tolerance` must be zero or more; got less."
            )

    def __call__(self, logits: Logits, allowed: Allowed | None, weights: Masses | None) -> Logits:
        allowed = _combine(allowed, weights)
        largest = _largest(logits, allowed)
        relative = 256 * jnp.finfo(logits.dtype).eps if self.tolerance is None else self.tolerance
        slack = jnp.asarray(relative, logits.dtype) * jnp.maximum(1, jnp.abs(largest))
        tied = logits >= largest - slack
        tied = tied if allowed is None else tied & allowed
        share = jnp.where(tied, 1.0 if weights is None else weights, 0).astype(logits.dtype)
        total = jnp.sum(share, axis=-1, keepdims=True)
        rows = jnp.where(total == 0, 0, share / jnp.where(total == 0, 1, total))
        return jnp.where(jnp.isnan(largest), jnp.nan, rows)


_NAMES = {"softmax": Softmax, "exp": Exponential, "hardmax": Hardmax}


def as_kernel(kernel: str | AbstractKernel) -> AbstractKernel:
    """`"softmax"`, `"exp"`, `"hardmax"` or a kernel module."""
    if isinstance(kernel, AbstractKernel):
        return kernel
    return _NAMES[choose("kernel", kernel, tuple(_NAMES))]()
