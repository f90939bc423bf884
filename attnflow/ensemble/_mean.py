"""`mean`: an average over trajectories that can be differentiated, in the memory of one chunk."""

from collections.abc import Callable
from types import FunctionType
from typing import Any, Unpack

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Key, Real

from ..core.callables import as_module
from ..core.checks import floating, whole
from ..core.compiled import compiled
from ..core.recognised import recognised
from ..core.types import Functions, PyTree, Scalar
from ..flow import (
    Integrator,
    IntegratorOptions,
    Solution,
    forward_mode_named,
    make_options,
    merged,
    simulate,
    sort_options,
)
from ..model import AttentionField
from ._starts import GivenStarts, Recipe, Starts, gather_starts

_CHUNK = 32


class MeanOptions(IntegratorOptions, total=False):
    """The keywords of [`mean`][attnflow.ensemble.mean] that are those of [`simulate`][]."""

    t0: Scalar
    ts: Real[ArrayLike, " n"] | None
    observe: Functions | None
    event: Functions | diffrax.Event | None
    dense: bool
    args: object


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

    Trajectories are worked chunk by chunk. The gradient works each chunk anew and then backwards, so
    that memory is that of one chunk: it does not grow with the number of trajectories, and with the
    default adjoint it stops growing with the number of steps. Works under `jit`, with
    `eqx.filter_value_and_grad`, and in forward mode with `adjoint=diffrax.ForwardMode()`.

    **Arguments:**

    - `objective`: a function of a [`Solution`][] giving a number, or a pytree of arrays.
    - `field`, `starts`, `field_axes`, `number`, `key`: as in [`run`][attnflow.ensemble.run]. `starts`
      may be traced.
    - `t1`, `integrator` and `options`: as in [`simulate`][]: `ts`, `rtol`, `observe`, `event`, ...
    - `chunk`: trajectories worked at a time, in step with each other: each waits for the slowest of its
      chunk.

    Which adjoint (`benchmarks/results/ensembles-cpu.json` has the figures): the default,
    `diffrax.RecursiveCheckpointAdjoint`, is exact for the steps taken; `ForwardMode` for fewer parameters
    than about ten; `BacksolveAdjoint` needs the least memory and integrates the flow backwards, which
    is unstable where tokens come together.

    **Returns:**

    The mean, shaped as what `objective` gives. A trajectory that fails makes it NaN: nothing is left out
    unseen.

    **Raises:**

    `ValueError` and `TypeError` as `run` and `simulate` do.

    ```python
    def late(field):
        return af.ensemble.mean(lambda sol: sol.ys["E"][-1], field, starts, t1=20.0,
                                observe={"E": af.misalignment})
    value, gradient = compiled(eqx.filter_value_and_grad(late))(field)
    ```
    """
    # === check arguments
    many = gather_starts(field, starts, field_axes, number, key)
    chunk = None if chunk is None else whole("chunk", chunk)
    chunk = min(many.number, _CHUNK if chunk is None else chunk)
    own, rest = sort_options("ensemble.mean", options, MeanOptions)
    integrator = merged(integrator, own)
    how, adjoint = _checked(many, integrator, {"t1": t1, **rest})

    # === run
    chunks = -(-many.number // chunk)
    numbers = jnp.arange(chunks * chunk, dtype=jnp.int32).reshape(chunks, chunk)
    data = jax.tree.map(jnp.asarray, many.data)
    with forward_mode_named(adjoint):
        return _mean(
            as_module("objective", objective), many.recipe, data, numbers, many.number, how
        )


def _checked(
    many: Starts, integrator: Integrator, rest: dict[str, Any]
) -> tuple[dict[str, Any], diffrax.AbstractAdjoint]:
    """The options of `simulate`, refused here where they are known, as what a compiled program takes.

    Numbers as arrays, so that others are not compiled for; of functions that do the same the first.
    """
    first = jax.tree.map(lambda a: a[0], many.data)
    example, _ = eqx.filter_eval_shape(many.recipe, jnp.zeros((), jnp.int32), first)
    made = make_options(example, many.shape, many.dtype, integrator, **rest)
    numbers = ("t0", "t1", "ts")
    how = {n: floating(n, v) if n in numbers else v for n, v in rest.items() if v is not None}
    how["integrator"] = integrator
    how = jax.tree.map(lambda x: recognised(x) if isinstance(x, FunctionType) else x, how)
    return how, made.adjoint


@compiled
def _mean(
    objective: Any, recipe: Recipe, data: Any, numbers: Array, count: int, options: dict[str, Any]
) -> Any:
    def one(recipe, number, own):
        one_field, y0 = recipe(number, own)
        solution = simulate(one_field, y0, throw=False, **options)
        fine = (solution.result == diffrax.RESULTS.successful) | (
            solution.result == diffrax.RESULTS.event_occurred
        )
        fine &= jnp.all(jnp.isfinite(solution.y1))
        return jax.tree.map(lambda v: _or_nan(v, fine), objective(solution))

    def total(recipe, data, numbers):
        # The last chunk is filled up with trajectories that count for nothing.
        counts = numbers < count
        at = jnp.minimum(numbers, count - 1)
        own = jax.tree.map(lambda a: a[at], data)
        values = eqx.filter_vmap(one, in_axes=(None, 0, 0))(recipe, at, own)
        return jax.tree.map(lambda v: jnp.sum(jnp.where(_as(counts, v), v, 0), axis=0), values)

    if numbers.shape[0] > 1:  # one alone has nothing to forget
        total = eqx.filter_checkpoint(total)
    like = eqx.filter_eval_shape(total, recipe, data, numbers[0])

    def add(sums, numbers):
        return jax.tree.map(jnp.add, sums, total(recipe, data, numbers)), None

    zero = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), like)
    sums, _ = jax.lax.scan(add, zero, numbers)
    return jax.tree.map(lambda s: s / np.asarray(count, s.dtype), sums)


def _or_nan(value: Any, fine: Array) -> Array:
    value = jnp.asarray(value)
    if not jnp.issubdtype(value.dtype, jnp.floating):
        value = value.astype(jnp.result_type(float))
    return jnp.where(fine, value, jnp.nan)


def _as(flags: Array, value: Array) -> Array:
    return flags.reshape(flags.shape + (1,) * (value.ndim - 1))
