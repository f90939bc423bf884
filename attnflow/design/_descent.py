"""Steps along the gradient: one compiled program for all restarts, which skips what is not finite."""

import math
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Int, Key

from ..core.compiled import compiled
from ..flow import Options
from ._objectives import AbstractObjective, collected
from ._resume import Checkpoint
from ._trainable import Model
from ._values import values

SKIPPED = 10  # steps in a row that moved no restart
STEPS, JUDGED = 1, 2  # what the key is folded with: fresh starts, and those that say which is best


class Task(eqx.Module):
    """What is made small: `sign` times the objective, collected over starts.

    **Attributes:**

    - `rest`: the searched schedules without their free numbers, with a leading axis of restarts.
    - `chunk`, `lanes`: how starts are worked, as `values` takes them.
    """

    objective: AbstractObjective
    model: Model
    rest: Any
    options: Options
    risk: Any
    sign: Float[Array, ""]
    chunk: int = eqx.field(static=True)
    lanes: bool = eqx.field(static=True)

    def each(self, free: Any, rest: Any, starts: Array) -> Float[Array, " n"]:
        """The objective, as it is, from each start; NaN where the run failed."""
        field = self.model(eqx.combine(free, rest))
        return values(self.objective, field, starts, self.options, self.chunk, self.lanes)

    def loss(self, free: Any, rest: Any, starts: Array, counts: Array) -> tuple[Array, Array]:
        """What is made small, and the objective from each start."""
        values = self.each(free, rest, starts)
        good = counts & jnp.isfinite(values)
        return collected(self.risk, self.sign.astype(values.dtype) * values, good), values

    def over(self, function: Any, *arguments: Any, starts: int) -> Any:
        """`function` over the leading axis of all its arguments, each of which runs from so many starts.

        One after another where starts go through lanes: under a `vmap` lanes would wait for one another.
        """
        rows = jax.tree.leaves(arguments)[0].shape[0]
        if self.lanes and starts > self.chunk and rows > 1:
            return jax.lax.map(lambda row: function(*row), arguments)
        return each_restart(function)(*arguments)


class State(eqx.Module):
    """Where a search by gradient stands; every array has a leading axis of restarts.

    `best` are the numbers under which the fewest runs failed (`lost`), and of those with the least loss.
    """

    free: Any
    memory: Any
    best: Any
    least: Float[Array, "*restarts"]
    lost: Int[Array, "*restarts"]


class Step(eqx.Module):
    """What one step found, by restart."""

    loss: Float[Array, "*restarts"]
    norm: Float[Array, "*restarts"]
    fine: Bool[Array, "*restarts n"]
    taken: Bool[Array, "*restarts"]


