"""What a search over schedules found, in pictures: misalignment, norms and spectra, attention, tokens."""

import functools
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from ..core.arguments import numbers
from ..core.lazy import renamed_argument
from ._curves import curves
from ._figure import BLUE, GREY, ORANGE, PALETTE, axes_or_new, dress, with_parts
from ._search_runs import (
    attention,
    before,
    ends,
    known,
    logarithmic,
    misalignments,
    moments,
    run_of,
    times_of,
)
from ._sphere import _default_view as default_view, sphere

if TYPE_CHECKING:
    from ..flow import Integrator
    from ..search import Optimised

_NUMBERS = 20_000_000  # of matrices held at once
_MOST_VALUES = 12  # of a spectrum that are drawn
_MOST_JUMPS = 200
_CROWDED = 16  # tokens among which attention is thin: colours are of its square root


@renamed_argument("found", "optimised")
def misalignment_of(
    optimised: "Optimised",
    y0: ArrayLike,
    ax: Axes | None = None,
    *,
    title: str | None = None,
    integrator: "Integrator | None" = None,
) -> Axes:
    r"""$E(t)$ (paper, eq. 9) from one start, with the schedule found and the one before.

    On the sphere with $U = I$ the limit of [`misalignment_bound`][attnflow.theory.misalignment_bound] is
    drawn too, which nothing is below, and for causal attention the tanh reference
    ([`reference_misalignment`][attnflow.theory.reference_misalignment]), which a schedule can be below.

    **Arguments:**

    - `optimised`: what [`optimise`][attnflow.search.optimise] returned.
    - `y0`: tokens `(tokens, dim)`.
    - `ax`: axes to draw on; new ones if not given.
    - `title`: text.
    - `integrator`: an [`Integrator`][attnflow.flow.Integrator] in place of the search's.

    **Returns:**

    The axes. Time is logarithmic where the run is long, or the schedule's pieces grow.

    **Raises:**

    - `ValueError`: a start that the field does not take.

    ```python
    af.plot.misalignment_of(found, y0).figure.savefig("E.png")
    ```
    """
    with_parts("optimised", optimised, "what optimise gives", "task", "field", "schedule")
    x, ts, log = times_of(optimised)
    fields = {"before": before(optimised), "found": optimised.field}
    begin = ends(optimised)[0] if log else 0.0
    lines = {
        name: misalignments(run_of(optimised, field, y0, ts, integrator=integrator), x, begin)
        for name, field in fields.items()
    }
    drawn = np.concatenate([E for _, E in lines.values()])
    lines |= {name: (x, E) for name, E in known(optimised, y0, ts).items()}
    ax = axes_or_new(ax, (6.0, 3.8))
    ax.set_yscale("log")
    styles = {"before": (GREY, "-"), "found": (BLUE, "-")}
    styles |= {"tanh reference": (ORANGE, "--"), "limit": ("black", ":")}
    for name, (places, values) in lines.items():
        colour, style = styles[name]
        shown = np.where(values > 0, values, np.nan)
        width = 1.8 if name == "found" else 1.4
        ax.plot(places, shown, color=colour, linestyle=style, linewidth=width, label=name)
    least, most = np.nanmin(np.where(drawn > 0, drawn, np.nan)), np.nanmax(drawn)
    threshold = getattr(optimised.objective, "threshold", None)
    if threshold is not None:
        ax.axhline(float(threshold), color="#b03a48", linewidth=0.9, linestyle="-.")
        text = f"E = {float(threshold):g}"
        ax.annotate(
            text, (1, float(threshold)), (-2, 3), xycoords=("axes fraction", "data"),
            textcoords="offset points", ha="right", color="#b03a48", fontsize=9,
        )  # fmt: skip
        least = min(least, float(threshold))
    ax.set_ylim(0.4 * float(least), 1.6 * float(most))
    _dress_time(ax, optimised, x, log)
    ax.set_ylabel("E(t)")
    if title:
        ax.set_title(title)
    ax.legend(frameon=False)
    return ax


