"""attnflow beside what one would use instead: seconds a trajectory at equal error, on all cores.

    python benchmarks/peers.py [--quick] [--only W1|W1s|W2|sizes] [--torchode PYTHON]

Writes benchmarks/results/peers-<backend>.json. Every peer solves the same starts in float64 at a ladder
of tolerances; compared is the time at the same achieved error, between measured points, without the
first call, which compiles. Peers that are not installed are left out: `pip install numba torchdiffeq
scikit-sundae`. torchode needs an environment of its own; `--torchode` is its Python.
"""

import argparse
from pathlib import Path

import jax

jax.config.update("jax_enable_x64", True)

import diffrax
import numpy as np

from attnflow import bench

RESULTS = Path(__file__).parent / "results"
CASES = {
    "W1": (bench.figure4_workload, (1e-2, 3e-3, 1e-3, 1e-4, 1e-5, 1e-6), 24, (1e-3, 3e-4, 1e-4)),
    "W1s": (
        lambda: bench.figure4_workload(separable=True),
        (1e-2, 1e-3, 1e-4, 1e-5, 1e-6),
        8,
        (1e-3, 1e-4, 1e-5),
    ),
    "W2": (
        bench.figure2_workload,
        (3e-2, *(10.0**-k for k in range(2, 10))),
        2048,
        (1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8),
    ),
}


def versus(name: str, quick: bool, torchode: str | None) -> dict:
    """One case: points of every contender, and seconds a trajectory at equal error."""
    make, rtols, count, errors = CASES[name]
    case = make()
    rtols, count = (rtols[:3], count // 8) if quick else (rtols, count)
    starts = case.starts(count)
    # A run of another solver at a tolerance far below those compared.
    tight = {"W1": 1e-8, "W1s": 1e-9, "W2": 1e-12}[name]
    solver = diffrax.Tsit5() if name == "W1" else diffrax.Dopri8()
    reference = bench.ours(solver)(case, starts, tight)
    contenders = {"attnflow": bench.Peer(bench.ours(), "attnflow")}
    # Beside the default: another for kinks by the thousand, and what smooth flows are cheapest with at tight errors.
    other = diffrax.Bosh3() if name == "W1" else diffrax.Dopri8()
    contenders[f"attnflow {type(other).__name__}"] = bench.Peer(bench.ours(other), "attnflow")
    contenders |= {k: p for k, p in bench.peers().items() if p.installed}
    elsewhere = {}
    if torchode is not None:  # first: an environment in which it does not run is found at once
        many = min(count, 1024)
        runs = bench.torchode(torchode)(
            case, starts[:many], list(rtols[:4]), 1 if case.dim > 3 else 2
        )
        elsewhere["torchode Tsit5"] = [
            bench.Point(r, bench.distance(ys, reference[:many]), float(s) / many)
            for r, (ys, s) in zip(rtols[:4], runs, strict=True)
        ]
    ladders = bench.compare_solvers(
        case, starts, reference, contenders, rtols, few=1 if case.dim > 3 else 4, patience=8.0
    )
    ladders |= elsewhere
    print(bench.table(ladders, errors), flush=True)
    return {
        "what": case.title,
        "trajectories": count,
        "points (rtol, error, seconds)": {k: [[*p] for p in v] for k, v in ladders.items()},
        "milliseconds a trajectory at error": bench.at_errors(ladders, errors),
    }


def sizes(quick: bool) -> dict:
    """W2 with more and more systems, at rtol 1e-6: trajectories a second of attnflow and of numba."""
    case, out, ours = bench.figure2_workload(), {}, bench.ours()
    contenders = {
        "attnflow": ours,
        "attnflow, float32": lambda case, y, rtol: ours(case, y.astype(np.float32), rtol),
        "numba, by hand": bench.peers()["numba, by hand, parallel"].solve,
    }
    for count in (1024, 8192) if quick else (1024, 8192, 100_000):
        starts = case.starts(count)
        for name, solve in contenders.items():
            timing = bench.clock(
                lambda s=solve, y=starts: s(case, y, 1e-6), 0 if count > 10_000 else 1
            )
            # The largest is timed once: nothing is left to compile.
            out[f"{name}, {count} systems"] = {"trajectories a second": count / timing.later}
            print(name, count, out[f"{name}, {count} systems"], flush=True)
    return out


def main() -> None:
    """Run the cases asked for and write what they gave."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer points; writes nothing")
    parser.add_argument("--only", choices=[*CASES, "sizes"], help="one case, put into the file")
    parser.add_argument("--torchode", help="the Python of an environment with torch and torchode")
    options = parser.parse_args()
    sections = {
        name: (lambda name=name: versus(name, options.quick, options.torchode)) for name in CASES
    }
    sections["sizes"] = lambda: sizes(options.quick)
    bench.report("peers", sections, folder=RESULTS, only=options.only, write=not options.quick)


if __name__ == "__main__":
    main()
