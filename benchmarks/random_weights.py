"""Weights that fluctuate: H heads with U_h = -D_h/H and P_h = D_h, after arXiv:2605.18870.

    python benchmarks/random_weights.py

Writes benchmarks/results/random-weights-<backend>.json and .png. 200 tokens on S^1 and S^2; the entries of D_h are
independent stationary Ornstein-Uhlenbeck processes, or sinusoids of the same variance, each with a frequency and
phase of its own; H = 1, 10, 100.

Measured along the run, means over time and keys: G^2, the mean square speed of a token; and the squared distance of
tokens from where they began. Gaussian entries that are independent pull a token nowhere in the mean: given xi = D'y,
which is all that the attention of a token at y depends on, E[D | xi] = y xi', and y is no tangent. So one head's pull
has mean zero, that of H heads a mean square of 1/H of it. Entries with another law, such as that of a sine at a
random time, have no such symmetry: their mean pull is what is left however many heads there are. `mean pull` is that
of many heads drawn anew, at the start.
"""

import functools
import math
from pathlib import Path

import jax

jax.config.update("jax_enable_x64", True)

import diffrax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

import attnflow as af
from attnflow import bench

RESULTS = Path(__file__).parent / "results"
HEADS = (1, 10, 100)
STD, MEMORY, T1, TOKENS, KEYS = 2.0, 0.5, 0.75, 200, 3


def weights(law: str, heads: int, dim: int, key: jax.Array) -> af.schedules.AbstractSchedule:
    """D, shape (heads, dim, dim)."""
    shape = (heads, dim, dim)
    if law == "ou":
        return af.schedules.ornstein_uhlenbeck(
            key, shape, t1=T1, memory=MEMORY, std=STD, step=MEMORY / 4, dtype=jnp.float32
        )
    return af.schedules.random_waves(key, shape, omega=(1.0, 3.0), std=STD, dtype=jnp.float32)


def field_of(law: str, heads: int, dim: int, key: jax.Array) -> af.AttentionField:
    """The field with U_h = -D_h/H, P_h = D_h."""
    D = weights(law, heads, dim, key)
    return af.AttentionField(af.Sphere(dim), P=D, U=(-1 / heads) * D, scale=1.0)


def start_of(dim: int, key: jax.Array) -> jax.Array:
    """Uniform tokens."""
    return af.Sphere(dim).random(jax.random.fold_in(key, 1), (TOKENS,), dtype=jnp.float32)


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def one(law: str, heads: int, dim: int, key: jax.Array) -> tuple[jax.Array, jax.Array]:
    """G^2 and the squared distance from the start, means over the second half of the run."""
    field, y0 = field_of(law, heads, dim, key), start_of(dim, key)
    ts = jnp.asarray([T1 / 2, T1])
    sol = af.simulate(field, y0, t1=T1, ts=ts, solver=diffrax.Midpoint(), dt0=MEMORY / 4)
    speeds = jax.lax.map(lambda ty: jnp.mean(jnp.sum(field(*ty) ** 2, axis=-1)), (sol.ts, sol.ys))
    return jnp.mean(speeds), jnp.mean(jnp.sum((sol.ys - y0[None]) ** 2, axis=-1))


@functools.partial(jax.jit, static_argnums=(0, 1))
def pull(law: str, dim: int, key: jax.Array, draw: jax.Array) -> jax.Array:
    """The velocities of the start under 25 heads of another draw."""
    field = field_of(law, 25, dim, jax.random.fold_in(key, draw))
    return field(jnp.asarray(0.5, jnp.float32), start_of(dim, key))


def mean_pull(law: str, dim: int, key: jax.Array, batches: int = 40) -> float:
    """The mean square of the mean pull, without bias: products of independent means of 25 heads each."""
    pulls = np.stack([np.asarray(pull(law, dim, key, jnp.asarray(2 + k))) for k in range(batches)])
    total = pulls.sum(axis=0)
    pairs = np.sum(total**2, axis=-1) - np.sum(pulls**2, axis=(0, -1))
    return float(pairs.mean() / (batches * (batches - 1)))


def section(law: str, dim: int) -> dict:
    """By number of heads."""
    rows: dict = {}
    for heads in HEADS:
        keys = [jax.random.fold_in(jax.random.key(dim), k) for k in range(KEYS)]
        runs = [one(law, heads, dim, key) for key in keys]
        speed, moved = np.array(runs, np.float64).T
        rows[f"H = {heads}"] = {
            "G^2": float(speed.mean()),
            "its standard error": float(speed.std(ddof=1) / math.sqrt(KEYS)),
            "squared distance from the start": float(moved.mean()),
        }
        print(law, dim, heads, rows[f"H = {heads}"], flush=True)
    values = [rows[f"H = {heads}"]["G^2"] for heads in HEADS]
    rows["slope of G^2 in H"] = float(np.polyfit(np.log(HEADS), np.log(values), 1)[0])
    rows["slope from H = 10 to 100"] = float(np.log10(values[2] / values[1]))
    rows["square of the mean pull at the start"] = mean_pull(law, dim, jax.random.key(dim))
    print(law, dim, rows, flush=True)
    return rows


def figure(results: dict) -> Figure:
    """G^2 against H."""
    fig = Figure(figsize=(5.6, 4), layout="constrained")
    ax = fig.add_subplot()
    for k, (name, rows) in enumerate(results.items()):
        values = [rows[f"H = {heads}"]["G^2"] for heads in HEADS]
        style = "o-" if "Ornstein" in name else "s--"
        ax.loglog(HEADS, values, style, color=f"C{k % 2}", label=name)
    first = max(rows["H = 1"]["G^2"] for rows in results.values())
    ax.loglog(HEADS, [first / heads for heads in HEADS], ":", color="0.5", label="1/H")
    ax.set(xlabel="heads H", ylabel=r"$G^2$, mean square speed")
    ax.legend(fontsize="small")
    return fig


def main() -> None:
    """Both laws on circle and sphere."""
    names = {
        "Ornstein-Uhlenbeck, circle": ("ou", 2),
        "oscillating, circle": ("waves", 2),
        "Ornstein-Uhlenbeck, sphere": ("ou", 3),
        "oscillating, sphere": ("waves", 3),
    }
    results: dict = {}

    def worked(name: str) -> dict:
        results[name] = section(*names[name])
        return results[name]

    sections = {name: (lambda name=name: worked(name)) for name in names}
    bench.report("random-weights", sections, folder=RESULTS)
    order = [n for law in ("Ornstein", "oscillating") for n in names if n.startswith(law)]
    fig = figure({name: results[name] for name in order})
    fig.savefig(RESULTS / f"random-weights-{jax.default_backend()}.png", dpi=110)


if __name__ == "__main__":
    main()
