"""Matrices that satisfy a constraint whatever they are made of: symmetric, semidefinite, of given eigenvalues."""

from typing import ClassVar

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Real

from ..core.checks import finite, shaped
from ..core.lapack import inverse
from ._base import AbstractPointwise, AbstractSchedule, GivenSchedule, as_schedule
from ._factored import Factored, on_the_right
from ._in_file import InFile
from ._products import pair, times
from ._range import Range, float64, frobenius, times as times_bounds


def _square(value) -> AbstractSchedule:
    schedule = as_schedule("schedule", value)
    shaped("schedule", schedule.shape, ("d", "d"), ("heads", "d", "d"))
    return schedule


def _transposed(matrix: Array) -> Array:
    return jnp.swapaxes(matrix, -1, -2)


def _mean_with_transpose(matrix: Array) -> Array:
    return (matrix + _transposed(matrix)) / 2


class Symmetric(AbstractPointwise):
    r"""$M(t) = \tfrac12\,(S(t) + S(t)^\top)$: every symmetric matrix, and no other, exactly.

    Linear in $S$, so that gradient search over $S$ is a search over symmetric matrices.

    **Arguments:**

    - `schedule`: $S$, shape `(d, d)` or `(h, d, d)`; array or schedule.

    **Raises:**

    `ValueError` where the matrices are not square.

    ```python
    U = af.Symmetric(jax.random.normal(key, (3, 3)))
    ```
    """

    schedule: AbstractSchedule

    linear: ClassVar[bool] = True
    never_trained: ClassVar[tuple[str, ...]] = ()
    in_file: ClassVar[InFile | None] = InFile("symmetric", schedule="schedule")

    def __init__(self, schedule: GivenSchedule):
        self.schedule = _square(schedule)

    def at(self, S: Array) -> Array:
        return _mean_with_transpose(S)

    def bilinear(self, t: Real[ArrayLike, ""], x: Array, y: Array) -> Array:
        there, back = self.schedule.bilinear(t, x, y), self.schedule.bilinear(t, y, x)
        return (there + _transposed(back)) / 2

    def range_from(self, t0: float) -> Range:
        inner = self.schedule.range_from(t0)
        return Range(*((x + np.swapaxes(x, -1, -2)) / 2 for x in inner))

    def is_symmetric(self) -> bool:
        return True


class PositiveSemidefinite(AbstractSchedule):
    r"""$M(t) = S(t)^\top S(t)$: symmetric, with eigenvalues of zero or more, of rank $w$ at most.

    With $w = d$ every such matrix is one. As with [`Factored`][], nothing of size $d \times d$ is
    formed. A negative semidefinite matrix is `-af.PositiveSemidefinite(S)`. At $S = 0$ the gradient
    is zero: begin a search elsewhere.

    **Arguments:**

    - `schedule`: $S$, shape `(w, d)` or `(h, w, d)`; array or schedule.

    **Raises:**

    `ValueError` where it gives no matrices.

    ```python
    P = af.PositiveSemidefinite(jax.random.normal(key, (2, 3)))        # of rank two, in R^3
    ```
    """

    schedule: AbstractSchedule

    time_through_parts: ClassVar[bool] = True
    never_trained: ClassVar[tuple[str, ...]] = ()
    in_file: ClassVar[InFile | None] = InFile("positive-semidefinite", schedule="schedule")

    def __init__(self, schedule: GivenSchedule):
        self.schedule = as_schedule("schedule", schedule)
        shaped("schedule", self.schedule.shape, ("width", "d"), ("heads", "width", "d"))

    def __call__(self, t: Real[ArrayLike, ""]) -> Float[Array, "*heads d d"]:
        S = self.schedule(t)
        return jnp.matmul(_transposed(S), S)

    @property
    def frequency(self) -> Float[Array, ""] | None:
        """Twice that of $S$, as of the square of a sine."""
        inner = self.schedule.frequency
        return None if inner is None else 2 * inner

    @property
    def jump_times(self) -> Float[Array, " jumps"] | None:
        return self.schedule.jump_times

    def apply(self, t: Real[ArrayLike, ""], y: Array) -> Array:
        return jnp.matmul(self.schedule.apply(t, y), self.schedule(t).astype(y.dtype))

    def bilinear(self, t: Real[ArrayLike, ""], x: Array, y: Array) -> Array:
        return pair(self.schedule.apply(t, x), self.schedule.apply(t, y))

    def square_norm(self, t: Real[ArrayLike, ""]) -> Array:
        S = self.schedule(t)
        return jnp.sum(jnp.square(jnp.matmul(S, _transposed(S))), axis=(-2, -1))

    def congruence(self, left: Array, right: Array) -> AbstractSchedule:
        return Factored(on_the_right(self.schedule, left.T), on_the_right(self.schedule, right))

    def range_from(self, t0: float) -> Range:
        S = self.schedule.range_from(t0)
        return S.transposed @ S

    def is_symmetric(self) -> bool:
        return True


