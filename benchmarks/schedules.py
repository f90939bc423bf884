"""Schedules by gradient: how far they accelerate and delay consensus, and what a step costs.

    python benchmarks/schedules.py [--quick] [--only NAME]

Writes benchmarks/results/schedules-<backend>.json. Ten causal tokens on S^9 with U = I and one head,
unless said; baselines, limit and reference are those of `attnflow.search.evaluate`, on starts that the
search did not have, by the same code.
"""

import argparse
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import diffrax
import jax

jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax

import attnflow as af
from attnflow import bench

RESULTS = Path(__file__).parent / "results"
DIM, TOKENS = 10, 10
SPHERE = af.Sphere(DIM)
FIELD = af.AttentionField(SPHERE, P=jnp.zeros((DIM, DIM)), mask="causal")
QUICK = {"rtol": 1e-6, "atol": 1e-8}
STIFF = {"solver": diffrax.Kvaerno5(), "rtol": 1e-3, "atol": 1e-9, "max_steps": 6000}


def sampler(key):
    """Uniform tokens."""
    return SPHERE.random(key, (TOKENS,))


def knotted(key, t1, knots, sd):
    """A random P(t), linear between equidistant knots."""
    values = sd * jr.normal(key, (knots, DIM, DIM))
    return af.Interpolated(jnp.linspace(0.0, t1, knots), values, "linear")


def one_start(seed):
    """Tokens in a hemisphere, and when the tanh reference is at E = 0.05."""
    y0 = SPHERE.random_hemisphere(jr.key(seed), (TOKENS,))
    low, high = 0.0, 100.0
    for _ in range(60):
        middle = (low + high) / 2
        far = float(af.theory.reference_misalignment(FIELD, y0, middle)) > 0.05
        low, high = (middle, high) if far else (low, middle)
    return y0, high


def accelerate(bound: float, rate: float, steps: int, seeds) -> list[dict]:
    """Five searches, each for one start, against reference, limit, constants by hand and by search."""
    rows = []
    for seed in seeds:
        y0, t1 = one_start(seed)
        optimised = af.search.optimise(
            af.search.Final(log=True),
            lambda key, t1=t1: knotted(key, t1, 9, min(1.0, bound / 10)),
            field=FIELD,
            starts=y0,
            t1=t1,
            bounds=bound,
            key=jr.key(seed + 100),
            steps=steps,
            rate=rate,
            **QUICK,
        )
        _, v = af.hemisphere_margin(y0)
        within = 0.9999 * bound
        mean = jnp.mean(y0, axis=0)
        hand = {
            "constant of rank one, v y_1'": within * jnp.outer(v, y0[0]),
            "constant of rank one, mean y_1'": within
            * jnp.outer(mean / jnp.linalg.norm(mean), y0[0]),
            "constant of rank one, y_1 y_1'": within * jnp.outer(y0[0], y0[0]),
        }
        best = af.search.best_constant(optimised, jr.key(seed + 200))
        evaluation = af.search.evaluate(
            optimised, y0, baselines=hand | {"best constant": best.schedule}, progress=False
        )
        E = {name: float(np.exp(row.values[0])) for name, row in evaluation.rows.items()}
        rows.append(
            {
                "seed": seed,
                "T": t1,
                "E(T)": E,
                "found over tanh reference": E["found"] / E["tanh reference"],
                "found over best constant": E["found"] / E["best constant"],
                "best rank one over found": min(E[name] for name in hand) / E["found"],
                "seconds": optimised.seconds,
                "integrated again": evaluation.recheck,
            }
        )
        print(rows[-1], flush=True)
    return rows


def wide(quick: bool) -> dict:
    """|P(t)|_F < 200: the tanh reference is to be beaten."""
    rows = accelerate(200.0, 0.2, 30 if quick else 800, range(1 if quick else 5))
    return {
        "seeds beyond the tanh reference": sum(r["found over tanh reference"] < 1 for r in rows),
        "rows": rows,
    }


