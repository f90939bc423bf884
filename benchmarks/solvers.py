"""Which solver, at which tolerance: work against precision on five kinds of flow.

    python benchmarks/solvers.py [--quick] [--only NAME]

Writes benchmarks/results/solvers-<backend>.json. Each solver runs `simulate` on the same starts, one
after the other, at a ladder of tolerances (or of steps); the error is that of `bench.Point` against
a run of another solver at a tolerance far below. Heun's and Euler's methods with constant steps and
projection are what most scripts of the field do.
"""

import argparse
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
ERRORS = (1e-2, 1e-4, 1e-6, 1e-8, 1e-10)
ADAPTIVE = {
    "Heun": diffrax.Heun,
    "Bosh3": diffrax.Bosh3,
    "Tsit5": diffrax.Tsit5,
    "Dopri5": diffrax.Dopri5,
    "Dopri8": diffrax.Dopri8,
    "Kvaerno5": diffrax.Kvaerno5,
}
CONSTANT = {
    "Euler, constant steps": diffrax.Euler,
    "Heun, constant steps": diffrax.Heun,
    "Tsit5, constant steps": diffrax.Tsit5,
}


def constant_P():
    """10 tokens on S^2, full attention, two heads, constant P of norm 2, U = I."""
    P = jr.normal(jr.key(3), (2, 3, 3))
    P = 2 * P / jnp.linalg.norm(P, axis=(1, 2), keepdims=True)
    return af.AttentionField(af.Sphere(3), P=P), af.Sphere(3).random(jr.key(1), (4, 10)), 20.0


def clusters():
    """32 tokens on S^2, P = 9 I, U = I, rows that sum to one: clusters form fast and merge slowly."""
    field = af.AttentionField(af.Sphere(3), P=9 * jnp.eye(3), scale=1.0)
    return field, af.Sphere(3).random(jr.key(1), (4, 32)), 20.0


def figures_1_to_3():
    """10 tokens on S^2, P(t) with five cycles a unit of time."""
    case = bench.figure2_workload()
    return case.field, case.starts(4), case.t1


def few_kinks():
    """50 causal tokens on S^499, two rectified sines: steps end at their kinks."""
    case = bench.figure4_workload(separable=True, t1=50.0)
    return case.field, case.starts(2), case.t1


def many_kinks():
    """Fig. 4: 50 causal tokens on S^499, a thousand rectified sines, 160 kinks a unit of time."""
    case = bench.figure4_workload(t1=50.0)
    return case.field, case.starts(2), case.t1


PROBLEMS = {f.__name__: f for f in (constant_P, figures_1_to_3, clusters, few_kinks, many_kinks)}


def work_precision(name: str, quick: bool) -> dict:
    """Every solver's points on one problem, and its milliseconds a trajectory at each of `ERRORS`."""
    field, starts, t1 = PROBLEMS[name]()
    wide = starts.shape[-1] > 3
    rtols = 10.0 ** -np.arange(2, 12 if not wide else 9 if name == "few_kinks" else 7)
    steps = t1 / np.array([40, 100, 400, 1000, 4000, 10_000][: 4 if wide else 6])
    # A solver apart from most of those compared, at a tolerance far below.
    reference = {
        "many_kinks": (diffrax.Tsit5(), 1e-8),
        "few_kinks": (diffrax.Dopri8(), 1e-11),
    }.get(name, (diffrax.Dopri8(), 1e-13))
    out = {"what": PROBLEMS[name].__doc__.strip(), "t1": t1, "starts": len(starts), "solvers": {}}
    for label, solver in {**ADAPTIVE, **CONSTANT}.items():
        if wide and label == "Kvaerno5":
            continue  # Newton's method on 2500 unknowns
        constant = label in CONSTANT
        points, taken, reference = bench.solver_points(
            field,
            starts,
            (steps if constant else rtols)[:: 3 if quick else 1],
            t1=t1,
            solver=solver(),
            reference=reference,
            constant=constant,
            repeats=0 if wide else 3,
        )
        at_errors = bench.at_errors({label: points}, ERRORS)[label]
        out["solvers"][label] = {
            "constant steps": constant,
            "points": [[*p] for p in points],
            "mean steps": taken,
            "milliseconds at error": at_errors,
        }
        shown = {error: ms and round(ms, 2) for error, ms in at_errors.items()}
        print(f"{name:16s} {label:24s} {shown}", flush=True)
    return out


def main() -> None:
    """Run the problems asked for and write what they gave."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer points; writes nothing")
    parser.add_argument("--only", choices=list(PROBLEMS), help="one problem, put into the file")
    options = parser.parse_args()
    bench.report(
        "solvers",
        {name: (lambda name=name: work_precision(name, options.quick)) for name in PROBLEMS},
        folder=RESULTS,
        only=options.only,
        write=not options.quick,
    )


if __name__ == "__main__":
    main()
