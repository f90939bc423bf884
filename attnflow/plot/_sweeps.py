"""Colour over two axes of a sweep: heat maps, and the phase diagram of consensus."""

from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke

from ..core.arguments import numbers, shown
from ._figure import axes_or_new
from ._labelled import (
    along,
    has_dims,
    listed,
    mean_over_trials,
    no_more,
    one_variable,
    text,
    title_of,
    variable_of,
)

if TYPE_CHECKING:
    import xarray as xr


_MISSING = "#c9c9c9"
_CURVE = "#ff5a4f"


def heat_map(
    array: "xr.DataArray",
    ax: Axes | None = None,
    *,
    x: str | None = None,
    y: str | None = None,
    label: str | None = None,
    limits: tuple[float, float] | None = None,
    colours: str = "viridis",
    xlabel: str | None = None,
    ylabel: str | None = None,
    title: str | None = None,
) -> Axes:
    """A quantity in colour against two dimensions of a sweep, averaged over its trials.

    Cells are centred at the coordinates' values, and are grey where there is no number. An axis
    whose values are spaced by a factor is logarithmic; values that are no numbers get a tick each.

    **Arguments:**

    - `array`: an `xarray.DataArray`. The mean over `trial` leaves out NaN.
    - `ax`: axes to draw on; new ones (`.figure` is the figure) if not given.
    - `x`, `y`: dimensions; by default the last, and the first that is left.
    - `label`: text of the colour bar.
    - `limits`: the values at the two ends of the colours.
    - `colours`: a colour map of matplotlib, by name.
    - `xlabel`, `ylabel`, `title`: text; by default the dimensions' names.

    **Returns:**

    The axes.

    **Raises:**

    - `ValueError`: not two dimensions, `x` or `y` not among them, or limits that do not increase.

    ```python
    af.plot.heat_map(data["misalignment"].isel(time=-1)).figure.savefig("map.png")
    ```
    """
    # === check arguments
    one_variable(array)
    has_dims("array", array, [dim for dim in (x, y) if dim is not None])
    if x is not None and x == y:
        raise ValueError(f"`x` and `y` must be two dimensions; got {x!r} for both.")
    if limits is not None:
        ends = numbers("limits", limits)
        if ends.shape != (2,) or not ends[0] < ends[1]:
            raise ValueError(f"`limits` must be two increasing numbers; got {shown(limits)}.")
    if not isinstance(colours, str) or colours not in matplotlib.colormaps:
        raise ValueError(f"`colours` must name a colour map of matplotlib; got {shown(colours)}.")
    left: list[Any] = [dim for dim in array.dims if dim != "trial" or dim in (x, y)]
    if len(left) < 2:
        raise ValueError(
            f"`array` must have two dimensions besides 'trial'; it has {listed(left)}."
        )
    x = str([dim for dim in left if dim != y][-1]) if x is None else x
    y = str(next(dim for dim in left if dim != x)) if y is None else y
    no_more("array", f"{x!r}, {y!r} and 'trial'", [dim for dim in left if dim not in (x, y)])

    # === draw
    across, up = along(array, x), along(array, y)
    values = mean_over_trials(array, y, x)[np.ix_(up.order, across.order)]
    ax = axes_or_new(ax, (5.6, 4.0))
    finite = values[np.isfinite(values)]
    low, high = limits or ((finite.min(), finite.max()) if len(finite) else (None, None))
    beyond = (bool(np.isneginf(values).any()), bool(np.isposinf(values).any()))
    if any(beyond):
        # matplotlib takes infinities for missing: they are drawn as what is out of range.
        low, high = (0.0, 1.0) if low is None or high is None else (low, high)
        out = max(1.0, high - low)
        values = np.clip(values, low - out, high + out)
    image = ax.pcolormesh(
        across.edges, up.edges, np.ma.masked_where(np.isnan(values), values),
        cmap=matplotlib.colormaps[colours].with_extremes(bad=_MISSING),
        vmin=low, vmax=high, rasterized=True,
    )  # fmt: skip
    across.dress(ax, "x")
    up.dress(ax, "y")
    ax.set_xlim(across.edges[0], across.edges[-1])
    ax.set_ylim(up.edges[0], up.edges[-1])
    if label is None:
        label = title_of(array)
        if label and "trial" in array.dims and "trial" not in (x, y):
            label += ", mean over trials"
    ends = {(True, True): "both", (True, False): "min", (False, True): "max"}
    ax.figure.colorbar(image, ax=ax, label=label, extend=ends.get(beyond, "neither"))
    ax.set_xlabel(title_of(array, x) if xlabel is None else xlabel)
    ax.set_ylabel(title_of(array, y) if ylabel is None else ylabel)
    if title:
        ax.set_title(title)
    return ax


