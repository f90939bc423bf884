"""Attention as a dynamical system: tokens on an ellipsoid, moved by multi-head attention.

The everyday names are here, flat (`attnflow.Sphere`, `attnflow.simulate`, ...); the rest is in the
sub-namespaces `attnflow.geometry`, `attnflow.schedules`, and so on. Nothing is imported until it is
asked for, so that `import attnflow` takes milliseconds and does not import JAX: the names are those of
the stub beside this file, `__init__.pyi`.
"""

from lazy_loader import attach_stub as _attach_stub

__version__ = "0.9.0"

__getattr__, _, _names = _attach_stub(__name__, __file__)
__all__ = ["__version__", *_names]  # pyright: ignore[reportUnsupportedDunderAll]


def __dir__() -> list[str]:
    return __all__
