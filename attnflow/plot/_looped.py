"""Figures 7 to 10: misalignment along the passes of looped transformers."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from ..core.arguments import instance, shown
from ..core.quantiles import quantile
from ._curves import check_levels
from ._figure import PALETTE, axes_or_new, dress, with_parts

if TYPE_CHECKING:
    from ..language import Looped

_WORDS = {
    "E": "E",
    "pairs": "misalignment of all pairs",
    "rest": "misalignment of pairs without token 1",
    "length": "mean length of a token",
}


def looped(
    runs: "Mapping[str, Looped]",
    ax: Axes | None = None,
    *,
    quantity: str = "E",
    level: float = 0.1,
    log: bool = True,
    title: str | None = None,
) -> Axes:
    """Mean over prompts against passes, in a band between the quantiles `level` and `1 - level`.

    **Arguments:**

    - `runs`: results of [`looped`][attnflow.language.looped] by name.
    - `ax`: axes to draw on; new ones if not given.
    - `quantity`: `"E"`, `"pairs"`, `"rest"` or `"length"`.
    - `level`: of the band; 0 is from the least prompt to the most.
    - `log`: a logarithmic axis; values that are not positive are left out.
    - `title`: text.

    **Returns:**

    The axes.

    ```python
    af.plot.looped({"GPT-2": run}).figure.savefig("looped.png")
    ```
    """
    if quantity not in _WORDS:
        raise ValueError(f"`quantity` must be one of {', '.join(_WORDS)}; got {quantity!r}.")
    instance("runs", runs, Mapping, "runs of looped models by name")
    for name, run in runs.items():
        with_parts("runs", run, f"runs of looped models; that of {shown(name)} is none", "depth")
    if not runs:
        raise ValueError("`runs` must hold at least one run; got none.")
    curves = {name: (run.depth, getattr(run, quantity)) for name, run in runs.items()}
    return draw_looped(curves, ax, level=level, log=log, ylabel=_WORDS[quantity], title=title)


def draw_looped(
    curves: Mapping[str, tuple[np.ndarray, np.ndarray]],
    ax: Axes | None = None,
    *,
    level: float = 0.1,
    log: bool = True,
    ylabel: str = "E",
    title: str | None = None,
) -> Axes:
    """[`looped`][] from passes `(saves,)` and values `(prompts, saves)` by name."""
    check_levels((level,))
    ax = axes_or_new(ax, (6.0, 3.8))
    for k, (name, (depth, values)) in enumerate(curves.items()):
        colour, dashes = PALETTE[k % len(PALETTE)], "-" if k < len(PALETTE) else "--"
        shown = np.where(values > 0, values, np.nan) if log else values
        if len(values) > 1:
            low, high = (quantile(values, q) for q in (level, 1 - level))
            if log:
                low = np.where(low > 0, low, np.nan)
            ax.fill_between(depth, low, high, color=colour, alpha=0.2, linewidth=0)
        ax.plot(
            depth, shown.mean(axis=0), color=colour, linestyle=dashes, linewidth=1.4, label=name
        )
    if log:
        ax.set_yscale("log")
    dress(ax, "passes through the model", ylabel, title)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlim(0, max(depth[-1] for depth, _ in curves.values()))
    ax.legend(frameon=False)
    return ax