def narrow(quick: bool) -> dict:
    """|P(t)|_F < 5: every constant of rank one made by hand is to be beaten."""
    rows = accelerate(5.0, 0.1, 30 if quick else 800, range(1 if quick else 5))
    return {
        "seeds below every constant of rank one": sum(
            r["best rank one over found"] > 1 for r in rows
        ),
        "seeds below the best constant": sum(r["found over best constant"] < 1 for r in rows),
        "rows": rows,
    }


# === delay


def delay(quick: bool, bound: float = 50.0) -> dict:
    """Fresh random starts, begun at 3 I plus noise; the horizon grows as the search learns to hold tokens apart."""
    objective = af.search.ConsensusTime(0.01)
    held, stages = (4, [(30.0, 3)]) if quick else (256, [(100.0, 150), (1000.0, 100), (1e4, 60)])

    def search(begin, key):
        schedule = begin
        for k, (t1, steps) in enumerate(stages):
            optimised = af.search.optimise(
                objective,
                schedule,
                field=FIELD,
                starts=sampler,
                number=16,
                t1=t1,
                goal="maximise",
                bounds=bound,
                key=jr.fold_in(key, k),
                steps=steps,
                rate=0.5 / (1 + k),
                rtol=1e-4,
                atol=1e-6,
            )
            print(optimised, flush=True)
            schedule = unbounded(optimised.schedule)
        return optimised

    began = time.monotonic()
    edges = jnp.asarray([1.0, 10.0, 100.0, 1000.0])
    varying = lambda key: af.Piecewise(edges, 3 * jnp.eye(DIM) + jr.normal(key, (5, DIM, DIM)))  # noqa: E731
    constant = lambda key: af.Constant(3 * jnp.eye(DIM) + jr.normal(key, (DIM, DIM)))  # noqa: E731
    varied, best = search(varying, jr.key(0)), search(constant, jr.key(1))
    others = af.search.baselines(varied, jr.key(2), constant=False)
    stored = [k for k in others if "-" not in k or "paper" in k]
    baselines = {"best constant P": best.schedule} | {k: others[k] for k in stored}
    seconds = time.monotonic() - began
    evaluation = af.search.evaluate(
        varied, sampler, number=held, key=jr.key(77), baselines=baselines, t1=1e13, chunk=1, **STIFF
    )
    print(evaluation, flush=True)
    P = np.asarray(best.schedule(jnp.asarray(0.0)))
    return {
        "bound": bound,
        "seconds of search": seconds,
        "standing": evaluation.record(),
        "norms of P(t)": np.linalg.norm(
            np.asarray(varied.schedule.schedule.values), axis=(1, 2)
        ).tolist(),
        "best constant": {
            "norm": float(np.linalg.norm(P)),
            "trace/d": float(np.trace(P) / DIM),
            "skew part": float(np.linalg.norm(P - P.T) / 2),
        },
    }


def unbounded(schedule):
    """The free schedule inside a `Bounded` one."""
    return schedule.schedule


