"""The options of a run: checked, every number an array of the tokens' dtype, once for all who run flows."""

import math
import warnings
from collections.abc import Callable
from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.core
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, ArrayLike, Float, Real

from ..core.checks import boolean, check, floating, instance, is_concrete
from ..core.types import Functions, PyTree, Scalar
from ..model import AttentionField
from ._control import default_solver, default_tolerances
from ._driven import check_solver
from ._integrator import Integrator, check_first_step, check_tolerances
from ._noise import Noise
from ._observe import as_observers
from .events import Events, as_events

_DENSE_BYTES = 2**31
_CHECKPOINTS, _MOST_CHECKPOINTS, _CHECKPOINT_VALUES = 256, 1024, 2**15


class Options(eqx.Module):
    """What `simulate` and ensembles share, checked, every number an array."""

    t0: Float[Array, ""]
    t1: Float[Array, ""]
    ts: Float[Array, " n"] | None
    rtol: Float[Array, ""]
    atol: Float[Array, ""]
    dt0: Float[Array, ""] | None
    args: PyTree
    observers: PyTree[Callable[..., object]]
    events: Events | None
    solver: diffrax.AbstractSolver[Any] | None
    controller: diffrax.AbstractStepSizeController[Any, Any] | None
    adjoint: diffrax.AbstractAdjoint
    max_steps: int = eqx.field(static=True)
    dense: bool = eqx.field(static=True)
    reduce: str = eqx.field(static=True)
    noise: Noise | None = None


def make_options(
    field: AttentionField,
    shape: tuple[int, ...],
    dtype: DTypeLike,
    integrator: Integrator,
    *,
    t1: Scalar,
    t0: Scalar = 0.0,
    ts: Real[ArrayLike, " n"] | None = None,
    observe: Functions | None = None,
    event: Functions | diffrax.Event | Events | None = None,
    dense: bool = False,
    args: object = None,
    noise: Noise | None = None,
) -> Options:
    """The arguments of `simulate`, for tokens of one shape and dtype, as `Options`.

    **Raises:**

    `ValueError` naming the argument that is not one.
    """
    how, dtype = integrator, jnp.dtype(dtype)
    begin, end = _scalar("t0", t0, dtype), _scalar("t1", t1, dtype)
    dense = boolean("dense", dense)
    times = None
    if ts is not None:
        times = floating("ts", ts).astype(dtype)
        if times.ndim != 1 or times.shape[0] == 0:
            raise ValueError(
                f"`ts` must be a vector of at least one time; got shape {times.shape}."
            )
    end, times = check_times(begin, end, times)
    rtol, atol = _tolerances(how.rtol, how.atol, dtype)
    solver = how.solver
    if solver is None:
        known = is_concrete(rtol, atol)  # inside a program of the user's they may have no value yet
        solver = default_solver(field, float(rtol) + float(atol) if known else None)
    adjoint = _default_adjoint(shape) if how.adjoint is None else how.adjoint
    controller = how.controller
    if controller is None and not isinstance(solver, diffrax.AbstractAdaptiveSolver):
        controller = diffrax.ConstantStepSize()
    dt0 = None if how.dt0 is None else check_first_step(_scalar("dt0", how.dt0, dtype))
    reduce = how.reduce
    if noise is not None:
        _check_noise(field, how, noise)
        noise, solver, controller = noise.cast(dtype), how.solver, diffrax.ConstantStepSize()
        reduce = "none" if reduce == "auto" else reduce
        dt0 = _noisy_step(field, begin, end) if dt0 is None else dt0
    return Options(
        t0=begin,
        t1=end,
        ts=times,
        rtol=rtol,
        atol=atol,
        dt0=dt0,
        args=args,
        observers=as_observers(observe),
        events=as_events(event, dtype),
        solver=solver,
        controller=controller,
        adjoint=adjoint,
        max_steps=_max_steps(how.max_steps, adjoint, dense, shape, dtype, solver),
        dense=dense,
        reduce=reduce,
        noise=noise,
    )


