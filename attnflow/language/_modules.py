"""The parts of a transformer's layer as modules: normalisation, attention, feed-forward, block."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..model import LayerNorm


class Norm(eqx.Module):
    r"""Gain $\gamma$ and bias $\beta$ of a normalisation, `(*layers, dim)`.

    With `centred` it is layer normalisation, $\gamma \star (x - \bar x)/\sigma + \beta$; otherwise
    $\gamma \star x/\mathrm{rms}(x)$, which has no bias.
    """

    gain: Float[Array, "*layers dim"]
    bias: Float[Array, "*layers dim"] | None
    centred: bool = eqx.field(static=True, default=True)

    def __call__(self, x: Float[Array, "*batch dim"], epsilon: float) -> Float[Array, "*batch dim"]:
        if self.centred:
            assert self.bias is not None
            return LayerNorm(self.gain, self.bias, epsilon)(x)
        size = jnp.mean(jnp.square(x), axis=-1, keepdims=True) + jnp.asarray(epsilon, x.dtype)
        gain = self.gain.astype(x.dtype).reshape(*(1,) * (x.ndim - 1), -1)
        return x * jax.lax.rsqrt(size) * gain


class Attention(eqx.Module):
    r"""Query, key and value matrices side by side and the output matrix, all `(in, out)`: $y = xW + b$.

    Of `qkv` the first $hw$ columns are the queries', head $\eta$ from $\eta w$ to $(\eta + 1)w$; the rest are
    halves of keys and values, likewise, which have as many heads or a divisor of them. `out` has the
    rows of heads. Norms of queries and keys are by head, with one gain for all.
    """

    qkv: Float[Array, "*layers dim q_and_k_and_v"]
    qkv_bias: Float[Array, "*layers q_and_k_and_v"] | None
    out: Float[Array, "*layers heads_width dim"]
    out_bias: Float[Array, "*layers dim"] | None
    query_norm: Norm | None = None
    key_norm: Norm | None = None


class FeedForward(eqx.Module):
    r"""$f(x) = \varphi(xA + a)B + b$, matrices `(in, out)`; with a gate, $(\varphi(xG + g) \star (xA + a))B + b$."""

    up: Float[Array, "*layers dim inner"]
    up_bias: Float[Array, "*layers inner"] | None
    down: Float[Array, "*layers inner dim"]
    down_bias: Float[Array, "*layers dim"] | None
    gate: Float[Array, "*layers dim inner"] | None = None
    gate_bias: Float[Array, "*layers inner"] | None = None


class TransformerBlock(eqx.Module):
    r"""A layer: $h \leftarrow h + \text{attention}(N_1(h))$, then $h \leftarrow h + f(N_2(h))$.

    In families with norms after the sum it is $h \leftarrow N_1(h + \text{attention}(h))$,
    $h \leftarrow N_2(h + f(h))$; where there are norms of what is added, $h \leftarrow h + N'_1(\cdot)$.
    Without `feed_forward` (and its norms) the second step is left out.
    """

    attention_norm: Norm
    attention: Attention
    feed_forward_norm: Norm | None
    feed_forward: FeedForward | None
    attention_out_norm: Norm | None = None
    feed_forward_out_norm: Norm | None = None


def wide(x: Array) -> Array:
    """`x` in float32, or as it is if that is better."""
    return x if x.dtype.itemsize >= 4 else x.astype(jnp.float32)


def without_feed_forward(blocks: TransformerBlock) -> TransformerBlock:
    """Blocks of attention alone."""
    return TransformerBlock(
        blocks.attention_norm, blocks.attention, None, None, blocks.attention_out_norm, None
    )


def times(x: Array, matrix: Array, bias: Array | None) -> Array:
    """$xW + b$ of the matrix's dtype, summed and returned in that of `x`."""
    # One product for all tokens of all prompts.
    rows = x.reshape(-1, x.shape[-1]).astype(matrix.dtype)
    out = jnp.matmul(rows, matrix, preferred_element_type=x.dtype)
    if bias is not None:
        out = out + bias.astype(x.dtype)[None]
    return out.reshape(*x.shape[:-1], matrix.shape[-1])
