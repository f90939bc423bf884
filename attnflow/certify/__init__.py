"""Certificates: equilibria and counterexamples proved in ball arithmetic, and their check."""

from . import _needs as _needs  # isort: skip
from ..cover import (
    census as census,
    census_range as census_range,
    synchronisation as synchronisation,
)
from ._basin_ball import BasinBall as BasinBall, basin as basin
from ._certificate import (
    BITS as BITS,
    Certificate as Certificate,
    check as check,
    counterexample as counterexample,
    equilibrium as equilibrium,
)
from ._claim import claim as claim
