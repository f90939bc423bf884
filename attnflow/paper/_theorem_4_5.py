"""Theorem 4.5, Figures 5 and 6: causal attention, one head, a symmetric value matrix."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key
from matplotlib.figure import Figure

from .. import plot
from ..geometry import Sphere
from ..model import AttentionField
from ..schedules import Modulated, Sinusoid
from ._claims import FigureData, PaperClaim
from ._runs import decreases, run, start, stays_in_hemisphere, stays_on_sphere
from ._theorem_3_2 import AMPLITUDE, CYCLES, QUARTERS

# The paper's section 5.1.3; D(t) is the D_1(t) of section 5.1.1.
P = ((0.36, 0.42, 0.13), (0.10, -0.07, -0.20), (0.15, -0.21, 0.12))
U = ((-0.26, 0.50, 0.56), (0.50, -0.72, -0.50), (0.56, -0.50, -0.02))
T1 = 60.0
SAVES = 3001


def field_theorem_4_5() -> AttentionField:
    r"""The field of Figures 5 and 6: causal, one head, symmetric U with top eigenvalue 0.44029952.

    $P(t) = D(t) P'$, $D = 2\,\mathrm{diag}(\cos 10\pi t, \sin 10\pi t, \cos 6\pi t)$ (paper, 5.1.3).
    """
    diagonal = Sinusoid(
        AMPLITUDE, 2 * jnp.pi * jnp.array(CYCLES[:1]), jnp.pi / 2 * jnp.array(QUARTERS[:1])
    )
    return AttentionField(
        Sphere(3), P=Modulated(diagonal, jnp.array([P])), U=jnp.array([U]), mask="causal"
    )


def top_eigenvector() -> tuple[np.ndarray, Float[Array, " 3"]]:
    """The eigenvalues of U in descending order, and the unit eigenvector of the first.

    Of the two signs it is the one whose first entry is positive.
    """
    values, vectors = np.linalg.eigh(np.array(U))
    v = vectors[:, -1]
    return values[::-1], jnp.asarray(v * np.sign(v[0]))


def _run(key: Key[Array, ""]) -> dict[str, np.ndarray]:
    field = field_theorem_4_5()
    _, v = top_eigenvector()
    return run(field, start(field, key, v), v, t1=T1, saves=SAVES)


def figure5(key: Key[Array, ""]) -> FigureData:
    """Figure 5: ten tokens on S² from the open hemisphere of U's top eigenvector v, to v.

    **Arguments:**

    - `key`: of the start. [`figure6`][] with the same key is the same run.

    **Returns:**

    `ts` (n,), `ys` (n, 10, 3), `v`, `E` (n,), `height` (n,): the least `v·y_i`, `residual` (n,),
    `angle` (n,): the largest between a token and `v`.
    """
    observed = _run(key)
    values, _ = top_eigenvector()
    angle = 2 * np.arcsin(np.sqrt(observed["V_each"].max(axis=1) / 2))
    E = observed["E"]
    claims = (
        PaperClaim(
            5,
            "Thm 4.5, hypothesis: U symmetric, its largest eigenvalue positive and simple",
            f"eigenvalues {values[0]:.8f}, {values[1]:.4f}, {values[2]:.4f}; "
            f"|U - U'| = {np.abs(np.array(U) - np.array(U).T).max():g}",
            bool(values[0] > 0 and values[0] > values[1] and np.array_equal(U, np.array(U).T)),
        ),
        stays_in_hemisphere(5, "Fig. 5", observed["height"]),
        PaperClaim(
            5,
            "Thm 4.5: all tokens converge to v",
            f"largest angle to v: {angle[0]:.2f} rad at t = 0, {angle[-1]:.1e} at t = {T1:g}",
            bool(angle[-1] < 1e-3),
        ),
        PaperClaim(
            5,
            "Fig. 5: convergence to a consensus equilibrium",
            f"E = {E[0]:.3f} at t = 0, {E[-1]:.1e} at t = {T1:g}",
            bool(E[-1] < 1e-6),
        ),
        stays_on_sphere(5, observed["residual"]),
    )
    stored = ("ts", "ys", "v", "E", "height", "residual")
    return FigureData({name: observed[name] for name in stored} | {"angle": angle}, claims)


def figure6(key: Key[Array, ""]) -> FigureData:
    """Figure 6: V_1 = 1 - v·y_1 and V_2 = 1 - v·y_2 along the run of Figure 5.

    **Arguments:**

    - `key`: of the start.

    **Returns:**

    `ts` (n,), `V` (2, n).
    """
    observed = _run(key)
    ts, (V_1, V_2) = observed["ts"], observed["V_each"][:, :2].T
    rise = float(np.max(np.diff(V_2)))
    claims = (
        decreases(6, "Thm 4.5, proof: V_1 is strictly decreasing", "V_1", V_1, V_1 > 1e-20, ts),
        PaperClaim(
            6,
            "Thm 4.5, proof: V_2 may increase, and converges to zero",
            f"largest change of V_2 between saves {rise:+.1e}; V_2 = {V_2[0]:.3f} at t = 0, "
            f"at most {V_2.max():.3f}, {V_2[-1]:.1e} at t = {T1:g}",
            bool(V_2[-1] < 1e-6),
        ),
    )
    return FigureData({"ts": ts, "V": np.stack([V_1, V_2])}, claims)


def draw_figure5(data: FigureData) -> Figure:
    """Figure 5 from the numbers of [`figure5`][]."""
    ax = plot.sphere(
        data["ts"], data["ys"], v=data["v"],
        title="Figure 5. Consensus at v (Theorem 4.5)",
    )  # fmt: skip
    return plot.figure_of(ax)


def draw_figure6(data: FigureData) -> Figure:
    """Figure 6 from the numbers of [`figure6`][]."""
    shown = data["ts"] <= 25.0
    ax = plot.curves(
        data["ts"][shown], data["V"][:, shown], labels=[r"$V_1 = 1 - y_1^\top v$", r"$V_2 = 1 - y_2^\top v$"],
        title="Figure 6. $V_1$ and $V_2$ of the proof of Theorem 4.5",
    )  # fmt: skip
    ax.set_ylim(bottom=0)
    return plot.figure_of(ax)
