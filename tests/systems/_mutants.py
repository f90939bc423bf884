"""The checker of certificates with other text in one of its files."""

import shutil
import sys
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType

from attnflow import checker

CHECKER = Path(checker.__file__).parent


def checker_with(file: str, text: str, part: str) -> ModuleType:
    """A part of it, such as `equilibria`, imported from a copy in which one file is changed."""
    with TemporaryDirectory() as folder:
        home = Path(folder) / "mutant"
        shutil.copytree(CHECKER, home, ignore=shutil.ignore_patterns("__pycache__"))
        (home / file).write_text(text)
        spec = spec_from_file_location("mutant", home / "__init__.py")
        assert spec is not None
        assert spec.loader is not None
        sys.modules["mutant"] = package = module_from_spec(spec)
        try:
            spec.loader.exec_module(package)
            return import_module(f"mutant.{part}")
        finally:
            for name in [m for m in sys.modules if m.partition(".")[0] == "mutant"]:
                del sys.modules[name]
