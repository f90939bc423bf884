"""Where starts end, and how often: attractors with their shares, spectra and exponents."""

from ._exponents import Exponents as Exponents, exponents as exponents
from ._find import FindOptions as FindOptions, find as find
from ._found import Attractor as Attractor, Attractors as Attractors
from ._numbers import ClusterNumbers as ClusterNumbers, cluster_numbers as cluster_numbers
from ._shares import wilson as wilson
