"""How fast attention can move tokens, and the consensus that this leaves out of reach."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, Real

from ..core.checks import check, finite, floating
from ..core.lapack import svdvals
from ..model import AttentionField, Causal, Hardmax, Softmax
from ..model.demands import (
    as_field,
    demand_identity,
    demand_kernel,
    demand_plain,
    on_manifold,
    refuse,
    since,
)


def speed_limit(field: AttentionField, t: Real[ArrayLike, ""] = 0.0) -> Float[Array, ""]:
    r"""The largest speed that attention can give a token, whatever the tokens and $P$ are.

    $$ |\dot y_i|_W \le c \sum_\eta |U_\eta(t)|_W, \qquad |U|_W = \max_{|v|_W = 1} |Uv|_W $$

    with $c$ the field's `scale`; with $U = I$ it is $hc$, on the sphere with the paper's scale
    $h/\sqrt d$. It holds since rows of attention sum to $c$, and since the tangent map (paper, eq. 3)
    lengthens nothing. It is reached where all attention is on one direction, a right angle away.

    **Arguments:**

    - `field`: softmax or hardmax, normalisation `"post"`, no drift; any mask, masses, $P(t)$ and $U(t)$.
      The `"exp"` kernel has no such bound: its rows sum to what the tokens make of them.
    - `t`: the time at which $U$ is taken.

    **Returns:**

    A scalar: radians of the metric of $W$ per unit of time.

    **Raises:**

    - `ValueError`: a field outside what is said above.

    ```python
    af.theory.speed_limit(af.AttentionField(af.Sphere(4), P=jnp.zeros((2, 4, 4))))  # 2/sqrt(4) = 1
    ```
    """
    claim = "the speed limit"
    as_field(field)
    demand_kernel(field, claim, Softmax, Hardmax)
    demand_plain(field, claim)
    scale, t = jnp.abs(field.scale), finite("t", t)
    if field.U is None:
        return field.heads * scale
    U = field.U(t).reshape(-1, field.dim, field.dim)
    eye = jnp.eye(field.dim, dtype=U.dtype)
    # L' U L^-T, transposed: U as it acts on whitened tokens.
    white = [field.manifold.whiten(field.manifold.unwhiten(eye) @ head.T) for head in U]
    norms = jnp.stack([svdvals(head)[0] for head in white])
    return scale * (jnp.sum(norms) * (field.heads / len(white))).astype(scale.dtype)


def angle_bound(
    field: AttentionField,
    y0: Real[ArrayLike, "tokens dim"],
    t: Real[ArrayLike, "*times"],
    t0: Real[ArrayLike, ""] = 0.0,
) -> Float[Array, "*times tokens"]:
    r"""The least angles between $y_1$ and the tokens that the speed limit allows at time `t`.

    $$ \angle(y_1, y_i)(t) \ge \max\big(0,\; \angle(y_1, y_i)(t_0) - m\,hc\,(t - t_0)\big) $$

    with $m = 1$ where $y_1$ stands still, as under the causal mask, and $m = 2$ where it moves, as
    under full attention; tokens that are frozen do not count. Angles are those of the metric of $W$.

    **Arguments:**

    - `field`: as in [`speed_limit`][], with $U = I$.
    - `y0`: the tokens at `t0`.
    - `t`: times, a number or a vector, none before `t0`.
    - `t0`: the beginning.

    **Returns:**

    Angles in $[0, \pi]$; that of $y_1$ with itself is 0.

    **Raises:**

    - `ValueError`: a field, tokens or times outside what is said above.

    ```python
    af.theory.angle_bound(field, y0, jnp.array([0.0, 1.0]))  # (2, tokens)
    ```
    """
    y0, elapsed = _start(field, y0, t, t0, "the angle bound")
    tokens = y0.shape[0]
    frozen = jnp.zeros(tokens, bool) if field.frozen is None else field.frozen
    moves = jnp.where(frozen, 0, 1).astype(y0.dtype)
    first = jnp.where(_first_alone(field, tokens), 0, moves[0]).astype(y0.dtype)
    rate = (first + moves) * speed_limit(field).astype(y0.dtype)
    angles = field.manifold.distance(y0[:1], y0)
    left = jnp.broadcast_to(angles, (*elapsed.shape, tokens)) - elapsed[..., None] * rate.reshape(
        (1,) * elapsed.ndim + (tokens,)
    )
    return jnp.maximum(left, 0)


def misalignment_bound(
    field: AttentionField,
    y0: Real[ArrayLike, "tokens dim"],
    t: Real[ArrayLike, "*times"],
    t0: Real[ArrayLike, ""] = 0.0,
) -> Float[Array, "*times"]:
    r"""The least misalignment (paper, eq. 9) that the speed limit allows at time `t`.

    $$ E(t) \ge \frac1\ell \sum_i 2 \sin^2\big(\tfrac12 a_i(t)\big) $$

    with $a_i$ the angles of [`angle_bound`][]. On an ellipsoid it is a bound of
    `misalignment(y, field.manifold)`, in whose product the angles are, and not of the Euclidean one.

    **Arguments:** as those of [`angle_bound`][].

    **Returns:**

    $E$, in [0, 2], of the shape of `t`.
    """
    return jnp.mean(2 * jnp.sin(angle_bound(field, y0, t, t0) / 2) ** 2, axis=-1)


def tanh_reference(
    field: AttentionField,
    y0: Real[ArrayLike, "tokens dim"],
    t: Real[ArrayLike, "*times"],
    t0: Real[ArrayLike, ""] = 0.0,
) -> Float[Array, "*times tokens"]:
    r"""The cosines $b_i = \langle y_1, y_i\rangle_W$ if every token gave all its attention to token 1.

    $$ \dot b_i = hc\,(1 - b_i^2), \qquad b_i(t) = \tanh\big(hc\,(t - t_0) + \operatorname{artanh} b_i(t_0)\big) $$

    for causal attention with $U = I$, where $y_1$ stands still. For token 2 it is the optimum: no
    $P(t)$ brings it closer to $y_1$ by then. For later tokens it is a reference and **not a bound**:
    one can be ahead of it for a while when an earlier token lies beyond $y_1$ and pulls at a right
    angle, $\sqrt{1 - b^2} > 1 - b^2$. What none can beat is [`angle_bound`][].

    **Arguments:**

    - `field`: softmax or hardmax, normalisation `"post"`, $U = I$, a mask that lets token 1 see itself
      alone, no drift, a positive scale; any $P(t)$ and number of heads.
    - `y0`: the tokens at `t0`.
    - `t`: times, a number or a vector, none before `t0`.
    - `t0`: the beginning.

    **Returns:**

    Cosines in [-1, 1]; that of $y_1$ with itself is 1, and a token at $-y_1$ stays there. What they lack
    of 1 is to be had from [`reference_misalignment`][], with all its digits.

    **Raises:**

    - `ValueError`: a field, tokens or times outside what is said above.

    ```python
    af.theory.tanh_reference(field, y0, 2.0)  # (tokens,)
    ```
    """
    near, far = _reference(field, y0, t, t0)
    return (far - near) / (far + near)


def reference_misalignment(
    field: AttentionField,
    y0: Real[ArrayLike, "tokens dim"],
    t: Real[ArrayLike, "*times"],
    t0: Real[ArrayLike, ""] = 0.0,
) -> Float[Array, "*times"]:
    r"""The misalignment (paper, eq. 9) of [`tanh_reference`][], $\frac1\ell\sum_i (1 - b_i(t))$.

    Computed as $1 - b_i = 2q_i/(p_i + q_i)$, $q_i = |y_1 - y_i|_W^2\, e^{-2hc(t - t_0)}$,
    $p_i = |y_1 + y_i|_W^2$, which keeps its digits down to the smallest float. On an ellipsoid it is to
    be compared with `misalignment(y, field.manifold)`.

    **Arguments:** as those of [`tanh_reference`][].

    **Returns:**

    $E$, in [0, 2], of the shape of `t`.
    """
    near, far = _reference(field, y0, t, t0)
    return jnp.mean(2 * near / (far + near), axis=-1)


def _reference(field: Any, y0: Any, t: Any, t0: Any) -> tuple[Array, Array]:
    """Squared distances of each token to $y_1$, shrunk as tan² of half the angle is, and to $-y_1$."""
    claim = "the tanh reference"
    y0, elapsed = _start(field, y0, t, t0, claim)
    if not bool(_first_alone(field, y0.shape[0])):
        refuse(claim, "a mask that lets token 1 attend to itself alone", type(field.mask).__name__)
    if field.frozen is not None:
        refuse(claim, "no frozen tokens", "`frozen`")
    scale = check(
        field.scale,
        lambda scale: ~(scale > 0),
        f"`field` must have a positive scale for {claim}; got less.",
    )
    rate = (field.heads * scale).astype(y0.dtype)
    square = lambda x: field.manifold.inner(x, x)  # noqa: E731
    near, far = square(y0[:1] - y0), square(y0[:1] + y0)
    shape = (*elapsed.shape, y0.shape[0])
    decay = jnp.broadcast_to(jnp.exp(-2 * rate * elapsed)[..., None], shape)
    return decay * jnp.broadcast_to(near, shape), jnp.broadcast_to(far, shape)


def _start(field: Any, y0: Any, t: Any, t0: Any, claim: str) -> tuple[Array, Array]:
    """The checked tokens, and the times since the beginning."""
    as_field(field)
    demand_kernel(field, claim, Softmax, Hardmax)
    demand_plain(field, claim)
    demand_identity(field, claim, since(t0))
    y0 = on_manifold("y0", field, y0)
    t, t0 = floating("t", t).astype(y0.dtype), floating("t0", t0).astype(y0.dtype)
    elapsed = t - t0
    return y0, check(
        elapsed, lambda e: ~(e >= 0), "`t` must not be before `t0`; got an earlier time."
    )


def _first_alone(field: AttentionField, tokens: int) -> bool | Array:
    """Whether token 1 attends to itself alone, and so stands still where U = I."""
    if isinstance(field.mask, Causal):
        return True
    allowed = field.mask.allowed(tokens)
    if allowed is None:
        return tokens == 1
    return ~jnp.any(allowed.reshape(-1, tokens, tokens)[:, 0, 1:])
