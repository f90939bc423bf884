"""Attractors measured: 10^5 starts of ten tokens on S² told apart, the run itself and what comes on top of it.

    python benchmarks/attractors.py [--quick]

Writes benchmarks/results/attractors-<backend>.json. Values are diag(1, 1/2, 1/2), P = beta I. The run alone is
`ensemble.run` of the same starts with the same end at rest and tolerance, nothing looked at; the first calls, with
their compilation, are apart. The misnamed are counted by signs: at rest tokens are on the first axis.
"""

import argparse
import json
import os
import time
from pathlib import Path

import jax

jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp
import numpy as np

import attnflow as af
from attnflow import bench
from attnflow.records import atomic_write, provenance

RESULTS = Path(__file__).parent / "results"
TOKENS, T1, BETAS = 10, 200.0, (6.0,)
SPHERE = af.Sphere(3)


def draw(key):
    """Ten tokens, uniform."""
    return SPHERE.random(key, (TOKENS,))


def held(beta):
    """Values that are larger along the first axis."""
    U = jnp.diag(jnp.array([1.0, 0.5, 0.5]))
    return af.AttentionField(SPHERE, P=beta * jnp.eye(3), U=U, scale=1.0)


def tokens(y):
    """What is observed at the end."""
    return y


class Still:
    """The end of a run at rest, as `find` has it."""

    def __init__(self, field):
        self.field = field

    def __call__(self, y):
        return jnp.max(jnp.linalg.norm(self.field(0.0, y), axis=1)) - 1e-6


def alone(beta, number):
    """Where all starts end, by the ensemble alone; and its seconds."""
    field = held(beta)
    begun = time.perf_counter()
    result = af.ensemble.run(
        field, draw, number=number, key=jax.random.key(0), t1=T1, until=lambda y: Still(field)(y),
        observe={"y": tokens}, rtol=1e-8, atol=1e-10, progress=False,
    )  # fmt: skip
    return result.ys["y"][:, 0], time.perf_counter() - begun


def find(beta, number):
    """`find` on the first so many starts; and its seconds."""
    begun = time.perf_counter()
    found = af.attractors.find(
        held(beta), draw, number=number, key=jax.random.key(0), t1=T1, progress=False
    )
    return found, time.perf_counter() - begun


def measured(beta, number):
    """Both on the same starts, and where they disagree."""
    find(beta, 64)  # compiles
    alone(beta, 64)
    found, seconds = find(beta, number)
    ends, run_seconds = alone(beta, number)
    up = np.sum(ends[:, :, 0] > 0, axis=1)
    most = np.maximum(up, TOKENS - up)
    settled = np.abs(ends[:, :, 0]).min(axis=1) > 0.99
    named = np.array(
        [row.masses[0] if row.kind in ("consensus", "polarised") else -1 for row in found]
    )
    wrong = settled & (named[found.labels] != most)
    return {
        "beta": beta,
        "starts": number,
        "seconds": seconds,
        "run_alone_seconds": run_seconds,
        "on_top_seconds": seconds - run_seconds,
        "on_the_axis_at_the_end_of_the_run_alone": int(settled.sum()),
        "named_otherwise_than_by_their_signs": int(wrong.sum()),
        "rows": [
            {
                "kind": row.kind, "shape": row.shape, "masses": row.masses, "count": row.count, "low": row.low,
                "high": row.high, "rightmost": float(row.spectrum.outside[0].real),
            }
            for row in found
        ],
    }  # fmt: skip


def main():
    """All of it, to a file unless `--quick`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="a thousand starts; nothing is written"
    )
    quick = parser.parse_args().quick
    out = {
        "machine": bench.machine(),
        "provenance": provenance(),
        "tokens": TOKENS,
        "t1": T1,
        "cases": [],
    }
    for beta in BETAS:
        out["cases"].append(measured(beta, 1000 if quick else 100_000))
        out["load_average_after"] = os.getloadavg()
        print(json.dumps(out["cases"][-1], indent=1), flush=True)
        if not quick:
            with atomic_write(RESULTS / f"attractors-{jax.default_backend()}.json") as file:
                file.write((json.dumps(out, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
