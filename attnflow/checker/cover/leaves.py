"""The reason of every leaf of a tree."""

from array import array
from collections import Counter
from fractions import Fraction
from itertools import combinations
from typing import Any

from flint import arb

from ..balls import Rows, ball
from ..file import Refused, demand, halves, in_time
from .pull import SCALE, Angle, Beta, pull, steepness, two_pi
from .question import Meaning, Question


class LeafBox:
    """A box: the gaps' ends but for the last gap, in multiples of 2^-50, and beta."""

    def __init__(
        self,
        lo: list[int],
        hi: list[int],
        order: tuple[Fraction, ...],
        weights: Rows,
        beta: Beta,
        angles: dict[int, Angle],
    ):
        self.lo: list[int] = lo
        self.hi: list[int] = hi
        self.order: tuple[Fraction, ...] = order
        self.n: int = len(order)
        self.weights: Rows = weights
        self.beta: Beta = beta
        self.angles: dict[int, Angle] = angles

    def _angle(self, whole: int) -> Angle:
        known = self.angles.get(whole)
        if known is None:
            if len(self.angles) > 100_000:
                self.angles.clear()
            known = self.angles[whole] = Angle(whole)
        return known

    def ahead(self, i: int, j: int) -> tuple[Angle, Angle]:
        """How far token j is ahead of token i < j."""
        lo, hi = sum(self.lo[i:j]), sum(self.hi[i:j])
        return self._angle(lo), self._angle(hi)

    def last(self) -> tuple[Any, Any]:
        """The last gap's bounds."""
        return (
            (two_pi() - arb((sum(self.hi), -SCALE))).lower(),
            (two_pi() - arb((sum(self.lo), -SCALE))).upper(),
        )

    def gap(self, m: int) -> tuple[Any, Any]:
        """Gap m's ends."""
        return arb((self.lo[m], -SCALE)), arb((self.hi[m], -SCALE))

    def larger(self, m: int) -> bool:
        """Gap m is larger than the last one, which by rotation is a largest."""
        return bool(self.gap(m)[0] > self.last()[1])

    def half(self) -> bool:
        """The last gap is above pi: tokens in an open half circle, where only consensus is at rest.

        The first of them, not all at one point, is pulled ahead by all that are not beside it.
        """
        return bool(self.last()[0] > arb.pi())

    def mirrored(self) -> bool:
        """The order is its own mirror image, and gap 1 is larger than gap l - 1."""
        return self.order == self.order[::-1] and self.lo[0] > self.hi[-1]

    def pulled(self, arc: tuple[int, int], sign: int) -> bool:
        """The pulls on the arc's tokens, times weights, add up to one sign: not all are zero."""
        a, b = arc
        total = arb(0)
        for i in range(a, b + 1):
            for j in (*range(a), *range(b + 1, self.n)):
                low, high = pull(*self.ahead(min(i, j), max(i, j)), self.beta)
                if j < i:
                    low, high = -high, -low
                total += self.weights[i][j] * (low if sign > 0 else high)
        return bool(total > 0 if sign > 0 else total < 0)

    def grows(self, v: list[int]) -> bool:
        """The energy's second derivative along v, minus sum m_i m_j k'(x_ij) (v_i - v_j)^2, is positive."""
        total = arb(0)
        for i, j in combinations(range(self.n), 2):
            if v[i] != v[j]:
                w = (v[i] - v[j]) ** 2 * self.weights[i][j]
                total += w * steepness(*self.ahead(i, j), self.beta)
        return bool(total < 0)

    def three(self, cut: tuple[int, int]) -> bool:
        """Three groups, A, B, C, such that k' is concave on the hull of all angles between two of them.

        Over all triples, one of each, the three angles add up to 2 pi, so that (Jensen) the three k' add up
        to at most 3 k'(2 pi / 3) = -3 e^(-beta/2) (1/2 + 3 beta/4), negative for beta > -2/3. The sum over
        triples, with weights, is C q(A, B) + A q(B, C) + B q(C, A), q the sum of k' over pairs and A, B, C the
        groups' weights; it is the sum of the second derivative, with a minus, along the two coordinates
        of a triangle in the plane whose sides squared are C, A, B. One of the two is one of growth.
        """
        p, q = cut
        groups = [range(p), range(p, q), range(q, self.n)]
        A, B, C = (sum(self.order[i] for i in g) for g in groups)
        a, b, c = sorted((A, B, C))
        if not (c <= a + b or (c - a - b) ** 2 <= 4 * a * b):  # sqrt c <= sqrt a + sqrt b
            return False
        hull = None
        for s, t in combinations(range(3), 2):
            for i in groups[s]:
                for j in groups[t]:
                    lo, hi = (e.x for e in self.ahead(i, j))
                    if (s, t) == (0, 2):
                        lo, hi = two_pi() - hi, two_pi() - lo
                    both = lo.union(hi)
                    hull = both if hull is None else hull.union(both)
        if hull is None or not (hull > 0 and hull < arb.pi()):
            return False
        return self._concave(hull.lower(), hull.upper(), 6)

    def _concave(self, x0: Any, x1: Any, halvings: int) -> bool:
        """Whether k' is concave between two angles: e^(-beta cos x) k''' is negative on all of it, in parts."""
        beta, (sine, cosine) = self.beta.hull, x0.union(x1).sin_cos()
        ss = sine * sine
        third = (beta * ss - cosine) * (1 + 3 * beta * cosine - beta * beta * ss)
        third += 3 * beta * ss + 2 * beta * beta * ss * cosine
        if third < 0:
            return True
        middle = ((x0 + x1) / 2).mid()
        return halvings > 0 and all(
            self._concave(*part, halvings - 1) for part in ((x0, middle), (middle, x1))
        )


