"""Sweeps: grids of fields times many random starts, in a store that survives what ends a run.

A [`Study`][attnflow.sweep.Study] says what; [`run`][attnflow.sweep.run] computes it, shard by shard, and
goes on where it was ended; [`open`][attnflow.sweep.open] gives the results as one labelled dataset.
"""

from typing import TYPE_CHECKING

from ..core.lazy import renamed as _renamed

from . import _needs as _needs  # isort: skip (first: it says what is not installed)
from ._compact import compact as compact
from ._estimate import Estimate as Estimate, estimate as estimate
from ._export import export as export
from ._open import open as open
from ._phase import phase_study as phase_study
from ._pool import Pool as Pool, WorkerDied as WorkerDied
from ._run import run as run
from ._status import Status as Status, status as status
from ._store import Damaged as Damaged, Store as Store
from ._study import (
    Study as Study,
    read_study as read_study,
    study_names as study_names,
    text as text,
)
from ._trajectory import trajectory as trajectory

if not TYPE_CHECKING:  # a type checker takes every name of a module that has this
    __getattr__ = _renamed(__name__, {"names": "study_names", "read": "read_study"})
