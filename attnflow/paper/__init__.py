"""The paper's simulations: Figures 1 to 10, each a function that returns numbers and one that draws.

`reproduce` runs them all and sets the paper's claims beside what was measured. The fields are
`field_theorem_3_2()`, `field_theorem_4_2(key)` and `field_theorem_4_5()`.
"""

from typing import TYPE_CHECKING

from ..core.lazy import renamed as _renamed
from ..theory import wendel as wendel
from ._claims import FigureData as FigureData, PaperClaim as PaperClaim, PaperReport as PaperReport
from ._exception_4_2 import draw_exception_4_2 as draw_exception_4_2, exception_4_2 as exception_4_2
from ._looped import (
    draw_figure7 as draw_figure7,
    draw_figure8 as draw_figure8,
    draw_figure9 as draw_figure9,
    draw_figure10 as draw_figure10,
    figure7 as figure7,
    figure8 as figure8,
    figure9 as figure9,
    figure10 as figure10,
)
from ._remark_3_4 import remark_3_4 as remark_3_4
from ._reproduce import FIGURES as FIGURES, reproduce as reproduce
from ._theorem_3_2 import (
    draw_figure1 as draw_figure1,
    draw_figure2 as draw_figure2,
    draw_figure3 as draw_figure3,
    field_theorem_3_2 as field_theorem_3_2,
    figure1 as figure1,
    figure2 as figure2,
    figure3 as figure3,
)
from ._theorem_4_2 import (
    draw_figure4 as draw_figure4,
    field_theorem_4_2 as field_theorem_4_2,
    figure4 as figure4,
    starts as starts,
)
from ._theorem_4_5 import (
    draw_figure5 as draw_figure5,
    draw_figure6 as draw_figure6,
    field_theorem_4_5 as field_theorem_4_5,
    figure5 as figure5,
    figure6 as figure6,
    top_eigenvector as top_eigenvector,
)

if not TYPE_CHECKING:  # a type checker takes every name of a module that has this
    __getattr__ = _renamed(__name__, {"Claim": "PaperClaim", "Report": "PaperReport"})
