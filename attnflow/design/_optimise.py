"""`optimise`: schedules that make an objective small or large, by gradients through the solver."""

import functools
import os
from collections.abc import Callable
from typing import Any, Unpack

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax
from jaxtyping import Array, Key

from ..core.arrays import cast_floats
from ..core.checks import boolean, check, choose, floating, instance, random_key, whole
from ..core.recognised import recognised
from ..core.types import Scalar
from ..flow import Integrator, IntegratorOptions, Solution, merged
from ..model import AttentionField
from ..records import digest_of, progress as bar
from ._descent import SearchProblem, Task, descent
from ._evolve import Evolution, evolve
from ._objectives import AbstractObjective, CVaR, as_objective, as_risk
from ._optimised import History, Optimised
from ._resume import Checkpoint
from ._trainable import (
    Bounds,
    Model,
    Searched,
    Trainable,
    as_bounds,
    as_searched,
    names_of,
    trainable as free_numbers,
)
from ._values import CHUNK, SearchStarts, options_for, sort_keywords

# One object for all searches: an optimiser is compiled into its program. The rate is data.
_ADAM = optax.chain(optax.scale_by_adam(), optax.scale(-1.0))
_RATE = 0.05
_OF_ONE_CALL = ("trainable", "restarts", "store", "progress", "report")  # not of one made again
_INIT = 0  # what the key is folded with, as in _descent


class OptimiseOptions(IntegratorOptions, total=False):
    """The keywords of [`optimise`][attnflow.search.optimise] that have a default for most searches."""

    trainable: Trainable | None
    rate: Scalar
    number: int | None
    risk: str | CVaR
    restarts: int
    chunk: int
    patience: int | None
    store: str | os.PathLike[str] | None
    progress: bool
    report: Callable[[dict[str, float]], object] | None
    t0: Scalar
    args: object


