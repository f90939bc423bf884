"""`Integrator`: how to integrate, in one object that everything that runs flows takes."""

import dataclasses
import difflib
from collections.abc import Mapping
from typing import Any, TypedDict

import diffrax
import equinox as eqx
import jax
import jax.core
import jax.numpy as jnp
import numpy as np
from jaxtyping import ArrayLike, Float

from ..core.checks import check, choose, floating, instance, is_concrete, shaped, shown, whole
from ..core.types import Scalar

_SUCH_AS = {
    "solver": "diffrax.Tsit5()",
    "controller": "diffrax.PIDController(rtol=1e-6, atol=1e-9)",
    "adjoint": "diffrax.RecursiveCheckpointAdjoint()",
}


class StepOptions(TypedDict, total=False):
    """Keywords in place of an [`Integrator`][], or beside one, for a run that is not differentiated."""

    rtol: Scalar | None
    atol: Scalar | None
    dt0: Scalar | None
    solver: diffrax.AbstractSolver[Any] | None
    controller: diffrax.AbstractStepSizeController[Any, Any] | None
    reduce: bool | str
    max_steps: int | None


class IntegratorOptions(StepOptions, total=False):
    """Keywords in place of an [`Integrator`][], or beside one: they replace what it has."""

    adjoint: diffrax.AbstractAdjoint | None


class Integrator(eqx.Module):
    r"""How to integrate: tolerances, solver, steps, reduction and adjoint, checked once.

    Taken as `integrator=` by [`simulate`][], [`ensemble.run`][attnflow.ensemble.run],
    [`ensemble.mean`][attnflow.ensemble.mean], [`search.optimise`][attnflow.search.optimise],
    [`search.evaluate`][attnflow.search.evaluate] and the pictures that run a flow. What is not given is
    each function's own default. All of them take the same names as keywords too: alone, or beside
    `integrator=`, where a keyword replaces what the integrator has, and `None` leaves it.

    **Arguments:**

    - `rtol`, `atol`: every step keeps $|\delta y_i|_W \le \text{atol} + \text{rtol}$ (root mean square
      over tokens). Default 1e-9 and 1e-12 in float64, 1e-5 and 1e-7 in float32.
    - `dt0`: first step; with a `ConstantStepSize` controller, or a solver without error estimate, the
      step.
    - `solver`: any diffrax ODE solver. By default `Tsit5`; `Bosh3` where schedules have more kinks than
      steps can end at (over 64 rectified entries), since solvers of higher order lose it there, or `Heun`, where
      `rtol` and `atol` add up to 2e-3 or more and a period is known; and `Bosh3` for other
      oscillating schedules where `rtol` and `atol` add up to 1e-4 or more, since their periods bound the steps
      of both there (inside a program of your own, where tolerances have no value yet, as for small ones). For errors of
      1e-9 and less on smooth flows `Dopri8` is the faster one, for 1e-3 `Bosh3` (measured on five kinds
      of flow: `benchmarks/README.md`).
    - `controller`: a diffrax step size controller in place of the default one, which also keeps steps
      below 0.58 of the schedules' shortest period and out of step with it (unless tokens on a sphere are so
      close that nothing P may do is felt). Adaptive ones end their steps
      where smooth pieces of the schedules meet (jumps, knots). Constant steps are cut in two at jumps
      off their grid, which costs one step more each; knots and kinks off it cost them their order.
    - `adjoint`: how to differentiate; `diffrax.RecursiveCheckpointAdjoint` by default (reverse mode).
      Forward mode needs `diffrax.ForwardMode()`; `jax.hessian`, which is forward over reverse, needs
      `diffrax.DirectAdjoint()` (whose reverse-mode gradient of an adaptive run was seen off by more than
      the tolerance, 4e-7 at rtol 1e-10 where the default is off by 5e-11; `jacfwd` twice with
      `ForwardMode` is exact). `ensemble.run`, which is not differentiated, makes no use of it.
    - `reduce`: `True`: the reductions to fewer coordinates that apply by type and shape; `False`: none; or
      one by name, `"span"` or `"whitening"`.
    - `max_steps`: default 2^20 (4096 with `dense` or `DirectAdjoint`, whose memory or time grows with it).

    Numbers are arrays: an integrator with another `rtol`, `atol` or `dt0` compiles nothing anew, also
    where it goes through `eqx.filter_jit`. `dataclasses.replace(integrator, rtol=1e-6)` is another one.

    **Raises:**

    `ValueError` in one sentence: negative or infinite tolerances, or both zero; an object of another kind;
    tolerances beside a controller that makes no use of them; constant steps, or a solver without error
    estimate, without `dt0`.

    ```python
    precise = af.Integrator(rtol=1e-12, atol=1e-14, solver=diffrax.Dopri8())
    sol = af.simulate(field, y0, t1=20.0, integrator=precise)
    result = af.ensemble.run(field, starts, t1=20.0, integrator=precise, max_steps=10_000)
    ```
    """

    rtol: Float[ArrayLike, ""] | None
    atol: Float[ArrayLike, ""] | None
    dt0: Float[ArrayLike, ""] | None
    solver: diffrax.AbstractSolver[Any] | None
    controller: diffrax.AbstractStepSizeController[Any, Any] | None
    adjoint: diffrax.AbstractAdjoint | None
    reduce: str = eqx.field(static=True)
    max_steps: int | None = eqx.field(static=True)

    def __init__(
        self,
        *,
        rtol: Scalar | None = None,
        atol: Scalar | None = None,
        dt0: Scalar | None = None,
        solver: diffrax.AbstractSolver[Any] | None = None,
        controller: diffrax.AbstractStepSizeController[Any, Any] | None = None,
        adjoint: diffrax.AbstractAdjoint | None = None,
        reduce: bool | str = True,
        max_steps: int | None = None,
    ):
        for name, value, kind in (
            ("solver", solver, diffrax.AbstractSolver),
            ("controller", controller, diffrax.AbstractStepSizeController),
            ("adjoint", adjoint, diffrax.AbstractAdjoint),
        ):
            if value is not None:
                instance(name, value, kind, f"a diffrax {name}, an object such as {_SUCH_AS[name]}")
        self.solver, self.controller, self.adjoint = solver, controller, adjoint
        self.reduce = _reduction(reduce)
        _check_fit(solver, controller, dt0, rtol, atol)
        self.rtol, self.atol = _number("rtol", rtol), _number("atol", atol)
        self.dt0 = _number("dt0", dt0)
        # What is traced now is looked at in the run.
        if is_concrete(self.rtol, self.atol):
            check_tolerances(*(1.0 if x is None else x for x in (self.rtol, self.atol)))
        if self.dt0 is not None and is_concrete(self.dt0):
            check_first_step(self.dt0)
        self.max_steps = None if max_steps is None else whole("max_steps", max_steps)

    def __repr__(self) -> str:
        given = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        if self.reduce == "auto":
            del given["reduce"]
        words = (f"{name}={_word(value)}" for name, value in given.items() if value is not None)
        return f"Integrator({', '.join(words)})"


