"""Full attention: the reason of every leaf, the zeros, and how many of them are different and stable."""

from array import array
from fractions import Fraction
from itertools import pairwise, permutations, product
from typing import Any

from flint import arb, arb_mat

from ..balls import Balls, Rows, ball
from ..file import Refused, demand, halves, in_time, unpack
from .plane import Plane, cut

_SIDE, _FIRST = Fraction(13, 2), Fraction(13, 8)  # above 2 pi, above pi / 2


def zeros_of(plane: Plane, symbols: "array[int]") -> list[tuple[Balls, Balls]]:
    """Every leaf's reason; of leaves with one zero the box in which it is alone, and its enclosure.

    Symbols: below n an axis to halve; n, tokens after the first are out of order; n + 1, no zero; n + 2, one
    zero in the box made wider by a quarter of its side. All angles: by sign changes of the axes the first one
    is in [0, pi/2], the others in order.
    """
    n, zeros = plane.n, []
    sides = [_FIRST] + [_SIDE] * (n - 1)
    pending = [([0] * n, [0] * n)]
    k, size = 0, len(symbols)
    while pending:
        demand(k < size, "a tree that is whole")
        at, depth = pending.pop()
        s = symbols[k]
        k += 1
        if s < n:
            pending += reversed(halves(at, depth, s))
            continue
        in_time()
        lo = [Fraction(a, 2**d) * side for a, d, side in zip(at, depth, sides, strict=True)]
        width = [side / 2**d for d, side in zip(depth, sides, strict=True)]
        hi = [a + w for a, w in zip(lo, width, strict=True)]
        if s == n:
            apart = any(lo[i] > hi[i + 1] for i in range(1, n - 1))
            demand(apart, "that tokens of a box are out of order")
            continue
        box = [ball(a).union(ball(b)) for a, b in zip(lo, hi, strict=True)]
        wide = [
            ball(a - w / 4).union(ball(b + w / 4)) for a, b, w in zip(lo, hi, width, strict=True)
        ]
        if s == n + 1:
            demand(_without(plane, box, wide, _HALVINGS), "that a box has no zero")
            continue
        demand(s == n + 2, "a reason that is known")
        zeros.append((wide, _alone(plane, wide)))
    demand(k == size, "a tree that ends where the file does")
    return zeros


_HALVINGS = 12  # of leaves without a zero: balls are wider than intervals with two ends


def _without(plane: Plane, box: Balls, wide: Balls | None, halvings: int) -> bool:
    """A component of F has no zero in the box, or Newton's step leaves it; or so in both halves of it."""
    if any(not f.contains(0) for f in plane.field(box)):
        return True
    if wide is not None:
        for parts in (1, 3):
            K = plane.krawczyk(wide, parts)
            if any(not a.overlaps(b) for a, b in zip(K, box, strict=True)):
                return True
    if halvings == 0:
        return False
    i = max(range(plane.n), key=lambda k: float(box[k].rad()))
    halves = [[*box[:i], half, *box[i + 1 :]] for half in cut(box[i], 2)]
    return all(_without(plane, half, None, halvings - 1) for half in halves)


def _alone(plane: Plane, X: Balls) -> Balls:
    """The enclosure of the zero that is alone in X, as narrow as it gets."""
    for parts in (1, 2, 4, 8):
        K = plane.krawczyk(X, parts)
        inside = all(x.contains_interior(k) for x, k in zip(X, K, strict=True))
        if inside:
            break
    else:
        raise Refused("not shown: a zero that is alone in its box")
    for _ in range(40):
        narrower = [k.intersection(a) for k, a in zip(plane.krawczyk(K), K, strict=True)]
        done = all(
            a.rad() > b.rad() * 0.9 or a.rad() < 1e-24 for a, b in zip(narrower, K, strict=True)
        )
        K = narrower
        if done:
            break
    return K


def classes(zeros: list[tuple[Balls, Balls]]) -> Rows:
    """One enclosure of each class under permutations of tokens and sign changes of the axes."""
    known: list[tuple[Balls, Balls]] = []
    for X, Z in zeros:
        if not any(_same(Z, other) for other in known):
            known.append((X, Z))
    return [Z for _, Z in known]


