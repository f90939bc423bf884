"""An equilibrium or a start on a null set, its stability, and the claim that it refutes."""

from typing import Any

from flint import ctx

from ..balls import derivative as derivative, dot as dot, exact as exact, growth as growth
from ..file import (
    Refused as Refused,
    demand,
    digest as digest,
    is_unaltered,
    proving,
)
from .claims import (
    ALMOST as ALMOST,
    AS_WRITTEN as AS_WRITTEN,
    CLAIMS as CLAIMS,
    EVERY as EVERY,
    UNSAID,
    Refutable as Refutable,
    facts as facts,
    show_claim,
)
from .flow import Flow as Flow
from .form import FORMAT as FORMAT, MOST_BYTES as MOST_BYTES, read_equilibrium as read
from .null import show_exceptional
from .rest import show_equilibrium as show_equilibrium
from .words import statement as statement

MOST_SECONDS = 900


def check(
    data: bytes | str, claims: dict[str, Refutable] = CLAIMS
) -> tuple[dict[str, Any], list[str]]:
    """A certificate's parts, and what its numbers prove in words; else `Refused`.

    `claims` are the ones that it may refute.
    """
    c = read(data)
    is_unaltered(c)
    words = prove(c, claims)
    demand(c["statement"] == words, "what it says in words: its numbers prove something else")
    return c, words


def prove(c: dict[str, Any], claims: dict[str, Refutable] = CLAIMS) -> list[str]:
    """What the numbers prove, in words."""
    given, claim = c["claim"], None
    if "name" in given:
        claim = claims.get(given["name"])
        demand(claim, "a claim that is known here; of one's own, give its claim too")
    wanted, top = (claim.facts, claim.top) if claim else ([], False)
    named = [AS_WRITTEN.get(name, name) for name in wanted if name not in UNSAID]
    listed = [name for name in given["facts"] if name not in UNSAID]
    demand((listed, given["top"]) == (named, top), "the claim's own facts")
    ctx.prec = c["bits"]
    with proving(MOST_SECONDS):
        flow = Flow(c["case"])
        show = show_equilibrium if c["proof"]["kind"] == "equilibrium" else show_exceptional
        start, limit = show(flow, c["proof"])
        if claim:
            show_claim(flow, given, c["proof"], start, limit, claim)
    return statement(c, claim)
