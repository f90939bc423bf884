"""The file of a cover: each part of its kind and size."""

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

FORMAT = "attnflow cover 1"
MOST_BYTES, MOST_DEPTH = 2**24, 4
MOST_SYMBOLS, MOST_TOKENS = 2**24, 9

_PARTS = SIGNED | {"weights", "beta", "tree"}


def read_cover(data: bytes | str) -> dict[str, Any]:
    """A certificate's parts, each of its kind and size."""
    c = read(data, MOST_BYTES, MOST_DEPTH)
    is_of_format(c, FORMAT)
    has_parts(c, _PARTS, "a certificate")
    is_signed(c, "numpy")
    demand(are_strings(c["weights"]), "weights as decimals in quotes")
    demand(2 <= len(c["weights"]) <= MOST_TOKENS, f"two tokens at least, {MOST_TOKENS} at most")
    demand(are_strings(c["beta"]) and len(c["beta"]) == 2, "beta as two decimals in quotes")
    numbers = (*c["weights"], *c["beta"])
    demand(all(map(is_short_number, numbers)), "numbers as decimals, fractions")
    has_parts(c["tree"], {"symbols", "packed"}, "a tree")
    is_packed(c["tree"], MOST_SYMBOLS)
    return c