def _same(Z: Balls, other: tuple[Balls, Balls]) -> bool:
    """Whether an image of the zero in Z is the other: it lies where that one is alone. Refused, if it may be."""
    X, W = other
    pi = arb.pi()
    for turn, sign in product((0, 1), (1, -1)):
        images = [turn * pi + sign * a for a in Z]
        for order in permutations(range(len(Z))):
            image = [_near(images[i], x) for i, x in zip(order, W, strict=True)]
            if all(x.contains(a) for x, a in zip(X, image, strict=True)):
                return True
            apart = any(not a.overlaps(b) for a, b in zip(image, W, strict=True))
            demand(apart, "that two equilibria are two, or one")
    return False


def _near(a: Any, x: Any) -> Any:
    """The angle, by whole turns nearest to another: enclosures are narrow, so that no other turn may touch."""
    demand(a.rad() < 0.5 and x.rad() < 0.5, "narrow enclosures of equilibria")
    turns = round(float((x.mid() - a.mid()) / (2 * arb.pi()).mid()))
    return a + 2 * arb.pi() * turns


def is_stable(plane: Plane, Z: Balls, sign: int) -> bool:
    """Whether c D^2 E is negative definite (minors), or has a direction of growth; refused between the two."""
    _, J = plane.slopes(Z)
    n = plane.n
    M = arb_mat([[-sign * (J[i][j] + J[j][i]) / 2 for j in range(n)] for i in range(n)])
    rows = M.tolist()
    minors = [arb_mat([row[:k] for row in rows[:k]]).det() for k in range(1, n + 1)]
    if all(m > 0 for m in minors):
        return True
    middle = arb_mat([[a.mid() for a in row] for row in rows])
    values, vectors = middle.eig(right=True, algorithm="approx")
    k = min(range(n), key=lambda i: float(values[i].real))
    v = [vectors[i, k].real.mid() for i in range(n)]
    growth = -sum(v[i] * v[j] * rows[i][j] for i in range(n) for j in range(n))
    demand(growth > 0, "that an equilibrium is stable, or unstable")
    return False


def full(c: dict[str, Any]) -> tuple[int, int, list[Fraction]]:
    """How many classes, how many of them stable, and the ends of p and q: the same in boxes that fill a rectangle."""
    counts, boxes = set(), []
    for box in c["boxes"]:
        p, q = ([Fraction(x) for x in box[name]] for name in "pq")
        demand(p[0] <= p[1] and q[0] <= q[1], "ranges of eigenvalues")
        plane = Plane(c["tokens"], *(ball(a).union(ball(b)) for a, b in (p, q)))
        each = classes(zeros_of(plane, unpack(box)))
        counts.add((len(each), sum(is_stable(plane, Z, c["sign"]) for Z in each)))
        demand(len(counts) == 1, "one count for all eigenvalues")
        boxes.append((*p, *q))
    ends = [min(b[0] for b in boxes), max(b[1] for b in boxes)]
    ends += [min(b[2] for b in boxes), max(b[3] for b in boxes)]
    demand(_fill(boxes, ends), "boxes of eigenvalues that fill a rectangle")
    return (*counts.pop(), ends)


def _fill(boxes: list[tuple[Fraction, ...]], ends: list[Fraction]) -> bool:
    """Whether every cell of the grid that the boxes' ends make is in a box."""
    ps = sorted({x for b in boxes for x in b[:2]})
    qs = sorted({x for b in boxes for x in b[2:]})
    demand(len(ps) * len(qs) <= 10**5, "fewer boxes of eigenvalues")
    p_cells = list(pairwise(ps)) or [(ps[0], ps[0])]
    q_cells = list(pairwise(qs)) or [(qs[0], qs[0])]
    return all(
        any(b[0] <= p0 and p1 <= b[1] and b[2] <= q0 and q1 <= b[3] for b in boxes)
        for p0, p1 in p_cells
        for q0, q1 in q_cells
    )
