"""A number of each of many runs, by lanes that refill: for searches, inside a program and outside one."""

from collections.abc import Callable
from typing import Any

from jaxtyping import Array, Float

from ..flow import Options
from ..model import AttentionField
from ._backwards import OfEach
from ._starts import gather_starts
from ._sums import summed


def values_by_lanes(
    objective: Callable[..., Any],
    field: AttentionField,
    starts: Float[Array, "n tokens dim"],
    options: Options,
) -> Float[Array, " n"] | None:
    """The objective of each start's run, NaN where that failed, with its gradient in reverse mode.

    `None` where runs cannot be worked by lanes: implicit solvers, events of diffrax, dense output.
    """
    many = gather_starts(field, starts, None, None, None)
    return summed(OfEach(objective, many.number), many, options, None)
