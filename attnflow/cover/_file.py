"""Certificates of covers: written, and checked by a program that shares no code with the search."""

import base64
import json
import os
import zlib
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__
from ..records import atomic_write
from ._checker import checker_of
from ._types import Codes


def contents(
    weights: tuple[Fraction, ...], beta: tuple[Fraction, Fraction], symbols: Codes
) -> dict[str, Any]:
    """A certificate's data, which the checker has accepted."""
    checker = checker_of("cover")
    packed = zlib.compress(symbols.astype("<u2").tobytes(), 9)
    made: dict[str, Any] = {
        "format": checker.FORMAT,
        "weights": [plain(w) for w in weights],
        "beta": [plain(b) for b in beta],
        "tree": {"symbols": len(symbols), "packed": base64.b64encode(packed).decode()},
        "made by": {"attnflow": __version__, "numpy": np.__version__},
        "statement": [],
    }
    made["statement"] = checker.prove(made)
    made["digest"] = checker.digest(made)
    checker.read(json.dumps(made))
    return made


def plain(x: Fraction) -> str:
    """An exact number as a decimal, where it is a short one; else as a fraction."""
    tens = next((k for k in range(18) if 10**k % x.denominator == 0), None)
    if tens is None or tens == 0:
        return str(x)
    whole = f"{abs(int(x * 10**tens)):0{tens + 1}d}"
    sign = "-" if x < 0 else ""
    return f"{sign}{whole[:-tens]}.{whole[-tens:]}"


def write(made: dict[str, Any], path: str | os.PathLike[str]) -> None:
    """As JSON, whole or not at all."""
    with atomic_write(Path(path)) as file:
        file.write((json.dumps(made, indent=1) + "\n").encode())
