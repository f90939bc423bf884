"""What was proved, in words, from the numbers alone."""

import textwrap
from typing import Any

from ..file import matrix_in_words
from .claims import BROKEN_IN_WORDS, IN_WORDS, Refutable
from .families import KNOWN

_WIDTH = 100
_KINDS = {
    "turns": "the tokens' orbit under rotations with which P and U commute",
    "moments": "a family of equilibria, since of their equations some follow from the others",
    "consensus": "the family of all tokens at one point",
    "balanced": "the family of tokens whose mean is zero",
}


def statement(c: dict[str, Any], claim: Refutable | None = None) -> list[str]:
    """The lines of what was proved. `claim` is what is refuted, if anything is."""
    proof = c["proof"]
    null = proof["kind"] == "exceptional"
    lines = _model(c["case"])
    lines += _neighbours(proof) if null else _equilibrium(proof)
    return lines if claim is None else lines + _refuted(c["claim"], proof, claim)


def _model(case: dict[str, Any]) -> list[str]:
    heads, tokens, dim = len(case["P"]), len(case["sees"]), len(case["W"][0])
    sees, every = case["sees"], list(range(tokens))
    mask = "masked"
    if all(row == every for row in sees):
        mask = "full"
    elif sees == [every[: i + 1] for i in every]:
        mask = "causal"
    kernel = "softmax" if case["softmax"] else "exponential"
    lines = _wrapped(
        f"Eq. (6) for {tokens} tokens in R^{dim}, {heads} head{'s' * (heads > 1)}, {mask} attention, "
        f"{kernel} kernel, any positive scale, with"
    )
    names = [*_named("P", case["P"]), *_named("U", case["U"]), ("W", case["W"][0])]
    lines += [f"  {name} = {matrix_in_words(M)}" for name, M in names]
    if mask == "masked":
        lines.append(f"  token i attending to {sees}, from 0,")
    return lines


def _named(letter: str, matrices: list[Any]) -> list[tuple[str, list[Any]]]:
    if len(matrices) == 1:
        return [(letter, matrices[0])]
    return [(f"{letter}_{k + 1}", M) for k, M in enumerate(matrices)]


def _equilibrium(proof: dict[str, Any]) -> list[str]:
    lines = _wrapped(_there_is(proof))
    lines += _tokens(proof["tokens"])
    lines.append("(each divided by its length |.|_W).")
    if not proof["stable"]:
        return lines + _wrapped(
            "It is unstable: an eigenvalue of the flow's Jacobian there has a positive real part."
        )
    lines += _wrapped(_stable(proof["family"]))
    if proof["basin"]:
        lines.append("The solution from the start")
        lines += _tokens(proof["basin"]["start"])
        lines += _wrapped(
            "(likewise divided) converges to y*, as those from all starts near it do: by the time "
            f"{proof['basin']['time']} / scale it is in a basin of attraction."
        )
    return lines


def _stable(family: str) -> str:
    if family == "none":
        return (
            "All eigenvalues of the flow's Jacobian there have negative real parts: y* is exponentially "
            "stable, and an open set of starts converges to it."
        )
    if family == "still":
        return "The field is zero everywhere: no token ever moves."
    frame = "turning frame's" if family == "turns" else "flow's"
    goes = "that orbit" if family == "turns" else "equilibria of the family near y*"
    return (
        f"It belongs to {_KINDS[family]}. Zero is an eigenvalue of the {frame} Jacobian as many times "
        "as the family has dimensions, and all others have negative real parts: starts near y* stay near "
        f"the family and go to {goes}."
    )


def _there_is(proof: dict[str, Any]) -> str:
    radius, family = proof["radius"], proof["family"]
    if family in KNOWN:
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


def _neighbours(proof: dict[str, Any]) -> list[str]:
    lines = ["has, for the first two tokens", *_tokens(proof["tokens"])]
    lines += ["and some third token between", *_tokens(proof["thirds"], ["y_3", "y_3'"])]
    lines += ["(each divided by its length), a solution whose third token stays"]
    lines += ["between -y_1 and -y_2 for ever, and so comes to -y_1 as y_2 comes to y_1."]
    return lines


def _refuted(given: dict[str, Any], proof: dict[str, Any], claim: Refutable) -> list[str]:
    null = proof["kind"] == "exceptional"
    where = "the start" if null or proof["basin"] else "y*"
    parts = [IN_WORDS[name] for name in claim.supposes if name in IN_WORDS]
    if claim.top:
        parts.append("the sum of all U has a simple top eigenvalue lambda, with eigenvector v")
    if {"v'y of one sign", "hemisphere"} & set(claim.supposes):
        v = "" if claim.top else ", v = (" + ", ".join(given["v"]) + ")"
        parts.append(f"v'y_i is positive, or negative, for all tokens of {where}{v}")
    lines = _wrapped("Moreover " + "; ".join(parts) + ".")
    if not null:
        lines += _wrapped("And " + BROKEN_IN_WORDS[claim.broken] + ".")
    open_set = not null and proof["stable"]
    on = "on an open set of starts" if open_set else "for a start"
    source = f" ({claim.source})" if claim.source else ""
    return lines + _wrapped(f"So the claim {given['name']!r}{source} is false {on}: {claim.says}")


def _tokens(rows: list[Any], names: list[str] | None = None) -> list[str]:
    names = names or [f"y_{i + 1}" for i in range(len(rows))]
    return [f"  {name} = (" + ", ".join(row) + ")" for name, row in zip(names, rows, strict=True)]


def _wrapped(words: str) -> list[str]:
    return textwrap.wrap(words, _WIDTH, break_long_words=False)
