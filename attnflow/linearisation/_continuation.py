"""An equilibrium followed as a parameter of the field changes, with its spectrum and what crosses zero."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import FunctionType

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Complex, Float, Int, Real

from ..core.checks import floating, numbers as numbers_of, shaped, whole
from ..core.recognised import recognised
from ..model import AttentionField
from ._crossing import is_singular, locate, step
from ._equilibrium import find
from ._jacobian import Frame, check_field, check_state
from ._spectrum import analyse

_SHORTEST = 1e-10  # of the range of the values: a step that must be shorter is none


@dataclass(frozen=True, eq=False)
class Crossing:
    """Where an eigenvalue of a [`Branch`][] crosses the imaginary axis.

    **Attributes:**

    - `parameter`: where, and `width`, how far it may be off (the bracket that is left).
    - `y`: the equilibrium there, shape `(tokens, dim)`.
    - `eigenvalue`: complex; an imaginary part that is not zero tells of oscillations, and of a pair.
    - `multiplicity`: how many eigenvalues cross there (2 for a pair).
    - `direction`: `"loses"` where the branch becomes less stable in the direction that it was
      followed, `"gains"` where it becomes more so.
    """

    parameter: float
    width: float
    y: Float[Array, "tokens dim"]
    eigenvalue: complex
    multiplicity: int
    direction: str


@dataclass(frozen=True, eq=False)
class Branch:
    """What [`continuation`][] returns; `print` shows a summary.

    **Attributes:**

    - `parameter`: `(n,)`, the values that were reached.
    - `y`: `(n, tokens, dim)`, the equilibria.
    - `eigenvalues`: complex, `(n, tokens (dim - 1))`, as in [`spectrum`][].
    - `unstable`: `(n,)`, how many eigenvalues are right of zero (by more than the margin), outside
      the known family of equilibria.
    - `verdicts`: `"stable"`, `"unstable"` or `"undecided"`, one a value.
    - `crossings`: every [`Crossing`][], in the order in which they were met.
    - `stopped`: the parameter at which the branch could not be followed further, `None` where it
      reached the last value; `reason` says why.
    """

    parameter: Float[np.ndarray, " n"]
    y: Float[Array, "n tokens dim"]
    eigenvalues: Complex[np.ndarray, "n m"]
    unstable: Int[np.ndarray, " n"]
    verdicts: tuple[str, ...]
    crossings: tuple[Crossing, ...]
    stopped: float | None
    reason: str

    def __str__(self) -> str:
        first, last = self.parameter[0], self.parameter[-1]
        lines = [f"branch of {len(self.parameter)} equilibria, parameter {first:g} to {last:g}"]
        for crossing in self.crossings:
            kind = "oscillatory, " if crossing.eigenvalue.imag else ""
            lines.append(
                f"{crossing.direction} stability at {crossing.parameter:.12g} "
                f"({kind}{crossing.multiplicity} eigenvalues)"
            )
        if self.stopped is not None:
            lines.append(f"stopped at {self.stopped:.9g}: {self.reason}")
        return "\n".join(lines)


def continuation(
    family: Callable[..., AttentionField],
    y: Float[Array, "tokens dim"],
    values: Real[ArrayLike, " values"] | Sequence[float],
    *,
    t: Real[ArrayLike, ""] = 0.0,
    max_steps: int = 10_000,
) -> Branch:
    r"""The equilibrium near `y` of `family(values[0])`, followed to `family(p)` for every other value.

    Each step is predicted along the tangent, $J\, dy/dp = -\partial_p f$ (solved on the complement of
    the known family of equilibria), and corrected by Newton's method; it is halved where that fails
    or ends off the prediction, in place or in tangent. Between the values as many steps are taken as that needs.
    An eigenvalue outside the family that changes sides is located by finding the root of its real
    part, the equilibrium being polished at every trial; where branches meet, and polishing cannot tell
    them apart, from a polynomial through points around. (Two changes within one step cancel: give
    values as dense as the detail that matters.)

    Where the branch turns back in the parameter (a fold) it ends, and `stopped` says where.

    **Arguments:**

    - `family`: parameter to [`AttentionField`][], traceable by JAX: one compiled program serves all
      values. Keep the function (a `lambda` made anew compiles anew).
    - `y`: tokens close to an equilibrium of `family(values[0])`, shape `(tokens, dim)`; polished as
      by [`equilibrium`][].
    - `values`: parameters, in the order in which they are to be visited, shape `(n,)`.
    - `t`: the time at which schedules are taken.
    - `max_steps`: in all; a branch that needs more is stopped.

    **Returns:**

    A [`Branch`][].

    **Raises:**

    - `ValueError`: bad arguments, as for [`spectrum`][].
    - `RuntimeError`: no equilibrium near `y` to start from.

    Example: under the kernel `"exp"` the equilateral triangle with $P = \beta I$ is stable below
    $\beta = -2/3$:

    ```python
    circle = af.Sphere(2)
    family = lambda beta: af.AttentionField(circle, P=beta * jnp.eye(2), kernel="exp")
    branch = af.theory.continuation(family, af.theory.polygon(3), jnp.linspace(-2.0, 1.0, 7))
    branch.crossings[0].parameter                              # -0.666666666667
    ```
    """
    # === check arguments
    numbers = numbers_of("values", values)
    shaped("values", numbers.shape, ("n",))
    if not np.all(np.isfinite(numbers)):
        raise ValueError("`values` must be finite numbers; got an infinite or NaN one.")
    max_steps = whole("max_steps", max_steps)
    if not callable(family) or isinstance(family, AttentionField):
        raise ValueError(
            "`family` must be a function of the parameter that gives an AttentionField; "
            f"got {type(family).__name__}."
        )
    dtype = floating("y", y).dtype
    dtype = floating("y", y).dtype
    if isinstance(family, FunctionType):
        # A lambda written anew is compiled once. One that cannot be recognised is no worse off than it was.
        with warnings.catch_warnings(action="ignore", category=UserWarning):
            family = recognised(family)
    field = check_field("family(values[0])", family(jnp.asarray(numbers[0], dtype)))
    t, x = check_state(field, t, y)

    # === run
    start = Frame(family, numbers[0], t, x)
    if not np.all(np.isfinite(start.local.jacobian)):
        raise ValueError("`family` must have a finite Jacobian at `y`; got one that is not.")
    frame, steps, converged = find(field, start, rtol=None, max_steps=256)
    if not converged:
        raise RuntimeError(
            f"No equilibrium of family({numbers[0]:g}) was found near `y`: after {steps} steps the "
            f"tokens move at speed {frame.speed:.2g}. Start closer."
        )
    return _BranchWalk(field, frame, numbers, max_steps).run()


class _BranchWalk:
    """A walk along the branch: where it is, the last step, and what has been met."""

    def __init__(self, field: AttentionField, frame: Frame, values: np.ndarray, max_steps: int):
        self.field, self.frame, self.values, self.left = field, frame, values, max_steps
        self.spectrum = analyse(field, frame)
        self.span = float(np.ptp(values)) or 1.0
        self.stride = np.inf
        self.crossings: list[Crossing] = []
        # Steps since the last point at which no eigenvalue was too close to zero to have a side.
        self.pending: list[Frame] = []
        self.count = self.spectrum.unstable

    def run(self) -> Branch:
        points = [(self.frame, self.spectrum)]
        at = float(self.values[0])
        stopped, reason = None, ""
        for target in self.values[1:]:
            at, reason = self._reach(at, float(target))
            if reason:
                stopped = at
                break
            points.append((self.frame, self.spectrum))
        return Branch(
            parameter=self.values[: len(points)],
            y=jnp.stack([frame.local.y for frame, _ in points]),
            eigenvalues=np.stack([spectrum.eigenvalues for _, spectrum in points]),
            unstable=np.array([spectrum.unstable for _, spectrum in points]),
            verdicts=tuple(spectrum.verdict for _, spectrum in points),
            crossings=tuple(self.crossings),
            stopped=stopped,
            reason=reason,
        )

    def _reach(self, at: float, target: float) -> tuple[float, str]:
        """Steps from the parameter `at` to `target`: where they end, and why if that is before it."""
        while at != target:
            if self.left <= 0:
                return at, "`max_steps` was not enough; raise it."
            way = target - at
            stride = way if abs(way) <= self.stride else float(np.copysign(self.stride, way))
            arrived = target if stride == way else at + stride
            moved = step(self.field, self.frame, arrived)
            self.left -= 1
            if moved is None:
                self.stride = abs(arrived - at) / 2
                if self.stride <= _SHORTEST * self.span:
                    return at, self._why()
            else:
                self._accept(moved)
                self.stride = max(self.stride, 2 * abs(arrived - at))
                at = arrived
        return at, ""

    def _why(self) -> str:
        if is_singular(self.field, self.frame)[1]:
            return "the branch turns back (a fold): an eigenvalue goes to zero there."
        return "no equilibrium continues it: look at the field there."

    def _accept(self, frame: Frame) -> None:
        """Takes the step, and looks for eigenvalues that have changed sides since the last sure point."""
        self.pending.append(self.frame)
        self.frame, self.spectrum = frame, analyse(self.field, frame)
        real = np.real(self.spectrum.outside)
        if np.all(np.abs(real) > self.spectrum.margin):
            now = self.spectrum.unstable
            crossings = range(min(self.count, now), max(self.count, now))
            direction = "loses" if now > self.count else "gains"
            met = self._locate(list(crossings), direction)
            first = float(self.pending[0].parameter)
            self.crossings += sorted(met, key=lambda c: abs(c.parameter - first))
            self.pending, self.count = [], now

    def _locate(self, ranks: list[int], direction: str) -> list[Crossing]:
        met = []
        while ranks:
            frame, width = locate(self.field, [*self.pending, self.frame], ranks[0])
            spectrum = analyse(self.field, frame)
            real = np.real(spectrum.outside)
            slack = max(spectrum.margin, 1e-9 * float(frame.local.size))
            together = [rank for rank in ranks if rank == ranks[0] or abs(real[rank]) <= slack]
            value = complex(spectrum.outside[ranks[0]])
            ranks = [rank for rank in ranks if rank not in together]
            if value.imag == 0 and is_singular(self.field, frame)[1]:
                continue  # the branch ends here, and what rounding says of its end is no crossing
            met.append(
                Crossing(
                    parameter=float(frame.parameter),
                    width=width,
                    y=frame.local.y,
                    eigenvalue=complex(value.real, abs(value.imag)),
                    multiplicity=len(together),
                    direction=direction,
                )
            )
        return met
