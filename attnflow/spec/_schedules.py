"""Schedules as tables: `{type = "sinusoid", amplitude = 2.0, omega = 6.28}` and the rest."""

import math
from collections.abc import Callable
from typing import Annotated, Any, Literal

import jax
import jax.numpy as jnp
import msgspec
import numpy as np
from jaxtyping import Array, Float, Key

from .. import schedules


class Table(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """A table of a file: no unknown keys, and lists that are rectangular arrays of numbers."""

    def __post_init__(self):
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if isinstance(value, list) and not any(isinstance(x, Table | str) for x in value):
                check_rectangular(name, value)


def check_most(name: str, value: int | None, most: int, what: str) -> None:
    """A size that would never end, or fit, refused before anything is made of it."""
    if value is not None and value > most:
        raise ValueError(
            f"`{name}` must be at most {most:,} {what}; got {value:,}, make it smaller"
        )


def check_rectangular(name: str, value: Any) -> tuple[int, ...]:
    """The shape of nested lists of numbers or Booleans; a `ValueError` when they have none."""
    if isinstance(value, bool | int | float):
        return ()
    if not isinstance(value, list):
        kind = "a table" if isinstance(value, dict | Table) else f"{value!r}"
        raise ValueError(f"`{name}` must be an array of numbers; got {kind} in it.")
    shapes = {check_rectangular(name, item) for item in value}
    if len(shapes) > 1:
        raise ValueError(f"`{name}` must be a rectangular array; got rows of different lengths.")
    return (len(value), *(shapes.pop() if shapes else ()))


class _Schedule(Table, frozen=True, tag_field="type"):
    """A table that stands for the schedule class of the same name."""

    def build(self) -> schedules.AbstractSchedule:
        """The schedule; a `ValueError` of its class when shapes do not fit."""
        cls: Callable[..., Any] = getattr(schedules, type(self).__name__)
        return cls(**{name: built(getattr(self, name)) for name in self.__struct_fields__})


def built(value: Any) -> Any:
    """A table as its schedule, a list as an array, anything else as it is."""
    if isinstance(value, _Schedule | Uniform):
        return value.build()
    return array_of(value) if isinstance(value, list) else value


def array_of(value: list) -> Array:
    """A list of a file as an array: floats; Booleans stay what they are, and whom it is for refuses them."""
    array = np.asarray(value)
    return jnp.asarray(array) if array.dtype == bool else jnp.asarray(value, float)


class Uniform(Table, frozen=True, tag_field="type", tag="uniform"):
    """Numbers drawn once from `seed`, uniform between `low` and `high`: an array of `shape`.

    With `seed = "trial"`, in a sweep, they are drawn anew for each trajectory.
    """

    shape: list[Annotated[int, msgspec.Meta(ge=1)]]
    low: float = 0.0
    high: float = 1.0
    seed: Annotated[int, msgspec.Meta(ge=0, le=2**32 - 1)] | Literal["trial"] = 0

    def __post_init__(self):
        super().__post_init__()
        if not self.low < self.high:
            raise ValueError(f"`high` must be above `low`; got {self.high:g} and {self.low:g}")
        check_most("shape", math.prod(self.shape), 10**8, "numbers in all")

    def build(self) -> Float[Array, "..."]:
        """The array."""
        if self.seed == "trial":
            raise ValueError('`seed = "trial"` is for sweeps; here give a number.')
        return self.draw(jax.random.key(self.seed))

    def draw(self, key: Key[Array, ""]) -> Float[Array, "..."]:
        """The array, from any key."""
        return jax.random.uniform(key, tuple(self.shape), minval=self.low, maxval=self.high)


Entries = list | Uniform
Numbers = float | Entries


class Constant(_Schedule, frozen=True, tag="constant"):
    """A fixed array."""

    value: Numbers


class Sinusoid(_Schedule, frozen=True, tag="sinusoid"):
    """`amplitude * sin(omega t + phase)`, entry by entry; its absolute value when rectified."""

    amplitude: Numbers
    omega: Numbers
    phase: Numbers = 0.0
    rectified: bool = False


class Fourier(_Schedule, frozen=True, tag="fourier"):
    """`constant + sum_k cosine[k] cos((k+1) omega t) + sine[k] sin((k+1) omega t)`."""

    constant: Numbers
    cosine: Entries
    sine: Entries
    omega: float


class Piecewise(_Schedule, frozen=True, tag="piecewise"):
    """`values[k]` from `times[k-1]` until `times[k]`."""

    times: list
    values: Entries


class Interpolated(_Schedule, frozen=True, tag="interpolated"):
    """Through `values` at `ts`."""

    ts: list
    values: Entries
    method: Literal["linear", "cubic"] = "cubic"


class Modulated(_Schedule, frozen=True, tag="modulated"):
    """`D(t) P'`: a diagonal, which may depend on time, times a matrix."""

    diagonal: "Values"
    matrix: Entries


class Factored(_Schedule, frozen=True, tag="factored"):
    """`Q(t)' K(t)`."""

    Q: "Values"
    K: "Values"


class Bounded(_Schedule, frozen=True, tag="bounded"):
    """A schedule kept within a norm."""

    schedule: "Values"
    bound: float
    norm: Literal["frobenius", "spectral"] = "frobenius"


class Symmetric(_Schedule, frozen=True, tag="symmetric"):
    """`(S(t) + S(t)') / 2`."""

    schedule: "Values"


class PositiveSemidefinite(_Schedule, frozen=True, tag="positive-semidefinite"):
    """`S(t)' S(t)`."""

    schedule: "Values"


class FixedSpectrum(_Schedule, frozen=True, tag="fixed-spectrum"):
    """`O(t) diag(eigenvalues) O(t)'`, with the rotation `O` that is the Cayley transform of `schedule`."""

    eigenvalues: Entries
    schedule: "Values"


class Periodic(_Schedule, frozen=True, tag="periodic"):
    """`S(t mod period)`, its jumps stepped to in `periods` periods."""

    schedule: "Values"
    period: float
    periods: int


class ScaledIdentity(_Schedule, frozen=True, tag="scaled-identity"):
    """`c(t) I`."""

    coefficient: "Values"
    dim: int


class Scaled(_Schedule, frozen=True, tag="scaled"):
    """`c(t) S(t)`."""

    coefficient: "Values"
    schedule: "Values"


class Sum(_Schedule, frozen=True, tag="sum"):
    """The sum of `terms`."""

    terms: "list[Values]"

    def build(self) -> schedules.AbstractSchedule:
        return schedules.Sum(*(built(term) for term in self.terms))


Values = (
    float
    | list
    | Uniform
    | Constant
    | Sinusoid
    | Fourier
    | Piecewise
    | Interpolated
    | Modulated
    | Factored
    | Bounded
    | Symmetric
    | PositiveSemidefinite
    | FixedSpectrum
    | Periodic
    | ScaledIdentity
    | Scaled
    | Sum
)


def matrices(value: Any, dim: int) -> schedules.AbstractSchedule:
    """What P or U may be: matrices, or numbers (one, or one a head) that multiply the identity."""
    schedule = schedules.as_schedule("value", built(value))
    if len(schedule.shape) < 2:
        return schedules.ScaledIdentity(schedule, dim)
    return schedule
