"""An equilibrium, its stability, and a way into its basin."""

from collections.abc import Callable
from fractions import Fraction
from typing import Any

from flint import arb, arb_mat

from ..balls import Balls, Rows, balls, derivative, dot, exact, growth
from ..file import demand
from .families import KNOWN, family
from .flow import Flow


def show_equilibrium(flow: Flow, p: dict[str, Any]) -> tuple[Balls, Balls]:
    """The start, if one is given, and a box with one equilibrium in it (of a family: on a slice).

    Newton's operator of Moore and Krawczyk: H has one zero within r of c, and one only, where
    DH(box)^-1 H(c) is less than r in each coordinate.
    """
    R, dimension = family(flow, p)
    x, n = flow.on(p["tokens"]), flow.tokens * flow.dim
    if p["family"] in KNOWN:
        J, box = derivative(flow.field, x), x
    else:
        H, c = _equations(flow, p, R, x)
        [[r]] = balls([[p["radius"]]])
        wide = [arb(a, r) + (x[k] - c[k] if k < n else 0) for k, a in enumerate(c)]
        J, box = derivative(H, wide), wide[:n]
        C = arb_mat(derivative(H, c)).inv().mid()
        step = (C * arb_mat(J)).solve(C * arb_mat([[a] for a in H(c)])).entries()
        demand(all(abs(a) < r for a in step), "one equilibrium in the box")
    on_it = all(dot(y, flow.turned(flow.metric, y)) > 0 for y in flow.rows(box))
    demand(on_it, "tokens that are not zero")
    X = arb_mat([flow.turned(M, box) for M in R])
    demand(not R or not (X * X.transpose()).det().contains(0), "rotations that are independent")
    show_signs(arb_mat([row[:n] for row in J[:n]]), dimension, p["stable"])
    if p["basin"] is None:
        return box, box
    demand(p["family"] == "none" and p["stable"], "a stable equilibrium that stands alone")
    return basin(flow, p["basin"], box), box


def _equations(
    flow: Flow, p: dict[str, Any], R: list[Rows], x: Balls
) -> tuple[Callable[[Balls], Balls], Balls]:
    """H: G and sum mu_k R_k y (tokens turn by mu), and slices (y - c); and c, the tokens and mu."""
    n = len(x)
    [mu] = balls([p["turning"]]) if R else [[]]
    across = balls(p["slices"]) if R else []
    c = [a.mid() for a in x + mu]

    def H(z: Balls) -> Balls:
        G = flow.field(z[:n])
        for speed, M in zip(z[n:], R, strict=True):
            G = [g + speed * b for g, b in zip(G, flow.turned(M, z[:n]), strict=True)]
        moved = [a - b for a, b in zip(z[:n], c[:n], strict=True)]
        return G + [dot(moved, s) for s in across]

    return H, c


def show_signs(D: Any, dimension: int, stable: bool) -> None:
    """Stable: all eigenvalues of D have negative real parts but as many as the family has dimensions.

    Unstable: one has a positive real part. D is looked at in another basis (any will do), in
    which Arb tells eigenvalues apart more often.
    """
    n = D.nrows()
    Q = arb_mat([[arb(a == b) + arb(1) / (a + b + 1) for a in range(n)] for b in range(n)])
    reals = [e.real for e in (Q * D * Q.inv()).eig(multiple=True)]
    if stable:
        demand(sum(not e < 0 for e in reals) == dimension, "eigenvalues with negative real parts")
    else:
        demand(any(e > 0 for e in reals), "an eigenvalue with a positive real part")


def basin(flow: Flow, p: dict[str, Any], x: Balls) -> Balls:
    """The start, which comes to where |T^-1 (y - y*)| declines, below `reach` of it."""
    T, [[reach]], [w] = arb_mat(exact(p["axes"])), balls([[p["reach"]]]), balls([p["weights"]])
    wide = [arb(0, reach) * dot(row, row).sqrt() for row in T.tolist()]
    J = arb_mat(derivative(flow.field, [a + b for a, b in zip(x, wide, strict=True)]))
    demand(growth((T.inv() * J * T).tolist(), w) < 0, "a basin")
    start = flow.on(p["start"])
    end = flow.after(start, Fraction(p["time"]))
    u = (T.inv() * arb_mat([[a - b] for a, b in zip(end, x, strict=True)])).entries()
    demand(dot(u, u) < reach**2, "that the start comes to the basin")
    return start
