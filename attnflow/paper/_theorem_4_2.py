"""Theorem 4.2, Figure 4: causal attention, 50 tokens on S^499, a hundred random starts."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Key
from matplotlib.figure import Figure

from .. import plot
from ..core.compiled import compiled
from ..flow import simulate
from ..geometry import Sphere
from ..model import AttentionField
from ..observables import Residual, misalignment
from ..schedules import Modulated, Scaled, Sinusoid
from ._claims import FigureData, PaperClaim
from ._runs import stays_on_sphere

# The paper's section 5.1.2.
HEADS = 2
DIM = 500
TOKENS = 50
TRAJECTORIES = 100
AMPLITUDE = 2.0
# Consensus takes some 14 / (h / sqrt(d)): the slowest token halves its distance every 15 units.
T1 = 200.0
SAVES = 401
# Rectified sines have 160 kinks a unit of time here; each costs steps, and the figure asks no more.
RTOL = 3e-5
CHUNK = 10


def field_theorem_4_2(
    key: Key[Array, ""], dim: int = DIM, *, shared_frequency: bool = False
) -> AttentionField:
    r"""The field of Figure 4: $P_\eta(t) = D_\eta(t) P'_\eta$, two heads, causal, on $S^{d-1}$.

    $P'_\eta$ has entries uniform on [-1/2, 1/2], $D_\eta$ is diagonal with entries
    $|2\sin(\omega t + \varphi)|$, $\omega \sim U(0, 1)$, $\varphi \sim U(0, 2\pi)$ (paper, section 5.1.2).

    **Arguments:**

    - `key`: of $P'$, $\omega$ and $\varphi$.
    - `dim`: $d$.
    - `shared_frequency`: the text leaves open how often $\omega$ and $\varphi$ are drawn. `False`: for
      each entry of the diagonals; `True`: once a head, which makes $P_\eta(t)$ a number times $P'_\eta$.
    """
    matrix_key, omega_key, phase_key = jr.split(key, 3)
    matrix = jr.uniform(matrix_key, (HEADS, dim, dim), minval=-0.5, maxval=0.5)
    drawn = (HEADS, 1) if shared_frequency else (HEADS, dim)
    omega = jr.uniform(omega_key, drawn)
    phase = jr.uniform(phase_key, drawn, maxval=2 * jnp.pi)
    amplitude = jnp.full((HEADS, dim), AMPLITUDE)
    if shared_frequency:
        # c_eta(t) P'_eta: a scalar schedule, which reductions can take apart.
        coefficient = Sinusoid(amplitude[:, 0], omega[:, 0], phase[:, 0], rectified=True)
        return AttentionField(Sphere(dim), P=Scaled(coefficient, matrix), mask="causal")
    diagonal = Sinusoid(amplitude, omega, phase, rectified=True)
    return AttentionField(Sphere(dim), P=Modulated(diagonal, matrix), mask="causal")


def starts(
    key: Key[Array, ""], trajectories: int = TRAJECTORIES, tokens: int = TOKENS, dim: int = DIM
) -> Float[Array, "trajectories tokens dim"]:
    """The starts of Figure 4: entries uniform on ]-1/2, 1/2[, then projected to the sphere.

    Start `i` depends on `key` and `i` alone.
    """
    return _starts(key, jnp.arange(trajectories), tokens, dim)


@compiled
def _starts(key, numbers, tokens, dim):
    def one(i):
        entries = jr.uniform(jr.fold_in(key, i), (tokens, dim), minval=-0.5, maxval=0.5)
        return Sphere(dim).project(entries)

    return jax.vmap(one)(numbers)


@eqx.filter_jit
def _solve(field: AttentionField, starts: Array, ts: Array) -> dict[str, Array]:
    residual = Residual(field.manifold)

    def one(y0):
        sol = simulate(
            field,
            y0,
            t1=ts[-1],
            ts=ts,
            rtol=RTOL,
            atol=0.0,
            observe={"E": misalignment, "residual": residual, "first": _first},
        )
        # Half chords, which keep small angles; the largest over tokens.
        to_first = jnp.linalg.norm(sol.y1 - y0[:1], axis=1) / 2
        return {
            "E": sol.ys["E"],
            "residual": jnp.max(sol.ys["residual"]),
            "moved": jnp.max(jnp.linalg.norm(sol.ys["first"] - y0[:1], axis=1)),
            "angle": 2 * jnp.arcsin(jnp.max(to_first)),
            "steps": sol.stats["num_steps"],
        }

    # One after the other: with adaptive steps of their own a batch waits for its slowest.
    return jax.lax.map(one, starts)


def _first(y):
    return y[0]


def figure4(
    key: Key[Array, ""],
    *,
    trajectories: int = TRAJECTORIES,
    tokens: int = TOKENS,
    dim: int = DIM,
    t1: float = T1,
    shared_frequency: bool = False,
    tick: Callable[[], object] | None = None,
) -> FigureData:
    """Figure 4: E(t) along 100 solutions, 50 tokens on S^499.

    **Arguments:**

    - `key`: of the field and the starts.
    - `trajectories`, `tokens`, `dim`, `t1`: sizes; the paper's by default (`t1` is not published).
    - `shared_frequency`: as in [`field_theorem_4_2`][].
    - `tick`: called after every ten trajectories.

    **Returns:**

    `ts` (n,), `E` (trajectories, n), `angle` (trajectories,): the largest at the end between a token
    and the first one's start, `moved`: how far the first token ever was from its start, `residual`
    and `steps` (trajectories,).
    """
    field_key, start_key = jr.split(key)
    field = field_theorem_4_2(field_key, dim, shared_frequency=shared_frequency)
    ts = jnp.linspace(0.0, t1, SAVES)
    every = starts(start_key, trajectories, tokens, dim)
    chunks = []
    for first in range(0, trajectories, CHUNK):
        chunks.append(jax.tree.map(np.asarray, _solve(field, every[first : first + CHUNK], ts)))
        if tick is not None:
            tick()
    joined = {name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]}
    E, angle = joined["E"], joined["angle"]
    claims = (
        PaperClaim(
            4,
            f"Fig. 4: E converges to zero along all {trajectories} trajectories",
            f"E = {E[:, 0].min():.3f} to {E[:, 0].max():.3f} at t = 0, largest at t = {t1:g}: "
            f"{E[:, -1].max():.1e}",
            bool(E[:, -1].max() < 1e-3),
        ),
        PaperClaim(
            4,
            "Thm 4.2: the first token is fixed",
            f"largest |y_1(t) - y_1(0)| = {joined['moved'].max():.1e}",
            bool(joined["moved"].max() < 1e-12),
        ),
        PaperClaim(
            4,
            "Thm 4.2: all tokens converge to y_1(0)",
            f"largest angle to y_1(0) at t = {t1:g}: {angle.max():.1e} rad",
            bool(angle.max() < 0.05),
        ),
        stays_on_sphere(4, joined["residual"]),
    )
    return FigureData({"ts": np.asarray(ts), **joined}, claims)


def draw_figure4(data: FigureData) -> Figure:
    """Figure 4 from the numbers of [`figure4`][], and the same on a logarithmic axis."""
    count = len(data["E"])
    figure = Figure(figsize=(9.0, 3.6), dpi=150, layout="constrained")
    left, right = figure.subplots(1, 2)
    plot.curves(data["ts"], data["E"], left, ylabel="E(t)")
    left.set_ylim(bottom=0)
    plot.curves(data["ts"], data["E"], right, ylabel="E(t)", log=True)
    figure.suptitle(f"Figure 4. E along {count} solutions (Theorem 4.2)")
    return figure
