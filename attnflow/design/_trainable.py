"""Which numbers of a schedule a search may change, and how what it changes is kept within bounds."""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import equinox as eqx
import jax
from jaxtyping import Array, ArrayLike, Float, Real

from .. import schedules
from ..core.checks import check, choose, finite, is_concrete
from ..core.types import PyTree, Scalar
from ..model import AttentionField
from ..schedules import AbstractSchedule, Bounded

# What a search is over: a schedule or array, a dictionary of these, or a module that a function makes a field of.
OneSchedule: TypeAlias = eqx.Module | Real[ArrayLike, "..."]
Searched: TypeAlias = OneSchedule | Mapping[str, OneSchedule]
# Of one schedule, or by name: a number, a number and a norm, a function from schedule to schedule.
OneBound: TypeAlias = Scalar | tuple[Scalar, str] | Callable[..., object] | None
Bounds: TypeAlias = OneBound | Mapping[str, OneBound]
# A function of a leaf, or a tree of Booleans like the schedule.
Trainable: TypeAlias = Callable[[Array], bool] | eqx.Module | Mapping[str, eqx.Module]


def trainable(schedule: PyTree, where: Trainable | None = None) -> PyTree[bool]:
    """A pytree of Booleans like `schedule`: which of its arrays a search changes.

    All floating-point arrays but what a schedule says is never trained (`never_trained`: times, and what
    a constraint is made of) or only if asked (`trained_if_asked`: frequencies). Of those of the library:
    the bound of a `Bounded`, the eigenvalues of a `FixedSpectrum`, the knots of an `Interpolated`, the
    times of a `Piecewise`, the period of a `Periodic`, what a `Function` says of its own; and the
    frequencies of a `Fourier` or `Sinusoid`, which a pytree may choose.

    **Arguments:**

    - `schedule`: a schedule, or any pytree of schedules.
    - `where`: a function of a leaf (such as `eqx.is_inexact_array`), or a pytree of Booleans, which
      says what is chosen among these; all of them unless given.

    **Raises:**

    `ValueError` where `where` names one of those that are not to be changed, or does not fit; without a
    pytree, where a class of your own does not say which of its numbers are times (`never_trained`).

    ```python
    spec = af.search.trainable(schedule)
    spec = eqx.tree_at(lambda s: s.constant, spec, False)   # a Fourier schedule's mean stays
    spec = eqx.tree_at(lambda s: s.omega, spec, True)       # its frequency is searched for as well
    ```
    """
    leaves, structure = jax.tree_util.tree_flatten_with_path(schedule)
    may = [_may(schedule, path) if eqx.is_inexact_array(x) else "never" for path, x in leaves]
    if where is None or (callable(where) and not isinstance(where, eqx.Module)):
        chosen = [True if where is None else bool(where(leaf)) for _, leaf in leaves]
        for (path, _), selected, answer in zip(leaves, chosen, may, strict=True):
            if selected and isinstance(answer, type):
                raise ValueError(_unknown_leaf(answer, path))
        free = [a and answer == "yes" for a, answer in zip(chosen, may, strict=True)]
        return jax.tree.unflatten(structure, free)
    chosen, given = jax.tree.flatten(where)
    if given != structure or not all(isinstance(c, bool) for c in chosen):
        raise ValueError(
            "`trainable` must be a function of a leaf, or a pytree of Booleans like the schedule; "
            "start from attnflow.search.trainable(schedule)."
        )
    for (path, _), selected, answer in zip(leaves, chosen, may, strict=True):
        if selected and answer == "never":
            raise ValueError(
                f"`trainable` may not choose `{jax.tree_util.keystr(path)}`, which is no free number "
                "or what a constraint is made of; leave it False."
            )
    return jax.tree.unflatten(structure, chosen)


def _may(root: Any, path: Any) -> str | type:
    """What the schedules that a leaf is inside say of it; the class, where the innermost does not say."""
    node, answer, on_request = root, "yes", False
    for key in path:
        name = getattr(key, "name", None)
        if name is None:
            node = node[getattr(key, "idx", getattr(key, "key", None))]
            continue
        if isinstance(node, AbstractSchedule):
            answer = node.trained(name) or type(node)
            if answer == "never":
                return answer
            on_request = on_request or answer == "if asked"
        node = getattr(node, name)
    return "if asked" if on_request else answer


