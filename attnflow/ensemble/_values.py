"""`values`: a number of every trajectory that can be differentiated, of which any summary can be made."""

from collections.abc import Callable
from typing import Any, Unpack

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Key

from ..core.callables import as_module
from ..core.checks import whole
from ..core.compiled import compiled
from ..core.types import PyTree, Scalar
from ..flow import Integrator, Solution, forward_mode_named, merged, sort_options
from ..model import AttentionField
from ._backwards import OfEach
from ._mean import CHUNK, MeanOptions, checked_options, one
from ._starts import GivenStarts, Recipe, gather_starts
from ._sums import summed


def values(
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
    r"""`objective(solution)` of every trajectory, to be differentiated: $J(s_1), \dots, J(s_N)$.

    Of these any smooth summary can be made and differentiated: a standard deviation, the mean over the worst, a
    mean of times of events over those trajectories that had one. Lanes, memory and threads are those of
    [`mean`][attnflow.ensemble.mean], which takes one run less where the mean is all that is asked for: here a
    gradient is worked backwards when its cotangents are known, after another run forwards.

    Quantiles and counts (`Quantiles`, `Histogram`, `Survival` of `run`) jump, and have no derivative of use.

    **Arguments:**

    As for [`mean`][attnflow.ensemble.mean].

    **Returns:**

    What `objective` gives, with a leading axis of trajectories, in the order of starts. NaN for one that failed.

    **Raises:**

    `ValueError` and `TypeError` as `run` and `simulate` do.

    ```python
    def spread(field):
        times = af.ensemble.values(lambda sol: sol.t1, field, starts, t1=100.0, event=af.consensus(1e-2))
        return jnp.std(times)
    value, gradient = eqx.filter_value_and_grad(spread)(field)
    ```
    """
    # === check arguments
    many = gather_starts(field, starts, field_axes, number, key)
    chunk = None if chunk is None else min(many.number, whole("chunk", chunk))
    own, rest = sort_options("ensemble.values", options, MeanOptions)
    integrator = merged(integrator, own)
    how, made = checked_options(many, integrator, {"t1": t1, **rest})
    function = as_module("objective", objective)

    # === by lanes that refill
    with forward_mode_named(made.adjoint):
        found = summed(OfEach(function, many.number), many, made, integrator.adjoint, chunk)
        if found is not None:
            return found

    # === side by side, where runs cannot be worked by lanes
    chunk = min(many.number, CHUNK if chunk is None else chunk)
    chunks = -(-many.number // chunk)
    numbers = jnp.minimum(jnp.arange(chunks * chunk, dtype=jnp.int32), many.number - 1)
    data = jax.tree.map(jnp.asarray, many.data)
    with forward_mode_named(made.adjoint):
        found = _side_by_side(function, many.recipe, data, numbers.reshape(chunks, chunk), how)
    return jax.tree.map(lambda v: v.reshape(-1, *v.shape[2:])[: many.number], found)


@compiled
def _side_by_side(
    objective: Any, recipe: Recipe, data: Any, numbers: Array, options: dict[str, Any]
) -> Any:
    def of_chunk(recipe, data, numbers):
        own = jax.tree.map(lambda a: a[numbers], data)
        axes = (None, None, None, 0, 0)
        return eqx.filter_vmap(one, in_axes=axes)(objective, options, recipe, numbers, own)

    of_chunk = eqx.filter_checkpoint(of_chunk)
    return jax.lax.map(lambda numbers: of_chunk(recipe, data, numbers), numbers)
