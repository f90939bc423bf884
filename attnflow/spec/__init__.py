"""Cases as data: a small TOML or JSON file that says what to simulate, read strictly."""

from typing import TYPE_CHECKING

from ..core.lazy import renamed as _renamed
from ._case import (
    AttentionTable as AttentionTable,
    Case as Case,
    Manifold as Manifold,
    Output as Output,
    Solver as Solver,
    Time as Time,
    Tokens as Tokens,
)
from ._files import names as names, read as read, write as write
from ._noise import CaseNoise as CaseNoise, NoiseTable as NoiseTable

if not TYPE_CHECKING:  # a type checker takes every name of a module that has this
    __getattr__ = _renamed(__name__, {"Attention": "AttentionTable"})
