"""The options of a run: checked, every number an array of the tokens' dtype, once for all who run flows."""

import math
import warnings
from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.core
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..core.checks import boolean, check, choose, floating, instance, is_concrete, whole
from ..model import AttentionField
from ._control import default_solver, default_tolerances
from ._events import Events, as_events
from ._observe import as_observers

_DENSE_BYTES = 2**31
_SUCH_AS = {
    "solver": "diffrax.Tsit5()",
    "controller": "diffrax.PIDController(rtol=1e-6, atol=1e-9)",
    "adjoint": "diffrax.RecursiveCheckpointAdjoint()",
}
_CHECKPOINTS, _MOST_CHECKPOINTS, _CHECKPOINT_VALUES = 256, 1024, 2**15


class Options(eqx.Module):
    """What `simulate` and ensembles share, checked, every number an array."""

    t0: Float[Array, ""]
    t1: Float[Array, ""]
    ts: Float[Array, " n"] | None
    rtol: Float[Array, ""]
    atol: Float[Array, ""]
    dt0: Float[Array, ""] | None
    args: Any
    observers: Any
    events: Events | None
    solver: diffrax.AbstractSolver
    controller: diffrax.AbstractStepSizeController | None
    adjoint: diffrax.AbstractAdjoint
    max_steps: int = eqx.field(static=True)
    dense: bool = eqx.field(static=True)
    reduce: str = eqx.field(static=True)


def make_options(
    field: AttentionField,
    shape: tuple[int, ...],
    dtype: Any,
    *,
    t0: Any,
    t1: Any,
    ts: Any,
    rtol: Any,
    atol: Any,
    observe: Any,
    dt0: Any,
    solver: Any,
    controller: Any,
    event: Any,
    adjoint: Any,
    dense: bool,
    reduce: bool | str,
    max_steps: int | None,
    args: Any,
) -> Options:
    """The arguments of `simulate`, for tokens of one shape and dtype, as `Options`.

    **Raises:**

    `ValueError` naming the argument that is not one.
    """
    t0, t1 = _scalar("t0", t0, dtype), _scalar("t1", t1, dtype)
    dense = boolean("dense", dense)
    for name, value, kind in (
        ("solver", solver, diffrax.AbstractSolver),
        ("controller", controller, diffrax.AbstractStepSizeController),
        ("adjoint", adjoint, diffrax.AbstractAdjoint),
    ):
        if value is not None:
            instance(name, value, kind, f"a diffrax {name}, an object such as {_SUCH_AS[name]}")
    reduce = _reduction(reduce)
    if ts is not None:
        ts = floating("ts", ts).astype(dtype)
        if ts.ndim != 1 or ts.shape[0] == 0:
            raise ValueError(f"`ts` must be a vector of at least one time; got shape {ts.shape}.")
    t1, ts = check_times(t0, t1, ts)
    solver = default_solver(field) if solver is None else solver
    adjoint = _default_adjoint(shape) if adjoint is None else adjoint
    controller = _controller(controller, solver, dt0, rtol, atol)
    rtol, atol = _tolerances(rtol, atol, dtype)
    return Options(
        t0=t0,
        t1=t1,
        ts=ts,
        rtol=rtol,
        atol=atol,
        dt0=None if dt0 is None else _first_step(dt0, dtype),
        args=args,
        observers=as_observers(observe),
        events=as_events(event, dtype),
        solver=solver,
        controller=controller,
        adjoint=adjoint,
        max_steps=_max_steps(max_steps, adjoint, dense, shape, dtype, solver),
        dense=dense,
        reduce=reduce,
    )


def _reduction(reduce: Any) -> str:
    if isinstance(reduce, bool):
        return "auto" if reduce else "none"
    return choose("reduce", reduce, ("auto", "span", "whitening", "none"))


def _first_step(dt0: Any, dtype) -> Array:
    dt0 = _scalar("dt0", dt0, dtype)
    message = f"`dt0` must be positive and finite; got {_show(dt0)}."
    return check(dt0, lambda dt0: ~((dt0 > 0) & (dt0 < jnp.inf)), message)


def check_times(t0: Array, t1: Array, ts: Array | None) -> tuple[Array, Array | None]:
    """`t1` and `ts` refused unless t0 < t1, and `ts` sorted inside."""
    message = f"`t1` must be finite and later than `t0`; got t0 = {_show(t0)}, t1 = {_show(t1)}."
    t0, t1 = check((t0, t1), _no_span, message)
    if ts is None:
        return t1, None
    ts = check(ts, _unsorted, "`ts` must be sorted and not NaN; pass jnp.sort(ts).")
    message = f"`ts` must lie between t0 = {_show(t0)} and t1 = {_show(t1)}; got a time outside."
    return t1, check((ts, t0, t1), _outside, message)[0]


