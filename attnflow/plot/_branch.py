"""The spectrum of an equilibrium against a parameter: where it is stable, and where that ends."""

import itertools
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes

from ._figure import BLUE, GREY, ORANGE, dress, new_axes

if TYPE_CHECKING:
    from ..theory import Branch


def branch(
    followed: "Branch",
    ax: Axes | None = None,
    *,
    xlabel: str = "parameter",
    title: str | None = None,
) -> Axes:
    r"""Real parts of the eigenvalues along a branch of equilibria, with the crossings of zero.

    Eigenvalues are drawn as they are sorted, so that curves which cross exchange names. Left of zero
    they are blue, right of it orange; a shaded band marks where the branch is stable.

    **Arguments:**

    - `followed`: what [`attnflow.theory.continuation`][] returns.
    - `ax`: axes to draw on; new ones if not given.
    - `xlabel`: what the parameter is.
    - `title`: text.

    **Returns:**

    The axes.

    ```python
    af.plot.branch(af.theory.continuation(family, af.theory.polygon(3), values), xlabel=r"$\beta$")
    ```
    """
    p = np.asarray(followed.parameter)
    real = np.real(np.asarray(followed.eigenvalues))
    real = np.where(np.abs(real) <= 1e-9 * np.abs(real).max(initial=0), 0.0, real)
    ax = new_axes((6.4, 3.8)) if ax is None else ax
    for column in real.T:
        ax.plot(p, np.where(column <= 0, column, np.nan), color=BLUE, linewidth=1.3)
        ax.plot(p, np.where(column > 0, column, np.nan), color=ORANGE, linewidth=1.3)
        for k in np.flatnonzero(np.diff(np.sign(column)) != 0):  # pieces across zero
            ax.plot(p[k : k + 2], column[k : k + 2], color=ORANGE, linewidth=1.3)
    stable = np.array([verdict == "stable" for verdict in followed.verdicts])
    ends = np.sort(np.concatenate([p, [c.parameter for c in followed.crossings]]))
    for left, right in itertools.pairwise(ends):
        near = (p >= left) & (p <= right)
        if np.any(near) and np.all(stable[near]):
            ax.axvspan(left, right, color=BLUE, alpha=0.07, linewidth=0)
    ax.axhline(0.0, color=GREY, linewidth=0.9)
    for crossing in followed.crossings:
        ax.plot(crossing.parameter, 0.0, "o", color="white", mec="#303030", ms=7, zorder=3)
        ax.annotate(
            f"{crossing.parameter:.6g}", (crossing.parameter, 0.0), (7, -7), va="top",
            textcoords="offset points",
        )  # fmt: skip
    dress(ax, xlabel, "real part of eigenvalues", title)
    return ax
