"""The flow near a state: its Jacobian, equilibria, spectra, and branches of equilibria."""

from ._continuation import Branch as Branch, Crossing as Crossing, continuation as continuation
from ._equilibrium import Equilibrium as Equilibrium, equilibrium as equilibrium
from ._jacobian import (
    chart as chart,
    check_field as check_field,
    check_state as check_state,
    jacobian as jacobian,
    tangent_basis as tangent_basis,
)
from ._period import after_period as after_period
from ._spectrum import Spectrum as Spectrum, spectrum as spectrum
