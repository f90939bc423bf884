"""Where starts end, and how often: attractors with their shares and spectra."""

from ._find import FindOptions as FindOptions, find as find
from ._found import Attractor as Attractor, Attractors as Attractors
