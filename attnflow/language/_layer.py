"""One layer of a transformer on the residual stream: where its norms stand, its attention, its feed-forward."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ._activations import ACTIVATIONS
from ._architecture import Architecture
from ._modules import Attention, FeedForward, TransformerBlock, times

_ALL = 2**30


class Place(NamedTuple):
    """What layers differ in beside their weights: scale of scores, window, whose weights, which rotation."""

    scale: Array
    window: Array
    group: Array | None
    turn: Array | None


def by_layer(architecture: Architecture, dtype: Any) -> Place:
    """The places of all layers, a leading axis."""
    windows = [_ALL if w is None else w for w in architecture.windows]
    groups = turns = None
    if architecture.groups is not None:
        groups = jnp.asarray([architecture.group(k) for k in range(architecture.layers)])
    if len(bases(architecture)) > 1:
        turns = jnp.asarray([bases(architecture).index(b) for b in architecture.rotary])
    return Place(jnp.asarray(architecture.scales, dtype), jnp.asarray(windows), groups, turns)


def bases(architecture: Architecture) -> list[float]:
    """The different bases of rotary positions."""
    return sorted(set(architecture.rotary))


def scanned(architecture: Architecture, blocks: TransformerBlock | None) -> TransformerBlock | None:
    """The blocks that a scan over layers takes apart: none where layers share theirs."""
    return None if architecture.groups is not None else blocks


def own_block(
    architecture: Architecture,
    blocks: TransformerBlock | None,
    own: TransformerBlock | None,
    place: Place,
) -> TransformerBlock | None:
    """The block of a layer: its own, or that of its group."""
    if own is not None or blocks is None:
        return own
    return jax.tree.map(lambda x: x[place.group], blocks)


def through(
    architecture: Architecture,
    block: TransformerBlock | None,
    place: Place,
    h: Array,
    keys: Array | None = None,
) -> Array:
    """The residual stream `(prompts, length, dim)` after one layer, whose weights have no layer axis.

    `keys`, `(prompts, length)`, is false at padding, which no token attends to.
    """
    assert block is not None
    epsilon, f = architecture.epsilon, block.feed_forward
    if architecture.of.post_norm:
        h = block.attention_norm(
            h + _attend(architecture, block.attention, place, h, keys), epsilon
        )
        if f is not None and block.feed_forward_norm is not None:
            h = block.feed_forward_norm(h + _forward(architecture, f, h), epsilon)
        return h
    before = h
    read = block.attention_norm(h, epsilon)
    added = _attend(architecture, block.attention, place, read, keys)
    if block.attention_out_norm is not None:
        added = block.attention_out_norm(added, epsilon)
    h = h + added
    if f is not None and block.feed_forward_norm is not None:
        read = before if architecture.parallel else h
        added = _forward(architecture, f, block.feed_forward_norm(read, epsilon))
        if block.feed_forward_out_norm is not None:
            added = block.feed_forward_out_norm(added, epsilon)
        h = h + added
    return h


def norms_alone(architecture: Architecture, block: TransformerBlock | None, h: Array) -> Array:
    """A layer whose sub-layers add nothing: the norms after them, in families that have those."""
    if not architecture.of.post_norm:
        return h
    assert block is not None
    h = block.attention_norm(h, architecture.epsilon)
    if block.feed_forward_norm is not None:
        h = block.feed_forward_norm(h, architecture.epsilon)
    return h


def _forward(architecture: Architecture, f: FeedForward, x: Array) -> Array:
    act = ACTIVATIONS[architecture.activation]
    up = times(x, f.up, f.up_bias)
    if f.gate is None:
        return times(act(up), f.down, f.down_bias)
    return times(act(times(x, f.gate, f.gate_bias)) * up, f.down, f.down_bias)


def _attend(
    architecture: Architecture,
    attention: Attention,
    place: Place,
    x: Array,
    keys: Array | None,
) -> Array:
    arch, (prompts, length, _) = architecture, x.shape
    scores, v = scored(arch, attention, place, x, keys)
    weights = jax.nn.softmax(scores, axis=-1)
    weights = weights.reshape(prompts, arch.kv_heads, -1, length)
    mixed = (weights @ v).reshape(prompts, arch.heads, length, arch.width)
    mixed = mixed.swapaxes(1, 2).reshape(prompts, length, arch.heads * arch.width)
    return times(mixed, attention.out, attention.out_bias)


def scored(
    architecture: Architecture,
    attention: Attention,
    place: Place,
    x: Array,
    keys: Array | None = None,
) -> tuple[Array, Array]:
    """Scores `(prompts, heads, length, length)`, -inf where a key is not seen, and the values."""
    arch, (prompts, length, _) = architecture, x.shape
    qkv = times(x, attention.qkv, attention.qkv_bias)
    # (prompts, heads, length, width): XLA multiplies a batch of matrices whose batch axes are first.
    q, k, v = split(arch, qkv.reshape(prompts, length, -1))
    if attention.query_norm is not None and attention.key_norm is not None:
        q = attention.query_norm(q, arch.epsilon)
        k = attention.key_norm(k, arch.epsilon)
    if arch.rotary:
        q, k = (turned(arch, place.turn, part) for part in (q, k))
    if arch.kv_heads != arch.heads:  # the queries of several heads are rows of one product
        q = q.reshape(prompts, arch.kv_heads, -1, arch.width)
    scores = place.scale * (q @ k.swapaxes(-1, -2))
    scores = scores.reshape(prompts, arch.heads, length, length)
    if arch.of.causal or any(w is not None for w in arch.windows):
        scores = jnp.where(_seen(arch, place.window, length)[None, None], scores, -jnp.inf)
    if keys is not None:
        # Padding sees itself: a window may leave it no other key, and a row without any is NaN.
        allowed = keys[:, None, None, :] | jnp.eye(length, dtype=bool)[None, None]
        scores = jnp.where(allowed, scores, -jnp.inf)
        v = jnp.where(keys[:, None, :, None], v, 0)  # a weight of 0 does not undo an infinity
    return scores, v


def read_by_attention(architecture: Architecture, block: TransformerBlock, h: Array) -> Array:
    """What a layer's attention reads: tokens after its norm, or as they are where norms come after."""
    if architecture.of.post_norm:
        return h
    return block.attention_norm(h, architecture.epsilon)


