"""A schedule that was found, evaluated: beside baselines, reference and limit, on starts that nothing was tuned on."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Unpack

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Key

from .. import theory
from ..core.arrays import cast_floats
from ..core.checks import floating, shaped
from ..core.compiled import compiled
from ..core.lazy import renamed_argument, renamed_attribute
from ..core.types import Scalar
from ..flow import Integrator, IntegratorOptions, merged
from ..model import AttentionField
from ..observables import Misalignment
from ..records import progress as bar
from ._baselines import baselines as own_baselines
from ._descent import Task
from ._objectives import AbstractObjective, ConsensusTime, Final, Integral, simpson
from ._optimised import Optimised
from ._trainable import Searched, as_searched, with_schedule
from ._values import SearchStarts, options_for, sort_keywords, values

_CHECKED = 8  # starts that are integrated again
_TIGHTER, _IMPLICIT = 1e-3, 0.1


@dataclasses.dataclass
class Row:
    """One contender: the objective from each start.

    **Attributes:**

    - `name`, `values`: NaN where a run failed.
    - `censored`: how many values only say that the run was too short.
    """

    name: str
    values: np.ndarray
    censored: int

    def record(self, values: np.ndarray) -> dict[str, Any]:
        """Mean, spread, and the paired difference of what was found from it."""
        good = self.values[np.isfinite(self.values)]
        both = values - self.values
        both = both[np.isfinite(both)]
        mean, error = _mean(good)
        difference, of = _mean(both)
        return {
            "name": self.name,
            "mean": mean,
            "standard error": error,
            "standard deviation": float(good.std(ddof=1)) if len(good) > 1 else None,
            "median": float(np.median(good)) if len(good) else None,
            "failed": int((~np.isfinite(self.values)).sum()),
            "censored": self.censored,
            "found minus this": difference,
            "its standard error": of,
            "errors apart": difference / of if of and difference is not None else None,
        }


@dataclasses.dataclass
class Evaluation:
    """What [`evaluate`][attnflow.search.evaluate] found; `print` shows the table.

    **Attributes:**

    - `rows`: contenders by name: `"found"`, `"before"`, `"limit"` and `"tanh reference"` where theory
      gives them, and the baselines. `rows[name].values` are the objective from each start.
    - `recheck`: how far the found schedule's objective moves when it is integrated by another solver at
      a thousandth of the tolerance (a tenth, where the solver is implicit).
    - `objective`, `goal`: of the search.
    """

    rows: dict[str, Row]
    recheck: dict[str, Any]
    objective: str
    goal: str

    again: ClassVar[property] = renamed_attribute("again", "recheck")

    @property
    def found(self) -> np.ndarray:
        """The objective of the found schedule from each start."""
        return self.rows["found"].values

    def record(self) -> dict[str, Any]:
        """The table as plain JSON values."""
        return {
            "objective": self.objective,
            "goal": self.goal,
            "starts": len(self.found),
            "rows": [row.record(self.found) for row in self.rows.values()],
            "integrated again": self.recheck,
        }

    def __str__(self) -> str:
        head = f"{self.objective}, {self.goal}d, on {len(self.found)} starts kept apart"
        if len(self.found) == 1:
            head = f"{self.objective}, {self.goal}d, on one start"
        lines = [head, f"  {'':<22}{'mean':>12}{'+-':>10}{'found - this':>15}{'+-':>10}"]
        for row in self.rows.values():
            r = row.record(self.found)
            cells = [_number(r["mean"], 12), _number(r["standard error"], 10)]
            if row.name != "found":
                cells += [_number(r["found minus this"], 15), _number(r["its standard error"], 10)]
            notes = [f"{r[k]} {k}" for k in ("failed", "censored") if r[k]]
            lines.append(f"  {row.name:<22}{''.join(cells)}  {', '.join(notes)}".rstrip())
        a = self.recheck
        change = a["largest change"]
        moves = "no run ended" if change is None else f"moves by {change:.2g}"
        lines.append(f"  by {a['solver']} at {a['tolerance']:.1g}: {moves}")
        return "\n".join(lines)


class EvaluationOptions(IntegratorOptions, total=False):
    """Keywords of [`evaluate`][attnflow.search.evaluate] that take the place of the search's."""

    t0: Scalar
    args: object


