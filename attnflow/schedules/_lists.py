"""Lists of times and frequencies of several schedules together."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float


def fastest(*schedules: Any) -> Float[Array, ""] | None:
    """The largest of the schedules' frequencies, which is that of their sum; `None` where none has any."""
    found = _frequencies(schedules)
    return None if found is None else jnp.max(found)


def of_product(*schedules: Any) -> Float[Array, ""] | None:
    r"""The frequency of the schedules' product, the sum of theirs; `None` where none has any.

    $2\sin a\,\sin b = \cos(a-b) - \cos(a+b)$: a product moves as fast as its factors together.
    """
    found = _frequencies(schedules)
    return None if found is None else jnp.sum(found)


def _frequencies(schedules: Sequence[Any]) -> Float[Array, " found"] | None:
    found = [f for f in (s.frequency for s in schedules) if f is not None]
    if not found:
        return None
    return jnp.stack([jnp.asarray(f, jnp.result_type(float)) for f in found])


def all_jumps(*schedules: Any) -> Float[Array, " jumps"] | None:
    """The jump times of all the schedules together, `None` where none has any."""
    return joined(*(s.jump_times for s in schedules))


def all_breaks(*schedules: Any) -> Float[Array, " breaks"] | None:
    """The break times of all the schedules together, `None` where none has any."""
    return joined(*(s.break_times for s in schedules))


def joined(*times: Float[Array, "..."] | None) -> Float[Array, " all"] | None:
    """Lists of times as one, `None` where all of them are."""
    found = [t for t in times if t is not None]
    if not found:
        return None
    return jnp.concatenate([jnp.asarray(t, jnp.result_type(float)).ravel() for t in found])
