r"""Zeros of the field with U = P = diag(p, q) on the circle, one by one: excluded, or the only one in a box.

With $y_i = (\cos\theta_i, \sin\theta_i)$, $\tau_i = (-\sin\theta_i, \cos\theta_i)$ and $u_{ij} = y_i^\top P y_j$
the field is, but for positive factors, the gradient of $E = \frac12\sum_{ij} e^{u_{ij}}$:

$$ F_i = \sum_j e^{u_{ij}}\,\tau_i^\top P y_j. $$
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ._interval import Interval, down, up
from ._tree import UNDECIDED, Boxes, Decision
from ._types import Flags, Floats

ELSEWHERE, NO_ZERO, ONE_ZERO = range(3)  # added to the number of axes
_SIDE = 6.5  # above 2 pi
_FIRST = 1.625  # above pi / 2: the first token's quadrant, by sign changes of the axes
WIDER = 0.25  # of a box's width, on each side, where a zero is shown to be alone
_DEEPEST = 34


class Sums(NamedTuple):
    """The field and its derivative over boxes of angles."""

    F: list[Interval]
    J: list[list[Interval]]


@dataclass(frozen=True)
class Planar:
    """The problem of `census`: all angles, the first in one quadrant, the others in order.

    - `tokens`; `p`, `q`: enclosures of the eigenvalues, as ends.
    """

    tokens: int
    p: tuple[float, float]
    q: tuple[float, float]
    roots: int = 1
    numbers: int = 0
    with_numbers: int = -1

    @property
    def axes(self) -> int:
        """An angle for each token."""
        return self.tokens

    @property
    def name(self) -> str:
        """Tokens and eigenvalues in words."""
        return (
            f"equilibria of {self.tokens} tokens on the circle, U = P, p in {self.p}, q in {self.q}"
        )

    def angles(self, boxes: Boxes) -> tuple[Floats, Floats]:
        """Ends of the angles: exact, since there are few digits."""
        side = np.full(self.axes, _SIDE)
        side[0] = _FIRST
        scale = side * 2.0**-boxes.depth
        return boxes.at * scale, (boxes.at + 1) * scale

    def sums(self, x: Interval, *, slopes: bool = True) -> Sums:
        """F and its derivative over boxes `(boxes, tokens)`."""
        p, q = (Interval.of(np.full(1, lo), np.full(1, hi)) for lo, hi in (self.p, self.q))
        n = range(self.tokens)
        c = [_column(x.cos(), i) for i in n]
        s = [_column(x.sin(), i) for i in n]
        u = [[p * (c[i] * c[j]) + q * (s[i] * s[j]) for j in n] for i in n]
        e = [[u[i][j].exp() for j in n] for i in n]
        pull = [[q * (c[i] * s[j]) - p * (s[i] * c[j]) for j in n] for i in n]
        F = [_total([e[i][j] * pull[i][j] for j in n]) for i in n]
        if not slopes:
            return Sums(F, [])
        J = [[Interval.of(np.zeros(len(x.lo)))] * self.tokens for _ in n]
        for i in n:
            for j in n:
                if i != j:
                    turned = p * (s[i] * s[j]) + q * (c[i] * c[j])
                    J[i][j] = e[i][j] * (pull[i][j] * pull[j][i] + turned)
            apart = [e[i][j] * (pull[i][j].square() - u[i][j]) for j in n if j != i]
            own = e[i][i] * (
                2.0 * pull[i][i].square() + (p * s[i].square() + q * c[i].square()) - u[i][i]
            )
            J[i][i] = _total([*apart, own])
        return Sums(F, J)

    def decide(self, boxes: Boxes) -> Decision:
        """Outside, without a zero, or with one zero in a box somewhat wider; else halved."""
        lo, hi = self.angles(boxes)
        symbol = np.full(len(boxes), UNDECIDED, np.uint16)
        if self.tokens > 2:
            symbol[np.any(lo[:, 1:-1] > hi[:, 2:], axis=1)] = self.axes + ELSEWHERE
        k = np.flatnonzero(symbol == UNDECIDED)
        F = self.sums(Interval(lo[k], hi[k]), slopes=False).F
        away = np.any([(f.lo > 0) | (f.hi < 0) for f in F], axis=0)
        symbol[k[away]] = self.axes + NO_ZERO
        k = k[~away]
        k = k[np.max(hi[k] - lo[k], axis=1, initial=0) < 1.0]
        if len(k):
            none, one, _ = self.krawczyk(lo[k], hi[k])
            symbol[k[none]] = self.axes + NO_ZERO
            symbol[k[one & ~none]] = self.axes + ONE_ZERO
        k = np.flatnonzero(symbol == UNDECIDED)
        axis = np.argmax(hi[k] - lo[k], axis=1)
        go_on = boxes.depth[k].max(axis=1, initial=0) < _DEEPEST
        symbol[k[go_on]] = axis[go_on]
        return Decision(symbol, np.zeros((0, 0), np.uint16))

    def widened(self, lo: Floats, hi: Floats, by: float = WIDER) -> Interval:
        """Boxes wider by a part of their width, in which a zero is shown to be alone."""
        grow = by * (hi - lo) + 1e-12
        return Interval(lo - grow, hi + grow)

    def krawczyk(self, lo: Floats, hi: Floats, by: float = WIDER) -> tuple[Flags, Flags, Interval]:
        r"""Whether boxes hold no zero, whether wider ones hold exactly one, and where it is.

        $K = c - YF(c) + (I - Y\,DF(X))(X - c)$ holds every zero in X; if K lies in the interior of X there is one,
        and one only (Moore, Krawczyk). X is the box widened; Y an approximate inverse, in floats.
        """
        n = range(self.tokens)
        X = self.widened(lo, hi, by)
        c = X.mid
        there, wide = self.sums(Interval(c, c), slopes=True), self.sums(X)
        middle = np.stack([np.stack([a.mid for a in row], axis=1) for row in there.J], axis=1)
        Y = np.linalg.inv(middle + 1e-300 * np.eye(self.tokens)) if len(c) else middle
        Y = np.where(np.isfinite(Y), Y, 0.0)
        none = np.zeros(len(lo), bool)
        one = np.ones(len(lo), bool)
        ends = []
        for i in n:
            exact = [Interval.of(Y[:, i, k]) for k in n]
            K = Interval.of(c[:, i]) - _total([exact[k] * there.F[k] for k in n])
            for j in n:
                row = _total([exact[k] * wide.J[k][j] for k in n])
                rest = float(i == j) - row
                side = Interval(down(X.lo[:, j] - c[:, j]), up(X.hi[:, j] - c[:, j]))
                K = K + rest * side
            none |= (K.lo > hi[:, i]) | (K.hi < lo[:, i])
            one &= (K.lo > X.lo[:, i]) & (K.hi < X.hi[:, i])
            ends.append(K)
        K = Interval(np.stack([e.lo for e in ends], axis=1), np.stack([e.hi for e in ends], axis=1))
        return none, one, K


def _column(x: Interval, i: int) -> Interval:
    return Interval(x.lo[:, i], x.hi[:, i])


def _total(parts: list[Interval]) -> Interval:
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total
