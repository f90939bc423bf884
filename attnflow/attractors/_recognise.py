"""Ends told apart: each is one of the states known so far, a new one after polishing, or undecided."""

from dataclasses import dataclass, field as attribute

import jax.numpy as jnp
import numpy as np

from ..linearisation import Spectrum, equilibrium, spectrum
from ..model import AttentionField
from ._cycles import Cycle, cycle_from
from ._ends import Ends
from ._invariants import Invariants, unit
from ._kinds import Shape, shape_of

SAME = 1e-3  # how far invariants of one state may differ
PERIOD = 1e-6  # the same for the period of a cycle, as a part of it
_ALONG = 0.03  # the same for a cycle, of which some points are remembered
_NEAR = 0.1  # radians that polishing may move a token
_BLOCK_BYTES = 2**25
_POLISHED = 64  # ends that are polished at most, in one chunk and round
_MOST = 256  # states that are told apart
UNDECIDED, FAILED = -1, -2


@dataclass
class Known:
    """A state that starts end at, or creep past; what it is and how many have come."""

    kind: str
    shape: Shape
    state: np.ndarray
    spectrum: Spectrum
    numbers: np.ndarray | None  # (points, invariants), of an equilibrium or along a cycle
    cycle: Cycle | None = None
    start: np.ndarray | None = None
    first: int = -1
    count: int = 0
    attracts: bool = attribute(default=False)


class Recogniser:
    """The states known so far, and the rules by which an end is one of them."""

    def __init__(
        self,
        field: AttentionField,
        t: float,
        example: np.ndarray,
        rest: float,
        creeps: float,
        period: float,
    ):
        self.field, self.t, self.rest, self.creeps, self.period = field, t, rest, creeps, period
        self.invariants = Invariants(field, t, example)
        self.known: list[Known] = []
        tokens = example.shape[0]
        self.block = max(1, _BLOCK_BYTES // (8 * 3 * tokens * (tokens + example.shape[1])))
        self.cycles_sought = 0

    def classify(self, ends: Ends, last: bool, final: bool = False) -> np.ndarray:
        """The number of each end's state, or `UNDECIDED`: after `last` for fast ones alone, after `final` for none."""
        labels = np.full(len(ends.ys), UNDECIDED)
        for first in range(0, len(labels), self.block):
            part = slice(first, first + self.block)
            labels[part] = self._block(Ends(*(a[part] for a in ends)), last, final)
        return labels

    def _block(self, ends: Ends, last: bool, final: bool) -> np.ndarray:
        labels = np.where(ends.failed, FAILED, UNDECIDED)
        good = np.flatnonzero(~ends.failed)
        numbers = np.full((len(labels), 0), np.nan)
        if len(good):
            inner = self.invariants(ends.ys[good])
            numbers = np.full((len(labels), inner.shape[1]), np.nan)
            numbers[good] = inner
        for k in range(len(self.known)):
            self._take(labels, numbers, k, last)
        tried = np.zeros(len(labels), bool)
        for _ in range(_POLISHED):
            # Those at rest first; those under way only where they have had all the time there is.
            still = (labels == UNDECIDED) & ~tried
            waiting = np.flatnonzero(still & (ends.speeds <= self.rest))
            if not len(waiting) and (last or self._may_cycle()):
                waiting = np.flatnonzero(still)
            if not len(waiting) or len(self.known) >= _MOST:
                break
            i = int(waiting[0])
            tried[i] = True
            k = self._polished(ends.ys[i]) if last or ends.speeds[i] <= self.rest else None
            if k is None and ends.speeds[i] > self.rest and self._may_cycle():
                k = self._cycle(ends.ys[i])
            like = np.abs(numbers - numbers[i]).max(axis=1) <= SAME
            if k is None or not (self.known[k].attracts or last):
                tried |= like
                continue
            self._take(labels, numbers, k, last)
            labels[like & (labels == UNDECIDED)] = k
        if last:
            for i in np.flatnonzero(labels == UNDECIDED):
                if final or ends.speeds[i] <= self.creeps:
                    labels[i] = self._remainder(ends.ys[i], float(ends.speeds[i]))
        return labels

    def _take(self, labels: np.ndarray, numbers: np.ndarray, k: int, last: bool) -> None:
        """Give number `k` to the undecided whose invariants say so; one that repels waits for the last round."""
        known = self.known[k]
        if known.numbers is None or not (known.attracts or last):
            return
        open_ = np.flatnonzero(labels == UNDECIDED)
        away = np.full(len(open_), np.inf)
        for point in known.numbers:
            away = np.minimum(away, np.abs(numbers[open_] - point).max(axis=1, initial=0))
        labels[open_[away <= (SAME if known.cycle is None else _ALONG)]] = k

    def _polished(self, y: np.ndarray) -> int | None:
        """The number of the equilibrium next to `y`, a new one if need be; `None` where there is none."""
        try:
            rest = equilibrium(self.field, jnp.asarray(y), self.t, throw=False)
        except ValueError:
            return None
        if not rest.converged or rest.moved > _NEAR:
            return None
        state = np.asarray(rest.y)
        numbers = self.invariants(state[None])
        for k, known in enumerate(self.known):
            if known.cycle is not None or known.numbers is None:
                continue
            if np.abs(known.numbers - numbers).max() <= SAME:
                return k
        shape = shape_of(unit(self.field.manifold, state[None])[0])
        linear = spectrum(self.field, self.t, rest.y)
        attracts = linear.verdict == "stable"
        kind = shape.name if attracts else "slow"
        return self._add(Known(kind, shape, state, linear, numbers, attracts=attracts))

    def _may_cycle(self) -> bool:
        return self.cycles_sought < 8

    def _cycle(self, y: np.ndarray) -> int | None:
        """The number of the cycle through a point next to `y`, if there is one that attracts."""
        self.cycles_sought += 1
        cycle = cycle_from(self.field, y, self.t, self.period)
        if cycle is None or not cycle.attracts:
            return None
        numbers = self.invariants(cycle.points)
        for k, known in enumerate(self.known):
            if known.cycle is None or known.numbers is None:
                continue
            alike = abs(known.cycle.period - cycle.period) <= PERIOD * cycle.period
            if alike and np.abs(known.numbers - numbers[0]).max(axis=1).min() <= _ALONG:
                return k
        shape = shape_of(unit(self.field.manifold, cycle.points[:1])[0])
        linear = spectrum(self.field, self.t, jnp.asarray(cycle.points[0]))
        return self._add(
            Known("cycle", shape, cycle.points[0], linear, numbers, cycle, attracts=True)
        )

    def _remainder(self, y: np.ndarray, speed: float) -> int:
        """The row of ends with no equilibrium near: those that creep, by their masses, and the others."""
        kind = "slow" if speed <= self.creeps else "no rest"
        shape = shape_of(unit(self.field.manifold, y[None])[0])
        for k, known in enumerate(self.known):
            alike = known.shape.masses == shape.masses if kind == "slow" else True
            if known.numbers is None and known.kind == kind and alike:
                return k
        linear = spectrum(self.field, self.t, jnp.asarray(y))
        return self._add(Known(kind, shape, y, linear, None))

    def _add(self, known: Known) -> int:
        self.known.append(known)
        return len(self.known) - 1
