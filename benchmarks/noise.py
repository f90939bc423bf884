"""Noise against closed forms: orders of convergence, Brownian motion, the transition of P = 0, antipodes.

    python benchmarks/noise.py
    python benchmarks/noise.py --only order

Writes benchmarks/results/noise-<backend>.json and, for `order`, .png.

- `weak`: the error of an expectation against the step. A token on the circle drawn to one that stands still, d theta
  = -k sin(theta) dt + s dB, whose E cos(theta) a system of Fourier modes has exactly; and Brownian motion of S^4.
- `strong`: the root mean square distance of paths to those of the smallest step, on one Brownian tree.
- `brownian`: E <y(t), y(0)> in three dimensions of space, both kinds of noise.
- `order`: the stationary order parameter at d = 2, P = 0, at twelve temperatures on both sides of the transition;
  against the exact value for so many tokens, and, extrapolated from two numbers of tokens, against the
  self-consistent curve.
- `antipodes`: the exponent of two tokens near antipodes under white value matrices, of Itô and of Stratonovich, of
  layers.
"""

import argparse
import functools
import math
from pathlib import Path

import jax

jax.config.update("jax_enable_x64", True)

import diffrax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure
from scipy.linalg import expm

import attnflow as af
from attnflow import bench

RESULTS = Path(__file__).parent / "results"
SOLVERS = {"splitting": None, "Heun": diffrax.Heun(), "Euler": diffrax.Euler()}
TEMPERATURES = (0.1, 0.25, 0.4, 0.55, 0.7, 0.82, 1.2, 1.35, 1.5, 1.75, 2.0, 2.5)


def slope(steps, errors) -> float:
    """Of the error against the step, on logarithmic axes."""
    return float(np.polyfit(np.log(steps), np.log(errors), 1)[0])


def pulled(k: float, s: float, theta: float, t: float, modes: int = 40) -> float:
    """E cos(theta(t)) of d theta = -k sin(theta) dt + s dB, by Fourier modes."""
    n = np.arange(-modes, modes + 1)
    A = np.diag(-0.5 * s * s * n**2.0)
    A += np.diag(-0.5 * k * n[:-1], 1) + np.diag(0.5 * k * n[1:], -1)
    u = expm(t * A) @ np.exp(1j * n * theta)
    return float(u[modes + 1].real)


@functools.cache
def over_keys(one, args: int):
    """`one` for many keys at once."""
    return jax.jit(jax.vmap(one, in_axes=(0, *(None,) * args)))


