"""What a schedule is: a matrix that depends on time, its products with tokens, and its arithmetic.

Constants, sums, scalings and two-sided products are here as well: `+`, `*` and plain arrays make them
of any schedule. What a schedule knows of itself is in `_knowledge.py`.
"""

import abc
import math
from collections.abc import Callable, Iterable
from typing import Any, ClassVar, TypeAlias

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Real

from ..core.checks import check, finite, floating, is_concrete
from ..core.types import Numbers
from ._in_file import InFile
from ._knowledge import AbstractTimed
from ._lists import all_jumps, fastest, of_product
from ._products import from_mean, norms, pair, rows_times, times
from ._range import Range, same_transposed

_MOST_LOOKED_AT = 80_000_000  # numbers of the matrices of some times


class AbstractSchedule(AbstractTimed):
    r"""A matrix that depends on time, $t \mapsto M(t)$: shape `(d, d)`, `(h, d, d)` or any other.

    A schedule also tells a step controller what it must not step over: the fastest `frequency`
    it contains, the `jump_times` at which it is discontinuous, and the `break_times` at which its
    smooth pieces meet. The products with tokens,
    `apply` and `bilinear`, are methods so that a structured schedule (a diagonal times a matrix,
    a low-rank factor) never forms its matrix.

    Schedules add (`s1 + s2`) and scale (`2.0 * s`, or by a scalar or per-head schedule, `c * s`).

    A class of your own gives `__call__`, `frequency` and `jump_times`. What else is asked of it has
    defaults that claim nothing: bounds for theorems (`range_from`, `is_constant`, `is_symmetric`), what a
    search may change (`never_trained`), how it stands in a file (`in_file`).
    """

    # NumPy would add a schedule to each entry of an array on its left, and make an array of objects.
    __array_ufunc__: ClassVar[None] = None

    def apply(
        self, t: Real[ArrayLike, ""], y: Float[Array, "tokens cols"]
    ) -> Float[Array, "*heads tokens rows"]:
        """$M(t) y_j$ for every token: shape `(tokens, rows)`, with a leading head axis if $M$ has one."""
        return rows_times(y, self(t).astype(y.dtype))

    def bilinear(
        self,
        t: Real[ArrayLike, ""],
        x: Float[Array, "tokens rows"],
        y: Float[Array, "others cols"],
    ) -> Float[Array, "*heads tokens others"]:
        r"""$x_i^\top M(t)\, y_j$ for every pair of tokens."""
        return pair(x, self.apply(t, y))

    def forms_matrix(self, tokens: int) -> bool:
        """Whether `bilinear` of so many tokens works out $M(t)$; what is worked at one time twice may be kept."""
        kind = type(self)
        as_here = (
            kind.apply is AbstractSchedule.apply and kind.bilinear is AbstractSchedule.bilinear
        )
        return as_here and not self.is_constant()

    def square_norm(self, t: Real[ArrayLike, ""]) -> Float[Array, "*heads"]:
        r"""$\|M(t)\|_F^2$ of matrices: one number, or one a head."""
        return jnp.sum(jnp.square(self(t)), axis=(-2, -1))

    def swing(self, times: Float[Array, " n"]) -> Float[Array, ""]:
        r"""How far a matrix moves: the largest $\|M(t) - \bar M\|$ at some times, as a power method finds it.

        Of large matrices at fewer of them: no more than some hundreds of megabytes are made.
        """
        number = max(2, min(len(times), _MOST_LOOKED_AT // max(1, math.prod(self.shape))))
        return jnp.max(norms(from_mean(self, times[:number])))

    def congruence(
        self, left: Float[Array, "newrows rows"], right: Float[Array, "cols newcols"]
    ) -> "AbstractSchedule":
        r"""The schedule $t \mapsto \text{left}\cdot M(t)\cdot\text{right}$, folded into constants where it can be."""
        return Congruent(self, left, right)

    def __add__(self, other: "AbstractSchedule | Numbers") -> "AbstractSchedule":
        return Sum(self, other)

    def __radd__(self, other: "AbstractSchedule | Numbers") -> "AbstractSchedule":
        return self if isinstance(other, int) and other == 0 else self + other

    def __mul__(self, factor: "AbstractSchedule | Numbers") -> "AbstractSchedule":
        if isinstance(factor, AbstractSchedule) and len(factor.shape) > len(self.shape):
            return Scaled(self, factor)
        return Scaled(factor, self)

    def __rmul__(self, factor: "AbstractSchedule | Numbers") -> "AbstractSchedule":
        return self * factor

    def __neg__(self) -> "AbstractSchedule":
        return self * -1.0

    def __sub__(self, other: "AbstractSchedule | Numbers") -> "AbstractSchedule":
        return self + (-as_schedule("other", other))

    def __rsub__(self, other: "AbstractSchedule | Numbers") -> "AbstractSchedule":
        return -self + other


# What is taken where a schedule is: an array or number is a constant one.
GivenSchedule: TypeAlias = AbstractSchedule | Numbers


class AbstractPointwise(AbstractSchedule):
    """A map of another schedule's values, time by time: $M(t) = f(S(t))$."""

    schedule: eqx.AbstractVar[AbstractSchedule]

    # The power of the values that $f$ is made of: a sine to the power n has n times its frequency.
    degree: ClassVar[int] = 1
    # Whether $f$ is linear, so that it may be applied to coefficients.
    linear: ClassVar[bool] = False
    time_through_parts: ClassVar[bool] = True

    @abc.abstractmethod
    def at(self, S: Array) -> Array:
        """$f(S)$."""

    def __call__(self, t: Real[ArrayLike, ""]) -> Float[Array, "..."]:
        return self.at(self.schedule(t))

    @property
    def frequency(self) -> Float[Array, ""] | None:
        """That of $S$, times the power of its values that the map is made of."""
        inner = self.schedule.frequency
        return None if inner is None else self.degree * inner

    @property
    def jump_times(self) -> Float[Array, " jumps"] | None:
        return self.schedule.jump_times

    def congruence(self, left: Array, right: Array) -> AbstractSchedule:
        # The few values that some schedules ever take are mapped once, beforehand.
        inner = self.schedule.mapped(self.at, linear=self.linear)
        return (super() if inner is None else inner).congruence(left, right)


class Constant(AbstractSchedule):
    r"""$M(t) = M$. A plain array given where a schedule is expected becomes one.

    **Arguments:**

    - `value`: any real array; integers become floats.
    """

    value: Float[Array, "..."]

    never_trained: ClassVar[tuple[str, ...]] = ()
    in_file: ClassVar[InFile | None] = InFile("constant", value="numbers")

    def __init__(self, value: Real[ArrayLike, "..."]):
        value = floating("value", value)
        if is_concrete(value):  # a run-time check would cost every compiled program that builds one
            check(value, lambda v: ~np.isfinite(v), "`value` must be finite; got inf or NaN.")
        self.value = value

    def __call__(self, t: Real[ArrayLike, ""]) -> Float[Array, "..."]:
        return self.value

    @property
    def frequency(self) -> None:
        return None

    @property
    def jump_times(self) -> None:
        return None

    def congruence(self, left: Array, right: Array) -> AbstractSchedule:
        # The large matrix first, as it lies in memory: the other order copies it, transposed.
        return Constant(left @ (self.value @ right))

    def is_constant(self) -> bool:
        return True

    def is_symmetric(self) -> bool:
        return same_transposed(self.value)

    def angular_frequencies(self) -> np.ndarray:
        return np.zeros(0)

    def mapped(self, f: Callable[[Array], Array], linear: bool = False) -> "Constant":
        return Constant(f(self.value))

    def as_table(self) -> Any:
        """Plain numbers, which stand for a constant wherever a table may."""
        return super().as_table()["value"]


class Sum(AbstractSchedule):
    r"""$M(t) = \sum_m M_m(t)$, of schedules or arrays of one shape."""

    terms: tuple[AbstractSchedule, ...]

    time_through_parts: ClassVar[bool] = True
    never_trained: ClassVar[tuple[str, ...]] = ()
    in_file: ClassVar[InFile | None] = InFile("sum", terms="schedules")

    def __init__(self, *terms: GivenSchedule):
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

    @classmethod
    def from_table(cls, terms: Iterable[GivenSchedule]) -> "Sum":
        return cls(*terms)

    def __call__(self, t: Real[ArrayLike, ""]) -> Float[Array, "..."]:
        return sum(term(t) for term in self.terms)  # pyright: ignore[reportReturnType]

    @property
    def frequency(self) -> Float[Array, ""] | None:
        return fastest(*self.terms)

    @property
    def jump_times(self) -> Float[Array, " jumps"] | None:
        return all_jumps(*self.terms)

    def apply(self, t: Real[ArrayLike, ""], y: Array) -> Array:
        return sum(term.apply(t, y) for term in self.terms)  # pyright: ignore[reportReturnType]

    def bilinear(self, t: Real[ArrayLike, ""], x: Array, y: Array) -> Array:
        return sum(term.bilinear(t, x, y) for term in self.terms)  # pyright: ignore[reportReturnType]

    def congruence(self, left: Array, right: Array) -> AbstractSchedule:
        return Sum(*(term.congruence(left, right) for term in self.terms))

    def range_from(self, t0: float) -> Range:
        parts = [term.range_from(t0) for term in self.terms]
        return Range(*(sum(columns) for columns in zip(*parts, strict=True)))  # pyright: ignore

    def is_symmetric(self) -> bool:
        return all(term.is_symmetric() for term in self.terms)


class Scaled(AbstractSchedule):
    r"""$M(t) = c(t)\, S(t)$ with $c$ a scalar, or one number a head.

    **Arguments:**

    - `coefficient`: a number, an `(h,)` array, or a schedule of either.
    - `schedule`: an array or schedule; with an `(h,)` coefficient its first axis is the heads'.
    """

    coefficient: AbstractSchedule
    schedule: AbstractSchedule

    time_through_parts: ClassVar[bool] = True
    never_trained: ClassVar[tuple[str, ...]] = ()
    in_file: ClassVar[InFile | None] = InFile("scaled", coefficient="schedule", schedule="schedule")

    def __init__(self, coefficient: GivenSchedule, schedule: GivenSchedule):
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

    def apply(self, t: Real[ArrayLike, ""], y: Array) -> Array:
        return self._times(t, self.schedule.apply(t, y), rank=2)

    def bilinear(self, t: Real[ArrayLike, ""], x: Array, y: Array) -> Array:
        return self._times(t, self.schedule.bilinear(t, x, y), rank=2)

    def swing(self, times: Float[Array, " n"]) -> Float[Array, ""]:
        """A number times a constant swings as the number does: one matrix is looked at, not one for each time."""
        if not self.schedule.is_constant():
            return super().swing(times)
        # Of each head, or of all.
        far = jnp.max(jnp.abs(from_mean(self.coefficient, times)), axis=0)
        return jnp.max(far * norms(self.schedule(times[0]).astype(times.dtype)))

    def congruence(self, left: Array, right: Array) -> AbstractSchedule:
        return Scaled(self.coefficient, self.schedule.congruence(left, right))

    def range_from(self, t0: float) -> Range:
        c, s = self.coefficient.range_from(t0), self.schedule.range_from(t0)
        if c.centre.ndim == 1 and s.centre.ndim == 2:  # one number a head, one matrix for all
            s = s.aligned(3, front=True)
        return c.aligned(s.centre.ndim) * s

    def is_symmetric(self) -> bool:
        return self.schedule.is_symmetric()


class Congruent(AbstractSchedule):
    r"""$M(t) = A\, S(t)\, B$ for a schedule whose constants cannot absorb $A$ and $B$.

    **Arguments:**

    - `schedule`: $S$, matrices of shape `(rows, cols)` with or without a head axis.
    - `left`, `right`: $A$, shape `(newrows, rows)`, and $B$, shape `(cols, newcols)`.
    """

    schedule: AbstractSchedule
    left: Float[Array, "newrows rows"]
    right: Float[Array, "cols newcols"]

    time_through_parts: ClassVar[bool] = True
    never_trained: ClassVar[tuple[str, ...]] = ()

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

    def apply(self, t: Real[ArrayLike, ""], y: Array) -> Array:
        return self.schedule.apply(t, y @ self.right.T.astype(y.dtype)) @ self.left.T.astype(
            y.dtype
        )

    def bilinear(self, t: Real[ArrayLike, ""], x: Array, y: Array) -> Array:
        return self.schedule.bilinear(
            t, x @ self.left.astype(x.dtype), y @ self.right.T.astype(y.dtype)
        )

    def congruence(self, left: Array, right: Array) -> AbstractSchedule:
        return Congruent(self.schedule, left @ self.left, self.right @ right)

    def range_from(self, t0: float) -> Range:
        return Range.constant(self.left) @ self.schedule.range_from(t0) @ Range.constant(self.right)


def as_schedule(name: str, value: GivenSchedule) -> AbstractSchedule:
    """`value` itself if it is a schedule, else a constant one; `name` is for the message."""
    if isinstance(value, AbstractSchedule):
        return value
    if callable(value):
        raise ValueError(
            f"`{name}` must be an array or a schedule; got a function. Wrap it, with its fastest "
            "frequency: attnflow.Function(f, frequency=...)."
        )
    return Constant(finite(name, value))
