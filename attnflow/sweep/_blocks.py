"""The blocks of a study: which points have one shape and one set of options, and the numbers of each.

What a value of an axis does to the tables does not depend on the other axes, except inside one table
whose `type` is an axis, or that states a range (`uniform`). So one look at each value says which points belong
together, and a block is a rule and not a list: time and memory follow from the axes' lengths, and not from
their product. Where axes do depend on one another, points are looked at one by one.
"""

import functools
import hashlib
import itertools
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec
import numpy as np

from ._axes import canonical, number_of
from ._draw import Mould, halves, mould
from ._index import AbstractPoints, Box, Listed
from ._study import LISTED_POINTS, Study, StudyPoint, build_point, has_dependent_axes

_MOST_BLOCKS = 100_000  # each is timed and compiled by itself, and named in the store
_KEPT_IDS = 2**17  # points of a block whose numbers are computed once and kept
# Among so many points two with one number are looked for. Among n of them there are such two with a
# chance of n^2 / 2^65 (3 % for 10^9), and all that they share is their random starts, as paired ones do.
_COMPARED_IDS = 100_000


class Column(NamedTuple):
    """The numbers at one slot, for the values `members` of an axis; without an axis, point by point."""

    axis: int | None
    members: np.ndarray
    numbers: np.ndarray


class Block:
    """Trajectories of one shape and one set of options: some points of the grid, some trials of each.

    They are numbered trial by trial, all points for one trial first, so that the first shards
    tell something about every point. No point is looked at before it is asked for.

    **Attributes:**

    - `study`: the study it belongs to, and `generation`: which one of the store's that is.
    - `mould`, `point`: what its points share; tables of the first of them, for time, solver, output.
    - `first`, `trials`: the first trial and how many.
    """

    def __init__(
        self,
        study: Study,
        generation: int,
        point: StudyPoint,
        shape: Mould,
        first: int,
        where: AbstractPoints,
        columns: dict[tuple[Any, ...], Column],
        numbers: "PointNumbers",
    ):
        self.study: Study = study
        self.generation: int = generation
        self.point: StudyPoint = point
        self.mould: Mould = shape
        self.first: int = first
        self.trials: int = study.trials - first
        self._where, self._numbers = where, numbers
        self._columns = [columns[slot] for slot in shape.slots]

    @functools.cached_property
    def key(self) -> str:
        """What its cost depends on: the shape and the options."""
        words = self.mould.shape + _options(self.point) + self.study.dtype
        return hashlib.sha256(words.encode()).hexdigest()[:16]

    @property
    def points(self) -> int:
        """How many points of the grid."""
        return len(self._where)

    def __len__(self) -> int:
        return self.points * self.trials

    def rows(self, begin: int, end: int) -> tuple[np.ndarray, np.ndarray]:
        """Points (their place in this block) and trials of trajectories `begin` to `end`."""
        trial, point = np.divmod(np.arange(begin, end), self.points)
        return point, (trial + self.first).astype(np.uint32)

    # === of points, by their places in this block

    def indices(self, points: np.ndarray) -> np.ndarray:
        """Along each axis, shape (points, axes)."""
        return self._where.at(points)

    def ids(self, points: np.ndarray) -> np.ndarray:
        """The 64-bit number of each, as two `uint32`."""
        if self.points <= _KEPT_IDS:
            return self._ids[points]
        some, back = np.unique(points, return_inverse=True)
        return self._numbers(self.indices(some))[back]

    @functools.cached_property
    def _ids(self) -> np.ndarray:
        return self._numbers(self.indices(np.arange(self.points)))

    def numbers(self, points: np.ndarray) -> list[np.ndarray]:
        """At the mould's slots, each with a leading axis of points."""
        indices = self.indices(points)
        return [
            c.numbers[points if c.axis is None else np.searchsorted(c.members, indices[:, c.axis])]
            for c in self._columns
        ]

    def find(self, index: tuple[int, ...]) -> int | None:
        """The place of the point with this index along each axis; `None` where it is not here."""
        return self._where.find(index)

    def along(self, axis: int) -> np.ndarray:
        """The indices along one axis that its points have."""
        return self._where.along(axis)


class PointNumbers:
    """The 64-bit numbers of a study's points, from indices: of the coordinates that are not paired."""

    def __init__(self, study: Study):
        names = list(study.axes)
        self.axes: list[int] = [
            names.index(name) for name in sorted(set(names) - set(study.paired))
        ]
        self._words = [
            [f"{names[k]}={canonical(c)}" for c in study.axes[names[k]].coordinates]
            for k in self.axes
        ]

    def __call__(self, indices: np.ndarray) -> np.ndarray:
        """Two `uint32` for each row of indices."""
        columns = [indices[:, k].tolist() for k in self.axes]
        if not columns:
            return np.repeat(halves(number_of([]))[None], len(indices), axis=0)
        rows = (
            halves(number_of([w[i] for w, i in zip(self._words, row, strict=True)]))
            for row in zip(*columns, strict=True)
        )
        return np.stack(list(rows))


