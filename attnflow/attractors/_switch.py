"""From a point where branches meet to points on the others: symmetric directions first, then others."""

from collections.abc import Iterator

import numpy as np

from ..linearisation.frames import Frame
from ._arc import Condition, Curve, CurvePoint
from ._events import Event

_ASIDE = (0.03, 0.01, 0.003)  # how far from the meeting the first point of another branch is sought
_FAR = 0.3  # how far from the meeting it may be in all, along the known curve too
_RANDOM = 8
_SPLITS = 6


def leaving(curve: Curve, event: Event, low: float, high: float) -> list[CurvePoint]:
    """A first point on each other branch through the event, up to the symmetries of the field."""
    frame = event.frame
    free, N = _null_directions(curve, frame, event.multiplicity)
    here = curve.lowered(frame, free, event.way)
    here = N @ (N.T @ here)
    size = float(np.linalg.norm(here))
    if size > 1e-3:
        left, _, _ = np.linalg.svd(N - np.outer(here, here @ N) / size**2, full_matrices=False)
        others = left[:, : N.shape[1] - 1]
    else:
        others = N
    # Differences of places, one in a row: the directions in which another branch may leave.
    K = np.stack([curve.lifted(frame, free, v) for v in others.T])
    origin = curve.place(frame)
    best: list[CurvePoint] = []
    for aside in _ASIDE:
        found: list[tuple[np.ndarray, float, CurvePoint]] = []
        beyond = False
        for way in _candidates(K, frame):
            got = curve.corrected(
                curve.frame(frame, origin + aside * way), _shell(origin, K, aside)
            )
            if got is None:
                continue
            moved = curve.place(got) - origin
            if float(np.linalg.norm(moved)) > _FAR:
                continue
            if not low <= float(got.parameter) <= high:
                beyond = True
                continue
            numbers, value = curve.numbers(got), float(got.parameter)
            # Two that a symmetry takes to each other differ by a part of that: they turn with the symmetries that are
            # continuous by its square, and by so much less of them lies in the rows of K.
            alike = aside**3
            if any(
                np.abs(numbers - other).max(initial=0) <= alike
                and abs(value - at) <= alike * curve.unit
                for other, at, _ in found
            ):
                continue
            found.append((numbers, value, curve.point(got, moved / float(np.linalg.norm(moved)))))
        best = best if len(best) > len(found) else [point for _, _, point in found]
        if best and not beyond:
            break
    return best


def _null_directions(curve: Curve, frame: Frame, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Free coordinates, and an orthonormal basis of what velocity does not answer in them and the parameter."""
    free = curve.free(frame)
    A = curve.matrix(frame, free)
    _, _, right = np.linalg.svd(A, full_matrices=True)
    return free, right[-(number + 1) :].T


def _shell(origin: np.ndarray, K: np.ndarray, radius: float) -> Condition:
    """Places whose part in the span of the rows of `K` has the length `radius`."""

    def condition(place: np.ndarray) -> tuple[float, np.ndarray]:
        part = K @ (place - origin)
        length = max(float(np.linalg.norm(part)), 1e-300)
        return length - radius, part @ K / length

    return condition


def _candidates(K: np.ndarray, frame: Frame) -> Iterator[np.ndarray]:
    """Unit directions in the span of the rows of `K`: both signs of each."""
    ways: list[np.ndarray] = []
    if len(K) == 1:
        ways.append(K[0])
    else:
        tokens, dim = frame.x.shape
        generator = np.random.default_rng(0)
        # Some tokens one way and the others back: the splits that symmetry under relabelling singles out.
        axes = [np.linalg.svd(K[:, :-1].reshape(-1, dim), full_matrices=False)[2][0]]
        axes += list(generator.normal(size=(2, dim)))
        for axis in axes:
            for k in range(1, min(tokens // 2, _SPLITS) + 1):
                split = np.append(
                    np.outer(np.where(np.arange(tokens) < k, 1.0, -k / (tokens - k or 1)), axis), 0
                )
                ways.append(split @ K.T @ K)
        ways += list(K)
        ways += list(generator.normal(size=(_RANDOM, len(K))) @ K)
    for way in ways:
        size = float(np.linalg.norm(way))
        if size > 1e-6:
            yield way / size
            yield -way / size


def same_place(curve: Curve, one: Frame, other: Frame, within: float) -> bool:
    """Whether two equilibria are one, up to the symmetries of the field."""
    if abs(float(one.parameter) - float(other.parameter)) > within * curve.unit:
        return False
    return bool(np.abs(curve.numbers(one) - curve.numbers(other)).max(initial=0) <= within)