class LeafBoxes:
    """From whole numbers to boxes of a question, and what they share."""

    def __init__(self, question: Question):
        self.question: Question = question
        self._betas: dict[tuple[int, int], Beta] = {}
        self._angles: dict[int, Angle] = {}
        self._weights: dict[tuple[Fraction, ...], Rows] = {}

    def leaf(self, order: tuple[Fraction, ...], at: list[int], depth: list[int]) -> LeafBox:
        """On axis a the box is [at, at + 1] / 2^depth of the side: 13/4 for gaps, all of beta for the last."""
        lo, hi = self.question.beta
        beta = self._betas.get((at[-1], depth[-1]))
        if beta is None:
            part = (hi - lo) / 2 ** depth[-1]
            beta = Beta(lo + part * at[-1], lo + part * (at[-1] + 1))
            if len(self._betas) > 1_000:
                self._betas.clear()
            self._betas[at[-1], depth[-1]] = beta
        sides = list(zip(at[:-1], depth[:-1], strict=True))
        g_lo = [13 * a << (SCALE - 2 - d) for a, d in sides]
        g_hi = [13 * (a + 1) << (SCALE - 2 - d) for a, d in sides]
        weights = self._weights.get(order)
        if weights is None:
            weights = self._weights[order] = [[ball(a * b) for a in order] for b in order]
        return LeafBox(g_lo, g_hi, order, weights, beta, self._angles)


def kind_of(box: LeafBox, s: int, v: list[int], says: Meaning, from_: Fraction) -> str | None:
    """What kind of reason a symbol (with a direction v) is for a box, if it holds; `None` if it is not shown.

    `from_` is the lower end of all of beta: three groups need beta > -2/3.
    """
    if s < says.half:
        return "elsewhere" if box.larger(s - says.larger) else None
    if s == says.half:
        return "half circle" if box.half() else None
    if s == says.mirror:
        return "elsewhere" if box.mirrored() else None
    if s < says.subset:
        arc, sign = divmod(s - says.arc, 2)
        return "no equilibrium" if box.pulled(says.arcs[arc], -1 if sign else 1) else None
    if s < says.direction:
        members = s - says.subset + 1
        return "growth" if box.grows([members >> i & 1 for i in range(box.n)]) else None
    if s == says.direction:
        return "growth" if box.grows(v) else None
    above = from_ >= Fraction(-2, 3)
    return "three groups" if above and box.three(says.cuts[s - says.groups]) else None


def show(question: Question, symbols: "array[int]") -> Counter[str]:
    """Every leaf's reason. How many leaves there are of each kind."""
    n, says, boxes = question.n, Meaning(question.n), LeafBoxes(question)
    kinds: Counter[str] = Counter()
    k, size = 0, len(symbols)
    for order in question.orders:
        pending = [([0] * n, [0] * n)]
        while pending:
            demand(k < size, "a tree that is whole")
            in_time()
            at, depth = pending.pop()
            s = symbols[k]
            k += 1
            if s < n:
                pending += reversed(halves(at, depth, s))
                continue
            demand(s < says.end, "a reason that is known")
            v: list[int] = []
            if s == says.direction:
                demand(k + n <= size, "a direction that is whole")
                v = [x - 64 for x in symbols[k : k + n]]
                k += n
            box = boxes.leaf(order, at, depth)
            kind = kind_of(box, s, v, says, question.beta[0])
            if kind is None:
                raise Refused(f"not shown: the reason of leaf {kinds.total() + 1}")
            kinds[kind] += 1
            question.open |= kind == "three groups" and box.beta.lo == Fraction(-2, 3)
    demand(k == size, "a tree that ends where the file does")
    return kinds
