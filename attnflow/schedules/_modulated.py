"""A diagonal that depends on time in front of a constant matrix, D(t) P'."""

from typing import ClassVar

from jaxtyping import Array, ArrayLike, Float, Real

from ..core.checks import finite, shaped
from ._base import AbstractSchedule, GivenSchedule, as_schedule
from ._in_file import InFile
from ._products import by_head, materialise, pair, rows_times, times
from ._range import Range


class Modulated(AbstractSchedule):
    r"""$M(t) = A\, D(t)\, P'$ with $D(t)$ diagonal and, usually, $A = I$: the paper's $P_\eta(t) = D_\eta(t) P'_\eta$.

    The matrix is not formed where that costs more than passing tokens through its factors.

    **Arguments:**

    - `diagonal`: the diagonal of $D(t)$, shape `(d,)` or `(h, d)`; array or schedule.
    - `matrix`: $P'$, shape `(d, cols)` or `(h, d, cols)`.
    - `left`: $A$, shape `(rows, d)`, or `None` for the identity.
    """

    diagonal: AbstractSchedule
    matrix: Float[Array, "*heads d cols"]
    left: Float[Array, "rows d"] | None

    time_through_parts: ClassVar[bool] = True
    never_trained: ClassVar[tuple[str, ...]] = ()
    in_file: ClassVar[InFile | None] = InFile("modulated", diagonal="schedule", matrix="array")

    def __init__(
        self,
        diagonal: GivenSchedule,
        matrix: GivenSchedule,
        left: GivenSchedule | None = None,
    ):
        self.diagonal = as_schedule("diagonal", diagonal)
        self.matrix = finite("matrix", matrix)
        self.left = None if left is None else finite("left", left)
        D, P = self.diagonal.shape, self.matrix.shape
        shaped("matrix", P, ("rows", "columns"), ("heads", "rows", "columns"))
        if self.left is not None:
            shaped("left", self.left.shape, ("rows", P[-2]))
        if len(D) not in (1, 2) or D[-1] != P[-2] or (len(D) == 2 and len(P) == 3 and D[0] != P[0]):
            heads = "" if len(P) == 2 else f" or ({P[0]}, {P[-2]})"
            raise ValueError(
                f"`diagonal` must have shape ({P[-2]},){heads} for a matrix of shape {P}; got {D}."
            )

    def _diagonal(self, t, dtype) -> Array:
        return materialise(self.diagonal(t).astype(dtype))

    def __call__(self, t: Real[ArrayLike, ""]) -> Float[Array, "*heads rows cols"]:
        matrix = self.matrix
        D = self._diagonal(t, matrix.dtype)
        if self.left is None:
            return times(D[..., :, None], matrix)
        return by_head(times(self.left.astype(matrix.dtype), D[..., None, :]), matrix)

    @property
    def frequency(self) -> Float[Array, ""] | None:
        return self.diagonal.frequency

    @property
    def jump_times(self) -> Float[Array, " jumps"] | None:
        return self.diagonal.jump_times

    def apply(self, t: Real[ArrayLike, ""], y: Array) -> Array:
        if self._worth_forming(y.shape[0], 0):
            return super().apply(t, y)
        rows = rows_times(y, self.matrix.astype(y.dtype))
        out = times(rows, self._diagonal(t, y.dtype)[..., None, :])
        return out if self.left is None else out @ self.left.T.astype(y.dtype)

    def bilinear(self, t: Real[ArrayLike, ""], x: Array, y: Array) -> Array:
        if self._worth_forming(y.shape[0], x.shape[0]):
            return pair(x, rows_times(y, self(t).astype(y.dtype)))
        if self.left is not None:
            x = x @ self.left.astype(x.dtype)
        x = times(x, self._diagonal(t, x.dtype)[..., None, :])
        return pair(x, rows_times(y, self.matrix.astype(y.dtype)))

    def forms_matrix(self, tokens: int) -> bool:
        return self._worth_forming(tokens, tokens)

    def _worth_forming(self, tokens: int, others: int) -> bool:
        # Flops of A D P' once against those of sending `tokens` (and `others`) through its factors.
        # Without A there is nothing to gain: D P' has the size of P' itself.
        if self.left is None:
            return False
        (rows, d), cols = self.left.shape, self.matrix.shape[-1]
        formed = rows * d * cols + tokens * rows * cols + tokens * others * rows
        factored = tokens * d * cols + (
            tokens * rows * d if others == 0 else others * d * (rows + tokens)
        )
        return formed < factored

    def congruence(self, left: Array, right: Array) -> AbstractSchedule:
        left = left if self.left is None else left @ self.left
        return Modulated(self.diagonal, self.matrix @ right, left)

    def range_from(self, t0: float) -> Range:
        D = self.diagonal.range_from(t0)
        rows = D.aligned(D.centre.ndim + 1) * Range.constant(self.matrix)
        return rows if self.left is None else Range.constant(self.left) @ rows