def optimise(
    objective: AbstractObjective | Callable[[Solution], Scalar],
    schedule: Searched | Callable[[Key[Array, ""]], Searched],
    *,
    field: AttentionField | Callable[..., AttentionField],
    starts: SearchStarts,
    t1: Scalar,
    key: Key[Array, ""],
    goal: str = "minimise",
    bounds: Bounds = None,
    optimiser: optax.GradientTransformation | Evolution | None = None,
    steps: int = 200,
    integrator: Integrator | None = None,
    **options: Unpack[OptimiseOptions],
) -> Optimised:
    r"""Search over schedules $P(t)$, $U(t)$ with the gradient of an objective through the solver.

    Constraints hold at every time by construction: what is searched over is free, and `bounds`, or
    the schedule's own type ([`Bounded`][], [`Symmetric`][], [`PositiveSemidefinite`][],
    [`FixedSpectrum`][], [`Factored`][] for the rank, [`Fourier`][] for period and smoothness, a matrix
    without a head axis for heads that share it), maps it into what is allowed.

    **Arguments:**

    - `objective`: [`Final`][attnflow.search.Final], [`Integral`][attnflow.search.Integral],
      [`ConsensusTime`][attnflow.search.ConsensusTime], [`OfRun`][attnflow.search.OfRun], or a function
      of a [`Solution`][attnflow.flow.Solution] that gives a number.
    - `schedule`: where the search begins: a schedule or array for $P$; a dictionary of `"P"` and `"U"`;
      any pytree that `field` as a function takes; or a function of a key that makes one of these.
    - `field`: an [`AttentionField`][] whose `P` (and `U`) are replaced, or a function from the schedule
      within its bounds to a field.
    - `starts`: tokens `(tokens, dim)`; a fixed set `(n, tokens, dim)`; or a sampler, a function of a
      key, from which `number` fresh starts are drawn at each step.
    - `t1`: the end of the runs.
    - `key`: of initial schedules and fresh starts.
    - `goal`: `"minimise"` or `"maximise"`.
    - `bounds`: `b` for $\|M(t)\|_F < b$ at every time and head, `(b, "spectral")`, or a function from
      schedule to schedule; for a dictionary of schedules, a dictionary of these.
    - `optimiser`: any optax optimiser (L-BFGS with its line search included); Adam at `rate`, falling
      to zero along a cosine, unless given; or [`Evolution`][attnflow.search.Evolution] (CMA-ES), which
      needs no gradient: for hardmax and objectives that jump.
    - `steps`: at most so many.
    - `integrator`: how the runs are integrated, an [`Integrator`][]; or by keyword: `rtol`, `atol`,
      `solver`, `controller`, `dt0`, `adjoint`, `reduce`, `max_steps`, each described there. A keyword
      beside an integrator replaces what that has.

    Further `options`:

    - `trainable`: what is free, as in [`trainable`][attnflow.search.trainable].
    - `rate`: of Adam, 0.05 unless given.
    - `number`: how many starts a sampler draws.
    - `risk`: over starts: `"mean"` (the default), `"worst"`, or [`CVaR`][attnflow.search.CVaR]`(fraction)`.
    - `restarts`: searches side by side, from so many schedules drawn by `schedule`, on the same starts.
    - `chunk`: up to so many starts are worked side by side. More go through the lanes of an ensemble, unless an
      `adjoint` is named or the solver is implicit: then they are worked so many at a time, in the memory of these.
    - `patience`: stop after so many steps without a new best.
    - `store`: a file to go on from. Written aside and renamed every few seconds; a search that was
      killed and is started again with the same arguments ends with the same bits as one left alone.
    - `progress`: `False` for no bar on a terminal. `report`: called after each step with its numbers.
    - `t0`, `args`: as in [`simulate`][].

    The best of a search is taken by its own starts where these are fixed. With fresh ones it is taken
    by a further set of `number` starts, drawn once, which no gradient sees, every twentieth of the way.
    Neither says how good it is: keep starts apart for that ([`evaluate`][attnflow.search.evaluate]).

    Runs that fail are left out of a step and counted (`history.failed`); a step whose gradient is
    not finite even so changes nothing and is counted (`history.skipped`); ten in a row end the search.

    **Returns:**

    An [`Optimised`][attnflow.search.Optimised].

    **Raises:**

    `ValueError` for bad arguments and for a keyword that is none; `RuntimeError` where no step could be
    taken.

    ```python
    sphere = af.Sphere(3)
    found = af.search.optimise(
        af.search.Final(log=True), lambda key: jr.normal(key, (3, 3)),
        field=af.AttentionField(sphere, P=jnp.zeros((3, 3)), mask="causal"),
        starts=sphere.random_hemisphere(jr.key(0), (8,)), t1=4.0, bounds=5.0, key=jr.key(1),
    )
    found.schedule, found.value
    ```
    """
    # === check arguments
    own, rest = sort_keywords("optimise, nor of simulate", options, OptimiseOptions)
    integrator = merged(integrator, own)
    rerun = functools.partial(
        optimise,
        objective,
        field=field,
        starts=starts,
        t1=t1,
        key=key,
        goal=goal,
        bounds=bounds,
        optimiser=optimiser,
        steps=steps,
        integrator=integrator,
        **{name: value for name, value in rest.items() if name not in _OF_ONE_CALL},
    )
    key, progress = random_key("key", key), boolean("progress", rest.get("progress", True))
    report, patience = rest.get("report"), rest.get("patience")
    if not callable(field):
        instance("field", field, AttentionField, "an AttentionField, or a function of the schedule")
    if not (optimiser is None or isinstance(optimiser, Evolution) or hasattr(optimiser, "init")):
        instance("optimiser", optimiser, Evolution, "an optimiser of optax, or an Evolution")
    if report is not None:
        instance("report", report, Callable, "a function of the step, or None")
    if not isinstance(field, AttentionField):
        field = recognised(field)
    given_starts = recognised(starts) if callable(starts) else starts
    objective, risk = as_objective(objective), as_risk(rest.get("risk", "mean"))
    goal = choose("goal", goal, ("minimise", "maximise"))
    steps, restarts = _count("steps", steps), _count("restarts", rest.get("restarts", 1))
    chunk = _count("chunk", rest.get("chunk", CHUNK))
    rate = floating("rate", rest.get("rate", _RATE))
    if rate.ndim:
        raise ValueError(f"`rate` must be one positive number; got shape {rate.shape}.")
    message = "`rate` must be one positive number; got another."
    rate = check(rate, lambda r: ~((r > 0) & (r < jnp.inf)), message)
    patience = None if patience is None else _count("patience", patience)

    # === what is searched over
    first, many = _schedules(schedule, key, restarts)
    names = names_of(first, field)
    model = Model(field, as_bounds(bounds, names))
    spec = free_numbers(first, rest.get("trainable"))
    free, others = eqx.partition(many, spec)
    if not jax.tree.leaves(free):
        raise ValueError("`trainable` leaves nothing to change; choose an array of the schedule.")
    example = model(first)

    # === where runs start
    fixed, sampler, number = _starts(given_starts, rest.get("number"), example)
    shape = jax.eval_shape(sampler, key) if sampler is not None else fixed[0]
    free, others, model = (cast_floats(x, shape.dtype) for x in (free, others, model))
    when = {name: rest[name] for name in ("t0", "args") if name in rest}
    given = options_for(objective, example, shape, integrator, t1=t1, **when)
    lanes = integrator.adjoint is None
    sign = jnp.asarray(1.0 if goal == "minimise" else -1.0, shape.dtype)
    task = Task(
        objective, model, jax.tree.map(jnp.asarray, others), given, risk, sign, chunk, lanes
    )
    first_rate = None if optimiser is not None else rate.astype(shape.dtype)
    problem = SearchProblem(task, fixed, sampler, number, key, steps, patience, first_rate)
    engine = _ADAM if optimiser is None else optimiser

    # === run
    digest = digest_of(
        (free, others, model, given, objective, risk, problem.starts(0), jr.key_data(key)),
        (goal, risk if isinstance(risk, str) else "CVaR", restarts, number, chunk),
        (type(objective).__name__, type(given.solver).__name__, type(given.adjoint).__name__),
        (repr(engine) if isinstance(engine, Evolution) else "optax", first_rate, steps),
    )
    history = History(restarts)
    place = Checkpoint(rest.get("store"), digest, history)
    run: Any = evolve if isinstance(engine, Evolution) else descent
    with bar(total=steps, description="search", unit="step", show=progress) as shown:
        try:
            best, least, reason = run(problem, engine, free, place, _reporter(shown, report, sign))
        finally:  # also where it is interrupted, between two steps or within one
            place.flush()
    if not np.isfinite(least).any():
        raise RuntimeError(
            f"The search found nothing: {reason}. Look at the first schedule and starts with simulate, "
            "raise max_steps, or begin with a smaller schedule."
        )
    winner = int(np.nanargmin(np.where(np.isfinite(least), least, np.nan)))
    searched = eqx.combine(*(jax.tree.map(lambda x: x[winner], part) for part in (best, task.rest)))
    schedule_of_best = model.bounded(searched)
    return Optimised(
        schedule=schedule_of_best,
        field=model(searched),
        value=float(sign) * float(least[winner]),
        values=float(sign) * np.asarray(least),
        initial=model.bounded(first),
        objective=objective,
        goal=goal,
        history=history,
        reason=reason,
        seconds=place.seconds(),
        settings={
            "objective": objective.title,
            "goal": goal,
            "risk": risk if isinstance(risk, str) else f"CVaR({float(risk.fraction):g})",
            "starts": f"{number} fresh a step" if sampler is not None else f"{number} fixed",
            "tokens": list(shape.shape),
            "t1": float(given.t1),
            "free numbers": sum(x.size for x in jax.tree.leaves(free)) // restarts,
            "bounds": _bound_as_text(model.bounds),
            "optimiser": _named(engine, first_rate),
            "steps": steps,
            "restarts": restarts,
            "dtype": str(shape.dtype),
        },
        task=task,
        rerun=rerun,
        optimiser=optimiser,
    )


