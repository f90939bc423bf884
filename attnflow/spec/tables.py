"""Schedules as tables: `{type = "sinusoid", amplitude = 2.0, omega = 6.28}` and the rest.

Which words there are, and with what arguments, the classes of schedules say (`in_file`): those of the
library, and those of the user's that are defined when a file is read.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Annotated, Any, ClassVar, Literal

import jax
import jax.numpy as jnp
import msgspec
import numpy as np
from jaxtyping import Array, Float, Key
from msgspec.structs import force_setattr

from .. import schedules
from ..core.checks import is_concrete

Positive = Annotated[float, msgspec.Meta(gt=0)]


class Table(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """A table of a file: no unknown keys, and lists that are rectangular arrays of numbers."""

    # The fields that may hold a table of a schedule, and those that may hold a list of them.
    holds_schedule: ClassVar[tuple[str, ...]] = ()
    holds_schedules: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        for name in self.holds_schedule:
            force_setattr(self, name, _read(getattr(self, name), f".{name}"))
        for name in self.holds_schedules:
            items = [_read(x, f".{name}[{k}]") for k, x in enumerate(getattr(self, name))]
            force_setattr(self, name, items)
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


class ScheduleTable(Table, frozen=True, tag_field="type"):
    """A table that stands for a schedule; there is a kind of it for each class that says how."""

    cls: ClassVar[Any] = None

    def build(self) -> schedules.AbstractSchedule:
        """The schedule; a `ValueError` of its class when shapes do not fit."""
        kinds, arguments = vars(self.cls)["in_file"].kinds, {}
        for name, kind in kinds.items():
            value = getattr(self, name)
            many = kind == "schedules"
            arguments[name] = [built(item) for item in value] if many else built(value)
        return self.cls.from_table(**arguments)

    def __reduce__(self) -> Any:
        return _read, (msgspec.to_builtins(self), "")


def built(value: Any) -> Any:
    """A table as its schedule, a list as an array, anything else as it is."""
    if isinstance(value, ScheduleTable | Uniform | Gaussian):
        return value.build()
    return array_of(value) if isinstance(value, list) else value


def array_of(value: list[object]) -> Array:
    """A list of a file as an array: floats; Booleans stay what they are, and whom it is for refuses them."""
    if not is_concrete(value):  # an axis of a sweep put numbers in it
        return jnp.asarray(value, float)
    array = np.asarray(value)
    if array.dtype == bool:
        return jnp.asarray(array)
    if array.dtype == jnp.result_type(float):  # as NumPy made it: no program is run to convert it
        return jnp.asarray(array)
    return jnp.asarray(value, float)


class Uniform(Table, frozen=True, tag_field="type", tag="uniform"):
    """Numbers drawn once from `seed`, uniform between `low` and `high`: an array of `shape`.

    With `seed = "trial"`, in a sweep, they are drawn anew for each trajectory.
    """

    shape: list[Annotated[int, msgspec.Meta(ge=1)]]
    low: float = 0.0
    high: float = 1.0
    seed: Annotated[int, msgspec.Meta(ge=0, le=2**32 - 1)] | Literal["trial"] = 0

    def __post_init__(self) -> None:
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


class Gaussian(Table, frozen=True, tag_field="type", tag="gaussian"):
    """Numbers drawn once from `seed`, normal with mean 0 and deviation `std`: an array of `shape`.

    With `seed = "trial"`, in a sweep, they are drawn anew for each trajectory: as the `values` of a `piecewise`
    schedule, weights drawn anew in each layer.
    """

    shape: list[Annotated[int, msgspec.Meta(ge=1)]]
    std: Annotated[float, msgspec.Meta(ge=0)] = 1.0
    seed: Annotated[int, msgspec.Meta(ge=0, le=2**32 - 1)] | Literal["trial"] = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_most("shape", math.prod(self.shape), 10**8, "numbers in all")

    def build(self) -> Float[Array, "..."]:
        """The array."""
        if self.seed == "trial":
            raise ValueError('`seed = "trial"` is for sweeps; here give a number.')
        return self.draw(jax.random.key(self.seed))

    def draw(self, key: Key[Array, ""]) -> Float[Array, "..."]:
        """The array, from any key."""
        return self.std * jax.random.normal(key, tuple(self.shape))


# Arrays that are drawn, by their word in a file.
DRAWN: dict[str, type[Uniform] | type[Gaussian]] = {"uniform": Uniform, "gaussian": Gaussian}
Entries = list[object] | Uniform | Gaussian
Numbers = float | Entries
# A table in place of a schedule is read as a dictionary, and `Table` makes its own kind of table of it.
Values = float | list[object] | dict[str, Any]

_KINDS: dict[Any, Any] = {
    "numbers": Numbers,
    "array": Entries,
    "schedule": Values,
    "schedules": list[Values],
}


def _read(value: Any, place: str) -> Any:
    """A dictionary as the table of its type; anything else as it is."""
    if not isinstance(value, dict):
        return value
    if "type" not in value:
        raise ValueError(f"Object missing required field `type` - at `${place}`")
    word = value["type"]
    if not isinstance(word, str):
        raise ValueError(f"Expected `str`, got `{type(word).__name__}` - at `${place}.type`")
    cls = schedule_class(word)
    kind = DRAWN.get(word) or (None if cls is None else _table_kind(cls))
    if kind is None:
        raise ValueError(f"Invalid value {word!r} - at `${place}.type`")
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        what, where = placed(str(error))
        raise ValueError(f"{what} - at `${place}{where}`") from error


def schedule_class(word: str) -> type[schedules.AbstractSchedule] | None:
    """The class that has this word for its `type` in files, of all that are defined now.

    **Raises:**

    `ValueError` where two classes have it. A class that is defined anew, under the same name and in the
    same module, takes the place of the first.
    """
    classes: dict[str, type] = {}
    todo: list[type] = [schedules.AbstractSchedule]
    while todo:
        cls = todo.pop(0)
        todo.extend(cls.__subclasses__())
        form = vars(cls).get("in_file")
        if form is not None and form.type == word:
            classes[f"{cls.__module__}.{cls.__qualname__}"] = cls
    if len(classes) > 1:
        raise ValueError(f"type {word!r} is that of {' and '.join(classes)}: give one another word")
    return next(iter(classes.values()), None)


@lru_cache(maxsize=256)
def _table_kind(cls: type[schedules.AbstractSchedule]) -> type[ScheduleTable]:
    form: Any = vars(cls)["in_file"]
    fields: list[Any] = []
    for name, kind in form.kinds.items():
        default = (form.defaults[name],) if name in form.defaults else ()
        fields.append((name, _KINDS.get(kind, kind), *default))
    one, many = (
        tuple(name for name, kind in form.kinds.items() if kind == word)
        for word in ("schedule", "schedules")
    )
    return msgspec.defstruct(  # pyright: ignore[reportReturnType]
        cls.__name__,
        fields,
        bases=(ScheduleTable,),
        namespace={"cls": cls, "holds_schedule": one, "holds_schedules": many},
        module=__name__,
        frozen=True,
        kw_only=True,
        tag=form.type,
    )


def placed(message: str) -> tuple[str, str]:
    """What msgspec says, and where below `$`: "what - at `$.b` - at `$.a`" is what, at .a.b."""
    what, *places = message.split(" - at `$")
    return what, "".join(place.removesuffix("`") for place in reversed(places))


def matrices(value: Any, dim: int) -> schedules.AbstractSchedule:
    """What P or U may be: matrices, or numbers (one, or one a head) that multiply the identity."""
    schedule = schedules.as_schedule("value", built(value))
    if len(schedule.shape) < 2:
        return schedules.ScaledIdentity(schedule, dim)
    return schedule


def with_place(message: str) -> str:
    """`what - at `$.where`` of msgspec as `$.where: what`."""
    what, where = placed(message)
    line = f"${where}: {what}" if " - at `$" in message else message
    return line.replace("\n", " ")


@contextmanager
def at_table(place: str) -> Iterator[None]:
    """A `ValueError` raised inside gets the table's name before its message."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from error
