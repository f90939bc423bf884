"""The heads of a model as matrices of eqs. (1) and (6): normalisation, scale and radius folded in."""

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ._architecture import Architecture
from ._model import GPT, Attention, Norm, wide


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


def heads(model: GPT, *, radius: float | None = None) -> Heads:
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

    **Arguments:**

    - `model`: a [`GPT`][]; its feed-forward is not used.
    - `radius`: $r$, the length of a token in the residual stream, which the paper's sphere holds
      fixed and a pre-norm model does not. `None` is $\sqrt d$: the sphere of Remark 2.2 that a final
      normalisation of gain 1 puts tokens on (of gain $\gamma_0$: $\sqrt d\,|\gamma_0|$).

    **Returns:**

    [`Heads`][] in float32, or in the weights' dtype if that is better.

    **Raises:**

    `ValueError` where `model` is no [`GPT`][], has tokens of one number, or `radius` is not positive.

    ```python
    found = af.language.heads(model)
    P = af.Factored(found.Q[0], found.K[0])                  # of layer 0, all heads
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
    if not isinstance(model, GPT):
        raise ValueError(
            "`model` must be a GPT, of attnflow.language.load or random; "
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
    """`Q`, `K`, `V`, `O`, `key_bias` and `value_bias` of one layer, whose weights have no layer axis."""
    d, h, w = arch.dim, arch.heads, arch.width
    qkv, out = wide(attention.qkv), wide(attention.out)
    gain, bias = wide(norm.gain), wide(norm.bias)
    with jax.default_matmul_precision("highest"):
        shifts = bias @ qkv
        if attention.qkv_bias is not None:
            shifts = shifts + wide(attention.qkv_bias)
        rows = centred(qkv.T.reshape(3, h, w, d) * gain[None, None, None, :])
        Q, K = (jnp.sqrt(scale * d) * rows[i] for i in range(2))
        V = math.sqrt(d) / radius * rows[2]
        queries, _, values = shifts.reshape(3, h, w)
        key_bias = jnp.sqrt(scale) * jnp.einsum("hwd,hw->hd", K, queries)
        value_bias = centred(values.reshape(d) @ out + wide(attention.out_bias)) / radius
    return Q, K, V, centred(out.reshape(h, w, d)), key_bias, value_bias


def centred(x: Array) -> Array:
    r"""$\Pi x$ on the last axis: without its mean."""
    return x - jnp.mean(x, axis=-1, keepdims=True)


@eqx.filter_jit
def _heads(
    arch: Architecture, attention: Attention, norm: Norm, radius: float
) -> tuple[Array, ...]:
    scales = jnp.asarray(arch.scales, wide(norm.gain).dtype)
    # Layer by layer, so that the largest array held beside the result is one layer's.
    return jax.lax.map(lambda x: folded(arch, x[0], x[1], x[2], radius), (attention, norm, scales))
