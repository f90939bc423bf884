"""Checks a census's certificate in ball arithmetic, with python-flint alone: python _count_checker.py FILE.

Full attention: the file has a tree of bisections of all angles, with a reason a leaf, which is shown again here. Causal
attention: it has nothing but the question, and token after token all equilibria are isolated here anew. The
counts are made here, and the sentences; PROOFS.md beside this file has the theorems.
"""

import base64
import hashlib
import json
import re
import sys
import textwrap
import time
import zlib
from array import array
from fractions import Fraction
from itertools import pairwise, permutations, product
from typing import Any

from flint import arb, arb_mat, ctx, fmpq

FORMAT = "attnflow census 1"
MOST_BYTES, MOST_DEPTH = 2**24, 5
MOST_SYMBOLS, MOST_SECONDS = 2**23, 3_600
MOST_TOKENS, MOST_SIZE, MOST_BOXES, MOST_HALVINGS = 4, 12, 4_096, 48
BITS = 90
MOST_ARCS = 20_000  # of one token


class Refused(ValueError):
    """What a file says was not shown."""


def demand(holds: Any, what: str) -> None:
    """Refuse, unless something holds for certain."""
    if not holds:
        raise Refused(f"not shown: {what}")


# === 1. the file

_NUMBER = re.compile(r"-?[0-9]{1,20}(\.[0-9]{1,30})?|-?[0-9]{1,20}/[0-9]{1,20}")
_COMMON = {"format", "mask", "tokens", "made by", "statement", "digest"}
_PARTS = {"full": _COMMON | {"sign", "boxes"}, "causal": _COMMON | {"P", "U"}}


def read(data: bytes | str) -> dict[str, Any]:
    """A certificate's parts, each of its kind and size."""
    raw = data.encode() if isinstance(data, str) else data
    demand(len(raw) <= MOST_BYTES, f"a file of at most {MOST_BYTES} bytes; it has {len(raw)}")
    try:
        text = raw.decode("ascii")
    except UnicodeDecodeError:
        raise Refused("not shown: a file of text in ASCII") from None
    depth = most = 0
    for letter in re.findall(r"[\[{\]}]", text):
        depth += 1 if letter in "[{" else -1
        most = max(most, depth)
    demand(most <= MOST_DEPTH, f"brackets at most {MOST_DEPTH} deep")
    try:
        c = json.loads(text, object_pairs_hook=_once, parse_int=_small)
    except json.JSONDecodeError as error:
        raise Refused(f"not shown: a file of JSON ({error})") from None
    demand(isinstance(c, dict), "a certificate as an object with parts")
    kind = str(c.get("format"))
    demand(kind == FORMAT, f"a file of the format {FORMAT!r}; it is of {ascii(kind)[:60]}")
    demand(c.get("mask") in ("full", "causal"), "full or causal attention")
    odd = sorted(set(c) ^ _PARTS[c["mask"]])
    demand(not odd, f"a certificate with its parts and no others: see {odd[:1]!r:.60}")
    demand(type(c["tokens"]) is int and 1 <= c["tokens"] <= MOST_TOKENS, "one to four tokens")
    made = c["made by"]
    demand(isinstance(made, dict) and set(made) == {"attnflow", "numpy"}, "who made it")
    demand(all(isinstance(x, str) for x in made.values()), "who made it as two words")
    demand(_strings(c["statement"]), "a statement of lines")
    demand(isinstance(c["digest"], str), "a digest")
    if c["mask"] == "causal":
        for name in "PU":
            M = c[name]
            demand(isinstance(M, list) and len(M) == 2, "matrices of two rows")
            demand(all(_strings(row) and len(row) == 2 for row in M), "matrices of two rows")
            demand(all(_is_number(x) for row in M for x in row), "numbers as decimals, fractions")
        return c
    demand(c["sign"] in (1, -1), "a sign")
    boxes = c["boxes"]
    demand(isinstance(boxes, list) and 0 < len(boxes) <= MOST_BOXES, "boxes of eigenvalues")
    for box in boxes:
        demand(isinstance(box, dict) and set(box) == {"p", "q", "symbols", "packed"}, "a box")
        for name in "pq":
            demand(_strings(box[name]) and len(box[name]) == 2, "two ends of a range")
            demand(all(_is_number(x) for x in box[name]), "numbers as decimals, fractions")
        demand(type(box["symbols"]) is int and isinstance(box["packed"], str), "a tree, packed")
        demand(0 < box["symbols"] <= MOST_SYMBOLS, f"at most {MOST_SYMBOLS} symbols")
    return c


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    demand(len(set(names)) == len(names), "an object without a key that is there twice")
    return dict(pairs)


