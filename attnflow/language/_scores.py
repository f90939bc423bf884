"""Scores that no matrix gives: of positions that rotate queries and keys, and of normalised ones."""

import math
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Real

from ..core.types import Scalar
from ..schedules import AbstractSchedule, Factored, all_jumps, fastest, on_the_right
from ._depth import in_depth
from ._heads import Heads, by_head, laid_out, read_by
from ._model import Transformer
from ._modules import wide


class RotaryScores(AbstractSchedule):
    r"""Scores $s(t)\,\big(R_i\, g_q(Qy_i + b_q)\big)^\top R_j\, g_k(Ky_j + b_k)$ of tokens at positions $i$ and $j$.

    $R_i$ rotates pairs of coordinates $m$ and $m + \rho/2$ by $i\,\theta_m$, so that scores depend on
    $i - j$; $g$ is the identity, or $g(z) = \gamma \star z/\mathrm{rms}(z)$ with an epsilon, head by head.
    This is no $y_i^\top P y_j$: theorems about $P$ refuse a field with such scores. `__call__`, `apply` and
    `square_norm` are those of the matrix $s\,Q^\top K$, which scores are without both at $i = j$.

    Tokens are in the order of their positions, the first at 0.

    **Attributes:**

    - `queries`, `keys`: $Q$ and $K$ by depth, `(h, w, d)`; `query_bias`, `key_bias`: `(h, w)`.
    - `scale`: $s$, of scores; `rates`: $\theta$ by depth, `(pairs,)`, zero for none.
    - `query_gain`, `key_gain`: $\gamma$, `(w,)`, or `None` for the identity; `epsilon` of that norm.
    """

    queries: AbstractSchedule
    keys: AbstractSchedule
    query_bias: AbstractSchedule
    key_bias: AbstractSchedule
    scale: AbstractSchedule
    rates: AbstractSchedule
    query_gain: AbstractSchedule | None
    key_gain: AbstractSchedule | None
    epsilon: float = eqx.field(static=True)

    adds_to_scores: ClassVar[bool] = True
    time_through_parts: ClassVar[bool] = True
    never_trained: ClassVar[tuple[str, ...]] = ()

    @property
    def matrix(self) -> Factored:
        """The factors alone."""
        return Factored(self.queries, self.keys)

    def __call__(self, t: Real[ArrayLike, ""]) -> Float[Array, "heads d d"]:
        return self.scale(t) * self.matrix(t)

    @property
    def frequency(self) -> Float[Array, ""] | None:
        return fastest(self.queries, self.keys)

    @property
    def jump_times(self) -> Float[Array, " jumps"] | None:
        return all_jumps(self.queries, self.keys)

    def apply(self, t: Scalar, y: Array) -> Array:
        return self.scale(t).astype(y.dtype) * self.matrix.apply(t, y)

    def square_norm(self, t: Scalar) -> Array:
        return self.scale(t) ** 2 * self.matrix.square_norm(t)

    def bilinear(self, t: Scalar, x: Array, y: Array) -> Array:
        q = self._turned(t, x, self.queries, self.query_bias, self.query_gain)
        k = self._turned(t, y, self.keys, self.key_bias, self.key_gain)
        return self.scale(t).astype(y.dtype) * jnp.matmul(q, jnp.swapaxes(k, -1, -2))

    def _turned(self, t, tokens, matrix, bias, gain) -> Array:
        """`(heads, tokens, width)`, normalised and rotated."""
        dtype = tokens.dtype
        z = matrix.apply(t, tokens) + bias(t).astype(dtype)[:, None, :]
        if gain is not None:
            size = jnp.mean(z * z, axis=-1, keepdims=True) + jnp.asarray(self.epsilon, dtype)
            z = z * jax.lax.rsqrt(size) * gain(t).astype(dtype)[None, None, :]
        rates = self.rates(t).astype(dtype)
        half = rates.shape[0]
        angles = jnp.arange(z.shape[1], dtype=dtype)[:, None] * rates[None, :]
        cos, sin = jnp.cos(angles)[None], jnp.sin(angles)[None]
        a, b, rest = z[..., :half], z[..., half : 2 * half], z[..., 2 * half :]
        return jnp.concatenate([a * cos - b * sin, b * cos + a * sin, rest], axis=-1)

    def congruence(self, left: Array, right: Array) -> AbstractSchedule:
        return eqx.tree_at(
            lambda s: (s.queries, s.keys),
            self,
            (on_the_right(self.queries, left.T), on_the_right(self.keys, right)),
        )


def scores(model: Transformer, result: Heads, radius: float) -> RotaryScores:
    """The scores of a model by depth, for tokens of the unit sphere."""
    arch, blocks = model.architecture, model.blocks
    attention, norm = laid_out(arch, (blocks.attention, blocks.attention_norm))
    dtype, d = result.Q.dtype, arch.dim
    scales = jnp.asarray(arch.scales, dtype)
    folded = jnp.sqrt(scales * d)[:, None, None, None]  # what `heads` multiplies each factor by
    bias = jax.vmap(lambda n: read_by(arch, n, radius)[1])(norm)
    with jax.default_matmul_precision("highest"):
        shift = jnp.einsum("ld,ldm->lm", bias, wide(attention.qkv))
    if attention.qkv_bias is not None:
        shift = shift + wide(attention.qkv_bias)
    shift = shift.reshape(arch.layers, -1, arch.width)
    queries, keys, _ = jax.vmap(lambda rows: by_head(arch, rows))(shift)
    rates = np.zeros((arch.layers, 1))
    if arch.rotary:
        count = arch.width if arch.rotated is None else arch.rotated
        powers = np.arange(0, count, 2) / count
        rates = np.stack([float(base) ** -powers for base in arch.rotary])
    query_gain = key_gain = None
    if attention.query_norm is not None and attention.key_norm is not None:
        query_gain = in_depth(wide(attention.query_norm.gain))
        key_gain = in_depth(wide(attention.key_norm.gain))
    factor = math.sqrt(d)
    return RotaryScores(
        in_depth(result.Q / folded * factor),
        in_depth(result.K / folded * factor),
        in_depth(queries.astype(dtype)),
        in_depth(keys.astype(dtype)),
        in_depth(scales),
        in_depth(jnp.asarray(rates, dtype)),
        query_gain,
        key_gain,
        float(arch.epsilon),
    )