@renamed_argument("found", "optimised")
def schedule_norms(optimised: "Optimised", axes: Iterable[Axes] | None = None) -> tuple[Axes, ...]:
    r"""How large the schedule is in time, head by head: its Frobenius norm, and its spectrum.

    For each of $P$ and $U$ that was searched over, two panels. The spectrum is that of singular values,
    or of eigenvalues where the matrices are symmetric; of more than twelve, the largest. The search's
    bound is drawn where its norm is shown; grey is the schedule before.

    **Arguments:**

    - `optimised`: what [`optimise`][attnflow.search.optimise] returned.
    - `axes`: two axes to draw on, or four for two schedules; those of a new figure unless given.

    **Returns:**

    The axes; `axes[0].figure` is the figure.

    **Raises:**

    - `ValueError`: another number of axes.
    """
    with_parts("optimised", optimised, "what optimise gives", "task", "field", "schedule")
    parts = _parts(optimised)
    if axes is None:
        figure = Figure(figsize=(10.4, 3.5 * len(parts)), dpi=150, layout="constrained")
        panels = [figure.add_subplot(len(parts), 2, k + 1) for k in range(2 * len(parts))]
    else:
        panels = list(axes)
    if len(panels) != 2 * len(parts):
        raise ValueError(f"`axes` must be {2 * len(parts)}; got {len(panels)}.")
    first = before(optimised)
    for (name, ball), left, right in zip(parts, panels[::2], panels[1::2], strict=True):
        _norms(left, right, optimised, name, ball, first)
    return tuple(panels)


@renamed_argument("found", "optimised")
def attention_at(
    optimised: "Optimised",
    y0: ArrayLike,
    times: ArrayLike | None = None,
    axes: Iterable[Axes] | None = None,
    *,
    integrator: "Integrator | None" = None,
) -> tuple[Axes, ...]:
    r"""Attention $\alpha^\eta_{ij}$ along the found run: a row of images a head, a column a time.

    Colours are the same in all of them, as parts of the field's `scale`: 1 is all attention of a token
    on one other. With more than sixteen tokens they go by the square root, as the colour bar shows.

    **Arguments:**

    - `optimised`: what [`optimise`][attnflow.search.optimise] returned.
    - `y0`: tokens `(tokens, dim)`.
    - `times`: within the search's [t0, t1], increasing; four of them, the ends included, unless given.
    - `axes`: as many as heads times times, head by head; those of a new figure unless given.
    - `integrator`: an [`Integrator`][attnflow.flow.Integrator] in place of the search's.

    **Returns:**

    The axes, head by head.

    **Raises:**

    - `ValueError`: times outside the run or out of order, or another number of axes.
    """
    with_parts("optimised", optimised, "what optimise gives", "task", "field", "schedule")
    times = moments(optimised, y0, integrator) if times is None else numbers("times", times)
    t0, t1 = ends(optimised)
    if times.ndim != 1 or not len(times) or np.any(np.diff(times) <= 0):
        raise ValueError(f"`times` must be a vector of increasing times; got {times}.")
    if times[0] < t0 or times[-1] > t1:
        raise ValueError(f"`times` must lie between {t0:g} and {t1:g}; got {times}.")
    images = attention(optimised, y0, times, integrator)
    heads, columns = images.shape[:2]
    if axes is None:
        size = (0.9 + 2.5 * columns, 0.5 + 2.4 * heads)
        figure = Figure(figsize=size, dpi=150, layout="constrained")
        panels = [figure.add_subplot(heads, columns, k + 1) for k in range(heads * columns)]
    else:
        panels = list(axes)
    if len(panels) != heads * columns:
        raise ValueError(f"`axes` must be {heads * columns}; got {len(panels)}.")
    largest = float(images.max())
    flat = images.reshape(-1, *images.shape[2:])
    power = 0.5 if flat.shape[-1] > _CROWDED else 1.0
    image = None
    for k, (ax, matrix) in enumerate(zip(panels, flat, strict=True)):
        head, column = divmod(k, columns)
        tokens = len(matrix)
        image = ax.imshow(
            matrix, norm=PowerNorm(power, vmin=0, vmax=largest), cmap="Blues",
            interpolation="nearest", extent=(0.5, tokens + 0.5, tokens + 0.5, 0.5),
        )  # fmt: skip
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_major_locator(MaxNLocator(5, integer=True, prune=None))
        if head == 0:
            ax.set_title(f"t = {times[column]:.4g}", fontsize=10)
        if head == heads - 1:
            ax.set_xlabel("token j")
        if column == 0:
            ax.set_ylabel(f"head {head + 1}, token i" if heads > 1 else "token i")
    assert image is not None
    panels[0].figure.colorbar(image, ax=panels, label="attention of i to j, over the scale")
    return tuple(panels)