def _small(text: str) -> int:
    demand(len(text) <= 9, "whole numbers of at most nine digits")
    return int(text)


def _strings(x: Any) -> bool:
    return isinstance(x, list) and all(isinstance(a, str) for a in x)


def _is_number(x: str) -> bool:
    good = _NUMBER.fullmatch(x) is not None and not re.search(r"/0+$", x)
    return good and abs(Fraction(x)) <= MOST_SIZE


def _ball(x: Fraction) -> Any:
    return arb(fmpq(x.numerator, x.denominator))


def unpack(box: dict[str, Any]) -> array:
    """The symbols of a tree: no more of them than it says are ever made."""
    size = 2 * box["symbols"]
    try:
        opened = zlib.decompressobj()
        raw = opened.decompress(base64.b64decode(box["packed"], validate=True), size + 1)
    except (ValueError, zlib.error) as error:
        raise Refused(f"not shown: a packed tree ({error})") from None
    demand(len(raw) == size and opened.eof and not opened.unused_data, "as many symbols as it says")
    symbols = array("H", raw)
    if sys.byteorder == "big":
        symbols.byteswap()
    return symbols


_ends_at = [float("inf")]


def in_time() -> None:
    """Refuse, where a check takes too long."""
    demand(time.process_time() < _ends_at[0], f"anything within {MOST_SECONDS} seconds")


# === 2. full attention: the field and its derivative, U = P = diag(p, q)


class Plane:
    """F_i = sum_j e^(u_ij) t_i'P y_j, u_ij = y_i'P y_j: the gradient of E = (1/2) sum_ij e^(u_ij)."""

    def __init__(self, n: int, p: Any, q: Any):
        self.n, self.p, self.q = n, p, q

    def field(self, x: list) -> list:
        """F over a box of angles."""
        return self._sums(x)[0]

    def _sums(self, x: list) -> tuple[list, list, list, list, list]:
        p, q, n = self.p, self.q, range(self.n)
        s, c = zip(*(a.sin_cos() for a in x), strict=True)
        e = [[(p * c[i] * c[j] + q * s[i] * s[j]).exp() for j in n] for i in n]
        pull = [[q * c[i] * s[j] - p * s[i] * c[j] for j in n] for i in n]
        return [sum(e[i][j] * pull[i][j] for j in n) for i in n], e, pull, list(s), list(c)

    def slopes(self, x: list) -> tuple[list, list[list]]:
        """F and its derivative: dF_i/dx_j = e_ij (pull_ij pull_ji + t_i'P t_j) for j other than i."""
        p, q, n = self.p, self.q, range(self.n)
        F, e, pull, s, c = self._sums(x)
        J: list[list] = [[None] * self.n for _ in n]
        for i in n:
            u = [p * c[i] * c[j] + q * s[i] * s[j] for j in n]
            for j in n:
                if j != i:
                    turned = p * s[i] * s[j] + q * c[i] * c[j]
                    J[i][j] = e[i][j] * (pull[i][j] * pull[j][i] + turned)
            J[i][i] = sum((e[i][j] * (pull[i][j] * pull[i][j] - u[j]) for j in n if j != i), arb(0))
            own = p * s[i] * s[i] + q * c[i] * c[i] - u[i]
            J[i][i] += e[i][i] * (2 * pull[i][i] * pull[i][i] + own)
        return F, J

    def steepness(self, X: list, parts: int) -> list[list]:
        """The derivative over a box, as what holds it over each of so many parts of every side."""
        J = None
        for piece in product(*(_cut(x, parts) for x in X)):
            _, here = self.slopes(list(piece))
            J = (
                here
                if J is None
                else [
                    [a.union(b) for a, b in zip(*rows, strict=True)]
                    for rows in zip(J, here, strict=True)
                ]
            )
        assert J is not None
        return J

    def krawczyk(self, X: list, parts: int = 1) -> list:
        """K(X) = c - Y F(c) + (I - Y DF(X)) (X - c): it holds every zero in X, and one alone if it lies inside."""
        in_time()
        n = range(self.n)
        c = [a.mid() for a in X]
        F, _ = self.slopes(c)
        J = self.steepness(X, parts)
        middle = arb_mat([[a.mid() for a in row] for row in J])
        try:
            inverse = [[a.mid() for a in row] for row in middle.inv().tolist()]
        except ZeroDivisionError:
            return [arb("nan")] * self.n  # which overlaps everything and lies in nothing
        K = []
        for i in n:
            total = c[i] - sum(inverse[i][k] * F[k] for k in n)
            for j in n:
                rest = int(i == j) - sum(inverse[i][k] * J[k][j] for k in n)
                total += rest * (X[j] - c[j])
            K.append(total)
        return K


