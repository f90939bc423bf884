"""Equilibria along a curve in tokens and parameter together: its tangent, Newton's method beside it, steps.

A place is a row of numbers: whitened tokens, then the parameter in units of its own, so that turning back in the
parameter is a bend like any other. Directions of the family of symmetries are left out everywhere.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from ..linearisation import Spectrum
from ..linearisation.frames import (
    Frame,
    analyse,
    family_directions,
    is_at_rest,
    least_squares,
    moving_complement,
)
from ..model import AttentionField
from ._invariants import Invariants

_NEWTON = 16
_MISSED = 1e-9  # by how much a condition may be missed

# A condition on a place: by how much it is missed there, and the derivative of that.
Condition = Callable[[np.ndarray], tuple[float, np.ndarray]]


class CurvePoint(NamedTuple):
    """An equilibrium on the curve: its spectrum, and the unit tangent as a place."""

    frame: Frame
    spectrum: Spectrum
    way: np.ndarray

    @property
    def value(self) -> float:
        return float(self.frame.parameter)

    @property
    def sure(self) -> bool:
        """Whether each eigenvalue outside the family has a side of zero."""
        real = np.real(self.spectrum.outside)
        return bool(np.all(np.abs(real) > self.spectrum.margin))


class Curve:
    """The equations of equilibria of a family of fields; `unit` is how far in the parameter counts as one radian."""

    def __init__(self, family: Callable[..., AttentionField], field: AttentionField, unit: float):
        self.family, self.field, self.unit = family, field, unit

    def place(self, frame: Frame) -> np.ndarray:
        x = np.asarray(frame.x, np.float64).ravel()
        return np.append(x, float(frame.parameter) / self.unit)

    def frame(self, like: Frame, place: np.ndarray) -> Frame:
        x = place[:-1].reshape(like.x.shape)
        x = x / np.linalg.norm(x, axis=1, keepdims=True)
        value = float(place[-1] * self.unit)
        return Frame(self.family, value, like.t, jnp.asarray(x, like.x.dtype))

    def free(self, frame: Frame) -> np.ndarray:
        """Coordinates without those of symmetries: an orthonormal basis as columns."""
        return moving_complement(frame, family_directions(self.field, frame))

    def lifted(self, frame: Frame, free: np.ndarray, step: np.ndarray) -> np.ndarray:
        """Numbers for the free coordinates and the parameter as a difference of places."""
        xi = (free @ step[:-1]).reshape(len(frame.x), -1)
        return np.append(np.einsum("idk,ik->id", frame.local.basis, xi).ravel(), step[-1])

    def lowered(self, frame: Frame, free: np.ndarray, way: np.ndarray) -> np.ndarray:
        """The part of a difference of places that is in the free coordinates, and in the parameter."""
        v = way[:-1].reshape(frame.x.shape)
        return np.append(free.T @ np.einsum("idk,id->ik", frame.local.basis, v).ravel(), way[-1])

    def matrix(self, frame: Frame, free: np.ndarray) -> np.ndarray:
        """The derivative of the velocity by free coordinates and parameter."""
        return np.column_stack([frame.local.jacobian @ free, frame.local.slope * self.unit])

    def tangent(self, frame: Frame, like: np.ndarray) -> np.ndarray:
        """The unit tangent of the curve, on the side of `like`."""
        free = self.free(frame)
        row = self.lowered(frame, free, like)
        size = float(np.linalg.norm(row))
        if size == 0:
            return like
        A = np.vstack([self.matrix(frame, free), row / size])
        b = np.zeros(len(A))
        b[-1] = 1.0
        step, _ = least_squares(A, b, cut=4 * frame.noise, rounding=0.0)
        way = self.lifted(frame, free, step / max(float(np.linalg.norm(step)), 1e-300))
        return way if way @ like >= 0 else -way

    def corrected(self, frame: Frame, condition: Condition) -> Frame | None:
        """The equilibrium that meets the condition, by Newton's method from `frame`."""
        best: tuple[float, Frame] | None = None
        for _ in range(_NEWTON):
            missed, row = condition(self.place(frame))
            if not np.isfinite(frame.speed) or not np.isfinite(missed):
                return None
            size = float(frame.local.size)
            good = is_at_rest(frame, 64 * frame.eps) and abs(missed) <= max(
                _MISSED, 1e3 * frame.eps
            )
            if good:
                total = frame.speed / size + abs(missed)
                if best is not None and not total < best[0]:
                    return best[1]
                best = total, frame
                if frame.speed <= frame.rounding / 4 and abs(missed) <= 4 * frame.eps:
                    return frame
            elif best is not None:
                return best[1]
            free = self.free(frame)
            A = np.vstack([self.matrix(frame, free), self.lowered(frame, free, row)])
            b = -np.append(frame.local.velocity, missed)
            step, _ = least_squares(A, b, cut=4 * frame.noise, rounding=frame.rounding / 4)
            if not np.all(np.isfinite(step)) or float(np.abs(step).max(initial=0)) > 1.0:
                return None if best is None else best[1]
            if not step.any():
                break
            frame = frame.moved(free @ step[:-1], float(frame.parameter) + self.unit * step[-1])
        return None if best is None else best[1]

    def point(self, frame: Frame, like: np.ndarray) -> CurvePoint:
        return CurvePoint(frame, analyse(self.field, frame), self.tangent(frame, like))

    def on(self, near: CurvePoint, place: np.ndarray, way: np.ndarray) -> CurvePoint:
        """The point at a place that is known to be on the curve, with its tangent there."""
        frame = self.frame(near.frame, place)
        return CurvePoint(frame, analyse(self.field, frame, margin=0.0), way)

    def numbers(self, frame: Frame) -> np.ndarray:
        """What symmetries of the field at this value leave of the tokens."""
        y = np.asarray(frame.local.y)
        # At rest the velocity says nothing of which tokens may change places: elsewhere it does.
        aside = y + 0.5 * np.random.default_rng(0).normal(size=y.shape).astype(y.dtype)
        example = np.asarray(self.field.manifold.project(jnp.asarray(aside)))
        return Invariants(self.family(frame.parameter), float(frame.t), example)(y[None])[0]

    def step(self, point: CurvePoint, length: float) -> CurvePoint | None:
        """The next point at a distance of `length` along the tangent; `None` where the step is too long."""
        here = self.place(point.frame)
        ahead = here + length * point.way
        frame = self.corrected(self.frame(point.frame, ahead), plane(here, point.way, length))
        if frame is None:
            return None
        if float(np.linalg.norm(self.place(frame) - ahead)) > max(0.2 * abs(length), 1e-7):
            return None
        way = self.tangent(frame, point.way)
        if float(way @ point.way) < 0.95:
            return None
        return CurvePoint(frame, analyse(self.field, frame), way)


def plane(origin: np.ndarray, way: np.ndarray, distance: float) -> Condition:
    """Places at a distance from `origin` along a unit vector."""
    return lambda place: (float(way @ (place - origin)) - distance, way)


def at_value(value: float, places: int) -> Condition:
    """Places where the parameter is `value`, in its unit."""
    row = np.zeros(places)
    row[-1] = 1.0
    return lambda place: (float(place[-1]) - value, row)
