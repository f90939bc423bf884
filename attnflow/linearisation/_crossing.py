"""Where along a branch an eigenvalue's real part is zero, to the digits that are there."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from ..model import AttentionField
from ._equilibrium import is_at_rest, polish
from ._family import family_directions, moving_complement
from ._jacobian import Frame
from ._linear import least_squares
from ._spectrum import analyse

_LONGEST = 0.3  # radians that a token may move in one step
_NODES = np.cos(np.pi * (np.arange(12) + 0.5) / 12)[::-1]  # Chebyshev's, which leave out the middle


class PlacedFrame(NamedTuple):
    """A polished frame, at the place `s` along the piece of the branch that is searched."""

    s: float
    frame: Frame

    @property
    def parameter(self) -> float:
        return float(self.frame.parameter)


def tangent(field: AttentionField, frame: Frame) -> np.ndarray:
    """How the equilibrium moves with the parameter, in the tangent bases, shape `(n,)`."""
    free = moving_complement(frame, family_directions(field, frame))
    slope, _ = least_squares(
        frame.local.jacobian @ free,
        -frame.local.slope,
        cut=4 * frame.noise,
        rounding=frame.noise,
    )
    return free @ slope


def step(field: AttentionField, frame: Frame, parameter: float) -> Frame | None:
    """The equilibrium at `parameter` that continues the one at `frame`; `None` where none is near.

    Near means as predicted by the tangent, to a tenth, with a tangent there that agrees with the
    one here to a third: a jump to another branch does not pass for a step.
    """
    change = parameter - float(frame.parameter)
    if change == 0:
        return frame
    xi = tangent(field, frame) * change
    length = float(np.abs(xi).max(initial=0))
    if not length <= _LONGEST:
        return None
    corrected = _corrected(field, frame.moved(xi, parameter), max(1e-4, length / 10))
    if corrected is None:
        return None
    ways = [
        _in_space(at, way)
        for at, way in ((frame, xi), (corrected, tangent(field, corrected) * change))
    ]
    apart = float(np.abs(ways[1] - ways[0]).max())
    return corrected if apart <= max(1e-3, length / 3) else None


def _in_space(frame: Frame, xi: np.ndarray) -> np.ndarray:
    return np.einsum("idk,ik->id", frame.local.basis, xi.reshape(len(frame.x), -1))


def follow(
    field: AttentionField, frame: Frame, parameter: float, *, halvings: int = 8
) -> Frame | None:
    """[`step`][], in as many steps as it takes; `None` where they would have to be too short."""
    got = step(field, frame, parameter)
    if got is not None or not halvings:
        return got
    between = (float(frame.parameter) + parameter) / 2
    half = follow(field, frame, between, halvings=halvings - 1)
    return None if half is None else follow(field, half, parameter, halvings=halvings - 1)


def _corrected(field: AttentionField, predicted: Frame, reach: float) -> Frame | None:
    """The equilibrium within `reach` of the prediction, by Newton's method."""
    corrected, _ = polish(field, predicted)
    if not is_at_rest(corrected, 64 * corrected.eps):
        return None
    away = float(np.abs(np.asarray(corrected.x - predicted.x)).max())
    return corrected if away <= reach else None


def is_singular(field: AttentionField, frame: Frame) -> tuple[bool, bool]:
    """Whether the Jacobian is close to singular outside the family; if so, whether at a fold.

    A fold is where the parameter pushes in the direction that the Jacobian does not answer.
    """
    free = moving_complement(frame, family_directions(field, frame))
    left, widths, _ = np.linalg.svd(frame.local.jacobian @ free, full_matrices=False)
    if not len(widths) or widths[-1] > 1e-2 * float(frame.local.size):
        return False, False
    pushed = abs(float(left[:, -1] @ frame.local.slope))
    return True, pushed > max(1e-4 * float(np.linalg.norm(frame.local.slope)), 1e3 * frame.noise)


def locate(field: AttentionField, frames: list[Frame], rank: int) -> tuple[Frame, float]:
    """Where the eigenvalue of rank `rank`, counted from the right, crosses, and how well that is known.

    **Arguments:**

    - `frames`: consecutive points of the branch, at the first and the last of which the eigenvalue
      is on different sides of zero.
    """
    points = [PlacedFrame(float(k), frame) for k, frame in enumerate(frames)]
    low, high = _bracket(field, points, rank)
    middle = min((low, high), key=lambda point: abs(_value(field, point.frame, rank)))
    width = abs(high.parameter - low.parameter)
    moves = float(np.abs(np.asarray(frames[-1].x - frames[0].x)).max())
    if moves <= 1e3 * middle.frame.eps or not is_singular(field, middle.frame)[0]:
        return middle.frame, width

    # Branches meet there: the closer to it, the fewer digits say which of them one is on. So it is
    # read off a polynomial through points at a distance.
    length = abs(float(frames[-1].parameter) - float(frames[0].parameter))
    best = middle.frame, max(width, middle.frame.eps**0.25 * length)
    radius, centre = 0.3 * length, middle.parameter
    for _ in range(7):
        result = _by_interpolation(field, (frames[0], frames[-1]), centre, radius, rank)
        if result is not None and result[1] < best[1]:
            best, centre = result, float(result[0].parameter)
        radius /= 3
    return best


