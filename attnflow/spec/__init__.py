"""Cases as data: a small TOML or JSON file that says what to simulate, read strictly."""

from ._case import (
    Attention as Attention,
    Case as Case,
    Manifold as Manifold,
    Output as Output,
    Solver as Solver,
    Time as Time,
    Tokens as Tokens,
)
from ._files import names as names, read as read, write as write
