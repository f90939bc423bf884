"""What is known without a run: which theorem applies, what it predicts, equilibria, spectra, closed forms."""

from . import conditions as conditions
from ._configurations import (
    consensus_state as consensus_state,
    cross_polytope as cross_polytope,
    polygon as polygon,
    simplex as simplex,
    split as split,
)
from ._continuation import (
    Branch as Branch,
    Crossing as Crossing,
    continuation as continuation,
)
from ._equiangular import (
    equiangular_cosine as equiangular_cosine,
    equiangular_gap as equiangular_gap,
    equiangular_time as equiangular_time,
)
from ._equilibrium import Equilibrium as Equilibrium, equilibrium as equilibrium
from ._exception import (
    exceptional_curve as exceptional_curve,
    exceptional_start as exceptional_start,
)
from ._hypothesis import (
    Condition as Condition,
    Exact as Exact,
    Hypothesis as Hypothesis,
    condition as condition,
)
from ._identities import cross_ratios as cross_ratios, energy_rate as energy_rate
from ._jacobian import jacobian as jacobian
from ._modes import first_clusters as first_clusters, mode_growth as mode_growth
from ._monitor import Check as Check, Monitor as Monitor, Report as Report, monitor as monitor
from ._quantities import Quantity as Quantity
from ._spectrum import Spectrum as Spectrum, spectrum as spectrum
from ._speed import (
    angle_bound as angle_bound,
    misalignment_bound as misalignment_bound,
    reference_misalignment as reference_misalignment,
    speed_limit as speed_limit,
    tanh_reference as tanh_reference,
)
from ._verdict import Prediction as Prediction, Verdict as Verdict, Verdicts as Verdicts
from ._verdicts import verdicts as verdicts
from ._wendel import wendel as wendel
