"""Checks a cover's certificate in ball arithmetic, with python-flint alone: python _checker.py FILE.

The file says how boxes are halved and why each leaf needs no more. Here every leaf is gone through, and its
reason shown again in Arb; whether the leaves fill the whole domain follows from the tree. The theorem is
written from what was shown. PROOFS.md beside this file follows the sections here.
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
from collections import Counter
from fractions import Fraction
from itertools import combinations, permutations
from typing import Any

from flint import arb, ctx, fmpq

FORMAT = "attnflow cover 1"
MOST_BYTES, MOST_DEPTH = 2**24, 4
MOST_SYMBOLS, MOST_SECONDS = 2**24, 3_600
MOST_TOKENS, MOST_ORDERS, MOST_BETA, MOST_WEIGHT = 9, 3_000, 16, 1_000
MOST_HALVINGS = 48
BITS = 80


class Refused(ValueError):
    """What a file says was not shown."""


def demand(holds: Any, what: str) -> None:
    """Refuse, unless something holds for certain."""
    if not holds:
        raise Refused(f"not shown: {what}")


# === 1. the file: bounded before anything is computed, no key twice, exactly the parts that are known

_NUMBER = re.compile(r"-?[0-9]{1,20}(\.[0-9]{1,30})?|-?[0-9]{1,20}/[0-9]{1,20}")
_PARTS = {"format", "weights", "beta", "tree", "made by", "statement", "digest"}


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
    # Brackets inside the packed tree count too: it is written in letters and digits.
    demand(most <= MOST_DEPTH, f"brackets at most {MOST_DEPTH} deep")
    try:
        c = json.loads(text, object_pairs_hook=_once, parse_int=_small)
    except json.JSONDecodeError as error:
        raise Refused(f"not shown: a file of JSON ({error})") from None
    demand(isinstance(c, dict), "a certificate as an object with parts")
    kind = str(c.get("format"))
    demand(kind == FORMAT, f"a file of the format {FORMAT!r}; it is of {ascii(kind)[:60]}")
    odd = sorted(set(c) ^ _PARTS)
    demand(not odd, f"a certificate with its parts and no others: see {odd[:1]!r:.60}")
    demand(_strings(c["weights"]), "weights as decimals in quotes")
    demand(2 <= len(c["weights"]) <= MOST_TOKENS, f"two tokens at least, {MOST_TOKENS} at most")
    demand(_strings(c["beta"]) and len(c["beta"]) == 2, "beta as two decimals in quotes")
    for x in (*c["weights"], *c["beta"]):
        demand(_NUMBER.fullmatch(x) and not re.search(r"/0+$", x), "numbers as decimals, fractions")
    tree = c["tree"]
    demand(isinstance(tree, dict) and set(tree) == {"symbols", "packed"}, "a tree")
    demand(type(tree["symbols"]) is int and isinstance(tree["packed"], str), "a tree, packed")
    demand(0 < tree["symbols"] <= MOST_SYMBOLS, f"at most {MOST_SYMBOLS} symbols")
    made = c["made by"]
    demand(isinstance(made, dict) and set(made) == {"attnflow", "numpy"}, "who made it")
    demand(all(isinstance(x, str) for x in made.values()), "who made it as two words")
    demand(_strings(c["statement"]), "a statement of lines")
    demand(isinstance(c["digest"], str), "a digest")
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


def unpack(tree: dict[str, Any]) -> array:
    """The symbols of a tree: no more of them than it says are ever made."""
    size = 2 * tree["symbols"]
    try:
        packed = base64.b64decode(tree["packed"], validate=True)
        opened = zlib.decompressobj()
        raw = opened.decompress(packed, size + 1)
    except (ValueError, zlib.error) as error:
        raise Refused(f"not shown: a packed tree ({error})") from None
    demand(len(raw) == size and opened.eof and not opened.unused_data, "as many symbols as it says")
    symbols = array("H", raw)
    if sys.byteorder == "big":
        symbols.byteswap()
    return symbols


# === 2. what is covered: gaps from 0 to 13/4, beta from end to end, every order of the weights

_SCALE = 50  # gaps are whole multiples of 2^-50


class Question:
    """Tokens of given weights on the circle, and a range of beta."""

    def __init__(self, c: dict[str, Any]):
        self.weights = tuple(Fraction(x) for x in c["weights"])
        self.beta = tuple(Fraction(x) for x in c["beta"])
        self.texts = c["weights"], c["beta"]
        self.n = len(self.weights)
        demand(
            all(0 < w <= MOST_WEIGHT for w in self.weights), "positive weights of a bounded size"
        )
        demand(min(self.weights) * MOST_WEIGHT >= max(self.weights), "weights of like sizes")
        demand(-MOST_BETA <= self.beta[0] <= self.beta[1] <= MOST_BETA, "a range of beta")
        self.orders = self._orders()
        self.open = False  # whether the lower end of beta, -2/3, is left out

    def _orders(self) -> list[tuple[Fraction, ...]]:
        """Of the weights around the circle, one of each two that are mirror images."""
        many, count = 1, Counter(self.weights)
        for k in range(2, self.n + 1):
            many *= k
        for times in count.values():
            for k in range(2, times + 1):
                many //= k
        demand(many <= 2 * MOST_ORDERS, f"at most {MOST_ORDERS} orders of the weights")
        if len(count) == 1:
            return [self.weights]
        seen = {max(order, order[::-1]) for order in permutations(self.weights)}
        return sorted(seen, reverse=True)


class Meaning:
    """Which symbol says what."""

    def __init__(self, n: int):
        self.arcs = [(a, b) for a in range(1, n) for b in range(a, n)]
        self.cuts = list(combinations(range(1, n), 2))
        self.larger = n
        self.half = self.larger + n - 1
        self.mirror = self.half + 1
        self.arc = self.mirror + 1
        self.subset = self.arc + 2 * len(self.arcs)
        self.direction = self.subset + 2 ** (n - 1) - 1
        self.groups = self.direction + 1
        self.end = self.groups + len(self.cuts)


# === 3. the pull between two tokens, k(x) = e^(beta cos x) sin x, and its slope


class Beta:
    """A box of beta: its ends as balls, and where k and k' have critical points there."""

    def __init__(self, lo: Fraction, hi: Fraction):
        self.lo, self.hi = lo, hi
        self.ends = [_ball(lo)] if lo == hi else [_ball(lo), _ball(hi)]
        self.hull = _ball(lo).union(_ball(hi))
        size = max(abs(lo), abs(hi))
        # For each x, |d^2 k'/d beta^2| = |e^(beta c) c (c^2 - 2 s^2 - beta c s^2)| <= e^|beta| (2 + 2|beta|/5):
        # s^2 c <= 2/(3 sqrt 3) < 2/5. Between its ends k' exceeds the larger one by an eighth of it, at most.
        most = _ball(size).exp() * (2 + 2 * _ball(size) / 5)
        self.bend = most * _ball((hi - lo) ** 2) / 8
        self._known: dict[int, list[tuple[Any, Any]]] = {}
        self.steepest, self.turn = [], []
        for b in self.ends:
            # k' = e^(bc) (c - b (1 - c^2)) = 0
            star = 2 * b / (1 + (1 + 4 * b * b).sqrt())
            angle = star.acos()
            self.steepest.append((angle, TWO_PI() - angle, (b * star).exp() * angle.sin()))
            # k'' = 0 where sin x = 0, and where b^2 c^2 + 3 b c + 1 - b^2 = 0
            u = 2 * (b * b - 1) / (3 + (5 + 4 * b * b).sqrt())
            turns: list[tuple[Any, Any]] = [(arb.pi(), -(-b).exp())]
            if not abs(u) > abs(b):
                c = u / b
                value = u.exp() * (c - b * (1 - c * c))
                if abs(c) < 1:
                    turns += [(c.acos(), value), (TWO_PI() - c.acos(), value)]
                else:  # |c| = 1 within the ball, or so near that it may be: never left out
                    turns.append((None, value))
            self.turn.append(turns)

    def at(self, a: "Angle") -> list[tuple[Any, Any]]:
        """k and k' at an angle, for each end of beta."""
        known = self._known.get(a.whole)
        if known is None:
            if len(self._known) > 20_000:
                self._known.clear()
            known = self._known[a.whole] = []
            for b in self.ends:
                e = (b * a.cos).exp()
                known.append((e * a.sin, e * (a.cos - b * a.sin * a.sin)))
        return known


