"""The boxes of a proof over all states, each in the colour of its reason."""

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.patches import Patch, Rectangle

from ..core.arguments import instance
from ._figure import BLUE, GREY, ORANGE, PALETTE, axes_or_new

if TYPE_CHECKING:
    from ..cover import Synchronisation

_COLOURS = {
    "elsewhere": "#f0f0f0",
    "half circle": "#d9d9d9",
    "no equilibrium": BLUE,
    "growth": ORANGE,
    "three groups": PALETTE[2],
}


def cover(
    result: "Synchronisation",
    ax: Axes | None = None,
    *,
    beta: float | None = None,
    gaps: tuple[float, ...] | None = None,
    title: str | None = None,
) -> Axes:
    r"""The leaves of a proof of synchronisation, cut at one beta, over the first two gaps between tokens.

    Each box has the colour of the reason for which it needs no more: it is outside the domain
    (`elsewhere`: another gap is the largest, or it is a mirror image), in an open half circle, without an
    equilibrium, or with a direction of growth throughout. The tree is that of the first order of weights.

    **Arguments:**

    - `result`: of [`synchronisation`][attnflow.certify.synchronisation], proved, for 3 tokens or more.
    - `ax`: axes to draw on; new ones if not given.
    - `beta`: where the tree is cut; the range's lower end unless given.
    - `gaps`: where it is cut along the third gap and later ones, `tokens - 3` numbers in radians; $2\pi$ over
      the number of tokens unless given.
    - `title`: text.

    **Returns:**

    The axes.

    **Raises:**

    - `ValueError`: nothing was proved, fewer than 3 tokens, or not as many gaps.

    ```python
    result = af.certify.synchronisation(3, beta=("-2/3", -0.16))
    af.plot.cover(result, beta=-0.6).figure.savefig("cover.png")
    ```
    """
    from ..cover import Synchronisation, leaves, reason_of  # with JAX, which pictures do without

    result = instance("result", result, Synchronisation, "what certify.synchronisation returns")
    if result.problem is None or result.symbols is None:
        raise ValueError(
            f"`result` must be proved, to have boxes; it is not decided: {result.why}."
        )
    if result.tokens < 3:
        raise ValueError(f"`result` must be of 3 tokens or more, two gaps; got {result.tokens}.")
    others = (
        np.full(result.tokens - 3, 2 * np.pi / result.tokens) if gaps is None else np.array(gaps)
    )
    if others.shape != (result.tokens - 3,):
        raise ValueError(f"`gaps` must be {result.tokens - 3} numbers; got {others.size}.")
    at = float(result.beta[0]) if beta is None else float(beta)

    boxes, reasons = leaves(result.problem, result.symbols)
    g_lo, g_hi = result.problem.gaps(boxes)
    b_lo, b_hi = result.problem.betas(boxes)
    cut = (boxes.root == 0) & (b_lo[:, 0] <= at) & (at <= b_hi[:, 0])
    cut &= np.all((g_lo[:, 2:] <= others) & (others <= g_hi[:, 2:]), axis=1)

    ax = axes_or_new(ax, (6.2, 5.2))
    kinds = np.array([reason_of(result.problem, int(s)) for s in reasons])
    shown = []
    for kind, colour in _COLOURS.items():
        these = np.flatnonzero(cut & (kinds == kind))
        if not len(these):
            continue
        sides = g_hi[these, :2] - g_lo[these, :2]
        corners = zip(g_lo[these, :2].tolist(), sides.tolist(), strict=True)
        patches = [Rectangle((x, y), w, h) for (x, y), (w, h) in corners]
        ax.add_collection(
            PatchCollection(patches, facecolor=colour, edgecolor="white", linewidth=0.4)
        )
        shown.append(Patch(facecolor=colour, label=f"{kind} ({len(these)})"))
    _domain(ax, float(others.sum()))
    ax.set(xlim=(0, 3.25), ylim=(0, 3.25), aspect="equal", title=title)
    ax.set_xlabel("gap from token 1 to 2 (rad)")
    ax.set_ylabel("gap from token 2 to 3 (rad)")
    ax.legend(handles=shown, loc="upper left", bbox_to_anchor=(1.01, 1.0), frameon=False)
    return ax


def _domain(ax: Axes, others: float) -> None:
    """Where the last gap is pi, and where it is as large as the first or the second."""
    rest, x = 2 * np.pi - others, np.linspace(0, 3.25, 200)
    ax.plot(x, rest - np.pi - x, color=GREY, linewidth=0.9, linestyle="--")
    for pair in ((x, rest - 2 * x), (rest - 2 * x, x)):
        ax.plot(*pair, color="black", linewidth=0.9)
