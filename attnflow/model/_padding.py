"""Ragged numbers of tokens in one rectangular array."""

from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from ..core.checks import floating, room, whole


class Padded(NamedTuple):
    """Configurations filled up to one length."""

    y: Float[Array, "batch tokens dim"]
    present: Bool[Array, "batch tokens"]


def pad(configurations: Sequence[Float[Array, "_ dim"]], tokens: int | None = None) -> Padded:
    """Configurations of different numbers of tokens as one array, filled up with copies of their first.

    A padded run is the unpadded one: give the field `weights=present` (nobody sees the filling) and
    `frozen=~present` (it does not move), and look at the present tokens of the result.

    **Arguments:**

    - `configurations`: arrays of shape `(tokens_k, dim)` with one `dim`.
    - `tokens`: the length to fill up to; `None` for the longest.

    **Returns:**

    `Padded(y, present)`, shapes `(batch, tokens, dim)` and `(batch, tokens)`.

    **Raises:**

    `ValueError` where the list is empty, dimensions differ or `tokens` is too small.

    ```python
    y, present = af.pad([sphere.random(key, (n,)) for n in (5, 8)])

    def end(y, present):
        field = af.AttentionField(sphere, P, weights=present.astype(float), frozen=~present)
        return af.simulate(field, y, t1=5.0).y1

    jax.vmap(end)(y, present)
    ```
    """
    if not isinstance(configurations, Sequence) and not hasattr(configurations, "__iter__"):
        raise ValueError(
            f"`configurations` must be a list of arrays; got {type(configurations).__name__}."
        )
    rows = [floating("configurations", y) for y in configurations]
    if not rows:
        raise ValueError("`configurations` must hold at least one array; got none.")
    shapes = [y.shape for y in rows]
    if any(len(s) != 2 or 0 in s or s[1] != shapes[0][1] for s in shapes):
        raise ValueError(
            f"`configurations` must have shapes (tokens, dim) with one dim; got {shapes}."
        )
    longest = max(s[0] for s in shapes)
    tokens = longest if tokens is None else whole("tokens", tokens)
    room("tokens", (len(rows), tokens, shapes[0][1]), what="configurations")
    if tokens < longest:
        raise ValueError(
            f"`tokens` must be at least {longest}, the longest configuration; got {tokens}."
        )
    filled = [
        jnp.concatenate([y, jnp.broadcast_to(y[:1], (tokens - y.shape[0], y.shape[1]))])
        for y in rows
    ]
    present = [jnp.arange(tokens) < y.shape[0] for y in rows]
    return Padded(jnp.stack(filled), jnp.stack(present))
