# What `attnflow.search` offers, and where each name lives: for type checkers, and imported when it is asked for.

from ._baselines import baselines as baselines, best_constant as best_constant
from ._brief import Brief as Brief
from ._claim import Claim as Claim
from ._conclusions import (
    AbstractConclusion as AbstractConclusion,
    AbstractRate as AbstractRate,
    AroundTop as AroundTop,
    Consensus as Consensus,
    Falls as Falls,
    Margin as Margin,
    Polarisation as Polarisation,
    ToTheFirst as ToTheFirst,
    ToTheTop as ToTheTop,
)
from ._counterexample import Counterexample as Counterexample, check as check, read as read
from ._domain import (
    between as between,
    in_ball as in_ball,
    in_cap as in_cap,
    on_sphere as on_sphere,
    positive as positive,
    positive_definite as positive_definite,
    symmetric as symmetric,
    with_top as with_top,
)
from ._earn import earn as earn
from ._evidence import STATUSES as STATUSES, Evidence as Evidence
from ._evolve import Evolution as Evolution
from ._exact import case_of as case_of
from ._falsify import falsify as falsify
from ._findings import Findings as Findings
from ._library import CLAIMS as CLAIMS
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
from ._ready import brief_titles as brief_titles
from ._shoot import earn_null as earn_null
from ._shrink import shrink as shrink
from ._standing import Standing as Standing, standing as standing
from ._statements import STATED as STATED
from ._trainable import trainable as trainable
