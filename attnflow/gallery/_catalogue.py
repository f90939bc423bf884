"""The figures of the gallery, one line each."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from jaxtyping import Array, Key
from matplotlib.figure import Figure

from ._causal import (
    causal_atlas,
    draw_causal_atlas,
    draw_renyi_centres,
    draw_renyi_counts,
    renyi_centres,
    renyi_counts,
)
from ._circle import draw_synchronisation, synchronisation
from ._claims import Measured
from ._first_clusters import draw_first_clusters, draw_growth_rates, first_clusters, growth_rates
from ._hardmax import draw_hardmax_leaders, hardmax_leaders
from ._long_context import clustering_time, draw_clustering_time, draw_long_context, long_context
from ._metastability import draw_metastable_circle, draw_staircase, metastable_circle, staircase
from ._middle import draw_lost_in_the_middle, lost_in_the_middle
from ._normalisation import (
    attention_at_start,
    draw_attention_at_start,
    draw_normalisations,
    normalisations,
)
from ._perspective import (
    draw_phase_identity,
    draw_phase_matrices,
    phase_identity,
    phase_matrices,
)
from ._space import (
    boolean_attention,
    draw_boolean_attention,
    draw_hyperplanes,
    draw_polytope,
    hyperplanes,
    polytope,
)


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
_ENTRIES = (
    GalleryEntry("polytope", "2305.05465", "rescaled tokens of the plane come to a polygon (V = I)", polytope, draw_polytope),
    GalleryEntry("hyperplanes", "2305.05465", "rescaled tokens of the plane come to three lines (another V)", hyperplanes, draw_hyperplanes),
    GalleryEntry("boolean-attention", "2305.05465", "attention on the line becomes a matrix of zeros and ones", boolean_attention, draw_boolean_attention),
    GalleryEntry("phase-identity", "2312.10794", "clustered pairs by time and beta, Q = K = V = I", phase_identity, draw_phase_identity),
    GalleryEntry("phase-matrices", "2312.10794", "the same for KQ Gaussian and GOE, V = I and V = +-KQ", phase_matrices, draw_phase_matrices),
    GalleryEntry("hardmax-leaders", "2407.01602", "leaders of hardmax layers in the plane", hardmax_leaders, draw_hardmax_leaders),
    GalleryEntry("metastable-circle", "2410.06833", "clusters on the circle that last exponentially long", metastable_circle, draw_metastable_circle),
    GalleryEntry("staircase", "2410.06833", "the energy's staircase, beta = 500 to 4000", staircase, draw_staircase),
    GalleryEntry("growth-rates", "2410.23228", "how fast modes of a uniform ring grow", growth_rates, draw_growth_rates),
    GalleryEntry("first-clusters", "2410.23228", "how many clusters come first, by beta", first_clusters, draw_first_clusters),
    GalleryEntry("causal-atlas", "2411.04990", "where causal attention goes, by the eigenvalues of V", causal_atlas, draw_causal_atlas),
    GalleryEntry("renyi-centres", "2411.04990", "tokens that park at Rényi centres, beta = 64", renyi_centres, draw_renyi_centres),
    GalleryEntry("renyi-counts", "2411.04990", "how many Rényi and strong centres there are", renyi_counts, draw_renyi_counts),
    GalleryEntry("synchronisation", "2507.22857", "which beta synchronise the circle", synchronisation, draw_synchronisation),
    GalleryEntry("normalisations", "2510.22026", "clustering under six normalisations", normalisations, draw_normalisations),
    GalleryEntry("attention-at-start", "2510.22026", "the length of the attention's sum at random tokens", attention_at_start, draw_attention_at_start),
    GalleryEntry("long-context", "2512.01868", "one layer with beta = gamma ln n: a transition", long_context, draw_long_context),
    GalleryEntry("clustering-time", "2512.01868", "the time to cluster by the number of tokens", clustering_time, draw_clustering_time),
    GalleryEntry("lost-in-the-middle", "2605.09213", "what the last token keeps of each place", lost_in_the_middle, draw_lost_in_the_middle),
)
# fmt: on
ENTRIES: Mapping[str, GalleryEntry] = MappingProxyType({entry.name: entry for entry in _ENTRIES})
