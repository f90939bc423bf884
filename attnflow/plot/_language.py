"""Language models in pictures: the spectra of their heads, and their misalignment beside the equations'."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ..core.lazy import renamed_argument
from ._figure import BLUE, GREY, ORANGE, PALETTE, axes_or_new, dress, with_parts

if TYPE_CHECKING:
    from ..language import Comparison, Spectra

_MOST_PASSES = 20  # whose ends are marked


def heads(
    spectra: "Spectra", axes: Iterable[Axes] | None = None, *, title: str | None = None
) -> tuple[Axes, Axes, Axes]:
    r"""The heads of a model by layer, a dot each: eigenvalues of $U$, asymmetries, size of $P$.

    Left: the top eigenvalues of $U$ (its real part) and of $\tfrac12(U + U^\top)$. Middle: how far $U$
    and $P$ are from symmetric, with the $1/\sqrt2$ of a random matrix as a line. Right: the effective
    $\beta$ and the largest score, on a scale that is linear near zero and logarithmic beyond.

    **Arguments:**

    - `spectra`: what [`attnflow.language.spectra`][] returns.
    - `axes`: three axes to draw on; those of a new figure if not given.
    - `title`: text, of the figure.

    **Returns:**

    The three axes.

    ```python
    af.plot.heads(af.language.spectra(model))[0].figure.savefig("heads.png")
    ```
    """
    with_parts("spectra", spectra, "what attnflow.language.spectra gives", "top")
    if axes is None:
        figure = Figure(figsize=(11.0, 3.6), dpi=150, layout="constrained")
        panels = [figure.add_subplot(1, 3, k) for k in (1, 2, 3)]
        if title:
            figure.suptitle(title)
    else:
        panels = list(axes)
        if len(panels) != 3:
            raise ValueError(f"`axes` must be three axes; got {len(panels)}.")
        if title:
            panels[0].set_title(title)
    values, symmetry, scores = panels
    _dots(values, spectra.top, BLUE, -0.15, "of U")
    _dots(values, spectra.symmetric_top, ORANGE, 0.15, "of its symmetric part")
    values.axhline(0.0, color=GREY, linewidth=0.9)
    _dots(symmetry, spectra.asymmetry, BLUE, -0.15, "of U")
    _dots(symmetry, spectra.P_asymmetry, ORANGE, 0.15, "of P")
    symmetry.axhline(0.5**0.5, color=GREY, linewidth=0.9, linestyle="--")
    symmetry.set_ylim(0, 1.02)
    _dots(scores, spectra.beta, BLUE, -0.15, r"effective $\beta$")
    _dots(scores, spectra.logit, ORANGE, 0.15, "largest score")
    scores.axhline(0.0, color=GREY, linewidth=0.9)
    size = float(np.abs(spectra.logit).max())
    if size > 0:
        scores.set_yscale("symlog", linthresh=max(float(np.abs(spectra.beta).max()), 1e-3 * size))
    for ax, label in zip(panels, ("top eigenvalue", "asymmetry", "size of P"), strict=True):
        dress(ax, "layer", label, ax.get_title() or None)
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.legend(frameon=False, markerscale=3)
    return values, symmetry, scores


def _dots(ax: Axes, numbers: np.ndarray, colour: str, shift: float, label: str) -> None:
    layers, count = numbers.shape
    x = np.repeat(np.arange(layers) + shift, count)
    ax.plot(
        x,
        numbers.ravel(),
        ".",
        color=colour,
        markersize=4,
        alpha=0.6,
        markeredgewidth=0,
        label=label,
    )


@renamed_argument("found", "compared")
def comparison(
    compared: "Comparison", ax: Axes | None = None, *, log: bool = True, title: str | None = None
) -> Axes:
    r"""$E$ (paper, eq. 9) by layer of a network, of eq. (1) and of eq. (6): mean, least and most over prompts.

    **Arguments:**

    - `compared`: what [`attnflow.language.compare`][] returns.
    - `ax`: axes to draw on; new ones if not given.
    - `log`: a logarithmic vertical axis; values that are not positive are left out.
    - `title`: text.

    **Returns:**

    The axes. Faint lines mark where passes end.

    ```python
    af.plot.comparison(af.language.compare(model, ids)).figure.savefig("E.png")
    ```
    """
    with_parts(
        "compared", compared, "what attnflow.language.compare gives", "layer", "architecture"
    )
    ax = axes_or_new(ax, (6.4, 3.8))
    x = compared.layer
    layers = compared.architecture.layers
    if 1 < compared.passes <= _MOST_PASSES:
        for k in range(1, compared.passes):
            ax.axvline(k * layers, color=GREY, linewidth=0.7, alpha=0.5)
    styles = {"network, centred": ":"}
    for colour, (name, E) in zip((BLUE, BLUE, *PALETTE[1:]), compared.E.items(), strict=False):
        shown = np.where(E > 0, E, np.nan) if log else E
        there = ~np.isnan(shown).all(axis=0)
        low, mean, high = (np.full(len(x), np.nan) for _ in range(3))
        low[there], high[there] = np.nanmin(shown[:, there], 0), np.nanmax(shown[:, there], 0)
        mean[there] = np.nanmean(shown[:, there], axis=0)
        if len(E) > 1 and name not in styles:
            ax.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)
        ax.plot(x, mean, color=colour, linestyle=styles.get(name, "-"), linewidth=1.6, label=name)
    if log:
        ax.set_yscale("log")
    dress(ax, "layers", "E", title)
    ax.set_xlim(float(x.min()), float(x.max()))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.legend(frameon=False)
    return ax
