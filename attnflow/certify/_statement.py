"""What a certificate's numbers prove, in words and symbols: written from the numbers alone."""

import textwrap
from typing import Any

_WIDTH = 100
_KINDS = {
    "turns": "the tokens' orbit under rotations with which P and U commute",
    "moments": "a family of equilibria, since of their equations some follow from the others",
    "consensus": "the family of all tokens at one point",
    "balanced": "the family of tokens whose mean is zero",
}
_BROKEN = {
    "not consensus": "not all tokens of y* are the same: y*_i != y*_j for some i, j",
    "not v": "not all tokens of y* are at v",
    "not a line": "not all tokens of y* are on one line through the origin",
    "not around v": "the tokens of y* are farther from v on average than points spread evenly: "
    "mean (v'y*_i)^2 / |y*_i|^2 < 1/d",
}
_IN_WORDS = {
    "softmax": "rows of attention are softmax",
    "sphere": "W = I",
    "one head": "h = 1",
    "full": "attention is full",
    "causal": "attention is causal",
    "U = I": "every U is the identity",
    "U symmetric": "every U is symmetric",
    "U positive semidefinite": "every U is positive semidefinite",
    "one U": "all heads have one U",
    "v of every U": "v is an eigenvector of every U",
    "sum of U zero": "the U of all heads add up to zero, and are not zero",
    "no token at -y_1": "y_i != -y_1 for all i",
    "lambda > 0": "lambda > 0",
    "lambda < 0": "lambda < 0",
}


def statement(contents: dict[str, Any]) -> list[str]:
    """The lines of the statement."""
    proof, claim = contents["proof"], contents["claim"]
    null = proof["kind"] == "exceptional"
    lines = _model(contents["case"])
    lines += _null(proof) if null else _equilibrium(proof)
    where = "the start" if null or proof["basin"] else "y*"
    if claim["facts"]:
        lines += _claim(claim, where, null)
    return lines


def _model(case: dict[str, Any]) -> list[str]:
    heads, tokens, dim = len(case["P"]), len(case["sees"]), len(case["W"][0])
    sees, every = case["sees"], list(range(tokens))
    mask = "masked"
    if all(row == every for row in sees):
        mask = "full"
    elif sees == [every[: i + 1] for i in every]:
        mask = "causal"
    kernel = "softmax" if case["softmax"] else "exponential"
    head = (
        f"Eq. (6) for {tokens} tokens in R^{dim}, {heads} head{'s' * (heads > 1)}, {mask} attention, "
        f"{kernel} kernel, any positive scale, with"
    )
    lines = _wrapped(head)
    names = [*_named("P", case["P"]), *_named("U", case["U"]), ("W", case["W"][0])]
    lines += [f"  {name} = {_matrix(M)}" for name, M in names]
    if mask == "masked":
        lines.append(f"  token i attending to {sees}, from 0,")
    return lines


def _named(letter: str, matrices: list) -> list[tuple[str, list]]:
    if len(matrices) == 1:
        return [(letter, matrices[0])]
    return [(f"{letter}_{k + 1}", M) for k, M in enumerate(matrices)]


def _matrix(M: list) -> str:
    return "[" + ", ".join("[" + ", ".join(row) + "]" for row in M) + "]"


def _equilibrium(proof: dict[str, Any]) -> list[str]:
    family = proof["family"]
    lines = _wrapped(_found(proof))
    lines += _tokens(proof["tokens"])
    lines.append("(each divided by its length |.|_W).")
    if not proof["stable"]:
        return lines + _wrapped(
            "It is unstable: an eigenvalue of the flow's Jacobian there has a positive real part."
        )
    if family == "none":
        lines += _wrapped(
            "All eigenvalues of the flow's Jacobian there have negative real parts: y* is exponentially "
            "stable, and an open set of starts converges to it."
        )
    elif family == "still":
        lines += _wrapped("The field is zero everywhere: no token ever moves.")
    else:
        frame = "turning frame's" if family == "turns" else "flow's"
        goes = "that orbit" if family == "turns" else "equilibria of the family near y*"
        lines += _wrapped(
            f"It belongs to {_KINDS[family]}. Zero is an eigenvalue of the {frame} Jacobian as many times "
            "as the family has dimensions, and all others have negative real parts: starts near y* stay near "
            f"the family and go to {goes}."
        )
    if proof["basin"]:
        time = proof["basin"]["time"]
        lines.append("The solution from the start")
        lines += _tokens(proof["basin"]["start"])
        lines += _wrapped(
            "(likewise divided) converges to y*, as those from all starts near it do: by the time "
            f"{time} / scale it is in a basin of attraction."
        )
    return lines


def _found(proof: dict[str, Any]) -> str:
    radius, family = proof["radius"], proof["family"]
    if family in ("consensus", "balanced", "still"):
        return "has the equilibrium y* that is"
    if family == "turns":
        speeds = ", ".join(proof["turning"])
        return (
            "has, on a slice across its orbit, one solution that turns rigidly, exp(-t sum_k mu_k R_k) y*, with "
            f"rotations R_k that keep P, U and W and mu = ({speeds}), where mu and y* are within {radius}, in "
            "each coordinate, of those numbers and of"
        )
    on = ", on a slice across a family," if family != "none" else ""
    return f"has{on} one equilibrium y* within {radius}, in each coordinate, of"


def _null(proof: dict[str, Any]) -> list[str]:
    lines = ["has, for the first two tokens", *_tokens(proof["tokens"])]
    lines += ["and some third token between", *_tokens(proof["thirds"], ["y_3", "y_3'"])]
    lines += ["(each divided by its length), a solution whose third token stays"]
    lines += ["between -y_1 and -y_2 for ever, and so comes to -y_1 as y_2 comes to y_1."]
    return lines


def _claim(claim: dict[str, Any], where: str, null: bool) -> list[str]:
    said = [_IN_WORDS[name] for name in claim["facts"] if name in _IN_WORDS]
    if claim["top"]:
        said.append("the sum of all U has a simple top eigenvalue lambda, with eigenvector v")
    if "v'y of one sign" in claim["facts"]:
        v = "" if claim["top"] else ", v = (" + ", ".join(claim["v"]) + ")"
        said.append(f"v'y_i is positive, or negative, for all tokens of {where}{v}")
    lines = _wrapped("Moreover " + "; ".join(said) + ".") if said else []
    if not null:
        lines += _wrapped("And " + next(_BROKEN[n] for n in claim["facts"] if n in _BROKEN) + ".")
    if "name" in claim:
        on = "for a start" if null else "on an open set of starts"
        source = f" ({claim['source']})" if claim["source"] else ""
        lines += _wrapped(f"So the claim {claim['name']!r}{source} is false {on}: {claim['says']}")
    return lines


def _tokens(rows: list, names: list[str] | None = None) -> list[str]:
    names = names or [f"y_{i + 1}" for i in range(len(rows))]
    return [f"  {name} = (" + ", ".join(row) + ")" for name, row in zip(names, rows, strict=True)]


def _wrapped(words: str) -> list[str]:
    return textwrap.wrap(words, _WIDTH, break_long_words=False)
