r"""Equilibria on the circle that are not consensus, and reasons why a box of them holds none that attracts.

State: the gaps $g_1, \dots, g_{l-1}$ between neighbours in the order of angles; $g_l = 2\pi - \sum g_m$ is the
last. Token j is ahead of token i < j by $x_{ij} = g_i + \dots + g_{j-1}$. By rotation and relabelling $g_l$ is
the largest gap.
"""

import itertools
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import NamedTuple

import numpy as np

from ._interval import PI, Interval, down, up
from ._pairs import TWO_PI_UP, Ranges, ranges, unit
from ._tree import UNDECIDED, Boxes, Decision
from ._types import Codes, Floats

SIDE = 3.25  # gaps are covered from 0 to this, which is above pi
MOST_TOKENS = 9
MOST_ORDERS = 3_000
_STEPS = 64  # entries of a direction are whole numbers up to this
_DEEPEST_GAP, _DEEPEST_BETA = 36, 30


class Layout(NamedTuple):
    """Which symbol says what, for so many tokens.

    - `larger`: the first of l - 1: gap m is larger than the last one throughout.
    - `half`: the last gap is above pi: tokens in an open half circle.
    - `mirror`: gap 1 is larger than gap l - 1: the mirror image is in another box.
    - `arc`: the first of two for each arc: the sum of its tokens' pulls is positive; negative.
    - `subset`: the first of those for sets of tokens that grow apart from the others.
    - `direction`: l whole numbers follow, each plus 64: a direction of growth.
    - `groups`: the first of those for three groups of neighbours, two of which grow apart.
    - `end`: the number of symbols.
    """

    larger: int
    half: int
    mirror: int
    arc: int
    subset: int
    direction: int
    groups: int
    end: int

    @staticmethod
    def of(tokens: int) -> "Layout":
        """For l tokens."""
        larger = tokens
        half = larger + tokens - 1
        arc = half + 2
        subset = arc + tokens * (tokens - 1)
        direction = subset + 2 ** (tokens - 1) - 1
        groups = direction + 1
        return Layout(
            larger, half, half + 1, arc, subset, direction, groups, groups + len(cuts(tokens))
        )


def arcs(tokens: int) -> list[tuple[int, int]]:
    """First and last token, from 0, of every arc of neighbours without the first token."""
    return [(a, b) for a in range(1, tokens) for b in range(a, tokens)]


def cuts(tokens: int) -> list[tuple[int, int]]:
    """Where the second and the third of three groups of neighbours begin."""
    return list(itertools.combinations(range(1, tokens), 2))


def orders(weights: tuple[Fraction, ...]) -> list[tuple[Fraction, ...]]:
    """Every order of the weights around the circle from the largest gap on, one of each mirrored two."""
    if len(set(weights)) == 1:
        return [weights]
    distinct = {max(order, order[::-1]) for order in itertools.permutations(sorted(weights))}
    return sorted(distinct, reverse=True)


def as_groups(order: tuple[Fraction, ...], cut: tuple[int, int]) -> bool:
    """Whether a triangle has the sides sqrt(A), sqrt(B), sqrt(C), for the groups' weights A, B, C."""
    a, b, c = sorted((sum(order[: cut[0]]), sum(order[cut[0] : cut[1]]), sum(order[cut[1] :])))
    # sqrt(c) <= sqrt(a) + sqrt(b)
    return c <= a + b or (c - a - b) ** 2 <= 4 * a * b


