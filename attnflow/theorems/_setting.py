"""A field and its start as the theorems' hypotheses look at them: facts in NumPy, each worked out once."""

from functools import cached_property
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from ..core.checks import floating, is_concrete, number
from ..geometry import HemisphereCertificate, Sphere, hemisphere_certificate
from ..model import AttentionField
from ..model.demands import demand_known
from ..model.facts import rounding, stays, unit
from ..observables import cosines
from ..schedules import AbstractSchedule, Range
from ..schedules.ranges import range_of, some_times, values_at


class Changes(NamedTuple):
    """Whether a schedule changes with time: by how much where it is seen to, when, of how many times."""

    seen: bool | None
    size: float
    when: float
    times: int


def _changes(values: np.ndarray, times: np.ndarray, slack: float) -> Changes:
    change = np.abs(values - values[:1]).reshape(len(times), -1).max(axis=1)
    k = int(np.argmax(change))
    seen = True if change[k] > slack else None
    return Changes(seen, float(change[k]), float(times[k]), len(times))


class Setting:
    """What is asked of a field and tokens by more than one theorem."""

    def __init__(self, field: AttentionField, y0: Any, t0: float):
        if not isinstance(field, AttentionField):
            raise ValueError(f"`field` must be an AttentionField; got {type(field).__name__}.")
        demand_known(field)
        if not is_concrete(field, y0, t0):
            raise ValueError(
                "`field` and `y0` must hold numbers, not traced values; call this outside jit and vmap."
            )
        y0 = floating("y0", y0)
        self.field = field
        self.t0: float = number("t0", t0)
        self.y0: np.ndarray = np.asarray(field.check_start("y0", y0), np.float64)
        if field.tokens is not None and field.tokens != self.tokens:
            raise ValueError(
                f"`y0` must have {field.tokens} tokens, as the field's mask, weights or frozen "
                f"flags; got {self.tokens}."
            )
        self.eps: float = float(jnp.finfo(y0.dtype).eps)

    @property
    def tokens(self) -> int:
        """The number of tokens."""
        return self.y0.shape[0]

    @property
    def dim(self) -> int:
        """The dimension of the space."""
        return self.y0.shape[1]

    @property
    def pace(self) -> float:
        r"""$h \cdot$ scale: what the rows of all heads sum to, which is the unit of rates."""
        return self.field.heads * float(self.field.scale)

    def unit(self, schedule: AbstractSchedule | None) -> float:
        """The unit of rounding of a schedule's values; that of the tokens for the identity."""
        if schedule is None:
            return self.eps
        return unit(schedule)

    def rounding(self, schedule: AbstractSchedule | None) -> float:
        """The relative size of a difference that rounding explains, in one of its matrices."""
        return rounding(self.dim, self.unit(schedule))

    @cached_property
    def W(self) -> np.ndarray:
        """The matrix of the ellipsoid."""
        if isinstance(self.field.manifold, Sphere):
            return np.eye(self.dim)
        return np.asarray(self.field.manifold.W, np.float64)

    @cached_property
    def P_range(self) -> Range:
        """What the type of P says of all its values."""
        return range_of(self.field.P, self.t0)

    @cached_property
    def P(self) -> np.ndarray:
        """P at the beginning, heads first."""
        return values_at(self.field.P, np.array([self.t0])).reshape(-1, self.dim, self.dim)

    @cached_property
    def U_range(self) -> Range | None:
        """The same for U, `None` where it is the identity by its type."""
        return None if self.field.U is None else range_of(self.field.U, self.t0)

    @cached_property
    def U_times(self) -> np.ndarray:
        """Times at which U is looked at where its type does not settle a question."""
        return np.zeros(0) if self.field.U is None else some_times(self.field.U, self.t0)

    @cached_property
    def U_values(self) -> np.ndarray:
        """U at these times: `(times, heads, dim, dim)`, one head where all share it."""
        assert self.field.U is not None
        return values_at(self.field.U, self.U_times).reshape(-1, *self._U_shape)

    @property
    def _U_shape(self) -> tuple[int, int, int]:
        assert self.field.U is not None
        shape = self.field.U.shape
        return (shape[0] if len(shape) == 3 else 1, self.dim, self.dim)

    @cached_property
    def U(self) -> np.ndarray:
        """U at the beginning, `(heads, dim, dim)`: one head where all share it."""
        return np.eye(self.dim)[None] if self.field.U is None else self.U_values[0]

    @cached_property
    def U_sum(self) -> np.ndarray:
        r"""$\bar U = \sum_\eta U_\eta$ at the beginning."""
        return np.sum(np.broadcast_to(self.U, (self.field.heads, *self.U.shape[1:])), axis=0)

    @cached_property
    def P_changes(self) -> "Changes":
        """Whether P changes with time."""
        slack = self.rounding(self.field.P) * max(np.abs(self.P).max(), 1e-300)
        if stays(self.P_range, self.P, self.rounding(self.field.P)):
            return Changes(False, 0.0, self.t0, 0)
        times = some_times(self.field.P, self.t0)
        return _changes(values_at(self.field.P, times), times, slack)

    @cached_property
    def U_changes(self) -> "Changes":
        """Whether U does."""
        if self.field.U is None or self.U_range is None:
            return Changes(False, 0.0, self.t0, 0)
        slack = self.rounding(self.field.U) * max(np.abs(self.U).max(), 1e-300)
        if stays(self.U_range, self.U, self.rounding(self.field.U)):
            return Changes(False, 0.0, self.t0, 0)
        return _changes(self.U_values, self.U_times, slack)

    @cached_property
    def hemisphere(self) -> HemisphereCertificate:
        """The widest open hemisphere that holds the tokens, with its proof."""
        return hemisphere_certificate(jnp.asarray(self.y0, self._dtype))

    @property
    def _dtype(self):
        return jnp.float64 if self.eps < 1e-10 else jnp.float32

    @cached_property
    def cosines(self) -> np.ndarray:
        """Cosines of the tokens in the inner product of W, `(tokens, tokens)`."""
        return np.asarray(
            cosines(jnp.asarray(self.y0, self._dtype), self.field.manifold), np.float64
        )
