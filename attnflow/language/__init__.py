"""GPT-2 and GPT-Neo as looped layer maps, and their heads as attention fields."""

from ._architecture import (
    SIZES as SIZES,
    Architecture as Architecture,
    architecture as architecture,
    read_config as read_config,
)
from ._draw import random as random
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
from ._store import read as read
