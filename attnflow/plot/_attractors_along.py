"""Shares of attractors stacked against a parameter, and under them how stable each of them is."""

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ._figure import GREY, PALETTE, dress, with_parts

if TYPE_CHECKING:
    from ..attractors import Along

_MOST = 6  # tracks with a colour and a name of their own


def attractors_along(
    result: "Along", *, xlabel: str = "parameter", title: str | None = None
) -> tuple[Axes, Axes]:
    r"""Shares of attractors against a parameter, stacked, and the spectrum of each under them.

    Above, bands as wide as the shares; the smallest together in grey. Below, the largest real part of the spectrum
    outside the family of symmetries at each value where starts ended there, and, on the line of zero, an open circle
    where an attractor is born or dies.

    **Arguments:**

    - `result`: what [`attnflow.attractors.along`][] returns.
    - `xlabel`: what the parameter is.
    - `title`: text.

    **Returns:**

    The two axes, of a figure of their own.

    ```python
    af.plot.attractors_along(found, xlabel=r"$\beta$")
    ```
    """
    with_parts("result", result, "what attractors.along gives", "values", "tracks")
    above, below = Figure((6.4, 5.6), layout="constrained").subplots(
        2, 1, sharex=True, gridspec_kw={"height_ratios": (3, 2)}
    )
    tracks = list(result.tracks)
    shown, rest = tracks[:_MOST], tracks[_MOST:]
    grid, bands = _bands(result)
    shares = list(bands[: len(shown)])
    names = [f"{track.kind} {_masses(track.masses)}" for track in shown]
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
    below.axhline(0.0, color=GREY, linewidth=0.9)
    for track, colour in zip(shown, colours, strict=False):
        known = [
            (value, float(row.spectrum.outside[0].real))
            for value, row in zip(result.values, track.rows, strict=True)
            if row is not None and row.spectrum.at_rest and len(row.spectrum.outside)
        ]
        ends = [(p.value, 0.0) for p in (track.born, track.died) if p is not None]
        if known:
            x, height = np.array(sorted([*known, *ends])).T
            below.plot(x, height, color=colour, linewidth=1.3)
            below.plot(*np.array(known).T, "o", color=colour, ms=3)
        for x, zero in ends:
            below.plot(x, zero, "o", color="white", mec=colour, ms=6, zorder=3)
            below.annotate(
                f"{x:.5g}", (x, zero), (1, 7), textcoords="offset points", fontsize="small",
                rotation=50, rotation_mode="anchor",
            )  # fmt: skip
    if any(t.born is not None or t.died is not None for t in shown):
        low, high = below.get_ylim()
        below.set_ylim(low, high + 0.3 * (high - low))
    dress(below, xlabel, r"rightmost Re $\lambda$", None)
    return above, below


def _bands(result: "Along") -> tuple[np.ndarray, np.ndarray]:
    """Shares at the values and where something is born or dies, where its own share is zero."""
    changes = [[p.value for p in (t.born, t.died) if p is not None] for t in result.tracks]
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