@renamed_argument("found", "optimised")
def tokens_of(
    optimised: "Optimised",
    y0: ArrayLike,
    axes: Iterable[Axes] | None = None,
    *,
    integrator: "Integrator | None" = None,
) -> tuple[Axes, Axes]:
    """Tokens on the sphere in R³ from one start: with the schedule before, and with the one found.

    **Arguments:**

    - `optimised`: what [`optimise`][attnflow.search.optimise] returned, for tokens in R³.
    - `y0`: tokens `(tokens, 3)`.
    - `axes`: two axes to draw on; those of a new figure unless given.
    - `integrator`: an [`Integrator`][attnflow.flow.Integrator] in place of the search's.

    **Returns:**

    The two axes, before and found.

    **Raises:**

    - `ValueError`: tokens of another dimension, or not two axes.
    """
    from ..observables import misalignment

    with_parts("optimised", optimised, "what optimise gives", "task", "field", "schedule")
    if optimised.field.dim != 3:
        raise ValueError(
            f"`optimised` must be of tokens in R^3; these are in R^{optimised.field.dim}."
        )
    if axes is None:
        figure = Figure(figsize=(9.4, 4.9), dpi=150, layout="constrained")
        panels = [figure.add_subplot(1, 2, k) for k in (1, 2)]
    else:
        panels = list(axes)
    if len(panels) != 2:
        raise ValueError(f"`axes` must be two; got {len(panels)}.")
    _, ts, _ = times_of(optimised)
    t0, _ = ends(optimised)
    ts = np.unique(np.append(t0, ts).astype(ts.dtype))
    fields = {"before": before(optimised), "found": optimised.field}
    runs = {
        name: run_of(optimised, field, y0, ts, integrator=integrator)
        for name, field in fields.items()
    }
    paths = {
        name: np.append(np.asarray(r.ys["y"])[np.asarray(r.saved)], np.asarray(r.y1)[None], axis=0)
        for name, r in runs.items()
    }
    view = default_view(np.concatenate(list(paths.values())), None)  # the same for both
    for ax, (name, ys) in zip(panels, paths.items(), strict=True):
        last, end = float(misalignment(runs[name].y1)), float(runs[name].t1)
        title = f"{name}: E = {last:.3g} at t = {end:.4g}"
        sphere(np.arange(len(ys)), ys, ax, view=view, title=title)
    return panels[0], panels[1]


# === schedules


def _parts(optimised: Any) -> list[tuple[str, Any]]:
    """What was searched over, P, U or both, with its bound."""
    from ..model import AttentionField

    bounds = optimised.task.model.bounds
    if not isinstance(optimised.task.model.field, AttentionField):
        names = ["P"] if optimised.field.U is None else ["P", "U"]
        return [(name, None) for name in names]
    if isinstance(optimised.schedule, dict):
        bounds = bounds if isinstance(bounds, dict) else {}
        return [(name, bounds.get(name)) for name in optimised.schedule]
    return [("P", bounds)]


