"""The figures of the gallery, one line each."""

from collections.abc import Callable, Mapping
from types import MappingProxyType, ModuleType
from typing import NamedTuple

from jaxtyping import Array, Key
from matplotlib.figure import Figure

from . import (
    _causal,
    _circle,
    _first_clusters,
    _fluctuating,
    _hardmax,
    _long_context,
    _metastability,
    _middle,
    _normalisation,
    _perspective,
    _space,
)
from ._claims import Measured


class GalleryEntry(NamedTuple):
    """A figure of the gallery.

    **Attributes:**

    - `name`: by which [`draw`][attnflow.gallery.draw] knows it.
    - `paper`: its paper's arXiv number.
    - `shows`: in a line.
    - `measure`: what computes, a function of a key and a size.
    - `picture`: what draws, a function of what `measure` gave.
    """

    name: str
    paper: str
    shows: str
    measure: Callable[[Key[Array, ""], str], Measured]
    picture: Callable[[Measured], Figure]


# fmt: off
_LINES: tuple[tuple[str, ModuleType, str], ...] = (
    ("polytope", _space, "rescaled tokens of the plane come to a polygon (V = I)"),
    ("hyperplanes", _space, "rescaled tokens of the plane come to three lines (another V)"),
    ("boolean-attention", _space, "attention on the line becomes a matrix of zeros and ones"),
    ("phase-identity", _perspective, "clustered pairs by time and beta, Q = K = V = I"),
    ("phase-matrices", _perspective, "the same for KQ Gaussian and of the GOE, V = I and V = KQ, -KQ"),
    ("hardmax-leaders", _hardmax, "leaders of hardmax layers in the plane"),
    ("metastable-circle", _metastability, "clusters on the circle that last exponentially long"),
    ("staircase", _metastability, "the energy's staircase, beta = 500 to 4000"),
    ("growth-rates", _first_clusters, "how fast modes of a uniform ring grow"),
    ("first-clusters", _first_clusters, "how many clusters come first, by beta"),
    ("causal-atlas", _causal, "where causal attention goes, by the eigenvalues of V"),
    ("renyi-centres", _causal, "tokens that park at Rényi centres, beta = 64"),
    ("renyi-counts", _causal, "how many Rényi and strong centres there are"),
    ("synchronisation", _circle, "which beta synchronise the circle"),
    ("normalisations", _normalisation, "clustering under six normalisations"),
    ("attention-at-start", _normalisation, "the length of the attention's sum at random tokens"),
    ("long-context", _long_context, "one layer with beta = gamma ln n: a transition"),
    ("clustering-time", _long_context, "the time to cluster by the number of tokens"),
    ("fluctuating-weights", _fluctuating, "heads whose weights fluctuate: a slope by their number"),
    ("lost-in-the-middle", _middle, "what the last token keeps of each place"),
)
# fmt: on


def _entry(name: str, module: ModuleType, shows: str) -> GalleryEntry:
    """A file holds the functions `some_name` and `draw_some_name` of each of its figures."""
    function = name.replace("-", "_")
    measure, picture = getattr(module, function), getattr(module, f"draw_{function}")
    return GalleryEntry(name, module.PAPER, shows, measure, picture)


ENTRIES: Mapping[str, GalleryEntry] = MappingProxyType(
    {name: _entry(name, module, shows) for name, module, shows in _LINES}
)
