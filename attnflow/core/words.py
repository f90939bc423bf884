"""Words from files: JSON read strictly, and text that may be put on a terminal."""

import json
import math
import unicodedata
from pathlib import Path
from typing import Any

_MOST_NESTED = 500  # of what programs write; a case, which is written by hand, has fewer
_MOST_DIGITS = 40  # of a number in a file of exact numbers; the longest float64 takes 24
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
# Controls, formats that turn text around, halves of characters, separators of lines and paragraphs.
_UNSEEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def printable(text: object) -> str:
    r"""`text` with what a terminal would obey, not show, as escapes: `\x1b` for Escape.

    A title comes from a file that may be anybody's, and a control sequence in it could rewrite what
    was printed before.
    """
    return "".join(c if unicodedata.category(c) not in _UNSEEN else _escaped(c) for c in str(text))


def printable_lines(text: object) -> str:
    """`text` as [`printable`][], but for the ends of its lines: a report that holds a file's names."""
    return "\n".join(map(printable, str(text).split("\n")))


def _escaped(character: str) -> str:
    return ascii(character)[1:-1]


def read_bytes(path: Path, most: int) -> bytes:
    """A file of at most `most` bytes: no more is read of one that is larger or has no end."""
    with path.open("rb") as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise ValueError(f"it has more than {most:,} bytes")
    return data


def loads(text: str | bytes, *, most: int = _MOST_NESTED, finite: bool = False) -> Any:
    """JSON, in which no key of an object is there twice and nothing is nested beyond reason.

    Readers differ in which of two equal keys they take, so that one file could say two things.

    **Arguments:**

    - `most`: how deep lists and objects may be nested.
    - `finite`: refuse NaN, infinity, numbers beyond float64 and numbers of very many digits.

    **Raises:**

    `ValueError` of one line.
    """
    check_nesting(text, most)
    if not finite:
        return json.loads(text, object_pairs_hook=_once)
    return json.loads(
        text, object_pairs_hook=_once, parse_int=_whole, parse_float=_real, parse_constant=_real
    )


def _whole(digits: str) -> int:
    _real(digits)
    return int(digits)


def _real(digits: str) -> float:
    if len(digits) > _MOST_DIGITS:
        raise ValueError(f"a number has {len(digits)} digits, {_MOST_DIGITS} allowed")
    if not math.isfinite(number := float(digits)):
        raise ValueError(f"a number is not finite: {digits}")
    return number


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {twice[:60]!r} is there twice in one object; drop one")
    return table


def check_nesting(text: str | bytes, most: int = _MOST_NESTED) -> None:
    """Refuse text whose brackets nest deeper than any case does, before a reader recurses into it.

    Brackets are counted as they come, those inside words too: a word of so many open brackets is refused
    with the rest, which no honest file holds.
    """
    depth = 0
    data = text.encode("utf-8", "replace") if isinstance(text, str) else text
    for byte in data.translate(None, _NO_BRACKETS):
        if byte in b"[{":
            depth += 1
            if depth > most:
                raise ValueError(
                    f"lists and tables are nested more than {most} deep; make it flatter"
                )
        elif byte in b"]}":
            depth = max(0, depth - 1)
