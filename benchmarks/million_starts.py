"""A million starts told apart in bounded memory, and exponents of a hundred thousand runs side by side.

    python benchmarks/million_starts.py [--quick]

Writes benchmarks/results/million-starts-<backend>.json. Four tokens on S², values diag(1, 1/2, 1/2), P = 2 I. Peak
memory is that of the whole process so far, compiler included: it is read after 2^15 starts, which are one chunk of
`find`, and again after all. Seconds are of the processor, all threads together, and of the wall; the first call, with
its compilation, is apart. Exponents: U = I + J turns consensus; three exponents of four tokens, 0, 0 and -1, of a
thousand runs, and the zero exponent alone of two tokens on a circle, of a hundred thousand.
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


def exponents(runs, tokens, dim, want, t1, **options):
    """The leading exponents of consensus that turns, over many starts, beside the closed form."""
    turn = jnp.zeros((dim, dim)).at[0, 1].set(-1.0).at[1, 0].set(1.0)
    sphere = af.Sphere(dim)
    field = af.AttentionField(sphere, P=jnp.eye(dim), U=jnp.eye(dim) + turn, scale=1.0)
    keys = jax.random.split(jax.random.key(1), runs)
    y0 = jax.vmap(lambda key: sphere.random(key, (tokens,)))(keys)
    got, cost = timed(lambda: af.attractors.exponents(field, y0, t1=t1, count=len(want), **options))
    off = np.abs(got.values - np.array(want))
    return {
        "runs": runs, "tokens": tokens, "dim": dim, "t1": t1, **cost, "mean": got.values.mean(axis=0).tolist(),
        "largest_error": off.max(axis=0).tolist(), "median_error": np.median(off, axis=0).tolist(),
        "median_error_bar": np.median(got.errors, axis=0).tolist(),
        "within_1e-6": float(np.mean(off.max(axis=1) <= 1e-6)),
    }  # fmt: skip


def main():
    """All of it, each part written when it is done, unless `--quick`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few starts; nothing is written")
    parser.add_argument("--part", choices=("find", "exponents"), help="one of the two alone")
    asked = parser.parse_args()
    path = RESULTS / f"million-starts-{jax.default_backend()}.json"
    out = json.loads(path.read_text()) if path.is_file() and not asked.quick else {}
    few = asked.quick
    sizes = (1000, 2000) if few else (CHUNK, CHUNK, 8 * CHUNK, MILLION)
    turning = ((20, 4, 3, (0.0, 0.0, -1.0), 60.0), (100, 2, 2, (0.0,), 40.0))
    if not few:
        turning = tuple(
            (many, *rest) for many in (1000, RUNS) for rest in [turning[many == RUNS][1:]]
        )
    work = {
        "find": [lambda n=n: starts(n) for n in sizes],
        "exponents": [lambda case=case: exponents(*case) for case in turning],
    }
    for part in work if asked.part is None else (asked.part,):
        before, begun = os.getloadavg(), peak()
        cases = []
        for case in work[part]:
            cases.append(case())
            print(json.dumps(cases[-1]), flush=True)
        out[part] = {
            "provenance": provenance(), "load_average_before": before, "load_average_after": os.getloadavg(),
            "before_mib": begun, "cases": cases,
        }  # fmt: skip
        if not few:
            with atomic_write(path) as file:
                file.write((json.dumps(out, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
