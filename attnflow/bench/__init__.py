"""The problems and peers behind `attnflow bench` and the scripts in `benchmarks/`."""

from typing import TYPE_CHECKING

from ..core.lazy import renamed as _renamed
from ._cases import (
    Workload as Workload,
    figure2_workload as figure2_workload,
    figure4_workload as figure4_workload,
)
from ._compare import at_errors as at_errors, compare_solvers as compare_solvers, table as table
from ._gradient import Gradients as Gradients, gradients as gradients
from ._jax import diffrax_run as diffrax_run
from ._measure import (
    Point as Point,
    Timing as Timing,
    at_error as at_error,
    clock as clock,
    distance as distance,
    machine as machine,
    peak_mb as peak_mb,
    report as report,
    run_sections as run_sections,
)
from ._peers import Peer as Peer, ours as ours, peers as peers, torchode as torchode
from ._start import Start as Start, start_times as start_times
from ._tail import heavy_tail as heavy_tail
from ._work import solver_points as solver_points

if not TYPE_CHECKING:  # a type checker takes every name of a module that has this
    __getattr__ = _renamed(
        __name__,
        {
            "Case": "Workload",
            "compare": "compare_solvers",
            "figure2": "figure2_workload",
            "figure4": "figure4_workload",
            "start": "start_times",
        },
    )
