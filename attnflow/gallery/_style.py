"""How pictures of the gallery look: panels in a row, a light grid, six colours."""

from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

BLUE, ORANGE, GREEN, VIOLET, RED, GREY = (
    "#1f5fa8",
    "#c8641e",
    "#3a8f5c",
    "#8b5aa8",
    "#b03a48",
    "#5f6b78",
)
Place = Literal["best", "upper left", "upper center", "lower left", "lower right"]
PALETTE = (BLUE, ORANGE, GREEN, VIOLET, RED, GREY)


def stroke(k: int) -> tuple[str, str]:
    """Colour and style of the k-th curve of many: six colours, then dashed."""
    return PALETTE[k % len(PALETTE)], "-" if k < len(PALETTE) else "--"


def panels(
    columns: int, title: str, *, rows: int = 1, width: float = 4.2, height: float = 3.6
) -> tuple[Figure, list[Axes]]:
    """A figure with axes in rows and columns, and its title."""
    size = (max(columns * width, 5.6), rows * height + 0.4)
    figure = Figure(figsize=size, dpi=150, layout="constrained")
    axes = list(np.asarray(figure.subplots(rows, columns, squeeze=False)).ravel())
    for ax in axes:
        ax.spines[["top", "right"]].set_visible(False)
        ax.grid(True, color="#e4e4e4", linewidth=0.6)
        ax.set_axisbelow(True)
    figure.suptitle(title)
    return figure, axes


def label(ax: Axes, xlabel: str, ylabel: str, title: str = "") -> None:
    """The words on axes."""
    ax.set(xlabel=xlabel, ylabel=ylabel, title=title)


def heat(ax: Axes, x: ArrayLike, y: ArrayLike, values: ArrayLike) -> object:
    """A map of values in [0, 1] over x and y; `values` has a row for each y."""
    ax.grid(False)
    return ax.pcolormesh(
        np.asarray(x), np.asarray(y), np.asarray(values),
        cmap="cividis", vmin=0, vmax=1, shading="nearest", rasterized=True,
    )  # fmt: skip


def legend(ax: Axes, loc: Place = "best", *, columns: int = 1, colour: str = "black") -> None:
    """A legend without a frame, in small letters."""
    ax.legend(loc=loc, ncols=columns, labelcolor=colour, frameon=False, fontsize="small")


def unit_circle(ax: Axes) -> None:
    """A thin circle, and equal axes without ticks around it."""
    turn = np.linspace(0, 2 * np.pi, 201)
    ax.plot(np.cos(turn), np.sin(turn), color="#c4c4c4", linewidth=0.8, zorder=0)
    ax.set(aspect="equal", xlim=(-1.15, 1.15), ylim=(-1.15, 1.15), xticks=[], yticks=[])
    ax.grid(False)
    ax.spines[:].set_visible(False)
