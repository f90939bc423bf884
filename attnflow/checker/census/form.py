"""The file of a census: each part of its kind and size."""

from fractions import Fraction
from typing import Any

from ..file import (
    SIGNED,
    are_strings,
    demand,
    has_parts,
    is_of_format,
    is_packed,
    is_short_number,
    is_signed,
    read,
)

FORMAT = "attnflow census 1"
MOST_BYTES, MOST_DEPTH = 2**24, 5
MOST_SYMBOLS, MOST_TOKENS, MOST_SIZE, MOST_BOXES = 2**23, 4, 12, 4_096

_COMMON = SIGNED | {"mask", "tokens"}
_PARTS = {"full": _COMMON | {"sign", "boxes"}, "causal": _COMMON | {"P", "U"}}


def read_census(data: bytes | str) -> dict[str, Any]:
    """A certificate's parts, each of its kind and size."""
    c = read(data, MOST_BYTES, MOST_DEPTH)
    is_of_format(c, FORMAT)
    demand(c.get("mask") in ("full", "causal"), "full or causal attention")
    has_parts(c, _PARTS[c["mask"]], "a certificate")
    is_signed(c, "numpy")
    demand(type(c["tokens"]) is int and 1 <= c["tokens"] <= MOST_TOKENS, "one to four tokens")
    if c["mask"] == "causal":
        for name in "PU":
            _is_matrix(c[name])
        return c
    demand(c["sign"] in (1, -1), "a sign")
    boxes = c["boxes"]
    demand(isinstance(boxes, list) and 0 < len(boxes) <= MOST_BOXES, "boxes of eigenvalues")
    for box in boxes:
        has_parts(box, {"p", "q", "symbols", "packed"}, "a box")
        for name in "pq":
            _are_two(box[name])
        is_packed(box, MOST_SYMBOLS)
    return c


def _is_matrix(M: Any) -> None:
    demand(isinstance(M, list) and len(M) == 2, "matrices of two rows")
    for row in M:
        _are_two(row)


def _are_two(x: Any) -> None:
    demand(are_strings(x) and len(x) == 2, "two numbers in quotes")
    demand(all(map(is_short_number, x)), "numbers as decimals, fractions")
    demand(all(abs(Fraction(a)) <= MOST_SIZE for a in x), f"numbers of size {MOST_SIZE} at most")
