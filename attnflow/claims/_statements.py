"""What the library's claims are called, say, and where they are from; JAX is not needed to read them."""

from typing import TypedDict

_PAPER = "arXiv:2412.02682"
_ATLAS = "arXiv:2411.04990, Table 1"


class Statement(TypedDict):
    """The words of a claim: a part of what a `Claim` is made of."""

    name: str
    statement: str
    source: str


def statement_of(name: str) -> Statement:
    """The words of the claim of that name."""
    return _BY_NAME[name]


STATEMENTS: tuple[Statement, ...] = (
    Statement(
        name="3.2",
        statement="Full attention with U = I and bounded, uniformly continuous P(t) takes tokens "
        "that share an open hemisphere to consensus.",
        source=f"Theorem 3.2, {_PAPER}",
    ),
    Statement(
        name="3.2, V falls",
        statement="Full attention with U = I: V(y) = max_i (1 - v'y_i) never grows while v'y_i > 0.",
        source=f"Theorem 3.2, {_PAPER}",
    ),
    Statement(
        name="3.2 with jumps",
        statement="Full attention with U = I and bounded P(t) that jumps takes tokens that share an "
        "open hemisphere to consensus.",
        source=f"Theorem 3.2, {_PAPER}, without uniform continuity: a few jumps",
    ),
    Statement(
        name="4.2",
        statement="Causal attention on the sphere with U = I and bounded P(t) takes almost every "
        "start to its first token.",
        source=f"Theorem 4.2, {_PAPER}, Table 1",
    ),
    Statement(
        name="4.2 as printed",
        statement="Causal attention on the sphere with U = I and bounded P takes every start with "
        "y_j not -y_1 to its first token.",
        source=f"Theorem 4.2, {_PAPER}, its printed domain",
    ),
    Statement(
        name="4.2 on ellipsoids",
        statement="Causal attention on an ellipsoid with U = I and bounded P takes almost every start "
        "to its first token.",
        source=f"Theorem 4.2, {_PAPER}, W not I",
    ),
    Statement(
        name="4.5",
        statement="Causal attention on the sphere, one head, bounded P(t), U symmetric with a simple "
        "positive top eigenvalue and eigenvector v, takes tokens with v'y_i > 0 to v.",
        source=f"Theorem 4.5, {_PAPER}",
    ),
    Statement(
        name="4.5 on ellipsoids",
        statement="Causal attention on an ellipsoid, one head, U symmetric with a simple positive top "
        "eigenvalue and eigenvector v, takes tokens with v'y_i > 0 to the direction of v.",
        source=f"Theorem 4.5, {_PAPER}, W not I",
    ),
    Statement(
        name="4.5, V falls",
        statement="Causal attention on the sphere, one head, U symmetric with a simple positive top "
        "eigenvalue and eigenvector v: V(y) = max_i (1 - v'y_i) never grows while v'y_i > 0.",
        source=f"Theorem 4.5, {_PAPER}, with the V of Theorem 3.2",
    ),
    Statement(
        name="no hemisphere",
        statement="Full attention with U = I and any constant P takes almost every start to "
        "consensus.",
        source=f"Theorem 3.2, {_PAPER}, without its hemisphere",
    ),
    Statement(
        name="no hemisphere, positive P",
        statement="Full attention with U = I and P + P' positive definite takes almost every start "
        "to consensus.",
        source=f"Theorem 3.2, {_PAPER}, without its hemisphere",
    ),
    Statement(
        name="no hemisphere, symmetric positive P",
        statement="Full attention with U = I and P symmetric positive definite takes almost every "
        "start to consensus.",
        source=f"Theorem 3.2, {_PAPER}, without its hemisphere",
    ),
    Statement(
        name="symmetric U, full, no hemisphere",
        statement="Full attention, one head, U symmetric with a simple positive top eigenvalue, "
        "takes almost every start to consensus.",
        source=f"Theorem 4.5, {_PAPER}, in full attention without its hemisphere",
    ),
    Statement(
        name="symmetric U, causal, no hemisphere",
        statement="Causal attention, one head, U symmetric with a simple positive top eigenvalue, "
        "takes almost every start to consensus.",
        source=f"Theorem 4.5, {_PAPER}, without its hemisphere",
    ),
    Statement(
        name="symmetric U, full",
        statement="Full attention, one head, U symmetric with a simple positive top eigenvalue and "
        "eigenvector v, takes tokens with v'y_i > 0 to v.",
        source=f"Theorem 4.5, {_PAPER}, in full attention",
    ),
    Statement(
        name="several heads, one U",
        statement="Causal attention on the sphere, two heads that share U, symmetric with a simple "
        "positive top eigenvalue and eigenvector v, takes tokens with v'y_i > 0 to v.",
        source=f"Theorem 4.5, {_PAPER}, h = 2",
    ),
    Statement(
        name="several heads, own U",
        statement="Causal attention on the sphere, two heads, each with its own symmetric U, whose "
        "sum has a simple positive top eigenvalue and eigenvector v, takes tokens with v'y_i > 0 to v.",
        source=f"Theorem 4.5, {_PAPER}, believed there to hold in greater generality",
    ),
    Statement(
        name="several heads, own positive U",
        statement="Causal attention on the sphere, two heads, each with its own symmetric positive "
        "semidefinite U, whose sum has a simple top eigenvalue and eigenvector v, takes tokens with "
        "v'y_i > 0 to v.",
        source=f"Theorem 4.5, {_PAPER}, h = 2, positive values",
    ),
    Statement(
        name="several heads, common v",
        statement="Causal attention on the sphere, two heads, each with its own symmetric U, the top "
        "eigenvector v of the sum an eigenvector of each, takes tokens with v'y_i > 0 to v.",
        source=f"Theorem 4.5, {_PAPER}, h = 2, v shared",
    ),
    Statement(
        name="several heads, one v",
        statement="Causal attention on the sphere, two heads, each with its own symmetric U, all with "
        "the same simple top eigenvector v and positive top eigenvalues, takes tokens with v'y_i > 0 to v.",
        source=f"Theorem 4.5, {_PAPER}, h = 2, v the top of every head; proved, the verdict 'one v'",
    ),
    Statement(
        name="heads that cancel",
        statement="Full attention with two heads whose U add up to zero takes almost every start to "
        "consensus.",
        source=f"Theorem 3.2, {_PAPER}, another U",
    ),
    Statement(
        name="U that turns",
        statement="Causal attention on the sphere, one head, U(t) symmetric with a simple positive "
        "top eigenvalue at every time, takes tokens in the cap of its first eigenvector to consensus.",
        source=f"Theorem 4.5 and Remark 4.7, {_PAPER}, U(t) as fast as it likes",
    ),
    Statement(
        name="causal, top simple",
        statement="Causal attention, one head, U symmetric with a simple positive top eigenvalue and "
        "eigenvector v, takes almost every start to the two points v and -v.",
        source=f"conjecture, {_ATLAS}, third row; U symmetric",
    ),
    Statement(
        name="causal, top simple, any U",
        statement="Causal attention, one head, U whose eigenvalue of largest real part is real, simple "
        "and positive, with eigenvector v, takes almost every start to the two points v and -v.",
        source=f"conjecture, {_ATLAS}, third row",
    ),
    Statement(
        name="causal, top double",
        statement="Causal attention, one head, U symmetric with a positive top eigenvalue that is at "
        "least double, takes almost every start to one point.",
        source=f"conjecture, {_ATLAS}, second row; U symmetric",
    ),
    Statement(
        name="causal, top double, negative",
        statement="Causal attention, one head, U symmetric with a negative top eigenvalue that is at "
        "least double, with eigenspace L: tokens of almost every start gather about L.",
        source=f"conjecture, {_ATLAS}, fourth row; read as: on average nearer to it than points spread evenly",
    ),
    Statement(
        name="causal, top negative",
        statement="Causal attention, one head, U symmetric with a negative simple top eigenvalue and "
        "eigenvector v: tokens of almost every start gather about the line of v.",
        source=f"conjecture, {_ATLAS}, fifth row; read as: on average nearer to it than points spread evenly",
    ),
    Statement(
        name="circle",
        statement="On the circle, full attention with the exponential kernel, U = I and P = beta I, "
        "-2/3 <= beta < -0.16, takes almost every start to consensus.",
        source="open for 9 tokens and more; 3 to 8 by certify.synchronisation; arXiv:2507.22857 has -0.16 <= beta",
    ),
)
"""The words of the library's claims, in the order of [`CLAIMS`][attnflow.search.CLAIMS]."""

_BY_NAME = {words["name"]: words for words in STATEMENTS}