def identity(quick: bool) -> dict:
    """Attention on itself, P = cI: the mean log time against c; and what lies beside it at the bound of 50."""
    cs = (2.0, 4.0) if quick else (0.0, 2.0, 4.0, 8.0, 12.0, 50.0 / DIM**0.5)
    key, number = jr.key(78), 4 if quick else 64
    starts = jax.vmap(sampler)(jr.split(key, number))
    optimised = af.search.optimise(
        af.search.ConsensusTime(0.01),
        cs[-1] * jnp.eye(DIM),
        field=FIELD,
        starts=starts[:1],
        t1=1e13,
        goal="maximise",
        key=key,
        steps=1,
        rate=1e-30,
        chunk=1,
        **STIFF,
    )
    contenders = {f"{c:g}": c * jnp.eye(DIM) for c in cs[:-1]}
    for k, size in enumerate((0.1, 0.3)):
        A = jr.normal(jr.fold_in(key, k), (DIM, DIM))
        for name, X in (("symmetric", A + A.T), ("skew", A - A.T)):
            P = jnp.eye(DIM) / DIM**0.5 + size * X / jnp.linalg.norm(X)
            contenders[f"I + {size:g} {name}"] = cs[-1] * DIM**0.5 * P / jnp.linalg.norm(P)
    evaluation = af.search.evaluate(optimised, starts, baselines=contenders, progress=False)
    print(evaluation, flush=True)
    names = [*(f"{c:g}" for c in cs[:-1]), "found"]
    means = [evaluation.rows[name].record(evaluation.found)["mean"] for name in names]
    slope = (means[-1] - means[-2]) / (cs[-1] - cs[-2])
    return {
        "c": list(cs),
        "mean log time": means,
        "last slope": slope,
        "standing of 50/sqrt(10) I": evaluation.record(),
    }


def one(quick: bool) -> dict:
    """One fixed start: P may know the tokens; then U(t) symmetric, of spectral norm below one, as well."""
    y0 = sampler(jr.key(500))
    out = {}
    for name, bound in (("P, 12", 12.0), ("P, 50", 50.0)):
        schedule = lambda key: af.Piecewise(  # noqa: E731
            jnp.asarray([1.0, 10.0, 100.0]), jr.normal(key, (4, DIM, DIM))
        )
        optimised = af.search.optimise(
            af.search.ConsensusTime(0.01),
            schedule,
            field=FIELD,
            starts=y0,
            t1=300.0,
            goal="maximise",
            bounds=bound,
            key=jr.key(3),
            steps=5 if quick else 400,
            rate=0.3,
            **QUICK,
        )
        evaluation = af.search.evaluate(optimised, y0, key=jr.key(4), t1=1e13, chunk=1, **STIFF)
        print(evaluation, flush=True)
        out[name] = evaluation.record()
    both = lambda key: {  # noqa: E731
        "P": af.Piecewise(jnp.asarray([1.0, 5.0]), jr.normal(key, (3, DIM, DIM))),
        "U": af.Symmetric(af.Piecewise(jnp.asarray([1.0, 5.0]), jr.normal(key, (3, DIM, DIM)))),
    }
    optimised = af.search.optimise(
        af.search.Integral(),
        both,
        field=FIELD,
        starts=y0,
        t1=100.0,
        goal="maximise",
        bounds={"P": 50.0, "U": (1.0, "spectral")},
        key=jr.key(5),
        steps=5 if quick else 300,
        rate=0.1,
        **QUICK,
    )
    evaluation = af.search.evaluate(optimised, y0, key=jr.key(6))
    print(evaluation, flush=True)
    out["P and symmetric U, mean of E until 100"] = evaluation.record()
    return out


# === size


