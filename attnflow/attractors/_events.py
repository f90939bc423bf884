"""What happens between two points of a curve: folds, crossings of branches, Hopf points; where, and of what kind."""

import itertools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ..linearisation.frames import Frame
from ._arc import Curve, CurvePoint, plane

_NODES = np.cos(np.pi * (np.arange(12) + 0.5) / 12)[::-1]  # Chebyshev's, which leave out the middle
_PUSHED = 1e-4  # how much the parameter pushes where the Jacobian does not answer, at a fold
_QUADRATIC = 1e-6  # of the size of the field: a second derivative that small is zero
_SURE = 1e-2
_ASIDE = 1e-4


class Event(NamedTuple):
    """A point of a curve where an eigenvalue is on the imaginary axis."""

    kind: str
    frame: Frame
    width: float  # how far the value may be off
    eigenvalue: complex
    multiplicity: int
    way: np.ndarray  # the tangent of the curve
    at: int  # index of the point of the curve before it


class _Met(NamedTuple):
    """Where a number is zero on a piece of a curve."""

    s: float
    place: np.ndarray
    way: np.ndarray  # the unit tangent there, which equations that are singular there do not give
    width: float  # how far the value of the parameter may be off


def events_on(curve: Curve, points: list[CurvePoint]) -> list[Event]:
    """All events on a curve, in order."""
    met: list[Event] = []
    sure = [k for k, point in enumerate(points) if point.sure]
    for a, b in itertools.pairwise(sure):
        met += _between(curve, points[a : b + 1], a)
    return met


def _between(curve: Curve, points: list[CurvePoint], at: int) -> list[Event]:
    first, last = points[0], points[-1]
    before, after = first.spectrum.unstable, last.spectrum.unstable
    ranks = list(range(min(before, after), max(before, after)))
    turned = first.way[-1] * last.way[-1] < 0
    if not ranks and not turned:
        return []
    piece = _Piece(curve, points)
    met: list[tuple[float, Event]] = []
    if turned:
        turn = _turn(piece, at)
        if turn is not None:
            s, event, rank = turn
            met.append((s, event))
            # It is the crossing of one of the eigenvalues, if it is one of those that change sides.
            ranks = [k for k in ranks if k != min(ranks, key=lambda r: abs(r - rank))]
    while ranks:
        found = _crossing(piece, ranks[0], at)
        if found is None:
            break
        s, event, together = found
        ranks = [k for k in ranks if k not in together and k != ranks[0]]
        met.append((s, event))
    return [event for _, event in sorted(met, key=lambda pair: pair[0])]


def _turn(piece: "_Piece", at: int) -> tuple[float, Event, int] | None:
    """Where the curve turns back: a fold, or a pitchfork that is come to along its arms; and the rank that vanishes."""

    def slope(point: CurvePoint) -> float:
        return float(point.way[-1])

    s = piece.root(slope)
    got = None if s is None else piece.at(s)
    if s is None or got is None:
        return None
    width, number, kind = _width(piece, s), 1, "fold"
    if _pushed(piece.curve, got.frame, 1) <= _PUSHED:
        better = piece.through(s, slope)
        if better is not None:
            s, width = better.s, better.width
            got = piece.curve.on(got, better.place, better.way)
        slack = 1e-7 * float(got.frame.local.size)
        number = max(1, int(np.sum(np.abs(got.spectrum.outside) <= slack)))
        kind = _kind(piece.curve, got.frame, number)
    rank = int(np.argmin(np.abs(got.spectrum.outside)))
    value = complex(got.spectrum.outside[rank])
    return s, Event(kind, got.frame, width, value, number, got.way, at), rank


