# What the room offers, and where each name lives: for type checkers, and imported when it is asked for.

from ._claim import Claim as Claim
from ._conclusions import (
    AbstractConclusion as AbstractConclusion,
    AbstractRate as AbstractRate,
    AroundTop as AroundTop,
    Falls as Falls,
    Margin as Margin,
    Polarisation as Polarisation,
    ToConsensus as ToConsensus,
    ToTheFirst as ToTheFirst,
    ToTheTop as ToTheTop,
)
from ._constraints import (
    between as between,
    in_ball as in_ball,
    in_cap as in_cap,
    on_sphere as on_sphere,
    positive as positive,
    positive_definite as positive_definite,
    symmetric as symmetric,
    with_top as with_top,
)
from ._counterexample import (
    Counterexample as Counterexample,
    check_counterexample as check_counterexample,
    read_counterexample as read_counterexample,
)
from ._cycle import rest_of as rest_of
from ._evidence import LEAST as LEAST, STATUSES as STATUSES, Evidence as Evidence
from ._exact import case_of as case_of
from ._falsify import falsify as falsify
from ._findings import Findings as Findings
from ._library import CLAIMS as CLAIMS
from ._provable import Provable as Provable, provable as provable
from ._shoot import verify_null as verify_null
from ._shrink import shrink as shrink
from ._statements import STATEMENTS as STATEMENTS
from ._verify import verify as verify
