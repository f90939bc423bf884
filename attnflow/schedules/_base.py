"""What a schedule is: a matrix that depends on time and says how fast it moves."""

import abc
from collections.abc import Sequence
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, Real

from .._checks import finite


class AbstractSchedule(eqx.Module):
    r"""A matrix that depends on time, $t \mapsto M(t)$: shape `(d, d)`, `(h, d, d)` or any other.

    A schedule also tells a step controller what it must not step over: the fastest `frequency`
    it contains, the `jump_times` at which it is discontinuous, and the `break_times` at which its
    smooth pieces meet. The products with tokens,
    `apply` and `bilinear`, are methods so that a structured schedule (a diagonal times a matrix,
    a low-rank factor) never forms its matrix.

    Schedules add (`s1 + s2`) and scale (`2.0 * s`, or by a scalar or per-head schedule, `c * s`).
    """

    # NumPy would add a schedule to each entry of an array on its left, and make an array of objects.
    __array_ufunc__: ClassVar[None] = None

    # Whether `bilinear` adds to the matrix's scores what no matrix holds, such as a bias of keys.
    adds_to_scores: ClassVar[bool] = False

    @abc.abstractmethod
    def __call__(self, t: Real[ArrayLike, ""]) -> Float[Array, "..."]:
        """$M(t)$."""

    @property
    @abc.abstractmethod
    def frequency(self) -> Float[Array, ""] | None:
        """The fastest frequency in cycles per unit of time; `None` where time does not oscillate it."""

    @property
    @abc.abstractmethod
    def jump_times(self) -> Float[Array, " jumps"] | None:
        """The times of discontinuity, of the value or its slope; `None` where there are none."""

    @property
    def break_times(self) -> Float[Array, " breaks"] | None:
        """The times where smooth pieces meet: `jump_times`, and where only a higher derivative jumps.

        A step across one loses its order, and its error estimate with it. Those of the schedules
        inside, unless a class knows better.
        """
        parts = [x for x in jax.tree.leaves(self, is_leaf=self._is_part) if self._is_part(x)]
        found = [part.break_times for part in parts] if parts else [self.jump_times]
        return joined(*found)

    def _is_part(self, x) -> bool:
        return isinstance(x, AbstractSchedule) and x is not self

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of $M(t)$."""
        return jax.eval_shape(self, jnp.zeros(())).shape

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

    def square_norm(self, t: Real[ArrayLike, ""]) -> Float[Array, "*heads"]:
        r"""$\|M(t)\|_F^2$ of matrices: one number, or one a head."""
        return jnp.sum(jnp.square(self(t)), axis=(-2, -1))

    def congruence(
        self, left: Float[Array, "newrows rows"], right: Float[Array, "cols newcols"]
    ) -> "AbstractSchedule":
        r"""The schedule $t \mapsto \text{left}\cdot M(t)\cdot\text{right}$, folded into constants where it can be."""
        from ._arithmetic import Congruent

        return Congruent(self, left, right)

    def __add__(self, other) -> "AbstractSchedule":
        from ._arithmetic import Sum

        return Sum(self, other)

    def __radd__(self, other) -> "AbstractSchedule":
        return self if isinstance(other, int) and other == 0 else self + other

    def __mul__(self, factor) -> "AbstractSchedule":
        from ._arithmetic import Scaled

        if isinstance(factor, AbstractSchedule) and len(factor.shape) > len(self.shape):
            return Scaled(self, factor)
        return Scaled(factor, self)

    def __rmul__(self, factor) -> "AbstractSchedule":
        return self * factor

    def __neg__(self) -> "AbstractSchedule":
        return self * -1.0

    def __sub__(self, other) -> "AbstractSchedule":
        return self + (-as_schedule("other", other))

    def __rsub__(self, other) -> "AbstractSchedule":
        return -self + other


class AbstractPointwise(AbstractSchedule):
    """A map of another schedule's values, time by time: $M(t) = f(S(t))$."""

    schedule: eqx.AbstractVar[AbstractSchedule]

    # The power of the values that $f$ is made of: a sine to the power n has n times its frequency.
    degree: ClassVar[int] = 1

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

    def congruence(self, left, right) -> AbstractSchedule:
        # The few values that these two ever take are mapped once, beforehand.
        from ._constant import Constant
        from ._tabulated import Piecewise

        inner = self.schedule
        if type(inner) is Constant:
            return Constant(self.at(inner.value)).congruence(left, right)
        if type(inner) is Piecewise:
            values = jax.vmap(self.at)(inner.values)
            return Piecewise(inner.times, values).congruence(left, right)
        return super().congruence(left, right)


