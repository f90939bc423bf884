"""GPT-2 and GPT-Neo as looped layer maps, and their heads as attention fields."""

from typing import TYPE_CHECKING

from ..core.lazy import renamed as _renamed
from ._architecture import (
    SIZES as SIZES,
    Architecture as Architecture,
    architecture as architecture,
    read_config as read_config,
)
from ._compare import compare as compare
from ._comparison import Comparison as Comparison
from ._depth import KeyBiased as KeyBiased
from ._draw import random as random
from ._field import as_field as as_field, as_layers as as_layers, start as start
from ._heads import Heads as Heads, heads as heads
from ._load import load as load
from ._looped import looped as looped
from ._model import (
    GPT as GPT,
    Attention as Attention,
    Block as Block,
    FeedForward as FeedForward,
    Norm as Norm,
)
from ._prompts import download as download, encode as encode, paper_prompts as paper_prompts
from ._result import Looped as Looped
from ._spectra import spectra as spectra
from ._spectra_table import Spectra as Spectra
from ._store import read_run as read_run

if not TYPE_CHECKING:  # a type checker takes every name of a module that has this
    __getattr__ = _renamed(__name__, {"read": "read_run"})
