r"""What a schedule knows of itself, each thing a method with a default: whoever asks, asks it.

A new schedule is one class. It must say three things: the matrix `__call__(t)`, its fastest
`frequency`, its `jump_times`. All else has a default that claims nothing which could be false:

| asked | by | unless the class says |
|---|---|---|
| `schedules_inside` | all below | found among its fields |
| `time_through_parts` | all below | no: time may enter beside the parts, and nothing follows from them |
| `break_times` | step control | those inside, and its own `jump_times` |
| `kinks()` | step control | those inside: by a rule, or `"anywhere"` |
| `is_constant()` | theorems, closed forms | by its parts if time enters through them alone; else no |
| `is_symmetric()` | theorems | not known |
| `identity_coefficient()` | span coordinates, batches | it is no multiple of the identity by its type |
| `range_from(t0)` | theorems | unbounded, with any slope; the value where it is constant |
| `limits_known()` | theorems | by its parts, or where nothing jumps |
| `table_times()`, `value_jumps()`, `frozen_at(t, side)` | theorems | by its parts |
| `angular_frequencies()` | theorems, cycles | by its parts; else not known |
| `repeat_periods()`, `repeat_times(t0, until)` | theorems, cycles | by its parts |
| `mapped(f)` | constrained schedules | not in closed form |
| `never_trained`, `trained_if_asked` | search | not said, and a search refuses to guess |
| `in_file`, `as_table()`, `from_table()` | spec, sweeps, cases | none, and files refuse it |

By its parts means where `time_through_parts` is true: $M(t) = F(S_1(t), S_2(t), \dots)$. A class that
gives its own `__call__` to a concrete schedule inherits none of this from it, but the defaults.
"""

import abc
import dataclasses
import inspect
from collections.abc import Callable
from typing import Any, ClassVar, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Real

from ..core.types import PyTree
from ._in_file import InFile, plain
from ._kinks import KnownKinks, all_kinks
from ._lists import joined
from ._range import Range

# What follows from the values, and not from the names of fields.
_FOLLOWS = (
    "adds_to_scores",
    "angular_frequencies",
    "apply",
    "bilinear",
    "congruence",
    "frozen_at",
    "identity_coefficient",
    "is_constant",
    "is_symmetric",
    "limits_known",
    "mapped",
    "range_from",
    "repeat_periods",
    "repeat_times",
    "square_norm",
    "table_times",
    "time_through_parts",
    "value_jumps",
)

# What `shape` found, by structure and shapes inside: a field asks again and again, and each time is a trace.
_SHAPES: dict[Any, tuple[int, ...]] = {}
_MOST_SHAPES = 64


