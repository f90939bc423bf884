"""A transformer as one module: embedding, blocks that are stacked by layer, final norm."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Int

from ..core.checks import boolean, instance
from ..core.compiled import compiled
from ._architecture import Architecture
from ._layer import by_layer, own_block, scanned, through
from ._modules import Norm, TransformerBlock, times, wide, without_feed_forward
from ._prompts import as_ids


class Transformer(eqx.Module):
    """A transformer of a family that is known here. [`load`][] reads one from files, [`random`][] draws one.

    Matrix products are of the weights' dtype; the residual stream, normalisations, scores and
    softmax are float32 or better whatever that is. There is no dropout and no output embedding.

    **Attributes:**

    - `architecture`: sizes and options.
    - `tokens`: the token embedding, `(vocabulary, dim)`; `positions`: `(positions, dim)`, `None` where
      positions are rotations of queries and keys.
    - `blocks`: a [`TransformerBlock`][] whose arrays have a leading axis of layers (of groups of layers, where
      several have the same weights).
    - `norm`: the final normalisation, `None` in families that have none.
    - `types`: the embedding of token types; `embedding_norm`: of the sum of embeddings;
      `projection`, `projection_bias`: what maps them to `dim`. `None` where there is none.

    ```python
    model = af.language.random("gpt2", key=jax.random.key(0))
    model(jnp.arange(10))                                    # (10, 768)
    ```
    """

    tokens: Float[Array, "vocabulary embedding"]
    positions: Float[Array, "positions embedding"] | None
    blocks: TransformerBlock
    norm: Norm | None
    architecture: Architecture = eqx.field(static=True)
    types: Float[Array, "types embedding"] | None = None
    embedding_norm: Norm | None = None
    projection: Float[Array, "embedding dim"] | None = None
    projection_bias: Float[Array, " dim"] | None = None

    @property
    def dtype(self) -> np.dtype:
        """Of the weights."""
        return self.tokens.dtype

    def embed(self, ids: Int[ArrayLike, " length"]) -> Float[Array, "length dim"]:
        """Where a prompt begins: the sum of its embeddings, float32 or better."""
        ids = jnp.asarray(ids)
        places = None if self.positions is None else self.positions[: ids.shape[0]]
        return self.entered(self.tokens[ids], places)

    def entered(self, tokens: Array, places: Array | None) -> Array:
        """What enters the first block, of rows of the embeddings of tokens and positions."""
        return entered(
            self.architecture,
            (self.types, self.embedding_norm, self.projection, self.projection_bias),
            tokens,
            places,
        )

    def hidden(
        self, ids: Int[ArrayLike, " length"], *, feed_forward: bool = True
    ) -> Float[Array, "layers_and_one length dim"]:
        """The residual stream of a prompt: its embedding, then after every block, before the final norm."""
        rows = as_ids(self.architecture, ids)
        if len(rows) > 1:
            raise ValueError(f"`ids` must be one prompt, shape (length,); got {rows.shape}.")
        check_feed_forward(self, feed_forward)
        # As in `looped`: a GPU would round float32 products to TF32.
        with jax.default_matmul_precision("highest"):
            return _hidden(self, rows[0], feed_forward)

    def __call__(self, ids: Int[ArrayLike, " length"]) -> Float[Array, "length dim"]:
        """The last hidden state of a prompt, after the final norm."""
        return final(self.architecture, self.norm, self.hidden(ids)[-1])


GPT = Transformer  # its name when GPT-2 and GPT-Neo were all there was


def check_feed_forward(model: Transformer, feed_forward: bool) -> None:
    """A `ValueError` where there is no model, or where it is asked for and was not loaded."""
    instance("model", model, Transformer, "a Transformer, as language.load gives")
    boolean("feed_forward", feed_forward)
    if feed_forward and model.blocks.feed_forward is None:
        raise ValueError(
            "`feed_forward` needs the feed-forward's weights, which were not loaded: "
            "load the model with feed_forward=True."
        )


def final(architecture: Architecture, norm: Norm | None, h: Array) -> Array:
    """Tokens after the final normalisation, or as they are where there is none."""
    return h if norm is None else norm(h, architecture.epsilon)


def entered(
    architecture: Architecture,
    parts: tuple[Array | None, Norm | None, Array | None, Array | None],
    tokens: Array,
    places: Array | None,
) -> Array:
    """Rows of the token embedding `(*prompts, length, e)` with all that is done before the first block."""
    types, norm, projection, bias = parts
    h = wide(tokens)
    if architecture.of.embedding_scaled:
        h = h * jnp.asarray(architecture.dim**0.5, h.dtype)
    lead = (1,) * (h.ndim - 2)
    if places is not None:
        places = wide(places)
        h = h + places.reshape(*lead, *places.shape)
    if types is not None:
        h = h + wide(types[0]).reshape(*lead, 1, -1)
    if norm is not None:
        h = norm(h, architecture.epsilon)
    return h if projection is None else times(h, projection, bias)


@compiled
def _hidden(model: Transformer, ids: Array, feed_forward: bool) -> Array:
    blocks = model.blocks if feed_forward else without_feed_forward(model.blocks)
    arch = model.architecture

    def body(h, layer):
        place, own = layer
        h = through(arch, own_block(arch, blocks, own, place), place, h[None])[0]
        return h, h

    start = model.embed(ids)
    layers = (by_layer(arch, start.dtype), scanned(arch, blocks))
    return jnp.concatenate([start[None], jax.lax.scan(body, start, layers)[1]])
