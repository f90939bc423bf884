"""Special points of fields with closed forms: how far off each is located, and how long a branch takes.

    python benchmarks/branches.py [--quick]

Writes benchmarks/results/branches-<backend>.json: for a fold, a pitchfork, a transcritical point, a Hopf point, a
crossing of two eigenvalues at once and polarised tokens, the value found, the closed form, and the seconds of the
second call (the first compiles). And the most memory of a process that tells apart 20 000 and 200 000 starts.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
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
CIRCLE, SPHERE = af.Sphere(2), af.Sphere(3)
TOGETHER = jnp.array([[1.0, 0.0], [1.0, 0.0]])


def two(u, tilt):
    """Two causal tokens, the first held."""
    U = jnp.array([[1.0, tilt], [0.0, 0.0]]) + u * jnp.diag(jnp.array([0.0, 1.0]))
    return af.AttentionField(
        CIRCLE, P=jnp.zeros((2, 2)), U=U, mask="causal", frozen=[True, False], scale=1.0
    )


def tilted(u):
    """With a fold and a transcritical point."""
    return two(u, 0.6)


def straight(u):
    """With a pitchfork."""
    return two(u, 0.0)


def turning(u):
    """With a Hopf point."""
    around = jnp.array([[0.0, 0, 0], [0, 0, -1.3], [0, 1.3, 0]])
    U = jnp.diag(jnp.array([1.0, 0, 0])) + u * jnp.diag(jnp.array([0, 1.0, 1.0])) + around
    return af.AttentionField(
        SPHERE, P=jnp.zeros((3, 3)), U=U, mask="causal", frozen=[True, False], scale=1.0
    )


def triangle(beta):
    """Three tokens under the kernel without a denominator."""
    return af.AttentionField(CIRCLE, P=beta * jnp.eye(2), kernel="exp", scale=1.0)


def held(beta):
    """Values that are larger along one axis."""
    U = jnp.diag(jnp.array([1.0, 0.5, 0.5]))
    return af.AttentionField(SPHERE, P=beta * jnp.eye(3), U=U, scale=1.0)


FOUR = jnp.eye(3)[jnp.zeros(8, int)] * jnp.array([[1.0], [-1.0]])[jnp.arange(8) // 4]
# family, tokens, start, range; kind and value of what is known of it.
CASES = {
    "tilted": (tilted, TOGETHER, 1.5, (0.5, 3.0), {"transcritical": 2.0, "fold": 1.8}),
    "straight": (straight, TOGETHER, 1.5, (0.5, 3.0), {"pitchfork": 2.0}),
    "turning": (turning, jnp.eye(3)[jnp.array([0, 0])], 1.2, (0.5, 3.0), {"hopf": 2.0}),
    "triangle": (
        triangle, af.theory.polygon(3), -2.0, (-3.0, 1.0),
        {"transcritical": -2 / 3, "pitchfork": -np.log(2) / 2},
    ),
    "polarised": (held, FOUR, 0.6, (0.0, 0.7), {"pitchfork": np.arctanh(0.5)}),
}  # fmt: skip


def measured(name):
    """One case: what was found beside what is known."""
    family, y, start, (low, high), known = CASES[name]

    def call():
        begun = time.perf_counter()
        got = af.attractors.branch(family(start), y, family, start=start, low=low, high=high)
        return got, time.perf_counter() - begun

    _, first = call()
    got, second = call()
    points = [
        {
            "kind": point.kind, "value": point.value, "width": point.width,
            "closed_form": known.get(point.kind),
            "error": None if point.kind not in known else abs(point.value - known[point.kind]),
        }
        for point in got
    ]  # fmt: skip
    assert {point["kind"] for point in points} >= set(known)
    return {
        "case": name, "seconds_first": first, "seconds": second, "curves": len(got.curves),
        "equilibria": sum(len(curve.value) for curve in got.curves), "points": points,
    }  # fmt: skip


def draw(key):
    """Three tokens on the circle."""
    return CIRCLE.random(key, (3,))


def memory(number):
    """`find` in this process: its most memory in MiB, and seconds."""
    field = af.AttentionField(CIRCLE, P=jnp.eye(2), scale=1.0)
    begun = time.perf_counter()
    found = af.attractors.find(
        field, draw, number=number, key=jax.random.key(0), t1=60.0, progress=False
    )
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    kinds = {row.kind: row.share for row in found}
    return {
        "starts": number, "MiB": most, "seconds": time.perf_counter() - begun, "shares": kinds,
    }  # fmt: skip


def main():
    """All of it, to a file unless `--quick`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two cases; nothing is written")
    parser.add_argument("--memory", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.memory:
        print(json.dumps(memory(given.memory)))
        return
    out = {"provenance": provenance(), "machine": bench.machine()}
    out["cases"] = [measured(name) for name in (list(CASES)[:2] if given.quick else CASES)]
    if not given.quick:
        out["memory"] = []
        for number in (20_000, 200_000):
            command = [sys.executable, __file__, "--memory", str(number)]
            ran = subprocess.run(command, check=True, capture_output=True, text=True)
            out["memory"].append(json.loads(ran.stdout.splitlines()[-1]))
    out["load_average_after"] = os.getloadavg()
    print(json.dumps(out, indent=1))
    if not given.quick:
        with atomic_write(RESULTS / f"branches-{jax.default_backend()}.json") as file:
            file.write((json.dumps(out, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
