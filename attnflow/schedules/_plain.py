"""Two plain ones: a multiple of the identity, and a function of the user's."""

from collections.abc import Callable
from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Real

from ..core.callables import as_module
from ..core.checks import boolean, check_now, finite, is_concrete, room, shaped, whole
from ..core.types import Numbers, Scalar
from ._base import AbstractSchedule, Constant, GivenSchedule, as_schedule
from ._in_file import InFile
from ._kinks import KnownKinks
from ._range import Range


class ScaledIdentity(AbstractSchedule):
    r"""$M(t) = c(t)\, I_d$: every direction alike.

    With values of this type tokens never leave the span of their starting points, which is what
    the span reduction rests on (decided from the type, not from numbers).

    **Arguments:**

    - `coefficient`: $c$, a scalar, `(h,)` for heads, or a schedule of either.
    - `dim`: $d$.
    """

    coefficient: AbstractSchedule
    dim: int = eqx.field(static=True)

    time_through_parts: ClassVar[bool] = True
    never_trained: ClassVar[tuple[str, ...]] = ()
    in_file: ClassVar[InFile | None] = InFile("scaled-identity", coefficient="schedule", dim=int)

    def __init__(self, coefficient: GivenSchedule, dim: int):
        self.coefficient = as_schedule("coefficient", coefficient)
        shaped("coefficient", self.coefficient.shape, (), ("heads",))
        self.dim = whole("dim", dim)

    def __call__(self, t: Real[ArrayLike, ""]) -> Float[Array, "*heads dim dim"]:
        c = self.coefficient(t)
        if is_concrete(c):  # the shape alone may be asked for, of a matrix that is never formed
            room("dim", (*c.shape, self.dim, self.dim), what="matrices c(t) I")
        eye = jnp.eye(self.dim, dtype=c.dtype)
        return c[..., None, None] * jnp.broadcast_to(eye, (*c.shape, *eye.shape))

    @property
    def frequency(self) -> Float[Array, ""] | None:
        return self.coefficient.frequency

    @property
    def jump_times(self) -> Float[Array, " jumps"] | None:
        return self.coefficient.jump_times

    def apply(self, t: Real[ArrayLike, ""], y: Array) -> Array:
        c = self.coefficient(t).astype(y.dtype)
        return c * y if c.ndim == 0 else c[:, None, None] * y[None]

    def congruence(self, left: Array, right: Array) -> AbstractSchedule:
        return self.coefficient * Constant(left @ right)

    def range_from(self, t0: float) -> Range:
        c = self.coefficient.range_from(t0)
        return c.aligned(c.centre.ndim + 2) * Range.constant(np.eye(self.dim))

    def is_symmetric(self) -> bool:
        return True

    def identity_coefficient(self) -> AbstractSchedule:
        return self.coefficient


class Function(AbstractSchedule):
    r"""$M(t) = f(t)$ for a function of the user's own.

    A function cannot be asked how fast it moves, so its maker says it: without `frequency` an
    adaptive step may pass over whole periods unseen.

    **Arguments:**

    - `function`: `t -> array`, traceable by JAX.
    - `frequency`: its fastest frequency in cycles per unit of time, `None` if it does not oscillate.
    - `jump_times`: times of discontinuity, `None` if it has none.
    - `kinked`: whether its slope jumps at further times; solvers then take shorter steps.
    """

    function: eqx.Module
    _frequency: Float[Array, ""] | None
    _jump_times: Float[Array, " jumps"] | None
    kinked: bool = eqx.field(static=True)

    never_trained: ClassVar[tuple[str, ...]] = ("_frequency", "_jump_times")

    def __init__(
        self,
        function: Callable,
        *,
        frequency: Scalar | None = None,
        jump_times: Numbers | None = None,
        kinked: bool = False,
    ):
        self.kinked = boolean("kinked", kinked)
        self.function = as_module("function", function)
        self._frequency = None if frequency is None else _frequency(frequency)
        self._jump_times = None if jump_times is None else finite("jump_times", jump_times)
        if self._jump_times is not None and self._jump_times.ndim != 1:
            raise ValueError(
                f"`jump_times` must be a vector of times; got shape {self._jump_times.shape}."
            )

    def __call__(self, t: Real[ArrayLike, ""]) -> Float[Array, "..."]:
        return jnp.asarray(self.function(t))  # pyright: ignore[reportCallIssue]

    @property
    def frequency(self) -> Float[Array, ""] | None:
        return self._frequency

    @property
    def jump_times(self) -> Float[Array, " jumps"] | None:
        return self._jump_times

    def kinks(self) -> KnownKinks:
        return "anywhere" if self.kinked else ()


def _frequency(value) -> Array:
    value = finite("frequency", value)
    shaped("frequency", value.shape, ())
    return check_now(value, lambda f: f < 0, "`frequency` must be zero or more; got less.")
