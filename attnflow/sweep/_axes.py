"""Axes of a grid: lists, ranges and log ranges of numbers, words, Booleans or labelled tables.

One rule for labels: no two of an axis may be equal as the dataset holds them. 0.0 and -0.0 are one number, and
so are 1 and 1.0, numbers that are equal to 12 digits in a range or in the study's precision, and words that differ in
zeros at their end. Numbers are finite.
"""

import hashlib
import json
import math
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
import numpy as np
from msgspec import Meta

from ..spec.tables import Table, placed as spec_placed

# Names that a dataset gives to other things.
TAKEN = ("trial", "time", "trajectory", "ended", "outcome", "steps", "t")
_MOST_VALUES = 100_000


class Labelled(Table, frozen=True):
    """An axis value with a name: `{label = "slow", value = ...}`, anything a table may hold."""

    label: Annotated[str, Meta(min_length=1)]
    value: Any


class AxisRange(Table, frozen=True):
    """`count` numbers from `start` to `stop`, or every `step`; `spacing = "log"` for ratios.

    `integer = true` rounds them; those that coincide count once.
    """

    start: float
    stop: float
    count: Annotated[int, Meta(ge=2, le=_MOST_VALUES)] | None = None
    step: Annotated[float, Meta(gt=0)] | None = None
    spacing: Literal["linear", "log"] = "linear"
    integer: bool = False

    def __post_init__(self):
        super().__post_init__()
        if not (math.isfinite(self.start) and math.isfinite(self.stop) and self.start < self.stop):
            raise ValueError(f"`stop` must be above `start`; got {self.stop:g} and {self.start:g}")
        if (self.count is None) == (self.step is None):
            raise ValueError("give `count` (how many numbers) or `step`, one of the two")
        if self.spacing == "log" and (self.start <= 0 or self.step is not None):
            raise ValueError("a log range needs `start` above zero and `count`")
        if self.step is not None and not math.isfinite(self.step):
            raise ValueError(f"`step` must be finite; got {self.step:g}")
        if not math.isfinite(self.stop - self.start):
            raise ValueError(
                f"`stop` is too far from `start`; got {self.stop:g} and {self.start:g}"
            )
        if self.step is not None and (self.stop - self.start) / self.step > _MOST_VALUES:
            raise ValueError(f"`step` {self.step:g} gives more than {_MOST_VALUES} values")

    def numbers(self) -> list[float] | list[int]:
        """The numbers, to 12 digits."""
        if self.step is not None:
            number = math.floor((self.stop - self.start) / self.step * (1 + 1e-12)) + 1
            values = self.start + self.step * np.arange(number)
        elif self.spacing == "log":
            assert self.count is not None
            values = np.geomspace(self.start, self.stop, self.count)
        else:
            assert self.count is not None
            values = np.linspace(self.start, self.stop, self.count)
        if self.integer:
            return sorted({round(float(v)) for v in values})
        return [float(f"{v:.12g}") + 0.0 for v in values]


class Axis(NamedTuple):
    """One axis: its name, the coordinate of each value, and what each puts into the tables."""

    name: str
    coordinates: list[Any]
    values: list[Any]
    labelled: bool

    @property
    def array(self) -> np.ndarray:
        """The coordinates as an array: whole numbers, floats, Booleans or strings."""
        return np.asarray(self.coordinates)


def read_axis(name: str, raw: Any) -> Axis:
    """An axis from what a file says; every `ValueError` starts with its place."""
    place = f"$.grid.{name}"
    if not name.isidentifier() or name in TAKEN:
        raise ValueError(
            f"{place}: an axis is named by a word of letters, digits and _, other than "
            f"{', '.join(TAKEN)}"
        )
    if isinstance(raw, dict | AxisRange):
        numbers = _converted(raw, AxisRange, place).numbers()
        return _distinct(Axis(name, list(numbers), list(numbers), False), place)
    if not isinstance(raw, list | tuple):
        kind = type(raw).__name__
        raise ValueError(
            f"{place}: Expected a list, or a table of start, stop and count or step; got `{kind}`"
        )
    if not raw:
        raise ValueError(f"{place}: an axis needs at least one value")
    coordinates, values, kinds = [], [], []
    for k, item in enumerate(raw):
        coordinate, value, kind = _item(item, f"{place}[{k}]")
        if kinds and kind != kinds[0]:
            raise ValueError(f"{place}[{k}]: Expected {kinds[0]}, as before it; got {kind}")
        coordinates.append(coordinate)
        values.append(value)
        kinds.append(kind)
    return _distinct(Axis(name, coordinates, values, kinds[0] == "a table"), place)


