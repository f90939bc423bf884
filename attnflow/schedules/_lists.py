"""Lists of times and frequencies of several schedules together."""

from collections.abc import Sequence

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float


def fastest(*schedules: eqx.Module) -> Float[Array, ""] | None:
    """The largest of the schedules' frequencies, which is that of their sum; `None` where none has any."""
    frequencies = _frequencies(schedules)
    return None if frequencies is None else jnp.max(frequencies)


def of_product(*schedules: eqx.Module) -> Float[Array, ""] | None:
    r"""The frequency of the schedules' product, the sum of theirs; `None` where none has any.

    $2\sin a\,\sin b = \cos(a-b) - \cos(a+b)$: a product moves as fast as its factors together.
    """
    frequencies = _frequencies(schedules)
    return None if frequencies is None else jnp.sum(frequencies)


def _each(schedules: Sequence[eqx.Module], name: str) -> list[Array | None]:
    return [getattr(schedule, name) for schedule in schedules]


def _frequencies(schedules: Sequence[eqx.Module]) -> Float[Array, " known"] | None:
    known = [f for f in _each(schedules, "frequency") if f is not None]
    if not known:
        return None
    return jnp.stack([jnp.asarray(f, jnp.result_type(float)) for f in known])


def all_jumps(*schedules: eqx.Module) -> Float[Array, " jumps"] | None:
    """The jump times of all the schedules together, `None` where none has any."""
    return joined(*_each(schedules, "jump_times"))


def all_breaks(*schedules: eqx.Module) -> Float[Array, " breaks"] | None:
    """The break times of all the schedules together, `None` where none has any."""
    return joined(*_each(schedules, "break_times"))


def joined(*times: Float[Array, "..."] | None) -> Float[Array, " all"] | None:
    """Lists of times as one, `None` where all of them are."""
    known = [t for t in times if t is not None]
    if not known:
        return None
    return jnp.concatenate([jnp.asarray(t, jnp.result_type(float)).ravel() for t in known])
