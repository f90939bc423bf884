"""Ensembles measured: small systems, Fig. 4, a mixed workload, reductions at any d, gradients, many tokens.

    python benchmarks/ensembles.py [--quick] [--only NAME]

Writes benchmarks/results/ensembles-<backend>.json, a section a name. Fixed problems and seeds; every
time is the median of repeats, the first call (with its compile) apart.
"""

import functools
import time
from pathlib import Path

import diffrax
import equinox as eqx
import jax

jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp
import jax.random as jr
import numpy as np

import attnflow as af
from attnflow import bench, ensemble
from attnflow.model.blocks import in_blocks
from attnflow.model.many import columns
from attnflow.paper._theorem_3_2 import field_theorem_3_2
from attnflow.paper._theorem_4_2 import field_theorem_4_2, starts

RESULTS = Path(__file__).parent / "results"


def small(quick: bool) -> dict:
    """10 tokens on S^2, the field of Figs. 1-3, T = 20: `run`, a vmap of `simulate`, SciPy."""
    field, sphere = field_theorem_3_2(), af.Sphere(3)
    out = {}
    for dtype in (jnp.float64, jnp.float32):

        def sample(key, dtype=dtype):
            return sphere.random(key, (10,), dtype=dtype)

        for crews in (1, 2):
            options = {
                "number": 2000 if quick else 20_000,
                "key": jr.key(0),
                "t1": 20.0,
                "observe": {"E": af.misalignment},
                "slots": 64 * crews,
            }
            go = functools.partial(ensemble.run, field, sample, **options)
            last = {}
            first, later = bench.clock(lambda go=go, last=last: last.update(r=go()), 2)
            work = last["r"].work
            out[f"{jnp.dtype(dtype).name}, {crews} threads"] = {
                "first call, seconds": first,
                "seconds": later,
                "trajectories a second": options["number"] / later,
                "mean steps": float(last["r"].stats["num_steps"].mean()),
                "microseconds an evaluation and thread": 1e6
                * later
                * work["crews"]
                / work["field_evaluations"],
                "evaluations made / alone": work["field_evaluations"] / work["alone"],
            }
    batch = jax.vmap(sample)(jr.split(jr.key(0), 256)).astype(jnp.float64)
    one = functools.partial(af.simulate, field, t1=20.0, observe={"E": af.misalignment})
    together = jax.jit(lambda y: jax.vmap(lambda y: one(y).ys["E"])(y))
    first, later = bench.clock(lambda: together(batch), 2)
    out["vmap of simulate, float64"] = {"trajectories a second": 256 / later}
    return out


def figure4(quick: bool) -> dict:
    """50 causal tokens on S^499, two heads, T = 200, rtol 3e-5: `run` beside `simulate` one by one."""
    out = {}
    count = 10 if quick else 100
    first_tokens = np.asarray(starts(jr.key(1), count))
    for name, shared in (("entry frequencies", False), ("separable", True)):
        field = field_theorem_4_2(jr.key(0), shared_frequency=shared)
        options = {"t1": 200.0, "rtol": 3e-5, "atol": 0.0, "observe": {"E": af.misalignment}}
        row = {}
        for crews in (1, 2):
            last = {}
            go = functools.partial(ensemble.run, field, first_tokens, slots=crews, **options)
            first, later = bench.clock(lambda go=go, last=last: last.update(r=go()), 1)
            row[f"{crews} threads, seconds a trajectory"] = later / count
        row["first call, seconds"] = first
        row["reduction"] = last["r"].reduction
        one = eqx.filter_jit(lambda f, y, o=options: af.simulate(f, y, **o).ys["E"])
        few = first_tokens[:5]
        _, later = bench.clock(lambda one=one, few=few, f=field: [one(f, y) for y in few], 1)
        row["simulate one by one, seconds a trajectory"] = later / len(few)
        out[name] = row
    return out


def mixed(quick: bool) -> dict:
    """8 tokens on S^1, beta in {1, 2, 3, 4}, until E < 1e-4 or t = 1000: a workload with a heavy tail."""
    count = 1024 if quick else 8192
    return bench.heavy_tail(count) | {"float32": bench.heavy_tail(count, np.float32)}


