"""Any schedule kept inside a ball of matrices, differentiably."""

from typing import ClassVar, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Real

from ..core.checks import check, choose, finite, shaped
from ..core.lapack import eigh
from ..core.types import Scalar
from ._base import AbstractPointwise, AbstractSchedule, Constant, GivenSchedule, Scaled, as_schedule
from ._in_file import InFile
from ._range import Range, float64, frobenius


class Bounded(AbstractPointwise):
    r"""$M(t)$ with $\|M(t)\| < b$: a smooth map of all matrices onto the open ball of radius $b$.

    Frobenius: $M = S\,(1 + \|S\|_F^2/b^2)^{-1/2}$. Spectral: $M = S\,(I + S^\top S/b^2)^{-1/2}$, which
    maps each singular value $s \mapsto s/\sqrt{1+s^2/b^2}$. Both are smooth everywhere, at zero and at
    equal singular values too, so that gradient search over $S$ is a search over the ball.
    The bound is for each head by itself.

    **Arguments:**

    - `schedule`: $S$, an array or schedule of matrices.
    - `bound`: $b > 0$.
    - `norm`: `"frobenius"` or `"spectral"` (an eigendecomposition an evaluation).
    """

    schedule: AbstractSchedule
    bound: Float[Array, ""]
    norm: str = eqx.field(static=True)

    # M is S (1 - |S|^2 / 2b^2 + ...): far inside the ball, of the third power and less.
    degree: ClassVar[int] = 3
    never_trained: ClassVar[tuple[str, ...]] = ("bound",)
    in_file: ClassVar[InFile | None] = InFile(
        "bounded",
        schedule="schedule",
        bound=float,
        norm=(Literal["frobenius", "spectral"], "frobenius"),
    )

    def __init__(self, schedule: GivenSchedule, bound: Scalar, norm: str = "frobenius"):
        self.schedule = as_schedule("schedule", schedule)
        if len(self.schedule.shape) < 2:
            raise ValueError(f"`schedule` must give matrices; got shape {self.schedule.shape}.")
        bound = finite("bound", bound)
        shaped("bound", bound.shape, ())
        self.bound = check(bound, lambda b: ~(b > 0), "`bound` must be positive; got zero or less.")
        self.norm = choose("norm", norm, ("frobenius", "spectral"))

    def at(self, S: Array) -> Array:
        scaled = S / self.bound.astype(S.dtype)
        if self.norm == "frobenius":
            return S * _shrinkage(jnp.sum(jnp.square(scaled), axis=(-2, -1), keepdims=True))
        return jnp.matmul(S, _inverse_root(jnp.matmul(jnp.swapaxes(scaled, -1, -2), scaled)))

    def congruence(self, left: Array, right: Array) -> AbstractSchedule:
        if self.norm == "spectral" or self.schedule.mapped(self.at) is not None:
            return super().congruence(left, right)
        inner = self.schedule.congruence(left, right)
        return Scaled(_Shrinkage(self.schedule, self.bound), inner)  # pyright: ignore

    def range_from(self, t0: float) -> Range:
        inner, bound = self.schedule.range_from(t0), float(self.bound)
        # The map into the ball has slopes of at most one in the Frobenius norm.
        radius, slope = frobenius(inner.radius), frobenius(inner.slope)
        if np.all(np.isfinite(radius)) and radius.max(initial=0) < bound:
            centre = Bounded(Constant(jnp.asarray(inner.centre)), self.bound, self.norm)
            return Range(float64(centre(0.0)), radius, slope)
        return Range(np.zeros_like(radius), np.full_like(radius, bound), slope)

    def is_symmetric(self) -> bool:
        return self.schedule.is_symmetric()


def _shrinkage(square: Array) -> Array:
    return 1 / jnp.sqrt(1 + square)


class _Shrinkage(AbstractSchedule):
    r"""$(1 + \|S(t)\|_F^2/b^2)^{-1/2}$, one number a head: what the Frobenius bound multiplies $S$ by."""

    schedule: AbstractSchedule
    bound: Float[Array, ""]

    time_through_parts: ClassVar[bool] = True
    never_trained: ClassVar[tuple[str, ...]] = ("bound",)

    def __call__(self, t: Real[ArrayLike, ""]) -> Float[Array, "..."]:
        square = self.schedule.square_norm(t)
        return _shrinkage(square / jnp.square(self.bound.astype(square.dtype)))

    @property
    def frequency(self) -> Float[Array, ""] | None:
        """Twice that of $S$, as of the square of a sine."""
        inner = self.schedule.frequency
        return None if inner is None else 2 * inner

    @property
    def jump_times(self) -> Float[Array, " jumps"] | None:
        return self.schedule.jump_times


@jax.custom_jvp
def _inverse_root(A: Array) -> Array:
    """$(I + A)^{-1/2}$ of a symmetric positive semidefinite $A$."""
    values, vectors = eigh(A)
    return jnp.matmul(vectors / jnp.sqrt(1 + values)[..., None, :], jnp.swapaxes(vectors, -1, -2))


@_inverse_root.defjvp
def _inverse_root_jvp(primals, tangents):
    # Daleckii-Krein: the derivative in the eigenbasis is the entrywise product with the divided
    # differences of f(x) = (1+x)^{-1/2}, which for roots p, q are -1/(p q (p + q)): no division by
    # a gap, hence right at equal eigenvalues, where the derivative of eigh itself is NaN.
    (A,), (dA,) = primals, tangents
    values, vectors = eigh(A)
    root = jnp.sqrt(1 + values)
    p, q = root[..., :, None], root[..., None, :]
    transposed = jnp.swapaxes(vectors, -1, -2)
    inner = jnp.matmul(jnp.matmul(transposed, dA), vectors) * (-1 / (p * q * (p + q)))
    out = jnp.matmul(vectors / root[..., None, :], transposed)
    return out, jnp.matmul(jnp.matmul(vectors, inner), transposed)
