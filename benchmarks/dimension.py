"""Runs in span coordinates against plain ones as the dimension grows: d = 500, 2048, 12 288.

    python benchmarks/dimension.py [--quick] [--only NAME]

Writes benchmarks/results/dimension-<backend>.json. 50 causal tokens, two heads, one rectified sine a
head, as Fig. 4 with P(t) separable (and with P constant); P' has entries uniform on [-1/2, 1/2] and the
horizon is 2 sqrt(d), since the flow slows down like 1/sqrt(d). Set-up (the matrices taken to span
coordinates) and integration are timed apart. At d = 12 288, where plain steps take two seconds, plain and reduced
runs are compared over a twentieth of the horizon.
"""

import argparse
from pathlib import Path

import equinox as eqx
import jax

jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp
import jax.random as jr
import numpy as np

import attnflow as af
from attnflow import bench

RESULTS = Path(__file__).parent / "results"


def flow(dim: int, static: bool) -> tuple[af.AttentionField, jax.Array]:
    """The field and a start."""
    matrix = np.random.default_rng(0).random((2, dim, dim))
    matrix -= 0.5
    P = jnp.asarray(matrix)
    if not static:
        c = af.Sinusoid(2.0, jnp.array([0.3, 0.7]), jnp.array([0.1, 1.0]), rectified=True)
        P = c * af.Constant(P)
    entries = jr.uniform(jr.key(1), (50, dim), minval=-0.5, maxval=0.5)
    return af.AttentionField(af.Sphere(dim), P=P, mask="causal"), af.Sphere(dim).project(entries)


def one_dimension(dim: int, static: bool) -> dict:
    """Set-up, integration and whole runs, reduced and plain."""
    field, y0 = flow(dim, static)
    options = {"t1": 2.0 * dim**0.5, "rtol": 1e-6, "atol": 0.0}
    reduce = eqx.filter_jit(lambda f, y: f.reduce(y)[:2])
    _, set_up = bench.clock(lambda: reduce(field, y0), 2)
    small, x0 = reduce(field, y0)
    loop = eqx.filter_jit(
        lambda f, x: jax.lax.fori_loop(0, 500, lambda i, x: x + 1e-3 * f(1e-2 * i, x), x)
    )
    _, cost = bench.clock(lambda: loop(small, x0), 3)
    run = eqx.filter_jit(
        lambda f, y, how, t1: af.simulate(f, y, reduce=how, **options | {"t1": t1})
    )
    whole = jnp.asarray(options["t1"])
    _, reduced = bench.clock(lambda: run(field, y0, True, whole).y1, 5)
    sol = run(field, y0, True, whole)
    row = {
        "T": options["t1"],
        "steps": int(sol.stats["num_steps"]),
        "set-up, milliseconds": 1e3 * set_up,
        "field, microseconds": 1e6 * cost / 500,
        "run reduced, milliseconds": 1e3 * reduced,
        "integration, milliseconds": 1e3 * (reduced - set_up),
    }
    # At the largest size once, a minute, so that its two seconds of compilation do not matter.
    large = dim > 5000
    compared = whole / 20 if large else whole
    last = []
    timing = bench.clock(
        lambda: last.append(run(field, y0, False, compared)) or last[-1].y1, 0 if large else 1
    )
    if large:
        row["compared until"] = float(compared)
        row["steps, reduced, until then"] = int(run(field, y0, True, compared).stats["num_steps"])
        _, reduced = bench.clock(lambda: run(field, y0, True, compared).y1, 5)
        row["run reduced, until then, milliseconds"] = 1e3 * reduced
        sol = run(field, y0, True, compared)
    row["run plain, milliseconds"] = 1e3 * timing.later
    row["plain / reduced"] = timing.later / reduced
    row["largest difference of tokens"] = float(jnp.max(jnp.abs(last[-1].y1 - sol.y1)))
    row["steps, plain"] = int(last[-1].stats["num_steps"])
    row["float32, reduced"] = _single(run, (field, y0), whole)
    print(f"d = {dim}", "static" if static else "separable", row, flush=True)
    return row


def _single(run, given, until) -> dict:
    """The reduced run in float32, and how far it is from that in float64."""
    end = run(*given, True, until).y1
    single = jax.tree.map(lambda x: x.astype(jnp.float32) if eqx.is_inexact_array(x) else x, given)
    _, later = bench.clock(lambda: run(*single, True, until.astype(jnp.float32)).y1, 5)
    sol = run(*single, True, until.astype(jnp.float32))
    return {
        "run, milliseconds": 1e3 * later,
        "steps": int(sol.stats["num_steps"]),
        "largest difference of tokens from float64": float(jnp.max(jnp.abs(sol.y1 - end))),
    }


def main() -> None:
    """Run the dimensions asked for and write what they gave."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="d = 500 alone; writes nothing")
    parser.add_argument("--only", help="one of the names in the file, such as 'separable, d = 500'")
    options = parser.parse_args()
    sections = {
        f"{'static' if static else 'separable'}, d = {dim}": (
            lambda dim=dim, static=static: one_dimension(dim, static)
        )
        for static in (False, True)
        for dim in ((500,) if options.quick else (500, 2048, 4096, 12_288))
        if not static or dim in (500, 4096)
    }
    bench.report("dimension", sections, folder=RESULTS, only=options.only, write=not options.quick)


if __name__ == "__main__":
    main()