def gradients(quick: bool) -> dict:
    """The gradient of the mean of E(T) in P' (18 numbers), 32 starts of Figs. 1-3, by adjoint."""
    field, tokens = field_theorem_3_2(), af.Sphere(3).random(jr.key(0), (32, 10))
    recursive = diffrax.RecursiveCheckpointAdjoint
    adjoints = {
        "none (forward)": None,
        "RecursiveCheckpointAdjoint, 16": recursive(checkpoints=16),
        "RecursiveCheckpointAdjoint, 64": recursive(checkpoints=64),
        "RecursiveCheckpointAdjoint, 256": recursive(checkpoints=256),
        "BacksolveAdjoint": diffrax.BacksolveAdjoint(),
        "DirectAdjoint": diffrax.DirectAdjoint(),
        "ForwardMode": diffrax.ForwardMode(),
    }
    out = {}
    exact = None
    for t1 in (2.0,) if quick else (2.0, 8.0):
        for name, adjoint in adjoints.items():

            def value(matrix, adjoint=adjoint, t1=t1):
                changed = eqx.tree_at(lambda f: f.P.matrix, field, matrix)
                options = {"rtol": 1e-8, "atol": 0.0, "max_steps": 1024}
                if not isinstance(adjoint, diffrax.BacksolveAdjoint):
                    options["observe"] = af.misalignment
                return ensemble.mean(
                    lambda s: af.misalignment(s.y1) if "observe" not in options else s.ys[-1],
                    changed,
                    tokens,
                    t1=t1,
                    adjoint=adjoint,
                    **options,
                )

            if adjoint is None:
                how = jax.jit(value)
            elif isinstance(adjoint, diffrax.ForwardMode):
                how = jax.jit(jax.jacfwd(value))
            else:
                how = jax.jit(jax.grad(value))
            matrix = field.P.matrix
            memory = how.lower(matrix).compile().memory_analysis()
            first, later = bench.clock(lambda how=how, matrix=matrix: how(matrix), 2)
            row = {
                "first call, seconds": first,
                "seconds": later,
                "temporary MB": memory.temp_size_in_bytes / 2**20,
            }
            if isinstance(adjoint, diffrax.ForwardMode):
                exact = np.asarray(how(matrix))
            row["gradient"] = None if adjoint is None else np.asarray(how(matrix)).tolist()
            out[f"T = {t1:g}, {name}"] = row
        scale = np.abs(exact).max()
        for name in adjoints:
            row = out[f"T = {t1:g}, {name}"]
            gradient = row.pop("gradient")
            if gradient is not None:
                row["off by, relative"] = float(np.abs(np.array(gradient) - exact).max() / scale)
            row["times forward"] = row["seconds"] / out[f"T = {t1:g}, none (forward)"]["seconds"]
    return out


def many_parameters(quick: bool) -> dict:
    """The gradient of the mean of E(T) of Fig. 4 in P' (500 000 numbers), T = 20 and 80, 4 starts."""
    field = field_theorem_4_2(jr.key(0))
    tokens = starts(jr.key(1), 4)
    out = {}
    for t1 in (20.0,) if quick else (20.0, 80.0):

        def value(matrix, t1=t1):
            changed = eqx.tree_at(lambda f: f.P.matrix, field, matrix)
            options = {"t1": t1, "rtol": 3e-5, "atol": 0.0, "observe": af.misalignment}
            return ensemble.mean(lambda s: s.ys[-1], changed, tokens, chunk=1, **options)

        forward, gradient = jax.jit(value), jax.jit(jax.grad(value))
        memory = gradient.lower(field.P.matrix).compile().memory_analysis()
        _, cost = bench.clock(lambda f=forward: f(field.P.matrix), 1)
        _, later = bench.clock(lambda g=gradient: g(field.P.matrix), 1)
        out[f"T = {t1:g}"] = {
            "forward, seconds": cost,
            "gradient, seconds": later,
            "times forward": later / cost,
            "temporary MB": memory.temp_size_in_bytes / 2**20,
        }
    return out