def _value(field: AttentionField, frame: Frame, rank: int) -> float:
    outside = analyse(field, frame, margin=0.0).outside
    return float(outside[min(rank, len(outside) - 1)].real)


def _bracket(
    field: AttentionField, points: list[PlacedFrame], rank: int
) -> tuple[PlacedFrame, PlacedFrame]:
    """The two points next to the crossing, by secants (Illinois) and bisection."""
    low, high = points[0], points[-1]
    fa, fb = _value(field, low.frame, rank), _value(field, high.frame, rank)
    weights = [1.0, 1.0]
    for trial in range(120):
        wa, wb = weights[0] * fa, weights[1] * fb
        s = (low.s * wb - high.s * wa) / (wb - wa)
        if trial % 3 == 2 or not low.s < s < high.s:
            s = (low.s + high.s) / 2
        if not low.s < s < high.s:
            break
        got = _between(field, points, s)
        if got is None:
            break
        points.append(got)
        points.sort(key=lambda point: point.s)
        value = _value(field, got.frame, rank)
        if value == 0:
            return got, got
        if (value > 0) == (fb > 0):
            weights = [weights[0] / 2 if weights[1] == 1.0 else 1.0, 1.0]
            high, fb = got, value
        else:
            weights = [1.0, weights[1] / 2 if weights[0] == 1.0 else 1.0]
            low, fa = got, value
    return low, high


def _between(field: AttentionField, points: list[PlacedFrame], s: float) -> PlacedFrame | None:
    """The point at `s`, predicted on the chord between its neighbours: close to them, close to it."""
    k = next(k for k, point in enumerate(points) if point.s >= s)
    before, after = points[k - 1], points[k]
    part = (s - before.s) / (after.s - before.s)
    x, z = np.asarray(before.frame.x, np.float64), np.asarray(after.frame.x, np.float64)
    chord = float(np.abs(z - x).max())
    parameter = before.parameter + part * (after.parameter - before.parameter)
    frame = _at(before.frame, x + part * (z - x) if chord else x, parameter)
    # At rest to rounding already, Newton's method would follow rounding where it is weakest.
    result = None
    if frame.speed > frame.rounding:
        result = _corrected(field, frame, chord / 2 + 1e3 * frame.eps)
    if result is None and is_at_rest(frame, 64 * frame.eps):
        result = frame
    return None if result is None else PlacedFrame(s, result)


def _at(frame: Frame, x: np.ndarray, parameter: float) -> Frame:
    x = x / np.linalg.norm(x, axis=1, keepdims=True)
    return Frame(frame.family, parameter, frame.t, jnp.asarray(x, frame.x.dtype))


def _by_interpolation(
    field: AttentionField, ends: tuple[Frame, Frame], centre: float, radius: float, rank: int
) -> tuple[Frame, float] | None:
    """The crossing from a polynomial through twelve polished points around it, and its error."""
    nodes = centre + radius * _NODES
    if ends[0].parameter > ends[1].parameter:
        nodes = nodes[::-1]
    frames: dict[float, Frame] = {}
    for side, origin in ((nodes[:6], ends[0]), (nodes[:5:-1], ends[1])):
        for node in side:
            got = follow(field, origin, float(node))
            if got is None:
                return None
            frames[float(node)] = origin = got
    z = (np.array(list(frames)) - centre) / radius
    values = np.array([_value(field, frame, rank) for frame in frames.values()])
    tokens = np.stack([np.asarray(frame.x, np.float64).ravel() for frame in frames.values()])
    fit = np.polynomial.chebyshev.chebfit(z, np.column_stack([values, tokens]), len(z) - 1)
    roots = [_root_near_zero(fit[: len(z) - less, 0]) for less in (0, 2)]
    if roots[0] is None or roots[1] is None:
        return None
    x = np.asarray(np.polynomial.chebyshev.chebval(roots[0], fit[:, 1:]))
    slope = float(np.abs(np.gradient(np.sort(values), np.sort(z))).min())
    # Tokens are off by the rounding of the velocity, divided by the eigenvalue that goes to zero.
    rough = 1 + float(ends[0].local.size) / float(np.abs(values).min())
    noise = ends[0].rounding / 4 * rough / slope if slope else np.inf
    width = radius * (abs(roots[0] - roots[1]) + noise)
    return _at(ends[0], x.reshape(ends[0].x.shape), centre + radius * roots[0]), width


def _root_near_zero(coefficients: np.ndarray) -> float | None:
    """The real root in (-1, 1) closest to 0 of a series of Chebyshev polynomials."""
    roots = np.polynomial.chebyshev.chebroots(coefficients)
    real = [float(r.real) for r in np.atleast_1d(roots) if abs(r.imag) < 1e-9 and abs(r.real) < 1]
    return min(real, key=abs, default=None)