def phase_diagram(
    data: "xr.Dataset",
    ax: Axes | None = None,
    *,
    tokens: int,
    d: float | str | None = None,
    threshold: float = 0.999,
    kernel: str = "softmax",
    variable: str = "aligned_pairs",
    label: str | None = None,
    colours: str = "viridis",
    xlabel: str | None = None,
    ylabel: str | None = None,
    title: str | None = None,
) -> Axes:
    r"""The part of pairs of tokens that are together, against β and time: who is in consensus when.

    The dashed curve is when tokens that start orthonormal have the cosine `threshold`
    ([`equiangular_time`][attnflow.theory.equiangular_time]): under full attention on the sphere with
    `U = I`, `P = beta I` and `scale = 1`, random tokens follow it ever more closely as their
    dimension grows.

    **Arguments:**

    - `data`: an `xarray.Dataset` with the dimensions `beta` and `time`, and maybe `trial` and `d`.
    - `ax`: axes to draw on; new ones (`.figure` is the figure) if not given.
    - `tokens`: how many tokens there are.
    - `d`: the value of the dimension `d` to show; needed if the data have one.
    - `threshold`: the cosine from which on two tokens count as together in `variable`.
    - `kernel`: `"softmax"` or `"exp"`, for the curve.
    - `variable`: what is shown, between 0 and 1; its mean over `trial`.
    - `label`, `colours`, `xlabel`, `ylabel`, `title`: as in [`heat_map`][].

    **Returns:**

    The axes.

    **Raises:**

    - `ValueError`: no such variable or dimension, others besides, no `d` where one is needed, or what
      [`equiangular_time`][attnflow.theory.equiangular_time] refuses.

    Source: Geshkovski, Letrouit, Polyanskiy and Rigollet, arXiv:2312.10794, where it is drawn for
    several dimensions.
    """
    # Here, for theory brings JAX along, which the other pictures do without.
    from ..theory import equiangular_time

    # === check arguments
    array = _at_dimension(variable_of(data, variable), d)
    has_dims("data", array, ("beta", "time"))
    extra = [dim for dim in array.dims if dim not in ("beta", "time", "trial")]
    no_more("data", "'beta', 'time' and 'trial'", extra)
    beta, time = along(array, "beta"), along(array, "time")
    if beta.values.dtype.kind not in "iuf":
        raise ValueError(f"`data` must have numbers as 'beta'; got {beta.values.dtype}.")
    between = np.geomspace if beta.log else np.linspace
    fine = between(beta.edges[0], beta.edges[-1], 400)
    when = equiangular_time(threshold, fine, tokens, kernel=kernel)

    # === draw
    ax = heat_map(
        array, ax, x="beta", y="time", label=label or "part of pairs together", limits=(0.0, 1.0), colours=colours,
        xlabel=xlabel, ylabel=ylabel, title=title,
    )  # fmt: skip
    # Later than the picture is out of sight, and need not be as far away as e^β.
    ax.plot(
        fine, np.minimum(when, 10 * time.edges[-1]), color=_CURVE, linewidth=1.8, linestyle="--",
        path_effects=[withStroke(linewidth=3.2, foreground="white")],
        label="equiangular (d → ∞)",
    )  # fmt: skip
    ax.legend(loc="upper left")
    return ax


def _at_dimension(array: Any, d: Any) -> Any:
    """`array` at the value `d` of its dimension `d`, if it has one."""
    if "d" not in array.dims:
        there = array.coords["d"].values if "d" in array.coords else None
        if d is not None and d != there:
            raise ValueError(f"`d` must be left out: the data have no dimension 'd'; got {d!r}.")
        return array
    values = along(array, "d").values
    if d is None or d not in values.tolist():
        allowed = ", ".join(text(value) for value in values)
        raise ValueError(f"`d` must be a value of the dimension 'd', {allowed}; got {d!r}.")
    return array.sel(d=d)
