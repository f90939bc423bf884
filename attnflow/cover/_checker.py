"""The checker, which needs python-flint: it is imported when a certificate is written."""

from importlib import import_module
from types import ModuleType


def checker_of(kind: str) -> ModuleType:
    """The part of the checker for covers, or for censuses."""
    try:
        return import_module(f"..checker.{kind}", __package__)
    except ImportError as error:
        raise ImportError(
            "certificates need python-flint, not installed here: pip install 'attnflow[certify]'."
        ) from error
