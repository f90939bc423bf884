"""Search: claims, what breaks them, and how hard it was tried; schedules by gradient.

Nothing is imported until it is asked for, so that what is listed without computing needs no JAX: the
names are those of the stub beside this file, `__init__.pyi`.
"""

from ..core.lazy import from_rooms as _from_rooms

__getattr__, __dir__, __all__ = _from_rooms(
    __name__,
    __file__,
    {
        "Consensus": "ToConsensus",
        "STATED": "STATEMENTS",
        "Standing": "Evaluation",
        "check": "check_counterexample",
        "earn": "verify",
        "earn_null": "verify_null",
        "read": "read_counterexample",
        "standing": "evaluate",
    },
)