@renamed_argument("found", "optimised")
def evaluate(
    optimised: Optimised,
    starts: SearchStarts,
    *,
    baselines: Mapping[str, Searched] | None = None,
    key: Key[Array, ""] | None = None,
    number: int | None = None,
    t1: Scalar | None = None,
    chunk: int | None = None,
    progress: bool = True,
    integrator: Integrator | None = None,
    **options: Unpack[EvaluationOptions],
) -> Evaluation:
    r"""The objective of a found schedule beside what can be known and what is easily had.

    All by the code, the solver and the tolerances of the search. For causal attention with $U = I$
    the *limit* is what no attention can beat ([`misalignment_bound`][attnflow.theory.misalignment_bound]),
    the *tanh reference* what all attention on token 1 would give
    ([`reference_misalignment`][attnflow.theory.reference_misalignment]), which can be beaten.

    **Arguments:**

    - `optimised`: what `optimise` returned.
    - `starts`: tokens `(tokens, dim)` or `(n, tokens, dim)`, or a sampler with `number` and `key`.
      Give others than the search had, unless it was for one start.
    - `baselines`: schedules by name; those of [`baselines`][attnflow.search.baselines] with `key` unless
      given. `{}` for none.
    - `key`: of a sampler, and of what is random in baselines.
    - `t1`, `chunk`: in place of the search's, for every contender: a longer horizon, say.
    - `integrator`: in place of the search's [`Integrator`][], for every contender; or by keyword what is
      to replace a part of it, such as `solver` for stiff flows, where what was found holds tokens apart
      for long: `rtol`, `atol`, `solver`, `controller`, `dt0`, `adjoint`, `reduce`, `max_steps`.
    - `t0`, `args`: in place of the search's.

    **Raises:**

    `ValueError` for bad arguments.

    ```python
    print(af.search.evaluate(found, sampler, number=256, key=jax.random.key(7)))
    ```
    """
    if not isinstance(optimised, Optimised):
        raise ValueError(f"`optimised` must come from optimise; got {type(optimised).__name__}.")
    own, rest = sort_keywords("evaluate, nor of simulate", options, EvaluationOptions)
    starts = _starts(optimised, starts, key, number)
    if baselines is None:
        baselines = own_baselines(optimised, jr.key(0) if key is None else jr.fold_in(key, 1))
    task = optimised.task
    if t1 is not None or integrator is not None or options:
        searched_with = optimised.rerun.keywords
        if integrator is None:  # an adjoint is not asked for here
            integrator = dataclasses.replace(searched_with["integrator"], adjoint=None)
        when = {
            name: searched_with[name] for name in ("t0", "args") if name in searched_with
        } | rest
        when["t1"] = task.options.t1 if t1 is None else t1
        how = merged(integrator, own)
        new = options_for(optimised.objective, optimised.field, starts[0], how, **when)
        task = dataclasses.replace(task, options=new, lanes=how.adjoint is None)
    if chunk is not None:
        task = dataclasses.replace(task, chunk=chunk)
    template = task.model.field
    contenders = {
        "found": optimised.field,
        "before": _put(template, optimised.initial, optimised.schedule),
    }
    contenders |= {
        name: _put(template, schedule, optimised.schedule) for name, schedule in baselines.items()
    }
    rows = {}
    for name, field in bar(contenders.items(), description="evaluation", unit="", show=progress):
        rows[name] = _row(task, name, field, starts)
    ordered = {name: rows.pop(name) for name in ("found", "before")}
    ordered |= {row.name: row for row in _known(task, optimised.field, starts)} | rows
    recheck = _by_another_solver(task, optimised.field, starts, ordered)
    return Evaluation(ordered, recheck, optimised.objective.title, optimised.goal)


def _starts(optimised: Optimised, starts: Any, key: Any, number: Any) -> Array:
    dtype = optimised.task.sign.dtype
    if callable(starts):
        if key is None or number is None:
            raise ValueError("`key` and `number` must be given with a sampler; got none of one.")
        return jnp.asarray(jax.vmap(starts)(jr.split(jr.fold_in(key, 0), number)), dtype)
    starts = floating("starts", starts).astype(dtype)
    allowed = ("tokens", optimised.field.dim), ("n", "tokens", optimised.field.dim)
    shaped("starts", starts.shape, *allowed, also=", or be a sampler")
    starts = starts[None] if starts.ndim == 2 else starts
    return optimised.field.check_start("starts", starts.reshape(-1, starts.shape[-1])).reshape(
        starts.shape
    )


def _put(template: Any, schedule: Any, like: Any) -> AttentionField:
    """The field with a contender; one P for a search over P and U leaves U as the field has it."""
    schedule = as_searched(schedule)
    if isinstance(template, AttentionField) and not isinstance(schedule, dict):
        schedule = {"P": schedule}
    return with_schedule(template, schedule)


