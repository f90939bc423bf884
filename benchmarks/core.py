"""The core measured: accuracy against SciPy, the manifold kept, the cost of a field, of a call, of a compile.

    python benchmarks/core.py [--quick]

Writes benchmarks/results/core-<backend>.json. Fixed problems and seeds; every time is the median of
repeats, the first call (with its compile) apart; the peer of a field is the same field in NumPy,
in the same run.
"""

import time
from pathlib import Path

import diffrax
import jax

jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp
import numpy as np
from scipy.integrate import solve_ivp

import attnflow as af
from attnflow import bench

RESULTS = Path(__file__).parent / "results"
SOLVERS = {"Bosh3": diffrax.Bosh3, "Tsit5": diffrax.Tsit5, "Dopri8": diffrax.Dopri8}


def random_fields(count: int):
    """Fields of 8 tokens on ellipsoids in R^3: |P|_F <= 2 sqrt(3), |U|_2 = 1, h = 1..3, both masks."""
    for k in range(count):
        rng = np.random.default_rng([20, k])
        heads, causal = k % 3 + 1, k % 2 == 1
        basis, _ = np.linalg.qr(rng.normal(size=(3, 3)))
        W = (basis * np.exp(rng.uniform(-0.9, 0.9, 3))) @ basis.T
        W = (W + W.T) / 2
        P = rng.normal(size=(heads, 3, 3))
        P *= (
            2
            * np.sqrt(3)
            * rng.uniform(size=(heads, 1, 1))
            / np.linalg.norm(P, axis=(1, 2), keepdims=True)
        )
        U = rng.normal(size=(heads, 3, 3))
        U /= np.linalg.norm(U, ord=2, axis=(1, 2), keepdims=True)
        y0 = rng.normal(size=(8, 3))
        y0 /= np.sqrt(np.einsum("id,de,ie->i", y0, W, y0))[:, None]
        yield W, P, U, causal, y0


def numpy_velocity(W, P, U, causal):
    """Eq. (6) in NumPy: P of a time, or constant; U constant or None."""

    def velocity(t, flat):
        d = W.shape[0]
        y = flat.reshape(-1, d)
        matrices = P(t) if callable(P) else P
        logits = (y @ matrices) @ y.T
        if causal:
            logits = np.where(np.tri(len(y), dtype=bool), logits, -np.inf)
        rows = np.exp(logits - logits.max(-1, keepdims=True))
        rows /= np.sqrt(d) * rows.sum(-1, keepdims=True)
        if U is None:
            A = rows.sum(0) @ y
        else:
            A = np.sum(rows @ (y @ np.swapaxes(U, 1, 2)), axis=0)
        covector = y @ W
        square = np.sum(y * covector, -1, keepdims=True)
        return (
            (A - y * np.sum(covector * A, -1, keepdims=True) / square) / np.sqrt(square)
        ).ravel()

    return velocity


def accuracy(count: int) -> dict:
    """Largest and median error at T = 10 against DOP853 at 1e-12, by solver and tolerance."""
    cases = []
    for W, P, U, causal, y0 in random_fields(count):
        reference = solve_ivp(
            numpy_velocity(W, P, U, causal),
            (0, 10),
            y0.ravel(),
            method="DOP853",
            rtol=1e-12,
            atol=1e-13,
        )
        field = af.AttentionField(af.Ellipsoid(W), P, U, mask="causal" if causal else None)
        cases.append((field, jnp.asarray(y0), reference.y[:, -1].reshape(8, 3)))
    out = {}
    for name, solver in SOLVERS.items():
        for rtol in (1e-4, 1e-6, 1e-8, 1e-10):
            errors, steps = [], []
            for field, y0, reference in cases:
                sol = af.simulate(field, y0, t1=10.0, rtol=rtol, atol=rtol / 100, solver=solver())
                errors.append(float(np.abs(np.asarray(sol.y1) - reference).max()))
                steps.append(int(sol.stats["num_steps"]))
            out[f"{name} rtol {rtol:g}"] = {
                "largest error": max(errors),
                "median error": float(np.median(errors)),
                "mean steps": float(np.mean(steps)),
            }
    return out


