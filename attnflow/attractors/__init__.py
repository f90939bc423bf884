"""Where starts end, and how often: attractors with their shares, spectra and exponents."""

from ._along import Along as Along, along as along
from ._along_store import StoredAlong as StoredAlong, stored as stored
from ._branch import branch as branch
from ._branches import Branches as Branches, SpecialPoint as SpecialPoint, Trace as Trace
from ._covariant import (
    CovariantVectors as CovariantVectors,
    covariant_vectors as covariant_vectors,
)
from ._cycles import Cycle as Cycle, cycle as cycle
from ._exponents import Exponents as Exponents, exponents as exponents
from ._find import FindOptions as FindOptions, find as find
from ._found import Attractor as Attractor, Attractors as Attractors
from ._growth import Growth as Growth, growth as growth
from ._layers import (
    LayerCycle as LayerCycle,
    layer_cycle as layer_cycle,
    layer_exponents as layer_exponents,
)
from ._loci import Locus as Locus, loci as loci
from ._metastable import Metastable as Metastable, metastable as metastable
from ._numbers import ClusterNumbers as ClusterNumbers, cluster_numbers as cluster_numbers
from ._orbits import Orbit as Orbit
from ._shares import wilson as wilson
from ._tracks import TokenPoint as TokenPoint, Track as Track