@compiled
def _evaluate(task: Task, field: Any, starts: Array, options: Any) -> Array:
    return values(task.objective, field, starts, options, task.chunk, task.lanes)


def _row(task: Task, name: str, field: AttentionField, starts: Array) -> Row:
    given = _evaluate(task, cast_floats(field, starts.dtype), starts, task.options)
    censored = task.objective.censored(given, task.options.t1 - task.options.t0)
    return Row(name, np.asarray(given, float), int(jnp.sum(censored)))


# === what theory knows


def _known(task: Task, field: AttentionField, starts: Array) -> list[Row]:
    """The limit and the tanh reference, where they apply and the objective is one of misalignment."""
    curves: dict[str, Callable[..., Any]] = {
        "limit": theory.misalignment_bound,
        "tanh reference": theory.reference_misalignment,
    }
    options, out = task.options, []
    for name, curve in curves.items():
        # Compiled, since times are found by bisection, from each start.
        of = compiled(lambda y0, t, curve=curve: curve(field, y0, t, options.t0))
        try:
            known = [
                of_curve(task.objective, lambda t, y0=y0, of=of: of(y0, t), options.t0, options.t1)
                for y0 in starts
            ]
        except ValueError:  # theory says nothing of such a field
            continue
        if all(value is not None for value in known):
            out.append(Row(name, np.asarray(known, float), 0))
    return out


def of_curve(
    objective: AbstractObjective, curve: Callable[[Array], Array], t0: Array, t1: Array
) -> float | None:
    """An objective of misalignment of a curve E(t) that falls; `None` for any other objective."""
    if isinstance(objective, ConsensusTime):
        low, high = float(t0), float(t0) + 1.0
        threshold = float(objective.threshold)
        while float(curve(jnp.asarray(high, t1.dtype))) > threshold:
            high = float(t0) + 2 * (high - float(t0))
            if high > 1e15:
                return np.inf
        for _ in range(60):
            middle = (low + high) / 2
            over = float(curve(jnp.asarray(middle, t1.dtype))) > threshold
            low, high = (middle, high) if over else (low, middle)
        elapsed = max(high - float(t0), np.finfo(float).tiny)
        return float(np.log(elapsed)) if objective.log else elapsed
    inner = getattr(getattr(objective, "observe", None), "function", None)
    if not isinstance(inner, Misalignment) or inner != Misalignment():
        return None
    if isinstance(objective, Final):
        end = float(curve(t1))
        return (
            float(np.log(end)) if objective.log and end > 0 else -np.inf if objective.log else end
        )
    if isinstance(objective, Integral):
        values = np.asarray(curve(jnp.linspace(t0, t1, objective.points)))
        return float(simpson(objective.points) @ values)
    return None


# === by another solver


def _by_another_solver(
    task: Task, field: AttentionField, starts: Array, rows: dict[str, Row]
) -> dict[str, Any]:
    options = task.options
    implicit = isinstance(options.solver, diffrax.AbstractImplicitSolver)
    other = diffrax.Dopri8()
    if implicit:
        other = (
            diffrax.Kvaerno4()
            if isinstance(options.solver, diffrax.Kvaerno5)
            else diffrax.Kvaerno5()
        )
    elif isinstance(options.solver, diffrax.Dopri8):
        other = diffrax.Tsit5()
    least = 20 * float(jnp.finfo(starts.dtype).eps)
    # An implicit solver's Newton iteration has a floor of its own in flows as stiff as these.
    tighter = _IMPLICIT if implicit else _TIGHTER
    tolerance = max(least, tighter * float(options.rtol + options.atol))
    tight = eqx.tree_at(
        lambda o: (o.solver, o.rtol, o.atol, o.controller, o.dt0),
        options,
        (other, jnp.asarray(tolerance, starts.dtype), jnp.zeros((), starts.dtype), None, None),
        is_leaf=lambda x: x is None,
    )
    some = starts[:_CHECKED]
    after = _evaluate(task, cast_floats(field, starts.dtype), some, tight)
    change = np.abs(np.asarray(after, float) - rows["found"].values[:_CHECKED])
    good = change[np.isfinite(change)]
    return {
        "solver": type(other).__name__,
        "tolerance": tolerance,
        "starts": len(some),
        "failed": len(some) - len(good),
        "largest change": float(np.max(good)) if len(good) else None,
    }


def _mean(x: np.ndarray) -> tuple[float | None, float | None]:
    if not len(x):
        return None, None
    return float(x.mean()), float(x.std(ddof=1) / len(x) ** 0.5) if len(x) > 1 else None


def _number(value: float | None, width: int) -> str:
    return f"{'' if value is None else format(value, '.4g'):>{width}}"