def blocks(study: Study, before: Study | None, generation: int) -> list[Block]:
    """The blocks of a study in the order of their first points, without what the study `before` it has.

    **Raises:**

    `ValueError` where two points have one number, or there are more kinds of points than can be.
    """
    known = None if before is None else [_known(before, study, name) for name in study.axes]
    trials = 0 if before is None else before.trials
    numbers = PointNumbers(study)
    _check_numbers(study, numbers)
    make = _listed if has_dependent_axes(study.template) else _by_rule
    axes, template, references = study.axes, study.template, study.references()
    out = []
    for first, where, columns in make(study, known, trials):
        index = where.at(np.zeros(1, np.int64))[0].tolist()
        point = build_point(template, axes, dict(zip(axes, index, strict=True)))
        shape, _ = mould(point, references)
        out.append(Block(study, generation, point, shape, first, where, columns, numbers))
    return out


_Made = tuple[int, AbstractPoints, dict[tuple, Column]]


def _by_rule(study: Study, known: list[np.ndarray] | None, trials: int) -> list[_Made]:
    axes = list(study.axes)
    kinds = [_kinds(study, k) for k in range(len(axes))]
    _check_blocks(study, kinds)
    made: list[_Made] = []
    for chosen in itertools.product(*kinds):
        values: list[np.ndarray] = [members for members, _ in chosen]
        columns = {slot: column for _, its in chosen for slot, column in its.items()}
        hole = None
        if known is not None:
            hole = [v[old[v]] for v, old in zip(values, known, strict=True)]
            hole = hole if all(map(len, hole)) else None
        box = Box(values, hole)
        if len(box):
            made.append((0, box, columns))
        if hole is not None and trials < study.trials:
            made.append((trials, Box(hole), columns))
    zero = np.zeros(1, np.int64)
    return sorted(made, key=lambda one: one[1].at(zero)[0].tolist())


def _kinds(study: Study, axis: int) -> list[tuple[np.ndarray, dict[tuple, Column]]]:
    """The values of an axis by what they do to shape and options, with the numbers that they put in."""
    axes, template, references = study.axes, study.template, study.references()
    name, first = list(axes)[axis], dict.fromkeys(axes, 0)
    mine = [path for path, of in references if of == name]
    groups: dict[tuple[str, str], tuple[list[int], list[tuple], list[list[np.ndarray]]]] = {}
    for k in range(len(axes[name].values)):
        point = build_point(template, axes, first | {name: k})
        shape, values = mould(point, references)
        own = [n for n, slot in enumerate(shape.slots) if any(slot[: len(p)] == p for p in mine)]
        slots = [shape.slots[n] for n in own]
        members, _, rows = groups.setdefault((shape.shape, _options(point)), ([], slots, []))
        members.append(k)
        rows.append([values[n] for n in own])
    out = []
    for members, slots, rows in groups.values():
        at = np.asarray(members, np.int64)
        stacks = [np.stack(column) for column in zip(*rows, strict=True)]
        columns = {s: Column(axis, at, c) for s, c in zip(slots, stacks, strict=True)}
        out.append((at, columns))
    return out


def _listed(study: Study, known: list[np.ndarray] | None, trials: int) -> Iterator[_Made]:
    axes, template, references = study.axes, study.template, study.references()
    groups: dict[tuple, tuple[list, tuple, list]] = {}
    for index in itertools.product(*(range(len(axis.values)) for axis in axes.values())):
        old = known is not None and all(k[i] for k, i in zip(known, index, strict=True))
        first = trials if old else 0
        if first == study.trials:
            continue
        point = build_point(template, axes, dict(zip(axes, index, strict=True)))
        shape, values = mould(point, references)
        key = (shape.shape, _options(point), first)
        where, _, rows = groups.setdefault(key, ([], shape.slots, []))
        where.append(index)
        rows.append(values)
    for (_, _, first), (where, slots, rows) in groups.items():
        indices = np.asarray(where, np.int64).reshape(len(where), -1)
        stacks = [np.stack(column) for column in zip(*rows, strict=True)]
        none = np.zeros(0, np.int64)
        columns = {s: Column(None, none, c) for s, c in zip(slots, stacks, strict=True)}
        yield first, Listed(indices), columns


def _options(point: StudyPoint) -> str:
    return msgspec.json.encode([point.time, point.solver, point.output]).decode()


def _known(before: Study, study: Study, name: str) -> np.ndarray:
    """Which values of an axis the earlier study has as well."""
    old = {canonical(coordinate) for coordinate in before.axes[name].coordinates}
    return np.asarray([canonical(c) in old for c in study.axes[name].coordinates], bool)


def _check_blocks(study: Study, kinds: list[Any]) -> None:
    counts = [len(kind) for kind in kinds]
    points = math.prod(len(axis.values) for axis in study.axes.values())
    if points > LISTED_POINTS and math.prod(counts) > _MOST_BLOCKS:
        raise ValueError(
            f"$.grid: its points are of {math.prod(counts):,} kinds (shapes, times, tolerances), more "
            f"than {_MOST_BLOCKS:,}, and each kind is timed and compiled by itself; give fewer values"
        )


def _check_numbers(study: Study, numbers: PointNumbers) -> None:
    axes = list(study.axes.values())
    counts = [len(axes[k].values) for k in numbers.axes]
    if math.prod(counts) > _COMPARED_IDS:
        return
    places = np.zeros((math.prod(counts), len(axes)), np.int64)
    places[:, numbers.axes] = Box([np.arange(n) for n in counts]).at(np.arange(len(places)))
    if len({tuple(row) for row in numbers(places).tolist()}) < len(places):
        raise ValueError("$.grid: two points have the same 64-bit number; rename an axis")