def manifold_kept(t1: float) -> dict:
    """Largest ||y| - 1| to `t1`, three tokens at 120 degrees on S^1, P = -8 I, and with U = -I."""
    circle = af.Sphere(2)
    angles = 2 * jnp.pi / 3 * jnp.arange(3) + 0.3
    y0 = jnp.stack([jnp.cos(angles), jnp.sin(angles)], axis=1)
    out = {}
    for name, U in (("U = I", None), ("U = -I", -jnp.eye(2))):
        field = af.AttentionField(circle, -8 * jnp.eye(2), U)
        observe = {"residual": lambda y: jnp.max(circle.residual(y)), "E": af.misalignment}
        sol = af.simulate(field, y0, t1=t1, ts=jnp.linspace(0, t1, 2001), observe=observe)
        out[name] = {
            "t1": t1,
            "largest residual": float(jnp.max(sol.ys["residual"])),
            "E": float(sol.ys["E"][-1]),
        }
    return out


def median_time(function, *args, repeats: int) -> float:
    """Median seconds of a call that is compiled already."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        jax.block_until_ready(function(*args))
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def field_costs(repeats: int) -> dict:
    """Microseconds an evaluation of the field of Fig. 4 (50 tokens on S^499, 2 heads): plain, span, NumPy."""
    rng = np.random.default_rng(4)
    omega, phase = rng.uniform(0, 1, (2, 500)), rng.uniform(0, 2 * np.pi, (2, 500))
    matrix = rng.uniform(-0.5, 0.5, (2, 500, 500))
    sphere = af.Sphere(500)
    P = af.Modulated(af.Sinusoid(2.0, omega, phase, rectified=True), matrix)
    separable = af.Sinusoid(2.0, omega[:, 0], phase[:, 0], rectified=True) * af.Constant(matrix)
    y0 = sphere.project(rng.uniform(-0.5, 0.5, (50, 500)))
    out, evaluations = {}, 100
    for name, schedule in (("entry frequencies", P), ("separable", separable)):
        field = af.AttentionField(sphere, schedule, mask="causal")
        for how in ("none", "span"):
            reduced, x0, _ = field.reduce(y0, how=how)

            @jax.jit
            def many(f, x):
                body = lambda k, x: x + 1e-9 * f(0.01 * k, x)  # noqa: E731
                return jax.lax.fori_loop(0, evaluations, body, x)

            many(reduced, x0).block_until_ready()
            key = f"{name}, {'plain' if how == 'none' else how}"
            out[key] = 1e6 * median_time(many, reduced, x0, repeats=repeats) / evaluations
    D = lambda t: np.abs(2 * np.sin(omega * t + phase))[:, :, None] * matrix  # noqa: E731
    peer, flat = numpy_velocity(np.eye(500), D, None, True), np.asarray(y0).ravel()
    times = []
    for k in range(repeats):
        start = time.perf_counter()
        peer(0.01 * k, flat)
        times.append(time.perf_counter() - start)
    out["entry frequencies, NumPy"] = 1e6 * float(np.median(times))
    return out


def call_costs(repeats: int) -> dict:
    """Seconds of `simulate`: the first call with its compile, and a later one with other numbers."""
    sphere = af.Sphere(3)
    field = af.AttentionField(sphere, jnp.eye(3), mask="causal")
    y0 = sphere.random(jax.random.key(0), (10,))
    run = lambda t1: af.simulate(field, y0, t1=t1).y1  # noqa: E731
    start = time.perf_counter()
    run(20.0).block_until_ready()
    first = time.perf_counter() - start
    return {"first call": first, "later call": median_time(run, 19.0, repeats=repeats)}


SECTIONS = {
    "call, seconds": lambda quick: call_costs(3 if quick else 15),
    "field of Fig. 4, microseconds": lambda quick: field_costs(3 if quick else 15),
    "manifold kept": lambda quick: manifold_kept(200.0 if quick else 2000.0),
    "error against DOP853": lambda quick: accuracy(3 if quick else 30),
}


if __name__ == "__main__":
    bench.run_sections("core", __doc__.splitlines()[0], SECTIONS, folder=RESULTS)
