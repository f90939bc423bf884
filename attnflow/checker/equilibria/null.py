"""A start on a null set."""

from fractions import Fraction
from typing import Any

from ..balls import Balls, dot
from ..file import demand
from .flow import Flow


def show_exceptional(flow: Flow, p: dict[str, Any]) -> tuple[Balls, Balls]:
    """Causal, U = I, the circle: the arc from -y_1 to -y_2 is left at both ends and entered at none.

    Between a third token that leaves at one end and one that leaves at the other there is one that stays
    for ever, and so comes to -y_1 as y_2 comes to y_1 (Wazewski).
    """
    demand(flow.causal and flow.tokens == 3 and flow.dim == 2, "three causal tokens on the circle")
    demand(flow.one == flow.W, "W = I")
    demand(all(flow.one == U for U in flow.U), "U = I")
    start: Balls = []
    for third, span, above in zip(p["thirds"], p["times"], (False, True), strict=True):
        start = flow.on([*p["tokens"], third])
        (a, b, c), (_, d, e) = flow.rows(flow.after(start, Fraction(span))), flow.rows(start)
        ab, ac, bc, dc = (u[0] * v[1] - u[1] * v[0] for u, v in ((a, b), (a, c), (b, c), (d, c)))
        left = ac * ab < 0 and bc * ab < 0 if above else ac * ab > 0 and dc * ab > 0
        demand(left, "that the neighbours leave the arc")
        demand(dot(a, e) < 0, "neighbours on the far side of the first token")
    return start, start