class AbstractTimed(eqx.Module):
    """What depends on time and answers for itself; see the top of this file."""

    # Whether time enters through the schedules inside alone, M(t) = F(S1(t), S2(t), ...).
    time_through_parts: ClassVar[bool] = False

    # Whether `bilinear` adds to the matrix's scores what no matrix holds, such as a bias of keys.
    adds_to_scores: ClassVar[bool] = False

    # Fields that no search changes: times, and what a constraint is made of. `None`: not said.
    never_trained: ClassVar[tuple[str, ...] | None] = None

    # Fields that a search changes only where it is told to, by name: frequencies.
    trained_if_asked: ClassVar[tuple[str, ...]] = ()

    # How it stands in a file; `None` (also of a subclass that does not say): it does not.
    in_file: ClassVar[InFile | None] = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "__call__" in vars(cls) or "at" in vars(cls):
            _forget(cls)

    @abc.abstractmethod
    def __call__(self, t: Real[ArrayLike, ""]) -> Float[Array, "..."]:
        """$M(t)$."""

    @property
    @abc.abstractmethod
    def frequency(self) -> Float[Array, ""] | None:
        """The fastest frequency in cycles per unit of time; `None` where time does not oscillate it."""

    @property
    @abc.abstractmethod
    def jump_times(self) -> Float[Array, " jumps"] | None:
        """The times of discontinuity, of the value or its slope; `None` where there are none."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of $M(t)$."""
        leaves, structure = jax.tree.flatten(self)
        arrays = ((x.shape, x.dtype) if eqx.is_array(x) else (type(x), x) for x in leaves)
        kind = (structure, *arrays)
        try:
            shape = _SHAPES.get(kind)
        except TypeError:  # something in it cannot be hashed
            return jax.eval_shape(self, jnp.zeros(())).shape
        if shape is None:
            if len(_SHAPES) >= _MOST_SHAPES:
                _SHAPES.clear()
            shape = _SHAPES[kind] = jax.eval_shape(self, jnp.zeros(())).shape
        return shape

    # === what it is made of

    @property
    def schedules_inside(self) -> "list[AbstractTimed]":
        """The schedules that it is directly made of."""
        leaves = jax.tree.leaves(self, is_leaf=self._is_part)
        return [leaf for leaf in leaves if self._is_part(leaf)]

    def _is_part(self, x: Any) -> bool:
        return isinstance(x, AbstractTimed) and x is not self

    def _all_parts(self, holds: Callable[[Any], bool]) -> bool:
        return self.time_through_parts and all(map(holds, self.schedules_inside))

    def _joined_of_parts(self, get: Callable[[Any], np.ndarray]) -> np.ndarray:
        return np.concatenate([np.zeros(0), *map(get, self.schedules_inside)])

    # === when

    @property
    def break_times(self) -> Float[Array, " breaks"] | None:
        """The times where smooth pieces meet: `jump_times`, and where only a higher derivative jumps.

        A step across one loses its order, and its error estimate with it. Those of the schedules
        inside, unless a class knows better.
        """
        of_parts = [part.break_times for part in self.schedules_inside]
        if self.time_through_parts and of_parts:
            return joined(*of_parts)
        return joined(self.jump_times, *of_parts)

    def kinks(self) -> KnownKinks:
        """Where its slope jumps at times that no list of its holds.

        Rules for them, for steps to end there; an empty tuple where there are no such kinks; or
        `"anywhere"`: there are and no rule is known, so that steps are short instead. Those of the
        schedules inside, unless a class knows better.
        """
        return all_kinks(*self.schedules_inside)

    def is_constant(self) -> bool:
        """Whether time does not change it, whatever its numbers are; they are not looked at."""
        return bool(self.schedules_inside) and self._all_parts(lambda part: part.is_constant())

    def table_times(self) -> np.ndarray:
        """The times that its tables hold; those that come back for ever are left out."""
        return self._joined_of_parts(lambda part: part.table_times())

    def value_jumps(self) -> np.ndarray:
        """Those of them at which the value itself may jump."""
        return self._joined_of_parts(lambda part: part.value_jumps())

    def repeat_periods(self) -> np.ndarray:
        """The periods of those parts that come back for ever with all their jumps."""
        return self._joined_of_parts(lambda part: part.repeat_periods())

    def repeat_times(self, t0: float, until: float) -> np.ndarray:
        """The times between at which those parts begin anew or jump; few of very many."""
        return self._joined_of_parts(lambda part: part.repeat_times(t0, until))

    def angular_frequencies(self) -> np.ndarray | None:
        """All of them, of what moves for ever, in radians per unit of time; `None`: not known."""
        frequencies = [part.angular_frequencies() for part in self.schedules_inside]
        known = [omega for omega in frequencies if omega is not None]
        if not (self.time_through_parts and frequencies) or len(known) < len(frequencies):
            return None
        return np.concatenate(known)

    def limits_known(self) -> bool:
        """Whether `frozen_at` gives the limits from both sides wherever the value jumps."""
        if self.time_through_parts and self.schedules_inside:
            return self._all_parts(lambda part: part.limits_known())
        return self.jump_times is None or not len(self.jump_times)

    def frozen_at(self, t: float, side: Literal["left", "right"]) -> Any:
        """A schedule that at `t` has the limit from that side, with no jump there."""
        if not self.time_through_parts:
            return self
        freeze = lambda x: x.frozen_at(t, side) if self._is_part(x) else x  # noqa: E731
        return jax.tree.map(freeze, self, is_leaf=self._is_part)

    # === what values it takes

    def range_from(self, t0: float) -> Range:
        """Bounds of its entries and their slopes at all times from `t0` on; of concrete numbers."""
        if self.is_constant():
            return Range.constant(self(jnp.zeros(())))
        return Range.unknown(self.shape)

    def is_symmetric(self) -> bool:
        """Whether its type and numbers make every value symmetric; false where that is not known."""
        return False

    def identity_coefficient(self) -> Any:
        r"""The schedule $c$ with $M(t) = c(t)\, I$ by its type, a scalar or one number a head; else `None`."""
        return None

    def mapped(self, f: Callable[[Array], Array], linear: bool = False) -> Any:
        r"""$t \mapsto f(M(t))$ with $f$ applied beforehand, to the few values there are.

        `None` where that cannot be. A `linear` one may be applied to coefficients too.
        """
        return None

    # === what a search may change, and what a file holds

    @classmethod
    def trained(cls, field: str) -> Literal["yes", "if asked", "never"] | None:
        """Whether a search changes the numbers of a field; `None` where the class does not say."""
        declared = False
        for base in cls.__mro__:
            named = vars(base).get("never_trained")
            if named is not None:
                declared = True
                if field in named:
                    return "never"
            if field in vars(base).get("trained_if_asked", ()):
                return "if asked"
            if field in inspect.get_annotations(base):
                return "yes" if declared else None
        return None

    def as_table(self) -> Any:
        """Itself as a file holds it: a dictionary with its `type`, or plain numbers.

        **Raises:**

        `ValueError` where its class has no form in files, or the form leaves out what it holds.
        """
        name, form = type(self).__name__, vars(type(self)).get("in_file")
        if form is None:
            raise ValueError(
                f"a schedule of type {name} has no form in a file; give its class "
                "`in_file = attnflow.schedules.InFile(...)`, or use attnflow.save."
            )
        fields = [field.name for field in dataclasses.fields(type(self))]  # pyright: ignore
        for field in fields:
            if field not in form.kinds and getattr(self, field) is not None:
                raise ValueError(f"a {name} with a `{field}` has no form in a file.")
        return {"type": form.type} | {field: plain(getattr(self, field)) for field in form.kinds}

    @classmethod
    def from_table(cls, **arguments: Any) -> Any:
        """From what a file held: tables as schedules, lists as arrays."""
        return cls(**arguments)


def _forget(cls: type[AbstractTimed]) -> None:
    """Take defaults for what a class with values of its own would inherit from another's values."""
    open_ = {"__call__"} if "__call__" in vars(cls) else {"__call__", "at"}

    def general(base: type) -> bool:
        return bool(open_ & getattr(base, "__abstractmethods__", frozenset()))

    for name in _FOLLOWS:
        owners = [base for base in cls.__mro__ if name in vars(base)]
        # What is mixed in from beside schedules was meant for this class.
        meant = owners and (owners[0] is cls or not issubclass(owners[0], AbstractTimed))
        if owners and not meant and not general(owners[0]):
            setattr(cls, name, vars(next(filter(general, owners)))[name])


def of_matrix_alone(tree: PyTree) -> bool:
    r"""Whether the scores of the schedules inside are $x_i^\top M(t)\, y_j$ and nothing more."""
    is_leaf = lambda x: isinstance(x, AbstractTimed) and x.adds_to_scores  # noqa: E731
    return not any(is_leaf(leaf) for leaf in jax.tree.leaves(tree, is_leaf=is_leaf))
