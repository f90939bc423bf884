"""The flow near one configuration, in charts of the sphere: velocity and Jacobian.

By whitening, `x = L'y`, tokens live on the unit sphere whatever W is. Each has a tangent basis from a
Householder reflection, a column per direction of R^d but one, and the chart `ξ ↦ π(x + Bξ)` around it.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Real

from ..core.arrays import cast_floats
from ..core.checks import finite, floating, shaped
from ..core.compiled import compiled
from ..model import AttentionField
from ..model.demands import demand_curved


class Local(NamedTuple):
    """A field at one configuration of tokens, in whitened coordinates.

    Arrays of JAX inside compiled programs; NumPy's, in float64, from [`Frame`][].
    """

    velocity: Any  # (n,), n = tokens (d - 1): ẋ in the tangent bases
    jacobian: Any  # (n, n)
    slope: Any  # (n,): derivative of `velocity` by the parameter
    basis: Any  # (tokens, d, d - 1)
    y: Any  # (tokens, d): the tokens themselves
    P: Any  # (heads, d, d), whitened
    U: Any  # (heads, d, d), whitened; None for the identity
    frozen: Any  # (tokens,) Boolean; None for none
    size: Any  # of the terms that the velocity adds up
    steep: Any  # of the Jacobian's, relative to those
    rows: Any  # (heads,): the largest row of attention


def tangent_basis(x: Float[Array, "tokens dim"]) -> Float[Array, "tokens dim rest"]:
    """Orthonormal tangent vectors at unit vectors `x`, as columns: deterministic, no factorisation."""
    sign = jnp.where(x[:, 0] < 0, -1, 1).astype(x.dtype)
    w = x.at[:, 0].add(sign)
    reflection = w[:, :, None] * (w / (1 + jnp.abs(x[:, :1])))[:, None, :]
    return (jnp.eye(x.shape[1], dtype=x.dtype)[None] - reflection)[:, :, 1:]


def chart(x: Array, basis: Array, xi: Array) -> Array:
    """`π(x + Bξ)`, `ξ` of shape (tokens, d - 1)."""
    moved = x + jnp.einsum("idk,ik->id", basis, xi)
    return moved / jnp.linalg.norm(moved, axis=1, keepdims=True)


def velocity_in(field: AttentionField, t: Array, x: Array, basis: Array) -> Array:
    """`Bᵢ'ẋᵢ` at whitened tokens `x`."""
    manifold = field.manifold
    velocity = manifold.whiten(field(t, manifold.unwhiten(x)))
    return jnp.einsum("idk,id->ik", basis, velocity)


class Fixed(eqx.Module):
    """A field that no parameter changes, as a family of fields."""

    field: AttentionField

    def __call__(self, parameter: Any) -> AttentionField:
        return self.field


def jacobian_in(field: AttentionField, t: Array, x: Array, basis: Array, xi: Array) -> Array:
    """The derivative of [`velocity_in`][] by `ξ`, shape (n, n)."""

    def residual(xi):
        return velocity_in(field, t, chart(x, basis, xi), basis)

    return jax.jacfwd(residual)(xi).reshape(xi.size, xi.size)


@compiled
def _local(family: Callable, parameter: Array, t: Array, x: Array, xi: Array) -> Local:
    with jax.default_matmul_precision("highest"):
        basis = tangent_basis(x)

        def at(parameter):
            field = cast_floats(family(parameter), x.dtype)
            return velocity_in(field, t, chart(x, basis, xi), basis)

        if isinstance(family, Fixed):
            velocity, slope = at(parameter), jnp.zeros_like(xi)
        else:
            velocity, slope = jax.jvp(at, (parameter,), (jnp.ones_like(parameter),))
        field = cast_floats(family(parameter), x.dtype)
        jacobian = jacobian_in(field, t, x, basis, xi)

        manifold, dim = field.manifold, x.shape[1]
        y = manifold.unwhiten(chart(x, basis, xi))
        out = manifold.unwhiten(jnp.eye(dim, dtype=x.dtype))
        back = manifold.whiten(jnp.eye(dim, dtype=x.dtype))
        P = field.P(t).astype(x.dtype).reshape(-1, dim, dim)
        P = jnp.einsum("ab,hbc,dc->had", out, P, out)
        U = None
        if field.U is not None:
            U = field.U(t).astype(x.dtype).reshape(-1, dim, dim)
            U = jnp.einsum("ab,hcb,cd->hda", out, U, back)
        rows = jnp.max(jnp.sum(field.attention(t, y), axis=-1), axis=-1)
        A = field.total(t, y)
        total = manifold.norm(A)
        layer = field.normalisation.layer(manifold, t, y, A)
        gain = jnp.max(manifold.norm(layer) / jnp.where(total > 0, total, 1))
        # Where all of it cancels, terms are not small.
        gain = jnp.where(jnp.any(total > 0), gain, 1)
        lengths = jnp.ones(()) if U is None else jnp.sqrt(jnp.sum(U * U, axis=(1, 2)))
        steep = 1 + jnp.max(jnp.sqrt(jnp.sum(P * P, axis=(1, 2))))
        condition = jnp.linalg.norm(out) * jnp.linalg.norm(back) / dim
        size = gain * condition * (jnp.sum(rows * lengths.astype(x.dtype)) + jnp.max(total))
        return Local(
            velocity.ravel(),
            jacobian,
            slope.ravel(),
            basis,
            y,
            P,
            U,
            field.frozen,
            size,
            steep,
            rows,
        )


class Frame:
    """A family of fields at a parameter, a time and whitened tokens: numbers for NumPy to work on.

    One compiled program serves every parameter, time and configuration of one shape.
    """

    def __init__(self, family: Callable[..., Any], parameter: Any, t: Array, x: Array):
        self.family: Callable[..., Any] = family
        self.t: Array = t
        self.x: Array = x
        self.parameter: Array = jnp.asarray(parameter, x.dtype)
        self.eps: float = float(jnp.finfo(x.dtype).eps)
        self.local: Local = self.at(jnp.zeros((x.shape[0], x.shape[1] - 1), x.dtype))

    def at(self, xi: Any) -> Local:
        """The field at `chart(ξ)`, in the bases of the tokens themselves."""
        xi = jnp.asarray(xi, self.x.dtype).reshape(self.x.shape[0], -1)
        got = _local(self.family, self.parameter, self.t, self.x, xi)
        numbers = jax.tree.map(np.asarray, got)
        wide = {
            name: value.astype(np.float64)
            for name, value in numbers._asdict().items()
            if value is not None and name not in ("frozen", "y")
        }
        return numbers._replace(**wide, y=got.y)

    def moved(self, xi: np.ndarray, parameter: Any = None) -> "Frame":
        """The frame at `chart(ξ)`, and at another parameter if one is given."""
        x = np.asarray(self.x, np.float64)
        x = x + np.einsum("idk,ik->id", self.local.basis, xi.reshape(len(x), -1))
        x = x / np.linalg.norm(x, axis=1, keepdims=True)
        parameter = self.parameter if parameter is None else parameter
        return Frame(self.family, parameter, self.t, jnp.asarray(x, self.x.dtype))

    @property
    def speed(self) -> float:
        """The largest `|ẋᵢ|`, which is `|ẏᵢ|_W`."""
        velocity = self.local.velocity.reshape(self.x.shape[0], -1)
        return float(np.linalg.norm(velocity, axis=1).max())

    @property
    def rounding(self) -> float:
        """How far the velocity may be off by rounding."""
        return self.eps * float(self.local.size)

    @property
    def noise(self) -> float:
        """How far entries of the Jacobian may be off by rounding."""
        return 4 * self.rounding * float(self.local.steep)


def check_field(name: str, field: Any) -> AttentionField:
    """`field`, refused where its states are not on the manifold, which is where charts are."""
    if not isinstance(field, AttentionField):
        raise ValueError(f"`{name}` must be an AttentionField; got {type(field).__name__}.")
    demand_curved(field)
    if not field.projected:
        kind = type(field.normalisation).__name__
        raise ValueError(
            f"`{name}` must keep tokens on the manifold (Post, nGPT or square-root scaling); got "
            f"the normalisation {kind}, whose tokens have a length that changes."
        )
    if field.dim < 2:
        raise ValueError(f"`{name}` must have dim at least 2, for tokens to move; got {field.dim}.")
    return field


def check_state(field: AttentionField, t: Any, y: Any) -> tuple[Array, Array]:
    """The time and the whitened tokens, checked, in the dtype of `y`."""
    y = field.check_start("y", y)
    if y.dtype not in (jnp.float32, jnp.float64):
        raise ValueError(f"`y` must be float32 or float64; got {y.dtype}.")
    if field.tokens is not None and field.tokens != y.shape[0]:
        raise ValueError(
            f"`y` must have {field.tokens} tokens, as the field's mask, weights or frozen flags; "
            f"got {y.shape[0]}."
        )
    t = floating("t", t)
    shaped("t", t.shape, ())
    t = finite("t", t)
    x = field.manifold.whiten(y)
    return t.astype(y.dtype), x / jnp.linalg.norm(x, axis=1, keepdims=True)


def frame_of(field: AttentionField, t: Any, y: Any) -> Frame:
    """The checked arguments as a frame; refuses a Jacobian that is not finite."""
    t, x = check_state(check_field("field", field), t, y)
    frame = Frame(Fixed(cast_floats(field, x.dtype)), 0.0, t, x)
    if not np.all(np.isfinite(frame.local.jacobian)):
        raise ValueError(
            "`field` must have a finite Jacobian at `y`; got one that is not. Look at field(t, y), "
            "and at logits beyond 709 (88 in float32) under the kernel 'exp'."
        )
    return frame


def jacobian(
    field: AttentionField, t: Real[ArrayLike, ""], y: Float[Array, "tokens dim"]
) -> Float[Array, "n n"]:
    r"""The Jacobian of the flow on the tangent space of $E_W^\ell$ at `y`, by forward-mode autodiff.

    $$ J = \partial_\xi\, B^\top L^\top f\big(t, \pi(y + L^{-\top} B \xi)\big)\Big|_{\xi = 0} $$

    with $W = LL^\top$ and $B_i$ an orthonormal basis of the tangent space at the whitened token
    $L^\top y_i$ (the last $d - 1$ columns of the reflection that takes it to the first axis).
    Off an equilibrium it is the covariant derivative of the velocity in the metric of $W$. Its
    eigenvalues do not depend on the basis; [`spectrum`][] gives them, with their errors.
    Works under `jit` and `vmap`.

    **Arguments:**

    - `field`: an [`AttentionField`][] whose tokens stay on the manifold. The hardmax kernel is
      differentiated as if its ties did not change.
    - `t`: the time at which schedules are taken.
    - `y`: tokens on the manifold, shape `(tokens, dim)`.

    **Returns:**

    Shape `(n, n)`, $n = \ell(d-1)$: row and column $(i, k)$ are direction $k$ of token $i$.

    **Raises:**

    - `ValueError`: a normalisation whose tokens leave the manifold (Pre, Peri, Mix), or tokens off
      it.

    ```python
    af.theory.jacobian(field, 0.0, af.theory.polygon(3))         # (3, 3)
    ```
    """
    t, x = check_state(check_field("field", field), t, y)
    field = cast_floats(field, x.dtype)
    return _jacobian(field, t, x)


@compiled
def _jacobian(field: AttentionField, t: Array, x: Array) -> Array:
    with jax.default_matmul_precision("highest"):
        basis = tangent_basis(x)
        xi = jnp.zeros((x.shape[0], x.shape[1] - 1), x.dtype)
        return jacobian_in(field, t, x, basis, xi)
