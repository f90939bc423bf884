"""Schedules by gradient: what is wanted, what is free, and how good the best one is."""

from typing import TYPE_CHECKING

from ..core.lazy import lazily as _lazily

if TYPE_CHECKING:
    from ._baselines import baselines as baselines, best_constant as best_constant
    from ._brief import Brief as Brief
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
    from ._ready import brief_titles as brief_titles
    from ._standing import Standing as Standing, standing as standing
    from ._trainable import trainable as trainable, with_schedule as with_schedule

# Which module has each name; nothing is imported until it is asked for, so that what is listed without
# computing needs no JAX. A test holds this table and the imports above to each other.
_MODULES = {
    "_baselines": (
        "baselines",
        "best_constant",
    ),
    "_brief": ("Brief",),
    "_evolve": ("Evolution",),
    "_objectives": (
        "AbstractObjective",
        "CVaR",
        "ConsensusTime",
        "Final",
        "Integral",
        "OfRun",
    ),
    "_optimise": ("optimise",),
    "_optimised": (
        "History",
        "Optimised",
    ),
    "_ready": ("brief_titles",),
    "_standing": (
        "Standing",
        "standing",
    ),
    "_trainable": (
        "trainable",
        "with_schedule",
    ),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [*_HOME]  # pyright: ignore[reportUnsupportedDunderAll]

__getattr__, __dir__ = _lazily(__name__, _HOME)
