"""`diagnosis`: a model's diagnosis on one page, its curves, its heads and its words."""

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ._figure import BLUE, GREY, ORANGE, dress, with_parts
from ._looped import draw_looped
from ._phase_place import phase_place

if TYPE_CHECKING:
    import xarray as xr

    from ..language import Diagnosis, PhasePlace

_WHITE_IS = (
    "heads: white trained, orange random; colour: pairs together\n"
    "under $P = \\beta I$, $U = I$; dashed: equiangular tokens"
)
_BLUE_IS = "heads: blue trained, orange random; dashed: together\nunder $P = \\beta I$, $U = I$"


def diagnosis(
    page: "Diagnosis", place: "PhasePlace | None" = None, *, runs: "xr.Dataset | None" = None
) -> Figure:
    r"""A page: $E$ along the passes of each run, $\beta$ of heads, their sinks, and the text.

    **Arguments:**

    - `page`: what [`attnflow.language.diagnose`][] returns.
    - `place`: what [`attnflow.language.place`][] returns: heads are drawn on the phase diagram, as
      [`phase_place`][] does; by layer without it.
    - `runs`: of a sweep, for that diagram.

    **Returns:**

    A figure of A4's size.

    ```python
    af.plot.diagnosis(af.language.diagnose(model, ids)).savefig("page.pdf")
    ```
    """
    with_parts("page", page, "what attnflow.language.diagnose gives", "runs", "temperatures")
    figure = Figure(figsize=(8.27, 11.69), dpi=150)
    curves, heads, sinks = (
        figure.add_axes((0.1, 0.78, 0.85, 0.18)),
        figure.add_axes((0.1, 0.56, 0.37, 0.13)),
        figure.add_axes((0.58, 0.56, 0.37, 0.13)),
    )
    draw_looped(
        {name: (run.depth, np.maximum(run.E, 1e-16)) for name, run in page.runs.items()},
        curves,
        title=str(page.temperatures.architecture),
    )
    curves.legend(frameon=False, fontsize=7, ncols=2)
    if place is not None:
        phase_place(place, heads, runs=runs, title=_WHITE_IS if runs is not None else _BLUE_IS)
        heads.title.set_fontsize(6.5)
        if runs is not None:
            figure.axes[-1].set_ylabel("pairs together", fontsize=8)  # the colour bar
        legend = heads.get_legend()
        if legend is not None:
            legend.remove()
    t = page.temperatures
    layers, count = t.beta.shape
    x = np.repeat(np.arange(layers), count)
    panels = [
        (heads, (("beta", BLUE),), r"$\beta$ of heads"),
        (sinks, (("first_share", BLUE), ("self_share", ORANGE)), "share of attention"),
    ]
    for ax, columns, label in panels[place is not None :]:
        for k, (name, colour) in enumerate(columns):
            words = {"first_share": "on token 1", "self_share": "on itself"}.get(name)
            shift = 0.2 * k - 0.1 * (len(columns) - 1)
            ax.plot(
                x + shift, getattr(t, name).ravel(), ".", color=colour, ms=4, alpha=0.6, label=words
            )
        dress(ax, "layer", label, None)
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    if place is None:
        heads.axhline(0.0, color=GREY, linewidth=0.8)
    sinks.legend(frameon=False, fontsize=7, ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    text = str(page)
    figure.text(0.06, 0.5, text, family="monospace", fontsize=_size(text), va="top")
    return figure


def _size(text: str) -> float:
    """Of letters, in points: the longest line within 0.9 of A4's width, all lines within 0.48 of its height."""
    lines = text.splitlines()
    wide = 0.9 * 8.27 * 72 / (0.61 * max(map(len, lines)))  # a letter is 0.6 of its size wide
    return min(7.5, wide, 0.48 * 11.69 * 72 / (1.2 * len(lines)))
