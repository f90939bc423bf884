"""`phase_place`: a model's heads on the phase diagram of beta and time, beside random weights."""

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke

from ._figure import BLUE, GREY, ORANGE, axes_or_new, dress, with_parts
from ._sweeps import phase_diagram

if TYPE_CHECKING:
    import xarray as xr

    from ..language import PhasePlace, Temperatures

_WHITE, _ON_COLOURS = "#ffffff", "#ff9d2e"


def phase_place(
    place: "PhasePlace",
    ax: Axes | None = None,
    *,
    runs: "xr.Dataset | None" = None,
    threshold: float = 0.999,
    title: str | None = None,
) -> Axes:
    r"""Heads at their $\beta$ and at the time when their layer ends, trained and random, and a line by layer.

    The line goes through the median $\beta$ of each layer; the large mark is the model, median $\beta$ and the time of
    one pass. The dashed curve is when tokens that start orthonormal are together under $P = \beta I$,
    $U = I$: above it they would be in consensus after one pass, if the model were that flow. With the runs of a
    sweep it is drawn on their phase diagram ([`phase_diagram`][]): the colour is how many pairs of tokens that flow
    has together by then. Heads outside of it stand at its edge, as triangles that point to where they are.

    **Arguments:**

    - `place`: what [`attnflow.language.place`][] returns.
    - `ax`: axes to draw on; new ones if not given.
    - `runs`: of a sweep, such as [`attnflow.sweep.phase_study`][] describes, at the model's dimension, or the nearest
      that it has; curves alone unless given.
    - `threshold`: the cosine from which on tokens count as together.
    - `title`: text.

    **Returns:**

    The axes: beta from left to right, symmetrically logarithmic unless `ax` or `runs` were given, time upward.

    **Raises:**

    `ValueError` where `place` is something else, and as [`phase_diagram`][] does.

    ```python
    place = af.language.place(model, ids)
    af.plot.phase_place(place).figure.savefig("place.png")

    (low, high), t1 = place.window()
    study = af.sweep.phase_study(
        np.linspace(low, high, 25), d=model.architecture.dim, tokens=place.tokens, t1=t1
    )
    af.sweep.run(study, "phase")
    af.plot.phase_place(place, runs=af.sweep.open("phase"))
    ```
    """
    with_parts("place", place, "what attnflow.language.place gives", "temperatures", "tokens")
    own = ax is None and runs is None
    ax = axes_or_new(ax, (6.8, 4.6) if runs is not None else (6.4, 4.2))
    colours = (BLUE, ORANGE)
    if runs is not None:
        _diagram(place, ax, runs, threshold)
        colours = (_WHITE, _ON_COLOURS)
    for (kind, t), colour in zip(place.temperatures.items(), colours, strict=True):
        _heads(ax, kind, t, colour, inside=runs is not None)
    if runs is None:
        _curve(place, ax, threshold)
    if own:
        ax.set_xscale("symlog", linthresh=1.0)
        ax.set_ylim(0, None)
    architecture = place.temperatures["trained"].architecture
    if runs is None:
        dress(ax, r"$\beta$ of a head", "time of eq. (6)", title or str(architecture))
        ax.legend(frameon=False, fontsize=7)
    else:
        ax.set(xlabel=r"$\beta$ of a head", ylabel="time of eq. (6)")
        ax.set_title(title or f"{architecture}\non runs with $P = \\beta I$, $U = I$", fontsize=9)
        # Below the axes: heads are where a legend would stand.
        ax.legend(
            frameon=True,
            fontsize=7,
            ncols=2,
            facecolor="#b9c2cc",
            loc="upper center",
            bbox_to_anchor=(0.5, -0.14),
        )
    return ax


def _diagram(place: "PhasePlace", ax: Axes, runs: "xr.Dataset", threshold: float) -> None:
    dim = place.point()[1]
    chosen = {}
    if "d" in getattr(runs, "dims", ()):
        values = runs["d"].values
        chosen = {"d": values[np.argmin(np.abs(np.log(values / dim)))].item()}
    phase_diagram(
        runs, ax, tokens=place.tokens, threshold=threshold,
        label=f"pairs with a cosine of {threshold:g}",
        **chosen,
    )  # fmt: skip


def _heads(ax: Axes, kind: str, t: "Temperatures", colour: str, *, inside: bool) -> None:
    end = np.cumsum(t.time)
    x, y = t.beta.ravel(), np.repeat(end, t.beta.shape[1])
    edge = {"mec": "#222222", "mew": 0.4} if inside else {}
    stroke = [withStroke(linewidth=2.4, foreground="#222222")] if inside else []
    within = np.ones(x.shape, bool)
    if inside:
        (left, right), (_, top) = ax.get_xlim(), ax.get_ylim()
        aside = (x < left) | (x > right)
        within, edges = ~aside & (y <= top), (np.clip(x, left, right), np.minimum(y, top))
        for beyond, mark in ((x < left, "<"), (x > right, ">"), (~aside & (y > top), "^")):
            at = (side[beyond] for side in edges)
            ax.plot(*at, mark, color=colour, ms=4, clip_on=False, **edge)
    ax.plot(
        x[within], y[within], ".", color=colour, ms=6 if inside else 4, alpha=0.85 if inside else 0.45,
        label=f"heads, {kind} weights", **edge,
    )  # fmt: skip
    ax.plot(
        np.median(t.beta, axis=1), end, "-", color=colour, lw=1.0, alpha=0.9, path_effects=stroke
    )
    beta, _, time = t.place
    ax.plot(
        [beta], [time], "D", color=colour, ms=8, mec="#222222" if inside else "white", label=f"one pass, {kind}",
        zorder=5,
    )  # fmt: skip


def _curve(place: "PhasePlace", ax: Axes, threshold: float) -> None:
    from ..theory import equiangular_time

    low, high = ax.get_xlim()
    fine = np.linspace(max(low, -30.0), min(high, 30.0), 400)
    when = np.asarray(equiangular_time(threshold, fine, place.tokens))
    top = max(float(t.time.sum()) for t in place.temperatures.values())
    seen = when < 4 * max(top, 1.0)
    ax.plot(
        fine[seen], when[seen], "--", color=GREY, lw=1.4, label=r"together, $P = \beta I$, $U = I$"
    )
