"""How long trajectories take here: a short timed run of each shape, which fixes the shards' sizes."""

import time
from typing import Any

import jax
import numpy as np

from ..core.machine import cores
from ..records import progress as bar
from ._blocks import Block
from ._shard import compute, trajectory, wide

_SECONDS, _MOST = 1.5, 4096  # of one timed run, and trajectories in it
_BUDGET = 90.0  # seconds; shapes beyond it are estimated from those measured
_LARGEST = 2**26  # bytes of a shard
_SHARD_BYTES = 12_000  # of an empty shard's file


def probe(blocks: list[Block], known: dict[str, Any], show: bool = True) -> dict[str, Any]:
    """Seconds and bytes a trajectory, by `key` of blocks.

    **Arguments:**

    - `blocks`: those to run.
    - `known`: what earlier probes found; those keys are not measured again.

    **Returns:**

    For each key `seconds` (a trajectory, on the cores at hand), `first` (seconds of the first call,
    compilation included), `bytes` (a trajectory, uncompressed) and whether it was `measured`.
    """
    by_key = {block.key: block for block in blocks}
    work = {key: _work(block) for key, block in by_key.items()}
    timings = {key: known[key] for key in by_key if key in known}
    open_ = _spread(sorted((k for k in by_key if k not in timings), key=lambda k: work[k]))
    began = time.perf_counter()
    with bar(total=len(open_), description="probe", unit=" shapes", show=show) as shown:
        for key in open_:
            if not timings or time.perf_counter() - began < _BUDGET:
                timings[key] = {**_measure(by_key[key]), "measured": True}
            shown.update()
    for key in open_:
        if key not in timings:
            near = sorted((k for k in timings if k in work), key=lambda k: work[k])
            at, here = np.log([work[k] for k in near]), float(np.log(work[key]))
            guess = {
                name: float(np.exp(np.interp(here, at, np.log([timings[k][name] for k in near]))))
                for name in ("seconds", "first")
            }
            timings[key] = {**guess, "bytes": _bytes(by_key[key]), "measured": False}
    return {key: timings[key] for key in by_key}


def shard_size(block: Block, measured: dict[str, Any], seconds: float) -> int:
    """Trajectories in a shard of about so many seconds."""
    many = min(seconds / measured["seconds"], _LARGEST / measured["bytes"])
    return int(max(1, min(many, len(block), 2**20)))


def shard_bytes(measured: dict[str, Any], shards: int, trajectories: int) -> float:
    """Bytes of so many shards' files, at most: uncompressed."""
    return _SHARD_BYTES * shards + measured["bytes"] * trajectories


def _spread(keys: list[str]) -> list[str]:
    # The ends first, then what halves the gaps.
    order, gaps = keys[-1:] + keys[:1] if len(keys) > 1 else keys[:], [(0, len(keys) - 1)]
    for low, high in gaps:
        middle = (low + high) // 2
        if low < middle < high:
            order.append(keys[middle])
            gaps += [(low, middle), (middle, high)]
    return order


def _measure(block: Block) -> dict[str, float]:
    first, lanes = _run(block, 2)
    # All lanes at work: a lane costs the same used or not.
    number = max(2, lanes * cores())
    seconds, _ = _run(block, number)
    # A call has a cost of its own, which a few trajectories would be charged with.
    while seconds < _SECONDS / 2 and number < _MOST:
        count = int(number * _SECONDS / max(seconds, 1e-3))
        number = min(_MOST, max(4 * number, min(count, 64 * number)))
        seconds, _ = _run(block, number)
    return {"seconds": seconds / number, "first": first, "bytes": _bytes(block)}


def _run(block: Block, number: int) -> tuple[float, int]:
    """Seconds of a run of trajectories from all over the block, and the lanes of a crew."""
    spread = np.linspace(0, block.points - 1, min(number, block.points)).astype(int)
    spread = np.minimum(spread, block.points - 1)  # which a float may not hold
    points = np.resize(spread, number)
    trials = (np.arange(number) // len(spread) + block.first).astype(np.uint32)
    began = time.perf_counter()
    lanes = compute(block, points, trials).work["lanes"]
    return time.perf_counter() - began, lanes


def _bytes(block: Block) -> int:
    times = block.point.time.points or 1
    item = 8 if block.study.dtype == "float64" else 4
    axes = sum(axis.array.dtype.itemsize for axis in block.study.axes.values())
    return times * item * len(block.point.observed) + axes + 8 + item + 1 + 4


def _work(block: Block) -> float:
    # Products of one evaluation of the field, times the length of the run.
    heads = []

    def start():
        field, y0, *_ = trajectory(block, 0, block.first)
        heads.append(field.heads)
        return y0

    with wide():
        tokens, dim = jax.eval_shape(start).shape
    dim = min(dim, tokens)
    each = tokens * (tokens * (20 + dim) + dim * dim)
    return heads[0] * each * (block.point.time.t1 - block.point.time.t0)
