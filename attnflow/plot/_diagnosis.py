"""`diagnosis`: a model's diagnosis on one page, its curves, its heads and its words."""

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ._figure import BLUE, GREY, ORANGE, dress, with_parts
from ._looped import draw_looped

if TYPE_CHECKING:
    from ..language import Diagnosis


def diagnosis(page: "Diagnosis") -> Figure:
    r"""A page: $E$ along the passes of each run, $\beta$ of heads by layer, their sinks, and the text.

    **Arguments:**

    - `page`: what [`attnflow.language.diagnose`][] returns.

    **Returns:**

    A figure of A4's size.

    ```python
    af.plot.diagnosis(af.language.diagnose(model, ids)).savefig("page.pdf")
    ```
    """
    with_parts("page", page, "what attnflow.language.diagnose gives", "runs", "temperatures")
    figure = Figure(figsize=(8.27, 11.69), dpi=150)
    curves, heads, sinks = (
        figure.add_axes((0.1, 0.76, 0.85, 0.2)),
        figure.add_axes((0.1, 0.56, 0.37, 0.14)),
        figure.add_axes((0.58, 0.56, 0.37, 0.14)),
    )
    draw_looped(
        {name: (run.depth, np.maximum(run.E, 1e-16)) for name, run in page.runs.items()},
        curves,
        title=str(page.temperatures.architecture),
    )
    curves.legend(frameon=False, fontsize=7, ncols=2)
    t = page.temperatures
    layers, count = t.beta.shape
    x = np.repeat(np.arange(layers), count)
    for ax, columns, label in (
        (heads, (("beta", BLUE),), r"$\beta$ of heads"),
        (sinks, (("first_share", BLUE), ("self_share", ORANGE)), "share of attention"),
    ):
        for k, (name, colour) in enumerate(columns):
            words = {"first_share": "on token 1", "self_share": "on itself"}.get(name)
            shift = 0.2 * k - 0.1 * (len(columns) - 1)
            ax.plot(
                x + shift, getattr(t, name).ravel(), ".", color=colour, ms=4, alpha=0.6, label=words
            )
        dress(ax, "layer", label, None)
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    heads.axhline(0.0, color=GREY, linewidth=0.8)
    sinks.legend(frameon=False, fontsize=7)
    figure.text(0.06, 0.5, str(page), family="monospace", fontsize=5.6, va="top")
    return figure