def mean_of(one, number: int, key: jax.Array, *args, chunk: int = 4096) -> tuple[float, float]:
    """The mean of `one(key, *args)` over `number` keys, and its standard error; `one` is compiled once."""
    some = over_keys(one, len(args))
    args = [jnp.asarray(x) for x in args]
    parts = []
    for k in range(-(-number // chunk)):
        keys = jax.random.split(jax.random.fold_in(key, k), chunk)
        parts.append(np.asarray(some(keys, *args)))
    values = np.concatenate(parts)
    return float(values.mean()), float(values.std() / math.sqrt(len(values)))


def weak() -> dict:
    """Errors of expectations by step and solver."""
    k, s, theta, t1, copies = 2.0, 0.8, 2.0, 1.0, 31
    rows: dict = {}
    circle = af.Sphere(2)
    start = jnp.array([math.cos(theta), math.sin(theta)])
    y0 = jnp.concatenate([jnp.array([[1.0, 0.0]]), jnp.tile(start, (copies, 1))])
    mask = jnp.eye(copies + 1, dtype=bool).at[:, 0].set(True)  # each sees the first and itself
    frozen = jnp.zeros(copies + 1, bool).at[0].set(True)
    field = af.AttentionField(circle, P=jnp.zeros((2, 2)), mask=mask, scale=2 * k, frozen=frozen)
    exact = pulled(k, s, theta, t1)
    for name, solver in SOLVERS.items():
        steps = [1 / 2, 1 / 4, 1 / 8] if solver is None else [1 / 4, 1 / 8, 1 / 16]
        found = []

        def one(key, h, solver=solver):
            noise = af.Noise(independent=s)
            y1 = af.simulate(field, y0, t1=t1, dt0=h, solver=solver, noise=noise, key=key).y1
            return jnp.mean(y1[1:, 0])

        for h in steps:
            mean, error = mean_of(one, 2**14, jax.random.key(1), h)
            found.append({"step": h, "error": mean - exact, "standard error": error})
            print("weak", name, found[-1])
        order = slope(steps, [abs(f["error"]) for f in found])
        rows[f"pulled on the circle, {name}"] = {"exact": exact, "order": order, "runs": found}
    d, s = 5, 1.0
    sphere = af.Sphere(d)
    still = af.AttentionField(sphere, P=jnp.zeros((d, d)), U=jnp.zeros((d, d)))
    y0 = jnp.tile(jnp.eye(d)[:1], (8, 1))
    exact = af.theory.brownian_cosine(1.0, d, s)
    for kind in ("independent", "common"):
        found = []

        def one(key, h, kind=kind):
            noise = af.Noise(**{kind: s})
            y1 = af.simulate(still, y0, t1=1.0, dt0=h, noise=noise, key=key).y1
            return jnp.mean(y1[:, 0])

        for h in (1.0, 0.5):
            mean, error = mean_of(one, 2**15, jax.random.key(2), h)
            found.append({"step": h, "error": mean - exact, "standard error": error})
            print("weak", kind, found[-1])
        rows[f"Brownian motion of S^{d - 1}, {kind}"] = {"exact": exact, "runs": found}
    return rows


def strong() -> dict:
    """Distances of paths to those of the smallest step, by step."""
    rows: dict = {}
    finest, steps = 2.0**-9, [2.0**-k for k in (2, 3, 4, 5)]
    cases = {
        "independent, d = 3": (3, {"independent": 0.5}),
        "common, d = 3": (3, {"common": 0.5}),
        "values, d = 3": (3, {"values": 0.5}),
    }
    for name, (d, kinds) in cases.items():
        sphere = af.Sphere(d)
        field = af.AttentionField(sphere, P=2 * jnp.eye(d))
        y0 = sphere.random(jax.random.key(3), (8,))

        @jax.jit
        def ends(keys, h, field=field, y0=y0, kinds=kinds):
            noise = af.Noise(**kinds, tol=finest / 2)
            run = lambda k: af.simulate(field, y0, t1=1.0, dt0=h, noise=noise, key=k).y1  # noqa: E731
            return jax.vmap(run)(keys)

        keys = jax.random.split(jax.random.key(4), 64)
        reference = ends(keys, finest)
        distances = [
            float(jnp.sqrt(jnp.mean(jnp.sum((ends(keys, h) - reference) ** 2, -1)))) for h in steps
        ]
        rows[name] = {"steps": steps, "distances": distances, "order": slope(steps, distances)}
        print("strong", name, rows[name])
    return rows


def brownian() -> dict:
    """E <y(t), y(0)> beside its formula."""
    rows: dict = {}
    for d in (3, 8):
        sphere = af.Sphere(d)
        still = af.AttentionField(sphere, P=jnp.zeros((d, d)), U=jnp.zeros((d, d)))
        y0 = sphere.random(jax.random.key(5), (8,))
        for kind in ("independent", "common"):

            def one(key, still=still, y0=y0, kind=kind):
                noise = af.Noise(**{kind: 0.7})
                y1 = af.simulate(still, y0, t1=1.0, dt0=0.1, noise=noise, key=key).y1
                return jnp.mean(jnp.sum(y0 * y1, axis=1))

            mean, error = mean_of(one, 2**13, jax.random.key(6))
            exact = af.theory.brownian_cosine(1.0, d, 0.7)
            rows[f"{kind}, d = {d}"] = {
                "measured": mean,
                "exact": exact,
                "standard errors off": (mean - exact) / error,
            }
            print("brownian", kind, d, rows[f"{kind}, d = {d}"])
    return rows


def cosines(tokens: int, number: int, t1: float) -> tuple[np.ndarray, np.ndarray]:
    """The mean cosine of two different tokens, by temperature; its standard error over trajectories.

    Half of the trajectories begin at consensus, half uniform. The first half of each is thrown away.
    """
    circle = af.Sphere(2)
    field = af.AttentionField(circle, P=jnp.zeros((2, 2)), scale=1.0)
    ts = np.linspace(t1 / 2, t1, 41)

    def pairs(y):
        total = jnp.sum(y, axis=0)
        return (total @ total - tokens) / (tokens * (tokens - 1))

    def start(row):
        temperature, trial = row
        key = jax.random.fold_in(jax.random.key(7), trial)
        uniform = circle.random(key, (tokens,))
        together = jnp.tile(jnp.array([1.0, 0.0]), (tokens, 1))
        y0 = jnp.where(trial % 2 == 0, uniform, together)
        noise = af.Noise(independent=jnp.sqrt(temperature))
        return field, y0, noise.with_key(jax.random.fold_in(key, 1))

    trials = np.arange(number * len(TEMPERATURES), dtype=np.uint32)
    result = af.ensemble.run(
        field,
        start,
        each=(np.repeat(np.array(TEMPERATURES), number), trials),
        t1=t1,
        ts=ts,
        dt0=0.1,
        observe=pairs,
        noise=af.Noise(independent=1.0),
    )
    means = result.ys.mean(axis=1).reshape(len(TEMPERATURES), number)
    return means.mean(axis=1), means.std(axis=1, ddof=1) / math.sqrt(number)


def order() -> dict:
    """The order parameter by temperature, beside theory."""
    few, many, number, t1 = 32, 64, 32, 80.0
    low, low_error = cosines(few, number, t1)
    high, high_error = cosines(many, number, t1)
    rows: dict = {}
    for k, temperature in enumerate(TEMPERATURES):
        s = math.sqrt(temperature)
        limit = af.theory.stationary_order(s)
        at_many = af.theory.stationary_cosine(s, many)
        squared = 2 * high[k] - low[k]
        error = math.hypot(2 * high_error[k], low_error[k])
        rows[f"s^2/c = {temperature}"] = {
            "r, self-consistent": limit,
            "r^2, self-consistent": limit**2,
            f"mean cosine, {many} tokens, exact": at_many,
            f"mean cosine, {many} tokens": float(high[k]),
            "standard error": float(high_error[k]),
            "standard errors off the exact value": float((high[k] - at_many) / high_error[k]),
            f"mean cosine, {few} tokens": float(low[k]),
            "r^2, extrapolated in 1/tokens": float(squared),
            "its standard error": error,
            "standard errors off the curve": float((squared - limit**2) / error),
        }
        print("order", temperature, rows[f"s^2/c = {temperature}"])
    draw(rows, many)
    return {"trajectories each": number, "t1": t1, **rows}


def draw(rows: dict, many: int) -> None:
    """r^2 against temperature: the curve, and what was measured."""
    fig = Figure(figsize=(6.4, 4), layout="constrained")
    ax = fig.add_subplot()
    x = np.linspace(0.02, 2.7, 300)
    ax.plot(
        x,
        [af.theory.stationary_order(math.sqrt(v)) ** 2 for v in x],
        color="k",
        label=r"$r^2$, $r = I_1(\kappa)/I_0(\kappa)$, $\kappa = 2cr/s^2$",
    )
    ax.plot(
        x,
        [af.theory.stationary_cosine(math.sqrt(v), many) for v in x],
        "--",
        color="C0",
        label=f"mean cosine of {many} tokens, exact",
    )
    key = f"mean cosine, {many} tokens"
    measured = [row[key] for row in rows.values()]
    errors = [3 * row["standard error"] for row in rows.values()]
    ax.errorbar(
        TEMPERATURES, measured, yerr=errors, fmt="o", ms=4, color="C0", label="measured, 3 s.e."
    )
    extrapolated = [row["r^2, extrapolated in 1/tokens"] for row in rows.values()]
    errors = [3 * row["its standard error"] for row in rows.values()]
    ax.errorbar(
        TEMPERATURES,
        extrapolated,
        yerr=errors,
        fmt="s",
        ms=4,
        mfc="none",
        color="C3",
        label="extrapolated in 1/tokens, 3 s.e.",
    )
    ax.set(xlabel=r"temperature $s^2/c$", ylabel=r"order $r^2$", ylim=(-0.05, 1))
    ax.legend(fontsize="small")
    fig.savefig(RESULTS / f"noise-{jax.default_backend()}.png", dpi=110)


def near_antipodes(d: int, beta: float) -> tuple[af.AttentionField, jax.Array, float]:
    """Two tokens that are almost antipodal, and the logarithm of how much they are not."""
    angle = 1e-4
    field = af.AttentionField(af.Sphere(d), P=beta * jnp.eye(d), U=jnp.zeros((d, d)), scale=1.0)
    y0 = jnp.zeros((2, d)).at[0, 0].set(1.0).at[1, 0].set(-math.cos(angle))
    return field, y0.at[1, 1].set(math.sin(angle)), math.log(2 * math.sin(angle / 2) ** 2)


def antipodes() -> dict:
    """Exponents at antipodes beside their formula: of both calculi, and of layers of random matrices."""
    rows: dict = {}
    t1, number = 0.5, 2**13
    for d, beta in ((3, 0.5), (10, 1.0)):
        field, y0, before = near_antipodes(d, beta)
        for calculus in ("ito", "stratonovich"):

            def one(key, field=field, y0=y0, before=before, calculus=calculus):
                noise = af.Noise(values=1.0, calculus=calculus)
                y1 = af.simulate(field, y0, t1=t1, dt0=1 / 128, noise=noise, key=key).y1
                return (jnp.log(jnp.sum((y1[0] + y1[1]) ** 2) / 2) - before) / t1

            mean, error = mean_of(one, number, jax.random.key(8), chunk=2048)
            exact = af.theory.antipodal_exponent(beta, d, calculus=calculus)
            rows[f"d = {d}, beta = {beta}, {calculus}"] = {
                "measured": mean,
                "exact": exact,
                "standard error": error,
            }
            print("antipodes", d, beta, calculus, mean, error, exact)

        def layered(key, d=d, field=field, y0=y0, before=before):
            tau = 1 / 128
            V = af.schedules.random_layers(
                key, (d, d), layers=int(t1 / tau), interval=tau, white=True
            )
            white = af.AttentionField(field.manifold, P=field.P, U=V, scale=1.0)
            y1 = af.iterate(af.AttentionLayers(white, tau), y0, depth=int(t1 / tau)).y1
            return (jnp.log(jnp.sum((y1[0] + y1[1]) ** 2) / 2) - before) / t1

        mean, error = mean_of(layered, number, jax.random.key(9), chunk=2048)
        rows[f"d = {d}, beta = {beta}, layers"] = {
            "measured": mean,
            "exact (ito)": af.theory.antipodal_exponent(beta, d),
            "standard error": error,
        }
        print("antipodes", d, beta, "layers", mean, error)
    return rows


def main() -> None:
    """All sections, or one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    sections = {
        "weak": weak,
        "strong": strong,
        "brownian": brownian,
        "order": order,
        "antipodes": antipodes,
    }
    parser.add_argument("--only", choices=sections)
    only = parser.parse_args().only
    bench.report("noise", sections, folder=RESULTS, only=only)


if __name__ == "__main__":
    main()
