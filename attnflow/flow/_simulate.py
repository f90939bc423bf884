"""`simulate`: one trajectory of a field, from a start to a time or an event."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Unpack

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Key, Real

from ..core.arrays import cast_floats
from ..core.checks import boolean, check, is_concrete, nan_with, real
from ..core.compiled import compiled, outermost
from ..core.types import Functions, Scalar
from ..model import AttentionField
from ._integrator import Integrator, IntegratorOptions, merged, sort_options
from ._noise import Noise
from ._options import Options, make_options, with_key
from ._problem import assemble
from ._solution import Solution


class SimulateOptions(IntegratorOptions, total=False):
    """The keywords of [`simulate`][] that are seldom used, beside those of an [`Integrator`][]."""

    dense: bool
    throw: bool
    args: object
    noise: Noise | None
    key: Key[Array, ""] | None


# A run that nothing is around is not differentiated: a plain loop, of which there is less to trace.
_ALONE = diffrax.ForwardMode()


def simulate(
    field: AttentionField,
    y0: Real[ArrayLike, "tokens dim"],
    *,
    t1: Scalar,
    t0: Scalar = 0.0,
    ts: Real[ArrayLike, " n"] | None = None,
    observe: Functions | None = None,
    event: Functions | diffrax.Event | None = None,
    integrator: Integrator | None = None,
    **options: Unpack[SimulateOptions],
) -> Solution:
    r"""Tokens moved by attention from `t0` to `t1`: solves $\dot y = f(t, y)$, eq. (6), by diffrax.

    Steps end on the manifold at the solver's full order. Where the field's type allows it the flow
    is solved, exactly, in fewer coordinates (`sol.reduction` says which). Works under `jit`, `vmap`
    and `grad`; a second call with other numbers of the same shapes does not recompile.

    **Arguments:**

    - `field`: an [`AttentionField`][]. Its numbers are cast to the dtype of `y0`.
    - `y0`: starting tokens, `(tokens, dim)`, float32 or float64. Rows off the manifold by less than
      1e-4 are projected, others refused (states of Pre and Peri may be anywhere but zero).
    - `t1`, `t0`: end and beginning, $t_0 < t_1$.
    - `ts`: times to save at, sorted, in $[t_0, t_1]$; `None` saves the end.
    - `observe`: what to save in place of tokens: a function of `(y)` or `(t, y)`, a module, or a
      pytree of these such as `{"E": af.misalignment}`.
    - `event`: ends the run: [`consensus`][], a function of `(y)` or `(t, y)`, a pytree of them, or a
      `diffrax.Event`. A real function ends it where it changes sign, a Boolean one where it turns
      true, at a time found by bisection. One that holds at `t0` already (Boolean true, consensus
      reached, a real function zero) ends it there. One that becomes NaN ends it as failed: whether it has
      happened is not known.
    - `integrator`: how to integrate, an [`Integrator`][]; or by keyword: `rtol`, `atol` (default 1e-9 and
      1e-12 in float64, 1e-5 and 1e-7 in float32), `solver` (`Tsit5`, `Bosh3` or `Heun`), `controller`, `dt0`,
      `adjoint`, `reduce`, `max_steps`, each described there. A keyword beside an integrator replaces what that has.

    Further `options`:

    - `dense`: `True` keeps the continuous solution, `sol.evaluate(t)`.
    - `throw`: raise where a run fails (the default). With `False` see `sol.result`.
    - `args`: handed to the drift, observers and events of three arguments.
    - `noise`, `key`: a [`Noise`][attnflow.Noise] that moves tokens beside attention, and a random key, of which the run
      is then a function. Steps are constant, `dt0`, and no tolerance is asked for; reductions are not made.

    **Returns:**

    A [`Solution`][].

    **Raises:**

    `ValueError` for bad input; `RuntimeError` for a run that failed, with `throw=True`; `TypeError` for
    a keyword that is none, and forward-mode differentiation through the default adjoint.

    ```python
    sphere = af.Sphere(3)
    field = af.AttentionField(sphere, P=jnp.eye(3), mask="causal")
    y0 = sphere.random(jax.random.key(0), (8,))
    sol = af.simulate(field, y0, t1=20.0, ts=jnp.linspace(0, 20, 101), observe={"E": af.misalignment})
    sol.ys["E"]                                              # (101,)
    ```
    """
    # === check arguments
    if not isinstance(field, AttentionField):
        raise ValueError(f"`field` must be an AttentionField; got {type(field).__name__}.")
    own, rest = sort_options("simulate", options, SimulateOptions)
    throw = boolean("throw", rest.get("throw", True))
    y0 = real("y0", y0)
    dtype = y0.dtype
    y0 = field.refuse_start("y0", y0)
    how = merged(integrator, own)
    if how.adjoint is None and outermost():
        how = merged(how, {"adjoint": _ALONE})
    o = make_options(
        field,
        y0.shape,
        dtype,
        how,
        t0=t0,
        t1=t1,
        ts=ts,
        observe=observe,
        event=event,
        dense=rest.get("dense", False),
        args=rest.get("args"),
        noise=with_key(rest.get("noise"), rest.get("key")),
    )

    # === run
    y0 = nan_with(y0, o.t0, o.t1, o.ts, o.rtol, o.atol, o.dt0)
    with forward_mode_named(o.adjoint):
        solution = _run(cast_floats(field, dtype), y0, o)
    return _raise_failures(solution, o.max_steps) if throw else solution


@compiled
def _run(field: AttentionField, y0: Array, options: Options) -> Solution:
    problem = assemble(field, y0, options)
    return problem.solution(problem.integrate())


@contextmanager
def forward_mode_named(adjoint: diffrax.AbstractAdjoint) -> Iterator[None]:
    """What JAX says of forward-mode differentiation through the default adjoint, with its remedy."""
    try:
        yield
    except TypeError as error:
        if "forward-mode" in str(error) and "custom_vjp" in str(error):
            raise TypeError(
                "`adjoint` must be diffrax.ForwardMode() or diffrax.DirectAdjoint() for forward-mode "
                f"differentiation (jvp, jacfwd, hessian); got {type(adjoint).__name__}, which is for "
                "reverse mode alone."
            ) from error
        raise


def _raise_failures(solution: Solution, max_steps: int) -> Solution:
    result, y1 = solution.result, solution.y1
    if not is_concrete(result, y1, solution.t1):
        okay = (result == diffrax.RESULTS.successful) | (result == diffrax.RESULTS.event_occurred)
        message = (
            "The run did not end: `max_steps` was not enough, or the field stopped being finite. "
            "Pass throw=False to keep what there is."
        )
        return check(solution, ~okay | ~jnp.all(jnp.isfinite(y1)), message, error=RuntimeError)
    finite = bool(np.isfinite(np.asarray(y1)).all())
    ended = (diffrax.RESULTS.successful, diffrax.RESULTS.event_occurred)
    if finite and _is_one_of(result, *ended).all():
        return solution
    reached = f"reached t = {float(np.min(np.asarray(solution.t1))):g}"
    undefined = _names(solution.undefined)
    if undefined:
        why = (
            f"{undefined} was NaN ({reached}), so that whether it happened is not known; let it "
            "be a number everywhere, such as jnp.where(there, value, 1.0)."
        )
    elif _is_one_of(result, diffrax.RESULTS.max_steps_reached).any():
        why = f"`max_steps` = {max_steps} was not enough ({reached}); raise it or loosen rtol."
    elif _is_one_of(result, diffrax.RESULTS.dt_min_reached).any() or not finite:
        why = (
            f"the field or the tokens stopped being finite ({reached}); look at "
            "field(t, y), or pass throw=False to keep what there is."
        )
    else:
        why = f"the solver failed ({reached}); pass throw=False and see sol.result."
    raise RuntimeError(f"The run did not end: {why}")


def _is_one_of(result: diffrax.RESULTS, *which: diffrax.RESULTS) -> np.ndarray:
    """In NumPy: nothing is compiled to look at how a run ended."""
    return np.isin(np.asarray(result._value), [np.asarray(one._value) for one in which])


def _names(undefined: Any) -> str:
    """The events that were NaN, as they are written: `event['log']`; empty where none was."""
    leaves = jax.tree_util.tree_flatten_with_path(undefined)[0]
    lost = [jax.tree_util.keystr(path) for path, flag in leaves if np.asarray(flag).any()]
    return ", ".join(f"`event{key}`" for key in lost)
