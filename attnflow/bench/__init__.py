"""The problems and peers behind `attnflow bench` and the scripts in `benchmarks/`."""

from ._cases import Case as Case, figure2 as figure2, figure4 as figure4
from ._compare import at_errors as at_errors, compare as compare, table as table
from ._gradient import Gradients as Gradients, gradients as gradients
from ._jax import diffrax_run as diffrax_run
from ._measure import (
    Point as Point,
    Timing as Timing,
    at_error as at_error,
    clock as clock,
    distance as distance,
    peak_mb as peak_mb,
    report as report,
)
from ._peers import Peer as Peer, ours as ours, peers as peers, torchode as torchode
from ._start import Start as Start, start as start
from ._tail import heavy_tail as heavy_tail
from ._work import solver_points as solver_points