@dataclass(frozen=True)
class Circle:
    """The problem of `synchronisation`: one root for each order of the weights.

    - `weights`: of the tokens, exactly. `beta`: the ends, exactly.
    """

    weights: tuple[Fraction, ...]
    beta: tuple[Fraction, Fraction]

    @property
    def tokens(self) -> int:
        """How many."""
        return len(self.weights)

    @property
    def axes(self) -> int:
        """The gaps but the last, and beta."""
        return self.tokens

    @property
    def roots(self) -> int:
        """Orders of the weights."""
        return len(self.orders)

    @property
    def numbers(self) -> int:
        """A direction has one for each token."""
        return self.tokens

    @property
    def with_numbers(self) -> int:
        """The symbol of a direction."""
        return self.layout.direction

    @property
    def name(self) -> str:
        """Weights and beta in words."""
        weights, beta = (", ".join(map(str, part)) for part in (self.weights, self.beta))
        return f"synchronisation on the circle: weights {weights}; beta from {beta}"

    @cached_property
    def layout(self) -> Layout:
        """Which symbol says what."""
        return Layout.of(self.tokens)

    @cached_property
    def orders(self) -> list[tuple[Fraction, ...]]:
        """Of the weights, one a root."""
        return orders(self.weights)

    @cached_property
    def _sums(self) -> "_Sums":
        return _Sums(self)

    # === from whole numbers to angles and beta

    def gaps(self, boxes: Boxes) -> tuple[Floats, Floats]:
        """Ends of the gaps but the last: exact, since there are few digits."""
        scale = SIDE * 2.0 ** -boxes.depth[:, :-1]
        at = boxes.at[:, :-1]
        return at * scale, (at + 1) * scale

    def betas(self, boxes: Boxes) -> tuple[Floats, Floats]:
        """Ends of beta, `(boxes, 1)`, outward."""
        lo, hi = (_outward(x) for x in self.beta)
        side, part = hi - lo, Interval.of(2.0 ** -boxes.depth[:, -1:])
        begins = lo + side * (part * Interval.of(boxes.at[:, -1:]))
        ends = lo + side * (part * Interval.of(boxes.at[:, -1:] + 1))
        return begins.lo, ends.hi

    # === reasons

    def decide(self, boxes: Boxes) -> Decision:
        """A reason, an axis or `UNDECIDED` for each box."""
        symbol = np.full(len(boxes), UNDECIDED, np.uint16)
        g_lo, g_hi = self.gaps(boxes)
        self._elsewhere(symbol, boxes.root, g_lo, g_hi)
        k = np.flatnonzero(symbol == UNDECIDED)
        if not len(k):
            return Decision(symbol, np.zeros((0, self.tokens), np.uint16))
        beta_lo, beta_hi = self.betas(boxes[k])
        s = self._sums
        x_lo, x_hi = g_lo[k] @ s.spans, g_hi[k] @ s.spans  # exact: few digits
        pulls = ranges(x_lo, x_hi, beta_lo, beta_hi)
        here = symbol[k]
        tolerance = unit(beta_lo, beta_hi) * s.total
        weighted = Ranges(*(part * s.products[boxes.root[k]] for part in pulls))
        self._pulled(here, weighted, tolerance)
        self._apart(here, weighted, tolerance)
        self._three(here, boxes.root[k], x_lo, x_hi, beta_lo, beta_hi)
        numbers = self._directed(here, weighted, tolerance)
        symbol[k] = here
        k, left = k[here == UNDECIDED], here == UNDECIDED
        axis, deep = self._widest(boxes[k], weighted, left, g_hi[k] - g_lo[k], beta_hi, beta_lo)
        symbol[k[~deep]] = axis[~deep]
        return Decision(symbol, numbers)

    def _elsewhere(self, symbol: Codes, root: np.ndarray, g_lo: Floats, g_hi: Floats) -> None:
        """Boxes outside the domain: the last gap is not the largest, or above pi; mirror images."""
        last = Interval(down(_TWO_PI_DOWN - g_hi.sum(axis=1)), up(TWO_PI_UP - g_lo.sum(axis=1)))
        larger = g_lo > last.hi[:, None]
        any_ = larger.any(axis=1)
        symbol[any_] = self.layout.larger + larger[any_].argmax(axis=1)
        half = last.lo > PI[1]
        symbol[half & ~any_] = self.layout.half
        same = np.array([order == order[::-1] for order in self.orders])[root]
        mirror = same & (g_lo[:, 0] > g_hi[:, -1])
        symbol[mirror & ~half & ~any_] = self.layout.mirror

    def _pulled(self, symbol: Codes, pulls: Ranges, tolerance: Floats) -> None:
        """The pulls on an arc's tokens, each times its weight, add up to a number of one sign."""
        s = self._sums
        least = np.hstack([pulls.k_lo, -pulls.k_hi]) @ s.crossing
        most = -(np.hstack([-pulls.k_hi, pulls.k_lo]) @ s.crossing)
        signs = np.stack([least > tolerance, most < -tolerance], axis=2).reshape(len(symbol), -1)
        yes = signs.any(axis=1)
        symbol[yes] = self.layout.arc + signs[yes].argmax(axis=1)

    def _apart(self, symbol: Codes, pulls: Ranges, tolerance: Floats) -> None:
        """A set of tokens that is turned against the others raises the energy."""
        k = np.flatnonzero(symbol == UNDECIDED)
        grows = pulls.slope_hi[k] @ self._sums.parted < -tolerance[k]
        yes = grows.any(axis=1)
        symbol[k[yes]] = self.layout.subset + grows[yes].argmax(axis=1)

    def _three(
        self, symbol: Codes, root: np.ndarray, x_lo: Floats, x_hi: Floats, b0: Floats, b1: Floats
    ) -> None:
        """Three groups near 120 degrees from one another, where k' is concave, for beta > -2/3."""
        if self.tokens < 3 or self.beta[0] < Fraction(-2, 3):
            return
        k = np.flatnonzero(symbol == UNDECIDED)
        lo, hi = self._sums.between(x_lo[k], x_hi[k])  # (boxes, cuts)
        x, b = Interval(lo, hi), Interval(b0[k], b1[k])
        near = (lo > 1.2) & (hi < 3.1)
        x = Interval(np.where(near, lo, 2.0), np.where(near, hi, 2.0))
        c, ss = x.cos(), x.sin().square()
        # k''' e^(-beta cos x): its sign is that of k'''.
        third = (b * ss - c) * (1 + 3 * (b * c) - b.square() * ss)
        third = third + 3 * (b * ss) + 2 * (b.square() * ss * c)
        good = near & (third.hi < -0.2) & self._sums.triangles[root[k]]
        yes = good.any(axis=1)
        symbol[k[yes]] = self.layout.groups + good[yes].argmax(axis=1)

    def _directed(self, symbol: Codes, pulls: Ranges, tolerance: Floats) -> Codes:
        """The direction of fastest growth at the middle is one of growth throughout."""
        k = np.flatnonzero(symbol == UNDECIDED)
        v = self._sums.directions(0.5 * (pulls.slope_lo[k] + pulls.slope_hi[k]))
        i, j = self._sums.ends
        # Squares of whole numbers, and the tolerance for numbers of size 1 times the largest.
        grows = np.sum(pulls.slope_hi[k] * (v[:, i] - v[:, j]) ** 2, axis=1)
        yes = grows < -tolerance[k, 0] * (2 * _STEPS) ** 2
        symbol[k[yes]] = self.layout.direction
        return (v[yes] + _STEPS).astype(np.uint16)

    def _widest(
        self, boxes: Boxes, pulls: Ranges, left: np.ndarray, width: Floats, b1: Floats, b0: Floats
    ) -> tuple[np.ndarray, np.ndarray]:
        """The axis along which the pulls change most, and whether the box is as small as boxes may be."""
        s = self._sums
        steep = np.maximum(np.abs(pulls.slope_lo[left]), np.abs(pulls.slope_hi[left]))
        pull = np.maximum(np.abs(pulls.k_lo[left]), np.abs(pulls.k_hi[left])).sum(axis=1)
        along = np.hstack([(steep @ s.spans.T) * width, (pull[:, None] * (b1 - b0)[left])])
        if self.tokens % 3 == 0 or len(boxes) == 0:
            # Where slopes vanish, at 120 degrees, their size says little: the width alone.
            along = np.hstack([width, (b1 - b0)[left]])
        deepest = np.full(self.axes, _DEEPEST_GAP)
        deepest[-1] = _DEEPEST_BETA
        if self.beta[0] == self.beta[1]:
            deepest[-1] = 0
        # To a millionth: ties, which symmetry makes, are broken by order and not by rounding.
        along = np.round(
            along * (1e6 / np.maximum(along.max(axis=1, keepdims=True, initial=0), 1e-300))
        )
        spent = np.asarray(boxes.depth >= deepest)
        axis = np.where(spent, -1.0, along).argmax(axis=1)
        return axis.astype(np.uint16), np.asarray(spent.all(axis=1))


