"""The words of the library's claims, collected from the files that hold these; JAX is not needed to read them."""

from . import _extensions, _theorems
from ._statement import Statement

STATEMENTS: tuple[Statement, ...] = (*_theorems.STATEMENTS, *_extensions.STATEMENTS)
"""The words of the library's claims, in the order of [`CLAIMS`][attnflow.search.CLAIMS]."""
