"""GPT-2 and GPT-Neo as one module: embedding, blocks that are stacked by layer, final norm."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Int

from ..model import LayerNorm
from ._activations import ACTIVATIONS
from ._architecture import Architecture
from ._prompts import as_ids


class Norm(eqx.Module):
    r"""Gain $\gamma$ and bias $\beta$ of a layer normalisation, `(*layers, dim)`."""

    gain: Float[Array, "*layers dim"]
    bias: Float[Array, "*layers dim"]

    def __call__(self, x: Float[Array, "*batch dim"], epsilon: float) -> Float[Array, "*batch dim"]:
        return LayerNorm(self.gain, self.bias, epsilon)(x)


class Attention(eqx.Module):
    r"""Query, key and value matrices side by side and the output matrix, all `(in, out)`: $y = xW + b$.

    Head $\eta$ has columns $\eta w$ to $(\eta + 1)w$ of each third, and those rows of `out`. GPT-Neo
    has no `qkv_bias`.
    """

    qkv: Float[Array, "*layers dim three_dim"]
    qkv_bias: Float[Array, "*layers three_dim"] | None
    out: Float[Array, "*layers dim dim"]
    out_bias: Float[Array, "*layers dim"]


class FeedForward(eqx.Module):
    r"""$f(x) = \varphi(xA + a)B + b$, matrices `(in, out)`."""

    up: Float[Array, "*layers dim inner"]
    up_bias: Float[Array, "*layers inner"]
    down: Float[Array, "*layers inner dim"]
    down_bias: Float[Array, "*layers dim"]


class Block(eqx.Module):
    r"""A layer: $h \leftarrow h + \text{attention}(N_1(h))$, then $h \leftarrow h + f(N_2(h))$.

    Without `feed_forward` (and its norm) the second step is left out.
    """

    attention_norm: Norm
    attention: Attention
    feed_forward_norm: Norm | None
    feed_forward: FeedForward | None


class GPT(eqx.Module):
    """A GPT-2 or GPT-Neo. [`load`][] reads one from a folder, [`random`][] draws one.

    Matrix products are of the weights' dtype; the residual stream, normalisations, scores and
    softmax are float32 or better whatever that is. There is no dropout and no output embedding.

    **Attributes:**

    - `architecture`: sizes and options.
    - `tokens`: the token embedding, `(vocabulary, dim)`; `positions`: `(positions, dim)`.
    - `blocks`: a [`Block`][] whose arrays have a leading axis of layers.
    - `norm`: the final normalisation.

    ```python
    model = af.language.random("gpt2", key=jax.random.key(0))
    model(jnp.arange(10))                                    # (10, 768)
    ```
    """

    tokens: Float[Array, "vocabulary dim"]
    positions: Float[Array, "positions dim"]
    blocks: Block
    norm: Norm
    architecture: Architecture = eqx.field(static=True)

    @property
    def dtype(self) -> np.dtype:
        """Of the weights."""
        return self.tokens.dtype

    def embed(self, ids: Int[ArrayLike, " length"]) -> Float[Array, "length dim"]:
        """Token plus position embedding of a prompt, float32 or better."""
        ids = jnp.asarray(ids)
        return wide(self.tokens[ids]) + wide(self.positions[: ids.shape[0]])

    def hidden(
        self, ids: Int[ArrayLike, " length"], *, feed_forward: bool = True
    ) -> Float[Array, "layers_and_one length dim"]:
        """The residual stream of a prompt: its embedding, then after every block, before the final norm."""
        rows = as_ids(self.architecture, ids)
        if len(rows) > 1:
            raise ValueError(f"`ids` must be one prompt, shape (length,); got {rows.shape}.")
        if feed_forward and self.blocks.feed_forward is None:
            raise ValueError(
                "`feed_forward` needs the feed-forward's weights, which were not loaded: "
                "load the model with feed_forward=True."
            )
        # As in `looped`: a GPU would round float32 products to TF32.
        with jax.default_matmul_precision("highest"):
            return _hidden(self, rows[0], feed_forward)

    def __call__(self, ids: Int[ArrayLike, " length"]) -> Float[Array, "length dim"]:
        """The last hidden state of a prompt, after the final norm."""
        return self.norm(self.hidden(ids)[-1], self.architecture.epsilon)


@eqx.filter_jit
def _hidden(model: GPT, ids: Array, feed_forward: bool) -> Array:
    blocks = model.blocks if feed_forward else without_feed_forward(model.blocks)

    def body(h, layer):
        block, scale, window = layer
        h = through(model.architecture, block, scale, window, h[None])[0]
        return h, h

    start = model.embed(ids)
    layers = (blocks, *by_layer(model.architecture, start.dtype))
    return jnp.concatenate([start[None], jax.lax.scan(body, start, layers)[1]])


def wide(x: Array) -> Array:
    """`x` in float32, or as it is if that is better."""
    return x if x.dtype.itemsize >= 4 else x.astype(jnp.float32)


def without_feed_forward(blocks: Block) -> Block:
    """Blocks of attention alone."""
    return Block(blocks.attention_norm, blocks.attention, None, None)


def by_layer(architecture: Architecture, dtype: Any) -> tuple[Array, Array]:
    """What the layers differ in beside their weights: the scale of scores and the window."""
    windows = [architecture.positions if w is None else w for w in architecture.windows]
    return jnp.asarray(architecture.scales, dtype), jnp.asarray(windows)


def through(
    architecture: Architecture, block: Block, scale: Array, window: Array, h: Array
) -> Array:
    """The residual stream `(prompts, length, dim)` after one layer, whose weights have no layer axis."""
    epsilon = architecture.epsilon
    h = h + _attend(architecture, block.attention, scale, window, block.attention_norm(h, epsilon))
    if block.feed_forward is not None and block.feed_forward_norm is not None:
        f = block.feed_forward
        x = _times(block.feed_forward_norm(h, epsilon), f.up, f.up_bias)
        h = h + _times(ACTIVATIONS[architecture.activation](x), f.down, f.down_bias)
    return h


def _attend(
    architecture: Architecture, attention: Attention, scale: Array, window: Array, x: Array
) -> Array:
    prompts, length, dim = x.shape
    qkv = _times(x, attention.qkv, attention.qkv_bias)
    # (prompts, heads, length, width): XLA multiplies a batch of matrices whose batch axes are first.
    heads = qkv.reshape(prompts, length, 3, architecture.heads, architecture.width)
    q, k, v = (heads[:, :, i].swapaxes(1, 2) for i in range(3))
    scores = scale * (q @ k.swapaxes(-1, -2))
    back = jnp.arange(length)[:, None] - jnp.arange(length)[None, :]
    seen = (back >= 0) & (back < window)
    weights = jax.nn.softmax(jnp.where(seen[None, None], scores, -jnp.inf), axis=-1)
    mixed = (weights @ v).swapaxes(1, 2).reshape(prompts, length, dim)
    return _times(mixed, attention.out, attention.out_bias)


def _times(x: Array, matrix: Array, bias: Array | None) -> Array:
    """$xW + b$ of the matrix's dtype, summed and returned in that of `x`."""
    # One product for all tokens of all prompts.
    rows = x.reshape(-1, x.shape[-1]).astype(matrix.dtype)
    out = jnp.matmul(rows, matrix, preferred_element_type=x.dtype)
    if bias is not None:
        out = out + bias.astype(x.dtype)[None]
    return out.reshape(*x.shape[:-1], matrix.shape[-1])
