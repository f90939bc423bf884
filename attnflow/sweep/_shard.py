"""One shard: trajectories in, a labelled dataset out; the same bytes whoever computes it."""

import contextlib
import functools
import json
import os
import platform
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import jax
import jax.numpy as jnp
import msgspec
import numpy as np
import xarray as xr

from .. import ensemble
from ..core.machine import cores
from ..ensemble import OfField, Outcome
from ..flow import consensus
from ..model import AttentionField
from ..observables import Energy, Residual
from ..records import Provenance, provenance
from ._draw import Draw
from ._pack import pack
from ._plan import Block, Plan, Shard
from ._store import Store

if hasattr(jax, "enable_x64"):
    _enable_x64 = jax.enable_x64
else:  # before jax 0.8
    from jax.experimental import enable_x64 as _enable_x64  # pyright: ignore

MISSING = 0  # the outcome of a trajectory that is not there yet
_LONG_NAMES = {
    "misalignment": "misalignment E (eq. 9)",
    "aligned_pairs": "part of pairs with a cosine of at least the threshold",
    "order_parameter": "length of the mean direction",
    "clusters": "number of clusters",
    "effective_rank": "effective rank",
    "hemisphere_margin": "margin of the best hemisphere",
    "lyapunov": "Lyapunov function V (eq. 7)",
    "energy": "interaction energy",
    "residual": "distance from the manifold",
    "ended": "time at which the trajectory ended",
    "outcome": "how the trajectory ended",
    "steps": "steps of the solver, rejected ones included",
    "time": "time t",
    "trial": "number of the random start",
}


@contextlib.contextmanager
def wide() -> Iterator[None]:
    """64 bits on in this thread, whatever the dtype: random numbers depend on it."""
    with _enable_x64(True):
        yield


def _residual(field: AttentionField) -> Residual:
    return Residual(field.manifold)


_OF_FIELD = {"energy": OfField(Energy), "residual": OfField(_residual)}


def trajectory(block: Block, point: int, trial: int) -> tuple[AttentionField, jax.Array]:
    """Field and start of one trajectory, by its point's place in the block; within `wide`."""
    row = (
        jnp.asarray(block.ids(np.array([point]))[0]),
        jnp.asarray(trial, jnp.uint32),
        tuple(jnp.asarray(column[0]) for column in block.numbers(np.array([point]))),
    )
    return _sampler(block)(row)


def run_options(block: Block) -> dict[str, Any]:
    """The keyword arguments of `ensemble.run` and `simulate` that a block's tables state."""
    point, dtype = block.point, block.study.dtype
    time, solver = point.time, point.solver
    options: dict[str, Any] = {"t0": time.t0, "t1": time.t1}
    if time.points is not None:
        options["ts"] = np.linspace(time.t0, time.t1, time.points).astype(dtype)
    options |= {
        k: v for k in ("rtol", "atol", "max_steps") if (v := getattr(solver, k)) is not None
    }
    return options


def observers(block: Block) -> dict[str, Any]:
    """What is observed, by name."""
    output = block.point.output
    return {
        name: _OF_FIELD[name] if name in _OF_FIELD else output.make(name, None)
        for name in block.point.observed
    }


def _sampler(block: Block) -> Draw:
    mould, study = block.mould, block.study
    return Draw(mould.template, mould.slots, study.dtype, jnp.asarray(study.seed, jnp.uint32))


def compute(block: Block, points: np.ndarray, trials: np.ndarray) -> ensemble.Ensemble:
    """Trajectories of a block by their points' places in it and trials; some may fail."""
    with wide():
        field, _ = trajectory(block, int(points[0]), int(trials[0]))
        until = block.point.time.until
        return ensemble.run(
            field,
            _sampler(block),
            each=(block.ids(points), trials, tuple(block.numbers(points))),
            observe=observers(block),
            until=None if until is None else consensus(until),
            progress=False,
            **run_options(block),
        )


def labelled(shard: Shard, result: ensemble.Ensemble, made: Provenance) -> xr.Dataset:
    """Results of a shard as a dataset along `trajectory`, with coordinates, units and attributes.

    **Arguments:**

    - `made`: the provenance.
    """
    block = shard.block
    points, trials = shard.rows()
    coordinates: dict[str, Any] = {}
    indices = block.indices(points)
    for k, (name, axis) in enumerate(block.study.axes.items()):
        coordinates[name] = ("trajectory", axis.array[indices[:, k]])
    coordinates["trial"] = ("trajectory", trials.astype(np.int64))
    timed = result.ts is not None
    if timed:
        coordinates["time"] = ("time", np.asarray(result.ts, np.float64))
    data: dict[str, Any] = {}
    for name, values in result.ys.items():
        data[name] = (("trajectory", "time"), values) if timed else ("trajectory", values[:, 0])
    data["ended"] = ("trajectory", result.t1)
    data["outcome"] = ("trajectory", result.outcome.astype(np.int8))
    data["steps"] = ("trajectory", result.stats["num_steps"].astype(np.int32))
    dataset = xr.Dataset(data, coordinates, attributes(block, made))
    describe(dataset)
    return dataset


def describe(dataset: xr.Dataset) -> None:
    """Say what each variable is, in its attributes."""
    for name, array in dataset.variables.items():
        array.attrs["long_name"] = _LONG_NAMES.get(str(name), str(name))
        array.attrs["units"] = "1"
    outcome = dataset["outcome"].attrs
    outcome["flag_values"] = [MISSING, *(int(o) for o in Outcome)]
    outcome["flag_meanings"] = " ".join(["missing", *(o.name.lower() for o in Outcome)])


def attributes(block: Block, origin: Provenance) -> dict[str, str]:
    """The study, the versions, the precision and the kind of device, as text."""
    return {
        "title": block.study.title,
        "study": msgspec.json.encode(block.study).decode(),
        "versions": json.dumps(origin["versions"], sort_keys=True),
        "dtype": block.study.dtype,
        "device": ", ".join(sorted(set(origin["devices"]))),
        "platform": origin["platform"],
        "time_unit": "dimensionless, the model's t",
    }


# === as a task


@functools.lru_cache(maxsize=4)
def _plan_of(address: str, studies: int) -> Plan:
    return Store(address).plan()


def make(address: str, studies: int, name: str) -> dict[str, Any]:
    """Compute a shard and put it into its store: what an executor is given.

    **Arguments:**

    - `address`: of the store, as seen from where this runs.
    - `studies`: how many the store held when the task was made.
    - `name`: of the shard.

    **Returns:**

    A receipt: the shard's name and file, trajectories, outcomes counted, seconds.
    """
    began = time.perf_counter()
    started = datetime.now(UTC).isoformat(timespec="seconds")
    shard = _plan_of(address, studies).shard(name)
    assert shard is not None, name
    result = compute(shard.block, *shard.rows())
    origin = provenance()
    content = pack(labelled(shard, result, origin))
    seconds = time.perf_counter() - began
    outcomes = {str(int(how)): count for how, count in result.outcomes.items() if count}
    made = {
        "shard": name,
        "trajectories": len(shard),
        "outcomes": outcomes,
        "seconds": round(seconds, 3),
        "started": started,
        "host": platform.node(),
        "process": os.getpid(),
        "cores": cores(),
        "bytes": len(content),
        **origin,
    }
    file = Store(address).write(name, content, made)
    keys = ("shard", "trajectories", "outcomes", "seconds", "host", "process", "bytes")
    return {"file": file, **{key: made[key] for key in keys}}