_TWO_PI_DOWN = float.fromhex("0x1.921fb54442d18p+2")


def _outward(x: Fraction) -> Interval:
    near = float(x)
    lo = near if Fraction(near) <= x else float(np.nextafter(near, -np.inf))
    hi = near if Fraction(near) >= x else float(np.nextafter(near, np.inf))
    return Interval.of(lo, hi)


class _Sums:
    """Which pairs go into which sum, as matrices of zeros and ones."""

    def __init__(self, problem: Circle):
        n = problem.tokens
        pairs = list(itertools.combinations(range(n), 2))
        self.ends = np.array([i for i, _ in pairs], int), np.array([j for _, j in pairs], int)
        i, j = self.ends
        gaps = np.arange(n - 1)[:, None]
        self.spans = ((i <= gaps) & (gaps < j)).astype(float)
        # Pulls out of an arc, ahead of it and behind: k at x_ij, -k at x_ji.
        ahead = np.array([[a <= p <= b and q > b for a, b in arcs(n)] for p, q in pairs])
        behind = np.array([[a <= q <= b and p < a for a, b in arcs(n)] for p, q in pairs])
        self.crossing = np.vstack([ahead, behind]).astype(float)
        sets = np.arange(1, 2 ** (n - 1))[None, :]
        self.parted = (((sets >> i[:, None]) ^ (sets >> j[:, None])) & 1).astype(float)
        self.products = np.array(
            [[float(order[p] * order[q]) for p, q in pairs] for order in problem.orders]
        )
        self.total = float(sum(problem.weights)) ** 2
        self.triangles = np.array(
            [[as_groups(order, cut) for cut in cuts(n)] for order in problem.orders]
        ).reshape(len(problem.orders), -1)
        self._cuts = cuts(n)
        self._index = {pair: k for k, pair in enumerate(pairs)}
        self._n = n

    def between(self, x_lo: Floats, x_hi: Floats) -> tuple[Floats, Floats]:
        """The least and largest angle from a group to the next, over its tokens, for all three."""
        n, at = self._n, self._index
        low, high = np.empty((len(x_lo), len(self._cuts))), np.empty((len(x_lo), len(self._cuts)))
        for r, (p, q) in enumerate(self._cuts):
            # Neighbouring ends are nearest, far ends farthest.
            near = np.minimum(x_lo[:, at[p - 1, p]], x_lo[:, at[q - 1, q]])
            far = np.maximum(x_hi[:, at[0, q - 1]], x_hi[:, at[p, n - 1]])
            low[:, r] = np.minimum(near, down(_TWO_PI_DOWN - x_hi[:, at[0, n - 1]]))
            high[:, r] = np.maximum(far, up(TWO_PI_UP - x_lo[:, at[p - 1, q]]))
        return low, high

    def directions(self, slopes: Floats) -> Floats:
        """Top eigenvectors of Hessians made of slopes, in whole numbers up to `_STEPS`."""
        n, (i, j) = self._n, self.ends
        H = np.zeros((len(slopes), n, n))
        H[:, i, j] = H[:, j, i] = slopes
        H[:, range(n), range(n)] -= H.sum(axis=2)
        v = np.linalg.eigh(H)[1][:, :, -1]
        return np.rint(v * (_STEPS / np.abs(v).max(axis=1, keepdims=True)))
