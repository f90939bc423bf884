"""A matrix seen by tokens that a linear flow carries along: scores in coordinates that move."""

import math
from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, Real

from ..core.checks import finite, shaped
from ..core.types import Numbers, Scalar
from ._base import AbstractSchedule, GivenSchedule, as_schedule
from ._in_file import InFile

_SQUARINGS = 13
# Of the Taylor polynomial of degree 12, four by four; its remainder at a quarter is below 1e-17.
_TAYLOR = [[1 / math.factorial(4 * k + m) for m in range(4)] for k in range(3)]


class Carried(AbstractSchedule):
    r"""$M(t) = e^{tR^\top} S(t)\, e^{tR}$: the scores $S$ of tokens $e^{tR}z$, in terms of $z$.

    Scores are computed of the carried tokens, and the matrix is not formed for them. The exponential
    is the Taylor polynomial of degree 12 of $tR/2^s$, squared $s$ times, for $|tR|_1$ up to 2000; the entries of
    $e^{tR}$ and of scores overflow before that.

    **Arguments:**

    - `schedule`: $S$, `(d, d)` or `(h, d, d)`.
    - `generator`: $R$, a matrix `(d, d)` or a number $r$ for $rI$; it does not depend on time.

    **Raises:**

    `ValueError` on shapes that do not fit.

    ```python
    scores = af.schedules.Carried(jnp.eye(2), 0.5)
    scores(2.0)                                              # e^2 I
    ```
    """

    schedule: AbstractSchedule
    generator: Float[Array, "..."]

    never_trained: ClassVar[tuple[str, ...]] = ("generator",)
    in_file: ClassVar[InFile | None] = InFile("carried", schedule="schedule", generator="numbers")

    def __init__(self, schedule: GivenSchedule, generator: Numbers):
        self.schedule = as_schedule("schedule", schedule)
        self.generator = finite("generator", generator)
        shape = self.schedule.shape
        shaped("schedule", shape, ("d", "d"), ("heads", "d", "d"))
        shaped("generator", self.generator.shape, (), shape[-2:])

    def carry(
        self, t: Real[ArrayLike, ""], z: Float[Array, "tokens dim"]
    ) -> Float[Array, "tokens dim"]:
        r"""$e^{tR} z_i$ for every token."""
        t = jnp.asarray(t, z.dtype)
        R = self.generator.astype(z.dtype)
        if R.ndim == 0:
            return jnp.exp(t * R) * z
        return jnp.matmul(z, exponential(t * R).T, precision=jax.lax.Precision.HIGHEST)

    def __call__(self, t: Real[ArrayLike, ""]) -> Float[Array, "*heads dim dim"]:
        S = self.schedule(t)
        tR = jnp.asarray(t, S.dtype) * self.generator.astype(S.dtype)
        if tR.ndim == 0:
            return jnp.exp(2 * tR) * S
        E = exponential(tR)
        return jnp.matmul(jnp.matmul(E.T, S), E)

    @property
    def frequency(self) -> Float[Array, ""] | None:
        return self.schedule.frequency

    @property
    def jump_times(self) -> Float[Array, " jumps"] | None:
        return self.schedule.jump_times

    def apply(self, t: Scalar, y: Array) -> Array:
        S = self.schedule.apply(t, self.carry(t, y))
        tR = jnp.asarray(t, y.dtype) * self.generator.astype(y.dtype)
        return jnp.exp(tR) * S if tR.ndim == 0 else jnp.matmul(S, exponential(tR))

    def bilinear(self, t: Scalar, x: Array, y: Array) -> Array:
        return self.schedule.bilinear(t, self.carry(t, x), self.carry(t, y))


def exponential(A: Float[Array, "n n"]) -> Float[Array, "n n"]:
    """The exponential of a matrix, by products alone: it batches, and differentiates, as they do.

    (That of SciPy solves a linear system in each lane of a batch, as libraries of threads do not like.)
    """
    size = jax.lax.stop_gradient(jnp.max(jnp.sum(jnp.abs(A), axis=0)))
    # |A| / 2^s is at most a quarter.
    s = jnp.clip(jnp.frexp(4 * size)[1], 0, _SQUARINGS)
    small = jnp.ldexp(A, jnp.broadcast_to(-s, A.shape))
    eye = jnp.eye(A.shape[0], dtype=A.dtype)
    with jax.default_matmul_precision("highest"):
        square = jnp.matmul(small, small)
        powers = [eye, small, square, jnp.matmul(square, small)]
        fourth = jnp.matmul(square, square)
        low, middle, high = [
            sum(c * M for c, M in zip(row, powers, strict=True)) for row in _TAYLOR
        ]
        out = jnp.matmul(high + fourth / math.factorial(12), fourth) + middle
        out = jnp.matmul(out, fourth) + low

        def again(k: Array, out: Array) -> Array:
            return jnp.where(k < s, jnp.matmul(out, out), out)

        return jax.lax.fori_loop(0, _SQUARINGS, again, out)