def merged(integrator: Integrator | None, keywords: Mapping[str, Any]) -> Integrator:
    """An integrator with what was given by keyword in place of its own."""
    given = {name: value for name, value in keywords.items() if value is not None}
    if integrator is None:
        return Integrator(**given)
    instance("integrator", integrator, Integrator, "an Integrator, such as Integrator(rtol=1e-9)")
    return dataclasses.replace(integrator, **given) if given else integrator


def sort_options(
    function: str, options: Mapping[str, Any], allowed: type, error: type[Exception] = TypeError
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Keywords that are an integrator's, and the others, none of which is unknown.

    **Raises:**

    An `error` that names the first that is not `allowed`, and what may have been meant.
    """
    names: frozenset[str] = allowed.__optional_keys__  # pyright: ignore[reportAttributeAccessIssue]
    for name in options:
        if name not in names:
            near = difflib.get_close_matches(name, sorted(names), 1)
            meant = f"; did you mean `{near[0]}`?" if near else "; drop it."
            raise error(f"`{name}` is no argument of {function}{meant}")
    own = IntegratorOptions.__optional_keys__
    return (
        {name: value for name, value in options.items() if name in own},
        {name: value for name, value in options.items() if name not in own},
    )


def check_tolerances(rtol: Any, atol: Any) -> tuple[Any, Any]:
    """Both, refused unless they can be met."""
    message = "`rtol` and `atol` must be finite, zero or more, and not both zero; "
    return check((rtol, atol), _no_tolerances, f"{message}got {_seen(rtol)} and {_seen(atol)}.")


def check_first_step(dt0: Any) -> Any:
    """`dt0`, refused unless it is a step."""
    message = f"`dt0` must be positive and finite; got {_seen(dt0)}."
    return check(dt0, lambda dt0: ~((dt0 > 0) & (dt0 < jnp.inf)), message)


def _seen(number: Any) -> str:
    return "a traced value" if isinstance(number, jax.core.Tracer) else f"{float(number):g}"


def _no_tolerances(both: Any) -> Any:
    rtol, atol = both
    total = rtol + atol
    return ~((rtol >= 0) & (atol >= 0) & (total > 0) & (total < jnp.inf))


def _reduction(reduce: Any) -> str:
    if isinstance(reduce, bool):
        return "auto" if reduce else "none"
    return choose("reduce", reduce, ("auto", "span", "whitening", "none"))


def _number(name: str, value: Any) -> Any:
    """One number: as it is where traced, else NumPy's in double precision.

    Whatever JAX's precision is now: an integrator may be made before 64 bits are turned on.
    """
    if value is None:
        return None
    if type(value) is float:
        return np.asarray(value)
    array = floating(name, value)
    shaped(name, array.shape, ())
    if not is_concrete(array):
        return array
    return np.asarray(array if isinstance(value, jax.Array) else value, np.float64)


def _check_fit(solver: Any, controller: Any, dt0: Any, rtol: Any, atol: Any) -> None:
    """Refuse what would be ignored, and steps of no length."""
    constant = solver is not None and not isinstance(solver, diffrax.AbstractAdaptiveSolver)
    if controller is None and constant and dt0 is None:
        raise ValueError(
            f"`dt0` must be given with {type(solver).__name__}, which has no error estimate to "
            "choose steps by; pass dt0=..., or solver=diffrax.HalfSolver(...)."
        )
    if controller is None and not constant:
        return
    if rtol is not None or atol is not None:
        name = "ConstantStepSize" if controller is None else type(controller).__name__
        raise ValueError(
            f"`rtol` and `atol` are not used by {name}; got both a controller of "
            "your own (or constant steps) and tolerances. Drop one."
        )
    if isinstance(controller, diffrax.ConstantStepSize) and dt0 is None:
        raise ValueError("`dt0` must be given with ConstantStepSize; got None.")


def _word(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"{float(value):g}"
    if isinstance(value, str | int):
        return repr(value)
    return f"{type(value).__name__}()" if isinstance(value, eqx.Module) else shown(value)
