"""Theorem 3.2, Figures 1 to 3: full attention, two heads, P(t) that oscillates, one hemisphere."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key
from matplotlib.figure import Figure

from .. import plot
from ..geometry import Sphere
from ..model import AttentionField
from ..schedules import Modulated, Sinusoid
from ._claims import FigureData, PaperClaim
from ._runs import decreases, run, start, stays_in_hemisphere, stays_on_sphere

# The paper's section 5.1.1. Its cosines are sines a quarter turn ahead.
P_1 = ((0.08, -0.19, 0.20), (-0.23, 0.31, -0.23), (0.18, -0.17, -0.16))
P_2 = ((-0.31, 0.03, 0.11), (0.06, -0.06, 0.13), (0.14, 0.11, 0.10))
AMPLITUDE = 2.0
CYCLES = ((5.0, 5.0, 3.0), (3.0, 3.0, 2.0))  # omega / 2 pi: 10 pi, 10 pi, 6 pi; 6 pi, 6 pi, 4 pi
QUARTERS = ((1.0, 0.0, 1.0), (1.0, 0.0, 1.0))  # phase / (pi / 2): cos, sin, cos
V = (1.0, 0.0, 0.0)
T1 = 25.0
SAVES = 2501


def field_theorem_3_2() -> AttentionField:
    r"""The field of Figures 1 to 3: $P_\eta(t) = D_\eta(t) P'_\eta$ on S², two heads, full attention.

    $D_1 = 2\,\mathrm{diag}(\cos 10\pi t, \sin 10\pi t, \cos 6\pi t)$,
    $D_2 = 2\,\mathrm{diag}(\cos 6\pi t, \sin 6\pi t, \cos 4\pi t)$ (paper, section 5.1.1).
    """
    diagonal = Sinusoid(AMPLITUDE, 2 * jnp.pi * jnp.array(CYCLES), jnp.pi / 2 * jnp.array(QUARTERS))
    return AttentionField(Sphere(3), P=Modulated(diagonal, jnp.array([P_1, P_2])))


@jax.jit
def _norms_and_rates(P, ts):
    def norm(matrix):
        return jnp.sqrt(jnp.sum(matrix**2, axis=(1, 2)))

    def both(t):
        value, rate = jax.jvp(P, (t,), (jnp.ones_like(t),))
        return norm(value), norm(rate)

    return jax.lax.map(both, ts)


def figure1() -> FigureData:
    """Figure 1: the Frobenius norms of P_1(t) and P_2(t).

    **Returns:**

    `ts` (n,), `norms` (2, n) and `rates` (2, n), the norms of the derivatives.
    """
    P = field_theorem_3_2().P
    ts = jnp.linspace(0.0, 2.0, 2001)

    norms, rates = (np.asarray(x).T for x in _norms_and_rates(P, ts))
    parts = np.linalg.norm(np.array([P_1, P_2]), axis=(1, 2))
    ceiling = AMPLITUDE * parts
    steepest = AMPLITUDE * 2 * np.pi * np.max(CYCLES, axis=1) * parts
    claims = (
        PaperClaim(
            1,
            "Thm 3.2, hypothesis: P_1(t), P_2(t) are bounded",
            f"sup |P_1|_F = {norms[0].max():.4f}, sup |P_2|_F = {norms[1].max():.4f}; "
            f"bounds 2|P'|_F: {ceiling[0]:.4f}, {ceiling[1]:.4f}",
            bool(np.all(norms.max(axis=1) <= ceiling)),
        ),
        PaperClaim(
            1,
            "Thm 3.2, hypothesis: and uniformly continuous",
            f"sup |dP_1/dt|_F = {rates[0].max():.2f}, sup |dP_2/dt|_F = {rates[1].max():.2f}: "
            "Lipschitz",
            bool(np.all(rates.max(axis=1) <= steepest)),
        ),
    )
    return FigureData({"ts": np.asarray(ts), "norms": norms, "rates": rates}, claims)


def _run(key: Key[Array, ""]) -> dict[str, np.ndarray]:
    field, v = field_theorem_3_2(), jnp.array(V)
    return run(field, start(field, key, v), v, t1=T1, saves=SAVES)


def figure2(key: Key[Array, ""]) -> FigureData:
    """Figure 2: ten tokens on S² from the open hemisphere of (1, 0, 0) to consensus.

    **Arguments:**

    - `key`: of the start. [`figure3`][] with the same key is the same run.

    **Returns:**

    `ts` (n,), `ys` (n, 10, 3), `v`, `E` (n,), `height` (n,): the least `v·y_i`, `residual` (n,),
    `margin`: of the start, over all hemispheres.
    """
    observed = _run(key)
    E = observed["E"]
    claims = (
        PaperClaim(
            2,
            "Thm 3.2, hypothesis: the tokens start in some open hemisphere",
            f"margin of the best hemisphere {observed['margin']:.3f}",
            bool(observed["margin"] > 0),
        ),
        stays_in_hemisphere(2, "Fig. 2", observed["height"]),
        PaperClaim(
            2,
            "Thm 3.2: the tokens converge to consensus",
            f"E = {E[0]:.3f} at t = 0, {E[-1]:.1e} at t = {T1:g}",
            bool(E[-1] < 1e-12),
        ),
        stays_on_sphere(2, observed["residual"]),
    )
    stored = ("ts", "ys", "v", "E", "height", "residual", "margin")
    return FigureData({name: observed[name] for name in stored}, claims)


def figure3(key: Key[Array, ""]) -> FigureData:
    """Figure 3: the Lyapunov function V(t) of eq. (7) for v = (1, 0, 0), along the run of Figure 2.

    **Arguments:**

    - `key`: of the start.

    **Returns:**

    `ts` (n,), `V` (n,), `E` (n,).
    """
    observed = _run(key)
    V_t, E = observed["V_each"].max(axis=1), observed["E"]
    # Consensus is reached, to rounding, where tokens differ by 1e-10: V is constant from there on.
    claims = (
        decreases(
            3,
            "Thm 3.2: V is strictly decreasing until consensus",
            "V",
            V_t,
            E > 1e-20,
            observed["ts"],
        ),
        PaperClaim(
            3,
            "Thm 3.2: V < 1 throughout (the tokens stay in the hemisphere)",
            f"V = {V_t[0]:.3f} at t = 0, {V_t[-1]:.3f} at t = {T1:g}, at most {V_t.max():.3f}",
            bool(V_t.max() < 1),
        ),
    )
    return FigureData({"ts": observed["ts"], "V": V_t, "E": E}, claims)


def draw_figure1(data: FigureData) -> Figure:
    """Figure 1 from the numbers of [`figure1`][]."""
    ax = plot.curves(
        data["ts"], data["norms"], labels=["$|P_1(t)|_F$", "$|P_2(t)|_F$"],
        ylabel="Frobenius norm", title="Figure 1. Norms of $P_1(t)$ and $P_2(t)$",
    )  # fmt: skip
    ax.set_ylim(0, 1.28)
    ax.legend(loc="upper right", ncols=2, frameon=False)
    return plot.figure_of(ax)


def draw_figure2(data: FigureData) -> Figure:
    """Figure 2 from the numbers of [`figure2`][]."""
    ax = plot.sphere(
        data["ts"], data["ys"], v=data["v"],
        title="Figure 2. Consensus on $S^2$ (Theorem 3.2)",
    )  # fmt: skip
    return plot.figure_of(ax)


def draw_figure3(data: FigureData) -> Figure:
    """Figure 3 from the numbers of [`figure3`][]."""
    ax = plot.curves(
        data["ts"], data["V"], ylabel="V(t)",
        title=r"Figure 3. $V = \max_i\,(1 - v^\top y_i)$, $v = (1, 0, 0)$",
    )  # fmt: skip
    ax.set_ylim(bottom=0)
    return plot.figure_of(ax)
