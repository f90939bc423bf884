"""`mean`: an average over trajectories that can be differentiated, in the memory of one chunk."""

from collections.abc import Callable
from types import FunctionType
from typing import Any, NamedTuple, Unpack

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Key, Real

from ..core.callables import as_module
from ..core.checks import floating, instance, whole
from ..core.compiled import compiled
from ..core.recognised import recognised
from ..core.types import Functions, PyTree, Scalar
from ..flow import (
    Integrator,
    IntegratorOptions,
    Noise,
    Options,
    Solution,
    forward_mode_named,
    make_options,
    merged,
    simulate,
    sort_options,
)
from ..model import AttentionField
from ._backwards import Objective, or_nan
from ._starts import GivenStarts, Recipe, Starts, gather_starts
from ._sums import summed

CHUNK = 32


class MeanOptions(IntegratorOptions, total=False):
    """The keywords of [`mean`][attnflow.ensemble.mean] that are those of [`simulate`][]."""

    t0: Scalar
    ts: Real[ArrayLike, " n"] | None
    observe: Functions | None
    event: Functions | diffrax.Event | None
    dense: bool
    args: object
    noise: Noise | None


def mean(
    objective: Callable[[Solution], PyTree[ArrayLike]],
    field: AttentionField,
    starts: GivenStarts,
    *,
    t1: Scalar,
    field_axes: object = None,
    number: int | None = None,
    key: Key[Array, ""] | None = None,
    chunk: int | None = None,
    integrator: Integrator | None = None,
    **options: Unpack[MeanOptions],
) -> PyTree[Array]:
    r"""The mean of `objective(solution)` over trajectories, to be differentiated.

    $$\bar J = \frac1N \sum_{i=1}^N J(s_i), \qquad s_i = \mathtt{simulate}(\mathrm{field}_i, y_i(0))$$

    Trajectories go through lanes that refill, as in [`run`][attnflow.ensemble.run], a group of them after
    another. The gradient in reverse mode goes backwards through the steps that were taken, kept on a tape of fixed
    length (64 MB at most); what has no room on it is worked again from lanes kept on the way. So memory grows
    neither with the number of trajectories nor with that of steps. Times of steps count as constants, those of
    events, `t0` and `t1` do not. The mean of one number and its gradient are worked together; of several
    numbers each cotangent takes another run forwards.

    Called as it is, groups are shared among the cores. Inside a `jit` of your own they are worked by one
    core, since a compiled program holds no threads of Python: `jax.value_and_grad(late)(field)` alone is faster.
    Sums are added up in the order of groups, and are the same bits whichever thread was first.

    Derivatives in forward mode (`jax.jvp`, `jax.jacfwd`) go along with the lanes, on one core: ask for them with
    `adjoint=diffrax.ForwardMode()`. A direction costs about a run.

    Runs whose steps are not those of one explicit tableau (implicit solvers, `dense`, a `diffrax.Event`, noise), and
    every run with another `adjoint` asked for by name, are a `vmap` of [`simulate`][], chunk by chunk.

    **Arguments:**

    - `objective`: a function of a [`Solution`][] giving a number, or a pytree of arrays.
    - `field`, `starts`, `field_axes`, `number`, `key`, `noise`: as in [`run`][attnflow.ensemble.run]. `starts`
      may be traced. With noise, trajectory $i$ is that of `run`, and the gradient is along its path: by start,
      field and strengths, the increments held.
    - `t1`, `integrator` and `options`: as in [`simulate`][]: `ts`, `rtol`, `observe`, `event`, ...
    - `chunk`: trajectories worked at a time.

    Which adjoint (`benchmarks/results/ensembles-cpu.json` has the figures): none given, the tape, is exact
    for the steps taken, as `diffrax.RecursiveCheckpointAdjoint` is; `ForwardMode` for two or three
    parameters; `BacksolveAdjoint` needs the least memory and integrates the flow backwards, which is unstable where
    tokens come together.

    **Returns:**

    The mean, shaped as what `objective` gives. A trajectory that fails makes it NaN: nothing is left out
    unseen.

    **Raises:**

    `ValueError` and `TypeError` as `run` and `simulate` do.

    ```python
    def late(field):
        return af.ensemble.mean(lambda sol: sol.ys["E"][-1], field, starts, t1=20.0,
                                observe={"E": af.misalignment})
    value, gradient = eqx.filter_value_and_grad(late)(field)
    ```
    """
    asked = checked(
        "ensemble.mean", objective, field, starts, t1, field_axes, number, key, chunk, integrator, options
    )  # fmt: skip
    with forward_mode_named(asked.made.adjoint):
        sums = asked.by_lanes(Objective(asked.function))
        if sums is None:
            numbers, data = asked.side_by_side()
            count = asked.many.number
            return _mean(asked.function, asked.many.recipe, data, numbers, count, asked.how)
        return jax.tree.map(lambda s: s / np.asarray(asked.many.number, s.dtype), sums)


