"""Sweeps measured: what a store costs, one process beside two, the phase diagram beside its curve.

    python benchmarks/sweeps.py [--quick] [--only NAME]

Writes benchmarks/results/sweeps-<backend>.json, a section a name. Times to be compared are taken in
turn in one run, compiled before.
"""

import json
import tempfile
import time
from pathlib import Path

import jax

jax.config.update("jax_enable_x64", True)

import numpy as np
from msgspec.structs import replace

import attnflow as af
from attnflow import bench
from attnflow.sweep import _shard
from attnflow.sweep._plan import Plan

RESULTS = Path(__file__).parent / "results"

BASE = {
    "grid": {"beta": {"start": 0.5, "stop": 4.0, "count": 8}},
    "manifold": {"dim": 3},
    "tokens": {"count": 16},
    "attention": {"P": "$beta", "scale": 1.0},
    "time": {"t1": 20.0, "points": 21},
}


def timed(go):
    """Seconds of a call, and what it gave."""
    began = time.perf_counter()
    result = go()
    return time.perf_counter() - began, result


def sized(seconds: float) -> af.sweep.Study:
    """A study of about so many seconds here."""
    probe = af.sweep.estimate(af.sweep.Study(trials=1000, **BASE))
    return af.sweep.Study(trials=max(8, int(1000 * seconds / probe.seconds)), **BASE)


def overhead(quick: bool) -> dict:
    """Shards of ten seconds beside one call of `ensemble.run` for the same trajectories."""
    study = sized(3.0 if quick else 45.0)
    (block,) = Plan([study], [{}]).blocks[0]
    points, trials = block.rows(0, len(block))
    rounds = []
    for _ in range(1 if quick else 3):
        bare, _ = timed(lambda: _shard.compute(block, points, trials))
        with tempfile.TemporaryDirectory() as folder:
            # The probe is no part of it: it is made once, for all that follows.
            shard_seconds = 1.0 if quick else 10.0
            few = replace(study, trials=1)
            af.sweep.run(few, f"{folder}/s", shard_seconds=shard_seconds, compact=False)
            whole, state = timed(
                lambda f=folder, s=shard_seconds: af.sweep.run(study, f"{f}/s", shard_seconds=s)
            )
            made = [
                json.loads(p.read_text()) for p in sorted(Path(f"{folder}/s/provenance").iterdir())
            ]
        rounds.append(
            {
                "bare ensemble, seconds": bare,
                "sweep, seconds": whole,
                "over": whole / bare - 1,
                "shards": state.shards - 1,
                "seconds a shard": float(np.median([m["seconds"] for m in made[1:]])),
            }
        )
        print(rounds[-1], flush=True)
    return {
        "trajectories": len(block),
        "rounds": rounds,
        "median over": float(np.median([r["over"] for r in rounds])),
    }


def processes(quick: bool) -> dict:
    """This process with all cores beside a process for each core, both compiled before."""
    study = sized(4.0 if quick else 20.0)
    out: dict = {"trajectories": 8 * study.trials, "workers": af.sweep.Pool().workers, "rounds": []}
    with af.sweep.Pool() as pool:
        executors = {"one process, seconds": None, "pool, seconds": pool}
        for k in range(2 if quick else 4):
            row = {}
            for name, executor in executors.items():
                with tempfile.TemporaryDirectory() as folder:
                    few = replace(study, trials=1)
                    af.sweep.run(few, f"{folder}/s", shard_seconds=1.0, compact=False)
                    row[name], _ = timed(
                        lambda f=folder, e=executor: af.sweep.run(
                            study, f"{f}/s", e, shard_seconds=1.0
                        )
                    )
            print(row, flush=True)
            if k == 0:
                out["with compilation"] = row
                continue
            row["ratio"] = row["pool, seconds"] / row["one process, seconds"]
            out["rounds"].append(row)
    out["median ratio"] = float(np.median([r["ratio"] for r in out["rounds"]]))
    return out


def crossings(pairs: np.ndarray, times: np.ndarray) -> np.ndarray:
    """When the part of pairs passes one half, along the last axis; NaN where it does not."""
    above = pairs >= 0.5
    k = above.argmax(axis=-1)
    before = np.maximum(k - 1, 0)
    high, low = (np.take_along_axis(pairs, i[..., None], -1)[..., 0] for i in (k, before))
    part = np.where(high > low, (0.5 - low) / np.where(high > low, high - low, 1), 1)
    result = times[before] + part * (times[k] - times[before])
    return np.where(above.any(axis=-1) & (k > 0), result, np.nan)


def phase(quick: bool) -> dict:
    """The ready study at d = 2, 8, 32, 128, and d = 1024 with fewer starts; time, and K1's curve."""
    ready = af.sweep.read_study("phase-diagram")
    out: dict = {}
    expected = {"64 starts": ([2, 8, 32, 128], 64), "8 starts": ([1024], 8)}
    for name, (dims, trials) in expected.items():
        study = replace(
            ready,
            trials=4 if quick else trials,
            grid={**ready.grid, "d": dims[:2] if quick else dims},
        )
        with tempfile.TemporaryDirectory() as folder:
            seconds, state = timed(lambda s=study, f=folder: af.sweep.run(s, f"{f}/s"))
            data = af.sweep.open(f"{folder}/s").load()
        beta, times = data["beta"].values, data["time"].values
        exact = af.theory.equiangular_time(0.999, beta, 32)
        table = {}
        for d in data["d"].values.tolist():
            pairs = data["aligned_pairs"].sel(d=d).transpose("beta", "trial", "time").values
            when = crossings(pairs, times)
            rows = []
            for b, curve, starts in zip(beta.tolist(), exact.tolist(), when, strict=True):
                there = starts[np.isfinite(starts)]
                if len(there) < len(starts) or not len(there):
                    continue
                half = (times[1] - times[0]) / 2
                rows.append(
                    {
                        "beta": b,
                        "curve": curve,
                        "median": float(np.median(there)),
                        "least": float(there.min()),
                        "most": float(there.max()),
                        "met": bool(there.min() - half <= curve <= there.max() + half),
                    }
                )
            # The first beta at which the curve leaves the spread of the starts.
            missed = [row["beta"] for row in rows if not row["met"]]
            table[f"d = {d}"] = {"first beta not met": min(missed, default=None), "crossings": rows}
        out[name] = {
            "seconds, all included": seconds,
            "trajectories": state.trajectories,
            "against K1": table,
        }
        print(name, seconds, {k: v["first beta not met"] for k, v in table.items()}, flush=True)
    return out


def plan(quick: bool) -> dict:
    """What 10^9 trajectories would take, from the probe: the ready studies, trials scaled up."""
    out = {}
    for name in ("phase-diagram", "basin"):
        ready = af.sweep.read_study(name)
        trials = ready.trials if quick else -(-(10**9) // _points(ready))
        out[name] = af.sweep.estimate(replace(ready, trials=trials))._asdict()
    return out


def _points(study: af.sweep.Study) -> int:
    return int(np.prod([len(axis.values) for axis in study.axes.values()]))


SECTIONS = {f.__name__: f for f in (overhead, processes, phase, plan)}


if __name__ == "__main__":
    bench.run_sections("sweeps", __doc__.splitlines()[0], SECTIONS, folder=RESULTS)
