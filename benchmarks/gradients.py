"""The gradient of E(T): against the forward run, against plain diffrax, and in memory.

    python benchmarks/gradients.py [--quick] [--only NAME]

Writes benchmarks/results/gradients-<backend>.json. The gradient is that in P' (18 numbers for Figs. 1-3,
500 000 for Fig. 4), of one trajectory, reverse mode. The peer is `diffrax.diffeqsolve` with the field
as one writes it and the default adjoint; compared is the time at the same error of the gradient.
"""

import argparse
from pathlib import Path

import diffrax
import equinox as eqx
import jax

jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp

import attnflow as af
from attnflow import bench

RESULTS = Path(__file__).parent / "results"


def figures_1_to_3():
    """10 tokens on S^2, T = 10: E falls from 1.2 to 2e-5."""
    rtols = (1e-4, 1e-5, 1e-6, 1e-7, 1e-8)
    return bench.figure2_workload(t1=10.0), lambda f: f.P.matrix, rtols, 1e-12, diffrax.Dopri8()


def figure_4():
    """50 causal tokens on S^499, T = 50."""
    rtols = (1e-2, 1e-3, 1e-4, 1e-5)
    return bench.figure4_workload(t1=50.0), lambda f: f.P.matrix, rtols, 1e-8, diffrax.Tsit5()


PROBLEMS = {f.__name__: f for f in (figures_1_to_3, figure_4)}


def gradient(name: str, quick: bool) -> dict:
    """Both libraries' times and errors, forward and backward, by tolerance."""
    case, place, rtols, tight, solver = PROBLEMS[name]()
    gradients = bench.gradients(
        case, place, rtols[:2] if quick else rtols, tight=tight, solver=solver
    )
    for label, rows in gradients.rows.items():
        for row in rows:
            print(label, {key: float(f"{value:.3g}") for key, value in row.items()})
    print(gradients, flush=True)
    return {"what": case.title, **gradients.record()}


def memory(quick: bool) -> dict:
    """Temporary memory of the compiled gradient of Fig. 4 and the steps taken, by horizon."""
    case = bench.figure4_workload(t1=10.0)
    y0, matrix = jnp.asarray(case.starts(1)[0]), jnp.asarray(case.matrix)
    out = {}
    for t1 in (10.0, 40.0) if quick else (10.0, 40.0, 160.0):

        def value(matrix, t1=t1):
            field = eqx.tree_at(lambda f: f.P.matrix, case.field, matrix)
            sol = af.simulate(field, y0, t1=t1, rtol=1e-4, atol=0.0)
            return af.misalignment(sol.y1), sol.stats["num_steps"]

        compiled = jax.jit(jax.grad(value, has_aux=True)).lower(matrix).compile()
        _, steps = compiled(matrix)
        temporary = compiled.memory_analysis().temp_size_in_bytes / 2**20
        out[f"T = {t1:g}"] = {"steps": int(steps), "temporary MB": temporary}
        print(t1, out[f"T = {t1:g}"], flush=True)
    return out


def main() -> None:
    """Run the problems asked for and write what they gave."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer points; writes nothing")
    parser.add_argument("--only", choices=[*PROBLEMS, "memory"], help="one, put into the file")
    options = parser.parse_args()
    sections = {name: (lambda name=name: gradient(name, options.quick)) for name in PROBLEMS}
    sections["memory"] = lambda: memory(options.quick)
    bench.report("gradients", sections, folder=RESULTS, only=options.only, write=not options.quick)


if __name__ == "__main__":
    main()
