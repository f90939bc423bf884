"""Proofs over all states: boxes halved until each has a reason, in interval arithmetic rounded outward."""

from ._census import (
    Census as Census,
    Piece as Piece,
    census as census,
)
from ._census_range import census_range as census_range
from ._circle import Circle as Circle
from ._interval import Interval as Interval
from ._prove import Cover as Cover, prove as prove
from ._synchronisation import (
    Synchronisation as Synchronisation,
    Undecided as Undecided,
    reason_of as reason_of,
    synchronisation as synchronisation,
)
from ._tree import (
    UNDECIDED as UNDECIDED,
    AbstractProblem as AbstractProblem,
    Boxes as Boxes,
    Decision as Decision,
    leaves as leaves,
)