def split(architecture: Architecture, qkv: Array) -> tuple[Array, Array, Array]:
    """Queries, keys and values `(..., heads, length, width)` from `(..., length, columns)`."""
    arch = architecture
    if arch.kv_heads == arch.heads:
        heads = qkv.reshape(*qkv.shape[:-1], 3, arch.heads, arch.width)
        q, k, v = (heads[..., i, :, :].swapaxes(-2, -3) for i in range(3))
        return q, k, v
    first, second = arch.heads * arch.width, (arch.heads + arch.kv_heads) * arch.width
    parts = jnp.split(qkv, (first, second), axis=-1)
    q, k, v = (part.reshape(*part.shape[:-1], -1, arch.width).swapaxes(-2, -3) for part in parts)
    return q, k, v


def _seen(architecture: Architecture, window: Array, length: int) -> Array:
    back = jnp.arange(length)[:, None] - jnp.arange(length)[None, :]
    near = back < window
    return (back >= 0) & near if architecture.of.causal else (jnp.abs(back) < window)


def turned(architecture: Architecture, turn: Array | None, x: Array) -> Array:
    """Queries or keys `(..., length, width)` rotated by their positions, coordinate m with m + half."""
    tables = rotations(architecture, x.shape[-2])
    cos, sin = (jnp.asarray(t, x.dtype)[0 if turn is None else turn] for t in tables)
    half = cos.shape[-1]
    lead = (1,) * (x.ndim - 2)
    cos, sin = (t.reshape(*lead, *t.shape) for t in (cos, sin))
    a, b, rest = x[..., :half], x[..., half : 2 * half], x[..., 2 * half :]
    return jnp.concatenate([a * cos - b * sin, b * cos + a * sin, rest], axis=-1)


def rotations(architecture: Architecture, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Cosines and sines of the angles by base, position and pair: `(bases, length, rotated / 2)`."""
    count = architecture.width if architecture.rotated is None else architecture.rotated
    powers = np.arange(0, count, 2) / count
    rates = np.stack([float(base) ** -powers for base in bases(architecture)])
    angles = np.arange(length)[None, :, None] * rates[:, None, :]
    return np.cos(angles), np.sin(angles)