def layouts(quick: bool) -> dict:
    """Microseconds of one field evaluation, h = 2, P(t) modulated: one by one, as a vmap, as columns."""
    out = {}
    sizes = [(8, 2), (10, 3), (32, 3), (32, 4), (8, 8), (16, 16), (32, 32), (64, 64)]
    for tokens, dim in sizes[:2] if quick else sizes:
        D = af.Sinusoid(2.0, jnp.linspace(1, 5, 2 * dim).reshape(2, dim))
        field = af.AttentionField(
            af.Sphere(dim), P=af.Modulated(D, jr.normal(jr.key(0), (2, dim, dim)) / dim)
        )
        axes = jax.tree.map(lambda _: None, field)
        forms = {
            "one by one": lambda t, y, f=field: jax.lax.map(lambda a: f(*a), (t, y)),
            "vmap": lambda t, y, f=field: jax.vmap(f)(t, y),
        }
        if dim <= 4:
            forms["columns"] = lambda t, y, f=field, axes=axes: columns(f, axes, t, y)
        row = {}
        rounds = max(5, 200_000 // (tokens * tokens * dim))
        for name, form in forms.items():
            for lanes in (16, 64):
                t = jnp.linspace(0.0, 1.0, lanes)
                y = af.Sphere(dim).random(jr.key(1), (lanes, tokens))
                y = jnp.moveaxis(y, 0, -1) if name == "columns" else y
                loop = jax.jit(
                    lambda t, y, form=form, rounds=rounds: jax.lax.fori_loop(
                        0, rounds, lambda i, y: y + 1e-3 * form(t + 1e-3 * i, y), y
                    )
                )
                _, took = bench.clock(lambda t=t, y=y, loop=loop: loop(t, y), 5)
                row[f"{name}, {lanes} lanes"] = 1e6 * took / rounds / lanes
        out[f"{tokens} tokens, d = {dim}"] = row
    return out


def mean_gradient(quick: bool) -> dict:
    """The gradient of the mean of E(T) beside the forward `run`: 10 tokens on S^2, T = 10, 18 parameters.

    The least of several turns, all contenders in each; seconds of processor time of all threads, and of the clock.
    What a vmap of `simulate` takes is in `gradients`.
    """
    case = bench.figure2_workload(t1=10.0)
    return _beside_run(case, case.field, lambda f: f.P.matrix, quick)


def mean_gradient_many(quick: bool) -> dict:
    """The same in 10 008 parameters: P by a table of 556 knots, between which steps end."""
    case = bench.figure2_workload(t1=10.0)
    knots = jnp.linspace(0, case.t1, 556)
    P = af.Interpolated(knots, jax.vmap(case.field.P)(knots), method="linear")
    field = eqx.tree_at(lambda f: f.P, case.field, P)
    return _beside_run(case, field, lambda f: f.P.values, quick)


def _beside_run(case: bench.Workload, field: af.AttentionField, place, quick: bool) -> dict:
    count, turns = (128, 1) if quick else (512, 2)
    tokens, numbers = case.starts(count), place(field)
    options = {"t1": case.t1, "rtol": 1e-6, "atol": 0.0, "observe": {"E": af.misalignment}}
    forward = {"adjoint": diffrax.ForwardMode()}

    def value(numbers, **more):
        changed = eqx.tree_at(place, field, numbers)
        return ensemble.mean(lambda s: s.ys["E"][-1], changed, tokens, **options, **more)

    along = jr.normal(jr.key(1), numbers.shape)
    outside = jax.value_and_grad(value)
    inside = jax.jit(outside)
    derivative = jax.jit(lambda n, v: jax.jvp(functools.partial(value, **forward), (n,), (v,)))
    ways = {
        "run": lambda: ensemble.run(field, tokens, progress=False, **options),
        "gradient": lambda: outside(numbers),
        "gradient inside jit": lambda: inside(numbers),
        "forward derivative along one direction": lambda: derivative(numbers, along),
    }
    given, first = {}, {}
    best = {way: [np.inf, np.inf] for way in ways}
    for turn in range(turns + 1):
        for way, go in ways.items():
            took, given[way] = _took(go)
            if turn == 0:
                first[way] = took[0]  # compiles, or loads what was compiled
            else:
                best[way] = [min(pair) for pair in zip(best[way], took, strict=True)]
    rows = {
        way: {
            "processor seconds": cpu,
            "seconds": wall,
            "first call, processor seconds": first[way],
        }
        for way, (cpu, wall) in best.items()
    }
    for way in list(ways)[1:]:
        rows[f"{way} / run, processor"] = best[way][0] / best["run"][0]
    rows["gradient / run, clock"] = best["gradient"][1] / best["run"][1]
    slope = float(given["forward derivative along one direction"][1])
    rows["forward derivative off the gradient's, relative"] = float(
        abs(slope - jnp.vdot(given["gradient"][1], along)) / abs(slope)
    )
    return {"parameters": numbers.size, "trajectories": count, **rows}


def many_tokens(quick: bool) -> dict:
    """One evaluation of l tokens on S^2, h = 2, and its derivative, by blocks of rows beside the whole.

    Milliseconds of processor time, the least of several turns by turns, and temporary MB of the compiled program.
    At 2000 tokens the gradient of the mean of E(T) of four starts too, T = 0.2, by lanes.
    """
    matrix = jr.normal(jr.key(1), (2, 3, 3))

    def field_of(matrix):
        return af.AttentionField(af.Sphere(3), P=matrix)

    forms = {
        "whole": lambda matrix, y: field_of(matrix)(0.0, y),
        "blocks": lambda matrix, y: in_blocks(field_of(matrix), jnp.zeros(()), y),
    }
    out = {}
    for tokens in (200,) if quick else (200, 500, 1000, 2000):
        y, along = (af.Sphere(3).random(jr.key(k), (tokens,)) for k in (0, 2))
        row, ways, given = {}, {}, {}
        for name, form in forms.items():
            back = lambda m, y, f=form, v=along: jax.vjp(f, m, y)[1](v)  # noqa: E731
            for what, function in (("evaluation", form), ("derivative", back)):
                program = jax.jit(function).lower(matrix, y).compile()
                memory = program.memory_analysis()
                row[f"{what}, {name}, temporary MB"] = memory.temp_size_in_bytes / 2**20
                ways[f"{what}, {name}"] = lambda p=program, y=y: p(matrix, y)
        best = dict.fromkeys(ways, np.inf)
        for turn in range(6):
            for way, go in ways.items():
                (took, _), given[way] = _took(go)
                best[way] = min(best[way], took if turn else np.inf)
        row |= {f"{way}, ms": 1e3 * took for way, took in best.items()}
        pairs = [
            (given[f"{w}, blocks"], given[f"{w}, whole"]) for w in ("evaluation", "derivative")
        ]
        row["blocks off the whole, relative"] = max(
            float(jnp.abs(a - b).max() / jnp.abs(b).max())
            for pair in pairs
            for a, b in zip(*(jax.tree.leaves(x) for x in pair), strict=True)
        )
        out[f"{tokens} tokens"] = row
    many = af.Sphere(3).random(jr.key(3), (4, tokens))
    options = {"t1": 0.2, "rtol": 1e-6, "atol": 0.0, "observe": {"E": af.misalignment}}

    def value(matrix):
        return ensemble.mean(lambda s: s.ys["E"][-1], field_of(matrix), many, **options)

    gradient = jax.jit(jax.value_and_grad(value)).lower(matrix).compile()
    memory = gradient.memory_analysis()
    (took, _), _ = _took(lambda: gradient(matrix))
    ensemble.run(field_of(matrix), many, progress=False, **options)
    (forward, _), _ = _took(lambda: ensemble.run(field_of(matrix), many, progress=False, **options))
    out[f"gradient of a mean, {tokens} tokens, 4 starts"] = {
        "processor seconds": took,
        "gradient / run, processor": took / forward,
        "temporary MB": memory.temp_size_in_bytes / 2**20,
    }
    return out


def _took(go) -> tuple[tuple[float, float], object]:
    began = time.process_time(), time.perf_counter()
    given = jax.block_until_ready(go())
    return (time.process_time() - began[0], time.perf_counter() - began[1]), given


SECTIONS = {
    f.__name__: f
    for f in (
        layouts,
        small,
        figure4,
        mixed,
        gradients,
        mean_gradient,
        mean_gradient_many,
        many_parameters,
        many_tokens,
    )
}


if __name__ == "__main__":
    bench.run_sections("ensembles", __doc__.splitlines()[0], SECTIONS, folder=RESULTS)