def _norms(left: Axes, right: Axes, optimised: Any, name: str, ball: Any, first: Any) -> None:
    t0, t1 = ends(optimised)
    x, matrices = _matrices(optimised, getattr(optimised.field, name))
    y, first_ones = _matrices(optimised, getattr(first, name))
    log = logarithmic(optimised)[0]
    heads = matrices.shape[1]
    for head in range(first_ones.shape[1]):
        norms = np.linalg.norm(first_ones[:, head], axis=(1, 2))
        label = "before" if head == 0 else None
        left.plot(y, norms, color=GREY, linewidth=1.0, label=label)
    labels = [f"head {k + 1}" for k in range(heads)] if 1 < heads <= len(PALETTE) else None
    norms = np.linalg.norm(matrices, axis=(2, 3)).T
    curves(x, norms, left, labels=labels or (["found"] if heads == 1 else None))
    left.legend(frameon=False)
    values, what = _spectra(matrices)
    for head in range(heads):
        colour = BLUE if heads > len(PALETTE) else PALETTE[head]
        for k in range(values.shape[2]):
            label = f"head {head + 1}" if labels and k == 0 else None
            right.plot(x, values[:, head, k], color=colour, linewidth=1.2, alpha=0.8, label=label)
    shown = values.shape[2]
    some = f", the {shown} largest" if shown < matrices.shape[-1] else ""
    left.set_title(f"Frobenius norm of {name}(t)", fontsize=10)
    right.set_title(f"{what} of {name}(t){some}", fontsize=10)
    if getattr(ball, "bound", None) is not None:
        bound, spectral = float(ball.bound), ball.norm == "spectral"
        panel = right if spectral else left
        signs = (1, -1) if spectral and what == "eigenvalues" else (1,)
        for sign in signs:
            label = f"bound {bound:g}" if sign == 1 else None
            panel.axhline(sign * bound, color="black", linewidth=1.0, linestyle=":", label=label)
        panel.legend(frameon=False)
    elif labels:
        right.legend(frameon=False)
    for ax in (left, right):
        _dress_time(ax, optimised, np.asarray([x[0], t1 - t0 if log else t1]), log)
    left.set_ylim(bottom=0)
    if what == "singular values":
        right.set_ylim(bottom=0)


def _matrices(optimised: Any, schedule: Any) -> tuple[np.ndarray, np.ndarray]:
    """Places on the axis of time, and the matrices there, `(times, heads, d, d)`; jumps upright."""
    import jax.numpy as jnp

    t0, _ = ends(optimised)
    x, _, log = times_of(optimised)
    size = int(np.prod(schedule.shape))
    few = max(33, min(len(x), _NUMBERS // max(size, 1)))
    x = x[np.unique(np.linspace(0, len(x) - 1, few).round().astype(int))]
    dtype = np.dtype(optimised.task.options.t1.dtype)
    ts = (t0 + x if log else x).astype(dtype)
    jumps = schedule.jump_times
    jumps = np.zeros(0, dtype) if jumps is None else np.asarray(jumps).astype(dtype)
    jumps = jumps[(jumps > ts[0]) & (jumps < ts[-1])]
    if len(jumps) <= _MOST_JUMPS:
        ts = np.unique(np.concatenate([ts, jumps, np.nextafter(jumps, dtype.type(t0))]))
    matrices = np.asarray(_every()(schedule, jnp.asarray(ts)), float)
    if matrices.ndim == 3:
        matrices = matrices[:, None]
    return np.asarray(ts - t0 if log else ts, float), matrices


@functools.cache
def _every() -> Any:
    # One program for all calls, made here because pictures import no JAX before they need it.
    import jax

    from ..core.compiled import compiled

    return compiled(lambda schedule, ts: jax.lax.map(schedule, ts))


def _spectra(matrices: np.ndarray) -> tuple[np.ndarray, str]:
    """Eigenvalues where all matrices are symmetric, else singular values; the largest of many."""
    flipped = np.swapaxes(matrices, -1, -2)
    symmetric = bool(np.abs(matrices - flipped).max() <= 1e-5 * np.abs(matrices).max())
    values: list[np.ndarray] = []
    for k, now in enumerate(matrices):
        if k and np.array_equal(now, matrices[k - 1]):
            values.append(values[-1])
        else:
            values.append(
                np.linalg.eigvalsh(now) if symmetric else np.linalg.svd(now, compute_uv=False)
            )
    spectra = np.stack(values)
    if spectra.shape[2] > _MOST_VALUES:
        # Those that are largest at any time, each followed by its rank.
        chosen = np.argsort(-np.abs(spectra).max(axis=(0, 1)))[:_MOST_VALUES]
        spectra = spectra[..., np.sort(chosen)]
    return spectra, "eigenvalues" if symmetric else "singular values"


def _dress_time(ax: Axes, optimised: Any, x: np.ndarray, log: bool) -> None:
    dress(ax, "t" if not log or not ends(optimised)[0] else "t - t0", None, None)
    if log:
        ax.set_xscale("log")
    ax.set_xlim(x[0], x[-1])
