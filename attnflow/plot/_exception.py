"""The starts of a third token that never leave the antipode of the first, beside those of the second."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator
from numpy.typing import ArrayLike

from ..core.arguments import numbers
from ._figure import BLUE, GREY, PALETTE, axes_or_new, dress


def exceptional_starts(
    theta: ArrayLike,
    beyond: ArrayLike,
    ax: Axes | None = None,
    *,
    labels: Sequence[str] | None = None,
    title: str | None = None,
) -> Axes:
    r"""Curves of exceptional starts: $\theta_3 - \pi$ against $\theta_2$, with $y_1$ at the angle 0.

    On each curve token 3 is taken to $-y_1$; above and below it, to $y_1$, by one side of the circle or
    the other. The shaded wedge, between the lines $y_3 = -y_1$ and $y_3 = -y_2$, holds every curve.

    **Arguments:**

    - `theta`: angles of token 2, shape `(n,)`, increasing.
    - `beyond`: the curves at these angles, shape `(n,)` or `(curves, n)`, at most six.
    - `ax`: axes to draw on; new ones if not given.
    - `labels`: a name for each curve, shown in a legend.
    - `title`: text.

    **Returns:**

    The axes.

    **Raises:**

    - `ValueError`: shapes that do not fit, too many curves, or not one label a curve.

    ```python
    theta = jnp.linspace(-3.0, 3.0, 61)
    af.plot.exceptional_starts(theta, af.theory.exceptional_curve(field, y0[:2], theta))
    ```
    """
    theta, beyond = numbers("theta", theta), numbers("beyond", beyond)
    beyond = beyond[None] if beyond.ndim == 1 else beyond
    if theta.ndim != 1 or beyond.ndim != 2 or beyond.shape[1:] != theta.shape:
        raise ValueError(
            "`theta` and `beyond` must have shapes (n,) and (n,) or (curves, n); "
            f"got {theta.shape} and {beyond.shape}."
        )
    if len(beyond) > len(PALETTE):
        raise ValueError(f"`beyond` must hold at most {len(PALETTE)} curves; got {len(beyond)}.")
    if labels is not None and len(labels) != len(beyond):
        raise ValueError(f"`labels` must name each of {len(beyond)} curves; got {len(labels)}.")
    ax = axes_or_new(ax, (5.4, 5.0))
    ends = np.array([-np.pi, 0.0, np.pi])
    ax.fill_between(ends, 0 * ends, ends, color=BLUE, alpha=0.08, linewidth=0)
    ax.plot(ends, 0 * ends, color=GREY, linewidth=0.9)
    ax.plot(ends, ends, color=GREY, linewidth=0.9, linestyle="--")
    ax.text(-2.0, 0.08, "$y_3 = -y_1$", color="#5f5f5f", ha="center", va="bottom")
    ax.text(-1.6, -1.9, "$y_3 = -y_2$", color="#5f5f5f", ha="left", va="top")
    for k, row in enumerate(beyond):
        label = None if labels is None else labels[k]
        ax.plot(theta, row, color=PALETTE[k], linewidth=1.6, label=label)
    names = [r"$-\pi$", r"$-\pi/2$", "0", r"$\pi/2$", r"$\pi$"]
    dress(ax, r"$\theta_2$", r"$\theta_3 - \pi$", title)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(FixedLocator(list(np.linspace(-np.pi, np.pi, 5))))
        axis.set_ticklabels(names)
    ax.set_xlim(-np.pi, np.pi)
    ax.set_ylim(-np.pi, np.pi)
    ax.set_aspect("equal")
    if labels is not None:
        ax.legend(frameon=False, loc="lower right")
    return ax