def _no_span(times: Any) -> Any:
    t0, t1 = times
    return ~((t1 > t0) & (abs(t0) < jnp.inf) & (abs(t1) < jnp.inf))


def _unsorted(ts: Any) -> Any:
    return ~(ts[1:] >= ts[:-1])


def _outside(times: Any) -> Any:
    ts, t0, t1 = times
    return ~((ts >= t0) & (ts <= t1))


def _show(t: Array) -> str:
    return "a traced value" if isinstance(t, jax.core.Tracer) else f"{float(t):g}"


def _scalar(name: str, value: Any, dtype) -> Array:
    value = floating(name, value)
    if value.ndim:
        raise ValueError(f"`{name}` must be a scalar; got shape {value.shape}.")
    if value.dtype == dtype and is_concrete(value):
        return jnp.asarray(np.asarray(value))  # a Python number's type gives way; no program is run
    return value.astype(dtype)


def _default_adjoint(shape: tuple[int, ...]) -> diffrax.RecursiveCheckpointAdjoint:
    # Steps beyond the number of checkpoints are worked a third time; small states afford more.
    fit = _CHECKPOINT_VALUES // math.prod(shape)
    return diffrax.RecursiveCheckpointAdjoint(
        checkpoints=max(_CHECKPOINTS, min(_MOST_CHECKPOINTS, fit))
    )


def _controller(controller: Any, solver: Any, dt0: Any, rtol: Any, atol: Any) -> Any:
    if controller is None and not isinstance(solver, diffrax.AbstractAdaptiveSolver):
        if dt0 is None:
            raise ValueError(
                f"`dt0` must be given with {type(solver).__name__}, which has no error estimate to "
                "choose steps by; pass dt0=..., or solver=diffrax.HalfSolver(...)."
            )
        controller = diffrax.ConstantStepSize()
    if controller is None:
        return None
    if rtol is not None or atol is not None:
        raise ValueError(
            f"`rtol` and `atol` are not used by {type(controller).__name__}; got both a controller of "
            "your own (or constant steps) and tolerances. Drop one."
        )
    if isinstance(controller, diffrax.ConstantStepSize) and dt0 is None:
        raise ValueError("`dt0` must be given with ConstantStepSize; got None.")
    return controller


def _tolerances(rtol: Any, atol: Any, dtype) -> tuple[Array, Array]:
    default_rtol, default_atol = default_tolerances(dtype)
    rtol = _scalar("rtol", default_rtol if rtol is None else rtol, dtype)
    atol = _scalar("atol", default_atol if atol is None else atol, dtype)
    rtol, atol = check(
        (rtol, atol),
        _no_tolerances,
        "`rtol` and `atol` must be finite, zero or more, and not both zero; got others.",
    )
    if dtype == jnp.float32 and is_concrete(rtol, atol) and float(rtol + atol) < 1e-6:
        warnings.warn(
            f"`rtol` {float(rtol):g} is below what float32 resolves (about 1e-6); enable float64 with "
            "jax.config.update('jax_enable_x64', True) and pass float64 tokens.",
            stacklevel=4,
        )
    return rtol, atol


def _no_tolerances(both: Any) -> Any:
    rtol, atol = both
    total = rtol + atol
    return ~((rtol >= 0) & (atol >= 0) & (total > 0) & (total < jnp.inf))


def _max_steps(
    max_steps: Any, adjoint: Any, dense: bool, shape: tuple[int, ...], dtype: Any, solver: Any
) -> int:
    small = dense or isinstance(adjoint, diffrax.DirectAdjoint)
    if max_steps is None:
        max_steps = 4096 if small else 2**20
    max_steps = whole("max_steps", max_steps)
    stages = getattr(getattr(solver, "tableau", None), "num_stages", 3)
    size = max_steps * (stages + 2) * math.prod(shape) * dtype.itemsize
    if dense and size > _DENSE_BYTES:
        raise ValueError(
            f"`dense` keeps every step: max_steps={max_steps} would take {size / 2**30:.1f} GiB; "
            "pass a smaller max_steps, or ts= with the times you need."
        )
    return max_steps
