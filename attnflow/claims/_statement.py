"""The words of a claim: what it is called, says, and where it is from; JAX is not needed to read them."""

from typing import TypedDict

PAPER = "arXiv:2412.02682"
ATLAS = "arXiv:2411.04990, Table 1"


class Statement(TypedDict):
    """The words of a claim: a part of what a `Claim` is made of."""

    name: str
    statement: str
    source: str


def by_name(statements: tuple[Statement, ...]) -> dict[str, Statement]:
    """Each by what it is called."""
    return {words["name"]: words for words in statements}