def _ball(x: Fraction) -> Any:
    return arb(fmpq(x.numerator, x.denominator))


def TWO_PI() -> Any:
    """2 pi."""
    return 2 * arb.pi()


def _may_hold(x0: Any, x1: Any, point: Any) -> bool:
    """Unless the point is outside for certain; a point that is not known may be anywhere."""
    return point is None or not (point < x0 or point > x1)


class Angle:
    """An exact angle, a multiple of 2^-50 (at most 2 pi), its sine and cosine."""

    def __init__(self, whole: int):
        x = arb((whole, -_SCALE))
        self.whole = whole
        self.x = x if x < TWO_PI() else TWO_PI()
        self.sin, self.cos = self.x.sin_cos()


def pull(p: Angle, q: Angle, beta: Beta) -> tuple[Any, Any]:
    """Bounds of k between two angles and over a box of beta.

    For each x, k is monotone in beta: the extremes are at beta's ends, there at angles' ends or where k' = 0.
    """
    low = high = None
    at_p, at_q = beta.at(p), beta.at(q)
    for k, (first, second, most) in enumerate(beta.steepest):
        values = [at_p[k][0], at_q[k][0]]
        if _may_hold(p.x, q.x, first):
            values.append(most)
        if _may_hold(p.x, q.x, second):
            values.append(-most)
        for v in values:
            low = v if low is None else low.min(v)
            high = v if high is None else high.max(v)
    return low, high


