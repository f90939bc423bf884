"""Random weights by Hugging Face's law, layer by layer, so that no more than one need be held."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
from jax.typing import DTypeLike
from jaxtyping import Array, ArrayLike, Int, Key

from ._architecture import Architecture, architecture as named
from ._memory import check_fits
from ._model import Transformer
from ._modules import Attention, FeedForward, Norm, TransformerBlock

_ROWS = 1024  # of an embedding, that are drawn together
DTYPES = ("float64", "float32", "bfloat16", "float16")


def as_dtype(dtype: Any) -> Any:
    """A floating dtype of weights; float64 only where JAX has 64 bits on."""
    name = jnp.dtype(dtype).name
    if name not in DTYPES:
        raise ValueError(f"`dtype` must be one of {', '.join(DTYPES)}; got {name!r}.")
    if name == "float64" and jnp.zeros(()).dtype != jnp.float64:
        raise ValueError(
            "`dtype` 'float64' needs 64-bit numbers; call jax.config.update('jax_enable_x64', True)."
        )
    return jnp.dtype(dtype)


def as_key(key: Any) -> Array:
    """A key of `jax.random.key`."""
    if not (isinstance(key, jax.Array) and jnp.issubdtype(key.dtype, jax.dtypes.prng_key)):
        raise ValueError(f"`key` must be a key of jax.random.key; got {type(key).__name__}.")
    return key


def as_architecture(model: Any) -> Architecture:
    """A name, an architecture, or that of a model."""
    if isinstance(model, Transformer):
        return model.architecture
    if isinstance(model, Architecture):
        return model
    if isinstance(model, str):
        return named(model)
    raise ValueError(
        f"`model` must be a Transformer, an Architecture or the name of a size; got {type(model).__name__}."
    )


def random(
    model: str | Architecture | Transformer, *, key: Key[Array, ""], dtype: DTypeLike = "float32"
) -> Transformer:
    r"""A model with random weights, by the law that Hugging Face initialises with.

    Matrices and embeddings are $N(0, \sigma^2)$ with $\sigma = 0.02$ unless the config says otherwise;
    in GPT-2 the matrices that write to the residual stream (`c_proj` of attention and feed-forward)
    have $\sigma/\sqrt{2\,\text{layers}}$; biases are 0, normalisations 1 and 0. Numbers are drawn in
    float32: another dtype rounds the same ones.

    Layer $l$ is drawn from a key of its own, and so is each row of the token embedding: these are
    the weights of `looped(..., weights="fixed", key=key)`.

    **Arguments:**

    - `model`: an [`Architecture`][], the name of a size (`"gpt2-xl"`), or a model to take the
      architecture from.
    - `key`: of the weights.
    - `dtype`: `"float32"`, `"float64"`, `"bfloat16"`, `"float16"`.

    **Raises:**

    `ValueError` on another name or dtype, or where the weights are more than the memory that is free.

    ```python
    model = af.language.random("gpt2", key=jax.random.key(0))
    ```
    """
    arch, dtype, key = as_architecture(model), as_dtype(dtype), as_key(key)
    remedy = (
        "Take a smaller dtype; a run that draws layer by layer is looped(..., hold=False), "
        "`attnflow loop --no-hold`."
    )
    check_fits(arch, dtype, True, blocks_alone=False, remedy=remedy)
    # Blocks first: what drawing a layer needs beside it is more than what rows of the embedding need.
    blocks = held_blocks(arch, key, True, dtype)
    tokens, positions = jax.jit(_embeddings, static_argnums=(0, 2))(arch, key, dtype)
    types, norm, projection, bias = embedding_parts(arch, key, dtype)
    return Transformer(
        tokens, positions, blocks, final_norm(arch, dtype), arch, types, norm, projection, bias
    )


def _embeddings(arch: Architecture, key: Array, dtype: Any) -> tuple[Array, Array | None]:
    tokens = token_rows(arch, key, jnp.arange(arch.vocabulary)).astype(dtype)
    positions = None
    if arch.longest is not None:
        positions = position_rows(arch, key, jnp.arange(arch.longest)).astype(dtype)
    return tokens, positions


def embedding_parts(
    arch: Architecture, key: Array, dtype: Any
) -> tuple[Array | None, Norm | None, Array | None, Array | None]:
    """Random types, norm, projection and its bias of an embedding, where the family has them."""
    types = norm = projection = bias = None
    shapes = arch.shapes
    if "types" in shapes:
        types = _rows(arch, jr.fold_in(key, 3), jnp.arange(arch.types)).astype(dtype)
    if "embedding_norm" in shapes:
        norm = _plain_norm(arch, dtype, *shapes["embedding_norm"])
    if "projection" in shapes:
        drawn = jr.normal(jr.fold_in(key, 4), shapes["projection"], jnp.float32)
        projection, bias = (arch.deviation * drawn).astype(dtype), jnp.zeros(arch.dim, dtype)
    return types, norm, projection, bias


def held_blocks(arch: Architecture, key: Array, feed_forward: bool, dtype: Any) -> TransformerBlock:
    """Those of the first pass, layer after layer into one stack: in the memory of the stack and one layer."""
    kind = arch, feed_forward, jnp.dtype(dtype).name
    stack = _room(*kind, key)
    for layer in range(arch.own_layers):
        stack = _filled(*kind, stack, key, jnp.asarray(layer))
    return stack


@partial(jax.jit, static_argnums=(0, 1, 2))
def _room(arch: Architecture, feed_forward: bool, dtype: str, key: Array) -> TransformerBlock:
    one = jax.eval_shape(lambda k: draw_block(arch, k, 0, 0, feed_forward, jnp.dtype(dtype)), key)
    return jax.tree.map(lambda x: jnp.zeros((arch.own_layers, *x.shape), x.dtype), one)


@partial(jax.jit, static_argnums=(0, 1, 2), donate_argnums=3)
def _filled(
    arch: Architecture, feed_forward: bool, dtype: str, stack: Any, key: Array, layer: Array
) -> TransformerBlock:
    drawn = draw_block(arch, key, 0, layer, feed_forward, jnp.dtype(dtype))
    return jax.tree.map(lambda held, x: held.at[layer].set(x), stack, drawn)


def draw_block(
    arch: Architecture,
    key: Array,
    pass_: Int[ArrayLike, ""],
    layer: Int[ArrayLike, ""],
    feed_forward: bool,
    dtype: Any,
) -> TransformerBlock:
    """One layer's weights, which depend on the key, the pass and the layer alone."""
    shapes = {name: shape[1:] for name, shape in arch.shapes.items()}
    keys = jr.split(jr.fold_in(jr.fold_in(jr.fold_in(key, 0), pass_), layer), 4)

    def drawn(key, name, deviation):
        return (deviation * jr.normal(key, shapes[name], jnp.float32)).astype(dtype)

    def bias(name):
        return jnp.zeros(shapes[f"{name}_bias"], dtype) if f"{name}_bias" in shapes else None

    def norm(name):
        return _plain_norm(arch, dtype, *shapes[name]) if name in shapes else None

    attention = Attention(
        drawn(keys[0], "qkv", arch.deviation),
        bias("qkv"),
        drawn(keys[1], "out", arch.output_deviation),
        bias("out"),
        norm("query_norm"),
        norm("key_norm"),
    )
    first = norm("attention_norm")
    assert first is not None
    if not feed_forward:
        return TransformerBlock(first, attention, None, None, norm("attention_out_norm"), None)
    gated = "gate" in shapes
    forward = FeedForward(
        drawn(keys[2], "up", arch.deviation),
        bias("up"),
        drawn(keys[3], "down", arch.output_deviation),
        bias("down"),
        drawn(jr.fold_in(keys[2], 1), "gate", arch.deviation) if gated else None,
        bias("gate"),
    )
    return TransformerBlock(
        first,
        attention,
        norm("feed_forward_norm"),
        forward,
        norm("attention_out_norm"),
        norm("feed_forward_out_norm"),
    )


