"""Claims, what breaks them, and how hard it was tried.

Nothing is imported until it is asked for: the names are those of the stub beside this file, `__init__.pyi`.
"""

from lazy_loader import attach_stub as _attach_stub

__getattr__, __dir__, __all__ = _attach_stub(__name__, __file__)
