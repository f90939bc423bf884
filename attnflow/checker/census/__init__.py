"""Counts of all equilibria, and of the stable ones.

Full attention: the file has a tree of bisections of all angles, with a reason a leaf, which is shown again
here. Causal attention: it has nothing but the question, and token after token all equilibria are isolated here anew.
"""

import textwrap
from fractions import Fraction
from typing import Any

from flint import ctx

from ..file import (
    Refused as Refused,
    demand,
    digest as digest,
    is_unaltered,
    matrix_in_words,
    proving,
    unpack as unpack,
)
from .causal import BITS, causal as causal
from .form import FORMAT as FORMAT, MOST_BYTES as MOST_BYTES, read_census as read
from .zeros import full

MOST_SECONDS = 3_600


def prove(c: dict[str, Any]) -> list[str]:
    """What is shown, in words."""
    ctx.prec = BITS
    with proving(MOST_SECONDS):
        return textwrap.wrap(_full(c) if c["mask"] == "full" else _causal(c), 100)


def _full(c: dict[str, Any]) -> str:
    equilibria, stable, (p0, p1, q0, q1) = full(c)
    sign = "c > 0" if c["sign"] == 1 else "c < 0"
    return (
        f"For every symmetric P with eigenvalues p{_within(p0, p1)} and q{_within(q0, q1)}, U = cP, {sign}, "
        f"and {_tokens(c)} on the circle (d = 2, W = I, one head, full attention, softmax or exponential kernel, "
        f"any positive scale): eq. (6) has {equilibria} equilibria up to permutations of tokens and sign "
        f"changes of the axes of P, of which {stable} are exponentially stable and {equilibria - stable} have "
        "a direction of strict growth. Every start converges to one of them; almost every start to one "
        "that is stable."
    )


def _causal(c: dict[str, Any]) -> str:
    branches = causal(c)
    equilibria, stable = len(branches), sum(attracts for _, attracts in branches)
    P, U = matrix_in_words(c["P"]), matrix_in_words(c["U"])
    return (
        f"For P = {P}, U = {U} and {_tokens(c)} on the circle (d = 2, W = I, one head, "
        f"causal attention, softmax or exponential kernel, any positive scale): eq. (6) has {equilibria} "
        f"equilibria, of which {stable} are exponentially stable and {equilibria - stable} have a "
        "direction of strict growth. "
        "Every start converges to one of them; almost every start to one that is stable."
    )


def _tokens(c: dict[str, Any]) -> str:
    return f"{c['tokens']} token{'s' * (c['tokens'] > 1)}"


def _within(lo: Fraction, hi: Fraction) -> str:
    return f" = {lo}" if lo == hi else f" from {lo} to {hi}"


def check(data: bytes | str) -> tuple[dict[str, Any], list[str]]:
    """A certificate's parts, and what they prove in words; else `Refused`."""
    c = read(data)
    is_unaltered(c)
    words = prove(c)
    demand(c["statement"] == words, "what it says in words: it proves something else")
    return c, words
