"""The starts that Theorem 4.2 as printed leaves out: third tokens that end at the antipode of the first."""

from typing import Any

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Real

from ..core.checks import floating
from ..core.compiled import compiled
from ..model import AttentionField, Softmax
from ..model.demands import (
    as_field,
    demand_causal,
    demand_constant,
    demand_identity,
    demand_kernel,
    demand_plain,
    refuse,
)

_CLAIM = "the exceptional starts of Theorem 4.2"
_NEAR = 1e-8  # the angle of token 2 at which the curve is still its tangent
_STEPS = 2**20


def exceptional_start(field: AttentionField, y: Real[ArrayLike, "2 dim"]) -> Float[Array, "3 dim"]:
    r"""The third token, beside $-y_1$, that causal attention takes to $-y_1$ and not to $y_1$.

    $$ y_3 = -\cos(g)\,y_1 - \sin(g)\,e, \qquad 0 < g < \theta_2 $$

    with $\theta_2$ the angle from $y_1$ to $y_2$ and $e$ the direction of $y_2$ across $y_1$: it lies
    between $-y_1$ and $-y_2$. Theorem 4.2 of the paper gives the starts with $y_j \ne -y_1$ as the
    basin of consensus at $y_1$; with three tokens and more that is too large by this null set. For
    each $y_2$ there is one such $y_3$: from a start beside it, however close, token 3 ends at $y_1$.

    With $U = I$ it lies in the plane of the first two tokens. There $(\theta_2, \theta_3 - \pi)$ has a
    saddle at 0 whose stable manifold is the graph of $g$; see [`exceptional_curve`][] for how it is
    followed. $g$ does not depend on `scale`. On an ellipsoid angles are those of $W$.

    **Arguments:**

    - `field`: causal, $U = I$, $P_\eta$ constant in time, softmax, normalisation `"post"`; any number
      of heads. Masses, drift and frozen tokens are refused.
    - `y`: the first two tokens, neither equal nor opposite.

    **Returns:**

    The three tokens, the first two as given.

    **Raises:**

    - `ValueError`: a field or tokens outside what is said above, or token 2 so nearly held in place
      ($P$ large) that the curve could not be followed.

    Source: the paper, Theorem 4.2 (its printed domain).

    ```python
    field = af.AttentionField(af.Sphere(3), P=jnp.zeros((3, 3)), mask="causal")
    af.theory.exceptional_start(field, y0[:2])
    ```
    """
    y, across, theta, P = _plane(field, y)
    g = _follow(P, theta[None])[0]
    third = -jnp.cos(g) * y[0] - jnp.sin(g) * across
    return jnp.concatenate([y, field.manifold.project(third)[None]])


def exceptional_curve(
    field: AttentionField, y: Real[ArrayLike, "2 dim"], theta: Real[ArrayLike, " n"]
) -> Float[Array, " n"]:
    r"""The exceptional starts of one plane, as a curve: $g(\theta_2)$ with $\theta_3 = \pi + g(\theta_2)$.

    In the plane of $y_1$ (angle 0) and a second direction, with $a_{ij}$ the attention summed over
    heads,

    $$ \dot\theta_2 = -a_{21}\sin\theta_2, \qquad
       \dot\varphi = a_{31}\sin\varphi - a_{32}\sin(\theta_2 - \varphi), \qquad \varphi = \theta_3 - \pi $$

    and $\varphi = g(\theta_2)$ is the solution with $\varphi \to 0$. It leaves 0 with the slope
    $g'(0) = w/(2w + h/2)$, $w = \sum_\eta 1/(2 + e^{2 y_1^\top P_\eta y_1})$ (2/7 for $P = 0$ and one head), and
    is followed outwards, which is backwards in time, where it attracts: in
    $x = \log\tan(\theta_2/2)$ it is $d\varphi/dx = -\dot\varphi/a_{21}$, with no singular end.

    In float64 it is good to a few 1e-12 (of a radian) up to $|P| \approx 8$. The cost grows as $1/a_{21}$:
    a second or less unless token 2 gives less than about 1e-5 of its attention to token 1; where it
    gives it less than about 1e-6 the curve is refused.

    **Arguments:**

    - `field`: as in [`exceptional_start`][].
    - `y`: $y_1$, and a token that spans the plane with it, on the side of positive angles.
    - `theta`: the angles of token 2, in $(-\pi, \pi)$.

    **Returns:**

    $g$ at each angle: of the sign of `theta`, and smaller.

    **Raises:**

    - `ValueError`: as [`exceptional_start`][], or an angle outside $(-\pi, \pi)$.

    ```python
    theta = jnp.linspace(-3.0, 3.0, 61)
    af.plot.exceptional_starts(theta, af.theory.exceptional_curve(field, y0[:2], theta))
    ```
    """
    y, _, _, P = _plane(field, y)
    theta = floating("theta", theta).astype(y.dtype)
    if theta.ndim != 1:
        raise ValueError(f"`theta` must be a vector of angles; got shape {theta.shape}.")
    bad = np.asarray(~(jnp.abs(theta) < jnp.pi))
    if bad.any():
        raise ValueError(f"`theta` must be in (-pi, pi); got {np.asarray(theta)[bad][0]:.6g}.")
    mirror = jnp.asarray([[1.0, -1.0], [-1.0, 1.0]], P.dtype)
    above = _follow(P, jnp.where(theta > 0, theta, 0))
    below = _follow(P * mirror[None], jnp.where(theta < 0, -theta, 0))
    return above - below