def token_rows(arch: Architecture, key: Array, ids: Array) -> Array:
    """Those rows of the token embedding, float32; each depends on its id alone."""
    rows = _rows(arch, jr.fold_in(key, 1), ids)
    if arch.padding is None:
        return rows
    return jnp.where((ids == arch.padding)[..., None], jnp.zeros_like(rows), rows)


def position_rows(arch: Architecture, key: Array, places: Array) -> Array:
    """Those rows of the position embedding, float32."""
    return _rows(arch, jr.fold_in(key, 2), places)


def _rows(arch: Architecture, key: Array, numbers: Array) -> Array:
    size = arch.embedding or arch.dim

    def one(number):
        return arch.deviation * jr.normal(jr.fold_in(key, number), (size,), jnp.float32)

    flat = numbers.ravel()
    if flat.size <= _ROWS:
        return jax.vmap(one)(flat).reshape(*numbers.shape, size)

    # By thousands: the bits that numbers are made of take as much memory as the numbers. The last thousand overlaps
    # the one before, where a rest of its own would be put beside a copy of all others.
    def drawn(k, rows):
        at = jnp.minimum(k * _ROWS, flat.size - _ROWS)
        part = jax.vmap(one)(jax.lax.dynamic_slice(flat, (at,), (_ROWS,)))
        return jax.lax.dynamic_update_slice(rows, part, (at, jnp.zeros_like(at)))

    rows = jnp.zeros((flat.size, size), jnp.float32)
    rows = jax.lax.fori_loop(0, -(-flat.size // _ROWS), drawn, rows)
    return rows.reshape(*numbers.shape, size)


def final_norm(arch: Architecture, dtype: Any) -> Norm | None:
    """Gain one, bias zero; `None` in families without."""
    return _plain_norm(arch, dtype, arch.dim) if "norm" in arch.of.names else None


def _plain_norm(arch: Architecture, dtype: Any, size: int) -> Norm:
    bias = None if arch.of.rms else jnp.zeros(size, dtype)
    return Norm(jnp.ones(size, dtype), bias, not arch.of.rms)
