"""The spectrum of an equilibrium against a parameter: where it is stable, and where that ends."""

import itertools
from typing import TYPE_CHECKING, cast

import numpy as np
from matplotlib.axes import Axes

from ._branches import branches
from ._figure import BLUE, GREY, ORANGE, axes_or_new, dress, with_parts

if TYPE_CHECKING:
    from ..attractors import Branches
    from ..theory import Branch


def branch(
    followed: "Branch | Branches",
    ax: Axes | None = None,
    *,
    xlabel: str = "parameter",
    title: str | None = None,
) -> Axes:
    r"""Real parts of the eigenvalues along a branch of equilibria, with the crossings of zero.

    Eigenvalues are drawn as they are sorted, so that curves which cross exchange names. Left of zero
    they are blue, right of it orange; a shaded band marks where the branch is stable.

    **Arguments:**

    - `followed`: what [`attnflow.theory.continuation`][] returns; what [`attnflow.attractors.branch`][] returns is
      drawn by [`branches`][attnflow.plot.branches].
    - `ax`: axes to draw on; new ones if not given.
    - `xlabel`: what the parameter is.
    - `title`: text.

    **Returns:**

    The axes.

    ```python
    af.plot.branch(af.theory.continuation(family, af.theory.polygon(3), values), xlabel=r"$\beta$")
    ```
    """
    if hasattr(followed, "curves"):
        return branches(cast("Branches", followed), ax, xlabel=xlabel, title=title)
    followed = cast("Branch", followed)
    with_parts("followed", followed, "what continuation gives", "parameter", "eigenvalues")
    p = np.asarray(followed.parameter)
    real = np.real(np.asarray(followed.eigenvalues))
    real = np.where(np.abs(real) <= 1e-9 * np.abs(real).max(initial=0), 0.0, real)
    # Zeros that are there all along, those of a family of equilibria, are the axis itself. Left
    # among the others they would exchange places with an eigenvalue that passes zero.
    always = int(np.min(np.sum(real == 0, axis=1)))
    real = np.stack([row[np.sort(np.argsort(np.abs(row))[always:])] for row in real])
    ax = axes_or_new(ax, (6.4, 3.8))
    where = [c.parameter for c in followed.crossings]
    for column in real.T:
        # Through the crossing itself, where one lies between two values of different sign.
        there = [x for x in where if _sign_changes(p, column, x)]
        order = np.argsort(np.append(p, there), kind="stable")
        order = order if p[-1] >= p[0] else order[::-1]
        x, height = np.append(p, there)[order], np.append(column, np.zeros(len(there)))[order]
        for k in range(len(x) - 1):
            colour = ORANGE if max(height[k], height[k + 1]) > 0 else BLUE
            ax.plot(x[k : k + 2], height[k : k + 2], color=colour, linewidth=1.3)
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


def _sign_changes(p: np.ndarray, column: np.ndarray, x: float) -> bool:
    """Whether the column has opposite signs at the two values on either side of `x`."""
    k = int(np.argmax((p[:-1] - x) * (p[1:] - x) <= 0)) if len(p) > 1 else 0
    return len(p) > 1 and bool(column[k] * column[k + 1] < 0)
