"""Pictures: tokens on the sphere, curves, quantiles, cosines, sweeps, counterexamples, schedules found.

Each function draws on the axes it is given, or on those of a new figure, and returns the axes
(`ax.figure.savefig(...)` writes it). No backend is chosen and no global setting is changed.
"""

from ._attractors import attractors as attractors
from ._attractors_along import attractors_along as attractors_along
from ._branch import branch as branch
from ._branches import branches as branches
from ._counterexample import counterexample as counterexample
from ._cover import cover as cover
from ._curves import curves as curves, quantiles as quantiles
from ._diagnosis import diagnosis as diagnosis
from ._exception import exceptional_starts as exceptional_starts
from ._figure import figure_of as figure_of, save as save
from ._gram import gram as gram
from ._language import comparison as comparison, heads as heads
from ._looped import draw_looped as draw_looped, looped as looped
from ._phase_place import phase_place as phase_place
from ._schedules import (
    attention_at as attention_at,
    misalignment_of as misalignment_of,
    schedule_norms as schedule_norms,
    tokens_of as tokens_of,
)
from ._sphere import sphere as sphere
from ._sweeps import heat_map as heat_map, phase_diagram as phase_diagram
from ._trials import bands as bands, survival as survival
