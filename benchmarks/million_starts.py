"""A million starts told apart in bounded memory, and exponents of many runs side by side.

    python benchmarks/million_starts.py [--quick] [--only find|exponents]

Writes benchmarks/results/million-starts-<backend>.json. Four tokens on S², values diag(1, 1/2, 1/2), P = 2 I. Peak
memory is that of the whole process so far, compiler included: it is read after 2^15 starts, which are one chunk of
`find`, and again after all. Seconds are of the processor, all threads together, and by the clock; the first row has the
compilation. Exponents: U = I + J turns consensus. Three exponents of four tokens, 0, 0 and -1, of a thousand runs, and
the zero exponent of two tokens on a circle, of a hundred thousand.
"""

import argparse
import json
import time
from pathlib import Path

import jax

jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp
import numpy as np

import attnflow as af
from attnflow import bench

RESULTS = Path(__file__).parent / "results"
SPHERE = af.Sphere(3)
TOKENS, CHUNK, MILLION = 4, 2**15, 10**6


def draw(key):
    """Four tokens, uniform."""
    return SPHERE.random(key, (TOKENS,))


def timed(work):
    """What it returns; processor seconds, seconds by the clock and the peak of memory after it."""
    cpu, wall = time.process_time(), time.perf_counter()
    got = work()
    cost = {
        "processor seconds": time.process_time() - cpu,
        "seconds": time.perf_counter() - wall,
        "peak MB": bench.peak_mb(),
    }
    return got, cost


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


def exponents(runs, tokens, dim, want, t1):
    """The leading exponents of consensus that turns, over many starts, beside the closed form."""
    turn = jnp.zeros((dim, dim)).at[0, 1].set(-1.0).at[1, 0].set(1.0)
    sphere = af.Sphere(dim)
    field = af.AttentionField(sphere, P=jnp.eye(dim), U=jnp.eye(dim) + turn, scale=1.0)
    keys = jax.random.split(jax.random.key(1), runs)
    y0 = jax.vmap(lambda key: sphere.random(key, (tokens,)))(keys)
    got, cost = timed(lambda: af.attractors.exponents(field, y0, t1=t1, count=len(want)))
    off = np.abs(got.values - np.array(want))
    return {
        "runs": runs, "tokens": tokens, "dim": dim, "t1": t1, **cost, "mean": got.values.mean(axis=0).tolist(),
        "largest error": off.max(axis=0).tolist(), "median error": np.median(off, axis=0).tolist(),
        "median error bar": np.median(got.errors, axis=0).tolist(),
        "within 1e-6": float(np.mean(off.max(axis=1) <= 1e-6)),
    }  # fmt: skip


def rows(work, cases):
    """Each case in turn, printed when it is done."""
    out = []
    for case in cases:
        out.append(work(*case))
        print(json.dumps(out[-1]), flush=True)
    return {"cases": out}


def main():
    """Both sections, each written when it is done, unless `--quick`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few starts; nothing is written")
    parser.add_argument(
        "--only", choices=("find", "exponents"), help="one section, put into the file"
    )
    asked = parser.parse_args()
    some, many = (20, 100) if asked.quick else (1000, 10**5)
    numbers = (1000, 2000) if asked.quick else (CHUNK, CHUNK, 8 * CHUNK, MILLION)
    turning = ((some, 4, 3, (0.0, 0.0, -1.0), 60.0), (many, 2, 2, (0.0,), 40.0))
    sections = {
        "find": lambda: rows(starts, [(number,) for number in numbers]),
        "exponents": lambda: rows(exponents, turning),
    }
    bench.report("million-starts", sections, folder=RESULTS, only=asked.only, write=not asked.quick)


if __name__ == "__main__":
    main()
