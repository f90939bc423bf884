"""A bifurcation diagram: curves of equilibria by one number, solid where stable, and the points where they meet."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes

from ._figure import PALETTE, axes_or_new, dress, with_parts

if TYPE_CHECKING:
    from ..attractors import Branches

_MARKS = {"fold": ">", "pitchfork": "o", "transcritical": "s", "hopf": "D"}


def branches(
    followed: "Branches",
    ax: Axes | None = None,
    *,
    measure: Callable[..., object] | None = None,
    xlabel: str = "parameter",
    ylabel: str | None = None,
    title: str | None = None,
) -> Axes:
    r"""Curves of equilibria against the parameter, with folds, crossings and Hopf points.

    Lines are solid where the equilibrium is stable modulo symmetries, and dotted where not. From a Hopf point the
    largest and the least of the measure along each closed orbit are drawn as dots.

    **Arguments:**

    - `followed`: what [`attnflow.attractors.branch`][] returns.
    - `ax`: axes to draw on; new ones if not given.
    - `measure`: a number of tokens `(tokens, dim)`; the length of their mean unless given.
    - `xlabel`, `ylabel`: what the parameter and the measure are.
    - `title`: text.

    **Returns:**

    The axes.

    ```python
    af.plot.branches(af.attractors.branch(field, y, family, low=0.0, high=3.0), xlabel=r"$\beta$")
    ```
    """
    with_parts("followed", followed, "what attractors.branch gives", "curves", "special")
    if measure is None:
        measure, ylabel = mean_length, "length of the mean token" if ylabel is None else ylabel
    ax = axes_or_new(ax, (6.4, 3.8))
    for k, curve in enumerate(followed.curves):
        colour = PALETTE[k % len(PALETTE)]
        x, height = np.asarray(curve.value), measured(measure, curve.y)
        stable = np.array([verdict == "stable" for verdict in curve.verdicts])
        special = [p for p in followed.special if p.curve == k]
        # Through the special points themselves, which belong to the stretches on both sides.
        for style, mine in (("-", stable), (":", ~stable)):
            both = mine[:-1] & mine[1:]
            for i in np.flatnonzero(both | (style == ":") & (mine[:-1] | mine[1:])):
                ax.plot(x[i : i + 2], height[i : i + 2], style, color=colour, linewidth=1.5)
        for point in special:
            for orbit in point.orbits:
                ends = measured(measure, orbit.points)
                ax.plot([orbit.value] * 2, [ends.min(), ends.max()], ".", color=colour, ms=4)
    for point in followed.special:
        at = float(measured(measure, point.y[None])[0])
        ax.plot(point.value, at, _MARKS[point.kind], color="white", mec="#303030", ms=7, zorder=3)
        ax.annotate(
            f"{point.kind} {point.value:.6g}", (point.value, at), (7, 6),
            textcoords="offset points", fontsize="small",
        )  # fmt: skip
    ax.margins(y=0.12)
    dress(ax, xlabel, ylabel, title)
    return ax


def measured(
    measure: Callable[..., object], ys: np.ndarray | Sequence[np.ndarray]
) -> Float[np.ndarray, " n"]:
    """The measure of each of these states."""
    return np.array([float(np.asarray(measure(y))) for y in ys])


def mean_length(y: np.ndarray) -> float:
    """The length of the mean token."""
    return float(np.linalg.norm(np.asarray(y).mean(axis=0)))