def rows_times(y: Array, matrix: Array) -> Array:
    """$M y_j$ for rows $y_j$: `(tokens, cols)` by `(*heads, rows, cols)` to `(*heads, tokens, rows)`."""
    if matrix.ndim == 2:
        return y @ matrix.T
    # One product with the heads side by side: a matmul would copy the tokens for each head.
    return jnp.einsum("jd,hed->hje", y, matrix)


def pair(x: Array, y: Array) -> Array:
    """$x_i^\top y_j$ for `(*heads, tokens, d)` and `(*heads, others, d)`, heads on either or both."""
    if x.ndim == 2 and y.ndim == 3:
        return jnp.einsum("id,hjd->hij", x, y)
    if x.ndim == 3 and y.ndim == 2:
        return jnp.einsum("hid,jd->hij", x, y)
    return jnp.matmul(x, jnp.swapaxes(y, -1, -2))


def materialise(x: Array) -> Array:
    """`x`, computed once, although what uses it would fuse it in and compute it again.

    XLA's CPU compiler fuses `x` into a broadcast product `x[:, None] * y`, where it evaluates each
    sine of `x` once for every row of `y`, and it removes optimisation barriers. A product with a
    small identity matrix is exact, is not fused, and batches. (50 tokens in R^500, 2 heads: a
    diagonal of 1000 sines cost 0.45 ms an evaluation fused, 0.03 ms so.)
    """
    if x.size < 64:
        return x
    width = 8
    padded = jnp.pad(x.ravel(), (0, -x.size % width)).reshape(-1, width)
    eye = jnp.eye(width, dtype=x.dtype)
    same = jnp.matmul(padded, eye, precision=jax.lax.Precision.HIGHEST)
    return same.ravel()[: x.size].reshape(x.shape)


def as_schedule(name: str, value) -> AbstractSchedule:
    """`value` itself if it is a schedule, else a constant one; `name` is for the message."""
    from ._constant import Constant

    if isinstance(value, AbstractSchedule):
        return value
    if callable(value):
        raise ValueError(
            f"`{name}` must be an array or a schedule; got a function. Wrap it, with its fastest "
            "frequency: attnflow.Function(f, frequency=...)."
        )
    return Constant(finite(name, value))


def times(a: Array, b: Array) -> Array:
    """The entrywise product, the one of lower rank (no head axis) repeated over the other's first axes."""
    rank = max(a.ndim, b.ndim)
    return a.reshape((1,) * (rank - a.ndim) + a.shape) * b.reshape((1,) * (rank - b.ndim) + b.shape)


def kinked_parts(tree) -> list[AbstractSchedule]:
    """The schedules inside whose slope jumps at times that no list of theirs holds."""
    is_leaf = lambda x: isinstance(x, AbstractSchedule) and hasattr(x, "kinked")  # noqa: E731
    leaves = jax.tree.leaves(tree, is_leaf=is_leaf)
    return [leaf for leaf in leaves if getattr(leaf, "kinked", False)]


def of_matrix_alone(tree) -> bool:
    r"""Whether the scores of the schedules inside are $x_i^\top M(t)\, y_j$ and nothing more."""
    is_leaf = lambda x: isinstance(x, AbstractSchedule) and x.adds_to_scores  # noqa: E731
    return not any(is_leaf(leaf) for leaf in jax.tree.leaves(tree, is_leaf=is_leaf))


def fastest(*schedules: AbstractSchedule) -> Float[Array, ""] | None:
    """The largest of the schedules' frequencies, which is that of their sum; `None` where none has any."""
    found = _frequencies(schedules)
    return None if found is None else jnp.max(found)


def of_product(*schedules: AbstractSchedule) -> Float[Array, ""] | None:
    r"""The frequency of the schedules' product, the sum of theirs; `None` where none has any.

    $2\sin a\,\sin b = \cos(a-b) - \cos(a+b)$: a product moves as fast as its factors together.
    """
    found = _frequencies(schedules)
    return None if found is None else jnp.sum(found)


def _frequencies(schedules: Sequence[AbstractSchedule]) -> Float[Array, " found"] | None:
    found = [f for f in (s.frequency for s in schedules) if f is not None]
    if not found:
        return None
    return jnp.stack([jnp.asarray(f, jnp.result_type(float)) for f in found])


def all_jumps(*schedules: AbstractSchedule) -> Float[Array, " jumps"] | None:
    """The jump times of all the schedules together, `None` where none has any."""
    return joined(*(s.jump_times for s in schedules))


def all_breaks(*schedules: AbstractSchedule) -> Float[Array, " breaks"] | None:
    """The break times of all the schedules together, `None` where none has any."""
    return joined(*(s.break_times for s in schedules))


def joined(*times: Float[Array, "..."] | None) -> Float[Array, " all"] | None:
    """Lists of times as one, `None` where all of them are."""
    found = [t for t in times if t is not None]
    if not found:
        return None
    return jnp.concatenate([jnp.asarray(t, jnp.result_type(float)).ravel() for t in found])
