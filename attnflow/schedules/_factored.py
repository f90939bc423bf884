"""Low-rank heads, QᵀK, used without forming a d by d matrix."""

from typing import ClassVar

import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, Real

from ._base import AbstractSchedule, GivenSchedule, as_schedule
from ._in_file import InFile
from ._lists import all_jumps, of_product
from ._products import pair
from ._range import Range


class Factored(AbstractSchedule):
    r"""$M(t) = Q(t)^\top K(t)$ with $Q, K \in \mathbb{R}^{w \times d}$: a head of width $w$ (paper, section 2).

    Logits are $\langle Q y_i, K y_j\rangle$, so nothing of size $d \times d$ is formed. A value matrix
    $U = W V$ with $W \in \mathbb{R}^{d\times w}$ is `Factored(W.T, V)`.

    **Arguments:**

    - `Q`: shape `(w, d)` or `(h, w, d)`; array or schedule.
    - `K`: the same shape up to its last axis; array or schedule.
    """

    Q: AbstractSchedule
    K: AbstractSchedule

    time_through_parts: ClassVar[bool] = True
    never_trained: ClassVar[tuple[str, ...]] = ()
    in_file: ClassVar[InFile | None] = InFile("factored", Q="schedule", K="schedule")

    def __init__(self, Q: GivenSchedule, K: GivenSchedule):
        self.Q = as_schedule("Q", Q)
        self.K = as_schedule("K", K)
        q, k = self.Q.shape, self.K.shape
        if len(q) not in (2, 3) or len(q) != len(k) or q[:-1] != k[:-1]:
            raise ValueError(
                "`Q` and `K` must have shapes (width, d) or (heads, width, d) with one width and "
                f"one number of heads; got {q} and {k}."
            )

    def __call__(self, t: Real[ArrayLike, ""]) -> Float[Array, "*heads d d"]:
        return jnp.matmul(jnp.swapaxes(self.Q(t), -1, -2), self.K(t))

    @property
    def frequency(self) -> Float[Array, ""] | None:
        """The two frequencies together, as of a product of sines."""
        return of_product(self.Q, self.K)

    @property
    def jump_times(self) -> Float[Array, " jumps"] | None:
        return all_jumps(self.Q, self.K)

    def apply(self, t: Real[ArrayLike, ""], y: Array) -> Array:
        return jnp.matmul(self.K.apply(t, y), self.Q(t).astype(y.dtype))

    def bilinear(self, t: Real[ArrayLike, ""], x: Array, y: Array) -> Array:
        return pair(self.Q.apply(t, x), self.K.apply(t, y))

    def square_norm(self, t: Real[ArrayLike, ""]) -> Array:
        # tr(K'Q Q'K), from matrices of the head's width.
        Q, K = self.Q(t), self.K(t)
        gram = lambda m: jnp.matmul(m, jnp.swapaxes(m, -1, -2))  # noqa: E731
        return jnp.sum(gram(Q) * gram(K), axis=(-2, -1))

    def congruence(self, left: Array, right: Array) -> AbstractSchedule:
        return Factored(on_the_right(self.Q, left.T), on_the_right(self.K, right))

    def range_from(self, t0: float) -> Range:
        return self.Q.range_from(t0).transposed @ self.K.range_from(t0)


def on_the_right(schedule: AbstractSchedule, right: Array) -> AbstractSchedule:
    r"""$t \mapsto M(t) \cdot \text{right}$."""
    return schedule.congruence(jnp.eye(schedule.shape[-2], dtype=right.dtype), right)
