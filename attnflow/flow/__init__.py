"""Running the model: assembled problems, projected solvers, events, observers, layers."""

from ._control import ResumableController as ResumableController, TokenNorm as TokenNorm
from ._integrator import (
    Integrator as Integrator,
    IntegratorOptions as IntegratorOptions,
    StepOptions as StepOptions,
    merged as merged,
    sort_options as sort_options,
)
from ._iterate import iterate as iterate
from ._noise import Noise as Noise
from ._observe import missing as missing, observed as observed
from ._options import make_options as make_options
from ._problem import Options as Options, Problem as Problem, assemble as assemble
from ._projected import ProjectedSolver as ProjectedSolver
from ._sides import SidedSolver as SidedSolver
from ._simulate import (
    SimulateOptions as SimulateOptions,
    forward_mode_named as forward_mode_named,
    simulate as simulate,
)
from ._solution import Solution as Solution
from ._wrapped import inner_solver as inner_solver
from .events import (
    Consensus as Consensus,
    consensus as consensus,
    how_ended as how_ended,
)