def _reporter(shown: Any, report: Any, sign: Array) -> Callable[[History], None]:
    """What is shown of each step: on the bar, and to the user's own function."""

    def tell(history: History) -> None:
        now = history.now(float(sign))
        shown.n = now["step"]
        shown.set_postfix(
            {name: f"{now[name]:.4g}" for name in ("objective", "gradient", "best")}, refresh=False
        )
        shown.refresh()
        if report is not None:
            report(now)

    return tell


def _schedules(schedule: Any, key: Array, restarts: int) -> tuple[Any, Any]:
    """The first schedule to begin with, and all of them with a leading axis of restarts."""
    if callable(schedule) and not isinstance(schedule, eqx.Module):
        make = lambda key: as_searched(schedule(key))  # noqa: E731
        keys = jr.split(jr.fold_in(key, _INIT), restarts)
        all_made = [make(key) for key in keys]
        arrays = [eqx.filter(made, eqx.is_array) for made in all_made]
        stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *arrays)
        return all_made[0], stacked
    if restarts > 1:
        raise ValueError(
            f"`restarts` = {restarts} needs `schedule` as a function of a key that draws one; got "
            f"{type(schedule).__name__}."
        )
    first = as_searched(schedule)
    return first, jax.tree.map(lambda x: jnp.asarray(x)[None], eqx.filter(first, eqx.is_array))


def _starts(starts: Any, number: Any, field: AttentionField) -> tuple[Any, Any, int]:
    """Fixed starts `(n, tokens, dim)`, or a sampler, and how many a step."""
    if callable(starts):
        if number is None:
            raise ValueError("`number` must say how many starts a sampler draws; got None.")
        return None, starts, _count("number", number)
    if number is not None:
        raise ValueError("`number` is for a sampler; starts given as an array need none. Drop it.")
    starts = floating("starts", starts)
    if starts.ndim == 2:
        starts = starts[None]
    if starts.ndim != 3 or 0 in starts.shape or starts.shape[-1] != field.dim:
        raise ValueError(
            f"`starts` must have shape (tokens, {field.dim}) or (n, tokens, {field.dim}), or be a "
            f"sampler; got shape {starts.shape}."
        )
    checked = field.check_start("starts", starts.reshape(-1, field.dim))
    return checked.reshape(starts.shape), None, starts.shape[0]


def _count(name: str, value: Any) -> int:
    return whole(name, value, most=10**7)


def _bound_as_text(bounds: Any) -> Any:
    if isinstance(bounds, dict):
        return {name: _bound_as_text(part) for name, part in bounds.items()}
    if bounds is None:
        return "none"
    return f"{bounds.norm} {float(bounds.bound):g}" if hasattr(bounds, "bound") else "own"


def _named(engine: Any, rate: Any) -> str:
    if rate is not None:
        return f"Adam {float(rate):g}, cosine"
    return str(engine) if isinstance(engine, Evolution) else "own optax optimiser"
