"""Proofs over all states that almost every start synchronises.

The file says how boxes are halved and why each leaf needs no more. Here every leaf is gone through, and its
reason shown again; whether the leaves fill the whole domain follows from the tree.
"""

import textwrap
from collections import Counter
from typing import Any

from flint import ctx

from ..file import (
    Refused as Refused,
    demand,
    digest as digest,
    is_unaltered,
    proving,
    unpack as unpack,
)
from .form import FORMAT as FORMAT, MOST_BYTES as MOST_BYTES, read_cover as read
from .leaves import show
from .question import Question

MOST_SECONDS = 3_600
BITS = 80


def statement(question: Question, kinds: Counter[str]) -> list[str]:
    """The theorem."""
    weights_, (lo, hi) = question.texts
    n, same = question.n, len(set(question.weights)) == 1
    beta = f"every beta with {lo} {'<' if question.open else '<='} beta <= {hi}"
    weights = "" if same else f" of the weights {', '.join(weights_)}"
    words = (
        f"For {beta} and {n} tokens{weights} on the circle (d = 2, W = I, one head, U = I, P = beta I, full "
        "attention, softmax or exponential kernel, any positive scale): every equilibrium of eq. (6) that "
        "is not consensus has a direction of strict growth. Hence almost every start converges to "
        "consensus: all but a set of measure zero."
    )
    leaves = ", ".join(f"{many} {kind}" for kind, many in sorted(kinds.items()))
    return [*textwrap.wrap(words, 100), f"Shown on {kinds.total()} boxes: {leaves}."]


def prove(c: dict[str, Any]) -> list[str]:
    """What the tree proves, in words."""
    ctx.prec = BITS
    with proving(MOST_SECONDS):
        question = Question(c)
        return statement(question, show(question, unpack(c["tree"])))


def check(data: bytes | str) -> tuple[dict[str, Any], list[str]]:
    """A certificate's parts, and what its tree proves in words; else `Refused`."""
    c = read(data)
    is_unaltered(c)
    words = prove(c)
    demand(c["statement"] == words, "what it says in words: its tree proves something else")
    return c, words
