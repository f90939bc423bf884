"""`branch`: equilibria followed through folds, the branches that cross them, and the orbits that leave them."""

import math
from collections.abc import Callable

import jax.numpy as jnp
import numpy as np

from ..core.checks import floating, instance, number, whole
from ..core.types import Numbers, Scalar
from ..linearisation import check_field, check_state
from ..linearisation.frames import Frame, analyse, find
from ..model import AttentionField
from ._arc import Curve, CurvePoint, at_value
from ._branches import Branches, SpecialPoint, Trace
from ._events import Event, events_on
from ._orbits import orbits_from
from ._parameter import Family, family_of
from ._switch import leaving, same_place

_LONGEST, _SHORTEST = 0.1, 1e-8
_MOST = 32  # curves
_PASSED = 10  # steps after which a curve may have come back to its start


def branch(
    field: AttentionField | Callable[..., AttentionField],
    y: Numbers,
    parameter: Callable | Numbers,
    *,
    start: Scalar | None = None,
    low: Scalar | None = None,
    high: Scalar | None = None,
    switch: int = 1,
    steps: int = 400,
    longest: Scalar | None = None,
    orbits: int = 6,
    t: Scalar = 0.0,
) -> Branches:
    r"""The equilibria through `y` as a parameter of the field changes, through folds, with what branches off.

    $$ f(x, p) = 0, \qquad \langle \dot x, x - x_k\rangle + \dot p\,(p - p_k) / u^2 = \Delta s $$

    The curve is followed in tokens and parameter together, in both directions from `y`, modulo the
    symmetry of the field (steps have no part along the family of equilibria that it gives). Eigenvalues are those
    of exact Jacobians. Where one changes sides, the place is located, and named: a **fold**, where the curve turns
    back in the parameter; a **pitchfork** or a **transcritical** point, where other curves cross it, by the second
    derivatives on the kernel; **hopf**, where a pair of complex ones crosses. Crossing curves are followed
    too, one of those that a symmetry takes to each other; from Hopf points, the closed orbits, by shooting.

    **Arguments:**

    - `field`: an [`AttentionField`][] whose tokens stay on the manifold.
    - `y`: tokens close to an equilibrium of it, `(tokens, dim)`; polished first.
    - `parameter`: what is changed, in one of these ways:

        - a function of the value that returns a field: `lambda b: af.AttentionField(sphere, P=b * jnp.eye(3))`;
        - a function of the field and the value: `lambda f, b: eqx.tree_at(lambda f: f.scale, f, b)`;
        - a leaf of the field: `lambda f: f.scale`. A number is replaced by the value; an array or schedule,
          such as `lambda f: f.P`, is multiplied by it;
        - values, where `field` is itself a function of the value: the first one is the start, the least and the
          greatest are the range.

    - `start`: the value at which `y` is an equilibrium. Unless given it is the value that makes `field` of the
      parameter: what a selected number is now, 1 for what is multiplied, and else it is solved for.
    - `low`, `high`: the range in which the curves are followed; without end unless given.
    - `switch`: how often to turn onto a crossing branch, one after the other; 0 for the first curve alone.
    - `steps`: on each curve, in each direction.
    - `longest`: the largest step, in radians of all tokens together; 0.1 by default, with as much of the parameter
      as a twentieth of the range, or of the size of the start, counts for.
    - `orbits`: how many closed orbits to follow from each Hopf point; 0 for none.
    - `t`: the time at which schedules are taken.

    **Returns:**

    [`Branches`][attnflow.attractors.Branches]: `special`, each with `kind` and `value`, and `curves`.

    Limits. *Mathematical*: equilibria that only a symmetry keeps (rotating waves) are no equilibria. *Convenience*: two
    changes within one step may cancel, take a smaller `longest`; where several eigenvalues vanish at once,
    branches are looked for along splits of the tokens and along random directions, and some may be
    missed; up to 32 curves.

    **Raises:**

    `ValueError` for bad arguments; `RuntimeError` where there is no equilibrium near `y`.

    ```python
    circle = af.Sphere(2)
    S = jnp.array([[0.0, -1.0], [1.0, 0.0]])
    saddle = lambda r: af.AttentionField(circle, P=0 * S, U=jnp.diag(jnp.array([1.0, -1.0])) + r * S, scale=1.0)
    found = af.attractors.branch(saddle(0.0), jnp.array([[1.0, 0.0]]), saddle, low=-2.0, high=2.0)
    found.special[0].kind, found.special[0].value              # fold, at r = 1
    ```
    """
    # === check arguments
    begin, t = None if start is None else number("start", start), number("t", t)
    least = -math.inf if low is None else number("low", low)
    most = math.inf if high is None else number("high", high)
    switch, steps = whole("switch", switch, least=0), whole("steps", steps)
    orbits = whole("orbits", orbits, least=0)
    family, begin, least, most = _given(field, parameter, begin, least, most)
    if not least <= begin <= most or least == most:
        raise ValueError(
            f"`start` must be between `low` and `high`; got {begin:g} of {least:g} to {most:g}."
        )
    span = most - least
    unit = span / 20 / _LONGEST if math.isfinite(span) else max(1.0, abs(begin)) / 2
    stride = _LONGEST if longest is None else number("longest", longest, above=0.0)
    tokens = floating("y", y)
    own = check_field("field", family(jnp.asarray(begin, tokens.dtype)))
    time, x = check_state(own, t, tokens)

    # === run
    first, count, converged = find(own, Frame(family, begin, time, x), rtol=None, max_steps=256)
    if not converged:
        raise RuntimeError(
            f"No equilibrium was found near `y` at the value {begin:g}: after {count} steps the tokens move at "
            f"speed {first.speed:.2g}. Start closer, or say with `start` at which value `y` is at rest."
        )
    walk = _Walk(Curve(family, own, unit), least, most, steps, stride)
    walk.begin(first)
    return walk.all(switch, orbits)


