"""Quantities against time: one curve, many, or the quantiles of many."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from ..core.arguments import boolean, instance, numbers
from ..core.quantiles import quantile as quantile_of
from ._figure import BLUE, PALETTE, as_curves, axes_or_new, dress


def curves(
    ts: ArrayLike,
    values: ArrayLike,
    ax: Axes | None = None,
    *,
    labels: Sequence[str] | None = None,
    colour: str | None = None,
    log: bool = False,
    xlabel: str | None = "t",
    ylabel: str | None = None,
    title: str | None = None,
) -> Axes:
    """One or many curves against time.

    Up to six curves get a colour each; more share one, thin enough to be told apart.

    **Arguments:**

    - `ts`: times, shape `(times,)`.
    - `values`: shape `(times,)` or `(curves, times)`.
    - `ax`: axes to draw on; new ones (`.figure` is the figure) if not given.
    - `labels`: a name for each curve, shown in a legend.
    - `colour`: one colour for all.
    - `log`: a logarithmic axis; values that are not positive are left out.
    - `xlabel`, `ylabel`, `title`: text.

    **Returns:**

    The axes.

    **Raises:**

    - `ValueError`: shapes that do not fit, or not one label a curve.

    ```python
    af.plot.curves(sol.ts, sol.ys["E"], log=True, ylabel="E").figure.savefig("E.png")
    ```
    """
    ts, values = as_curves(ts, values)
    many = len(values) > len(PALETTE)
    log = boolean("log", log)
    if labels is not None:
        labels = list(instance("labels", labels, Sequence, "a list of names"))
    if labels is not None and len(labels) != len(values):
        raise ValueError(f"`labels` must name each of {len(values)} curves; got {len(labels)}.")
    ax = axes_or_new(ax, (6.0, 3.6))
    for k, row in enumerate(values):
        ax.plot(
            ts,
            np.where(row > 0, row, np.nan) if log else row,
            color=colour or (BLUE if many else PALETTE[k]),
            linewidth=0.7 if many else 1.6,
            alpha=0.45 if many else 1.0,
            label=None if labels is None else labels[k],
        )
    if log:
        ax.set_yscale("log")
    dress(ax, xlabel, ylabel, title)
    ax.set_xlim(ts.min(), ts.max())
    if labels is not None:
        ax.legend(frameon=False)
    return ax


def quantiles(
    ts: ArrayLike,
    values: ArrayLike,
    ax: Axes | None = None,
    *,
    levels: Sequence[float] = (0.05, 0.25),
    label: str | None = None,
    colour: str = BLUE,
    log: bool = False,
    xlabel: str | None = "t",
    ylabel: str | None = None,
    title: str | None = None,
) -> Axes:
    """The median of many curves, inside shaded bands between the quantiles `q` and `1 - q`.

    **Arguments:**

    - `ts`: times, shape `(times,)`.
    - `values`: shape `(curves, times)`; NaN entries are left out, infinite ones are values: a band
      between a finite quantile and an infinite one goes on to the end of the picture.
    - `levels`: the lower quantiles of the bands, each in [0, 1/2).
    - `label`: the median's name in a legend.
    - `ax`, `colour`, `log`, `xlabel`, `ylabel`, `title`: as in [`curves`][].

    **Returns:**

    The axes.

    **Raises:**

    - `ValueError`: shapes that do not fit, or a level outside [0, 1/2).
    """
    ts, values = as_curves(ts, values)
    check_levels(levels)
    ax = axes_or_new(ax, (6.0, 3.6))
    band(ax, ts, values, levels=levels, label=label or "median", colour=colour)
    if log:
        ax.set_yscale("log")
    dress(ax, xlabel, ylabel, title)
    ax.set_xlim(ts.min(), ts.max())
    ax.legend(frameon=False)
    return ax


def check_levels(levels: Sequence[float]) -> None:
    """A `ValueError` unless the lower quantiles of bands are below the median."""
    known = numbers("levels", levels)
    if known.ndim != 1 or not np.all((known >= 0) & (known < 0.5)):
        raise ValueError(f"`levels` must be in [0, 0.5), a tuple of them; got {known.tolist()}.")


def band(
    ax: Axes,
    ts: np.ndarray,
    values: np.ndarray,
    *,
    levels: Sequence[float],
    label: str,
    colour: str,
    name_bands: bool = True,
) -> None:
    """The median of the rows of `values` on shaded bands; a gap where all of them are NaN."""
    there = ~np.isnan(values).all(axis=0)

    def quantile(q: float) -> np.ndarray:
        out = np.full(len(ts), np.nan)
        out[there] = quantile_of(values[:, there], q, np.nanquantile)
        return out

    median, edges = quantile(0.5), {q: (quantile(q), quantile(1 - q)) for q in sorted(levels)}
    low, high = _beyond(np.concatenate([median, *(x for pair in edges.values() for x in pair)]))
    for q, pair in edges.items():
        # An infinite edge is beyond the picture: the band goes on to its end.
        lower, upper = (np.clip(edge, low, high) for edge in pair)
        name = band_name(q) if name_bands else None
        ax.fill_between(ts, lower, upper, color=colour, alpha=0.18, linewidth=0, label=name)
    ax.plot(ts, median, color=colour, linewidth=1.8, label=label)


def _beyond(values: np.ndarray) -> tuple[float, float]:
    """Just below the least and above the largest finite value; no bounds where all are finite."""
    finite = values[np.isfinite(values)]
    if not len(finite) or not np.isinf(values).any():
        return -np.inf, np.inf
    room = 0.05 * (finite.max() - finite.min() or 1.0)
    low = finite.min() - room if np.isneginf(values).any() else -np.inf
    return low, finite.max() + room


def band_name(q: float) -> str:
    """The band from the quantile `q` up, in a legend."""
    return f"{q:.0%} to {1 - q:.0%}"
