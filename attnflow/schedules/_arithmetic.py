"""Sums, scalings and two-sided products of schedules."""

import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, Real

from ._base import AbstractSchedule, all_jumps, as_schedule, fastest, of_product, times


class Sum(AbstractSchedule):
    r"""$M(t) = \sum_m M_m(t)$, of schedules or arrays of one shape."""

    terms: tuple[AbstractSchedule, ...]

    def __init__(self, *terms):
        if not terms:
            raise ValueError("`terms` must name at least one schedule; got none.")
        flat: list[AbstractSchedule] = []
        for term in terms:
            term = as_schedule("terms", term)
            flat.extend(term.terms if isinstance(term, Sum) else (term,))
        shapes = {term.shape for term in flat}
        if len(shapes) > 1:
            raise ValueError(f"`terms` must have one shape; got {sorted(shapes)}.")
        self.terms = tuple(flat)

    def __call__(self, t: Real[ArrayLike, ""]) -> Float[Array, "..."]:
        return sum(term(t) for term in self.terms)  # pyright: ignore[reportReturnType]

    @property
    def frequency(self) -> Float[Array, ""] | None:
        return fastest(*self.terms)

    @property
    def jump_times(self) -> Float[Array, " jumps"] | None:
        return all_jumps(*self.terms)

    def apply(self, t, y):
        return sum(term.apply(t, y) for term in self.terms)

    def bilinear(self, t, x, y):
        return sum(term.bilinear(t, x, y) for term in self.terms)

    def congruence(self, left, right) -> AbstractSchedule:
        return Sum(*(term.congruence(left, right) for term in self.terms))


class Scaled(AbstractSchedule):
    r"""$M(t) = c(t)\, S(t)$ with $c$ a scalar, or one number a head.

    **Arguments:**

    - `coefficient`: a number, an `(h,)` array, or a schedule of either.
    - `schedule`: an array or schedule; with an `(h,)` coefficient its first axis is the heads'.
    """

    coefficient: AbstractSchedule
    schedule: AbstractSchedule

    def __init__(self, coefficient, schedule):
        self.coefficient = as_schedule("coefficient", coefficient)
        self.schedule = as_schedule("schedule", schedule)
        c, s = self.coefficient.shape, self.schedule.shape
        if c != () and c != s[:1] and not (len(c) == 1 and len(s) == 2):
            raise ValueError(
                f"`coefficient` must be a scalar or have shape (heads,) matching the schedule's "
                f"{s}; got {c}."
            )

    def _times(self, t, values: Array, rank: int) -> Array:
        c = self.coefficient(t).astype(values.dtype)
        if c.ndim == 0:
            return c * values
        heads = values.ndim > rank
        c = c.reshape(c.shape + (1,) * (values.ndim - heads))
        return times(c, values)

    def __call__(self, t: Real[ArrayLike, ""]) -> Float[Array, "..."]:
        values = self.schedule(t)
        return self._times(t, values, rank=2 if len(self.schedule.shape) == 2 else values.ndim - 1)

    @property
    def frequency(self) -> Float[Array, ""] | None:
        """The two frequencies together, as of a product of sines."""
        return of_product(self.coefficient, self.schedule)

    @property
    def jump_times(self) -> Float[Array, " jumps"] | None:
        return all_jumps(self.coefficient, self.schedule)

    def apply(self, t, y):
        return self._times(t, self.schedule.apply(t, y), rank=2)

    def bilinear(self, t, x, y):
        return self._times(t, self.schedule.bilinear(t, x, y), rank=2)

    def congruence(self, left, right) -> AbstractSchedule:
        return Scaled(self.coefficient, self.schedule.congruence(left, right))


class Congruent(AbstractSchedule):
    r"""$M(t) = A\, S(t)\, B$ for a schedule whose constants cannot absorb $A$ and $B$.

    **Arguments:**

    - `schedule`: $S$, matrices of shape `(rows, cols)` with or without a head axis.
    - `left`, `right`: $A$, shape `(newrows, rows)`, and $B$, shape `(cols, newcols)`.
    """

    schedule: AbstractSchedule
    left: Float[Array, "newrows rows"]
    right: Float[Array, "cols newcols"]

    def __call__(self, t: Real[ArrayLike, ""]) -> Float[Array, "..."]:
        matrix = self.schedule(t)
        return jnp.matmul(
            jnp.matmul(self.left.astype(matrix.dtype), matrix), self.right.astype(matrix.dtype)
        )

    @property
    def frequency(self) -> Float[Array, ""] | None:
        return self.schedule.frequency

    @property
    def jump_times(self) -> Float[Array, " jumps"] | None:
        return self.schedule.jump_times

    def apply(self, t, y):
        return self.schedule.apply(t, y @ self.right.T.astype(y.dtype)) @ self.left.T.astype(
            y.dtype
        )

    def bilinear(self, t, x, y):
        return self.schedule.bilinear(
            t, x @ self.left.astype(x.dtype), y @ self.right.T.astype(y.dtype)
        )

    def congruence(self, left, right) -> AbstractSchedule:
        return Congruent(self.schedule, left @ self.left, self.right @ right)
