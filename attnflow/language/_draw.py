"""Random weights by Hugging Face's law, layer by layer, so that no more than one need be held."""

from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
from jax.typing import DTypeLike
from jaxtyping import Array, ArrayLike, Int, Key

from ._architecture import Architecture, architecture as named
from ._model import GPT, Attention, Block, FeedForward, Norm

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
    if isinstance(model, GPT):
        return model.architecture
    if isinstance(model, Architecture):
        return model
    if isinstance(model, str):
        return named(model)
    raise ValueError(
        f"`model` must be a GPT, an Architecture or the name of a size; got {type(model).__name__}."
    )


def random(
    model: str | Architecture | GPT, *, key: Key[Array, ""], dtype: DTypeLike = "float32"
) -> GPT:
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

    ```python
    model = af.language.random("gpt2", key=jax.random.key(0))
    ```
    """
    arch, dtype, key = as_architecture(model), as_dtype(dtype), as_key(key)
    everything = jax.jit(_everything, static_argnums=(0, 2))
    tokens, positions, blocks = everything(arch, key, dtype)
    return GPT(tokens, positions, blocks, final_norm(arch, dtype), arch)


def _everything(arch: Architecture, key: Array, dtype: Any) -> tuple[Array, Array, Block]:
    tokens = token_rows(arch, key, jnp.arange(arch.vocabulary)).astype(dtype)
    positions = position_rows(arch, key, jnp.arange(arch.positions)).astype(dtype)
    return tokens, positions, draw_blocks(arch, key, 0, True, dtype)


def draw_blocks(
    arch: Architecture, key: Array, pass_: Int[ArrayLike, ""], feed_forward: bool, dtype: Any
) -> Block:
    """All layers of a pass, stacked."""

    def one(layer):
        return draw_block(arch, key, pass_, layer, feed_forward, dtype)

    return jax.lax.map(one, jnp.arange(arch.layers))


def draw_block(
    arch: Architecture,
    key: Array,
    pass_: Int[ArrayLike, ""],
    layer: Int[ArrayLike, ""],
    feed_forward: bool,
    dtype: Any,
) -> Block:
    """One layer's weights, which depend on the key, the pass and the layer alone."""
    d, m = arch.dim, arch.inner
    keys = jr.split(jr.fold_in(jr.fold_in(jr.fold_in(key, 0), pass_), layer), 4)

    def drawn(key, shape, deviation):
        return (deviation * jr.normal(key, shape, jnp.float32)).astype(dtype)

    def zeros(*shape):
        return jnp.zeros(shape, dtype)

    attention = Attention(
        drawn(keys[0], (d, 3 * d), arch.deviation),
        zeros(3 * d) if arch.biased else None,
        drawn(keys[1], (d, d), arch.output_deviation),
        zeros(d),
    )
    if not feed_forward:
        return Block(_plain_norm(arch, dtype), attention, None, None)
    forward = FeedForward(
        drawn(keys[2], (d, m), arch.deviation),
        zeros(m),
        drawn(keys[3], (m, d), arch.output_deviation),
        zeros(d),
    )
    return Block(_plain_norm(arch, dtype), attention, _plain_norm(arch, dtype), forward)


def token_rows(arch: Architecture, key: Array, ids: Array) -> Array:
    """Those rows of the token embedding, float32; each depends on its id alone."""
    return _rows(arch, jr.fold_in(key, 1), ids)


def position_rows(arch: Architecture, key: Array, places: Array) -> Array:
    """Those rows of the position embedding, float32."""
    return _rows(arch, jr.fold_in(key, 2), places)


def _rows(arch: Architecture, key: Array, numbers: Array) -> Array:
    def one(number):
        return arch.deviation * jr.normal(jr.fold_in(key, number), (arch.dim,), jnp.float32)

    return jax.vmap(one)(numbers.ravel()).reshape(*numbers.shape, arch.dim)


def final_norm(arch: Architecture, dtype: Any) -> Norm:
    """Gain one, bias zero."""
    return _plain_norm(arch, dtype)


def _plain_norm(arch: Architecture, dtype: Any) -> Norm:
    return Norm(jnp.ones(arch.dim, dtype), jnp.zeros(arch.dim, dtype))
