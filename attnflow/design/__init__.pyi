# What the room offers, and where each name lives: for type checkers, and imported when it is asked for.

from ._baselines import baselines as baselines, best_constant as best_constant
from ._brief import Brief as Brief
from ._builtin import brief_titles as brief_titles
from ._evaluate import Evaluation as Evaluation, evaluate as evaluate
from ._evolve import Evolution as Evolution
from ._objectives import (
    AbstractObjective as AbstractObjective,
    ConsensusTime as ConsensusTime,
    CVaR as CVaR,
    Final as Final,
    Integral as Integral,
    OfRun as OfRun,
)
from ._optimise import optimise as optimise
from ._optimised import History as History, Optimised as Optimised
from ._trainable import trainable as trainable, with_schedule as with_schedule
