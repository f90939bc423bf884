"""The picture of a store: a phase diagram where it holds one, else a heat map over two axes."""

import io
import textwrap
from typing import Any

from ..core.words import loads

_MOST_PANELS = 6


def picture(data: Any) -> bytes:
    """The picture of a sweep's dataset, as PNG."""
    from matplotlib.figure import Figure

    panels = _phase_diagrams(data) or [_overview(data)]
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(0.6 + 4.6 * columns, 3.9 * rows), dpi=150, layout="constrained")
    for k, draw in enumerate(panels):
        draw(figure.add_subplot(rows, columns, k + 1))
    if data.attrs.get("title"):
        figure.suptitle(textwrap.fill(data.attrs["title"], 48 * columns), fontsize=11)
    out = io.BytesIO()
    figure.savefig(out, format="png")
    return out.getvalue()


def _phase_diagrams(data: Any) -> list[Any]:
    """One for each dimension, where pairs were counted against beta and time."""
    from .. import plot

    study = loads(data.attrs["study"])
    attention = study["attention"]
    tokens = study["tokens"].get("count")
    if "aligned_pairs" not in data or not isinstance(tokens, int):
        return []
    # The exact curve is that of full attention with P = beta I, U = I, rows that sum to one.
    if attention != {"P": "$beta", "scale": 1.0} or set(data.sizes) - {"d"} != {
        "beta",
        "trial",
        "time",
    }:
        return []
    threshold = study["output"].get("threshold", 0.999)

    def panel(d: Any) -> Any:
        def draw(ax: Any) -> None:
            title = None if d is None else f"d = {d}"
            chosen = {} if d is None else {"d": d}
            plot.phase_diagram(
                data,
                ax,
                tokens=tokens,
                threshold=threshold,
                label=f"part of pairs with a cosine of {threshold:g}",
                title=title,
                **chosen,
            )

        return draw

    values = data["d"].values.tolist() if "d" in data.dims else [None]
    if len(values) > _MOST_PANELS:
        step = (len(values) - 1) / (_MOST_PANELS - 1)
        values = [values[round(k * step)] for k in range(_MOST_PANELS)]
    return [panel(d) for d in values]


def _overview(data: Any) -> Any:
    """The first observable at the end, or the time of the event, against one axis or two."""
    from .. import plot
    from ..ensemble import Outcome

    study = loads(data.attrs["study"])
    if "until" in study.get("time", {}):
        array = data["ended"].where(data["outcome"] == Outcome.REACHED)
        label = "time at which E fell to until, mean"
    else:
        array = data[min(set(data.data_vars) - {"ended", "outcome", "steps", "t"})]
        label = f"{array.attrs['long_name']}, mean at the end"
        array = array.isel(time=-1) if "time" in array.dims else array
    axes = [str(dim) for dim in array.dims if dim != "trial"]
    shown, rest = axes[:2], axes[2:]
    chosen = {name: array[name].values[0] for name in rest}
    array = array.sel(chosen)
    title = ", ".join(f"{name} = {value}" for name, value in chosen.items())

    def draw(ax: Any) -> None:
        if len(shown) == 2:
            plot.heat_map(array, ax, label=label, title=title)
        elif shown:
            plot.bands(array, ax, along=shown[0], ylabel=label)
        else:
            ax.hist(array.values.ravel(), bins=40)
            ax.set_xlabel(label)
            ax.set_ylabel("trials")

    return draw
