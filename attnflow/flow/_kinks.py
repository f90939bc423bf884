"""The kinks of a field's schedules, where they are few enough for steps to end at."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from ..model import AttentionField
from ..schedules import Kinks, KnownKinks

_MOST = 64  # beyond this many entries, stopping at every kink costs more than it saves


def stops_at_kinks(field: AttentionField) -> bool:
    """Whether every kink of the field's schedules can be stepped to."""
    return _few(_known(field))


def has_many_kinks(field: AttentionField) -> bool:
    """Whether the schedules have kinks that steps cannot end at."""
    known = _known(field)
    return known != () and not _few(known)


def _known(field: AttentionField) -> KnownKinks:
    """The kinks, with shapes for numbers where those of the field are shapes, as in an ensemble's plan."""
    if any(isinstance(leaf, jax.ShapeDtypeStruct) for leaf in jax.tree.leaves(field)):
        return eqx.filter_eval_shape(lambda field: field.kinks, field)
    return field.kinks


def _few(known: KnownKinks) -> bool:
    """Whether each can be stepped to: a rule is known, and it is not of many entries."""
    return known != "anywhere" and known != () and sum(k.size for k in known) <= _MOST


def kinks_of(field: AttentionField, dtype) -> Kinks | None:
    """The kinks of the field's schedules, where they are few enough to be stepped to."""
    known = field.kinks
    if known == "anywhere" or not _few(known):
        return None
    pairs = [jnp.broadcast_arrays(*_same_rank(k.omega, k.phase)) for k in known]
    omega, phase = (
        jax.lax.stop_gradient(jnp.concatenate([pair[k].ravel() for pair in pairs]).astype(dtype))
        for k in (0, 1)
    )
    return Kinks(omega, phase)


def _same_rank(*arrays: Array) -> list[Array]:
    rank = max(a.ndim for a in arrays)
    return [a.reshape((1,) * (rank - a.ndim) + a.shape) for a in arrays]
