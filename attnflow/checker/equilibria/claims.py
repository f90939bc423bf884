"""Claims that can be refuted: of whom they speak, what they suppose and conclude; how it is shown; its words."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Any

from flint import arb_mat, fmpq

from ..balls import Balls, apart, balls, differ, dot, positive
from ..file import demand
from .flow import Flow

EVERY, ALMOST = "every start", "almost every start"


@dataclass(frozen=True)
class Refutable:
    """A claim as it is refuted: for which starts it speaks, its hypotheses, what breaks its conclusion."""

    starts: str
    supposes: tuple[str, ...]
    broken: str
    says: str
    source: str
    top: bool = False

    @property
    def facts(self) -> list[str]:
        """All that has to be shown."""
        return [*self.supposes, self.broken]


_PAPER = "arXiv:2412.02682"
_ATLAS = "arXiv:2411.04990, Table 1"
_CAP = ("U symmetric", "lambda > 0", "v'y of one sign")
_SYMMETRIC = ("one head", "U symmetric", "lambda > 0")
_HEMISPHERE = f"Theorem 3.2, {_PAPER}, without its hemisphere"
_CAUSAL, _FULL = ("softmax", "causal", "sphere"), ("softmax", "full", "sphere")

CLAIMS = {
    "3.2": Refutable(
        EVERY, ("softmax", "full", "U = I", "hemisphere"), "not consensus",
        "Full attention with U = I and bounded, uniformly continuous P(t) takes tokens that share an open "
        "hemisphere to consensus.",
        f"Theorem 3.2, {_PAPER}",
    ),
    "3.2 with jumps": Refutable(
        EVERY, ("softmax", "full", "U = I", "hemisphere"), "not consensus",
        "Full attention with U = I and bounded P(t) that jumps takes tokens that share an open hemisphere "
        "to consensus.",
        f"Theorem 3.2, {_PAPER}, without uniform continuity: a few jumps",
    ),
    "4.2": Refutable(
        ALMOST, (*_CAUSAL, "U = I", "no token at -y_1"), "not consensus",
        "Causal attention on the sphere with U = I and bounded P(t) takes almost every start to its first "
        "token.",
        f"Theorem 4.2, {_PAPER}, Table 1",
    ),
    "4.2 as printed": Refutable(
        EVERY, (*_CAUSAL, "U = I", "no token at -y_1"), "not consensus",
        "Causal attention on the sphere with U = I and bounded P takes every start with y_j not -y_1 to "
        "its first token.",
        f"Theorem 4.2, {_PAPER}, its printed domain",
    ),
    "4.2 on ellipsoids": Refutable(
        ALMOST, ("softmax", "causal", "U = I", "no token at -y_1"), "not consensus",
        "Causal attention on an ellipsoid with U = I and bounded P takes almost every start to its first "
        "token.",
        f"Theorem 4.2, {_PAPER}, W not I",
    ),
    "4.5": Refutable(
        EVERY, (*_CAUSAL, "one head", *_CAP), "not v",
        "Causal attention on the sphere, one head, bounded P(t), U symmetric with a simple positive top "
        "eigenvalue and eigenvector v, takes tokens with v'y_i > 0 to v.",
        f"Theorem 4.5, {_PAPER}", top=True,
    ),
    "4.5 on ellipsoids": Refutable(
        ALMOST, ("softmax", "causal", "one head", *_CAP), "not v",
        "Causal attention on an ellipsoid, one head, U symmetric with a simple positive top eigenvalue and "
        "eigenvector v, takes tokens with v'y_i > 0 to the direction of v.",
        f"Theorem 4.5, {_PAPER}, W not I", top=True,
    ),
    "no hemisphere": Refutable(
        ALMOST, (*_FULL, "U = I"), "not consensus",
        "Full attention with U = I and any constant P takes almost every start to consensus.",
        _HEMISPHERE,
    ),
    "no hemisphere, positive P": Refutable(
        ALMOST, (*_FULL, "U = I", "P + P' positive"), "not consensus",
        "Full attention with U = I and P + P' positive definite takes almost every start to consensus.",
        _HEMISPHERE,
    ),
    "no hemisphere, symmetric positive P": Refutable(
        ALMOST, (*_FULL, "U = I", "P + P' positive", "P symmetric"), "not consensus",
        "Full attention with U = I and P symmetric positive definite takes almost every start to consensus.",
        _HEMISPHERE,
    ),
    "symmetric U, full, no hemisphere": Refutable(
        ALMOST, (*_FULL, *_SYMMETRIC), "not consensus",
        "Full attention, one head, U symmetric with a simple positive top eigenvalue, takes almost every "
        "start to consensus.",
        f"Theorem 4.5, {_PAPER}, in full attention without its hemisphere", top=True,
    ),
    "symmetric U, causal, no hemisphere": Refutable(
        ALMOST, (*_CAUSAL, *_SYMMETRIC), "not consensus",
        "Causal attention, one head, U symmetric with a simple positive top eigenvalue, takes almost every "
        "start to consensus.",
        f"Theorem 4.5, {_PAPER}, without its hemisphere", top=True,
    ),
    "symmetric U, full": Refutable(
        ALMOST, (*_FULL, "one head", *_CAP), "not v",
        "Full attention, one head, U symmetric with a simple positive top eigenvalue and eigenvector v, "
        "takes tokens with v'y_i > 0 to v.",
        f"Theorem 4.5, {_PAPER}, in full attention", top=True,
    ),
    "several heads, one U": Refutable(
        ALMOST, (*_CAUSAL, "two heads", "one U", *_CAP), "not v",
        "Causal attention on the sphere, two heads that share U, symmetric with a simple positive top "
        "eigenvalue and eigenvector v, takes tokens with v'y_i > 0 to v.",
        f"Theorem 4.5, {_PAPER}, h = 2", top=True,
    ),
    "several heads, own U": Refutable(
        ALMOST, (*_CAUSAL, "two heads", *_CAP), "not v",
        "Causal attention on the sphere, two heads, each with its own symmetric U, whose sum has a simple "
        "positive top eigenvalue and eigenvector v, takes tokens with v'y_i > 0 to v.",
        f"Theorem 4.5, {_PAPER}, believed there to hold in greater generality", top=True,
    ),
    "several heads, own positive U": Refutable(
        ALMOST, (*_CAUSAL, "two heads", "U positive semidefinite", *_CAP), "not v",
        "Causal attention on the sphere, two heads, each with its own symmetric positive semidefinite U, "
        "whose sum has a simple top eigenvalue and eigenvector v, takes tokens with v'y_i > 0 to v.",
        f"Theorem 4.5, {_PAPER}, h = 2, positive values", top=True,
    ),
    "several heads, common v": Refutable(
        ALMOST, (*_CAUSAL, "two heads", "v of every U", *_CAP), "not v",
        "Causal attention on the sphere, two heads, each with its own symmetric U, the top eigenvector v "
        "of the sum an eigenvector of each, takes tokens with v'y_i > 0 to v.",
        f"Theorem 4.5, {_PAPER}, h = 2, v shared", top=True,
    ),
    "heads that cancel": Refutable(
        ALMOST, (*_FULL, "two heads", "sum of U zero"), "not consensus",
        "Full attention with two heads whose U add up to zero takes almost every start to consensus.",
        f"Theorem 3.2, {_PAPER}, another U",
    ),
    "causal, top simple": Refutable(
        ALMOST, (*_CAUSAL, *_SYMMETRIC), "not a line",
        "Causal attention, one head, U symmetric with a simple positive top eigenvalue and eigenvector v, "
        "takes almost every start to the two points v and -v.",
        f"conjecture, {_ATLAS}, third row; U symmetric", top=True,
    ),
    "causal, top simple, any U": Refutable(
        ALMOST, (*_CAUSAL, "one head", "lambda > 0"), "not a line",
        "Causal attention, one head, U whose eigenvalue of largest real part is real, simple and positive, "
        "with eigenvector v, takes almost every start to the two points v and -v.",
        f"conjecture, {_ATLAS}, third row", top=True,
    ),
    "causal, top negative": Refutable(
        ALMOST, (*_CAUSAL, "one head", "U symmetric", "lambda < 0"), "not around v",
        "Causal attention, one head, U symmetric with a negative simple top eigenvalue and eigenvector v: "
        "tokens of almost every start gather about the line of v.",
        f"conjecture, {_ATLAS}, fifth row; read as: on average nearer to it than points spread evenly",
        top=True,
    ),
    "circle": Refutable(
        ALMOST, ("exponential", "full", "sphere", "circle", "one head", "U = I", "beta in the gap"),
        "not consensus",
        "On the circle, full attention with the exponential kernel, U = I and P = beta I, "
        "-2/3 <= beta < -0.16, takes almost every start to consensus.",
        "open for 9 tokens and more; 3 to 8 by certify.synchronisation; arXiv:2507.22857 has -0.16 <= beta",
    ),
}  # fmt: skip
UNSAID = ("two heads", "exponential", "circle")  # in the words for the model already
AS_WRITTEN = {"hemisphere": "v'y of one sign"}  # what a file calls a fact


def top_of(flow: Flow) -> tuple[Balls, Any]:
    """Of the sum of all U the eigenvalue of largest real part, and its vector.

    It is alone with its real part, hence real and simple: that of a complex one is shared.
    """
    values, vectors = arb_mat(flow.S).eig(right=True)
    k = max(range(flow.dim), key=lambda i: float(values[i].real.mid()))
    value = values[k].real
    demand(all(a.real < value for a in values[:k] + values[k + 1 :]), "a simple top of U")
    return [vectors[i, k].real for i in range(flow.dim)], value


def facts(
    flow: Flow, start: Balls, limit: Balls, v: Balls, value: Any
) -> dict[str, Callable[[], bool]]:
    """By name, what a claim may suppose of the field and the start, and what breaks its conclusion.

    v is the top eigenvector of the sum of U and `value` its eigenvalue; or, for a claim that is not about
    these (`value` is None), a vector of the file's that shows the tokens on one side.
    """
    U, S, one = flow.U, flow.S, flow.one
    Y, Z = flow.rows(start), flow.rows(limit)
    first = Y[0]
    top = value is not None

    def one_side() -> bool:
        return all(dot(v, y) > 0 for y in Y) or all(dot(v, y) < 0 for y in Y)

    def around() -> Any:
        return flow.dim * sum(dot(v, z) ** 2 / dot(z, z) for z in Z)

    return {
        "softmax": lambda: flow.softmax,
        "exponential": lambda: not flow.softmax,
        "sphere": lambda: one == flow.W,
        "circle": lambda: flow.dim == 2,
        "one head": lambda: len(U) == 1,
        "two heads": lambda: len(U) == 2,
        "full": lambda: flow.full,
        "causal": lambda: flow.causal,
        "U = I": lambda: all(one == M for M in U),
        "U symmetric": lambda: all(M.transpose() == M for M in U),
        "U positive semidefinite": lambda: all(positive(M) for M in U),
        "one U": lambda: all(U[0] == M for M in U),
        "v of every U": lambda: top and all(M * S == S * M for M in U),
        "sum of U zero": lambda: S == 0 * S and any(M != S for M in U),
        "P symmetric": lambda: all(P.transpose() == P for P in flow.P),
        "P + P' positive": lambda: all(positive(P, strictly=True) for P in flow.P),
        "beta in the gap": lambda: all(_in_gap(flow, P) for P in flow.P),
        "no token at -y_1": lambda: all(differ(y, [-a for a in first]) for y in Y),
        "hemisphere": lambda: not top and one_side(),
        "v'y of one sign": lambda: top and one_side(),
        "lambda > 0": lambda: top and value > 0,
        "lambda < 0": lambda: top and value < 0,
        "not consensus": lambda: any(differ(y, z) for y, z in pairwise(Z)),
        "not v": lambda: top and any(apart(z, v) or dot(z, v) * dot(Z[0], v) < 0 for z in Z),
        "not a line": lambda: any(apart(y, z) for y, z in combinations(Z, 2)),
        "not around v": lambda: top and dot(v, v) * len(Z) > around(),
    }


def _in_gap(flow: Flow, P: Any) -> bool:
    beta = P[0, 0]
    return bool(beta * flow.one == P and fmpq(-2, 3) <= beta < fmpq(-16, 100))


_NULL = {"softmax", "causal", "sphere", "U = I", "no token at -y_1"}


def show_claim(
    flow: Flow,
    given: dict[str, Any],
    p: dict[str, Any],
    start: Balls,
    limit: Balls,
    claim: Refutable,
) -> None:
    """That the claim is false: its starts, each of its hypotheses, and that its conclusion fails."""
    if p["kind"] == "exceptional":
        demand(claim.starts == EVERY, "a refutation of what holds for almost every start")
        known = claim.broken == "not consensus" and set(claim.supposes) <= _NULL
        demand(known, "that a start between two others is in the claim's domain")
    elif not p["stable"]:
        demand(claim.starts == EVERY, "a stable equilibrium: the claim leaves out null sets")
    v, value = top_of(flow) if claim.top else (balls([given["v"]])[0], None)
    table = facts(flow, start, limit, v, value)
    for name in claim.facts:
        demand(table[name](), name)


# === in words

BROKEN_IN_WORDS = {
    "not consensus": "not all tokens of y* are the same: y*_i != y*_j for some i, j",
    "not v": "not all tokens of y* are at v",
    "not a line": "not all tokens of y* are on one line through the origin",
    "not around v": "the tokens of y* are farther from v on average than points spread evenly: "
    "mean (v'y*_i)^2 / |y*_i|^2 < 1/d",
}
IN_WORDS = {
    "softmax": "rows of attention are softmax",
    "sphere": "W = I",
    "circle": "d = 2",
    "one head": "h = 1",
    "full": "attention is full",
    "causal": "attention is causal",
    "U = I": "every U is the identity",
    "U symmetric": "every U is symmetric",
    "U positive semidefinite": "every U is positive semidefinite",
    "one U": "all heads have one U",
    "v of every U": "v is an eigenvector of every U",
    "sum of U zero": "the U of all heads add up to zero, and are not zero",
    "P symmetric": "every P is symmetric",
    "P + P' positive": "P + P' is positive definite for every P",
    "beta in the gap": "P = beta I with -2/3 <= beta < -0.16",
    "no token at -y_1": "y_i != -y_1 for all i",
    "lambda > 0": "lambda > 0",
    "lambda < 0": "lambda < 0",
}
