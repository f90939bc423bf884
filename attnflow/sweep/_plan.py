"""The plan: a pure function from studies to blocks of trajectories, and from sizes to shards."""

import bisect
import functools
import itertools
import json
import math
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from ._axes import canonical
from ._blocks import Block, blocks
from ._draw import Mould
from ._study import Study

_SHARD = re.compile(r"[0-9]{3}-[0-9]{6,18}")  # its study, and its number: six digits or more


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

    It is a rule: no list of points or shards is made, and its size is that of the studies' axes.

    **Arguments:**

    - `history`: the studies, the latest last.
    - `sizes`: trajectories in a shard, by `key` of blocks, for each of the studies.
    """

    def __init__(self, history: list[Study], sizes: list[dict[str, int]]):
        self.history: list[Study] = history
        self.sizes: list[dict[str, int]] = sizes
        self.study: Study = history[-1]
        self.blocks: list[list[Block]] = [
            blocks(study, history[k - 1] if k else None, k) for k, study in enumerate(history)
        ]
        templates: dict[str, Mould] = {}
        for block in self.every_block:
            block.mould = templates.setdefault(block.mould.shape, block.mould)
        self.shapes: int = len(templates)

    @property
    def every_block(self) -> Iterator[Block]:
        """The blocks of all studies, in order."""
        return itertools.chain(*self.blocks)

    def shards(self) -> Iterator[Shard]:
        """Every shard, in order."""
        for generation in range(len(self.blocks)):
            for number in range(self._ends[generation][-1]):
                yield self._shard(generation, number)

    def shard(self, name: str) -> Shard | None:
        """The shard of that name; `None` where the plan has none."""
        if not is_shard_name(name):
            return None
        generation, number = map(int, name.split("-"))
        if generation >= len(self.blocks) or number >= self._ends[generation][-1]:
            return None
        shard = self._shard(generation, number)
        return shard if shard.name == name else None

    def _shard(self, generation: int, number: int) -> Shard:
        ends = self._ends[generation]
        place = bisect.bisect_right(ends, number) - 1
        block = self.blocks[generation][place]
        size = self.sizes[generation][block.key]
        begin = (number - ends[place]) * size
        name = f"{generation:03d}-{number:06d}"
        return Shard(name, block, begin, min(begin + size, len(block)))

    @functools.cached_property
    def _ends(self) -> list[list[int]]:
        """How many shards come before each block of a study, and how many there are in all."""
        return [
            [0, *itertools.accumulate(-(-len(block) // sizes[block.key]) for block in its)]
            for its, sizes in zip(self.blocks, self.sizes, strict=True)
        ]

    def sized_blocks(self) -> Iterator[tuple[Block, int]]:
        """Every block, and how many shards it is cut into."""
        for its, ends in zip(self.blocks, self._ends, strict=True):
            yield from zip(its, (b - a for a, b in itertools.pairwise(ends)), strict=True)

    @property
    def shard_count(self) -> int:
        """How many shards there are."""
        return sum(ends[-1] for ends in self._ends)

    @property
    def trajectories(self) -> int:
        """How many there are in all."""
        return sum(map(len, self.every_block))

    @property
    def points(self) -> int:
        """How many points the grid has."""
        return math.prod(len(axis.values) for axis in self.study.axes.values())


def is_shard_name(name: str) -> bool:
    """Whether a shard may be called this."""
    return _SHARD.fullmatch(name) is not None


# === one study after another


def differences(old: Study, new: Study) -> list[str]:
    """Why `new` is no extension of `old`, a line each; an extension adds trials and axis values."""
    lines_that_differ = []
    a, b = ({n: getattr(s, n) for n in s.__struct_fields__} for s in (old, new))
    for name in ("seed", "dtype", "paired", *old.template, *new.template):
        lines = list(_unequal(f"$.{name}", a.get(name), b.get(name)))
        lines_that_differ += [line for line in lines if line not in lines_that_differ]
    if new.trials < old.trials:
        lines_that_differ.append(f"$.trials: the store has {old.trials}, the spec {new.trials}")
    for name in dict.fromkeys((*old.axes, *new.axes)):
        if name not in old.axes or name not in new.axes:
            there = "the spec has none" if name in old.axes else "the store has none"
            lines_that_differ.append(f"$.grid.{name}: {there}")
            continue
        mine = {canonical(c): v for c, v in _pairs(new, name)}
        for coordinate, value in _pairs(old, name):
            if canonical(coordinate) not in mine:
                lines_that_differ.append(
                    f"$.grid.{name}: the store has {coordinate!r}, the spec does not"
                )
            elif mine[canonical(coordinate)] != value:
                lines_that_differ.append(
                    f"$.grid.{name}: {coordinate!r} stands for something else in the store"
                )
    return lines_that_differ


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