def _cut(x: Any, parts: int) -> list:
    """An interval in parts, whose ends are shared."""
    lo, width = x.lower(), (x.upper() - x.lower()) / parts
    ends = [lo, *(lo + k * width for k in range(1, parts)), x.upper()]
    return [a.union(b) for a, b in pairwise(ends)]


# === 3. its leaves, and the zeros

_SIDE, _FIRST = Fraction(13, 2), Fraction(13, 8)  # above 2 pi, above pi / 2


def zeros_of(plane: Plane, symbols: array) -> list[tuple[list, list]]:
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
            demand(depth[s] < MOST_HALVINGS, f"sides halved at most {MOST_HALVINGS} times")
            deeper, lower, upper = [*depth], [*at], [*at]
            deeper[s] += 1
            lower[s], upper[s] = 2 * at[s], 2 * at[s] + 1
            pending += [(upper, deeper), (lower, deeper)]
            continue
        in_time()
        lo = [Fraction(a, 2**d) * side for a, d, side in zip(at, depth, sides, strict=True)]
        width = [side / 2**d for d, side in zip(depth, sides, strict=True)]
        hi = [a + w for a, w in zip(lo, width, strict=True)]
        if s == n:
            apart = any(lo[i] > hi[i + 1] for i in range(1, n - 1))
            demand(apart, "that tokens of a box are out of order")
            continue
        box = [_ball(a).union(_ball(b)) for a, b in zip(lo, hi, strict=True)]
        wide = [
            _ball(a - w / 4).union(_ball(b + w / 4)) for a, b, w in zip(lo, hi, width, strict=True)
        ]
        if s == n + 1:
            demand(_without(plane, box, wide, _HALVINGS), "that a box has no zero")
            continue
        demand(s == n + 2, "a reason that is known")
        zeros.append((wide, _alone(plane, wide)))
    demand(k == size, "a tree that ends where the file does")
    return zeros


_HALVINGS = 12  # of leaves without a zero: balls are wider than intervals with two ends


def _without(plane: Plane, box: list, wide: list | None, halvings: int) -> bool:
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
    halves = [[*box[:i], half, *box[i + 1 :]] for half in _cut(box[i], 2)]
    return all(_without(plane, half, None, halvings - 1) for half in halves)


def _alone(plane: Plane, X: list) -> list:
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


def classes(zeros: list[tuple[list, list]]) -> list[list]:
    """One enclosure of each class under permutations of tokens and sign changes of the axes."""
    known: list[tuple[list, list]] = []
    for X, Z in zeros:
        if not any(_same(Z, other) for other in known):
            known.append((X, Z))
    return [Z for _, Z in known]


def _same(Z: list, other: tuple[list, list]) -> bool:
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


def is_stable(plane: Plane, Z: list, sign: int) -> bool:
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
        plane = Plane(c["tokens"], *(_ball(a).union(_ball(b)) for a, b in (p, q)))
        each = classes(zeros_of(plane, unpack(box)))
        counts.add((len(each), sum(is_stable(plane, Z, c["sign"]) for Z in each)))
        demand(len(counts) == 1, "one count for all eigenvalues")
        boxes.append((*p, *q))
    ends = [min(b[0] for b in boxes), max(b[1] for b in boxes)]
    ends += [min(b[2] for b in boxes), max(b[3] for b in boxes)]
    demand(_fill(boxes, ends), "boxes of eigenvalues that fill a rectangle")
    return (*counts.pop(), ends)


def _fill(boxes: list[tuple], ends: list[Fraction]) -> bool:
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


# === 4. causal attention: token after token, one angle at a time


class Causal:
    """The pull on token k, but for a positive factor, with the tokens before it at rest."""

    def __init__(self, P: list, U: list):
        self.P, self.U = ([[_ball(Fraction(x)) for x in row] for row in M] for M in (P, U))

    def pull(self, x: Any, before: list) -> tuple[Any, Any]:
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

    def rests(self, before: list) -> list[tuple[Any, bool]]:
        """All zeros of f around the circle, and whether f' < 0 there; refused where f' may vanish too."""
        # From 1/7 to 2 pi + 1/7: no zero is at the seam itself, or it is refused.
        start = _ball(Fraction(1, 7))
        seam = self.pull(start, before)[0]
        demand(not seam.contains(0), "that no token rests at the angle 1/7")
        rests, pending, looked_at = [], [(Fraction(0), 0)], 0
        while pending:
            at, depth = pending.pop()
            looked_at += 1
            # Simple zeros take some hundred arcs; beside one of higher order there is no end of them.
            simple = depth <= 40 and looked_at <= MOST_ARCS
            demand(simple, "equilibria with a derivative that is not zero")
            a, b = (2 * arb.pi() * _ball(part) + start for part in (at, at + Fraction(1, 2**depth)))
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

    def _narrow(self, x: Any, before: list) -> Any:
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


