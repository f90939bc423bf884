"""Exact changes of coordinates of a field: whitening, and the span of the starting tokens.

Both are the same flow, to rounding, at less cost. Which one applies is decided from types and
shapes, never from values, so the decision is the same under `jit` and `vmap`.
"""

import abc
import copy
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..core.checks import choose, instance, is_concrete
from ..core.lapack import cholesky, solve_lower
from ..geometry import AbstractManifold, Ellipsoid, Sphere
from ..schedules import AbstractSchedule, ScaledIdentity


class AbstractField(eqx.Module):
    """The parts of a field that a change of coordinates changes; `AttentionField` has others."""

    manifold: eqx.AbstractVar[AbstractManifold]
    P: eqx.AbstractVar[AbstractSchedule]
    U: eqx.AbstractVar[AbstractSchedule | None]
    drift: eqx.AbstractVar[Callable[..., Array] | None]


_Field = TypeVar("_Field", bound=AbstractField)


class AbstractLift(eqx.Module):
    """The way back from reduced coordinates to tokens."""

    name: eqx.AbstractVar[str]

    @abc.abstractmethod
    def __call__(self, x: Float[Array, "tokens reduced"]) -> Float[Array, "tokens dim"]:
        """Tokens, from reduced coordinates."""


class Identity(AbstractLift):
    """No change of coordinates."""

    name: str = eqx.field(static=True, default="none")

    def __call__(self, x: Any) -> Any:
        return x


class Unwhiten(AbstractLift):
    r"""$y = L^{-\top} x$, row by row."""

    manifold: AbstractManifold
    name: str = eqx.field(static=True, default="whitening")

    def __call__(self, x: Any) -> Any:
        return self.manifold.unwhiten(x)


class Combine(AbstractLift):
    r"""$y = C B$: tokens as combinations of the rows of a basis $B$."""

    basis: Float[Array, "reduced dim"]
    name: str = eqx.field(static=True, default="span")

    def __call__(self, x: Any) -> Any:
        return jnp.matmul(x, self.basis, precision=jax.lax.Precision.HIGHEST)


class Reduction(NamedTuple):
    """A field and start in reduced coordinates, and the lift back."""

    field: AbstractField  # of the kind that was reduced
    y0: Float[Array, "tokens reduced"]
    lift: AbstractLift


