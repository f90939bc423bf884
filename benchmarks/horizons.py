"""The staircases of arXiv:2410.06833 up to their last merge: five tokens on the circle, beta = 500 to 4000.

    python benchmarks/horizons.py

Writes benchmarks/results/horizons-<backend>.json and .png. Two starts: `wide`, whose plateaus are clean at each
of these beta, and `close`, whose last merge is at ln t near 260 for beta = 4000. For every beta: ln t of the merges,
the energy on each plateau, the drift of the centroid of angles, steps, seconds; and the largest change of any ln t
under another solver, tolerance and merge distance. Compilation is timed apart, as the first run.
"""

import time
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
STARTS = {
    "wide": np.array([0.0, 0.22, 0.45, 0.98, 1.34]),
    "close": np.array([0.0, 0.09, 0.2, 0.38, 0.55]),
}
BETAS = (500.0, 1000.0, 1500.0, 2000.0, 3000.0, 4000.0)
PLATEAUS = np.array([0.20, 0.28, 0.44, 0.52, 1.00])
OTHERS = {
    "Dopri8": {"solver": diffrax.Dopri8()},
    "Kvaerno5": {"solver": diffrax.Kvaerno5()},
    "Kvaerno5, rtol 1e-6": {"solver": diffrax.Kvaerno5(), "rtol": 1e-6, "atol": 1e-10},
    "rtol 1e-7": {"rtol": 1e-7, "atol": 1e-10},
    "merge 1e-10": {"merge": 1e-10},
    "merge 1e-4": {"merge": 1e-4},
}


def staircase(beta: float, angles: np.ndarray, kernel: str = "exp", **options) -> af.LongRun:
    """One run."""
    mask = jnp.full((5, 5), -beta)
    field = af.AttentionField(
        af.Sphere(2), P=beta * jnp.eye(2), mask=mask, kernel=kernel, scale=1.0
    )
    y0 = jnp.stack([jnp.cos(jnp.asarray(angles)), jnp.sin(jnp.asarray(angles))], axis=1)
    return af.long_run(field, y0, **options)


def row(beta: float, angles: np.ndarray) -> tuple[dict, af.LongRun]:
    """What was measured at one beta."""
    begun = time.perf_counter()
    run = staircase(beta, angles)
    seconds = time.perf_counter() - begun
    changes = {}
    for name, options in OTHERS.items():
        try:
            other = staircase(beta, angles, **options).merges.log_t
            changes[name] = float(np.abs(other - run.merges.log_t).max())
        except RuntimeError as error:
            changes[name] = str(error)
    soft = staircase(beta, angles, kernel="softmax")
    assert run.angles is not None
    assert soft.angles is not None
    return {
        "ln t of the merges": run.merges.log_t.tolist(),
        "clusters": run.merges.clusters.tolist(),
        "energy on plateaus": run.energy.tolist(),
        "largest difference from .20, .28, .44, .52, 1": float(np.abs(run.energy - PLATEAUS).max()),
        "drift of the centroid": abs(float(run.angles.mean() - angles.mean())),
        "drift of the centroid, softmax": abs(float(soft.angles.mean() - angles.mean())),
        "ln t of the merges, softmax": soft.merges.log_t.tolist(),
        "largest change of ln t": changes,
        "steps": len(run.log_t),
        "seconds": seconds,
    }, run


def figure(runs: dict[str, dict[float, af.LongRun]]) -> Figure:
    """The energy by ln t, one panel a start."""
    fig = Figure(figsize=(10, 3.6), layout="constrained")
    for ax, (name, by_beta) in zip(fig.subplots(1, 2, sharey=True), runs.items(), strict=True):
        end = 1.05 * max(run.log_t1 for run in by_beta.values())
        for k, (beta, run) in enumerate(by_beta.items()):
            seen = run.log_t > -1
            ax.plot(
                [-1, *run.log_t[seen], end],
                [run.energies[0], *run.energies[seen], run.energies[-1]],
                color=f"C{k}",
                label=rf"$\beta$ = {beta:.0f}",
            )
        for level in PLATEAUS:
            ax.axhline(level, color="0.8", lw=0.6, zorder=0)
        ax.set(xlabel="ln t", title=f"{name} start", xlim=(0, end))
    fig.axes[0].set_ylabel(r"energy $\sum_{ij} m_i m_j e^{\beta(\cos - 1)}$")
    fig.axes[1].legend(fontsize="small", loc="lower right")
    return fig


def one_start(name: str, runs: dict[str, dict[float, af.LongRun]]) -> dict:
    """All six beta from one start."""
    angles = STARTS[name]
    begun = time.perf_counter()
    staircase(BETAS[0], angles)
    first = time.perf_counter() - begun
    rows, runs[name] = {}, {}
    for beta in BETAS:
        rows[f"beta = {beta:.0f}"], runs[name][beta] = row(beta, angles)
        print(name, beta, runs[name][beta], rows[f"beta = {beta:.0f}"]["largest change of ln t"])
    total = sum(r["seconds"] for r in rows.values())
    print(f"{name}: {total:.2f} s for the six, {first:.1f} s for a first run, compiled where new")
    return {
        "angles": angles.tolist(),
        "first run, seconds": first,
        "six runs, seconds": total,
        **rows,
    }


def main() -> None:
    """Run both starts, write what was measured and draw it."""
    runs: dict[str, dict[float, af.LongRun]] = {}
    sections = {name: (lambda name=name: one_start(name, runs)) for name in STARTS}
    bench.report("horizons", sections, folder=RESULTS)
    figure(runs).savefig(RESULTS / f"horizons-{jax.default_backend()}.png", dpi=110)


if __name__ == "__main__":
    main()
