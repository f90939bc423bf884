"""Shares of attractors stacked against a parameter, and under them the branch of equilibria of each."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ._branches import mean_length, measured
from ._figure import GREY, PALETTE, dress, with_parts

if TYPE_CHECKING:
    from ..attractors import Along

_MOST = 6  # tracks with a colour and a name of their own


def attractors_along(
    result: "Along",
    *,
    measure: Callable[..., object] | None = None,
    xlabel: str = "parameter",
    ylabel: str | None = None,
    title: str | None = None,
) -> tuple[Axes, Axes]:
    r"""Shares of attractors against a parameter, stacked, and under them the bifurcation diagram.

    Above, bands as wide as the shares; the smallest together in grey. Below, a number of tokens along the branch of
    equilibria of each attractor: solid where it is stable modulo symmetries and dotted where not, a dot at each value
    where starts ended there, and an open circle where it is born or dies. Over numbers of tokens and over noise,
    where no branch is followed, a dot's neighbours are joined.

    **Arguments:**

    - `result`: what [`attnflow.attractors.along`][] returns.
    - `measure`: a number of tokens `(tokens, dim)`; the length of their mean unless given.
    - `xlabel`, `ylabel`: what the parameter and the measure are.
    - `title`: text.

    **Returns:**

    The two axes, of a figure of their own.

    ```python
    af.plot.attractors_along(found, xlabel=r"$\beta$")
    ```
    """
    with_parts("result", result, "what attractors.along gives", "values", "tracks")
    if measure is None:
        measure, ylabel = mean_length, "length of the mean token" if ylabel is None else ylabel
    above, below = Figure((6.4, 5.6), layout="constrained").subplots(
        2, 1, sharex=True, gridspec_kw={"height_ratios": (3, 2)}
    )
    tracks = list(result.tracks)
    shown, rest = tracks[:_MOST], tracks[_MOST:]
    grid, bands = _bands(result)
    shares = list(bands[: len(shown)])
    names = [f"{track.kind} {_from_to(track)}" for track in shown]
    colours = [PALETTE[k % len(PALETTE)] for k in range(len(shown))]
    if rest:
        shares.append(bands[len(shown) :].sum(axis=0))
        names.append(f"{len(rest)} others")
        colours.append(GREY)
    above.stackplot(grid, *shares, labels=names, colors=colours, alpha=0.85, linewidth=0)
    above.set_ylim(0, 1)
    above.set_xlim(grid[0], grid[-1])
    dress(above, None, "share of starts", title)
    above.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), frameon=False, fontsize="small")
    for track, colour in zip(shown, colours, strict=False):
        _diagram(below, result.values, track, colour, measure)
    below.margins(y=0.18)
    if np.all(grid == np.round(grid)):  # numbers of tokens, say
        below.xaxis.set_major_locator(MaxNLocator(integer=True))
    dress(below, xlabel, ylabel, None)
    return above, below


def _from_to(track: Any) -> str:
    """Its masses, where it is met first and last."""
    met = [_masses(row.masses) for row in track.rows if row is not None]
    return met[0] if met[0] == met[-1] else f"{met[0]} to {met[-1]}"


def _diagram(
    ax: Axes, values: np.ndarray, track: Any, colour: Any, measure: Callable[..., object]
) -> None:
    """One attractor's branch, the values where starts ended there, and its birth and death."""
    met = [k for k, row in enumerate(track.rows) if row is not None]
    x = np.asarray(values)[met]
    height = measured(measure, [track.rows[k].state for k in met])
    if track.curve is None:
        ax.plot(x, height, "-", color=colour, linewidth=1.0, alpha=0.6)
    else:
        heights = measured(measure, track.curve.y)
        stable = np.array([verdict == "stable" for verdict in track.curve.verdicts])
        for style, mine in (("-", stable), (":", ~stable)):
            both = mine[:-1] & mine[1:]
            for i in np.flatnonzero(both | (style == ":") & (mine[:-1] | mine[1:])):
                ax.plot(
                    track.curve.value[i : i + 2], heights[i : i + 2], style, color=colour, lw=1.5
                )
    ax.plot(x, height, "o", color=colour, ms=3.5)
    for point in (track.born, track.died):
        if point is None:
            continue
        near = int(np.argmin(np.abs(x - point.value)))
        at = height[near] if track.curve is None else measured(measure, [point.y])[0]
        ax.plot(point.value, at, "o", color="white", mec=colour, ms=6, zorder=3)
        ax.annotate(
            f"{point.value:.5g}", (point.value, at), (1, 7), textcoords="offset points",
            fontsize="small", rotation=50, rotation_mode="anchor",
        )  # fmt: skip


def _bands(result: "Along") -> tuple[np.ndarray, np.ndarray]:
    """Shares at the values and where something is born or dies, where its own share is zero."""
    changes = [
        [getattr(p, "beyond", p.value) for p in (t.born, t.died) if p is not None]
        for t in result.tracks
    ]
    grid = np.unique(np.concatenate([np.asarray(result.values), *map(np.asarray, changes)]))
    order = np.argsort(result.values)
    values = np.asarray(result.values)[order]
    bands = []
    for track, zeros in zip(result.tracks, changes, strict=True):
        x = np.concatenate([values, zeros])
        share = np.concatenate([track.share[order], np.zeros(len(zeros))])
        again = np.argsort(x, kind="stable")
        bands.append(np.interp(grid, x[again], share[again]))
    total = np.interp(grid, values, np.sum([track.share[order] for track in result.tracks], axis=0))
    rows = np.stack(bands)
    return grid, rows * total / np.maximum(rows.sum(axis=0), 1e-300)


def _masses(masses: tuple[int, ...]) -> str:
    if len(masses) > 4:
        return f"({len(masses)} clusters)"
    return ":".join(map(str, masses))
