"""Compiled programs: kept from one process to the next, and what a wrong value does inside one."""

from ..core.checks import raise_under_jit as raise_under_jit
from ._cache import cache as cache, kept as kept