def begin(optimiser: optax.GradientTransformation, free: Any) -> State:
    """The state before the first step."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        memory = each_restart(optimiser.init)(free)
    leaf = jax.tree.leaves(free)[0]
    worst = jnp.full(leaf.shape[0], jnp.inf, leaf.dtype)
    return State(free, memory, free, worst, jnp.full(leaf.shape[0], 2**30, jnp.int32))


class SearchProblem(eqx.Module):
    """A task, its starts, and for how long: all that a search is but its optimiser."""

    task: Task
    fixed: Float[Array, "n tokens dim"] | None
    sampler: Any
    number: int = eqx.field(static=True)
    key: Key[Array, ""]
    steps: int = eqx.field(static=True)
    patience: int | None = eqx.field(static=True)
    first_rate: Float[Array, ""] | None

    def rate(self, k: int) -> Array:
        """The factor of step `k`'s updates: along a cosine to zero, or one for an optimiser of the user's."""
        if self.first_rate is None:
            return jnp.ones((), self.task.sign.dtype)
        return self.first_rate * (0.5 * (1 + math.cos(math.pi * k / self.steps)))

    def starts(self, k: int) -> Array:
        """The starts of step `k`."""
        if self.fixed is not None:
            return self.fixed
        return draw(self.sampler, jr.fold_in(self.key, STEPS), jnp.asarray(k), self.number)

    def judging(self) -> Array:
        """The starts that say which numbers are best."""
        if self.fixed is not None:
            return self.fixed
        return draw(self.sampler, jr.fold_in(self.key, JUDGED), jnp.asarray(0), self.number)

    def judges(self, k: int) -> bool:
        """Whether the numbers after `k` steps are judged: each step's own starts do it where they are fixed."""
        every = 1 if self.fixed is not None else max(1, self.steps // 20)
        return k == self.steps or (self.fixed is None and k % every == 0)


def descent(
    problem: SearchProblem,
    optimiser: Any,
    free: Any,
    store: Checkpoint,
    callback: Callable[[Any], None],
) -> tuple[Any, np.ndarray, str]:
    """All the steps: the best numbers of each restart, their losses, and why it ended."""
    task, history = problem.task, store.history
    state = begin(optimiser, free)
    judging, judged = problem.judging(), problem.fixed is not None
    done, state = store.resume(state)
    if done == 0 and not judged:
        state, _ = judge(task, state, judging)
    reason = f"all {problem.steps} steps were taken"
    for k in range(done, problem.steps):
        if history.stalled(problem.patience):
            reason = f"no better for {problem.patience} steps"
            break
        if history.stuck(SKIPPED):
            reason = f"{SKIPPED} steps in a row had no finite gradient"
            break
        before, starts = state, problem.starts(k)
        restarts = state.least.shape[0]
        many = jnp.broadcast_to(starts[None], (restarts, *starts.shape))
        counts = jnp.ones(many.shape[:2], bool)
        rate = problem.rate(k)
        state, step = descend(task, optimiser, before, many, counts, rate, judged)
        fine, taken = np.asarray(step.fine), np.asarray(step.taken)
        if not taken.all() and not fine.all():
            replacement, counts = replaced(many, fine)
            state, step = descend(task, optimiser, before, replacement, counts, rate, judged)
            fine, taken = fine & np.asarray(step.fine), np.asarray(step.taken)
        if problem.judges(k + 1):
            state, _ = judge(task, state, judging)
        history.add(
            loss=np.asarray(step.loss),
            norm=np.asarray(step.norm),
            least=np.asarray(state.least),
            failed=(~fine).sum(axis=1),
            skipped=~taken,
        )
        store.save(k + 1, state)
        callback(history)
    return state.best, np.asarray(state.least), reason


@compiled
def descend(
    task: Task,
    optimiser: Any,
    state: State,
    starts: Array,
    counts: Array,
    rate: Array,
    judged: bool,
) -> tuple[State, Step]:
    """One step of every restart. Where loss or gradient is not finite the restart stays where it is.

    **Arguments:**

    - `starts`: `(restarts, n, tokens, dim)`.
    - `counts`: Booleans `(restarts, n)`, which starts count.
    - `rate`: a factor of the optimiser's updates.
    - `judged`: whether the loss on these starts says which numbers are best, as it does where starts
      stay the same.
    """

    def one(free, memory, best, least, lost, rest, starts, counts):
        value_and_grad = jax.value_and_grad(task.loss, has_aux=True)
        (loss, losses), gradient = value_and_grad(free, rest, starts, counts)
        norm = jnp.sqrt(sum(jnp.sum(jnp.square(g)) for g in jax.tree.leaves(gradient)))
        taken = jnp.isfinite(loss) & jnp.isfinite(norm)
        with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
            updates, after = optax.with_extra_args_support(optimiser).update(
                gradient,
                memory,
                free,
                value=loss,
                grad=gradient,
                value_fn=lambda x: task.loss(x, rest, starts, counts)[0],
            )
            updates = jax.tree.map(lambda u: u * rate.astype(u.dtype), updates)
            moved = optax.apply_updates(free, updates)
        keep = lambda new, old: jnp.where(taken, new, old)  # noqa: E731
        fine = jnp.isfinite(losses) | ~counts
        failed = jnp.sum(~(jnp.isfinite(losses) & counts)).astype(lost.dtype)
        better = judged & taken & _is_better(loss, failed, least, lost)
        state = State(
            jax.tree.map(keep, moved, free),
            jax.tree.map(keep, after, memory),
            jax.tree.map(lambda new, old: jnp.where(better, new, old), free, best),
            jnp.where(better, loss, least),
            jnp.where(better, failed, lost),
        )
        return state, Step(loss, norm.astype(loss.dtype), fine, taken)

    rows = (
        state.free,
        state.memory,
        state.best,
        state.least,
        state.lost,
        task.rest,
        starts,
        counts,
    )
    return task.over(one, *rows, starts=starts.shape[1])


def _is_better(loss: Array, failed: Array, least: Array, lost: Array) -> Array:
    return (failed < lost) | ((failed == lost) & (loss < least))


@compiled
def judge(task: Task, state: State, starts: Array) -> tuple[State, Array]:
    """The loss of every restart's present numbers on the same starts, kept where it is the least so far.

    **Arguments:**

    - `starts`: `(n, tokens, dim)`.

    **Returns:**

    The state, and the losses.
    """

    def one(free, best, least, lost, rest):
        loss, losses = task.loss(free, rest, starts, jnp.ones(starts.shape[0], bool))
        failed = jnp.sum(~jnp.isfinite(losses)).astype(lost.dtype)
        better = jnp.isfinite(loss) & _is_better(loss, failed, least, lost)
        best = jax.tree.map(lambda new, old: jnp.where(better, new, old), free, best)
        return best, jnp.where(better, loss, least), jnp.where(better, failed, lost), loss

    rows = (state.free, state.best, state.least, state.lost, task.rest)
    best, least, lost, loss = task.over(one, *rows, starts=starts.shape[0])
    return State(state.free, state.memory, best, least, lost), loss


@compiled
def draw(sampler: Any, key: Key[Array, ""], k: Array, number: int) -> Array:
    """The starts of step `k`: `(number, tokens, dim)`."""
    keys = jr.split(jr.fold_in(key, k), number)
    return jax.vmap(sampler)(keys)


def replaced(starts: Array, fine: np.ndarray) -> tuple[Array, Array]:
    """Failed starts replaced by the first one that did not fail, and which of all then count.

    A derivative that is not finite stays so however little its start counts: it must not be run.
    """
    first = np.argmax(fine, axis=1)
    at = np.where(fine, np.arange(fine.shape[1])[None], first[:, None])
    return jnp.take_along_axis(starts, jnp.asarray(at)[:, :, None, None], axis=1), jnp.asarray(fine)


def each_restart(function: Any) -> Any:
    """`function` over the leading axis of restarts of all its arguments; no batching for a single one."""

    def over(*arguments):
        if jax.tree.leaves(arguments)[0].shape[0] > 1:
            return jax.vmap(function)(*arguments)
        alone = jax.tree.map(lambda a: a[0], arguments)
        return jax.tree.map(lambda a: jnp.asarray(a)[None], function(*alone))

    return over
