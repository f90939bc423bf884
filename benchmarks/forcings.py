"""Fast forcings: errors in tolerances and the steps they cost, and the steps of the paper's Figures 2 and 5.

    python benchmarks/forcings.py [--quick]

Writes benchmarks/results/forcings-<backend>.json. Fixed seeds.
"""

import argparse
import json
from pathlib import Path

import diffrax
import jax

jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp
import jax.random as jr
import numpy as np

import attnflow as af
from attnflow import bench
from attnflow.bench._forcings import forced_runs, forcings
from attnflow.paper._runs import start
from attnflow.paper._theorem_3_2 import T1 as T1_FIGURE_2, V, field_theorem_3_2
from attnflow.paper._theorem_4_5 import T1 as T1_FIGURE_5, field_theorem_4_5, top_eigenvector
from attnflow.records import atomic_write, provenance

RESULTS = Path(__file__).parent / "results"
SOLVERS = {"Tsit5": diffrax.Tsit5, "Dopri8": diffrax.Dopri8, "Bosh3": diffrax.Bosh3}
RTOLS = (1e-4, 1e-5, 1e-6, 1e-7, 1e-8)


def bank(number: int) -> list[dict]:
    """Errors and steps of so many forced runs, by solver and tolerance."""
    rows, out = jnp.asarray(forcings(number)), []
    for name, solver in SOLVERS.items():
        for run in forced_runs(rows, solver(), RTOLS):
            errors, steps = run["errors"], run["steps"]
            out.append(
                {
                    "solver": name,
                    "rtol": run["rtol"],
                    "worst_error_in_tolerances": float(errors.max()),
                    "above_20": int(np.sum(errors > 20)),
                    "mean_steps": float(steps.mean()),
                }
            )
            print(out[-1])
    return out


def figures() -> dict[str, list[int]]:
    """Steps of ten runs of Figures 2 and 5 at the default tolerances."""
    cases = {
        "2": (field_theorem_3_2(), jnp.array(V), T1_FIGURE_2),
        "5": (field_theorem_4_5(), top_eigenvector()[1], T1_FIGURE_5),
    }
    out = {}
    for name, (field, v, t1) in cases.items():
        runs = [af.simulate(field, start(field, jr.key(k), v), t1=t1) for k in range(10)]
        out[name] = [int(run.stats["num_steps"]) for run in runs]
        print(name, out[name])
    return out


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few cases, nothing written")
    quick = parser.parse_args().quick
    number = 8 if quick else 160
    result = {
        "machine": bench.machine(),
        "provenance": provenance(),
        "cases": number,
        "bank": bank(number),
        "figure_steps": figures(),
    }
    if not quick:
        with atomic_write(RESULTS / f"forcings-{jax.default_backend()}.json") as file:
            file.write((json.dumps(result, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
