"""The file of an equilibrium: each part of its kind, shape and size."""

import re
from fractions import Fraction
from typing import Any

from ..file import SIGNED, are_strings, demand, has_parts, is_of_format, is_signed, read
from .families import FAMILIES, KNOWN

FORMAT = "attnflow certificate 1"
MOST_BYTES, MOST_DEPTH = 2**20, 8
MOST_DIGITS, MOST_EXPONENT = 400, 400
LEAST_BITS, MOST_BITS = 64, 1024
MOST_HEADS, MOST_COORDINATES = 16, 100
MOST_TIME = 10_000


_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,4})?|-?[0-9]+/[0-9]+")
_PARTS = {
    "a certificate": SIGNED | {"bits", "case", "proof", "claim"},
    "case": {"P", "U", "W", "sees", "softmax"},
    "claim": {"facts", "top", "v"},
    "claim, of a name": {"facts", "top", "v", "name", "says", "source"},
    "equilibrium": {
        "kind", "tokens", "radius", "family", "generators", "turning", "slices", "stable", "basin",
    },
    "exceptional": {"kind", "tokens", "thirds", "times"},
    "basin": {"axes", "reach", "weights", "start", "time"},
}  # fmt: skip


def read_equilibrium(data: bytes | str) -> dict[str, Any]:
    """A certificate's parts, each of its kind, shape and size."""
    c = read(data, MOST_BYTES, MOST_DEPTH)
    is_of_format(c, FORMAT)
    has_parts(c, _PARTS["a certificate"], "a certificate")
    is_signed(c, "python-flint")
    demand(type(c["bits"]) is int, "a whole number of bits")
    demand(LEAST_BITS <= c["bits"] <= MOST_BITS, f"a precision of {LEAST_BITS} to {MOST_BITS} bits")
    tokens, dim = _is_case(c["case"])
    _is_proof(c["proof"], tokens, dim)
    _is_claim(c["claim"], dim)
    return c


def _is_case(case: Any) -> tuple[int, int]:
    """The numbers of tokens and of dimensions."""
    has_parts(case, _PARTS["case"], "the case")
    demand(type(case["softmax"]) is bool, "a kernel")
    sees = case["sees"]
    demand(isinstance(sees, list) and len(sees) > 0, "one token at least")
    demand(isinstance(case["W"], list) and len(case["W"]) == 1, "one matrix W")
    dim = len(case["W"][0]) if isinstance(case["W"][0], list) else 0
    demand(dim >= 2, "two dimensions at least")
    demand(
        len(sees) * dim <= MOST_COORDINATES,
        f"at most {MOST_COORDINATES} coordinates; it has {len(sees)} tokens in {dim} dimensions",
    )
    for i, row in enumerate(sees):
        demand(isinstance(row, list) and row, f"somebody that token {i + 1} attends to")
        demand(all(type(j) is int for j in row), "a mask of whole numbers")
        demand(row == sorted(set(row)) and row[0] >= 0 and row[-1] < len(sees), "a mask in order")
    heads = len(case["P"]) if isinstance(case["P"], list) else 0
    demand(1 <= heads <= MOST_HEADS, f"one head at least and {MOST_HEADS} at most")
    demand(isinstance(case["U"], list) and len(case["U"]) == heads, "a U for each P")
    for M in (*case["P"], *case["U"], *case["W"]):
        _is_matrix(M, dim, dim)
    return len(sees), dim


def _is_proof(p: Any, tokens: int, dim: int) -> None:
    demand(isinstance(p, dict) and p.get("kind") in ("equilibrium", "exceptional"), "a proof")
    has_parts(p, _PARTS[p["kind"]], "the proof")
    if p["kind"] == "exceptional":
        demand((tokens, dim) == (3, 2), "three tokens in the plane")
        _is_matrix(p["tokens"], 2, 2)
        _is_matrix(p["thirds"], 2, 2)
        _is_vector(p["times"], 2)
        demand(all(0 <= Fraction(x) <= MOST_TIME for x in p["times"]), "times of a run")
        return
    _is_matrix(p["tokens"], tokens, dim)
    _is_number(p["radius"])
    demand(0 < Fraction(p["radius"]) <= 1, "a radius of more than 0 and at most 1")
    demand(p["family"] in FAMILIES, "a kind of family that is known")
    demand(type(p["stable"]) is bool, "stable or not")
    demand(isinstance(p["generators"], list), "rotations")
    many = len(p["generators"])
    demand(many <= tokens * dim, "fewer rotations")
    for M in p["generators"]:
        _is_matrix(M, dim, dim)
    solved = p["family"] not in KNOWN
    _is_vector(p["turning"], many if solved else 0)
    _is_matrix(p["slices"], many if solved else 0, tokens * dim)
    if p["basin"] is not None:
        b, n = p["basin"], tokens * dim
        has_parts(b, _PARTS["basin"], "the basin")
        _is_matrix(b["axes"], n, n)
        _is_vector(b["weights"], n)
        _is_matrix(b["start"], tokens, dim)
        for name in ("reach", "time"):
            _is_number(b[name])
        demand(Fraction(b["reach"]) > 0, "a reach of more than zero")
        demand(all(Fraction(w) > 0 for w in b["weights"]), "weights of more than zero")
        demand(0 <= Fraction(b["time"]) <= MOST_TIME, "a time of a run")


def _is_claim(claim: Any, dim: int) -> None:
    named = isinstance(claim, dict) and "name" in claim
    has_parts(claim, _PARTS["claim, of a name" if named else "claim"], "the claim")
    demand(are_strings(claim["facts"]), "facts by name")
    demand(type(claim["top"]) is bool, "about the top eigenvector or not")
    _is_vector(claim["v"], dim)
    if named:
        demand(are_strings([claim["name"], claim["says"], claim["source"]]), "a claim's name")


def _is_number(x: Any) -> None:
    demand(isinstance(x, str) and _NUMBER.fullmatch(x) is not None, "numbers as decimals in quotes")
    digits, _, exponent = x.lower().partition("e")
    demand(len(digits) <= MOST_DIGITS, f"numbers of at most {MOST_DIGITS} digits")
    demand(abs(int(exponent or 0)) <= MOST_EXPONENT, f"exponents of at most {MOST_EXPONENT}")
    _, _, below = digits.partition("/")
    demand(below == "" or int(below) != 0, "fractions of something")


def _is_vector(x: Any, length: int) -> None:
    demand(isinstance(x, list) and len(x) == length, f"a row of {length} numbers")
    for a in x:
        _is_number(a)


def _is_matrix(x: Any, rows: int, columns: int) -> None:
    demand(isinstance(x, list) and len(x) == rows, f"a matrix of {rows} rows")
    for row in x:
        _is_vector(row, columns)