def steepness(p: Angle, q: Angle, beta: Beta) -> Any:
    """An upper bound of k' between two angles and over a box of beta."""
    high = None
    at_p, at_q = beta.at(p), beta.at(q)
    for k, turns in enumerate(beta.turn):
        values = [at_p[k][1], at_q[k][1]]
        values += [value for point, value in turns if _may_hold(p.x, q.x, point)]
        for v in values:
            high = v if high is None else high.max(v)
    return high + beta.bend


# === 4. reasons


class Leaf:
    """A box: the gaps' ends but for the last gap, in multiples of 2^-50, and beta."""

    def __init__(
        self, lo: list[int], hi: list[int], order: tuple, weights: list, beta: Beta, angles: dict
    ):
        self.lo, self.hi, self.order, self.beta = lo, hi, order, beta
        self.n, self.weights, self.angles = len(order), weights, angles

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
            (TWO_PI() - arb((sum(self.hi), -_SCALE))).lower(),
            (TWO_PI() - arb((sum(self.lo), -_SCALE))).upper(),
        )

    def gap(self, m: int) -> tuple[Any, Any]:
        """Gap m's ends."""
        return arb((self.lo[m], -_SCALE)), arb((self.hi[m], -_SCALE))

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
                        lo, hi = TWO_PI() - hi, TWO_PI() - lo
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


class Boxes:
    """From whole numbers to boxes of a question, and what they share."""

    def __init__(self, question: Question):
        self.question = question
        self._betas: dict[tuple[int, int], Beta] = {}
        self._angles: dict[int, Angle] = {}
        self._weights: dict[tuple, list] = {}

    def leaf(self, order: tuple, at: list[int], depth: list[int]) -> Leaf:
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
        g_lo = [13 * a << (_SCALE - 2 - d) for a, d in sides]
        g_hi = [13 * (a + 1) << (_SCALE - 2 - d) for a, d in sides]
        weights = self._weights.get(order)
        if weights is None:
            weights = self._weights[order] = [[_ball(a * b) for a in order] for b in order]
        return Leaf(g_lo, g_hi, order, weights, beta, self._angles)


def kind_of(box: Leaf, s: int, v: list[int], says: Meaning, from_: Fraction) -> str | None:
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


def show(question: Question, symbols: array) -> Counter:
    """Every leaf's reason. How many leaves there are of each kind."""
    ends_at = time.process_time() + MOST_SECONDS
    ctx.prec = BITS
    n, says, boxes = question.n, Meaning(question.n), Boxes(question)
    kinds: Counter = Counter()
    k, size = 0, len(symbols)
    for order in question.orders:
        pending = [([0] * n, [0] * n)]
        while pending:
            demand(k < size, "a tree that is whole")
            demand(time.process_time() < ends_at, f"anything within {MOST_SECONDS} seconds")
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
            demand(s < says.end, "a reason that is known")
            v: list[int] = []
            if s == says.direction:
                demand(k + n <= size, "a direction that is whole")
                v = [x - 64 for x in symbols[k : k + n]]
                k += n
            box = boxes.leaf(order, at, depth)
            kind = kind_of(box, s, v, says, question.beta[0])
            demand(kind, f"the reason of leaf {kinds.total() + 1}")
            kinds[kind] += 1
            question.open |= kind == "three groups" and box.beta.lo == Fraction(-2, 3)
    demand(k == size, "a tree that ends where the file does")
    return kinds


# === 5. the words, from what was shown


def statement(question: Question, kinds: Counter) -> list[str]:
    """The theorem."""
    weights_, (lo, hi) = question.texts
    n, same = question.n, len(set(question.weights)) == 1
    beta = f"every beta with {lo} {'<' if question.open else '<='} beta <= {hi}"
    weights = "" if same else f" of the weights {', '.join(weights_)}"
    words = (
        f"For {beta} and {n} tokens{weights} on the circle (d = 2, W = I, one head, U = I, P = beta I, full "
        "attention, softmax or exponential kernel, any positive scale): every equilibrium of eq. (6) that "
        "is not consensus has a direction of strict growth. Hence almost every start converges to "
        "consensus: all but a set of measure zero."
    )
    leaves = ", ".join(f"{many} {kind}" for kind, many in sorted(kinds.items()))
    return [*textwrap.wrap(words, 100), f"Shown on {kinds.total()} boxes: {leaves}."]


# === 6. all of it


def digest(contents: dict[str, Any]) -> str:
    """SHA-256 of the other parts. It shows a slip of the hand; anyone can make one that fits."""
    rest = {name: part for name, part in contents.items() if name != "digest"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def prove(c: dict[str, Any]) -> list[str]:
    """What the tree proves, in words."""
    question = Question(c)
    return statement(question, show(question, unpack(c["tree"])))


def check(data: bytes | str) -> tuple[dict[str, Any], list[str]]:
    """A certificate's parts, and what its tree proves in words; else `Refused`."""
    c = read(data)
    demand(c["digest"] == digest(c), "an unaltered file")
    words = prove(c)
    demand(c["statement"] == words, "what it says in words: its tree proves something else")
    return c, words


def main(arguments: list[str]) -> int:
    """Check the file that is named: 0 where it holds, 1 where it does not."""
    if len(arguments) != 1:
        print("usage: python _checker.py FILE", file=sys.stderr)
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
