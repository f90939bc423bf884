"""The file of a counterexample as it comes from anybody: read within bounds before anything is computed.

Nothing here runs a field. What is let through has exactly the parts that are known, each of its kind, its
shape and its size; what the numbers are worth is for the check.
"""

import math
import os
from pathlib import Path
from typing import Any

import msgspec

from ..core.words import loads, printable, read_bytes
from ..schedules import Fourier, Piecewise
from ..spec import Case, Manifold, Output, Solver, Time
from ._evidence import STATUSES

FORMAT = "attnflow counterexample 1"
MOST_BYTES, MOST_DEPTH = 2**20, 16
MOST_COORDINATES, MOST_HEADS, MOST_PIECES = 400, 64, 1000
LEAST_SIZE, LARGEST_SIZE = 1e-100, 1e6  # of a number of the case, but zero
MOST_TIME = 1e12
_MOST_LETTERS = 4000
_PARTS = {
    "the file": {"format", "claim", "case", "evidence", "stage", "provenance"},
    "its claim": {"name", "statement", "source"},
}


def contents(path: str | os.PathLike[str]) -> dict[str, Any]:
    """A file's parts, with its digest, as JSON has them.

    **Raises:**

    - `ValueError`: a file too large or deep, that is no JSON, has a key twice or numbers without end.
    """
    data = read_bytes(Path(path), MOST_BYTES)
    return loads(data, most=MOST_DEPTH, finite=True)


def check_parts(parts: dict[str, Any]) -> None:
    """Refuse parts that are missing or unknown, and words that a terminal would obey."""
    _exactly("the file", parts)
    _exactly("its claim", parts["claim"])
    if not all(isinstance(word, str) for word in parts["claim"].values()):
        raise ValueError("its claim must have words for name, statement and source")
    if not isinstance(parts["provenance"], dict):
        raise ValueError("provenance must be a table")
    _check_words(parts)


def _exactly(name: str, part: Any) -> None:
    expected = _PARTS[name]
    if not isinstance(part, dict):
        raise TypeError(f"{name} must be a table of {', '.join(sorted(expected))}")
    if odd := sorted(set(part) ^ expected):
        what = "no part" if odd[0] in expected else "an unknown part"
        raise ValueError(f"{name} has {what} {printable(odd[0])[:60]!r}")


def _check_words(part: Any) -> None:
    if isinstance(part, dict):
        for key, value in part.items():
            _check_words(key)
            _check_words(value)
    elif isinstance(part, list):
        for value in part:
            _check_words(value)
    elif isinstance(part, str):
        if len(part) > _MOST_LETTERS:
            raise ValueError(f"a text in it has {len(part)} letters, {_MOST_LETTERS} allowed")
        if odd := [c for c in part if c != "\n" and printable(c) != c]:
            raise ValueError(f"a text in it has the control character {printable(odd[0])}")


# === the case


def case_of_file(plain: Any) -> Case:
    """A case of exact decimals: rows of tokens, constant, piecewise or Fourier P and U, and no options.

    **Raises:**

    - `ValueError`: another case, or one whose shapes disagree or whose sizes are beyond the bounds.
    """
    case = msgspec.convert(plain, Case)
    tokens, dim = _start(case)
    heads = {h for h in (_table("P", case.attention.P, dim), _heads_of_U(case, dim)) if h > 1}
    if len(heads) > 1:
        raise ValueError(f"P and U must have as many heads; got {' and '.join(map(str, heads))}")
    a = case.attention
    if not (isinstance(a.mask, str) and isinstance(a.kernel, str) and a.normalisation == "post"):
        raise ValueError(
            "its attention must have a full or causal mask, a kernel by name and 'post'"
        )
    if a.frozen is not None:
        raise ValueError("its attention must have no frozen tokens")
    if a.weights is not None:
        _array("weights", a.weights, (tokens,))
    if a.scale is not None:
        _number("scale", a.scale)
    if (case.solver, case.output, case.dtype) != (Solver(), Output(), "float64"):
        raise ValueError("its case must have no solver, no output and dtype float64")
    if case.time != Time(t1=case.time.t1) or not abs(case.time.t1) <= MOST_TIME:
        raise ValueError(f"its time must have a t1 up to {MOST_TIME:g} alone")
    return case


def _start(case: Case) -> tuple[int, int]:
    rows = case.tokens.rows
    if rows is None or not case.tokens.project:
        raise ValueError("its tokens must be rows, projected")
    if not rows or not isinstance(rows[0], list):
        raise ValueError("its rows must be one token at least")
    tokens, dim = len(rows), len(rows[0])
    if dim < 2 or tokens * dim > MOST_COORDINATES:
        raise ValueError(
            f"its rows must have two coordinates at least and {MOST_COORDINATES} in all at most; "
            f"got {tokens} tokens in {dim} dimensions"
        )
    _array("rows", rows, (tokens, dim))
    _manifold(case.manifold, dim)
    return tokens, dim


