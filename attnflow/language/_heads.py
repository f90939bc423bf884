"""The heads of a model as matrices of eqs. (1) and (6): normalisation, scale and radius folded in."""

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..core.compiled import compiled
from ._architecture import Architecture
from ._model import Transformer
from ._modules import Attention, Norm, wide


class Heads(eqx.Module):
    r"""Every head as two matrices of rank at most $w$, $P_\eta = Q_\eta^\top K_\eta$ and $U_\eta = O_\eta^\top V_\eta$.

    [`heads`][] makes one. All rows are in the hyperplane $\mathbf 1^\perp$, where the tokens are, so that
    $P$ and $U$ map it to itself and $\mathbf 1$ to zero.

    **Attributes:**

    - `Q`, `K`: `(layers, heads, width, dim)`.
    - `V`, `O`: likewise; `attnflow.Factored(O[l], V[l])` is $U$ of layer $l$.
    - `key_bias`: $k_\eta$ `(layers, heads, dim)`, what the queries' bias adds to scores: $k_\eta^\top y_j$.
    - `value_bias`: `(layers, dim)`, what the values' and the output's bias add to the sum over heads.
    - `radius`: $r$, the length of a token that $U$ and `value_bias` are relative to.
    """

    Q: Float[Array, "layers heads width dim"]
    K: Float[Array, "layers heads width dim"]
    V: Float[Array, "layers heads width dim"]
    O: Float[Array, "layers heads width dim"]  # noqa: E741 - the letter of the field
    key_bias: Float[Array, "layers heads dim"]
    value_bias: Float[Array, "layers dim"]
    radius: float = eqx.field(static=True)


def heads(model: Transformer, *, radius: float | None = None) -> Heads:
    r"""The heads of a model as matrices of eqs. (1) and (6), every layer and head.

    Layer normalisation sees a residual stream $h$ by its direction in the hyperplane
    $\mathbf 1^\perp$ alone: with $\Pi = I - \mathbf 1\mathbf 1^\top/d$, $y = \Pi h/|\Pi h|$ and $\varepsilon = 0$ it
    is $a = \sqrt d\,\Gamma y + \beta$ with $\Gamma = \mathrm{diag}(\gamma)$. Scores
    $c\,(W_q a_i + b_q)^\top (W_k a_j + b_k)$ are then, up to terms without $j$,

    $$ y_i^\top P y_j + k^\top y_j, \qquad P = Q^\top K, \quad Q = \sqrt{cd}\, W_q\Gamma\Pi, \quad
    K = \sqrt{cd}\, W_k\Gamma\Pi, \quad k = \sqrt c\, K^\top (W_q\beta + b_q), $$

    and a block moves the token $r y_i$ by $r$ times the sum over heads of $\sum_j \alpha_{ij} U y_j$, plus a shift:

    $$ U = \tfrac{\sqrt d}{r}\, \Pi W_O W_V \Gamma \Pi, \qquad
    u_0 = \tfrac1r\, \Pi\Big(\sum_\eta W_O (W_V \beta + b_v) + b_O\Big), $$

    where rows of $\alpha$ sum to 1 and not to $1/\sqrt d$ (paper, section 2 and Remark 2.2).

    RMS norms take no mean off: there $\Pi = I$ and $\beta = 0$, and $y = h/|h|$ is the token of the
    ellipsoid $\sum_i (a_i/\gamma_i)^2 = d$ in coordinates of a sphere. In BERT and its like, whose norms
    come after the sum, attention reads the token itself, $a = ry$. Rotations act between $Q$ and $K$:
    $P$ is what scores are at equal positions. Where queries and keys are normalised, $Q$ and $K$ are the
    matrices before that.

    **Arguments:**

    - `model`: a [`Transformer`][]; its feed-forward is not used.
    - `radius`: $r$, the length of a token in the residual stream, which the paper's sphere holds
      fixed and a pre-norm model does not. `None` is $\sqrt d$: the sphere of Remark 2.2 that a final
      normalisation of gain 1 puts tokens on (of gain $\gamma_0$: $\sqrt d\,|\gamma_0|$).

    **Returns:**

    [`Heads`][] in float32, or in the weights' dtype if that is better.

    **Raises:**

    `ValueError` where `model` is no [`Transformer`][], has tokens of one number, or `radius` is not positive.

    ```python
    result = af.language.heads(model)
    P = af.Factored(result.Q[0], result.K[0])                  # of layer 0, all heads
    ```
    """
    radius = as_radius(model, radius)
    blocks = model.blocks
    Q, K, V, O, key_bias, value_bias = _heads(  # noqa: E741
        model.architecture, blocks.attention, blocks.attention_norm, radius
    )
    return Heads(Q, K, V, O, key_bias, value_bias, radius)


