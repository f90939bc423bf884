"""Exact identities of the flow: the rate of its energy, and the cross-ratios that it conserves."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, Real

from ..core.checks import check, finite, floating, is_concrete
from ..geometry import AbstractManifold
from ..model import AttentionField, Exponential, Softmax
from ..model.demands import (
    as_field,
    demand_constant,
    demand_full,
    demand_kernel,
    demand_plain,
    on_manifold,
    refuse,
    since,
)
from ..observables.directions import directions

_CLAIM = "the energy identity"


def energy_rate(
    field: AttentionField, t: Real[ArrayLike, ""], y: Real[ArrayLike, "tokens dim"]
) -> Float[Array, ""]:
    r"""How fast [`attnflow.energy`][] grows, by the speeds of the tokens: full attention climbs it.

    $$ \text{softmax, one head:}\quad \frac{dE}{dt} = \frac{1}{c\,\ell} \sum_i Z_i\, |\dot y_i|_W^2, \qquad
       Z_i = \frac1\ell \sum_j e^{y_i^\top P y_j} $$

    $$ \text{exp, any heads:}\quad \frac{dE}{dt} = \frac{1}{c\,\ell} \sum_i |\dot y_i|_W^2 $$

    with $c$ the field's `scale`, where $P_\eta = \beta_\eta W U_\eta$ with $W U_\eta$ symmetric, constant in
    time, $\beta_\eta$ of either sign or zero. Then the flow is the gradient of $E$ in the metric of $W$, each
    token's share weighed by $1/Z_i$ under softmax. A sum of squares, it shows that $E$ never falls, and
    keeps its digits where the derivative of $E$ cancels. ([`attnflow.energy_dissipation`][] differentiates
    $E$ for any field.)

    **Arguments:**

    - `field`: as above; no mask, bias, masses, frozen tokens or drift, normalisation `"post"`.
    - `t`: the time; `P` and `U` have to be constant from there on, and from 0.
    - `y`: tokens on the manifold.

    **Returns:**

    A scalar, zero or more for a positive `scale`.

    **Raises:**

    - `ValueError`: a field for which the identity does not hold, with the hypothesis that it misses.

    Source: Geshkovski, Letrouit, Polyanskiy and Rigollet, arXiv:2312.10794 (the interaction energy).

    ```python
    field = af.AttentionField(sphere, P=2.0 * jnp.eye(3), scale=1.0)
    af.theory.energy_rate(field, 0.0, y0), af.energy_dissipation(field, 0.0, y0)  # the same
    ```
    """
    t = finite("t", t)
    y = on_manifold("y", _gradient_flow(field, t, y), y)
    square = field.manifold.inner(*(field(t, y),) * 2)
    if isinstance(field.kernel, Softmax):
        square = square * jnp.mean(jnp.exp(field.logits(t, y)[0]), axis=-1)
    return jnp.mean(square) / field.scale.astype(y.dtype)


def cross_ratios(
    y: Real[ArrayLike, "tokens dim"], manifold: AbstractManifold | None = None
) -> Float[Array, "others others"]:
    r"""Cross-ratios of the tokens, which full attention without scores conserves.

    $$ R_{kl} = \frac{(1 - g_{12})(1 - g_{kl})}{(1 - g_{1k})(1 - g_{2l})}, \qquad
       g_{ij} = \frac{\langle y_i, y_j\rangle_W}{|y_i|_W |y_j|_W} $$

    over tokens $k, l \ge 3$, in rows and columns; the diagonal is 0. Under full attention with $P = 0$
    every token is pulled by one and the same vector, with any heads and any $U_\eta(t)$, and the flow is
    a conformal map of the sphere: the cross-ratios of all quadruples are constant. All of them are
    quotients of products of these.

    Each $1 - g$ is computed as half a squared distance. Near consensus the distances themselves have
    lost their digits, by as much as they are short.

    **Arguments:**

    - `y`: at least four tokens, no two of them in one place, of any length.
    - `manifold`: whose inner product to take; `None` for the Euclidean one.

    **Returns:**

    Shape `(tokens - 2, tokens - 2)`.

    **Raises:**

    - `ValueError`: fewer than four tokens.

    ```python
    af.theory.cross_ratios(sol.ys[0]) - af.theory.cross_ratios(sol.ys[-1])  # 0 up to rounding
    ```
    """
    unit = directions(floating("y", y), manifold)
    if unit.shape[0] < 4:
        raise ValueError(f"`y` must hold at least four tokens; got {unit.shape[0]}.")
    apart = lambda a, b: jnp.sum((a[:, None] - b[None]) ** 2, axis=-1)  # noqa: E731
    first, second, rest = unit[:1], unit[1:2], unit[2:]
    return (apart(first, second) / apart(rest, first)) * (apart(rest, rest) / apart(second, rest))


def _gradient_flow(field: Any, t: Any, y: Any) -> AttentionField:
    """`field`, refused unless it is the gradient flow of its energy."""
    as_field(field)
    demand_kernel(field, _CLAIM, Softmax, Exponential)
    demand_plain(field, _CLAIM, masses=True)
    y = floating("y", y)
    demand_full(field, _CLAIM, y.shape[0] if y.ndim else 1, float(jnp.finfo(y.dtype).eps))
    if field.frozen is not None:
        refuse(_CLAIM, "no frozen tokens", "`frozen`")
    if isinstance(field.kernel, Softmax) and field.heads > 1:
        refuse(_CLAIM, "one head under softmax", f"{field.heads}")
    for name in ("P", "U"):
        demand_constant(field, name, _CLAIM, min(since(t, "t"), 0.0))
    now = jnp.zeros(())
    P = field.P(now).reshape(-1, field.dim, field.dim)
    W = field.manifold.W.astype(P.dtype)
    with jax.default_matmul_precision("highest"):
        WU = W[None]
        if field.U is not None:
            WU = W @ field.U(now).astype(P.dtype).reshape(-1, field.dim, field.dim)
    size = jnp.max(jnp.abs(WU), axis=(1, 2))
    skew = jnp.max(jnp.abs(WU - jnp.swapaxes(WU, 1, 2)), axis=(1, 2)) / size
    beta = jnp.sum(P * WU, axis=(1, 2)) / jnp.sum(WU * WU, axis=(1, 2))
    largest = jnp.max(jnp.abs(P), axis=(1, 2))
    off = jnp.max(jnp.abs(P - beta[:, None, None] * WU), axis=(1, 2))
    off = off / jnp.where(largest > 0, largest, 1)
    slack = 64 * field.dim * float(jnp.finfo(P.dtype).eps)
    for gap, need in (
        (skew, "W U symmetric"),
        (off, "P = beta W U"),
        (jnp.where(field.scale == 0, jnp.inf, 0), "a scale other than 0"),
    ):
        got = ""
        if is_concrete(gap):
            worst = float(jnp.max(gap))
            got = f"; got a gap of {worst:.3g} of it" if worst < jnp.inf else "; got 0"
        bad = ~(gap <= slack)
        field = check(field, bad, f"`field` must have {need} for {_CLAIM}{got}.")
    return field
