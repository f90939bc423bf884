"""Shares of starts proved to go to an attractor, by `af.certify.basin`.

    python benchmarks/basins.py

Writes benchmarks/results/basins-<backend>.json. Values are diag(1, 1/2, 1/2), P = beta I, on S²; and U = I. What is
proved is exact arithmetic and does not depend on the machine; seconds are of the processor.
"""

import json
import time
from pathlib import Path

import jax

jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp

import attnflow as af
from attnflow import bench

RESULTS = Path(__file__).parent / "results"
SPHERE = af.Sphere(3)
CASES = ((2.0, 2, 2), (2.0, 4, 4), (2.0, 5, 3), (2.0, 8, 0), (0.6, 2, 2))


def ends(ahead, behind):
    """Tokens at both ends of the first axis."""
    signs = jnp.where(jnp.arange(ahead + behind) < ahead, 1.0, -1.0)
    return signs[:, None] * jnp.eye(3)[:1]


def proved(field, ahead, behind, **what):
    """What is proved of one state."""
    begun = time.process_time()
    got = af.certify.basin(field, ends(ahead, behind))
    out = {
        **what, "ahead": ahead, "behind": behind, "verdict": got.verdict, "why": got.why, "angle": got.angle,
        "hemisphere": got.hemisphere, "one": got.one, "copies": got.copies, "share": got.share,
        "processor_seconds": time.process_time() - begun,
    }  # fmt: skip
    print(json.dumps(out), flush=True)
    return out


def shares():
    """All states, each printed when it is done."""
    U = jnp.diag(jnp.array([1.0, 0.5, 0.5]))
    rows = []
    for beta, ahead, behind in CASES:
        field = af.AttentionField(SPHERE, P=beta * jnp.eye(3), U=U, scale=1.0)
        rows.append(proved(field, ahead, behind, beta=beta, U="diag(1, 1/2, 1/2)"))
    same = af.AttentionField(SPHERE, P=jnp.eye(3), scale=1.0)
    rows.append(proved(same, 8, 0, beta=1.0, U="I"))
    return {"cases": rows}


if __name__ == "__main__":
    bench.report("basins", {"shares": shares}, folder=RESULTS)
