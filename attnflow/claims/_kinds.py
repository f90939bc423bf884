"""Which kind of evidence refutes which claim, and how long a field of a file may be run."""

import os

import numpy as np

from ..model import AttentionField
from ._claim import Claim
from ._cycle import largest, rest_of

HORIZON = 200.0  # of a candidate's first run, in units of 1 / (heads * scale)
_RUNS = 4 + 16  # horizons that are run in all
MOST_LENGTH = 1e7


def refutes(claim: Claim, status: str) -> bool:
    """Whether evidence of that status breaks the claim.

    An open set of starts breaks any. One start breaks a claim on every start, where `claim.shoot` says
    which: elsewhere a start that comes near an unstable equilibrium and leaves it looks the same.
    """
    if status == "null set":
        return not claim.almost and claim.shoot is not None
    return status in ("open", "no rest")


def check_kind(claim: Claim, status: str, path: str | os.PathLike[str]) -> None:
    """Refuse a file whose evidence could not refute the claim if all of its numbers were right."""
    if not refutes(claim, status):
        starts = "almost every start" if claim.almost else "every start"
        raise ValueError(
            f"{path} says {status!r}, a kind of evidence that cannot refute a claim on {starts}."
        )


def check_length(field: AttentionField, path: str | os.PathLike[str]) -> None:
    """Refuse a field so fast, for so long, that its run would not end: before it is run."""
    rest = rest_of(field)
    unit = 1 / (field.heads * float(field.scale))
    period = rest.period or 0.0
    span = rest.since + _RUNS * (HORIZON * unit + period)
    sizes = [1.0 if s is None else largest(s) for s in (field.P, field.U)]
    fastest = (1 + sizes[0]) * sizes[1] / unit
    if period:
        fastest += 2 * np.pi / period
    if not span * fastest <= MOST_LENGTH:
        raise ValueError(
            f"{path} has a field that would be run for {span * fastest:.1e} times of its own, "
            f"{MOST_LENGTH:g} allowed."
        )
