"""`temperatures`: what every head does on a model's own tokens: how sharp, how much on itself and on token 1."""

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Int

from ..core.compiled import compiled
from ._architecture import Architecture
from ._layer import by_layer, own_block, read_by_attention, scanned, scored, through
from ._model import Transformer, check_feed_forward
from ._modules import without_feed_forward
from ._pass import real
from ._prompts import as_prompts

Numbers = Float[np.ndarray, "layers heads"]
COLUMNS = ("spread", "beta", "self_share", "first_share", "entropy")


@dataclass(frozen=True, eq=False)
class Temperatures:
    r"""What [`temperatures`][] returns: arrays `(layers, heads)`, means over prompts and queries.

    **Attributes:**

    - `spread`: the standard deviation of a query's scores over the keys that it sees.
    - `beta`: the slope of scores against $\cos\angle(h_i, h_j)$, within rows: the $\beta$ for which
      $\beta\,\hat h_i^\top\hat h_j$ is nearest to the scores of these tokens.
    - `self_share`, `first_share`: attention on the token itself and on token 1, the sink.
    - `entropy`: of a query's attention, over that of even attention to the keys it sees.
    - `time`: `(layers,)`, the mean angle by which attention turns a token: what a layer is in the units of
      eq. (6) with $U = I$, where tokens move with speed one at most.
    - `architecture`: of the model.
    """

    spread: Numbers
    beta: Numbers
    self_share: Numbers
    first_share: Numbers
    entropy: Numbers
    time: Float[np.ndarray, " layers"]
    architecture: Architecture

    @property
    def place(self) -> tuple[float, int, float]:
        r"""$(\beta, d, t)$ on a phase diagram of eq. (6): median $\beta$ over heads, and the time of one pass."""
        return float(np.median(self.beta)), self.architecture.dim, float(self.time.sum())

    def rows(self, sort: str = "spread") -> list[dict[str, Any]]:
        """A dict for each head, `layer` and `head` first, the largest of the column `sort` first.

        **Raises:**

        `ValueError` where there is no such column.
        """
        if sort not in COLUMNS:
            raise ValueError(f"`sort` must be one of {', '.join(COLUMNS)}; got {sort!r}.")
        order = np.argsort(-getattr(self, sort), axis=None, kind="stable")
        heads = self.spread.shape[1]
        return [
            {"layer": int(k // heads), "head": int(k % heads)}
            | {name: float(getattr(self, name).flat[k]) for name in COLUMNS}
            for k in order
        ]

    def record(self) -> dict[str, Any]:
        """All numbers as lists by layer, plain values."""
        beta, dim, time = self.place
        result: dict[str, Any] = {name: getattr(self, name).tolist() for name in COLUMNS}
        return result | {"time": self.time.tolist(), "place": {"beta": beta, "d": dim, "t": time}}

    def to_parquet(self, path: str | PathLike[str]) -> None:
        """A Parquet file with a row for each head; `attnflow[parquet]` brings what is needed."""
        write_parquet(self.rows(), path)

    def __str__(self) -> str:
        beta, dim, time = self.place
        lines = [
            f"{self.architecture}; least, median and most over the heads of a layer",
            "layer  " + "  ".join(f"{name.replace('_', ' '):>22}" for name in COLUMNS) + "    time",
        ]
        for k in range(len(self.time)):
            values = "  ".join(_range(getattr(self, name)[k]) for name in COLUMNS)
            lines.append(f"{k:5d}  {values}  {self.time[k]:6.3f}")
        lines.append(f"one pass: beta {beta:.3g} (median), d = {dim}, t = {time:.3g}")
        return "\n".join(lines)


def write_parquet(rows: list[dict[str, Any]], path: str | PathLike[str]) -> None:
    """Rows as a Parquet file; an `ImportError` that names the extra without pyarrow."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise ImportError(
            "Parquet needs pyarrow, not installed here: pip install 'attnflow[parquet]'."
        ) from None
    parquet.write_table(pyarrow.Table.from_pylist(rows), path)


def temperatures(
    model: Transformer,
    token_ids: Int[ArrayLike, "..."] | Sequence[Sequence[int]],
    *,
    feed_forward: bool = True,
) -> Temperatures:
    """How sharp each head's attention is on a model's own tokens, in one pass from their embedding.

    **Arguments:**

    - `model`: a [`Transformer`][].
    - `token_ids`: prompts, `(prompts, length)` of two tokens or more, or a list of lists.
    - `feed_forward`: of the pass.

    **Returns:**

    [`Temperatures`][]; printed, a table by layer.

    **Raises:**

    `ValueError` on ids outside the vocabulary, prompts of one token, or a model of one number a token.

    ```python
    result = af.language.temperatures(model, ids)
    result.rows(sort="first_share")[:5]                       # the sinks
    ```
    """
    check_feed_forward(model, feed_forward)
    ids, lengths = as_prompts(model.architecture, token_ids)
    if ids.shape[1] < 2 or (lengths is not None and lengths.min() < 2):
        raise ValueError("`token_ids` must have prompts of two tokens or more; got one.")
    own = [None] * len(ids) if lengths is None else [jnp.asarray(n) for n in lengths]
    with jax.default_matmul_precision("highest"):
        rows = [
            _of_a_prompt(model, jnp.asarray(row), n, feed_forward)
            for row, n in zip(ids, own, strict=True)
        ]
    means = {name: np.mean([np.asarray(row[name]) for row in rows], axis=0) for name in rows[0]}
    return Temperatures(**means, architecture=model.architecture)


@compiled
def _of_a_prompt(
    model: Transformer, ids: Array, length: Array | None, feed_forward: bool
) -> dict[str, Array]:
    arch = model.architecture
    there = None if length is None else real(length, ids.shape[0])
    keys = None if there is None else there[None]
    blocks = model.blocks if feed_forward else without_feed_forward(model.blocks)

    def layer(h, x):
        place, own = x
        block = own_block(arch, blocks, own, place)
        assert block is not None
        read = read_by_attention(arch, block, h[None])
        scores, _ = scored(arch, block.attention, place, read, keys)
        alone = through(arch, without_feed_forward(block), place, h[None], keys)[0]
        time = jnp.mean(_angle(h, alone), where=there)
        seen = _measured(_unit(h), scores[0], there) | {"time": time}
        return through(arch, block, place, h[None], keys)[0], seen

    h = model.embed(ids)
    return jax.lax.scan(layer, h, (by_layer(arch, h.dtype), scanned(arch, blocks)))[1]


def _unit(h: Array) -> Array:
    return h / jnp.linalg.norm(h, axis=-1, keepdims=True)


def _angle(a: Array, b: Array) -> Array:
    a, b = _unit(a), _unit(b)
    return 2 * jnp.arcsin(jnp.minimum(jnp.linalg.norm(a - b, axis=-1) / 2, 1.0))


def _measured(unit: Array, scores: Array, there: Array | None) -> dict[str, Array]:
    """Of directions `(length, dim)` and scores `(heads, length, length)`; by head, of queries that are there."""
    seen = jnp.isfinite(scores)
    count = jnp.sum(seen, axis=-1)
    informative = count[0] > 1  # a query with one key has no spread
    rows = (informative if there is None else informative & there).astype(scores.dtype)
    some = jnp.sum(rows)
    values = jnp.where(seen, scores, 0)
    number = count.astype(scores.dtype)

    def centred(x):
        mean = jnp.sum(jnp.where(seen, x, 0), axis=-1, keepdims=True) / number[..., None]
        return jnp.where(seen, x - mean, 0)

    s, cosines = (rows[None, :, None] * centred(x) for x in (values, (unit @ unit.T)[None]))
    spread = jnp.sqrt(jnp.sum(s**2, axis=-1) / number)
    squares = jnp.sum(cosines**2, axis=(-2, -1))
    tiny = jnp.asarray(jnp.finfo(scores.dtype).tiny, scores.dtype)
    beta = jnp.sum(s * cosines, axis=(-2, -1)) / jnp.maximum(squares, tiny)
    weights = jax.nn.softmax(scores, axis=-1)
    entropy = -jnp.sum(jnp.where(weights > 0, weights * jnp.log(jnp.maximum(weights, tiny)), 0), -1)
    even = jnp.log(jnp.maximum(number, 2))

    def mean(x):
        return jnp.sum(x * rows[None], axis=-1) / some

    return {
        "spread": mean(spread),
        "beta": beta,
        "self_share": mean(jnp.diagonal(weights, axis1=-2, axis2=-1)),
        "first_share": mean(weights[..., 0]),
        "entropy": mean(entropy / even),
    }


def _range(values: Sequence[float] | np.ndarray) -> str:
    low, middle, high = np.min(values), np.median(values), np.max(values)
    return f"{f'{low:.2g} {middle:.2g} {high:.2g}':>22}"
