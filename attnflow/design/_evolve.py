"""Search without gradients: CMA-ES by the package `cma`, its population run side by side."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array

from ..core.checks import check, floating, whole
from ..core.compiled import compiled
from ..core.types import Scalar
from ._descent import SearchProblem, Task
from ._resume import Checkpoint

_MOST_TRIES = 10**6  # of a step: all of them run side by side

_SEEDS = 3  # what the key is folded with


class Evolution:
    """CMA-ES (Hansen, *The CMA evolution strategy: a tutorial*, 2016), as an optimiser of `optimise`.

    For objectives without a useful gradient: hardmax attention, counts, anything that jumps. Some
    hundred free numbers are its reach: with `n` of them it works matrices of `n x n`. Needs the
    extra `attnflow[search]`.

    **Arguments:**

    - `sigma`: the standard deviation that it begins with, in units of the free numbers.
    - `population`: tries a step, run side by side; `4 + 3 log n` unless given.
    """

    def __init__(self, sigma: Scalar = 0.5, population: int | None = None):
        first = floating("sigma", sigma)
        self.sigma: float = float(
            check(first, lambda s: ~(s > 0), "`sigma` must be positive; got zero or less.")
        )
        if population is not None:
            population = whole("population", population, least=4, most=_MOST_TRIES)
        self.population = population

    def __repr__(self) -> str:
        return f"Evolution(sigma={self.sigma:g}, population={self.population})"

    __str__ = __repr__


def evolve(
    problem: SearchProblem,
    evolution: Evolution,
    free: Any,
    store: Checkpoint,
    callback: Callable[[Any], None],
) -> tuple[Any, np.ndarray, str]:
    """All the steps: the best numbers, their loss, and why it ended."""
    cma = _cma()
    task, history = problem.task, store.history
    if history.restarts > 1:
        raise ValueError(
            f"`restarts` must be 1 with Evolution, whose population is what runs side by side; got "
            f"{history.restarts}."
        )
    begin, unravel = ravel_pytree(jax.tree.map(lambda x: x[0], free))
    unravel = jax.tree_util.Partial(unravel)
    rng = np.random.default_rng(np.asarray(jr.key_data(jr.fold_in(problem.key, _SEEDS))))
    options = {"seed": np.nan, "randn": lambda *size: rng.standard_normal(size), "verbose": -9}
    options |= {"tolfun": 0, "tolfunhist": 0, "tolx": 0, "tolstagnation": 10**9, "maxiter": np.inf}
    if evolution.population is not None:
        options["popsize"] = evolution.population
    strategy = cma.CMAEvolutionStrategy(np.asarray(begin, float), evolution.sigma, options)

    # The strategy is not kept: it is told again what each of its tries came to.
    size = strategy.popsize
    state = {
        "told": np.zeros((problem.steps, size)),
        "best": np.asarray(begin),
        "least": np.full(1, np.inf),
    }
    done, state = store.resume(state)
    state = {name: np.array(value) for name, value in state.items()}
    for ranked in state["told"][:done]:
        strategy.tell(strategy.ask(), list(ranked))
    judging, judged = problem.judging(), problem.fixed is not None
    reason = f"all {problem.steps} steps were taken"
    for k in range(done, problem.steps):
        if history.stalled(problem.patience):
            reason = f"no better for {problem.patience} steps"
            break
        if history.stuck(10):
            reason = "10 steps in a row had no finite value"
            break
        tries = strategy.ask()
        rows = jnp.asarray(np.stack(tries), begin.dtype)
        losses, fine = (np.asarray(x) for x in _losses(task, unravel, rows, problem.starts(k)))
        good = np.isfinite(losses)
        if good.any():
            # A try that failed is told as worse than the worst of the others.
            ranked = np.where(good, losses, np.max(losses[good]) + 1 + abs(np.max(losses[good])))
            at = int(np.argmin(ranked))
            if judged:
                _keep(state, np.asarray(rows[at]), losses[at] if fine[at].all() else np.inf)
        else:
            ranked = np.zeros(size)  # tells nothing: the tries are drawn anew
            at = 0
        strategy.tell(tries, list(ranked))
        state["told"][k] = ranked
        if problem.judges(k + 1):
            mean = jnp.asarray(strategy.mean, begin.dtype)
            rows = jnp.stack([mean, rows[at]])
            losses_of, fine_of = (np.asarray(x) for x in _losses(task, unravel, rows, judging))
            for row, loss, all_fine in zip(rows, losses_of, fine_of, strict=True):
                _keep(state, np.asarray(row), loss if all_fine.all() else np.inf)
        history.add(
            loss=losses[at : at + 1],
            norm=np.full(1, np.nan),
            least=state["least"],
            failed=np.asarray([(~fine).sum()]),
            skipped=np.asarray([not good.any()]),
        )
        store.save(k + 1, state)
        callback(history)
    best = unravel(jnp.asarray(state["best"], begin.dtype))
    return jax.tree.map(lambda x: x[None], best), state["least"], reason


def _keep(state: dict[str, np.ndarray], row: np.ndarray, loss: float) -> None:
    if loss < state["least"][0]:
        state["best"], state["least"] = row, np.asarray([float(loss)])


@compiled
def _losses(task: Task, unravel: Any, rows: Array, starts: Array) -> tuple[Array, Array]:
    """The loss of each row of free numbers, and which starts' runs were fine."""
    rest = jax.tree.map(lambda x: x[0], task.rest)
    counts = jnp.ones(starts.shape[0], bool)

    def one(row):
        loss, losses = task.loss(unravel(row), rest, starts, counts)
        return loss, jnp.isfinite(losses)

    return task.over(one, rows, starts=starts.shape[0])


def _cma() -> Any:
    try:
        import cma
    except ImportError as error:
        raise ImportError(
            'CMA-ES needs the package cma: pip install "attnflow[search]".'
        ) from error
    return cma