def with_key(noise: Noise | None, key: Any) -> Noise | None:
    """The noise of a run with its key; one without the other is refused."""
    if noise is None:
        if key is not None:
            raise ValueError("`key` is for noise, and none was given; drop it, or pass noise=.")
        return None
    instance("noise", noise, Noise, "an attnflow.Noise, such as Noise(independent=0.1)")
    if key is None and noise.key_words is not None:
        return noise
    if key is None:
        raise ValueError("`key` must be given with noise, such as jax.random.key(0); got None.")
    return noise.with_key(key)


def _check_noise(field: AttentionField, how: Integrator, noise: Noise) -> None:
    """What noise does not go with, refused in one line."""
    if not field.projected:
        name = type(field.normalisation).__name__
        raise ValueError(
            f"`noise` is for tokens that stay on their manifold; got normalisation {name}, whose states do not."
        )
    if how.controller is not None and not isinstance(how.controller, diffrax.ConstantStepSize):
        raise ValueError(
            f"`controller` with noise must be None or diffrax.ConstantStepSize(), since steps chosen by their error "
            f"bias it; got {type(how.controller).__name__}."
        )
    if how.rtol is not None or how.atol is not None:
        raise ValueError(
            "`rtol` and `atol` are not used with noise, whose steps are constant; pass dt0= instead."
        )
    if how.reduce == "span":
        raise ValueError(
            '`reduce` cannot be "span" with noise, which leaves the span of the tokens; drop it.'
        )
    if isinstance(how.adjoint, diffrax.BacksolveAdjoint):
        raise ValueError(
            "`adjoint` BacksolveAdjoint is not for noise; use diffrax.RecursiveCheckpointAdjoint()."
        )
    if how.solver is not None:
        check_solver(how.solver, noise)


def _noisy_step(field: AttentionField, t0: Array, t1: Array) -> Array:
    # A hundredth; less where the run is short, or schedules turn in less than 32 of them.
    step = jnp.minimum(jnp.asarray(0.01, t0.dtype), (t1 - t0) / 16)
    frequency = field.frequency
    if frequency is None:
        return step
    f = jax.lax.stop_gradient(jnp.asarray(frequency, t0.dtype))
    return jnp.where(f > 0, jnp.minimum(step, 1 / (32 * jnp.where(f > 0, f, 1))), step)


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


def _tolerances(rtol: Any, atol: Any, dtype) -> tuple[Array, Array]:
    default_rtol, default_atol = default_tolerances(dtype)
    rtol = _scalar("rtol", default_rtol if rtol is None else rtol, dtype)
    atol = _scalar("atol", default_atol if atol is None else atol, dtype)
    rtol, atol = check_tolerances(rtol, atol)
    if dtype == jnp.float32 and is_concrete(rtol, atol) and float(rtol + atol) < 1e-6:
        warnings.warn(
            f"`rtol` {float(rtol):g} is below what float32 resolves (about 1e-6); enable float64 with "
            "jax.config.update('jax_enable_x64', True) and pass float64 tokens.",
            stacklevel=4,
        )
    return rtol, atol


def _max_steps(
    max_steps: int | None,
    adjoint: Any,
    dense: bool,
    shape: tuple[int, ...],
    dtype: Any,
    solver: Any,
) -> int:
    small = dense or isinstance(adjoint, diffrax.DirectAdjoint)
    if max_steps is None:
        max_steps = 4096 if small else 2**20
    stages = getattr(getattr(solver, "tableau", None), "num_stages", 3)
    size = max_steps * (stages + 2) * math.prod(shape) * dtype.itemsize
    if dense and size > _DENSE_BYTES:
        raise ValueError(
            f"`dense` keeps every step: max_steps={max_steps} would take {size / 2**30:.1f} GiB; "
            "pass a smaller max_steps, or ts= with the times you need."
        )
    return max_steps
