"""The shards of a store as one lazy dataset: what is not there is missing, what is read is verified."""

import functools
import json
import math
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from ._axes import Axis, canonical
from ._pack import unpack
from ._plan import Plan, Shard
from ._shard import MISSING, describe
from ._store import Damaged, Store

_KEPT_SHARDS = 64  # in memory
# A selection above so many bytes with less than one trajectory in so many there is refused.
_MOST_EMPTY, _SPARSE = 2**28, 16


def from_shards(home: Store, plan: Plan) -> xr.Dataset:
    """The dataset made of the shards that are there."""
    reader = _Shards(home, plan)
    data: dict[str, Any] = {}
    for name, (tail, dtype, fill) in reader.variables.items():
        dims = (*plan.study.axes, "trial", *tail)
        lazy = indexing.LazilyIndexedArray(_Lazy(reader, name, dtype, fill))
        data[name] = xr.Variable(dims, lazy)
    coordinates: dict[str, Any] = {
        name: (name, axis.array) for name, axis in plan.study.axes.items()
    }
    coordinates["trial"] = ("trial", pd.RangeIndex(plan.study.trials))  # of no size
    coordinates |= _times(plan)
    dataset = xr.Dataset(data, coordinates, reader.attributes)
    describe(dataset)
    return dataset


def _times(plan: Plan) -> dict[str, Any]:
    # One grid of times, unless an axis changes where it ends.
    study = plan.study
    blocks = list(plan.every_block)
    points = blocks[0].point.time.points
    if points is None:
        return {}
    if len({block.point.time.t1 for block in blocks}) == 1:
        return {"time": ("time", _grid(blocks[0], points))}
    (axis,) = {name for path, name in study.references() if path == ("time", "t1")}
    place = list(study.axes).index(axis)
    values = np.full((len(study.axes[axis].values), points), np.nan)
    for block in blocks:
        if block.study is study or block.study.axes[axis].values == study.axes[axis].values:
            values[block.along(place)] = _grid(block, points)
        else:
            at = _places(block.study.axes[axis], study.axes[axis])
            values[at[block.along(place)]] = _grid(block, points)
    return {"t": ((axis, "time"), values)}


def _grid(block: Any, points: int) -> np.ndarray:
    time = block.point.time
    return np.linspace(time.t0, time.t1, points).astype(block.study.dtype).astype(np.float64)


class _Shards:
    """Shards of a store by name, the last ones read kept in memory."""

    def __init__(self, home: Store, plan: Plan):
        self.home, self.plan = home, plan
        self.there = home.present(plan)
        self.done = sum(len(shard) for shard, _ in self.there)
        # Where each generation's axis values are among the latest study's.
        self._places = [
            [_places(axis, plan.study.axes[name]) for name, axis in study.axes.items()]
            for study in plan.history
        ]
        self.load = functools.lru_cache(maxsize=_KEPT_SHARDS)(self._load)
        study = plan.study
        self.shape = (*(len(axis.values) for axis in study.axes.values()), study.trials)
        observed = plan.blocks[0][0].point
        tail = () if observed.time.points is None else ("time",)
        self.times = observed.time.points or 1
        floats = np.dtype(study.dtype)
        self.variables: dict[str, tuple[tuple[str, ...], np.dtype, Any]] = {
            name: (tail, np.dtype(np.int64), -1) if name == "clusters" else (tail, floats, np.nan)
            for name in sorted(observed.observed)
        }
        self.variables["ended"] = ((), floats, np.nan)
        self.variables["outcome"] = ((), np.dtype(np.int8), MISSING)
        self.variables["steps"] = ((), np.dtype(np.int32), -1)

    def _load(self, file: str) -> xr.Dataset:
        try:
            content = self.home.read(file)
        except FileNotFoundError as error:
            raise Damaged(
                f"`{self.home.address}`: shards/{file} was there and is not; open the store again."
            ) from error
        return unpack(content).load()

    @functools.cached_property
    def attributes(self) -> dict[str, Any]:
        """Of the dataset: those of the first shard, the latest study, how much is there."""
        import msgspec

        study = self.plan.study
        attributes = dict(self.load(self.there[0][1]).attrs) if self.there else {}
        attributes |= {"title": study.title, "study": msgspec.json.encode(study).decode()}
        attributes["trajectories"] = f"{self.done} of {self.plan.trajectories}"
        attributes.setdefault("versions", json.dumps(self.home.made_with(), sort_keys=True))
        return attributes

    def indices(self, shard: Shard) -> list[np.ndarray]:
        """Where the shard's trajectories are along each axis of the latest study, and their trials."""
        points, trials = shard.rows()
        places = self._places[shard.block.generation]
        indices = shard.block.indices(points)
        where = [p[indices[:, k]] for k, p in enumerate(places)]
        return [*where, trials.astype(np.int64)]


