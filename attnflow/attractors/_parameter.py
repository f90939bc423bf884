"""What may stand for the parameter of a field: a function that gives fields, or a leaf of one."""

import inspect
import warnings
from collections.abc import Callable
from types import FunctionType
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ..core.recognised import recognised
from ..model import AttentionField
from ..schedules import AbstractSchedule

Family = Callable[[Array], AttentionField]


class Leaf(eqx.Module):
    """The field whose leaf `where` is the value, or the value times what it was."""

    field: AttentionField
    where: Callable[..., Any]
    times: bool = eqx.field(static=True)

    def __call__(self, value: Array) -> AttentionField:
        was = self.where(self.field)
        now = value * was if self.times else jnp.asarray(value, was.dtype)
        return eqx.tree_at(self.where, self.field, now)


class Changed(eqx.Module):
    """`function(field, value)` for a given field."""

    field: AttentionField
    function: Callable[..., Any]

    def __call__(self, value: Array) -> AttentionField:
        return self.function(self.field, value)


def family_of(field: Any, parameter: Any, start: float | None) -> tuple[Family, float | None]:
    """The field as a function of the value, and the value at which it is `field` itself where that is known."""
    if not callable(parameter):
        raise ValueError(
            "`parameter` must be a function: of the value, that returns an AttentionField; of the field and the "
            f"value; or of the field, that returns a leaf of it; got {type(parameter).__name__}."
        )
    function: Any = parameter
    if isinstance(parameter, FunctionType):
        # A lambda written anew is compiled once. One that cannot be recognised is no worse off than it was.
        with warnings.catch_warnings(action="ignore", category=UserWarning):
            function = recognised(parameter)
    if _positional(parameter) == 2:
        family: Family = Changed(field, function)
        _checked(family, 1.0 if start is None else start)
        return family, start if start is not None else _matched(family, field)
    trial = jnp.asarray(1.0 if start is None else start)
    try:
        made = parameter(trial)
    except (AttributeError, TypeError, ValueError, IndexError) as error:
        made = error
    if isinstance(made, AttentionField):
        return function, start if start is not None else _matched(function, field)
    return _leaf(field, parameter, function, made, start)


def _leaf(
    field: AttentionField, parameter: Callable, function: Callable, made: Any, start: float | None
) -> tuple[Family, float | None]:
    try:
        leaf: Any = parameter(field)
    except (AttributeError, TypeError, ValueError, IndexError) as error:
        why = made if isinstance(made, Exception) else error
        raise ValueError(
            "`parameter` must return an AttentionField from a value, or a leaf from the field; as the first it "
            f"failed with {type(why).__name__}: {why}"
        ) from None
    schedule = isinstance(leaf, AbstractSchedule)
    if not schedule and not any(leaf is other for other in jax.tree.leaves(field)):
        raise ValueError(
            "`parameter` as a selector must return a leaf of the field as it is, such as lambda f: f.scale, or a "
            f"schedule, such as lambda f: f.P; got {type(leaf).__name__}. For an entry or anything computed, "
            "pass a function of the value that returns the field."
        )
    if schedule or np.ndim(np.asarray(leaf)):
        return Leaf(field, function, True), 1.0 if start is None else start
    if not jnp.issubdtype(jnp.result_type(leaf), jnp.floating):
        raise ValueError(f"`parameter` must select real numbers; got {jnp.result_type(leaf)}.")
    return Leaf(field, function, False), float(np.asarray(leaf)) if start is None else start


def _positional(function: Callable) -> int:
    """How many arguments without a default it takes; 1 where that is not known."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return 1
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(p.kind in kinds and p.default is p.empty for p in parameters)


def _checked(family: Family, value: float) -> None:
    made = family(jnp.asarray(value))
    if not isinstance(made, AttentionField):
        raise ValueError(
            f"`parameter` must return an AttentionField; got {type(made).__name__} at the value {value:g}."
        )


def _matched(family: Family, field: AttentionField) -> float | None:
    """The value at which the family gives `field`: Gauss and Newton's method on the leaves; `None` where none is."""
    wanted, shape = _numbers(field)

    def of(value: Array) -> Array | None:
        numbers, other = _numbers(family(value))
        return None if other != shape else numbers

    for first in (1.0, 0.0, -1.0, 10.0):
        value = jnp.asarray(first, wanted.dtype)
        for _ in range(30):
            now = of(value)
            if now is None:
                return None
            rest = np.asarray(wanted - now, np.float64)
            if np.abs(rest).max(initial=0) <= 1e-12 * (
                1 + np.abs(np.asarray(wanted)).max(initial=0)
            ):
                return float(value)
            slope = np.asarray(
                jax.jvp(lambda v: _numbers(family(v))[0], (value,), (jnp.ones_like(value),))[1]
            )
            size = float(slope @ slope)
            if not np.isfinite(size) or size == 0 or not np.all(np.isfinite(rest)):
                break
            value = value + float(slope @ rest) / size
    return None


def _numbers(field: AttentionField) -> tuple[Array, tuple]:
    """All real numbers of a field in one row, and the shapes that they have."""
    leaves = [x for x in jax.tree.leaves(field) if eqx.is_inexact_array(x)]
    row = jnp.concatenate([jnp.ravel(x) for x in leaves])
    return row, tuple(x.shape for x in leaves)
