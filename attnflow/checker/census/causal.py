"""Causal attention: token after token, one angle at a time."""

from fractions import Fraction
from typing import Any

from flint import arb, ctx

from ..balls import Balls, Rows, ball
from ..file import demand, in_time

BITS = 90
MOST_ARCS = 20_000  # of one token
MOST_BRANCHES = 4_096


class CausalPull:
    """The pull on token k, but for a positive factor, with the tokens before it at rest."""

    def __init__(self, P: list[list[str]], U: list[list[str]]):
        self.P: Rows = [[ball(Fraction(x)) for x in row] for row in P]
        self.U: Rows = [[ball(Fraction(x)) for x in row] for row in U]

    def pull(self, x: Any, before: list[tuple[Any, Any]]) -> tuple[Any, Any]:
        """f(x) = sum_j e^(y'P y_j) t'U y_j over the tokens before and itself, and f'(x)."""
        in_time()
        s, c = x.sin_cos()
        y, t = (c, s), (-s, c)
        f = df = arb(0)
        for z, own in [*((z, False) for z in before), (y, True)]:
            Pz, Uz = _times(self.P, z), _times(self.U, z)
            e = _dot(y, Pz).exp()
            pull, slope = _dot(t, Uz), _dot(t, Pz)
            change = -_dot(y, Uz)
            if own:
                slope += _dot(y, _times(self.P, t))
                change += _dot(t, _times(self.U, t))
            f += e * pull
            df += e * (slope * pull + change)
        return f, df

    def rests(self, before: list[tuple[Any, Any]]) -> list[tuple[Any, bool]]:
        """All zeros of f around the circle, and whether f' < 0 there; refused where f' may vanish too."""
        # From 1/7 to 2 pi + 1/7: no zero is at the seam itself, or it is refused.
        start = ball(Fraction(1, 7))
        seam = self.pull(start, before)[0]
        demand(not seam.contains(0), "that no token rests at the angle 1/7")
        rests, pending, looked_at = [], [(Fraction(0), 0)], 0
        while pending:
            at, depth = pending.pop()
            looked_at += 1
            # Simple zeros take some hundred arcs; beside one of higher order there is no end of them.
            simple = depth <= 40 and looked_at <= MOST_ARCS
            demand(simple, "equilibria with a derivative that is not zero")
            a, b = (2 * arb.pi() * ball(part) + start for part in (at, at + Fraction(1, 2**depth)))
            x = a.union(b)
            f, df = self.pull(x, before)
            if not f.contains(0):
                continue
            if not df.contains(0):
                left, right = self.pull(a, before)[0], self.pull(b, before)[0]
                if (left > 0 and right < 0) or (left < 0 and right > 0):
                    rests.append((self._narrow(x, before), bool(df < 0)))
                    continue
                if (left > 0 and right > 0) or (left < 0 and right < 0):
                    continue  # monotone, and of one sign at both ends
            pending += [
                (at + Fraction(1, 2 ** (depth + 1)), depth + 1),
                (at, depth + 1),
            ]
        return rests

    def _narrow(self, x: Any, before: list[tuple[Any, Any]]) -> Any:
        """Newton's step of intervals, until it stays."""
        for _ in range(60):
            middle = x.mid()
            step = middle - self.pull(middle, before)[0] / self.pull(x, before)[1]
            demand(step.overlaps(x), "a zero where the sign changes")
            narrower = step.intersection(x)
            if narrower.rad() > x.rad() * 0.9:
                return narrower
            x = narrower
        return x


def _dot(a: Any, b: Any) -> Any:
    return a[0] * b[0] + a[1] * b[1]


def _times(M: Rows, z: Any) -> tuple[Any, Any]:
    return (_dot(M[0], z), _dot(M[1], z))


def causal(c: dict[str, Any]) -> list[tuple[Balls, bool]]:
    """All equilibria, as angles, and whether each is stable."""
    ctx.prec = BITS
    field = CausalPull(c["P"], c["U"])
    branches: list[tuple[Balls, bool]] = [([], True)]
    for k in range(c["tokens"]):
        longer = []
        for angles, stable in branches:
            rests = field.rests([x.sin_cos()[::-1] for x in angles])
            demand(rests, f"that token {k + 1} rests somewhere; it turns for ever")
            longer += [([*angles, x], stable and attracts) for x, attracts in rests]
        branches = longer
        demand(len(branches) <= MOST_BRANCHES, "fewer equilibria")
    return branches