def _places(old: Axis, new: Axis) -> np.ndarray:
    known = {canonical(value): k for k, value in enumerate(new.coordinates)}
    return np.asarray([known[canonical(value)] for value in old.coordinates], np.int64)


class _Lazy(BackendArray):
    """One variable of all shards, read as it is indexed."""

    def __init__(self, reader: _Shards, name: str, dtype: np.dtype, fill: Any):
        self.reader, self.name, self.dtype, self.fill = reader, name, dtype, fill
        tail = reader.variables[name][0]
        self.shape = (*reader.shape, *([reader.times] if tail else []))

    def __getitem__(self, key: Any) -> Any:
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.OUTER, self._get
        )

    def _get(self, key: tuple) -> np.ndarray:
        lead = len(self.reader.shape)
        self._check(key, lead)
        indices = [_selected(k, n) for n, k in zip(self.shape, key, strict=True)]
        rows = [np.atleast_1d(w) for w in indices]
        out = np.full([len(r) for r in rows], self.fill, self.dtype)
        # Places that are asked for twice are copied from the first at the end.
        lookups = [_Lookup(row) for row in rows[:lead]]
        for shard, file in self.reader.there:
            where = [look(i) for look, i in zip(lookups, self.reader.indices(shard), strict=True)]
            mine = np.flatnonzero(np.all(np.stack(where) >= 0, axis=0))
            if len(mine):
                values = self.reader.load(file)[self.name].values[mine]
                if len(rows) > lead:
                    values = values[:, rows[lead]]
                out[tuple(w[mine] for w in where)] = values
        for k, (look, row) in enumerate(zip(lookups, rows, strict=False)):
            if look.repeats:
                out = np.take(out, look(row), axis=k)
        scalar = tuple(0 if w.ndim == 0 else slice(None) for w in indices)
        return np.asarray(out[scalar])

    def _check(self, key: tuple, lead: int) -> None:
        """Refuse a large selection that is next to empty, with the size that it would have."""
        counts = [_length(k, n) for n, k in zip(self.shape, key, strict=True)]
        count, done = math.prod(counts[:lead]), self.reader.done
        size = math.prod(counts) * self.dtype.itemsize
        if size > _MOST_EMPTY and done * _SPARSE < count:
            raise ValueError(
                f"`{self.reader.home.address}` holds {done:,} trajectories, and {count:,} of {self.name} "
                f"were asked for, {size / 1e9:,.3g} GB of nearly nothing; select fewer (.sel, .isel), or "
                "export what is there as .parquet."
            )


class _Lookup:
    """Where an index is in a row of them, the first time; -1 where it is not."""

    def __init__(self, row: np.ndarray):
        self.sorted, self.first = np.unique(row, return_index=True)
        self.repeats = len(self.sorted) < len(row)

    def __call__(self, index: np.ndarray) -> np.ndarray:
        if not len(self.sorted):
            return np.full(len(index), -1)
        place = np.minimum(np.searchsorted(self.sorted, index), len(self.sorted) - 1)
        return np.where(self.sorted[place] == index, self.first[place], -1)


def _selected(key: Any, size: int) -> np.ndarray:
    """The indices that a key stands for."""
    if isinstance(key, slice):
        return np.arange(*key.indices(size))
    index = np.asarray(key)
    if np.any((index < -size) | (index >= size)):
        raise IndexError(f"index {key} is out of bounds for an axis of {size}")
    return np.where(index < 0, index + size, index)


def _length(key: Any, size: int) -> int:
    return len(range(*key.indices(size))) if isinstance(key, slice) else np.size(key)
