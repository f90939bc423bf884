"""Arrays with named dimensions, as a sweep gives them: what is along an axis, and what it is called.

The arrays are xarray's, used by their own methods alone; the library is not imported.
"""

from collections.abc import Collection, Iterable
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, NullLocator

from ..core.arguments import shown as text_of

_LETTERS = {"time": "t", "beta": "β"}


class DrawnPlaces(NamedTuple):
    """The coordinate of one dimension, in the order in which it is drawn.

    - `order`: where in the array each place is found.
    - `values`: the coordinate; `places`: where it is drawn, which for text is 0, 1, ...
    - `log`: whether the axis is logarithmic.
    - `ticks`: whether each place has a tick of its own.
    """

    order: np.ndarray
    values: np.ndarray
    places: np.ndarray
    log: bool
    ticks: bool

    @property
    def edges(self) -> np.ndarray:
        """Cells around the places: half way between neighbours, geometrically on a log axis."""
        centres = np.log(self.places) if self.log else self.places
        if len(centres) == 1:
            return centres[0] + np.array([-0.5, 0.5])
        inner = (centres[1:] + centres[:-1]) / 2
        edges = np.concatenate([[2 * centres[0] - inner[0]], inner, [2 * centres[-1] - inner[-1]]])
        return np.exp(edges) if self.log else edges

    def dress(self, ax: Axes, which: str) -> None:
        """Scale and ticks of the axis, `"x"` or `"y"`, that this is drawn along."""
        axis = ax.xaxis if which == "x" else ax.yaxis
        if self.log:
            ax.set(**{f"{which}scale": "log"})
        if self.ticks:
            axis.set_major_locator(FixedLocator(self.places.tolist()))
            axis.set_ticklabels([text(value) for value in self.values])
            axis.set_minor_locator(NullLocator())


def along(array: Any, dim: str) -> DrawnPlaces:
    """The coordinate of `dim`: its numbers in increasing order, or places 0, 1, ... for others."""
    size = array.sizes[dim]
    values = np.asarray(array.coords[dim].values) if dim in array.coords else np.arange(size)
    number = values.dtype.kind in "iuf" and bool(np.isfinite(values).all())
    if not number or len(np.unique(values)) < size:
        return DrawnPlaces(np.arange(size), values, np.arange(float(size)), log=False, ticks=True)
    order = np.argsort(values)
    places = values[order].astype(np.float64)
    log = size > 2 and places[0] > 0 and _spread(np.log(places)) < min(0.25, _spread(places) / 2)
    even = size < 3 or _spread(np.log(places) if log else places) < 0.25
    # A tick each where they fit side by side.
    fit = size <= 10 and sum(len(text(value)) + 1 for value in values) <= 40
    return DrawnPlaces(order, values[order], places, log=log, ticks=fit and even)


def _spread(places: np.ndarray) -> float:
    """How uneven the steps are: their standard deviation over their mean."""
    steps = np.diff(places)
    return float(steps.std() / steps.mean())


def text(value: Any) -> str:
    """A coordinate's value as text."""
    return f"{value:g}" if isinstance(value, np.floating | float) else str(value)


def title_of(array: Any, dim: str | None = None) -> str:
    """What the array, or its coordinate `dim`, is called, with its unit."""
    if dim is not None and dim not in array.coords:
        return _LETTERS.get(dim, dim)
    named = array if dim is None else array.coords[dim]
    short = "" if named.name is None else str(named.name)
    name = named.attrs.get("long_name") or _LETTERS.get(short, short)
    units = named.attrs.get("units")
    return f"{name} [{units}]" if units and str(units) != "1" else str(name)


def one_variable(array: Any) -> None:
    """A `ValueError` unless `array` is a labelled array."""
    if hasattr(array, "data_vars"):
        names = ", ".join(repr(name) for name in array.data_vars)
        raise ValueError(
            f"`array` must be one variable of the dataset, such as data[...] with one of {names}; "
            "got all of it."
        )
    if not (hasattr(array, "dims") and hasattr(array, "coords")):
        raise ValueError(
            "`array` must be an xarray.DataArray, with names for its dimensions; "
            f"got {type(array).__name__}."
        )


def variable_of(data: Any, name: str) -> Any:
    """`data[name]`, with a `ValueError` that lists what there is."""
    if not hasattr(data, "data_vars"):
        raise ValueError(f"`data` must be an xarray.Dataset; got {type(data).__name__}.")
    if name not in data.data_vars:
        names = ", ".join(repr(other) for other in data.data_vars)
        raise ValueError(f"`data` must have a variable {name!r}; it has {names or 'none'}.")
    return data[name]


def has_dims(name: str, array: Any, dims: Iterable[str]) -> None:
    """A `ValueError` unless `array`, the argument `name`, has each of the dimensions `dims`."""
    for dim in dims:
        if not isinstance(dim, str) or dim not in array.dims:
            raise ValueError(
                f"`{name}` must have the dimension {text_of(dim)}; it has {listed(array.dims)}."
            )


def no_more(name: str, shown: str, extra: Collection[str]) -> None:
    """A `ValueError` that says how to be rid of the dimensions `extra`."""
    if extra:
        chosen = ", ".join(f"{dim}=..." for dim in extra)
        raise ValueError(
            f"`{name}` must have no dimension besides {shown}; got {listed(extra)} too: choose "
            f"from it with .sel({chosen}) first."
        )


def listed(dims: Iterable[Any]) -> str:
    """Names of dimensions in an error's line."""
    return ", ".join(repr(dim) for dim in dims) or "none"


def mean_over_trials(array: Any, *dims: str) -> np.ndarray:
    """Values by `dims`, averaged over `trial` if there is one; NaN where all of them are NaN."""
    if "trial" not in array.dims or "trial" in dims:
        return np.asarray(array.transpose(*dims).values, dtype=np.float64)
    values = np.asarray(array.transpose("trial", *dims).values, dtype=np.float64)
    there = ~np.isnan(values)
    count = there.sum(axis=0)
    total = np.where(there, values, 0.0).sum(axis=0)
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)


def finish(ax: Axes, x: DrawnPlaces) -> None:
    """The horizontal axis of curves against `x`."""
    x.dress(ax, "x")
    if len(x.places) > 1:
        ax.set_xlim(x.places[0], x.places[-1])
