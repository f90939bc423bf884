"""Hypotheses on P(t) and U(t), at all times from their types, at some times from their numbers."""

from dataclasses import dataclass

import numpy as np

from ..model.facts import is_identity
from ..schedules.ranges import finite, first_jump
from ._hypothesis import Hypothesis
from ._setting import Changes, Setting

# === P


def bounded_scores(s: Setting) -> Hypothesis:
    """sup |P(t)| is finite."""
    name = "P bounded"
    if not finite(s.field.P):
        return Hypothesis(name, False, "P holds a number that is not finite")
    size = s.P_range.size.max()
    if np.isfinite(size):
        return Hypothesis(name, True, f"|P_ij| <= {size:.4g} by its type")
    return Hypothesis(
        name,
        None,
        f"whether P is bounded cannot be told from a schedule of type {_unknown(s)}; wrap it in "
        "attnflow.Bounded, or say so by assume=('P bounded',)",
    )


def continuous_scores(s: Setting) -> Hypothesis:
    """P(t) is uniformly continuous: it has no jump, and a slope that is bounded."""
    name = "P uniformly continuous"
    if not finite(s.field.P):
        return Hypothesis(name, False, "P holds a number that is not finite")
    jump = first_jump(s.field.P, s.t0)
    if jump is not None:
        return Hypothesis(name, False, f"P jumps by {jump[1]:.3g} at t = {jump[0]:.6g}")
    slope = s.P_range.slope.max()
    if np.isfinite(slope):
        return Hypothesis(name, True, f"|dP_ij/dt| <= {slope:.4g} by its type")
    return Hypothesis(
        name,
        None,
        f"whether P is uniformly continuous cannot be told from a schedule of type {_unknown(s)}; "
        "say so by assume=('P uniformly continuous',)",
    )


def _unknown(s: Setting) -> str:
    return type(s.field.P).__name__


def constant_scores(s: Setting) -> Hypothesis:
    """P does not change with time."""
    return _still("P constant", "P", s.P_changes)


def _still(name: str, letter: str, changes: Changes) -> Hypothesis:
    if changes.seen is None:
        says = f"{letter} did not change at {changes.times} times, which proves nothing"
        return Hypothesis(name, None, says)
    if changes.seen:
        says = f"{letter} changes by {changes.size:.3g} until t = {changes.when:.4g}"
        return Hypothesis(name, False, says)
    return Hypothesis(name, True, "by its type")


def scores_beta(s: Setting) -> tuple[Hypothesis, float]:
    r"""$P = \beta W$ (on the sphere $\beta I$), the same in every head; and $\beta$."""
    name = "P = beta I, constant"
    still = _still(name, "P", s.P_changes)
    beta = float(np.mean(np.sum(s.P * s.W[None], axis=(1, 2)) / np.sum(s.W**2)))
    if still.holds is not True:
        return still, beta
    off = float(np.abs(s.P - beta * s.W[None]).max())
    slack = s.rounding(s.field.P) * max(np.abs(s.P).max(), np.abs(beta * s.W).max(), 1e-300)
    if off > slack:
        says = f"P differs from {beta:.4g} I by {off:.3g} in an entry"
        return Hypothesis(name, False, says), beta
    return Hypothesis(name, True, f"beta = {beta:.6g}"), beta


# === U


def identity_values(s: Setting) -> Hypothesis:
    """U_eta(t) = I in every head and at all times."""
    name = "U = I"
    if s.field.U is None or s.U_range is None:
        return Hypothesis(name, True, "U = I")
    slack, eye = s.rounding(s.field.U), np.eye(s.dim)
    if is_identity(s.U_range, slack):
        return Hypothesis(name, True, "U = I to rounding")
    off = np.abs(s.U_values - eye[None, None]).max(axis=(1, 2, 3))
    k = int(np.argmax(off))
    if off[k] <= slack:
        says = f"U is the identity at {len(off)} times; at all times it is not known to be"
        return Hypothesis(name, None, says)
    c = s.U[0, 0, 0]
    multiple = np.abs(s.U - c * eye[None]).max() <= slack * abs(c)
    hint = ""
    if multiple and c > 0 and s.U_changes.seen is False:
        hint = f" (U = {c:.4g} I is U = I at {c:.4g} times the scale: give that)"
    says = f"U differs from I by {off[k]:.3g} in an entry at t = {s.U_times[k]:.4g}{hint}"
    return Hypothesis(name, False, says)


def constant_values(s: Setting) -> Hypothesis:
    """U does not change with time."""
    return _still("U constant", "U", s.U_changes)


def asymmetry(U: np.ndarray) -> float:
    """The largest entry of U - U' beside the largest of U."""
    size = np.abs(U).max()
    return float(np.abs(U - np.swapaxes(U, -1, -2)).max() / size) if size else 0.0


def symmetric_values(s: Setting, U: np.ndarray | None = None) -> Hypothesis:
    """U = U', at the beginning (a constant U: always)."""
    U = s.U if U is None else U
    off = asymmetry(U)
    slack = s.rounding(s.field.U)
    if off <= slack:
        return Hypothesis("U symmetric", True, "U = U' to rounding")
    says = f"|U - U'| is {off:.3g} of |U|, and rounding explains {slack:.1g}"
    return Hypothesis("U symmetric", False, says)


@dataclass(frozen=True)
class Top:
    """The top of a symmetric matrix's spectrum: eigenvalue, the next one, unit eigenvector."""

    value: float
    second: float
    vector: np.ndarray
    slack: float

    @property
    def gap(self) -> float:
        """How far the top eigenvalue is from the next."""
        return self.value - self.second


def top(U: np.ndarray, eps: float) -> Top:
    """The top of a matrix that is symmetric to rounding."""
    values, vectors = np.linalg.eigh((U + U.T) / 2)
    second = float(values[-2]) if len(values) > 1 else -np.inf
    slack = 8 * len(U) ** 0.5 * eps * float(np.abs(values).max())
    return Top(float(values[-1]), second, vectors[:, -1], slack)


def simple_top(top: Top) -> Hypothesis:
    """The largest eigenvalue is simple."""
    name = "top eigenvalue simple"
    if top.gap > top.slack:
        return Hypothesis(name, True, f"lambda = {top.value:.6g}, gap {top.gap:.3g}")
    says = f"the top eigenvalue {top.value:.6g} is double to rounding, gap {top.gap:.1g}"
    return Hypothesis(name, False, says)


def positive_top(top: Top) -> Hypothesis:
    """The largest eigenvalue is positive."""
    good = top.value > top.slack
    says = f"lambda = {top.value:.6g}" + ("" if good else ", not positive")
    return Hypothesis("lambda > 0", good, says)
