"""What has a formula: special states, times, rates, bounds and probabilities."""

from ._configurations import (
    consensus_state as consensus_state,
    cross_polytope as cross_polytope,
    polygon as polygon,
    simplex as simplex,
    split as split,
)
from ._equiangular import (
    LARGEST as LARGEST,
    equiangular_cosine as equiangular_cosine,
    equiangular_gap as equiangular_gap,
    equiangular_time as equiangular_time,
)
from ._exception import (
    exceptional_curve as exceptional_curve,
    exceptional_start as exceptional_start,
)
from ._identities import cross_ratios as cross_ratios, energy_rate as energy_rate
from ._modes import first_clusters as first_clusters, mode_growth as mode_growth
from ._noise import (
    antipodal_exponent as antipodal_exponent,
    brownian_cosine as brownian_cosine,
    stationary_cosine as stationary_cosine,
    stationary_order as stationary_order,
)
from ._speed import (
    angle_bound as angle_bound,
    misalignment_bound as misalignment_bound,
    reference_misalignment as reference_misalignment,
    speed_limit as speed_limit,
    tanh_reference as tanh_reference,
)
from ._wendel import wendel as wendel
