"""Matrices that depend on time, and say how fast: P(t), U(t) and what they are made of."""

from ._base import (
    AbstractSchedule as AbstractSchedule,
    Congruent as Congruent,
    Constant as Constant,
    GivenSchedule as GivenSchedule,
    Scaled as Scaled,
    Sum as Sum,
    as_schedule as as_schedule,
)
from ._bounded import Bounded as Bounded
from ._carried import Carried as Carried
from ._constrained import (
    FixedSpectrum as FixedSpectrum,
    PositiveSemidefinite as PositiveSemidefinite,
    Symmetric as Symmetric,
)
from ._factored import Factored as Factored, on_the_right as on_the_right
from ._in_file import InFile as InFile
from ._kinks import Kinks as Kinks, KnownKinks as KnownKinks, all_kinks as all_kinks
from ._knowledge import of_matrix_alone as of_matrix_alone
from ._lists import (
    all_breaks as all_breaks,
    all_jumps as all_jumps,
    fastest as fastest,
    of_product as of_product,
)
from ._modulated import Modulated as Modulated
from ._oscillating import Fourier as Fourier, Sinusoid as Sinusoid
from ._periodic import Periodic as Periodic
from ._plain import Function as Function, ScaledIdentity as ScaledIdentity
from ._query_key import (
    QueryKey as QueryKey,
    length_temperature as length_temperature,
    normalised as normalised,
    turned as turned,
)
from ._range import Range as Range
from ._tabulated import Interpolated as Interpolated, Piecewise as Piecewise
