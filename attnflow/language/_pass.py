"""One pass of a looped model, compiled once: blocks, what is measured after each, the final norm."""

import functools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from ..core.compiled import compiled
from ._architecture import Architecture
from ._draw import draw_block
from ._layer import by_layer, norms_alone, own_block, scanned, through
from ._model import final
from ._modules import Norm, TransformerBlock

CONTROLS = ("none", "normalisation", "no-values", "no-biases")


class WeightSource(eqx.Module):
    """Where a layer's weights come from: stacked blocks, or a key to draw each from."""

    blocks: TransformerBlock | None
    key: Array | None


class PassPlan(eqx.Module):
    """What a pass is, beside its weights: part of the compiled program."""

    architecture: Architecture = eqx.field(static=True)
    feed_forward: bool = eqx.field(static=True)
    control: str = eqx.field(static=True)
    dtype: str = eqx.field(static=True)
    precision: str = eqx.field(static=True)


def measure(h: Array, lengths: Array | None = None) -> dict[str, Array]:
    """Of tokens `(..., length, dim)`: E, the mean over all pairs, the pairs without token 1, mean length.

    With `lengths`, `(...,)`, of the first so many tokens of each prompt.

    All by differences of unit vectors, which lose nothing near consensus.
    """
    size = jnp.linalg.norm(h, axis=-1, keepdims=True)
    unit = h / size
    if lengths is not None:
        return _measured(unit, size[..., 0], real(lengths, h.shape[-2]))
    return {
        "E": jnp.mean(jnp.sum((unit - unit[..., :1, :]) ** 2, axis=-1), axis=-1) / 2,
        "pairs": _pairs(unit),
        "rest": _pairs(unit[..., 1:, :]) if h.shape[-2] > 1 else jnp.zeros(h.shape[:-2], h.dtype),
        "length": jnp.mean(size[..., 0], axis=-1),
    }


def _pairs(unit: Array) -> Array:
    # The mean of |u_i - u_j|^2 / 2 over all pairs is that of |u_i - mean|^2.
    centred = unit - jnp.mean(unit, axis=-2, keepdims=True)
    return jnp.mean(jnp.sum(centred**2, axis=-1), axis=-1)


def real(lengths: Array, longest: int) -> Array:
    """Which tokens are no padding: `(..., longest)` of `(...,)`."""
    shape = (*lengths.shape, longest)
    return jax.lax.broadcasted_iota(lengths.dtype, shape, lengths.ndim) < lengths[..., None]


def _measured(unit: Array, size: Array, there: Array) -> dict[str, Array]:
    def mean(x, there):
        count = jnp.maximum(jnp.sum(there, axis=-1), 1)
        return jnp.sum(jnp.where(there, x, 0), axis=-1) / count.astype(x.dtype)

    def pairs(there):
        centre = mean(unit.swapaxes(-1, -2), there[..., None, :])
        return mean(jnp.sum((unit - centre[..., None, :]) ** 2, axis=-1), there)

    return {
        "E": mean(jnp.sum((unit - unit[..., :1, :]) ** 2, axis=-1), there) / 2,
        "pairs": pairs(there),
        "rest": pairs(there.at[..., 0].set(False)),
        "length": mean(size, there),
    }


@functools.partial(compiled, donate="all-except-first")
def one_pass(
    fixed: tuple[PassPlan, WeightSource, Norm | None, Array, Array | None], h: Array
) -> tuple[Array, dict[str, Array], dict[str, Array]]:
    """Tokens `(chunks, prompts, length, dim)` after a pass, and what was measured on the way.

    **Arguments:**

    - `fixed`: the plan, the weights, the final norm, the number of the pass (for drawn weights), and the
      lengths of prompts, `(chunks, prompts)`, where some are padded.
    - `h`: the tokens before; their memory is used for those after.

    **Returns:**

    The tokens after the final norm; what [`measure`][] gives after each block, arrays `(layers,
    chunks, prompts)`; and on the final norm's output, `(chunks, prompts)`.
    """
    plan, source, norm, pass_, lengths = fixed
    arch, longest = plan.architecture, h.shape[-2]

    def keys(own):
        return None if own is None else real(own, longest)

    def layer(h, x):
        number, place, own = x
        if plan.control != "normalisation" or arch.of.post_norm:
            block = own_block(arch, source.blocks, own, place)
            if block is None:
                # Once for all prompts: they go through the layer in turn.
                assert source.key is not None
                block = draw_block(
                    arch, source.key, pass_, number, plan.feed_forward, jnp.dtype(plan.dtype)
                )
            block = controlled(block, plan.control, arch.kv_heads * arch.width)
            if plan.control == "normalisation":
                h = moved(lambda part, _: norms_alone(arch, block, part), h, lengths)
            else:
                h = moved(
                    lambda part, own: through(arch, block, place, part, keys(own)), h, lengths
                )
        return h, each_chunk(measure, h, lengths)

    with jax.default_matmul_precision(plan.precision):
        numbers = jnp.asarray([arch.group(k) for k in range(arch.layers)])
        layers = (numbers, by_layer(arch, h.dtype), scanned(arch, source.blocks))
        h, measured = jax.lax.scan(layer, h, layers)
        h = final(arch, controlled(norm, plan.control), h)
        return h, measured, each_chunk(measure, h, lengths)


def each_chunk(function: Any, h: Array, lengths: Array | None) -> Any:
    """`function` of each chunk of prompts in turn, so that only one's scores are in memory."""
    if h.shape[0] == 1:
        own = None if lengths is None else lengths[0]
        return jax.tree.map(lambda x: x[None], function(h[0], own))
    return jax.lax.map(lambda part: function(*part), (h, lengths))


def moved(function: Any, h: Array, lengths: Array | None) -> Array:
    """`h` after `function` of each chunk in turn, in its own memory: `each_chunk` needs as much again."""
    if h.shape[0] == 1:
        return each_chunk(function, h, lengths)

    def step(h, x):
        number, own = x
        part = jax.lax.dynamic_index_in_dim(h, number, keepdims=False)
        return jax.lax.dynamic_update_index_in_dim(h, function(part, own), number, 0), None

    return jax.lax.scan(step, h, (jnp.arange(h.shape[0]), lengths))[0]


def controlled(module: Any, control: str, kv_columns: int = 0) -> Any:
    """A block or a norm with the control's weights set to zero."""
    if control == "no-values" and isinstance(module, TransformerBlock):
        keys_end = module.attention.qkv.shape[-1] - kv_columns
        return eqx.tree_at(
            lambda b: b.attention.qkv, module, replace_fn=lambda m: m.at[:, keys_end:].set(0)
        )
    if control == "no-biases":
        return jax.tree_util.tree_map_with_path(
            lambda path, x: jnp.zeros_like(x) if "bias" in path[-1].name else x, module
        )
    return module
