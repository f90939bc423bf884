"""What the trials of a sweep have in common: median and bands, and how many have not ended yet."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from ._curves import band, band_name, check_levels
from ._figure import GREY, PALETTE, axes_or_new, dress
from ._labelled import (
    along as along_of,
    finish,
    has_dims,
    listed,
    no_more,
    one_variable,
    text,
    title_of,
    variable_of,
)

if TYPE_CHECKING:
    import xarray as xr


def bands(
    array: "xr.DataArray",
    ax: Axes | None = None,
    *,
    along: str | None = None,
    levels: Sequence[float] = (0.05, 0.25),
    log: bool = False,
    xlabel: str | None = None,
    ylabel: str | None = None,
    title: str | None = None,
) -> Axes:
    """The median over the trials of a sweep, inside bands between the quantiles `q` and `1 - q`.

    A further dimension gives a colour to each of its values. NaN is left out: after their event
    trajectories no longer count, and what is shown is the others.

    **Arguments:**

    - `array`: an `xarray.DataArray` with a dimension `trial`.
    - `ax`: axes to draw on; new ones (`.figure` is the figure) if not given.
    - `along`: the dimension of the horizontal axis; by default `time`, or the only one there is.
    - `levels`: the lower quantiles of the bands, each in [0, 1/2).
    - `log`: a logarithmic vertical axis.
    - `xlabel`, `ylabel`, `title`: text; by default the names of the dimension and the variable.

    **Returns:**

    The axes.

    **Raises:**

    - `ValueError`: dimensions other than these, more than six values of the further one, or a level
      outside [0, 1/2).

    ```python
    af.plot.bands(data["misalignment"].sel(d=8), log=True).figure.savefig("bands.png")
    ```
    """
    # === check arguments
    one_variable(array)
    check_levels(levels)
    has_dims("array", array, ["trial"] if along is None else [along, "trial"])
    left = [str(dim) for dim in array.dims if dim != "trial"]
    if along is None:
        if "time" not in left and len(left) != 1:
            raise ValueError(
                f"`along` must be one of the dimensions {listed(left)}; got None, which is for data "
                "with 'time' or one dimension besides 'trial'."
            )
        along = "time" if "time" in left else left[0]
    elif along == "trial":
        raise ValueError("`along` must be a dimension other than 'trial'; got it.")
    rest = [dim for dim in left if dim != along]
    no_more("array", f"{along!r}, 'trial' and one for the colours", rest[1:])
    parts = _parts("array", array, rest[0] if rest else None)

    # === draw
    x = along_of(array, along)
    ax = axes_or_new(ax, (6.0, 3.6))
    for colour, (name, part) in zip(PALETTE, parts, strict=False):
        values = np.asarray(part.transpose("trial", along).values, dtype=np.float64)
        band(
            ax, x.places, values[:, x.order], levels=levels, label=name or "median",
            colour=colour, name_bands=not rest,
        )  # fmt: skip
    if log:
        ax.set_yscale("log")
    dress(
        ax,
        title_of(array, along) if xlabel is None else xlabel,
        title_of(array) if ylabel is None else ylabel,
        title,
    )
    finish(ax, x)
    handles, _ = ax.get_legend_handles_labels()
    if rest:
        # Bands lie on one another, so that the inner are darker.
        for depth, q in enumerate(sorted(levels), start=1):
            shade = 1 - (1 - 0.18) ** depth
            handles.append(Patch(color=GREY, alpha=shade, linewidth=0, label=band_name(q)))
    ax.legend(handles=handles, frameon=False)
    return ax


def survival(
    data: "xr.Dataset",
    ax: Axes | None = None,
    *,
    along: str | None = None,
    log: bool = False,
    xlabel: str | None = None,
    ylabel: str | None = None,
    title: str | None = None,
) -> Axes:
    """The part of a sweep's trajectories that their event has not ended yet, against time.

    It is the estimate of Kaplan and Meier
    ([`Survival`][attnflow.ensemble.Survival]): those that came to `t1` or failed leave the count when
    they end, marked by a tick, and are no event. Missing ones and bad starts are left out.

    **Arguments:**

    - `data`: an `xarray.Dataset` with the variables `ended` and `outcome`, over `trial`.
    - `ax`: axes to draw on; new ones (`.figure` is the figure) if not given.
    - `along`: a dimension, with a curve for each of its values; by default the only one there is
      besides `trial`.
    - `log`: a logarithmic vertical axis.
    - `xlabel`, `ylabel`, `title`: text.

    **Returns:**

    The axes.

    **Raises:**

    - `ValueError`: variables or dimensions other than these, or more than six values of `along`.

    ```python
    af.plot.survival(data.sel(d=8), along="beta").figure.savefig("survival.png")
    ```
    """
    # === check arguments
    ended = variable_of(data, "ended")
    variable_of(data, "outcome")
    has_dims("data", ended, ["trial"] if along is None else [along, "trial"])
    if along == "trial":
        raise ValueError("`along` must be a dimension other than 'trial'; got it.")
    rest = [str(dim) for dim in ended.dims if dim != "trial"]
    along = along or (rest[0] if rest else None)
    shown = "'trial'" if along is None else f"{along!r} and 'trial'"
    no_more("data", shown, [dim for dim in rest if dim != along])
    parts = _parts("data", data[["ended", "outcome"]], along)

    # === draw
    ax = axes_or_new(ax, (6.0, 3.6))
    last = 0.0
    for colour, (name, part) in zip(PALETTE, parts, strict=False):
        times, left, gone = _kaplan_meier(part["ended"].values, part["outcome"].values)
        ax.step(times, left, where="post", color=colour, linewidth=1.6, label=name)
        ax.plot(times[gone], left[gone], "|", color=colour, markersize=7, markeredgewidth=1.2)
        last = max(last, times[-1])
    if log:
        ax.set_yscale("log")
    else:
        ax.set_ylim(0, 1.03)
    dress(
        ax,
        "t" if xlabel is None else xlabel,
        "part not there yet" if ylabel is None else ylabel,
        title,
    )
    if last > 0:
        ax.set_xlim(0, 1.01 * last)
    if along is not None:
        # Beside the axes: slow trajectories fill the corner at the top, and fast ones that below.
        ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
    return ax


def _parts(argument: str, data: Any, dim: str | None) -> list[tuple[str | None, Any]]:
    """`data` at each value of `dim`, with its name in a legend."""
    if dim is None:
        return [(None, data)]
    values = along_of(data, dim)
    if len(values.order) > len(PALETTE):
        raise ValueError(
            f"`{argument}` must have at most {len(PALETTE)} values of {dim!r}, one for each colour; "
            f"got {len(values.order)}: choose from them with .sel({dim}=[...])."
        )
    name = title_of(data, dim)
    return [
        (f"{name} = {text(value)}", data.isel({dim: int(place)}))
        for place, value in zip(values.order, values.values, strict=True)
    ]


def _kaplan_meier(ended: Any, outcome: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Times from 0 on, the part left just after each, and where some left the count otherwise."""
    # Here, for ensembles bring JAX along, which the other pictures do without.
    from ..ensemble import Records, Survival

    ended, outcome = np.ravel(ended).astype(np.float64), np.ravel(outcome)
    known = (outcome > 0) & ~np.isnan(ended)  # 0 is a trajectory that is not there yet
    ended, outcome = ended[known], outcome[known].astype(np.int64)
    times = np.unique(np.append(ended[np.isfinite(ended)], 0.0))
    records = Records(
        number=np.arange(len(ended)), ts=None, ys=None, saved=np.ones(len(ended), int), t1=ended,
        outcome=outcome, event=None, stats={},
    )  # fmt: skip
    summary = Survival(times)  # leaves bad starts out
    counts = summary.summarise(records)
    return times, summary.finish(counts), counts[1][:-1] > 0
