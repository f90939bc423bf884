"""Float32 beside float64: what it costs and the errors that it really reaches, tolerance by tolerance.

    python benchmarks/precision.py [--quick] [--only W1|W1s|W2|gradient]

Writes benchmarks/results/precision-<backend>.json. Both solve the same starts, in turn, and are compared with one run
of another solver in float64 at a tolerance far below. Times are seconds of processor time, the least of three, the
first call, which compiles, apart. An error is `bench.distance`: the root mean square over tokens, the largest
of four times.
"""

import argparse
import functools
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import diffrax
import equinox as eqx
import jax

jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp
import numpy as np

import attnflow as af
from attnflow import bench

RESULTS = Path(__file__).parent / "results"
DTYPES = ("float64", "float32")
CASES = {
    "W1": (bench.figure4_workload, (1e-2, 1e-3, 1e-4, 1e-5), 4, diffrax.Tsit5(), 1e-8),
    "W1s": (
        functools.partial(bench.figure4_workload, separable=True),
        (1e-3, 1e-4, 1e-5, 1e-6),
        4,
        diffrax.Dopri8(),
        1e-9,
    ),
    "W2": (
        bench.figure2_workload,
        tuple(10.0**-k for k in range(3, 9)),
        512,
        diffrax.Dopri8(),
        1e-12,
    ),
}


def in_turn(solves: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Seconds of processor time of each, the least of some rounds; each is called once before."""
    for solve in solves.values():
        solve()
    least = dict.fromkeys(solves, np.inf)
    for _ in range(repeats):
        for name, solve in solves.items():
            began = time.process_time()
            solve()
            least[name] = min(least[name], time.process_time() - began)
    return least


def ensembles(name: str, quick: bool) -> dict:
    """One case of `peers.py`: attnflow alone, in both precisions."""
    make, rtols, count, solver, tight = CASES[name]
    case = make()
    rtols, count = (rtols[:2], 2) if quick else (rtols, count)
    starts = case.starts(count)
    reference = bench.ours(solver)(case, starts, tight)
    solve = bench.ours()
    out = {"what": case.title, "trajectories": count, "rows": []}
    for rtol in rtols:
        runs = {d: functools.partial(solve, case, starts.astype(d), rtol) for d in DTYPES}
        seconds = in_turn(runs, 1 if quick else 3)
        for dtype, run in runs.items():
            error = bench.distance(np.asarray(run(), float), reference)
            row = {"rtol": rtol, "dtype": dtype, "error": error}
            out["rows"].append(row | {"milliseconds a trajectory": 1e3 * seconds[dtype] / count})
            print(name, out["rows"][-1], flush=True)
    return out


def gradient(quick: bool) -> dict:
    """The gradient of E(T) in P' (18 numbers) of one trajectory of Figs. 1-3, T = 10, reverse mode."""
    case = bench.figure2_workload(t1=10.0)

    @eqx.filter_jit
    def slope(field, y0, rtol):
        def value(matrix):
            moved = eqx.tree_at(lambda f: f.P.matrix, field, matrix)
            sol = af.simulate(moved, y0, t1=case.t1, rtol=rtol, atol=0.0)
            return af.misalignment(sol.y1)

        return jax.value_and_grad(value)(field.P.matrix)

    y0 = jnp.asarray(case.starts(1)[0])
    E, exact = (np.asarray(x, float) for x in slope(case.field, y0, jnp.asarray(1e-11)))
    out = {"what": case.title, "E(T)": float(E), "rows": []}
    for rtol in (1e-4,) if quick else (1e-3, 1e-4, 1e-5, 1e-6):
        runs = {}
        for dtype in DTYPES:
            field = jax.tree.map(
                lambda x, d=dtype: x.astype(d) if eqx.is_inexact_array(x) else x, case.field
            )
            given = (field, y0.astype(dtype), jnp.asarray(rtol, dtype))
            runs[dtype] = lambda given=given: jax.block_until_ready(slope(*given))
        seconds = in_turn(runs, 1 if quick else 5)
        for dtype, run in runs.items():
            value, found = (np.asarray(x, float) for x in run())
            row = {
                "rtol": rtol,
                "dtype": dtype,
                "relative error of E(T)": float(abs(value - E) / E),
                "relative error of the gradient": float(
                    np.linalg.norm(found - exact) / np.linalg.norm(exact)
                ),
                "milliseconds": 1e3 * seconds[dtype],
            }
            out["rows"].append(row)
            print(row, flush=True)
    return out


def main() -> None:
    """Run the cases asked for and write what they gave."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer points; writes nothing")
    parser.add_argument("--only", choices=[*CASES, "gradient"], help="one, put into the file")
    options = parser.parse_args()
    # Tolerances below what float32 resolves are asked for on purpose.
    warnings.filterwarnings("ignore", message="`rtol` .* is below what float32 resolves")
    sections = {name: functools.partial(ensembles, name, options.quick) for name in CASES}
    sections["gradient"] = functools.partial(gradient, options.quick)
    bench.report("precision", sections, folder=RESULTS, only=options.only, write=not options.quick)


if __name__ == "__main__":
    main()
