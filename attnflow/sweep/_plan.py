"""The plan: a pure function from studies to blocks of trajectories, and from sizes to shards."""

import hashlib
import itertools
import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec
import numpy as np

from ._axes import canonical
from ._draw import Mould, halves, mould
from ._study import Point, Study, build_point

_SHARD = re.compile(r"\d{3}-\d{6}")


class Block:
    """Trajectories of one shape and one set of options: some points of the grid, some trials of each.

    They are numbered trial by trial, all points for one trial first, so that the first shards
    tell something about every point.

    **Attributes:**

    - `study`: the study it belongs to, and `generation`: which one of the store's that is.
    - `mould`, `point`: what its points share; tables of the first of them, for time, solver, output.
    - `indices`: of the points along each axis, shape (points, axes).
    - `ids`: of the points, as two `uint32` each.
    - `numbers`: at the mould's slots, each with a leading axis of points.
    - `first`, `trials`: the first trial and how many.
    """

    def __init__(self, study: Study, generation: int, mould: Mould, point: Point, first: int):
        self.study, self.generation, self.mould, self.point = study, generation, mould, point
        self.first, self.trials = first, study.trials - first
        self._rows: list[tuple[tuple[int, ...], np.ndarray, list[np.ndarray]]] = []

    def _add(self, index: tuple[int, ...], number: int, values: list[np.ndarray]) -> None:
        self._rows.append((index, halves(number), values))

    def _close(self) -> "Block":
        indices, ids, values = zip(*self._rows, strict=True)
        self.indices = np.asarray(indices, np.int64).reshape(len(indices), -1)
        self.ids = np.stack(ids)
        self.numbers = [np.stack(column) for column in zip(*values, strict=True)]
        return self

    @property
    def key(self) -> str:
        """What its cost depends on: the shape and the options."""
        options = [self.point.time, self.point.solver, self.point.output]
        words = self.mould.shape + msgspec.json.encode(options).decode() + self.study.dtype
        return hashlib.sha256(words.encode()).hexdigest()[:16]

    @property
    def points(self) -> int:
        """How many points of the grid."""
        return len(self.indices)

    def __len__(self) -> int:
        return self.points * self.trials

    def rows(self, begin: int, end: int) -> tuple[np.ndarray, np.ndarray]:
        """Points (their place in this block) and trials of trajectories `begin` to `end`."""
        trial, point = np.divmod(np.arange(begin, end), self.points)
        return point, (trial + self.first).astype(np.uint32)


class Shard(NamedTuple):
    """Consecutive trajectories of a block, in one file."""

    name: str
    block: Block
    begin: int
    end: int

    def __len__(self) -> int:
        return self.end - self.begin

    def rows(self) -> tuple[np.ndarray, np.ndarray]:
        """Points (their place in the block) and trials."""
        return self.block.rows(self.begin, self.end)


class Plan:
    """All shards of a store: its studies, each an extension of the one before, and the shards' sizes.

    **Arguments:**

    - `history`: the studies, the latest last.
    - `sizes`: trajectories in a shard, by `key` of blocks, for each of the studies.
    """

    def __init__(self, history: list[Study], sizes: list[dict[str, int]]):
        self.history, self.sizes = history, sizes
        self.study = history[-1]
        self.blocks = [
            list(_blocks(study, history[k - 1] if k else None, k))
            for k, study in enumerate(history)
        ]
        templates: dict[str, Mould] = {}
        for block in itertools.chain(*self.blocks):
            block.mould = templates.setdefault(block.mould.shape, block.mould)
        self.shapes = len(templates)

    def shards(self) -> Iterator[Shard]:
        """Every shard, in order."""
        for generation, (blocks, sizes) in enumerate(zip(self.blocks, self.sizes, strict=True)):
            count = itertools.count()
            for block in blocks:
                size = sizes[block.key]
                for begin in range(0, len(block), size):
                    name = f"{generation:03d}-{next(count):06d}"
                    yield Shard(name, block, begin, min(begin + size, len(block)))

    @property
    def trajectories(self) -> int:
        """How many there are in all."""
        return sum(len(block) for block in itertools.chain(*self.blocks))

    @property
    def points(self) -> int:
        """How many points the grid has."""
        return int(np.prod([len(axis.values) for axis in self.study.axes.values()], dtype=int))


