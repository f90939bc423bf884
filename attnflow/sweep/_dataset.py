"""The shards of a store as one lazy dataset: what is not there is missing, what is read is verified."""

import functools
import json
from typing import Any

import numpy as np
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from ._axes import Axis, canonical
from ._pack import unpack
from ._plan import Plan, Shard
from ._shard import MISSING, describe
from ._store import Damaged, Store

_KEPT_SHARDS = 64  # in memory


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
    coordinates["trial"] = ("trial", np.arange(plan.study.trials))
    coordinates |= _times(plan)
    dataset = xr.Dataset(data, coordinates, reader.attributes)
    describe(dataset)
    return dataset


def _times(plan: Plan) -> dict[str, Any]:
    # One grid of times, unless an axis changes where it ends.
    study = plan.study
    blocks = [block for blocks in plan.blocks for block in blocks]
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
            values[block.indices[:, place]] = _grid(block, points)
        else:
            at = _places(block.study.axes[axis], study.axes[axis])
            values[at[block.indices[:, place]]] = _grid(block, points)
    return {"t": ((axis, "time"), values)}


def _grid(block: Any, points: int) -> np.ndarray:
    time = block.point.time
    return np.linspace(time.t0, time.t1, points).astype(block.study.dtype).astype(np.float64)


class _Shards:
    """Shards of a store by name, the last ones read kept in memory."""

    def __init__(self, home: Store, plan: Plan):
        self.home, self.plan = home, plan
        files = home.files()
        self.there = [(shard, files[shard.name]) for shard in plan.shards() if shard.name in files]
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
        found = dict(self.load(self.there[0][1]).attrs) if self.there else {}
        found |= {"title": study.title, "study": msgspec.json.encode(study).decode()}
        done = sum(len(shard) for shard, _ in self.there)
        found["trajectories"] = f"{done} of {self.plan.trajectories}"
        found.setdefault("versions", json.dumps(self.home.made_with(), sort_keys=True))
        return found

    def indices(self, shard: Shard) -> list[np.ndarray]:
        """Where the shard's trajectories are along each axis of the latest study, and their trials."""
        points, trials = shard.rows()
        places = self._places[shard.block.generation]
        where = [p[shard.block.indices[points, k]] for k, p in enumerate(places)]
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
        wanted = [np.arange(n)[k] for n, k in zip(self.shape, key, strict=True)]
        rows = [np.atleast_1d(w) for w in wanted]
        out = np.full([len(r) for r in rows], self.fill, self.dtype)
        lookups = []
        for size, row in zip(self.reader.shape, rows, strict=False):
            # Places that are asked for twice are copied from the first at the end.
            lookup = np.full(size, -1)
            lookup[row[::-1]] = np.arange(len(row))[::-1]
            lookups.append(lookup)
        for shard, file in self.reader.there:
            where = [look[i] for look, i in zip(lookups, self.reader.indices(shard), strict=True)]
            mine = np.flatnonzero(np.all(np.stack(where) >= 0, axis=0))
            if len(mine):
                values = self.reader.load(file)[self.name].values[mine]
                if len(rows) > lead:
                    values = values[:, rows[lead]]
                out[tuple(w[mine] for w in where)] = values
        for k, (look, row) in enumerate(zip(lookups, rows, strict=False)):
            if len(np.unique(row)) < len(row):
                out = np.take(out, look[row], axis=k)
        scalar = tuple(0 if w.ndim == 0 else slice(None) for w in wanted)
        return np.asarray(out[scalar])