def _crossing(piece: "_Piece", rank: int, at: int) -> tuple[float, Event, list[int]] | None:
    """The event at which the eigenvalue of this rank crosses, and which ranks cross with it."""

    def real(point: CurvePoint) -> float:
        outside = point.spectrum.outside
        return float(outside[min(rank, len(outside) - 1)].real)

    s = piece.root(real)
    got = None if s is None else piece.at(s)
    if s is None or got is None:
        return None
    width = _width(piece, s)
    slack = max(got.spectrum.margin, 1e-7 * float(got.frame.local.size))
    value = complex(got.spectrum.outside[min(rank, len(got.spectrum.outside) - 1)])
    if abs(value.imag) <= 10 * slack:
        better = piece.through(s, real)
        if better is not None:
            s, width = better.s, better.width
            got = piece.curve.on(got, better.place, better.way)
            value = complex(got.spectrum.outside[min(rank, len(got.spectrum.outside) - 1)])
        slack = max(slack, 1e-7 * float(got.frame.local.size))
        ranks = [k for k, v in enumerate(got.spectrum.outside) if abs(v) <= slack] or [rank]
        kind = _kind(piece.curve, got.frame, len(ranks))
        event = Event(kind, got.frame, width, complex(value.real), len(ranks), got.way, at)
        return s, event, ranks
    ranks = [k for k, v in enumerate(got.spectrum.outside) if abs(v.real) <= slack] or [rank]
    value = complex(value.real, abs(value.imag))
    return s, Event("hopf", got.frame, width, value, len(ranks), got.way, at), ranks


def _width(piece: "_Piece", s: float) -> float:
    """How much the value changes by a rounding of the place."""
    near = 1e-8 * piece.length
    ends = [piece.at(s - near), piece.at(s + near)]
    values = [point.value for point in ends if point is not None]
    spread = float(np.ptp(values)) if len(values) == 2 else 0.0
    return max(1e-7 * spread, 4 * piece.points[0].frame.eps * max(map(abs, values), default=1.0))