def _manifold(manifold: Manifold, dim: int) -> None:
    if manifold.space != "sphere":
        raise ValueError("its tokens must be on a sphere or an ellipsoid; space is another")
    if manifold.W is not None:
        _array("W", manifold.W, (dim, dim))
    elif manifold.dim != dim:
        raise ValueError(f"its rows have {dim} coordinates, and dim is {manifold.dim}")


def _heads_of_U(case: Case, dim: int) -> int:
    return 1 if case.attention.U is None else _table("U", case.attention.U, dim)


def _table(name: str, value: Any, dim: int) -> int:
    """The heads of a schedule that a search may have written."""
    if isinstance(value, list):
        return _heads(name, value, dim)
    kind = getattr(value, "cls", None)  # the schedule that a table stands for
    if kind is Piecewise and isinstance(value.values, list):
        pieces = _pieces(name, value.values)
        _array(f"{name}.times", value.times, (pieces - 1,))
        return _same(name, [_heads(name, matrices, dim) for matrices in value.values])
    if (
        kind is Fourier
        and isinstance(value.constant, list)
        and isinstance(value.cosine, list)
        and isinstance(value.sine, list)
    ):
        _number(f"{name}.omega", value.omega)
        terms = [value.constant, *value.cosine, *value.sine]
        if len(value.cosine) != len(value.sine):
            raise ValueError(f"{name} must have as many sines as cosines")
        _pieces(name, terms)
        return _same(name, [_heads(name, matrices, dim) for matrices in terms])
    raise ValueError(f"{name} must be matrices in numbers, piecewise or a Fourier sum of them")


def _pieces(name: str, values: list) -> int:
    if not 1 <= len(values) <= MOST_PIECES:
        raise ValueError(f"{name} must have {MOST_PIECES} matrices at most; got {len(values)}")
    return len(values)


def _same(name: str, heads: list[int]) -> int:
    if len(set(heads)) > 1:
        raise ValueError(f"{name} must have one shape at all times")
    return heads[0]


def _heads(name: str, value: Any, dim: int) -> int:
    """How many matrices: one, or a list of them."""
    if not isinstance(value, list) or not value:
        raise ValueError(f"{name} must be a matrix of numbers, or one for each head: one at least")
    several = isinstance(value[0], list) and value[0] and isinstance(value[0][0], list)
    matrices = value if several else [value]
    if len(matrices) > MOST_HEADS:
        raise ValueError(f"{name} must have {MOST_HEADS} heads at most; got {len(matrices)}")
    for matrix in matrices:
        _array(name, matrix, (dim, dim))
    return len(matrices)


def _array(name: str, value: Any, shape: tuple[int, ...]) -> None:
    if not shape:
        _number(name, value)
        return
    if not isinstance(value, list) or len(value) != shape[0]:
        what = "a matrix" if len(shape) == 2 else "a row"
        raise ValueError(f"{name} must be {what} of numbers, {' x '.join(map(str, shape))}")
    for item in value:
        _array(name, item, shape[1:])


def _number(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{name} must be a number; got {type(value).__name__}")
    size = abs(value)
    if size and not LEAST_SIZE <= size <= LARGEST_SIZE:
        raise ValueError(
            f"{name} must have numbers that are zero or of a size from {LEAST_SIZE:g} to "
            f"{LARGEST_SIZE:g}; got {'a larger' if size > LARGEST_SIZE else 'a smaller'} one"
        )


# === the evidence

_OPTIONAL = (
    "other", "moved", "speed", "rightmost", "error", "family", "period", "basin", "equilibrium",
    "after",
)  # fmt: skip


def check_evidence(plain: Any, tokens: int, dim: int) -> None:
    """Refuse evidence whose status is none, or whose numbers are not finite or of no token here.

    What parts there are, and that words are words and numbers numbers, was looked at.
    """
    if plain["status"] not in STATUSES:
        raise ValueError(f"evidence must have a status that is known; got {plain['status'][:60]!r}")
    for name, value in plain.items():
        if value is None and name in _OPTIONAL:
            continue
        if name in ("equilibrium", "after"):
            if not isinstance(value, list) or any(not isinstance(row, list) for row in value):
                raise ValueError(f"{name} must be {tokens} rows of {dim} numbers")
            _array(name, value, (tokens, dim))
        elif name == "family":
            if type(value) is not int or not 0 <= value <= tokens * dim:
                raise ValueError(f"family must be a whole number up to {tokens * dim}")
        elif name not in ("status", "why") and not _bounded(value):
            raise ValueError(f"{name} must be a finite number up to {MOST_TIME:g}")


def _bounded(value: Any) -> bool:
    return value is not None and math.isfinite(value) and abs(value) <= MOST_TIME
