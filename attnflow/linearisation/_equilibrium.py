"""From tokens close to an equilibrium to the equilibrium, by Newton's method on the manifold."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optimistix as optx
from jaxtyping import Array, ArrayLike, Float, Real

from ..core.arrays import cast_floats
from ..core.checks import boolean, number, whole
from ..core.compiled import compiled
from ..model import AttentionField
from ._family import family_directions, moving_complement
from ._jacobian import Frame, chart, frame_of, tangent_basis, velocity_in
from ._linear import least_squares

_NEWTON_STEPS = 30
_LONGEST = 0.5  # radians that a token may move in one of Newton's steps


@dataclass(frozen=True, eq=False)
class Equilibrium:
    """What [`equilibrium`][] found.

    **Attributes:**

    - `y`: tokens, shape `(tokens, dim)`.
    - `speed`: the largest $|\\dot y_i|_W$ there.
    - `moved`: the largest angle between a token and where it was, in radians, in the metric of W.
    - `steps`: how many steps it took.
    - `converged`: whether `speed` is as small as was asked for.
    """

    y: Float[Array, "tokens dim"]
    speed: float
    moved: float
    steps: int
    converged: bool

    def __str__(self) -> str:
        head = "equilibrium" if self.converged else "no equilibrium found"
        return f"{head}: speed {self.speed:.2g}, {self.moved:.3g} rad away, {self.steps} steps"


def equilibrium(
    field: AttentionField,
    y: Float[Array, "tokens dim"],
    t: Real[ArrayLike, ""] = 0.0,
    *,
    rtol: float | None = None,
    max_steps: int = 256,
    throw: bool = True,
) -> Equilibrium:
    r"""The equilibrium of `field` near `y`: tokens with $\dot y_i = 0$, stable or not.

    Newton's method in charts of the manifold, where the Jacobian is solved by least squares on the
    complement of the known family of equilibria ([`spectrum`][]), so that neutral directions are
    let be. Where that does not get closer at once, Levenberg and Marquardt's method (optimistix)
    leads up to it. A speed below rounding passes for zero: so do clusters of a large $\beta$ that
    move at $e^{-50}$, of which [`spectrum`][] then says "undecided".

    **Arguments:**

    - `field`: an [`AttentionField`][] whose tokens stay on the manifold.
    - `y`: tokens near an equilibrium, shape `(tokens, dim)`.
    - `t`: the time at which schedules are taken.
    - `rtol`: the speed to reach, relative to the size of the terms that make up the velocity;
      64 units of rounding of the dtype of `y` by default. Digits end at about one unit.
    - `max_steps`: of Levenberg and Marquardt's method.
    - `throw`: raise when none was found; with `False` see `converged`.

    **Returns:**

    An [`Equilibrium`][]: `y`, `speed`, `moved`, `steps`, `converged`.

    **Raises:**

    - `ValueError`: bad arguments, as for [`spectrum`][].
    - `RuntimeError`: no equilibrium near `y`, with `throw=True`.

    ```python
    near = af.theory.polygon(3) + 0.01
    af.theory.equilibrium(field, sphere.project(near)).y
    ```
    """
    # === check arguments
    if rtol is not None:
        rtol = number("rtol", rtol, above=0.0)
    max_steps, throw = whole("max_steps", max_steps), boolean("throw", throw)
    start = frame_of(field, t, y)

    # === run
    frame, steps, converged = find(field, start, rtol=rtol, max_steps=max_steps)
    end = frame.local.y
    moved = float(jnp.max(field.manifold.distance(field.manifold.project(y), end)))
    if throw and not converged:
        raise RuntimeError(
            f"No equilibrium was found near `y`: after {steps} steps the tokens move at speed "
            f"{frame.speed:.2g}. Start closer (at the end of a long run, or along "
            "attnflow.theory.continuation), or pass throw=False to keep what there is."
        )
    return Equilibrium(end, frame.speed, moved, steps, converged)


def find(
    field: AttentionField, start: Frame, *, rtol: float | None, max_steps: int
) -> tuple[Frame, int, bool]:
    """[`equilibrium`][] on frames: where it got to, in how many steps, and whether it is there."""
    rtol = 64 * start.eps if rtol is None else rtol
    frame, steps = polish(field, start)
    if is_at_rest(frame, rtol):
        return frame, steps, True
    xi, more = _descend(start.family, start.parameter, start.t, start.x, max_steps)
    frame, last = polish(field, start.moved(np.asarray(xi, np.float64)))
    return frame, steps + int(more) + last, is_at_rest(frame, rtol)


def is_at_rest(frame: Frame, rtol: float) -> bool:
    """Whether the speed is `rtol` of the terms that make it up, or less."""
    return bool(frame.speed <= rtol * float(frame.local.size))


def polish(field: AttentionField, frame: Frame) -> tuple[Frame, int]:
    """Newton's steps for as long as each makes the speed smaller; the frame and their number."""
    for count in range(_NEWTON_STEPS):
        if frame.speed <= frame.rounding / 4:
            return frame, count
        xi = newton_step(field, frame)
        if not np.all(np.isfinite(xi)) or np.abs(xi).max() > _LONGEST or not xi.any():
            return frame, count
        closer = frame.moved(xi)
        if not closer.speed < frame.speed:
            return frame, count
        frame = closer
    return frame, _NEWTON_STEPS


def newton_step(field: AttentionField, frame: Frame) -> np.ndarray:
    """The shortest step to where the linearised velocity is zero, none of it along the family.

    Singular values below the speed are taken for zeros that the distance from the equilibrium
    hides: the Jacobian is that far off. They come in as the speed falls, down to rounding.
    """
    free = moving_complement(frame, family_directions(field, frame))
    J = frame.local.jacobian @ free
    cut = 2 * frame.speed + 4 * frame.noise
    step, _ = least_squares(J, -frame.local.velocity, cut=cut, rounding=frame.rounding / 4)
    return free @ step


@compiled
def _descend(
    family: Callable[..., Any], parameter: Array, t: Array, x: Array, max_steps: int
) -> tuple[Array, Array]:
    """Levenberg and Marquardt's method in the chart at `x`: where it ends, and its steps."""
    with jax.default_matmul_precision("highest"):
        basis = tangent_basis(x)
        eps = jnp.finfo(x.dtype).eps
        tolerance = float(eps) ** 0.75

        field = cast_floats(family(parameter), x.dtype)

        def residual(xi, args):
            return velocity_in(field, t, chart(x, basis, xi), basis)

        solution = optx.least_squares(
            residual,
            optx.LevenbergMarquardt(rtol=tolerance, atol=tolerance),
            jnp.zeros((x.shape[0], x.shape[1] - 1), x.dtype),
            max_steps=max_steps,
            throw=False,
        )
        return solution.value, solution.stats["num_steps"]
