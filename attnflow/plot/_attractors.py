"""Shares of attractors with their intervals, and the eigenvalues that say whether they are ones."""

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes

from ._figure import BLUE, GREY, ORANGE, PALETTE, axes_or_new, dress, with_parts

if TYPE_CHECKING:
    from ..attractors import Attractors

_COLOURS = {
    "consensus": BLUE,
    "polarised": ORANGE,
    "clusters": PALETTE[2],
    "polygon": PALETTE[3],
    "cycle": PALETTE[4],
    "no rest": PALETTE[5],
    "slow": GREY,
}


def attractors(result: "Attractors", ax: Axes | None = None, *, title: str | None = None) -> Axes:
    r"""The share of each attractor as a bar, with its 95 % interval and its rightmost eigenvalue.

    The largest share is at the top; a bar's colour is that of its kind. Beside it stands the largest real part
    of the spectrum outside the family of symmetries, or the period of a cycle.

    **Arguments:**

    - `result`: what [`attnflow.attractors.find`][] returns.
    - `ax`: axes to draw on; new ones if not given.
    - `title`: text.

    **Returns:**

    The axes.

    ```python
    af.plot.attractors(af.attractors.find(field, starts, number=1000, key=key, t1=100.0))
    ```
    """
    with_parts("result", result, "what attractors.find gives", "rows", "number")
    rows = list(result.rows)
    ax = axes_or_new(ax, (6.4, 1.2 + 0.42 * len(rows)))
    places = np.arange(len(rows))
    shares = np.array([row.share for row in rows])
    below = shares - np.array([row.low for row in rows])
    above = np.array([row.high for row in rows]) - shares
    ax.barh(
        places, shares, 0.66, color=[_COLOURS[row.kind] for row in rows], xerr=np.stack([below, above]),
        error_kw={"ecolor": "#303030", "capsize": 3, "elinewidth": 1},
    )  # fmt: skip
    for place, row in zip(places, rows, strict=True):
        ax.annotate(
            _beside(row), (row.high, place), (6, 0), textcoords="offset points", va="center"
        )
    ax.set_yticks(places, [f"{row.kind}\n{row.detail}" for row in rows])
    ax.set_ylim(len(rows) - 0.4, -0.6)
    ax.set_xlim(0, 1.28 * max([row.high for row in rows], default=1.0))
    dress(ax, f"share of {result.number} starts", None, title)
    return ax


def _beside(row: object) -> str:
    period, spectrum = getattr(row, "period", None), getattr(row, "spectrum", None)
    if period is not None:
        return f"period {period:.4g}"
    outside = getattr(spectrum, "outside", [])
    return rf"Re $\lambda$ = {outside[0].real:.3g}" if len(outside) else ""
