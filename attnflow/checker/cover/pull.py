"""The pull between two tokens, k(x) = e^(beta cos x) sin x, and its slope."""

from fractions import Fraction
from typing import Any

from flint import arb

from ..balls import Balls, ball

SCALE = 50  # gaps are whole multiples of 2^-50


class Beta:
    """A box of beta: its ends as balls, and where k and k' have critical points there."""

    def __init__(self, lo: Fraction, hi: Fraction):
        self.lo: Fraction = lo
        self.hi: Fraction = hi
        self.ends: Balls = [ball(lo)] if lo == hi else [ball(lo), ball(hi)]
        self.hull: Any = ball(lo).union(ball(hi))
        size = max(abs(lo), abs(hi))
        # For each x, |d^2 k'/d beta^2| = |e^(beta c) c (c^2 - 2 s^2 - beta c s^2)| <= e^|beta| (2 + 2|beta|/5):
        # s^2 c <= 2/(3 sqrt 3) < 2/5. Between its ends k' exceeds the larger one by an eighth of it, at most.
        most = ball(size).exp() * (2 + 2 * ball(size) / 5)
        self.bend: Any = most * ball((hi - lo) ** 2) / 8
        self._known: dict[int, list[tuple[Any, Any]]] = {}
        self.steepest: list[tuple[Any, Any, Any]] = []
        self.turn: list[list[tuple[Any, Any]]] = []
        for b in self.ends:
            # k' = e^(bc) (c - b (1 - c^2)) = 0
            star = 2 * b / (1 + (1 + 4 * b * b).sqrt())
            angle = star.acos()
            self.steepest.append((angle, two_pi() - angle, (b * star).exp() * angle.sin()))
            # k'' = 0 where sin x = 0, and where b^2 c^2 + 3 b c + 1 - b^2 = 0
            u = 2 * (b * b - 1) / (3 + (5 + 4 * b * b).sqrt())
            turns: list[tuple[Any, Any]] = [(arb.pi(), -(-b).exp())]
            if not abs(u) > abs(b):
                c = u / b
                value = u.exp() * (c - b * (1 - c * c))
                if abs(c) < 1:
                    turns += [(c.acos(), value), (two_pi() - c.acos(), value)]
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


def two_pi() -> Any:
    """2 pi."""
    return 2 * arb.pi()


def _may_hold(x0: Any, x1: Any, point: Any) -> bool:
    """Unless the point is outside for certain; a point that is not known may be anywhere."""
    return point is None or not (point < x0 or point > x1)


class Angle:
    """An exact angle, a multiple of 2^-50 (at most 2 pi), its sine and cosine."""

    def __init__(self, whole: int):
        x = arb((whole, -SCALE))
        self.whole: int = whole
        self.x: Any = x if x < two_pi() else two_pi()
        sine_and_cosine: tuple[Any, Any] = self.x.sin_cos()
        self.sin: Any = sine_and_cosine[0]
        self.cos: Any = sine_and_cosine[1]


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
