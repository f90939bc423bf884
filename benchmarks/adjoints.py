"""Adjoints on the search for schedules: accuracy, time and memory of one gradient.

    python benchmarks/adjoints.py [--quick] [--only NAME]

Writes benchmarks/results/adjoints-<backend>.json. The gradient is of log E(T), ten causal tokens on S^9,
T = 6, in P(t): 900 numbers (linear between nine knots) or two (the amplitude and phase of a multiple of
the identity). Errors are against central differences of fourth order along a random direction: on a
fixed grid of steps, where they are exact, and on adaptive steps against differences at rtol 1e-12.
"""

import argparse
import math
import time
from pathlib import Path

import diffrax
import jax

jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp
import jax.random as jr
import numpy as np

import attnflow as af
from attnflow import bench

RESULTS = Path(__file__).parent / "results"
DIM, TOKENS, T1 = 10, 10, 6.0
SPHERE = af.Sphere(DIM)
Y0 = SPHERE.random_hemisphere(jr.key(0), (TOKENS,))
ADJOINTS = {
    "recursive checkpoint": diffrax.RecursiveCheckpointAdjoint(),
    "direct": diffrax.DirectAdjoint(),
    "backsolve": diffrax.BacksolveAdjoint(),
    "forward": diffrax.ForwardMode(),
}
FIXED = {
    "solver": diffrax.Tsit5(),
    "controller": diffrax.ConstantStepSize(),
    "dt0": T1 / 60,
    "max_steps": 256,
}
ADAPTIVE = {"rtol": 1e-6, "atol": 1e-8, "max_steps": 512}
TIGHT = {"rtol": 1e-12, "atol": 1e-13, "max_steps": 4096, "solver": diffrax.Dopri8()}


def many(numbers):
    """900 numbers: P at nine knots."""
    return af.Bounded(af.Interpolated(jnp.linspace(0.0, T1, 9), numbers, "linear"), 20.0)


def few(numbers):
    """Two numbers: P(t) = a sin(2t + b) I."""
    return af.ScaledIdentity(af.Sinusoid(numbers[0], jnp.asarray(2.0), numbers[1]), DIM)


PROBLEMS = {
    "900 numbers": (many, 2 * jr.normal(jr.key(1), (9, DIM, DIM))),
    "2 numbers": (few, jnp.asarray([2.0, 0.3])),
}


def loss(make, numbers, adjoint, options):
    """log E(T)."""
    field = af.AttentionField(SPHERE, P=make(numbers), mask="causal")
    sol = af.simulate(field, Y0, t1=T1, adjoint=adjoint, **options)
    return jnp.log(af.misalignment(sol.y1))


def quotient(make, numbers, direction, options):
    """Along the direction, of fourth order."""
    adjoint = diffrax.RecursiveCheckpointAdjoint()
    at = jax.jit(lambda h: loss(make, numbers + h * direction, adjoint, options))
    h = 1e-3
    f = {k: float(at(jnp.asarray(k * h))) for k in (-2, -1, 1, 2)}
    return (8 * (f[1] - f[-1]) - (f[2] - f[-2])) / (12 * h)


def compared(name: str, quick: bool) -> dict:
    """Every adjoint's gradient: compile time, run time, temporary memory, error."""
    make, numbers = PROBLEMS[name]
    direction = jr.normal(jr.key(2), numbers.shape)
    direction = direction / jnp.linalg.norm(direction)
    out: dict = {}
    for kind, options in (("fixed steps", FIXED), ("adaptive, rtol 1e-6", ADAPTIVE)):
        oracle = quotient(make, numbers, direction, FIXED if options is FIXED else TIGHT)
        rows = {}
        for label, adjoint in ADJOINTS.items():
            forward = label == "forward"
            if forward and numbers.size > 100:
                continue
            given = dict(options)
            if label != "direct" and "dt0" not in given:
                given.pop("max_steps")
            derivative = jax.jacfwd if forward else jax.grad
            function = derivative(lambda x, a=adjoint, g=given: loss(make, x, a, g))
            began = time.perf_counter()
            compiled = jax.jit(function).lower(numbers).compile()
            compiling = time.perf_counter() - began
            gradient = compiled(numbers)
            times = []
            for _ in range(3 if quick else 15):
                began = time.perf_counter()
                jax.block_until_ready(compiled(numbers))
                times.append(time.perf_counter() - began)
            along = float(jnp.sum(gradient * direction))
            error = abs(along / oracle - 1)
            rows[label] = {
                # None: not finite, as backsolve is in constant steps when the end is a save.
                "relative error": error if math.isfinite(error) else None,
                "seconds": float(np.median(times)),
                "compile seconds": compiling,
                "temporary MB": compiled.memory_analysis().temp_size_in_bytes / 2**20,
            }
            print(name, kind, label, rows[label], flush=True)
        out[kind] = rows
    return out


def main() -> None:
    """Compare and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer repeats; writes nothing")
    parser.add_argument("--only", choices=list(PROBLEMS), help="one, put into the file")
    options = parser.parse_args()
    sections = {name: (lambda name=name: compared(name, options.quick)) for name in PROBLEMS}
    bench.report("adjoints", sections, folder=RESULTS, only=options.only, write=not options.quick)


if __name__ == "__main__":
    main()
