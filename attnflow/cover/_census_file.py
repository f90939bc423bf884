"""Certificates of censuses: written, and checked by a program that shares no code with the search."""

import base64
import json
import zlib
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from .. import __version__
from ._checker import checker_of
from ._file import plain
from ._types import Codes, Floats

Row = tuple[Fraction, Fraction, Fraction, Fraction, Codes]


def full_contents(rows: Sequence[Row], sign: int, tokens: int) -> dict[str, Any]:
    """A certificate of full attention, which the checker has accepted: ranges of p and q, each with its tree."""
    boxes = []
    for p0, p1, q0, q1, symbols in rows:
        packed = zlib.compress(symbols.astype("<u2").tobytes(), 9)
        boxes.append(
            {
                "p": [plain(p0), plain(p1)],
                "q": [plain(q0), plain(q1)],
                "symbols": len(symbols),
                "packed": base64.b64encode(packed).decode(),
            }
        )
    return _accepted({"mask": "full", "tokens": tokens, "sign": sign, "boxes": boxes})


def causal_contents(P: list[list[str]], U: list[list[str]], tokens: int) -> dict[str, Any]:
    """A certificate of causal attention: the question, and what the checker answers."""
    return _accepted({"mask": "causal", "tokens": tokens, "P": P, "U": U})


def _accepted(parts: dict[str, Any]) -> dict[str, Any]:
    checker = checker_of("census")
    made = {
        "format": checker.FORMAT,
        **parts,
        "made by": {"attnflow": __version__, "numpy": np.__version__},
        "statement": [],
    }
    try:
        made["statement"] = checker.prove(made)
    except checker.Refused as error:
        raise ValueError(f"there is no certificate to save: {error}.") from error
    made["digest"] = checker.digest(made)
    checker.read(json.dumps(made))
    return made


def causal_counts(
    P: list[list[str]], U: list[list[str]], tokens: int
) -> tuple[tuple[int | None, int | None], str, Floats, tuple[bool, ...]]:
    """Equilibria and stable ones of causal attention, why not, their angles, and which are stable."""
    checker = checker_of("census")
    try:
        branches = checker.causal({"P": P, "U": U, "tokens": tokens})
    except checker.Refused as error:
        return (None, None), str(error), np.zeros((0, tokens)), ()
    angles = [[float(x.mid()) for x in before] for before, _ in branches]
    stable = tuple(attracts for _, attracts in branches)
    counts = (len(branches), sum(stable))
    return counts, "all zeros are simple", np.array(angles).reshape(-1, tokens), stable