def large(quick: bool) -> dict:
    """50 tokens on S^499, two heads, 100 starts, T = 20, float32: what a step costs, and what it moves.

    Steps have one length, along the gradient with momentum: Adam's move all of 1.5 million numbers alike.
    """
    dim, tokens, number, steps = 500, 50, 4 if quick else 100, 2 if quick else 30
    sphere = af.Sphere(dim)
    draw = lambda key: sphere.random(key, (tokens,)).astype(jnp.float32)  # noqa: E731
    field = af.AttentionField(sphere, P=jnp.zeros((2, dim, dim), jnp.float32), mask="causal")
    begin = lambda key: af.Piecewise(  # noqa: E731
        jnp.asarray([5.0, 10.0], jnp.float32),
        0.05 * jr.normal(key, (3, 2, dim, dim), jnp.float32),
    )
    moments: list[float] = []
    given = {"rtol": 1e-3, "atol": 1e-5, "chunk": 10, "goal": "maximise"}
    optimised = af.search.optimise(
        af.search.Integral(points=9),
        begin,
        field=field,
        starts=draw,
        number=number,
        t1=20.0,
        bounds=100.0,
        key=jr.key(0),
        steps=steps,
        optimiser=optax.chain(
            optax.scale(1e9), optax.clip_by_global_norm(1.0), optax.sgd(30.0, momentum=0.8)
        ),
        report=lambda _: moments.append(time.monotonic()),
        **given,
    )
    print(optimised, flush=True)
    held = jax.vmap(draw)(jr.split(jr.key(9), number))
    timed = af.search.optimise(
        af.search.ConsensusTime(0.5, log=False),
        optimised.schedule,
        field=field,
        starts=held[:1],
        t1=1000.0,
        key=jr.key(1),
        steps=1,
        rate=1e-30,
        **given,
    )
    zero = jnp.zeros((2, dim, dim), jnp.float32)
    eye = jnp.broadcast_to(jnp.eye(dim, dtype=jnp.float32), zero.shape) * (99.99 / dim**0.5)
    baselines = {"P = 0": zero, "at first": optimised.initial, "identity at the bound": eye}
    evaluation = af.search.evaluate(timed, held, baselines=baselines)
    print(evaluation, flush=True)
    median = {name: float(np.median(row.values)) for name, row in evaluation.rows.items()}
    # Every twentieth of the way the numbers are judged too: those steps are longer.
    lasting = np.diff(moments)
    out = {
        "seconds a step, median": float(np.median(lasting)),
        "seconds a step, most": float(np.max(lasting)),
        "steps": steps,
        "free numbers": optimised.settings["free numbers"],
        "mean of E": {"first step": float(-optimised.history.loss[0, 0]), "best": optimised.value},
        "median time to E = 0.5": median,
        "factor": median["found"] / median["at first"],
        "standing": evaluation.record(),
        "peak memory MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    print(out, flush=True)
    return out


# === killed

_CHILD = """
import sys
import jax
jax.config.update("jax_enable_x64", True)
import jax.numpy as jnp, jax.random as jr
import attnflow as af
from attnflow.design import _resume
_resume._EVERY = 0.3
sphere = af.Sphere(4)
af.search.optimise(
    af.search.Integral(points=9), lambda key: jr.normal(key, (4, 4)),
    field=af.AttentionField(sphere, P=jnp.zeros((4, 4)), mask="causal"),
    starts=lambda key: sphere.random(key, (6,)), number=64, t1=20.0, goal="maximise", bounds=8.0,
    key=jr.key(0), steps=int(sys.argv[2]), rtol=1e-7, atol=1e-9, store=sys.argv[1],
)
"""


def killed(quick: bool) -> dict:
    """A search killed at random, against one left alone: the bits of their stores."""
    kills, steps = (2, 40) if quick else (20, 600)
    rng = random.Random(1)
    with tempfile.TemporaryDirectory() as folder:
        alone, broken = Path(folder) / "alone.af", Path(folder) / "broken.af"
        began = time.monotonic()
        subprocess.run([sys.executable, "-c", _CHILD, alone, str(steps)], check=True)
        whole, done, ended = time.monotonic() - began, 0, 0
        while True:
            run = subprocess.Popen([sys.executable, "-c", _CHILD, broken, str(steps)])
            if done == kills:
                run.wait()
                break
            try:
                # Long enough to start, short enough to be killed at work.
                run.wait(timeout=min(whole, 6.0 + rng.random() * 4.0))
                ended += 1
            except subprocess.TimeoutExpired:
                os.kill(run.pid, signal.SIGKILL)
                run.wait()
            done += 1
        one, two = af.load(alone), af.load(broken)
        for stored in (one, two):
            stored["history"].pop("seconds")
        same = all(
            np.array_equal(np.asarray(a), np.asarray(b))
            for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True)
        )
    result = {"kills": kills, "runs that ended before": ended, "steps": steps, "same bits": same}
    print(result, flush=True)
    return result