def kernel(curve: Curve, frame: Frame, number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Free coordinates, and the `number` directions in them that the Jacobian takes to zero, from right and left."""
    free = curve.free(frame)
    left, _, right = np.linalg.svd(free.T @ frame.local.jacobian @ free)
    return free, right[-number:].T, left[:, -number:]


def _pushed(curve: Curve, frame: Frame, number: int) -> float:
    """The part of the derivative by the parameter that the Jacobian does not answer, of the size of the field."""
    free, _, left = kernel(curve, frame, number)
    pushed = float(np.linalg.norm(left.T @ free.T @ frame.local.slope)) * curve.unit
    return pushed / float(frame.local.size)


def _kind(curve: Curve, frame: Frame, number: int) -> str:
    """Of a real crossing: a fold, or by the second derivatives on the kernel whether branches cross at an angle."""
    if _pushed(curve, frame, number) > _SURE * _PUSHED:
        return "fold"
    free, right, left = kernel(curve, frame, number)
    largest = 0.0
    for phi in right.T:
        xi = _ASIDE * (free @ phi)
        second = (frame.at(xi).jacobian - frame.at(-xi).jacobian) / (2 * _ASIDE)
        largest = max(largest, float(np.abs(left.T @ free.T @ second @ free @ right).max()))
    return "transcritical" if largest > _QUADRATIC * float(frame.local.size) else "pitchfork"


class _Piece:
    """A piece of a curve, by the distance along its chord: smooth where the curve is."""

    def __init__(self, curve: Curve, points: list[CurvePoint]):
        self.curve = curve
        self.origin = curve.place(points[0].frame)
        way = curve.place(points[-1].frame) - self.origin
        self.length = float(np.linalg.norm(way))
        self.way = way / self.length
        self.points = list(points)
        self.marks = [float(self.way @ (curve.place(p.frame) - self.origin)) for p in points]

    def at(self, s: float) -> CurvePoint | None:
        """The point at `s`, from the line through the two known points next to it."""
        k = int(np.clip(np.searchsorted(self.marks, s), 1, len(self.marks) - 1))
        a, b = self.curve.place(self.points[k - 1].frame), self.curve.place(self.points[k].frame)
        part = (s - self.marks[k - 1]) / (self.marks[k] - self.marks[k - 1])
        guess = a + part * (b - a)
        near = self.points[k - 1] if part < 0.5 else self.points[k]
        frame = self.curve.corrected(
            self.curve.frame(near.frame, guess), plane(self.origin, self.way, s)
        )
        if frame is None:
            return None
        away = float(np.linalg.norm(self.curve.place(frame) - guess))
        if away > 0.2 * self.length + 1e-6:
            return None
        return self.curve.point(frame, near.way)

    def root(self, of: Callable[[CurvePoint], float]) -> float | None:
        """Where a number that has different signs at the ends is zero: secants (Illinois) and bisection."""
        low, high = 0, len(self.points) - 1
        a, b = self.marks[low], self.marks[high]
        fa, fb = of(self.points[low]), of(self.points[high])
        if fa * fb > 0:
            return None
        weights = [1.0, 1.0]
        for trial in range(100):
            wa, wb = weights[0] * fa, weights[1] * fb
            s = (a * wb - b * wa) / (wb - wa) if wb != wa else (a + b) / 2
            if trial % 3 == 2 or not a < s < b:
                s = (a + b) / 2
            if not a < s < b or b - a <= 1e-15 * self.length:
                break
            got = self.at(s)
            if got is None:
                break
            value = of(got)
            if value == 0:
                return s
            if (value > 0) == (fb > 0):
                weights = [weights[0] / 2 if weights[1] == 1.0 else 1.0, 1.0]
                b, fb = s, value
            else:
                weights = [1.0, weights[1] / 2 if weights[0] == 1.0 else 1.0]
                a, fa = s, value
        return a if abs(fa) < abs(fb) else b

    def through(self, centre: float, of: Callable[[CurvePoint], float]) -> _Met | None:
        """Where it is zero, from polynomials through points at a distance on both sides.

        Branches meet there: the closer to it, the fewer digits say which of them one is on.
        """
        best = None
        radius = min(0.3 * self.length, 0.05)
        for _ in range(6):
            got = self._polynomial(centre, radius, of)
            if got is not None and (best is None or got.width < best.width):
                best, centre = got, got.s
            radius /= 3
        return best

    def _polynomial(
        self, centre: float, radius: float, of: Callable[[CurvePoint], float]
    ) -> _Met | None:
        points = [self.at(centre + radius * node) for node in _NODES]
        if any(point is None for point in points):
            return None
        known = [point for point in points if point is not None]
        values = np.array([of(point) for point in known])
        places = np.stack([self.curve.place(point.frame) for point in known])
        fit = np.polynomial.chebyshev.chebfit(
            _NODES, np.column_stack([values, places]), len(_NODES) - 1
        )
        answers = []
        for less in (0, 2):
            root = _root_near_zero(fit[: len(_NODES) - less, 0])
            if root is None:
                return None
            kept = fit[: len(_NODES) - less, 1:]
            answers.append((root, np.asarray(np.polynomial.chebyshev.chebval(root, kept))))
        (root, place), (_, other) = answers
        # Tokens are off by the rounding of the velocity, divided by the eigenvalue that goes to zero.
        frame = known[0].frame
        rough = 1 + float(frame.local.size) / max(float(np.abs(values).min()), 1e-300)
        slope = float(np.abs(np.gradient(values, _NODES)).min()) or np.inf
        off = abs(float(place[-1] - other[-1])) + abs(answers[0][0] - answers[1][0]) * radius
        width = self.curve.unit * (off + radius * frame.rounding * rough / slope)
        way = np.polynomial.chebyshev.chebval(root, np.polynomial.chebyshev.chebder(fit[:, 1:]))
        return _Met(centre + radius * root, place, way / np.linalg.norm(way), width)


def _root_near_zero(coefficients: np.ndarray) -> float | None:
    """The real root in (-1, 1) closest to 0 of a series of Chebyshev polynomials."""
    roots = np.polynomial.chebyshev.chebroots(coefficients)
    real = [float(r.real) for r in np.atleast_1d(roots) if abs(r.imag) < 1e-9 and abs(r.real) < 1]
    return min(real, key=abs, default=None)
