"""Matrices that depend on time, and say how fast: P(t), U(t) and what they are made of."""

from ._arithmetic import Congruent as Congruent, Scaled as Scaled, Sum as Sum
from ._base import AbstractSchedule as AbstractSchedule, as_schedule as as_schedule
from ._bounded import Bounded as Bounded
from ._constant import (
    Constant as Constant,
    Function as Function,
    ScaledIdentity as ScaledIdentity,
)
from ._constrained import (
    FixedSpectrum as FixedSpectrum,
    PositiveSemidefinite as PositiveSemidefinite,
    Symmetric as Symmetric,
)
from ._factored import Factored as Factored
from ._modulated import Modulated as Modulated
from ._oscillating import Fourier as Fourier, Sinusoid as Sinusoid
from ._periodic import Periodic as Periodic
from ._tabulated import Interpolated as Interpolated, Piecewise as Piecewise