class Asked(NamedTuple):
    """What `mean` and `values` were asked for, checked.

    **Attributes:**

    - `function`, `many`: of which runs, and what of each.
    - `how`, `made`: the options of `simulate`, as a compiled program takes them, and what they amount to.
    - `adjoint`: the one asked for by name, or `None`.
    - `chunk`: trajectories at a time; `None` if it was not said.
    """

    function: Any
    many: Starts
    how: dict[str, Any]
    made: Options
    adjoint: Any
    chunk: int | None

    def by_lanes(self, objective: Objective) -> Any:
        """The sum of an objective by lanes that refill; `None` where they cannot."""
        return summed(objective, self.many, self.made, self.adjoint, self.chunk)

    def side_by_side(self) -> tuple[Array, Any]:
        """The numbers of trajectories, `(chunks, chunk)`, some beyond the last one; and all their data."""
        chunk = min(self.many.number, CHUNK if self.chunk is None else self.chunk)
        chunks = -(-self.many.number // chunk)
        numbers = jnp.arange(chunks * chunk, dtype=jnp.int32).reshape(chunks, chunk)
        return numbers, jax.tree.map(jnp.asarray, self.many.data)


def checked(
    name: str,
    objective: Any,
    field: AttentionField,
    starts: GivenStarts,
    t1: Scalar,
    field_axes: object,
    number: int | None,
    key: Key[Array, ""] | None,
    chunk: int | None,
    integrator: Integrator | None,
    options: Any,
) -> Asked:
    """The arguments of `mean` and `values`, refused here where they are known."""
    own, rest = sort_options(name, options, MeanOptions)
    noise = rest.pop("noise", None)
    if noise is not None:
        instance("noise", noise, Noise, "an attnflow.Noise, such as Noise(independent=0.1)")
    many = gather_starts(field, starts, field_axes, number, key, None, noise)
    chunk = None if chunk is None else min(many.number, whole("chunk", chunk))
    integrator = merged(integrator, own)
    how, made = _checked_options(many, integrator, {"t1": t1, **rest})
    return Asked(as_module("objective", objective), many, how, made, integrator.adjoint, chunk)


def _checked_options(
    many: Starts, integrator: Integrator, rest: dict[str, Any]
) -> tuple[dict[str, Any], Options]:
    """The options of `simulate` as what a compiled program takes, and what is made of them.

    Numbers as arrays, so that others are not compiled for; of functions that do the same the first; the solver that
    goes with the tolerances, which have no value in a program.
    """
    first = jax.tree.map(lambda a: a[0], many.data)
    example, _ = eqx.filter_eval_shape(many.recipe, jnp.zeros((), jnp.int32), first)
    noise = many.recipe.noise
    if noise is not None:
        noise = noise.with_key(jax.random.key(0))  # each has its own
    made = make_options(example, many.shape, many.dtype, integrator, noise=noise, **rest)
    numbers = ("t0", "t1", "ts")
    how = {n: floating(n, v) if n in numbers else v for n, v in rest.items() if v is not None}
    if noise is None and integrator.solver is None:
        integrator = eqx.tree_at(
            lambda i: i.solver, integrator, made.solver, is_leaf=lambda x: x is None
        )
    how["integrator"] = integrator
    how = jax.tree.map(lambda x: recognised(x) if isinstance(x, FunctionType) else x, how)
    return how, made


@compiled
def _mean(
    objective: Any, recipe: Recipe, data: Any, numbers: Array, count: int, options: dict[str, Any]
) -> Any:
    def total(recipe, data, numbers):
        # The last chunk is filled up with trajectories that count for nothing.
        counts = numbers < count
        at = jnp.minimum(numbers, count - 1)
        own = jax.tree.map(lambda a: a[at], data)
        values = eqx.filter_vmap(one, in_axes=(None, None, None, 0, 0))(
            objective, options, recipe, at, own
        )
        return jax.tree.map(lambda v: jnp.sum(jnp.where(_as(counts, v), v, 0), axis=0), values)

    if numbers.shape[0] > 1:  # one alone has nothing to forget
        total = eqx.filter_checkpoint(total)
    like = eqx.filter_eval_shape(total, recipe, data, numbers[0])

    def add(sums, numbers):
        return jax.tree.map(jnp.add, sums, total(recipe, data, numbers)), None

    zero = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), like)
    sums, _ = jax.lax.scan(add, zero, numbers)
    return jax.tree.map(lambda s: s / np.asarray(count, s.dtype), sums)


def one(objective: Any, options: dict[str, Any], recipe: Recipe, number: Array, own: Any) -> Any:
    """An objective of one run by `simulate`; NaN where it failed."""
    one_field, y0, noise = recipe.draw(number, own)
    solution = simulate(one_field, y0, throw=False, noise=noise, **options)
    fine = (solution.result == diffrax.RESULTS.successful) | (
        solution.result == diffrax.RESULTS.event_occurred
    )
    fine &= jnp.all(jnp.isfinite(solution.y1))
    return jax.tree.map(lambda v: or_nan(v, fine), objective(solution))


def _as(flags: Array, value: Array) -> Array:
    return flags.reshape(flags.shape + (1,) * (value.ndim - 1))
