"""A million starts told apart in bounded memory, and exponents of a hundred thousand runs side by side.

    python benchmarks/million_starts.py [--quick]

Writes benchmarks/results/million-starts-<backend>.json. Four tokens on S², values diag(1, 1/2, 1/2), P = 2 I. Peak
memory is that of the whole process so far, compiler included: it is read after 2^15 starts, which are one chunk of
`find`, and again after all. Seconds are of the processor, all threads together, and of the wall; the first call, with
its compilation, is apart. Exponents: U = I + J turns consensus; the error bars are counted against the closed form.
"""

import argparse
import json
import os
import resource
import time
from pathlib import Path

import jax

jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp
import numpy as np

import attnflow as af
from attnflow.records import atomic_write, provenance

RESULTS = Path(__file__).parent / "results"
SPHERE = af.Sphere(3)
TOKENS, CHUNK, MILLION, RUNS = 4, 2**15, 10**6, 10**5


def draw(key):
    """Four tokens, uniform."""
    return SPHERE.random(key, (TOKENS,))


def peak():
    """The largest memory that the process has held, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def timed(work):
    """What it returns; processor seconds, wall seconds and the peak of memory after it."""
    cpu, wall = time.process_time(), time.perf_counter()
    got = work()
    return got, {
        "processor_seconds": time.process_time() - cpu,
        "seconds": time.perf_counter() - wall,
        "peak_mib": peak(),
    }


def starts(number):
    """`find` on the first so many starts."""
    U = jnp.diag(jnp.array([1.0, 0.5, 0.5]))
    field = af.AttentionField(SPHERE, P=2.0 * jnp.eye(3), U=U, scale=1.0)
    found, cost = timed(
        lambda: af.attractors.find(
            field, draw, number=number, key=jax.random.key(0), t1=60.0, progress=False
        )
    )
    rows = [
        {"kind": r.kind, "masses": r.masses, "count": r.count, "low": r.low, "high": r.high}
        for r in found
    ]
    return {"starts": number, **cost, "failed": found.failed, "rows": rows}


def exponents(runs):
    """The three leading exponents of consensus that turns, over many starts: 0, 0, -1."""
    turn = jnp.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    field = af.AttentionField(SPHERE, P=jnp.eye(3), U=jnp.eye(3) + turn, scale=1.0)
    y0 = jax.vmap(draw)(jax.random.split(jax.random.key(1), runs))
    got, cost = timed(lambda: af.attractors.exponents(field, y0, t1=60.0, count=3))
    off = np.abs(got.values - np.array([0.0, 0.0, -1.0]))
    return {
        "runs": runs, **cost, "mean": got.values.mean(axis=0).tolist(), "largest_error": off.max(axis=0).tolist(),
        "median_error": np.median(off, axis=0).tolist(), "median_error_bar": np.median(got.errors, axis=0).tolist(),
        "within_1e-6": float(np.mean(off.max(axis=1) <= 1e-6)),
    }  # fmt: skip


def main():
    """All of it, to a file unless `--quick`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few starts; nothing is written")
    quick = parser.parse_args().quick
    out = {"provenance": provenance(), "tokens": TOKENS, "load_average_before": os.getloadavg()}
    out["before_mib"] = peak()
    sizes = (1000, 2000) if quick else (CHUNK, CHUNK, 8 * CHUNK, MILLION)
    out["find"] = []
    for number in sizes:
        out["find"].append(starts(number))
        print(json.dumps(out["find"][-1]), flush=True)
    out["exponents"] = []
    for runs in (20, 20) if quick else (1000, 1000, RUNS):
        out["exponents"].append(exponents(runs))
        print(json.dumps(out["exponents"][-1]), flush=True)
    out["load_average_after"] = os.getloadavg()
    if not quick:
        with atomic_write(RESULTS / f"million-starts-{jax.default_backend()}.json") as file:
            file.write((json.dumps(out, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