def _given(
    field: object, parameter: object, begin: float | None, least: float, most: float
) -> tuple[Family, float, float, float]:
    """The family, where to start, and the range."""
    if callable(parameter):
        instance("field", field, AttentionField, "an AttentionField")
        family, found = family_of(field, parameter, begin)
        if found is None:
            raise ValueError(
                "`start` must be given: the parameter gives `field` at no value that could be found."
            )
        return family, found, least, most
    if isinstance(field, AttentionField) or not callable(field):
        raise ValueError(
            "`parameter` must be a function of the value that returns a field, or that selects a leaf of it; or "
            f"numbers, where `field` is a function of the value; got {type(parameter).__name__}."
        )
    values = np.asarray(parameter, np.float64).ravel()
    if len(values) < 2 or not np.all(np.isfinite(values)) or np.ptp(values) == 0:
        raise ValueError(
            f"`parameter` as values must be two finite numbers at least, that differ; got {parameter}."
        )
    least = float(values.min()) if not math.isfinite(least) else least
    most = float(values.max()) if not math.isfinite(most) else most
    begin = float(values[0]) if begin is None else begin
    family, _ = family_of(field(jnp.asarray(begin)), field, begin)
    return family, begin, least, most


class _Walk:
    """All curves so far, and the rules by which they are followed."""

    def __init__(self, curve: Curve, low: float, high: float, steps: int, longest: float):
        self.curve, self.low, self.high, self.steps, self.longest = curve, low, high, steps, longest
        self.curves: list[list[CurvePoint]] = []
        self.ends: list[tuple[str, str]] = []
        self.origins: list[int | None] = []

    def begin(self, frame: Frame) -> None:
        """Both directions from an equilibrium, as one curve."""
        here = self.curve.place(frame)
        like = np.zeros_like(here)
        like[-1] = 1.0
        spectrum = analyse(self.curve.field, frame)
        first = CurvePoint(frame, spectrum, self.curve.tangent(frame, like))
        ahead, why, closed = self._followed(first)
        behind, other = [first], "the curve closes"
        if not closed:
            behind, other, _ = self._followed(first._replace(way=-first.way))
        back = [point._replace(way=-point.way) for point in behind[:0:-1]]
        self.curves.append([*back, *ahead])
        self.ends.append((other, why))
        self.origins.append(None)

    def all(self, switch: int, orbits: int) -> Branches:
        """Every curve that crosses the first, and what crosses those, `switch` times over."""
        special: list[SpecialPoint] = []
        events: list[Event] = []
        done = 0
        for turn in range(switch + 1):
            todo = range(done, len(self.curves))
            done = len(self.curves)
            for k in todo:
                for event in events_on(self.curve, self.curves[k]):
                    if any(self._known(event, other) for other in events):
                        continue
                    events.append(event)
                    leaves: tuple[int, ...] = ()
                    if event.kind in ("pitchfork", "transcritical") and turn < switch:
                        leaves = self._switched(event, len(events) - 1)
                    turns = ()
                    if event.kind == "hopf" and orbits:
                        turns = orbits_from(self.curve, event, orbits, self.low, self.high)
                    special.append(_special(event, k, leaves, turns))
        return Branches(tuple(self._trace(k) for k in range(len(self.curves))), tuple(special))

    def _known(self, event: Event, other: Event) -> bool:
        """Whether an event has been met on another curve; a fold or Hopf point there is on a mirror image."""
        return event.kind == other.kind and same_place(self.curve, event.frame, other.frame, 1e-6)

    def _switched(self, event: Event, number: int) -> tuple[int, ...]:
        leaves = []
        for first in leaving(self.curve, event, self.low, self.high):
            if len(self.curves) >= _MOST or self._walked(first):
                continue
            points, why, _ = self._followed(first)
            self.curves.append(points)
            self.ends.append(("a branch point", why))
            self.origins.append(number)
            leaves.append(len(self.curves) - 1)
        return tuple(leaves)

    def _walked(self, point: CurvePoint) -> bool:
        """Whether a point is on a curve already: reached from its nearest point in one step."""
        here = self.curve.place(point.frame)
        for points in self.curves:
            away = [float(np.linalg.norm(self.curve.place(p.frame) - here)) for p in points]
            k = int(np.argmin(away))
            near = points[k]
            length = float(near.way @ (here - self.curve.place(near.frame)))
            beyond = (k == 0 and length < 0) or (k == len(points) - 1 and length > 0)
            if away[k] > 2 * self.longest or (beyond and away[k] > 1e-6):
                continue
            moved = self.curve.step(near, length)
            if (
                moved is not None
                and float(np.linalg.norm(self.curve.place(moved.frame) - here)) < 1e-6
            ):
                return True
        return False

    def _followed(self, first: CurvePoint) -> tuple[list[CurvePoint], str, bool]:
        """Points from `first` on, why they end, and whether they have come back."""
        points, length = [first], self.longest / 4
        begin = self.curve.place(first.frame)
        for _ in range(self.steps):
            moved = self.curve.step(points[-1], length)
            while moved is None and length > _SHORTEST:
                length /= 2
                moved = self.curve.step(points[-1], length)
            if moved is None:
                return points, "no equilibrium continues the curve", False
            if not self.low <= moved.value <= self.high:
                end = self._at_end(points[-1], moved)
                return (points if end is None else [*points, end]), "the end of the range", False
            points.append(moved)
            away = float(np.linalg.norm(self.curve.place(moved.frame) - begin))
            if len(points) > _PASSED and away < length and float(moved.way @ first.way) > 0.9:
                return points, "the curve closes", True
            length = min(self.longest, 1.6 * length)
        return points, "`steps` was not enough", False

    def _at_end(self, point: CurvePoint, beyond: CurvePoint) -> CurvePoint | None:
        """The point of the curve on the bound that the step has passed."""
        bound = self.low if beyond.value < self.low else self.high
        a, b = self.curve.place(point.frame), self.curve.place(beyond.frame)
        part = (bound / self.curve.unit - a[-1]) / (b[-1] - a[-1])
        if not part > 1e-9:
            return None
        guess = self.curve.frame(point.frame, a + part * (b - a))
        frame = self.curve.corrected(guess, at_value(bound / self.curve.unit, len(a)))
        return None if frame is None else self.curve.point(frame, point.way)

    def _trace(self, k: int) -> Trace:
        points = self.curves[k]
        return Trace(
            value=np.array([point.value for point in points]),
            y=np.stack([np.asarray(point.frame.local.y) for point in points]),
            eigenvalues=np.stack([point.spectrum.eigenvalues for point in points]),
            unstable=np.array([point.spectrum.unstable for point in points]),
            verdicts=tuple(point.spectrum.verdict for point in points),
            origin=self.origins[k],
            ends=self.ends[k],
        )


def _special(event: Event, curve: int, leaves: tuple[int, ...], turns: tuple) -> SpecialPoint:
    return SpecialPoint(
        kind=event.kind,  # pyright: ignore[reportArgumentType]
        value=float(event.frame.parameter),
        width=event.width,
        y=np.asarray(event.frame.local.y),
        eigenvalue=event.eigenvalue,
        multiplicity=event.multiplicity,
        curve=curve,
        branches=leaves,
        orbits=turns,
    )
