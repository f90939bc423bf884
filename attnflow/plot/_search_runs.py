"""The runs behind the pictures of a search: at which times, with which schedule, what theory says."""

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

if TYPE_CHECKING:
    from ..flow import Integrator, Options, Solution
    from ..model import AttentionField
    from ..search import Optimised

_POINTS = 301
_LONG, _UNEVEN = 1000.0, 10.0  # where a logarithmic axis of time begins to be of use
_MOMENTS = 4


def ends(optimised: Any) -> tuple[float, float]:
    """The beginning and end of the search's runs."""
    return float(optimised.task.options.t0), float(optimised.task.options.t1)


def before(optimised: Any) -> Any:
    """The field with the schedule that the search began with."""
    from ..design import with_schedule

    return with_schedule(optimised.task.model.field, optimised.initial)


def run_of(
    optimised: "Optimised",
    field: "AttentionField",
    y0: ArrayLike,
    ts: np.ndarray,
    *,
    event: bool = True,
    integrator: "Integrator | None" = None,
) -> "Solution":
    """A run as the search's were, with its event unless that is not wanted, or integrated otherwise."""
    import jax.numpy as jnp

    from ..flow import simulate
    from ..observables import misalignment

    options = optimised.task.options
    own_event = optimised.objective.asks(options.t0, options.t1).get("event") if event else None
    dtype = options.t1.dtype
    # Always as many times, so that all pictures share one compiled program.
    number = len(ts)
    ts = np.append(ts, np.full(max(0, _POINTS + 1 - number), ts[-1], ts.dtype))
    run = simulate(
        field,
        jnp.asarray(np.asarray(y0), dtype),
        t0=options.t0,
        t1=options.t1 if event else jnp.asarray(ts[-1], dtype),
        ts=jnp.asarray(ts, dtype),
        observe={"y": _tokens, "E": misalignment},
        event=own_event,
        integrator=_integrator(options) if integrator is None else integrator,
        args=options.args,
        throw=False,
    )
    ys = {name: values[:number] for name, values in run.ys.items()}
    return dataclasses.replace(run, ts=run.ts[:number], ys=ys, saved=run.saved[:number])


def _integrator(options: "Options") -> "Integrator":
    """As the search's runs were integrated, but for what is of use to gradients alone."""
    from ..flow import Integrator

    how: dict[str, Any] = {"rtol": options.rtol, "atol": options.atol}
    if options.controller is not None:
        how = {"controller": options.controller, "dt0": options.dt0}
    return Integrator(solver=options.solver, max_steps=options.max_steps, **how)


def _tokens(y):
    return y


def misalignments(run: Any, x: np.ndarray, begin: float) -> tuple[np.ndarray, np.ndarray]:
    """Places on the axis and E there, up to the end of the run."""
    E, there = np.asarray(run.ys["E"]), np.asarray(run.saved)
    if there.all():
        return x, E
    from ..observables import misalignment

    last = np.asarray(misalignment(run.y1))
    return np.append(x[there], float(run.t1) - begin), np.append(E[there], last)


def known(optimised: Any, y0: ArrayLike, ts: np.ndarray) -> dict[str, np.ndarray]:
    """What theory says of E(t), where it says something."""
    import jax.numpy as jnp

    from .. import theory
    from ..geometry import Sphere

    if not isinstance(optimised.field.manifold, Sphere):  # there E is of another inner product
        return {}
    options = optimised.task.options
    y0 = jnp.asarray(np.asarray(y0), options.t1.dtype)
    known = {}
    for name, curve in (
        ("tanh reference", theory.reference_misalignment),
        ("limit", theory.misalignment_bound),
    ):
        try:
            known[name] = np.asarray(
                curve(optimised.field, y0, jnp.asarray(ts, y0.dtype), options.t0), float
            )
        except ValueError:  # nothing, of such a field
            continue
    return known


def attention(
    optimised: "Optimised", y0: ArrayLike, times: np.ndarray, integrator: "Integrator | None" = None
) -> np.ndarray:
    """`(heads, times, tokens, tokens)`, over the scale."""
    import jax.numpy as jnp

    from ..core.arrays import cast_floats

    t0, _ = ends(optimised)
    dtype = optimised.task.options.t1.dtype
    field = cast_floats(optimised.field, dtype)
    ys = [jnp.asarray(np.asarray(y0), dtype)] if times[0] == t0 else []
    if times[-1] > t0:
        later = times[1:] if times[0] == t0 else times
        ys += list(run_of(optimised, field, y0, later, event=False, integrator=integrator).ys["y"])
    images = [np.asarray(field.attention(jnp.asarray(t, dtype), y)) for t, y in zip(times, ys)]  # noqa: B905
    return np.stack(images, axis=1) / float(field.scale)


# === times


def times_of(optimised: Any) -> tuple[np.ndarray, np.ndarray, bool]:
    """Where curves are drawn, the times that these are, and whether the axis is logarithmic."""
    t0, t1 = ends(optimised)
    dtype = np.dtype(optimised.task.options.t1.dtype)
    log, first = logarithmic(optimised)
    x = np.geomspace(first, t1 - t0, _POINTS) if log else np.linspace(0, t1 - t0, _POINTS)
    ts = np.clip((t0 + x).astype(dtype), dtype.type(t0), dtype.type(t1))
    return (x if log else ts), ts, log


def logarithmic(optimised: Any) -> tuple[bool, float]:
    """Whether time is better shown by its logarithm, and where such an axis begins."""
    import jax

    from ..schedules import Interpolated, Piecewise

    t0, t1 = ends(optimised)
    tabled = (Interpolated, Piecewise)
    leaves = jax.tree.leaves(optimised.schedule, is_leaf=lambda x: isinstance(x, tabled))
    knots = [
        x.ts if isinstance(x, Interpolated) else x.times for x in leaves if isinstance(x, tabled)
    ]
    between = [k[(k > t0) & (k < t1)] for k in (np.asarray(k, float) for k in knots)]
    edges = [np.concatenate([[t0], k, [t1]]) for k in between]
    uneven = any(np.diff(e).max() > _UNEVEN * np.diff(e).min() for e in edges)
    first = min([(t1 - t0) * 1e-4, *((e[1] - t0) / 10 for e in edges)])
    return t1 - t0 > _LONG or uneven, first


def moments(
    optimised: "Optimised", y0: ArrayLike, integrator: "Integrator | None" = None
) -> np.ndarray:
    """The beginning, the end of the run, and times between."""
    t0, _ = ends(optimised)
    _, ts, log = times_of(optimised)
    end = float(run_of(optimised, optimised.field, y0, ts, integrator=integrator).t1)
    if not log:
        return np.linspace(t0, end, _MOMENTS)
    first = min(logarithmic(optimised)[1] * 10, (end - t0) / 10)
    later = t0 + np.geomspace(first, end - t0, _MOMENTS - 1)
    later[-1] = end
    return np.append(t0, later)
