"""Compiled programs: kept from one process to the next, and what a wrong value does inside one."""

from typing import TYPE_CHECKING

from ..core.checks import raise_under_jit as raise_under_jit
from ..core.lazy import renamed as _renamed
from ._cache import cache as cache, cached as cached

if not TYPE_CHECKING:  # a type checker takes every name of a module that has this
    __getattr__ = _renamed(__name__, {"kept": "cached"})
