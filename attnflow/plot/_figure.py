"""Figures that need no display: made as objects, with no global state of matplotlib touched."""

from os import PathLike
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..core.arguments import instance, numbers, shown

BLUE = "#1f5fa8"
ORANGE = "#c8641e"
GREY = "#8a8a8a"
PALETTE = (BLUE, ORANGE, "#3a8f5c", "#8b5aa8", "#b03a48", "#5f6b78")


def new_axes(size: tuple[float, float]) -> Axes:
    """The axes of a new figure of `size` inches; the figure is `axes.figure`."""
    return Figure(figsize=size, dpi=150, layout="constrained").add_subplot()


def axes_or_new(ax: Axes | None, size: tuple[float, float]) -> Axes:
    """`ax`, or the axes of a new figure where there are none."""
    if ax is None:
        return new_axes(size)
    return instance("ax", ax, Axes, "axes of matplotlib, or None")


def with_parts(name: str, value: Any, what: str, *parts: str) -> Any:
    """`value`, refused where it lacks parts that are drawn: it is of another kind."""
    if not all(hasattr(value, part) for part in parts):
        raise ValueError(f"`{name}` must be {what}; got {shown(value)}.")
    return value


def dress(ax: Axes, xlabel: str | None, ylabel: str | None, title: str | None) -> None:
    """The look that curves share: light grid, no box."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(True, color="#e4e4e4", linewidth=0.6)
    ax.set_axisbelow(True)
    ax.set_xlabel(xlabel or "")
    ax.set_ylabel(ylabel or "")
    if title:
        ax.set_title(title)


def save(ax: Axes, path: str | PathLike[str]) -> None:
    """The figure of `ax` as an image file; the format is that of the path's ending."""
    figure_of(ax).savefig(path)


def as_curves(ts: Any, values: Any) -> tuple[np.ndarray, np.ndarray]:
    """`ts` (n,) and `values` (curves, n) as NumPy arrays; a `ValueError` if they do not fit."""
    ts, values = numbers("ts", ts), numbers("values", values)
    if ts.ndim != 1:
        raise ValueError(f"`ts` must have shape (times,); got {ts.shape}.")
    if values.ndim == 1:
        values = values[None]
    if values.ndim != 2 or values.shape[1] != ts.shape[0]:
        raise ValueError(
            f"`values` must have shape (times,) or (curves, times) with {ts.shape[0]} times; "
            f"got {values.shape}."
        )
    return ts, values


def figure_of(ax: Axes) -> Figure:
    """The figure that the axes are part of."""
    figure = instance("ax", ax, Axes, "axes of matplotlib").get_figure(root=True)
    assert isinstance(figure, Figure)
    return figure
