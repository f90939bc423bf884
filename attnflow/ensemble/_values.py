"""`values`: a number of every trajectory that can be differentiated, of which any summary can be made."""

from collections.abc import Callable
from typing import Any, Unpack

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Key

from ..core.compiled import compiled
from ..core.types import PyTree, Scalar
from ..flow import Integrator, Solution, forward_mode_named
from ..model import AttentionField
from ._backwards import OfEach
from ._mean import MeanOptions, checked, one
from ._starts import GivenStarts, Recipe


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
    asked = checked(
        "ensemble.values", objective, field, starts, t1, field_axes, number, key, chunk, integrator, options
    )  # fmt: skip
    count = asked.many.number
    with forward_mode_named(asked.made.adjoint):
        each = asked.by_lanes(OfEach(asked.function, count))
        if each is None:
            numbers, data = asked.side_by_side()
            numbers = jnp.minimum(numbers, count - 1)
            each = _side_by_side(asked.function, asked.many.recipe, data, numbers, asked.how)
            each = jax.tree.map(lambda v: v.reshape(-1, *v.shape[2:])[:count], each)
        return each


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