def as_radius(model: Any, radius: Any) -> float:
    """The length of a token, sqrt(dim) unless given; a `ValueError` unless it and the model are fit."""
    if not isinstance(model, Transformer):
        raise ValueError(
            "`model` must be a Transformer, of attnflow.language.load or random; "
            f"got {type(model).__name__}."
        )
    dim = model.architecture.dim
    if dim < 2:
        raise ValueError(f"`model` must have tokens of two numbers or more; got dim {dim}.")
    if radius is None:
        return math.sqrt(dim)
    if isinstance(radius, bool) or not isinstance(radius, float | int) or not 0 < radius < math.inf:
        raise ValueError(f"`radius` must be a positive number; got {radius!r}.")
    return float(radius)


def folded(
    arch: Architecture, attention: Attention, norm: Norm, scale: Array, radius: float
) -> tuple[Array, ...]:
    """`Q`, `K`, `V`, `O`, `key_bias` and `value_bias` of one layer, whose weights have no layer axis.

    Heads that share keys and values have copies of them. Where positions rotate, or queries and keys
    are normalised, `key_bias` is zero: see `_scores.py`, which has those biases itself.
    """
    d, h, w = arch.dim, arch.heads, arch.width
    qkv, out = wide(attention.qkv), wide(attention.out)
    gain, bias = read_by(arch, norm, radius)
    with jax.default_matmul_precision("highest"):
        shifts = bias @ qkv
        if attention.qkv_bias is not None:
            shifts = shifts + wide(attention.qkv_bias)
        turned = qkv.T.reshape(-1, w, d) * gain[None, None, :]
        rows = [in_plane(arch, part) for part in by_head(arch, turned)]
        Q, K = (jnp.sqrt(scale * d) * rows[i] for i in range(2))
        V = math.sqrt(d) / radius * rows[2]
        queries, _, values = by_head(arch, shifts.reshape(-1, w))
        if is_plain(arch):
            key_bias = jnp.sqrt(scale) * jnp.einsum("hwd,hw->hd", K, queries)
        else:
            key_bias = jnp.zeros((h, d), K.dtype)
        value_bias = values.reshape(h * w) @ out
        if attention.out_bias is not None:
            value_bias = value_bias + wide(attention.out_bias)
        value_bias = in_plane(arch, value_bias) / radius
    return Q, K, V, in_plane(arch, out.reshape(h, w, d)), key_bias, value_bias


def read_by(arch: Architecture, norm: Norm, radius: float) -> tuple[Array, Array]:
    r"""Gain and bias of what attention reads, $\sqrt d\,\Gamma y + \beta$: with norms after the sum it is $ry$."""
    gain = wide(norm.gain)
    if arch.of.post_norm:
        return jnp.full_like(gain, radius / math.sqrt(arch.dim)), jnp.zeros_like(gain)
    return gain, jnp.zeros_like(gain) if norm.bias is None else wide(norm.bias)


def by_head(arch: Architecture, rows: Array) -> tuple[Array, Array, Array]:
    """Rows of heads of queries, keys and values `(h + 2 h_k, ...)` as three of `(h, ...)`."""
    if arch.kv_heads == arch.heads:
        q, k, v = rows.reshape(3, arch.heads, *rows.shape[1:])
        return q, k, v
    q, k, v = jnp.split(rows, (arch.heads, arch.heads + arch.kv_heads))
    copies = arch.heads // arch.kv_heads
    return q, jnp.repeat(k, copies, axis=0), jnp.repeat(v, copies, axis=0)


def is_plain(arch: Architecture) -> bool:
    """Whether scores are a matrix between tokens: no rotations, no normed queries and keys."""
    return not arch.rotary and not arch.of.normed_scores


def in_plane(arch: Architecture, x: Array) -> Array:
    r"""$\Pi x$ on the last axis in families whose norms take the mean off; $x$ in the others."""
    return x if arch.of.rms else centred(x)


def laid_out(arch: Architecture, tree: Any) -> Any:
    """Arrays by layer, of arrays by group of layers."""
    if arch.groups is None:
        return tree
    index = jnp.asarray([arch.group(k) for k in range(arch.layers)])
    return jax.tree.map(lambda x: x[index], tree)


def centred(x: Array) -> Array:
    r"""$\Pi x$ on the last axis: without its mean."""
    return x - jnp.mean(x, axis=-1, keepdims=True)


@compiled
def _heads(
    arch: Architecture, attention: Attention, norm: Norm, radius: float
) -> tuple[Array, ...]:
    scales = jnp.asarray(arch.scales, wide(norm.gain).dtype)
    parts = (laid_out(arch, attention), laid_out(arch, norm), scales)
    # Layer by layer, so that the largest array held beside the result is one layer's.
    return jax.lax.map(lambda x: folded(arch, x[0], x[1], x[2], radius), parts)