def _distinct(axis: Axis, place: str) -> Axis:
    """The axis, unless two of its labels are one as the dataset holds them: its places would be holes."""
    known: dict[str, Any] = {}
    for k, (held, coordinate) in enumerate(zip(axis.array.tolist(), axis.coordinates, strict=True)):
        label = canonical(held)
        if label in known:
            same = known[label]
            which = "" if same == coordinate else f", for it is {same!r} in the dataset"
            raise ValueError(f"{place}[{k}]: {coordinate!r} is there twice{which}; drop one")
        known[label] = coordinate
    return axis


def check_precision(axis: Axis, dtype: str) -> None:
    """A `ValueError` where two numbers of an axis are one in the study's precision."""
    if axis.labelled or axis.array.dtype.kind != "f":
        return
    with np.errstate(over="ignore"):
        held = axis.array.astype(dtype).tolist()
    known: dict[float, Any] = {}
    for k, (value, coordinate) in enumerate(zip(held, axis.coordinates, strict=True)):
        if value in known:
            raise ValueError(
                f"$.grid.{axis.name}[{k}]: {coordinate!r} is there twice, for in {dtype} it is "
                f"{known[value]!r}; drop one"
            )
        known[value] = coordinate


def _item(item: Any, place: str) -> tuple[Any, Any, str]:
    # Coordinate, value and kind of one item of a list.
    if isinstance(item, dict | Labelled):
        table = _converted(item, Labelled, place)
        return table.label, table.value, "a table"
    if isinstance(item, bool):
        return item, item, "a Boolean"
    if isinstance(item, str):
        if not item:
            raise ValueError(f"{place}: an empty word says nothing")
        return item, item, "a word"
    if isinstance(item, int | float):
        if not math.isfinite(item):
            raise ValueError(f"{place}: a number must be finite; got {item}")
        if isinstance(item, int) and abs(item) >= 2**63:
            raise ValueError(f"{place}: a whole number must be below 2^63; got {item}")
        item = item if isinstance(item, int) else item + 0.0  # -0.0 is zero
        return item, item, "a number"
    raise ValueError(
        f"{place}: Expected a number, a word, a Boolean or a table of label and value; got "
        f"`{type(item).__name__}`"
    )


def _converted(raw: Any, cls: Any, place: str) -> Any:
    if isinstance(raw, cls):
        return raw
    try:
        return msgspec.convert(raw, cls)
    except msgspec.ValidationError as error:
        raise ValueError(f"{place}{placed(str(error))}") from error


def placed(message: str) -> str:
    """msgspec's "what - at `$.where`" as ".where: what", to put a place before."""
    what, where = spec_placed(message)
    return f"{where}: {what}"


def canonical(value: Any) -> str:
    """One spelling for equal coordinates: 2 and 2.0 are the same number, and so are 0.0 and -0.0."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        number = float(value) + 0.0
        return repr(number) if number == value or number != number else repr(value)
    return json.dumps(value)


def point_id(coordinates: dict[str, Any]) -> int:
    """A 64-bit number for a point of the grid, of its coordinates alone, in whatever order."""
    return number_of([f"{name}={canonical(coordinates[name])}" for name in sorted(coordinates)])


def number_of(words: list[str]) -> int:
    """The same, of `name=coordinate` for each axis, sorted by name."""
    return int.from_bytes(hashlib.blake2b("\n".join(words).encode(), digest_size=8).digest(), "big")
