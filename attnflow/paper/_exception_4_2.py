"""Theorem 4.2's printed domain: the start on S¹ that ends at -y_1 without starting there."""

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from matplotlib.figure import Figure

from .. import plot, theory
from ..flow import simulate
from ..geometry import Sphere
from ..model import AttentionField
from ..observables import Residual
from ._claims import FigureData, PaperClaim

SECOND = 1.0  # theta_2(0); theta_1 = 0
SHIFT = 1e-6  # how far beside the exceptional start its neighbours are
HORIZON = 24.0  # rounding leaves the exceptional path at e^{2t/3}: it is shown until here
T1 = 60.0


def _exceptional_angle(field: AttentionField) -> float:
    # theta_3(0), with theta_1 = 0 and theta_2(0) = 1: pi + 0.2879898447...
    first_two = jnp.stack([jnp.array([1.0, 0.0]), jnp.array([np.cos(SECOND), np.sin(SECOND)])])
    third = np.asarray(theory.exceptional_start(field, first_two)[2])
    return float(np.pi + np.arctan2(-third[1], -third[0]))


def _angle_beyond(y: Float[Array, "3 2"]) -> Float[Array, ""]:
    # Between y_3 and -y_1, without cancellation at either end.
    return 2 * jnp.arctan2(jnp.linalg.norm(y[2] + y[0]), jnp.linalg.norm(y[2] - y[0]))


def exception_4_2() -> FigureData:
    """The erratum of Theorem 4.2's printed domain, `y_j != -y_1`, by its start on S¹.

    Three tokens, causal, P = 0, rows of attention that sum to one: the exceptional start, and one a
    millionth of a radian to each side.

    **Returns:**

    `ts` (n,), `angle` (3, n): between y_3 and -y_1, for the lower neighbour, the exceptional start and
    the upper neighbour; `theta` (3,): their theta_3(0).
    """
    sphere = Sphere(2)
    field = AttentionField(sphere, P=jnp.zeros((2, 2)), mask="causal", scale=1.0)
    theta = _exceptional_angle(field) + SHIFT * np.array([-1.0, 0.0, 1.0])
    ts = jnp.linspace(0.0, T1, 601)
    observe = {"angle": _angle_beyond, "residual": Residual(sphere)}

    def one(third):
        angles = jnp.stack([jnp.zeros(()), jnp.asarray(SECOND), third])
        y0 = jnp.stack([jnp.cos(angles), jnp.sin(angles)], axis=1)
        return simulate(
            field,
            y0,
            t1=T1,
            ts=ts,
            rtol=1e-13,
            atol=1e-14,
            observe=observe,
            solver=diffrax.Dopri8(),
        ).ys

    observed = jax.vmap(one)(jnp.asarray(theta))
    angle, times = np.asarray(observed["angle"]), np.asarray(ts)
    largest_angle = angle[1, np.searchsorted(times, HORIZON)]
    beside = np.pi - angle[[0, 2], -1].min()
    claims = (
        PaperClaim(
            4,
            "Thm 4.2, erratum: its printed domain, y_j != -y_1 for all j, is too large by a null "
            "set; almost every start (Table 1) is right",
            f"S^1, P = 0: from theta = (0, 1, pi + {theta[1] - np.pi:.9f}) y_3 goes to -y_1 "
            f"({largest_angle:.0e} rad at t = {HORIZON:g}); from {SHIFT:.0e} beside it to y_1 ({beside:.0e})",
            bool(largest_angle < 1e-4 and beside < 1e-6 and angle[1, 0] > 0.1),
        ),
    )
    arrays = {
        "ts": times, "angle": angle, "theta": theta, "residual": np.asarray(observed["residual"]),
    }  # fmt: skip
    return FigureData(arrays, claims)


def draw_exception_4_2(data: FigureData) -> Figure:
    """The angle between y_3 and -y_1 from the exceptional start and from both sides of it."""
    shown = data["ts"] <= 40.0
    ax = plot.curves(
        data["ts"][shown], data["angle"][[1, 0, 2]][:, shown], log=True,
        labels=["exceptional start", f"{SHIFT:.0e} rad below", f"{SHIFT:.0e} rad above"],
        ylabel="angle between $y_3$ and $-y_1$",
        title="A start with $y_j \\ne -y_1$ outside the basin (erratum, Thm 4.2)",
    )  # fmt: skip
    ax.axvline(HORIZON, color="#8a8a8a", linewidth=0.8, linestyle=":")
    ax.text(
        HORIZON + 0.4,
        1e-2,
        "from here on rounding,\nwhich grows as $e^{2t/3}$,\ntakes over",
        va="center",
    )
    return plot.figure_of(ax)