def _unknown_leaf(cls: type, path: Any) -> str:
    return (
        f"`schedule` of type {cls.__name__} does not say whether `{jax.tree_util.keystr(path)}` may be "
        "trained, or is a time: name those that may not in the class, `never_trained = (...)`, `()` for "
        "none; or give `trainable`, a pytree of Booleans."
    )


class Ball(eqx.Module):
    """Matrices within a norm, at every time."""

    bound: Float[Array, ""]
    norm: str = eqx.field(static=True)

    def __call__(self, schedule: AbstractSchedule) -> AbstractSchedule:
        return Bounded(schedule, self.bound, self.norm)


def as_bounds(bounds: Any, names: list[str] | None = None) -> Any:
    """`bounds` of one schedule, or by name: a number, `(number, norm)`, a function, `None`."""
    if names is not None:
        given = {} if bounds is None else bounds
        if not isinstance(given, dict) or set(given) - set(names):
            raise ValueError(
                f"`bounds` must be a dictionary by {', '.join(names)}, as `schedule` is; got {bounds!r}."
            )
        return {name: as_bounds(given.get(name)) for name in names}
    if bounds is None or isinstance(bounds, Ball) or callable(bounds):
        return bounds
    if isinstance(bounds, dict):
        raise ValueError(
            "`bounds` must be a number or (number, norm), as `schedule` is one schedule."
        )
    pair = bounds if isinstance(bounds, tuple | list) else (bounds, "frobenius")
    if len(pair) != 2:
        raise ValueError(f"`bounds` must be a number, or (number, norm); got {len(pair)} parts.")
    number, norm = pair
    bound = finite("bounds", number)
    if bound.ndim:
        raise ValueError(f"`bounds` must be a number, or (number, norm); got {bounds!r}.")
    bound = check(bound, lambda b: ~(b > 0), "`bounds` must be positive; got zero or less.")
    return Ball(bound, choose("bounds", norm, ("frobenius", "spectral")))


class Model(eqx.Module):
    """From what is searched over to a field: bounds first, then the field's `P` and `U`.

    **Attributes:**

    - `field`: an [`AttentionField`][] whose `P` (and `U`) are put in place, or a function that makes a
      field of the schedule.
    - `bounds`: `Ball`s, functions or `None`, one or by name.
    """

    field: Any
    bounds: Any

    def bounded(self, schedule: Any) -> Any:
        """The schedule, or the dictionary of them, within bounds."""
        if isinstance(self.bounds, dict):
            return {
                name: part if self.bounds[name] is None else self.bounds[name](part)
                for name, part in schedule.items()
            }
        return schedule if self.bounds is None else self.bounds(schedule)

    def __call__(self, schedule: Any) -> AttentionField:
        return with_schedule(self.field, self.bounded(schedule))


def with_schedule(field: AttentionField | Callable[[Any], AttentionField], schedule: Any) -> Any:
    """A field with another `P`, or `P` and `U` by name; or what a function makes of the schedule."""
    if not isinstance(field, AttentionField):
        made = field(schedule)
        if not isinstance(made, AttentionField):
            kind = type(made).__name__
            raise ValueError(f"`field` as a function must give an AttentionField; it gave {kind}.")
        return made
    parts = schedule if isinstance(schedule, dict) else {"P": schedule}
    if is_concrete(field, schedule):  # checked once, with all that a field asks of its parts
        fields = {name: getattr(field, name) for name in field.__dataclass_fields__}
        return AttentionField(**(fields | parts))
    return eqx.tree_at(
        lambda f: [getattr(f, name) for name in parts],
        field,
        list(parts.values()),
        is_leaf=lambda x: x is None,
    )


def names_of(schedule: Any, field: Any) -> list[str] | None:
    """The names of a dictionary of schedules, `None` for one schedule; refused where they do not fit."""
    if not isinstance(schedule, dict):
        return None
    names = list(schedule)
    if isinstance(field, AttentionField) and (not names or set(names) - {"P", "U"}):
        raise ValueError(f"`schedule` as a dictionary must name P, U or both; got {names}.")
    return names


def as_searched(schedule: Any) -> Any:
    """Arrays as constant schedules; schedules, and dictionaries of both, as they are."""
    if isinstance(schedule, dict):
        if not schedule:
            raise ValueError("`schedule` as a dictionary must name a schedule; got an empty one.")
        return {name: as_searched(part) for name, part in schedule.items()}
    if isinstance(schedule, eqx.Module):
        return schedule
    return schedules.Constant(finite("schedule", schedule))
