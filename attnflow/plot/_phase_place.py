"""`phase_place`: a model's heads on the phase diagram of beta and time, beside random weights."""

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes

from ._figure import BLUE, GREY, ORANGE, axes_or_new, dress, with_parts

if TYPE_CHECKING:
    from ..language import PhasePlace


def phase_place(
    place: "PhasePlace",
    ax: Axes | None = None,
    *,
    threshold: float = 0.999,
    title: str | None = None,
) -> Axes:
    r"""Heads at their $\beta$ and at the time when their layer ends, trained and random, and a line by layer.

    The line goes through the median $\beta$ of each layer; the large mark is the model, median $\beta$ and the time of
    one pass. The dashed curve is when tokens that start orthonormal are together under $P = \beta I$,
    $U = I$: above it they would be in consensus after one pass, if the model were that flow. Drawn on the
    axes of [`phase_diagram`][], it stands among that study's runs.

    **Arguments:**

    - `place`: what [`attnflow.language.place`][] returns.
    - `ax`: axes to draw on; new ones if not given.
    - `threshold`: the cosine from which on tokens count as together, of the curve.
    - `title`: text.

    **Returns:**

    The axes: beta from left to right, symmetrically logarithmic unless `ax` was given, time upward.

    ```python
    af.plot.phase_place(af.language.place(model, ids)).figure.savefig("place.png")
    ```
    """
    from ..theory import equiangular_time

    with_parts("place", place, "what attnflow.language.place gives", "temperatures", "tokens")
    own = ax is None
    ax = axes_or_new(ax, (6.4, 4.2))
    for (kind, t), colour in zip(place.temperatures.items(), (BLUE, ORANGE), strict=True):
        end = np.cumsum(t.time)
        heads = t.beta.shape[1]
        ax.plot(
            t.beta.ravel(), np.repeat(end, heads), ".", color=colour, ms=4, alpha=0.45,
            label=f"heads, {kind} weights",
        )  # fmt: skip
        ax.plot(np.median(t.beta, axis=1), end, "-", color=colour, lw=1.0, alpha=0.8)
        beta, _, time = t.place
        ax.plot([beta], [time], "D", color=colour, ms=8, mec="white", label=f"one pass, {kind}")
    low, high = ax.get_xlim()
    fine = np.linspace(max(low, -30.0), min(high, 30.0), 400)
    when = np.asarray(equiangular_time(threshold, fine, place.tokens))
    top = max(float(t.time.sum()) for t in place.temperatures.values())
    seen = when < 4 * max(top, 1.0)
    ax.plot(
        fine[seen], when[seen], "--", color=GREY, lw=1.4, label=r"together, $P = \beta I$, $U = I$"
    )
    if own:
        ax.set_xscale("symlog", linthresh=1.0)
        ax.set_ylim(0, None)
    architecture = place.temperatures["trained"].architecture
    dress(ax, r"$\beta$ of a head", "time of eq. (6)", title or str(architecture))
    ax.legend(frameon=False, fontsize=7)
    return ax