class Quadric(AbstractManifold):
    r"""$\{x : x^\top W x = 1\}$ of a positive *semi*definite $W$, kept as it is.

    The manifold of span coordinates: $W = B W_0 B^\top$ is singular to rounding where starting
    tokens are dependent, so it has no Cholesky factor; the flow never moves along its null space.
    """

    form: Float[Array, "dim dim"]

    @property
    def dim(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.form.shape[-1]

    @property
    def W(self) -> Float[Array, "dim dim"]:
        return self.form

    def lower(self, x: Any) -> Any:
        return x @ self.form.astype(x.dtype)

    def whiten(self, y: Any) -> Array:
        raise TypeError("span coordinates have no whitening; lift them to tokens first.")

    def unwhiten(self, x: Any) -> Array:
        raise TypeError("span coordinates have no whitening; lift them to tokens first.")


class WhitenedDrift(eqx.Module):
    """A drift of tokens in whitened coordinates."""

    drift: eqx.Module
    manifold: AbstractManifold

    def __call__(self, t: Any, x: Any, args: Any = None) -> Any:
        return self.manifold.whiten(self.drift(t, self.manifold.unwhiten(x), args))  # pyright: ignore


def keeps_span(field: AbstractField) -> bool:
    """Whether the field's *type* keeps tokens in the span of their start: every value a multiple of I."""
    U = field.U
    return field.drift is None and (U is None or U.identity_coefficient() is not None)


def reduce(field: AbstractField, y0: Float[Array, "tokens dim"], *, how: str = "auto") -> Reduction:
    r"""The flow of `field` from `y0` in cheaper coordinates, exactly.

    - *Span*, where every $U_\eta$ is a multiple of the identity (by its type) and $\ell < d$: tokens stay
      in the span of `y0`. With $B = A\,Y_0$, $y = CB$, the state $C$ is `(tokens, tokens)`, lives on the
      ellipsoid of $BWB^\top$ and moves by $BP(t)B^\top$. $A$ is any constant invertible matrix; taken is
      the inverse Cholesky factor of $Y_0WY_0^\top + \varepsilon I$ without its gradient. (An orthonormal
      basis from QR gives wrong gradients where starting tokens coincide.)
    - *Whitening*, else on an ellipsoid: $x = L^\top y$ lives on the sphere, with
      $P \to L^{-1}PL^{-\top}$, $U \to L^\top U L^{-\top}$.
    - Nothing, else.

    **Arguments:**

    - `field`, `y0`: the flow and its start, shape `(tokens, dim)`, on the manifold.
    - `how`: `"auto"`, `"span"`, `"whitening"` or `"none"`.

    **Returns:**

    `Reduction(field, y0, lift)`; `lift(x)` are tokens, `lift.name` says what was done.

    **Raises:**

    `ValueError` where a reduction asked for by name does not apply.
    """
    instance("field", field, AbstractField, "an AttentionField")
    choose("how", how, ("auto", "span", "whitening", "none"))
    y0 = field.manifold.check_rows("y0", y0) if is_concrete(y0) else y0
    tokens, dim = y0.shape
    span = keeps_span(field) and isinstance(field.manifold, Sphere | Ellipsoid)
    if how == "span" and not isinstance(field.manifold, Sphere | Ellipsoid):
        raise ValueError(
            f"`how`='span' needs a Sphere or an Ellipsoid; got {type(field.manifold).__name__}."
        )
    if how == "span" and not span:
        raise ValueError(
            "`how`='span' needs values that are multiples of the identity (U=None or ScaledIdentity) "
            f"and no drift; got U of type {type(field.U).__name__}."
        )
    if how == "whitening" and not isinstance(field.manifold, Ellipsoid):
        raise ValueError(
            f"`how`='whitening' needs an Ellipsoid; got {type(field.manifold).__name__}."
        )
    if how == "span" or (how == "auto" and span and tokens < dim):
        return _span(field, y0)
    if how == "whitening" or (how == "auto" and isinstance(field.manifold, Ellipsoid)):
        return _whiten(field, y0)
    return Reduction(field, y0, Identity())


def _replace(field: _Field, **changes) -> _Field:
    # A copy with other parts; the parts are consistent by construction and checked no further.
    new = copy.copy(field)
    for name, value in changes.items():
        object.__setattr__(new, name, value)
    return new


def _whiten(field: AbstractField, y0: Array) -> Reduction:
    manifold = field.manifold
    assert isinstance(manifold, Ellipsoid)
    L = manifold.factor
    eye = jnp.eye(manifold.dim, dtype=L.dtype)
    with jax.default_matmul_precision("highest"):
        inverse = solve_lower(L, eye)
        changes = {"manifold": Sphere(manifold.dim), "P": field.P.congruence(inverse, inverse.T)}
        if field.U is not None and field.U.identity_coefficient() is None:
            changes["U"] = field.U.congruence(L.T, inverse.T)
        if field.drift is not None:
            changes["drift"] = WhitenedDrift(field.drift, manifold)  # pyright: ignore
        return Reduction(_replace(field, **changes), manifold.whiten(y0), Unwhiten(manifold))  # pyright: ignore[reportCallIssue]


def _span(field: AbstractField, y0: Array) -> Reduction:
    tokens = y0.shape[0]
    eye = jnp.eye(tokens, dtype=y0.dtype)
    with jax.default_matmul_precision("highest"):
        fixed = jax.lax.stop_gradient(y0)
        gram = fixed @ jax.lax.stop_gradient(field.manifold).lower(fixed).T
        jitter = jnp.finfo(y0.dtype).eps ** 0.5
        C0 = cholesky(gram + jitter * eye)
        basis = solve_lower(C0, y0)
        form = basis @ field.manifold.lower(basis).T
        changes = {
            "manifold": Quadric((form + form.T) / 2),  # pyright: ignore[reportCallIssue]
            "P": field.P.congruence(basis, basis.T),
        }
        if field.U is not None:
            changes["U"] = ScaledIdentity(field.U.identity_coefficient(), tokens)
        return Reduction(_replace(field, **changes), C0, Combine(basis))  # pyright: ignore[reportCallIssue]