class FixedSpectrum(AbstractPointwise):
    r"""$M(t) = O(t)\,\mathrm{diag}(\lambda)\,O(t)^\top$: symmetric, with the eigenvalues $\lambda$ at every time.

    $O = (I - A)(I + A)^{-1}$ is the Cayley transform of the skew part $A = \tfrac12(S - S^\top)$:
    orthogonal, smooth in $S$, and the identity at $S = 0$, where $M = \mathrm{diag}(\lambda)$. It
    takes every rotation without the eigenvalue $-1$, which up to signs of eigenvectors is all of
    them, so every matrix with these eigenvalues has an $S$. Only $A$ matters: the gradient by the
    symmetric part of $S$ is zero. Eigenvalues are kept to rounding times $1 + \|A\|$.

    The eigenvalues are data like any other, and a gradient reaches them. To search over rotations
    alone, freeze them inside the loss:
    `eqx.tree_at(lambda m: m.eigenvalues, m, replace_fn=jax.lax.stop_gradient)`.

    **Arguments:**

    - `eigenvalues`: $\lambda$, shape `(d,)` or `(h, d)`, in any order; an array.
    - `schedule`: $S$, shape `(d, d)` or `(h, d, d)`; array or schedule.

    **Raises:**

    `ValueError` on matrices that are not square, or eigenvalues of another number or other heads.

    ```python
    U = af.FixedSpectrum([1.0, 0.2, -0.5], af.Sinusoid(jax.random.normal(key, (3, 3)), 0.1))
    ```
    """

    eigenvalues: Float[Array, "*heads d"]
    schedule: AbstractSchedule

    # The matrix turns twice as fast as its eigenvectors.
    degree: ClassVar[int] = 2
    never_trained: ClassVar[tuple[str, ...]] = ("eigenvalues",)
    in_file: ClassVar[InFile | None] = InFile(
        "fixed-spectrum", eigenvalues="array", schedule="schedule"
    )

    def __init__(self, eigenvalues: GivenSchedule, schedule: GivenSchedule):
        self.eigenvalues = finite("eigenvalues", eigenvalues)
        self.schedule = _square(schedule)
        values, matrices = self.eigenvalues.shape, self.schedule.shape
        *heads, d = matrices[:-1]
        if values != (d,) and not (
            len(values) == 2 and values[1] == d and heads in ([], [values[0]])
        ):
            allowed = f"({d},) or ({heads[0]}, {d})" if heads else f"({d},) or (heads, {d})"
            raise ValueError(
                f"`eigenvalues` must have shape {allowed} for matrices of shape {matrices}; "
                f"got {values}."
            )

    def at(self, S: Array) -> Array:
        A = (S - _transposed(S)) / 2
        eye = jnp.broadcast_to(jnp.eye(A.shape[-1], dtype=A.dtype), A.shape)
        rotation = 2 * inverse(eye + A) - eye
        columns = times(rotation, self.eigenvalues.astype(A.dtype)[..., None, :])
        return _mean_with_transpose(jnp.matmul(columns, _transposed(rotation)))

    def square_norm(self, t: Real[ArrayLike, ""]) -> Array:
        heads = self.shape[:-2]
        return jnp.broadcast_to(jnp.sum(jnp.square(self.eigenvalues), axis=-1), heads)

    def range_from(self, t0: float) -> Range:
        S, values = self.schedule.range_from(t0), float64(self.eigenvalues)
        shape = self.shape
        low, high = values.min(axis=-1)[..., None, None], values.max(axis=-1)[..., None, None]
        # O - O' moves by at most 2 |A - A'| (its derivative is -2 (I+A)^-1 dA (I+A)^-1, and I + A shrinks
        # nothing), and the eigenvalues lie within `half` of their middle, which no rotation moves.
        half = (high - low) / 2

        def moved(x: np.ndarray) -> np.ndarray:
            skew = frobenius((x + np.swapaxes(x, -1, -2)) / 2)
            return np.broadcast_to(times_bounds(4 * half, skew), shape)

        radius, slope = moved(S.radius), moved(S.slope)
        near = FixedSpectrum(self.eigenvalues, jnp.asarray(S.centre))
        if np.all(radius <= half):
            return Range(float64(near(0.0)), radius, slope)
        middle = np.broadcast_to((low + high) / 2 * np.eye(shape[-1]), shape)
        return Range(middle, np.broadcast_to(half, shape), slope)

    def is_symmetric(self) -> bool:
        return True
