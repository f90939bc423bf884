"""A value matrix that varies slowly: its top eigenvector's course in time, and how far tokens lag behind."""

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from ..schedules import AbstractSchedule
from ..schedules.ranges import first_jump, recurrence, some_times, values_at
from ._hypothesis import Answer, Hypothesis, Plain, condition
from ._parameters import (
    asymmetry,
    positive_top,
    simple_top,
    symmetric_values,
    top,
)
from ._setting import Setting


@dataclass(frozen=True)
class Course:
    r"""The course of the top eigenvector $v(t)$ of a symmetric $U(t)$.

    - `speed`: $\sup_t |\dot v|$, as sampled.
    - `gap`: the least gap below the top eigenvalue.
    - `radius`: $\varphi^* = \frac12\arcsin\frac{2\,\text{speed}}{\text{scale}\cdot\text{gap}}$: the
      first token's angle $\varphi$ to $v(t)$ obeys
      $\dot\varphi \le |\dot v| - \frac12\,\text{scale}\cdot\text{gap}\,\sin 2\varphi$, so that it ends
      below $\varphi^*$ if it starts below $\pi/2 - \varphi^*$.
    """

    speed: float
    gap: float
    radius: float


def slow_values(s: Setting) -> tuple[list[Hypothesis], Course | None]:
    """U(t) symmetric, its top eigenvalue simple and positive, v(t) slow: at all times; and its course."""
    U, slack, eps = s.field.U, s.rounding(s.field.U), s.unit(s.field.U)
    if U is None or s.U_changes.seen is False:
        symmetric = symmetric_values(s)
        if symmetric.holds is False:
            return [symmetric], None
        eigen = top(s.U[0], eps)
        about = [symmetric, simple_top(eigen), positive_top(eigen)]
        no_turn = slow.answer(True, "U is constant, v' = 0")
        return [*about, no_turn], Course(0.0, eigen.gap, 0.0)

    # === at the times that are looked at, which may stand for all
    jump = first_jump(U, s.t0)
    if jump is not None:
        return [slow.answer(False, f"U jumps by {jump[1]:.3g} at t = {jump[0]:.6g}")], None
    assert s.U_range is not None
    slope = float(np.linalg.norm(s.U_range.slope))
    end = recurrence(U, s.t0) if math.isfinite(slope) else None
    number = int(np.clip(4e9 / s.dim**3, 4, 4096))
    times = some_times(U, s.t0) if end is None else np.linspace(s.t0, end, number)
    values = values_at(U, times).reshape(-1, s.dim, s.dim)
    between = math.inf if end is None else slope * (times[1] - times[0])  # twice what U moves

    off = [asymmetry(u) for u in values]
    k = int(np.argmax(off))
    if off[k] > slack:
        return [symmetric_values(s, values[k])], None
    proved = U.is_symmetric()
    where = f"at {len(times)} times"
    says = Plain("by its type") if proved else f"{where}; at all times it is not known"
    about = [symmetric_values.answer(True if proved else None, says)]

    worst, gaps, speeds = None, [], []
    rate = _derivative(U, times).reshape(-1, s.dim, s.dim)
    for u, du in zip(values, rate, strict=True):
        m, V = np.linalg.eigh((u + u.T) / 2)
        eigen = top(u, eps)
        if worst is None or eigen.gap < worst.gap:
            worst = eigen
        gaps.append(eigen.gap)
        with np.errstate(divide="ignore", invalid="ignore"):
            turn = (V[:, :-1].T @ du @ V[:, -1]) / (m[-1] - m[:-1])
        speeds.append(float(np.linalg.norm(turn)))
        if positive_top(eigen).holds is False:
            return [*about, positive_top(eigen)], None
    assert worst is not None
    if simple_top(worst).holds is False:
        return [*about, simple_top(worst)], None
    lowest = min(top(u, eps).value for u in values)
    centre, reach = _around(s)
    for supposed, least, sure in (
        (simple_top, min(gaps), max(min(gaps) - between, centre.gap - 2 * reach)),
        (positive_top, lowest, max(lowest - between / 2, centre.value - reach)),
    ):
        says = f"at least {least:.4g} {where}"
        more = f", at least {sure:.4g} between them" if sure > 0 else "; between them not known"
        about.append(supposed.answer(True if sure > 0 else None, says + more))

    # === how fast v turns, beside how fast tokens follow
    speed, gap = max(speeds), min(gaps)
    follow = float(s.field.scale) * gap / 2
    enough = slow(speed, follow, where, math.isfinite(slope))
    if enough.holds is False:
        return [*about, enough], None
    return [*about, enough], Course(speed, gap, math.asin(speed / follow) / 2)


@condition("U slowly varying")
def slow(speed: float, follow: float, where: str, known: bool) -> Answer:
    """The top eigenvector turns more slowly than tokens follow."""
    if speed >= follow:
        says = f"v turns at up to {speed:.3g}, and tokens follow at scale * gap / 2 = {follow:.3g}"
        return False, says
    says = f"v turns at up to {speed:.3g} {where}, below scale * gap / 2 = {follow:.3g}"
    return True if known else None, says


def _derivative(U: AbstractSchedule, times: np.ndarray) -> np.ndarray:
    def rate(t):
        return jax.jvp(U, (t,), (jnp.ones_like(t),))[1]

    return np.asarray(jax.vmap(rate)(jnp.asarray(times)), np.float64)


def _around(s: Setting):
    """The top of the centre of U's range, and how far U is from it at most, in the spectral norm."""
    assert s.U_range is not None
    centre = s.U_range.centre.reshape(s.dim, s.dim)
    reach = float(np.linalg.norm(s.U_range.radius))
    return top(centre, s.unit(s.field.U)), reach if math.isfinite(reach) else math.inf