def barriers(y, P):
    """max over tokens i of min over j < i of y_i'P(y_i - y_j), and the pair that it is of, by start.

    Where attention on itself is strong, token i leaves its place at a rate of exp(-that) for each j: the
    log of the time until the last one leaves is this, up to a number of order one.
    """
    moved = y @ P.T  # P y_j
    height = np.sum(y * moved, axis=-1)[:, :, None] - y @ moved.swapaxes(-1, -2)
    earlier = np.tril(np.ones((TOKENS, TOKENS), bool), -1)
    height = np.where(earlier, height, np.inf)
    nearest = height.min(axis=2)
    nearest[:, 0] = -np.inf
    i = nearest.argmax(axis=1)
    each = np.arange(len(y))
    return nearest[each, i], i, height.argmin(axis=2)[each, i]


def ascend(P, y, bound: float, steps: int):
    """Up the mean barrier of the starts `y`, at the norm `bound`."""
    each = np.arange(len(y))
    for step in range(steps):
        _, i, j = barriers(y, P)
        a, b = y[each, i], y[each, j]
        slope = a.T @ (a - b)
        P = P + (0.15 if step < steps // 2 else 0.025) * bound * slope / np.linalg.norm(slope)
        P = bound * P / np.linalg.norm(P)
    return P


def barrier(quick: bool) -> dict:
    """Whether any constant P holds tokens longer than the identity of its norm, by its barriers."""
    bound, many = 50.0, 1000 if quick else 20_000
    y = np.asarray(jax.vmap(sampler)(jr.split(jr.key(7), many)), np.float64)
    training = np.asarray(jax.vmap(sampler)(jr.split(jr.key(8), many // 5)), np.float64)
    draw = np.random.default_rng(0)
    eye, noise = np.eye(DIM), draw.normal(size=(DIM, DIM))
    others = {f"first {m} axes alone": np.diag(np.arange(DIM) < m) * 1.0 for m in (9, 5, 1)}
    for share in (0.1, 0.3):
        for kind, N in (("symmetric", noise + noise.T), ("skew", noise - noise.T)):
            others[f"identity and {share} of {kind} noise"] = eye + share * N * np.linalg.norm(
                eye
            ) / np.linalg.norm(N)
    for k in range(3):
        start = np.asarray(draw.normal(size=(DIM, DIM)))
        others[f"ascent {k} from a random P"] = ascend(
            bound * start / np.linalg.norm(start), training, bound, 40 if quick else 400
        )
    identity_s = barriers(y, bound * eye / np.linalg.norm(eye))[0]
    collected: dict = {"starts": many, "bound": bound, "identity": float(identity_s.mean())}
    for name, P in others.items():
        less = barriers(y, bound * P / np.linalg.norm(P))[0] - identity_s
        collected[name] = {
            "less the identity's": float(less.mean()),
            "standard error": float(less.std() / many**0.5),
            "distance from the identity": float(
                np.linalg.norm(P / np.linalg.norm(P) - eye / np.linalg.norm(eye))
            ),
        }
        print(name, collected[name], flush=True)
    return collected


SECTIONS = {
    "barriers": barrier,
    "accelerate within 200": wide,
    "accelerate within 5": narrow,
    "delay, fresh starts": delay,
    "attention on itself": identity,
    "delay, one start": one,
    "50 tokens on S^499": large,
    "killed": killed,
}


def main() -> None:
    """Run the sections asked for and write what they gave."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a look at each; writes nothing")
    parser.add_argument("--only", choices=list(SECTIONS), help="one, put into the file")
    options = parser.parse_args()
    sections = {name: (lambda f=f: f(options.quick)) for name, f in SECTIONS.items()}
    bench.report("schedules", sections, folder=RESULTS, only=options.only, write=not options.quick)


if __name__ == "__main__":
    main()
