"""Claims, what breaks them, and how hard it was tried."""

from typing import TYPE_CHECKING

from ..core.lazy import lazily as _lazily

if TYPE_CHECKING:
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
    from ._counterexample import (
        Counterexample as Counterexample,
        check_counterexample as check_counterexample,
        read_counterexample as read_counterexample,
    )
    from ._cycle import rest_of as rest_of
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
    from ._evidence import LEAST as LEAST, STATUSES as STATUSES, Evidence as Evidence
    from ._exact import case_of as case_of
    from ._falsify import falsify as falsify
    from ._findings import Findings as Findings
    from ._library import CLAIMS as CLAIMS
    from ._shoot import earn_null as earn_null
    from ._shrink import shrink as shrink
    from ._statements import STATED as STATED

# Which module has each name; nothing is imported until it is asked for, so that what is listed without
# computing needs no JAX. A test holds this table and the imports above to each other.
_MODULES = {
    "_claim": ("Claim",),
    "_conclusions": (
        "AbstractConclusion",
        "AbstractRate",
        "AroundTop",
        "ToConsensus",
        "Falls",
        "Margin",
        "Polarisation",
        "ToTheFirst",
        "ToTheTop",
    ),
    "_counterexample": (
        "Counterexample",
        "check_counterexample",
        "read_counterexample",
    ),
    "_cycle": ("rest_of",),
    "_domain": (
        "between",
        "in_ball",
        "in_cap",
        "on_sphere",
        "positive",
        "positive_definite",
        "symmetric",
        "with_top",
    ),
    "_earn": ("earn",),
    "_evidence": (
        "Evidence",
        "LEAST",
        "STATUSES",
    ),
    "_exact": ("case_of",),
    "_falsify": ("falsify",),
    "_findings": ("Findings",),
    "_library": ("CLAIMS",),
    "_shoot": ("earn_null",),
    "_shrink": ("shrink",),
    "_statements": ("STATED",),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [*_HOME]  # pyright: ignore[reportUnsupportedDunderAll]

__getattr__, __dir__ = _lazily(__name__, _HOME)