def is_shard_name(name: str) -> bool:
    """Whether a shard may be called this."""
    return _SHARD.fullmatch(name) is not None


def _blocks(study: Study, before: Study | None, generation: int) -> Iterator[Block]:
    axes, template, references = study.axes, study.template, study.references()
    known = {} if before is None else {n: _places(before, n) for n in axes}
    found: dict[tuple, Block] = {}
    ids: dict[int, tuple] = {}
    for index in itertools.product(*(range(len(axis.values)) for axis in axes.values())):
        where = dict(zip(axes, index, strict=True))
        coordinates = {name: axes[name].coordinates[k] for name, k in where.items()}
        number = study.trial_id(coordinates)
        free = tuple(k for name, k in where.items() if name not in study.paired)
        if ids.setdefault(number, free) != free:
            raise ValueError(
                f"$.grid: two points have the same 64-bit number {number}; rename an axis"
            )
        old = before is not None and all(
            canonical(coordinates[name]) in known[name] for name in axes
        )
        first = before.trials if before is not None and old else 0
        if first == study.trials:
            continue
        point = build_point(template, axes, where)
        shape, values = mould(point, references)
        options = msgspec.json.encode([point.time, point.solver, point.output])
        key = (shape.shape, options, first)
        if key not in found:
            found[key] = Block(study, generation, shape, point, first)
        found[key]._add(index, number, values)
    for block in found.values():
        yield block._close()


def _places(study: Study, name: str) -> set[str]:
    return {canonical(coordinate) for coordinate in study.axes[name].coordinates}


# === one study after another


def differences(old: Study, new: Study) -> list[str]:
    """Why `new` is no extension of `old`, a line each; an extension adds trials and axis values."""
    found = []
    a, b = ({n: getattr(s, n) for n in s.__struct_fields__} for s in (old, new))
    for name in ("seed", "dtype", "paired", *old.template, *new.template):
        lines = list(_unequal(f"$.{name}", a.get(name), b.get(name)))
        found += [line for line in lines if line not in found]
    if new.trials < old.trials:
        found.append(f"$.trials: the store has {old.trials}, the spec {new.trials}")
    for name in dict.fromkeys((*old.axes, *new.axes)):
        if name not in old.axes or name not in new.axes:
            there = "the spec has none" if name in old.axes else "the store has none"
            found.append(f"$.grid.{name}: {there}")
            continue
        mine = {canonical(c): v for c, v in _pairs(new, name)}
        for coordinate, value in _pairs(old, name):
            if canonical(coordinate) not in mine:
                found.append(f"$.grid.{name}: the store has {coordinate!r}, the spec does not")
            elif mine[canonical(coordinate)] != value:
                found.append(
                    f"$.grid.{name}: {coordinate!r} stands for something else in the store"
                )
    return found


def is_same(old: Study, new: Study) -> bool:
    """Whether two studies ask for the same trajectories."""
    return not differences(old, new) and not differences(new, old)


def _pairs(study: Study, name: str) -> Iterator[tuple[Any, Any]]:
    axis = study.axes[name]
    return zip(axis.coordinates, axis.values, strict=True)


def _unequal(place: str, old: Any, new: Any) -> Iterator[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in dict.fromkeys((*old, *new)):
            yield from _unequal(f"{place}.{key}", old.get(key), new.get(key))
    elif old != new:
        yield f"{place}: the store has {_word(old)}, the spec {_word(new)}"


def _word(value: Any) -> str:
    if value is None:
        return "nothing"
    word = json.dumps(value)
    return word if len(word) <= 60 else word[:57] + "..."
