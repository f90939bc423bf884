r"""The field of many tokens, a block of rows of attention at a time.

Attention of $\ell$ tokens has $h \ell^2$ weights: 32 MB a head for 2000 tokens, several times over in one evaluation
and its derivative, through memory each time. A block of so many rows fits a processor's cache, and its rows are
whole, so that softmax needs no running maximum. In reverse mode each block is worked again.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from ._field import AttentionField
from ._kernels import Exponential, Hardmax, Softmax

# Below 400 tokens the whole is as fast (benchmarks/ensembles.py, `many_tokens`), and small.
_TOKENS, _ENTRIES, _LEAST = 400, 2**16, 8


def fits_blocks(field: AttentionField, tokens: int) -> bool:
    """Whether `in_blocks` can evaluate this kind of field, and is the better way to on this backend."""
    return (
        tokens >= _TOKENS
        and jax.default_backend() == "cpu"
        and type(field.kernel) in (Softmax, Exponential, Hardmax)
        and field.matrix_scores
    )


def in_blocks(
    field: AttentionField, t: Float[Array, ""], y: Float[Array, "tokens dim"], args: Any = None
) -> Float[Array, "tokens dim"]:
    r"""$\dot y$ of eq. (6), as `field(t, y, args)` gives it, in memory that grows with $\ell$ and not with $\ell^2$.

    **Arguments:**

    - `field`: of a kind that `fits_blocks` accepts.
    """
    tokens = y.shape[0]
    field._check_tokens(tokens)
    size = max(_LEAST, _ENTRIES // (field.heads * tokens))
    blocks = -(-tokens // size)
    size = -(-tokens // blocks)
    # The last block is filled up by the last token.
    index = jnp.minimum(jnp.arange(blocks * size, dtype=jnp.int32), tokens - 1)
    x = field._directions(y)
    of_block = eqx.filter_checkpoint(_of_block)
    A = jax.lax.map(lambda rows: of_block(field, t, x, rows), index.reshape(blocks, size))
    A = A.reshape(-1, *A.shape[2:])[:tokens]
    return field._moved_by(field._and_drift(A, t, y, args), t, y)


def _of_block(
    field: AttentionField,
    t: Float[Array, ""],
    x: Float[Array, "tokens dim"],
    rows: Int[Array, " rows"],
) -> Float[Array, "rows dim"]:
    """The attention's sum for some of the tokens."""
    tokens = x.shape[0]
    bias, allowed = field.mask.bias(), field.mask.allowed(tokens)
    if allowed is not None:
        allowed = allowed.reshape(-1, tokens, tokens)[:, rows]
    weights = None if field.weights is None else field.weights.astype(x.dtype)[None, None, :]
    with jax.default_matmul_precision(field.precision):
        logits = field.P.bilinear(t, x[rows], x)
        logits = logits.reshape(-1, *logits.shape[-2:])
        if bias is not None:
            logits = logits + bias.reshape(-1, tokens, tokens)[:, rows].astype(x.dtype)
        attention = field.scale.astype(x.dtype) * field.kernel(logits, allowed, weights)
        return field._mix(t, attention, x)