def _times(M: list, z: Any) -> tuple[Any, Any]:
    return (_dot(M[0], z), _dot(M[1], z))


def causal(c: dict[str, Any]) -> list[tuple[list, bool]]:
    """All equilibria, as angles, and whether each is stable."""
    ctx.prec = BITS
    field = Causal(c["P"], c["U"])
    branches: list[tuple[list, bool]] = [([], True)]
    for k in range(c["tokens"]):
        longer = []
        for angles, stable in branches:
            rests = field.rests([x.sin_cos()[::-1] for x in angles])
            demand(rests, f"that token {k + 1} rests somewhere; it turns for ever")
            longer += [([*angles, x], stable and attracts) for x, attracts in rests]
        branches = longer
        demand(len(branches) <= MOST_BOXES, "fewer equilibria")
    return branches


# === 5. the words, and all of it


def digest(contents: dict[str, Any]) -> str:
    """SHA-256 of the other parts. It shows a slip of the hand; anyone can make one that fits."""
    rest = {name: part for name, part in contents.items() if name != "digest"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def prove(c: dict[str, Any]) -> list[str]:
    """What is shown, in words."""
    ctx.prec = BITS
    _ends_at[0] = time.process_time() + MOST_SECONDS
    n = f"{c['tokens']} token{'s' * (c['tokens'] > 1)}"
    try:
        if c["mask"] == "full":
            equilibria, stable, (p0, p1, q0, q1) = full(c)
            sign = "c > 0" if c["sign"] == 1 else "c < 0"
            words = (
                f"For every symmetric P with eigenvalues p{_within(p0, p1)} and q{_within(q0, q1)}, U = cP, {sign}, "
                f"and {n} on the circle (d = 2, W = I, one head, full attention, softmax or exponential kernel, "
                f"any positive scale): eq. (6) has {equilibria} equilibria up to permutations of tokens and sign "
                f"changes of the axes of P, of which {stable} are exponentially stable and {equilibria - stable} have "
                "a direction of strict growth. Every start converges to one of them; almost every start to one "
                "that is stable."
            )
        else:
            branches = causal(c)
            equilibria, stable = len(branches), sum(attracts for _, attracts in branches)
            words = (
                f"For P = {_matrix(c['P'])}, U = {_matrix(c['U'])} and {n} on the circle (d = 2, W = I, one head, "
                f"causal attention, softmax or exponential kernel, any positive scale): eq. (6) has {equilibria} "
                f"equilibria, of which {stable} are exponentially stable and {equilibria - stable} have a "
                "direction of strict growth. "
                "Every start converges to one of them; almost every start to one that is stable."
            )
    except (ValueError, ZeroDivisionError, OverflowError) as error:  # balls too wide
        if isinstance(error, Refused):
            raise
        raise Refused(f"not shown: anything, the enclosures are too wide ({error})") from None
    finally:
        _ends_at[0] = float("inf")
    return textwrap.wrap(words, 100)


def _within(lo: Fraction, hi: Fraction) -> str:
    return f" = {lo}" if lo == hi else f" from {lo} to {hi}"


def _matrix(M: list) -> str:
    return "[" + ", ".join("[" + ", ".join(row) + "]" for row in M) + "]"


def check(data: bytes | str) -> tuple[dict[str, Any], list[str]]:
    """A certificate's parts, and what they prove in words; else `Refused`."""
    c = read(data)
    demand(c["digest"] == digest(c), "an unaltered file")
    words = prove(c)
    demand(c["statement"] == words, "what it says in words: it proves something else")
    return c, words


def main(arguments: list[str]) -> int:
    """Check the file that is named: 0 where it holds, 1 where it does not."""
    if len(arguments) != 1:
        print("usage: python _count_checker.py FILE", file=sys.stderr)
        return 1
    try:
        with open(arguments[0], "rb") as file:
            _, words = check(file.read(MOST_BYTES + 1))
    except OSError as error:
        print(f"cannot be read: {error.strerror}", file=sys.stderr)
        return 1
    except Refused as error:
        print(error, file=sys.stderr)
        return 1
    print("holds:", *words, sep="\n")
    return 0


if __name__ == "__main__" and (status := main(sys.argv[1:])):
    sys.exit(status)
