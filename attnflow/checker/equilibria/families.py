"""Families of equilibria, by rules that are exact."""

from typing import Any

from flint import arb_mat

from ..balls import Rows, apart, exact
from ..file import demand
from .flow import Flow

KNOWN = ("consensus", "balanced", "still")  # whose members are known without solving for one
FAMILIES = ("none", "turns", "moments", *KNOWN)


def family(flow: Flow, p: dict[str, Any]) -> tuple[list[Rows], int]:
    """The rotations that go along the family, and its dimension."""
    E, T = [exact(M) for M in p["generators"]], exact(p["tokens"]).tolist()
    n, d = flow.tokens, flow.dim
    demand(all(-M.transpose() * flow.W == flow.W * M for M in E), "rotations that keep W")
    dimension = {
        "none": lambda: _none_around(E),
        "turns": lambda: _turns(flow, E),
        "moments": lambda: _moments(flow, E),
        "consensus": lambda: _consensus(flow, E, T, d - 1),
        "balanced": lambda: _balanced(flow, E, T, n * (d - 1) - d + (n == 2)),
        "still": lambda: _still(flow, E, n * (d - 1)),
    }[p["family"]]()
    return [arb_mat(M).tolist() for M in E], dimension


def _none_around(E: list[Any]) -> int:
    demand(not E, "no rotations where there is no family")
    return 0


def _turns(flow: Flow, E: list[Any]) -> int:
    """Rotations with which all P and U commute carry solutions to solutions: the orbit is a family."""
    demand(E, "a rotation")
    demand(all(M.transpose() * P == -P * M for M in E for P in flow.P), "rotations that keep P")
    demand(all(M * U == U * M for M in E for U in flow.U), "rotations that keep U")
    return len(E)


def _moments(flow: Flow, E: list[Any]) -> int:
    """sum_i Z_i (R y_i)'W G_i / n_i = 0 for each R: so many equations follow from the others."""
    demand(E, "a rotation")
    demand(flow.full, "full attention, for the family 'moments'")
    demand(not flow.softmax or len(flow.U) == 1, "one head, for the family 'moments'")
    demand(all(_multiple(flow, U) for U in flow.U), "U a multiple of I, for the family 'moments'")
    demand(all(P.transpose() == P for P in flow.P), "P symmetric, for the family 'moments'")
    return len(E)


def _consensus(flow: Flow, E: list[Any], T: list[Any], dimension: int) -> int:
    """All tokens at one point, whichever: attention leaves them where they are."""
    demand(not E, "no rotations at consensus")
    demand(T[:1] * len(T) == T, "tokens that are one")
    values = [flow.S] if flow.softmax else flow.U
    demand(all(_multiple(flow, M) for M in values), "values that are a multiple of I")
    return dimension


def _balanced(flow: Flow, E: list[Any], T: list[Any], dimension: int) -> int:
    """P = 0 and tokens in opposite pairs: the mean, which is all that moves them, is zero."""
    demand(not E, "no rotations of balanced tokens")
    demand(flow.full, "full attention, for the family 'balanced'")
    demand(all(P == 0 * P for P in flow.P), "P = 0, for the family 'balanced'")
    demand(all(T.count(y) == T.count([-a for a in y]) for y in T), "tokens in opposite pairs")
    demand(len(T) == 2 or any(apart(y, T[0]) for y in T), "tokens on more than one line")
    return dimension


def _still(flow: Flow, E: list[Any], dimension: int) -> int:
    """The same P in all heads, and U that add up to zero: nothing ever moves."""
    demand(not E, "no rotations where nothing moves")
    demand(flow.S == 0 * flow.S, "U that add up to zero")
    demand(all(flow.P[0] == P for P in flow.P), "the same P in all heads")
    return dimension


def _multiple(flow: Flow, M: Any) -> bool:
    return bool(M[0, 0] * flow.one == M)
