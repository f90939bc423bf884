"""What theorems and claims suppose: each condition once, with its checks and words, and how a case stands to it."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np


class Plain(str):
    """What was found where there is no number to it: a verdict that applies does not give it as a reason."""


Answer = tuple[bool | np.bool_ | None, str]


@dataclass(frozen=True)
class Exact:
    """How the checker of certificates decides a condition exactly, in rationals and balls.

    - `fact`: its own check, by the id that it has there; `None` for what is so of every field that a certificate
      is about, or is a unit.
    - `top`: whether it is about the top eigenvalue of the sum of U, which the checker encloses, or its vector.
    """

    fact: str | None
    top: bool = False


ALWAYS = Exact(None)


@dataclass(frozen=True, eq=False)
class Condition:
    """One thing that theorems and claims suppose of a field and its start.

    Code asks for the object, or for its `id`; `words` are for people, and can be changed at any time.
    Called, it is checked and gives a [`Hypothesis`][].

    **Attributes:**

    - `id`: what it is called in arguments and in files: short, and never changed.
    - `words`: what it is called where a person reads it.
    - `check`: in floating point, to rounding: `check(setting)` gives `True`, `False`, or `None` where it cannot be
      decided, and what was found, with the number that decides. What a theorem has worked out already is
      handed over instead of the setting, or beside it.
    - `exact`: how a certificate shows it; `None` where there is no exact check, and no certificate.
    """

    id: str
    words: str
    check: Callable[..., Answer] = field(repr=False)
    exact: Exact | None = None

    def __call__(self, *args: object) -> "Hypothesis":
        """The condition, checked."""
        return self.answer(*self.check(*args))

    def answer(self, holds: bool | np.bool_ | None, says: str) -> "Hypothesis":
        """The condition where it was decided elsewhere, and what was found."""
        return Hypothesis(self.words, None if holds is None else bool(holds), says, self)


def condition(
    id: str, words: str | None = None, *, exact: Exact | None = None
) -> Callable[[Callable[..., Answer]], Condition]:
    """Make a check a [`Condition`][]; its words are its id where none are given."""

    def make(check: Callable[..., Answer]) -> Condition:
        return Condition(id, id if words is None else words, check, exact)

    return make


@dataclass(frozen=True)
class Hypothesis:
    """One hypothesis of a theorem, and how a field and its start stand to it.

    - `name`: what is assumed, in words.
    - `holds`: `True`, `False`, or `None` where it cannot be decided.
    - `says`: what was found, with the number that decides.
    - `condition`: the [`Condition`][] that was checked; `None` for one of your own that is no such object.
    """

    name: str
    holds: bool | None
    says: str
    condition: Condition | None = field(default=None, repr=False)

    @property
    def id(self) -> str:
        """The condition's `id`, which stays when words change; the name where there is no condition."""
        return self.name if self.condition is None else self.condition.id

    @property
    def exact(self) -> Exact | None:
        """How a certificate shows it; `None` where it cannot."""
        return None if self.condition is None else self.condition.exact

    def __str__(self) -> str:
        return f"{self.name}: {self.says}"