def _plane(field: Any, y: Any) -> tuple[Array, Array, Array, Array]:
    """The checked tokens, the direction across the first, the second's angle, and `P` in the plane."""
    as_field(field)
    demand_causal(field, _CLAIM, 3, float(jnp.finfo(floating("y", y).dtype).eps))
    demand_identity(field, _CLAIM)
    demand_constant(field, "P", _CLAIM)
    demand_plain(field, _CLAIM, masses=True)
    demand_kernel(field, _CLAIM, Softmax)
    if field.frozen is not None:
        refuse(_CLAIM, "no frozen tokens", "`frozen`")
    if not float(field.scale) > 0:
        refuse(_CLAIM, "a positive scale", f"{float(field.scale):.6g}")
    manifold = field.manifold
    y = manifold.check_tokens("y", y)
    if y.shape[0] != 2:
        raise ValueError(f"`y` must hold the first two tokens; got {y.shape[0]}.")
    theta = manifold.distance(y[0], y[1])
    across = y[1] - manifold.inner(y[0], y[1]) * y[0]
    across = across - manifold.inner(y[0], across) * y[0]
    size = manifold.norm(across)
    if not float(size) > 1e3 * float(jnp.finfo(y.dtype).eps):
        raise ValueError(
            "`y` must hold two tokens that are neither equal nor opposite; "
            f"got an angle of {float(theta):.6g}."
        )
    across = across / size
    basis = jnp.stack([y[0], across])
    P = jnp.asarray(field.P(jnp.zeros((), y.dtype)), y.dtype)
    with jax.default_matmul_precision("highest"):
        P = basis @ P.reshape(-1, field.dim, field.dim) @ basis.T
    return y, across, theta, jnp.broadcast_to(P, (field.heads, 2, 2))


def _follow(P: Array, theta: Array) -> Array:
    """$g$ at angles in [0, π), in any order; 0 at 0."""
    order = jnp.argsort(theta)
    # Up to _NEAR the curve is its tangent, to the square of that.
    x = jnp.log(jnp.tan(jnp.maximum(theta[order], _NEAR) / 2))
    curve, slope, done = _solve(P, x)
    if not bool(done):
        raise ValueError(
            "`field` must have a P for which token 2 gives token 1 a share of its attention that "
            f"can be followed (about 1e-6 or more); got a P for which {_STEPS} steps are too few. "
            "Take a smaller P or a smaller angle between the tokens."
        )
    curve = jnp.where(theta[order] <= _NEAR, slope * theta[order], curve)
    return jnp.zeros_like(curve).at[order].set(curve)


@compiled
def _solve(P: Array, x: Array) -> tuple[Array, Array, Array]:
    heads, dtype = P.shape[0], P.dtype
    w = jnp.sum(1 / (2 + jnp.exp(2 * P[:, 0, 0])))
    slope = w / (2 * w + heads / 2)
    x0 = jnp.log(jnp.tan(jnp.asarray(_NEAR / 2, dtype)))

    def rate(x, beyond, P):
        theta = 2 * jnp.arctan(jnp.exp(x))
        first = jnp.asarray([1.0, 0.0], dtype)
        second = jnp.stack([jnp.cos(theta), jnp.sin(theta)])
        third = -jnp.stack([jnp.cos(beyond), jnp.sin(beyond)])
        y = jnp.stack([first, second, third])
        logits = jnp.einsum("ia,hab,jb->hij", y[1:], P, y, precision=jax.lax.Precision.HIGHEST)
        a_2 = jnp.sum(jax.nn.softmax(logits[:, 0, :2]), axis=0)
        a_3 = jnp.sum(jax.nn.softmax(logits[:, 1]), axis=0)
        moved = a_3[0] * jnp.sin(beyond) - a_3[1] * jnp.sin(theta - beyond)
        return -moved / a_2[0]

    exact = dtype == jnp.float64
    sol = diffrax.diffeqsolve(
        diffrax.ODETerm(rate),
        diffrax.Dopri8(),
        x0,
        # Beyond the last angle asked for by a little: an interval is never empty.
        x[-1] + 0.01,
        jnp.asarray(0.01, dtype),
        slope * _NEAR,
        args=P,
        saveat=diffrax.SaveAt(ts=x),
        stepsize_controller=diffrax.PIDController(
            rtol=1e-13 if exact else 1e-5, atol=1e-16 if exact else 1e-9
        ),
        max_steps=_STEPS,
        throw=False,
    )
    assert sol.ys is not None
    return sol.ys, slope, sol.result == diffrax.RESULTS.successful
