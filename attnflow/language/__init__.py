"""Transformers as looped layer maps, and their heads as attention fields."""

from typing import TYPE_CHECKING

from ..core.lazy import renamed as _renamed
from ._architecture import (
    SIZES as SIZES,
    Architecture as Architecture,
    architecture as architecture,
)
from ._clusters import clusters as clusters
from ._compare import compare as compare
from ._comparison import Comparison as Comparison
from ._convert import convert as convert
from ._depth import KeyBiased as KeyBiased
from ._diagnose import Diagnosis as Diagnosis, diagnose as diagnose
from ._draw import random as random
from ._field import (
    Sandwiched as Sandwiched,
    as_field as as_field,
    as_layers as as_layers,
    start as start,
)
from ._gguf import is_gguf as is_gguf, read_config as read_config
from ._gradients import (
    SmallestChange as SmallestChange,
    misalignment_gradient as misalignment_gradient,
    smallest_change as smallest_change,
)
from ._heads import Heads as Heads, heads as heads
from ._load import load as load
from ._looped import looped as looped
from ._model import GPT as GPT, Transformer as Transformer
from ._modules import (
    Attention as Attention,
    FeedForward as FeedForward,
    Norm as Norm,
    TransformerBlock as TransformerBlock,
)
from ._place import PhasePlace as PhasePlace, place as place
from ._prompts import (
    download as download,
    encode as encode,
    paper_prompts as paper_prompts,
    random_prompts as random_prompts,
)
from ._proof import TwoClusters as TwoClusters, prove_clusters as prove_clusters
from ._rest import Rest as Rest, rest as rest
from ._result import Looped as Looped
from ._scores import RotaryScores as RotaryScores
from ._spectra import spectra as spectra
from ._spectra_table import Spectra as Spectra
from ._store import read_run as read_run
from ._temperatures import Temperatures as Temperatures, temperatures as temperatures
from ._trained import TRAINED as TRAINED, trained as trained
from .families import FAMILIES as FAMILIES, Family as Family

if not TYPE_CHECKING:  # a type checker takes every name of a module that has this
    __getattr__ = _renamed(__name__, {"read": "read_run", "Block": "TransformerBlock"})
