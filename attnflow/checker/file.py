"""What every file is held to before anything is computed from it, and how a proof is refused.

Files are bounded, have no key twice, and exactly the parts that are known.
"""

import base64
import hashlib
import json
import re
import sys
import time
import zlib
from array import array
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any


class Refused(ValueError):
    """What a file says was not shown."""


def demand(holds: Any, what: str) -> None:
    """Refuse, unless something holds for certain."""
    if not holds:
        raise Refused(f"not shown: {what}")


# === JSON, read strictly


def read(data: bytes | str, most_bytes: int, most_depth: int) -> Any:
    """What a file of JSON holds, if it is no larger and no deeper than this."""
    raw = data.encode() if isinstance(data, str) else data
    demand(len(raw) <= most_bytes, f"a file of at most {most_bytes} bytes; it has {len(raw)}")
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise Refused("not shown: a file of text in UTF-8") from None
    demand(_depth(text) <= most_depth, f"brackets at most {most_depth} deep")
    try:
        return json.loads(text, object_pairs_hook=_once, parse_int=_small)
    except json.JSONDecodeError as error:
        raise Refused(f"not shown: a file of JSON ({error})") from None


def _depth(text: str) -> int:
    """How deep brackets are nested; those inside strings count too, which only refuses more."""
    depth = most = 0
    for letter in re.findall(r"[\[{\]}]", text):
        depth += 1 if letter in "[{" else -1
        most = max(most, depth)
    return most


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    demand(len(set(names)) == len(names), "an object without a key that is there twice")
    return dict(pairs)


def _small(text: str) -> int:
    demand(len(text) <= 9, "whole numbers of at most nine digits")
    return int(text)


# === parts that all kinds of certificates have

SIGNED = {"format", "made by", "statement", "digest"}


def is_of_format(c: Any, kind: str) -> None:
    """A certificate of this kind."""
    demand(isinstance(c, dict), "a certificate as an object with parts")
    given = str(c.get("format"))
    demand(given == kind, f"a file of the format {kind!r}; it is of {ascii(given)[:60]}")


def has_parts(part: Any, names: Iterable[str], what: str) -> None:
    """These parts, and no others."""
    demand(isinstance(part, dict), f"{what} as an object with parts")
    odd = sorted(set(part) ^ set(names))
    demand(not odd, f"{what} with its parts and no others: see {odd[:1]!r:.60}")


def is_signed(c: dict[str, Any], maker: str) -> None:
    """Who made it, what it says, and a digest: words, of which none is believed."""
    has_parts(c["made by"], {"attnflow", maker}, "who made it")
    demand(all(isinstance(x, str) for x in c["made by"].values()), "who made it as two words")
    demand(are_strings(c["statement"]), "a statement of lines")
    demand(isinstance(c["digest"], str), "a digest")


def are_strings(x: Any) -> bool:
    """A list of strings."""
    return isinstance(x, list) and all(isinstance(a, str) for a in x)


_SHORT = re.compile(r"-?[0-9]{1,20}(\.[0-9]{1,30})?|-?[0-9]{1,20}/[0-9]{1,20}")


def is_short_number(x: str) -> bool:
    """A decimal or a fraction of bounded length."""
    return _SHORT.fullmatch(x) is not None and not re.search(r"/0+$", x)


def is_packed(part: dict[str, Any], most: int) -> None:
    """A tree's symbols, packed, and how many there are."""
    demand(type(part["symbols"]) is int and isinstance(part["packed"], str), "a tree, packed")
    demand(0 < part["symbols"] <= most, f"at most {most} symbols")


def unpack(part: dict[str, Any]) -> "array[int]":
    """The symbols of a tree: no more of them than it says are ever made."""
    size = 2 * part["symbols"]
    try:
        opened = zlib.decompressobj()
        raw = opened.decompress(base64.b64decode(part["packed"], validate=True), size + 1)
    except (ValueError, zlib.error) as error:
        raise Refused(f"not shown: a packed tree ({error})") from None
    demand(len(raw) == size and opened.eof and not opened.unused_data, "as many symbols as it says")
    symbols = array("H", raw)
    if sys.byteorder == "big":
        symbols.byteswap()
    return symbols


MOST_HALVINGS = 48


def halves(
    at: list[int], depth: list[int], axis: int
) -> tuple[tuple[list[int], list[int]], tuple[list[int], list[int]]]:
    """A box cut in two along an axis, the lower and the upper half: together they are all of it.

    Side i is the one numbered `at[i]` of 2**depth[i] equal parts.
    """
    demand(depth[axis] < MOST_HALVINGS, f"sides halved at most {MOST_HALVINGS} times")
    deeper, lower, upper = [*depth], [*at], [*at]
    deeper[axis] += 1
    lower[axis], upper[axis] = 2 * at[axis], 2 * at[axis] + 1
    return (lower, deeper), (upper, deeper)


def digest(contents: dict[str, Any]) -> str:
    """SHA-256 of the other parts. It shows a slip of the hand; anyone can make one that fits."""
    rest = {name: part for name, part in contents.items() if name != "digest"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def is_unaltered(c: dict[str, Any]) -> None:
    """With the digest of its other parts."""
    demand(c["digest"] == digest(c), "an unaltered file")


# === a proof's time, and balls that are too wide

_limit = [float("inf"), float("inf")]  # of the processor's time: when a proof ends; how long it has


@contextmanager
def proving(seconds: float) -> Iterator[None]:
    """A proof: of this much of the processor's time, and refused where balls are too wide."""
    _limit[:] = [time.process_time() + seconds, seconds]
    try:
        yield
    except Refused:
        raise
    except (ValueError, ZeroDivisionError, OverflowError) as error:  # too wide to divide by
        raise Refused(f"not shown: anything, the enclosures are too wide ({error})") from None
    finally:
        _limit[:] = [float("inf")] * 2


def in_time() -> None:
    """Refuse a proof that takes longer than it may."""
    demand(time.process_time() < _limit[0], f"a proof within {_limit[1]:g} seconds")


def matrix_in_words(M: list[list[str]]) -> str:
    """A matrix's rows in brackets."""
    return "[" + ", ".join("[" + ", ".join(row) + "]" for row in M) + "]"
