"""Schedules of many systems at once, the batch last: each number computed once."""

import functools
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..core.elementary import sin
from ..schedules import AbstractSchedule, Constant, Modulated, Scaled, Sinusoid


def settle(x: Array) -> Array:
    """`x`, computed once and stored, although what uses it would fuse it in and compute it again.

    XLA's CPU compiler fuses an exponential into each sum that uses it and evaluates it there anew,
    and it removes optimisation barriers. A conditional it cannot decide makes it store its operand;
    the predicate is true of any bits.
    """
    first = x[(0,) * x.ndim]
    unsigned = jnp.uint64 if x.dtype.itemsize == 8 else jnp.uint32
    true = (jax.lax.bitcast_convert_type(first, unsigned) | unsigned(1)) != 0
    return jax.lax.cond(true, lambda x: x, jnp.zeros_like, x)


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def sums(terms: tuple[Array, ...], axis: int) -> tuple[Array, ...]:
    """The sum of each of some arrays of one shape along an axis, in one loop, and stored.

    XLA makes one loop of a reduction of several operands, computes what they share once, and fuses no
    later loop with it.
    """
    shape = jnp.broadcast_shapes(*(x.shape for x in terms))
    terms = tuple(jnp.broadcast_to(x, shape) for x in terms)
    zero = jnp.zeros((), terms[0].dtype)
    return tuple(jax.lax.reduce(terms, (zero,) * len(terms), added, (axis,)))


@sums.defjvp
def _(axis, primals, tangents):
    shape = jnp.broadcast_shapes(*(x.shape for x in primals[0]))
    along = tuple(jnp.sum(jnp.broadcast_to(x, shape), axis=axis) for x in tangents[0])
    return sums(primals[0], axis), along


def added(a: tuple[Array, ...], b: tuple[Array, ...]) -> tuple[Array, ...]:
    """The sums of the pairs."""
    return tuple(x + y for x, y in zip(a, b, strict=True))


def differs(part: Any) -> bool:
    """Whether some leaf of this part of the axes differs from system to system."""
    return bool(jax.tree.leaves(part))


def by_system(get: Callable[[Any], Array], tree: Any, axes: Any) -> Array:
    """An array of `tree`, the batch last; of length one where it is the same for all."""
    if not differs(axes):
        return get(tree)[..., None]
    return eqx.filter_vmap(get, in_axes=(axes,), out_axes=-1)(tree)


def at_times(schedule: AbstractSchedule, axes: Any, t: Float[Array, " batch"], dtype: Any) -> Array:
    """What a schedule is at each system's time, `(*shape, batch)`, or `(*shape, 1)` where it is one for all.

    Under `vmap` XLA fuses a sine into each entry of the matrix that it multiplies, and computes it there,
    one number at a time. Of schedules made of sinusoids the parts are stored here one by one.
    """
    if isinstance(schedule, Constant) and schedule.is_constant() and not differs(axes):
        return schedule(t[0]).astype(dtype)[..., None]
    if type(schedule) is Sinusoid:
        A, omega, phase = (
            by_system(lambda s, name=name: getattr(s, name).astype(dtype), schedule, axes)
            for name in ("amplitude", "omega", "phase")
        )
        value = _product(A, sin(_sum(_product(omega, t), phase)))
        return settle(jnp.abs(value) if schedule.rectified else value)
    if type(schedule) is Modulated and schedule.left is None:
        D = at_times(schedule.diagonal, axes.diagonal, t, dtype)
        matrix = by_system(lambda s: s.matrix.astype(dtype), schedule, axes)
        return _product(D[..., None, :], matrix)
    if type(schedule) is Scaled:
        c = at_times(schedule.coefficient, axes.coefficient, t, dtype)
        values = at_times(schedule.schedule, axes.schedule, t, dtype)
        if c.ndim == 1:
            return _product(c, values)
        if values.ndim in (3, 4):  # a number for each head, and matrices
            return _product(c[:, None, None], values)
    each = eqx.filter_vmap(lambda s, t: s(t), in_axes=(axes, 0), out_axes=-1)
    return settle(each(schedule, t).astype(dtype))


def _aligned(a: Array, b: Array) -> tuple[Array, Array]:
    rank = max(a.ndim, b.ndim)
    return a.reshape((1,) * (rank - a.ndim) + a.shape), b.reshape((1,) * (rank - b.ndim) + b.shape)


def _product(a: Array, b: Array) -> Array:
    a, b = _aligned(a, b)
    return a * b


def _sum(a: Array, b: Array) -> Array:
    a, b = _aligned(a, b)
    return a + b
