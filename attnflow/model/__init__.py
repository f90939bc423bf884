"""The model: attention weights, the vector field of eq. (6), layers of eq. (1), normalisations, reductions."""

from ._field import AttentionField as AttentionField
from ._kernels import (
    AbstractKernel as AbstractKernel,
    Exponential as Exponential,
    Hardmax as Hardmax,
    Softmax as Softmax,
)
from ._layers import AttentionLayers as AttentionLayers, LayerNorm as LayerNorm
from ._masks import (
    AbstractMask as AbstractMask,
    AdditiveBias as AdditiveBias,
    BooleanMask as BooleanMask,
    Causal as Causal,
    Full as Full,
    NoSelf as NoSelf,
)
from ._normalisations import (
    NGPT as NGPT,
    AbstractNormalisation as AbstractNormalisation,
    Mix as Mix,
    Peri as Peri,
    Post as Post,
    Pre as Pre,
    SquareRoot as SquareRoot,
)
from ._padding import pad as pad
from ._positions import ALiBi as ALiBi, Window as Window
from ._rescaled import Rescaled as Rescaled, rescaled as rescaled, unrescaled as unrescaled
from .reductions import Reduction as Reduction, reduce as reduce
