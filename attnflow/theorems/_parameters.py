"""Conditions on P(t) and U(t), at all times from their types, at some times from their numbers."""

from dataclasses import dataclass

import numpy as np

from ..model.facts import is_identity
from ..schedules.ranges import finite, first_jump
from ._hypothesis import ALWAYS, Answer, Exact, Plain, condition
from ._setting import Changes, Setting

# === P


@condition("P bounded", exact=ALWAYS)
def bounded_scores(s: Setting) -> Answer:
    """sup |P(t)| is finite."""
    if not finite(s.field.P):
        return False, "P holds a number that is not finite"
    size = s.P_range.size.max()
    if np.isfinite(size):
        return True, f"|P_ij| <= {size:.4g} by its type"
    return None, (
        f"whether P is bounded cannot be told from a schedule of type {_unknown(s)}; wrap it in "
        "attnflow.Bounded, or say so by assume=('P bounded',)"
    )


@condition("P uniformly continuous", exact=ALWAYS)
def continuous_scores(s: Setting) -> Answer:
    """P(t) is uniformly continuous: it has no jump, and a slope that is bounded."""
    if not finite(s.field.P):
        return False, "P holds a number that is not finite"
    jump = first_jump(s.field.P, s.t0)
    if jump is not None:
        return False, f"P jumps by {jump[1]:.3g} at t = {jump[0]:.6g}"
    slope = s.P_range.slope.max()
    if np.isfinite(slope):
        return True, f"|dP_ij/dt| <= {slope:.4g} by its type"
    return None, (
        f"whether P is uniformly continuous cannot be told from a schedule of type {_unknown(s)}; "
        "say so by assume=('P uniformly continuous',)"
    )


def _unknown(s: Setting) -> str:
    return type(s.field.P).__name__


@condition("P constant", exact=ALWAYS)
def constant_scores(s: Setting) -> Answer:
    """P does not change with time."""
    return _constant("P", s.P_changes)


def _constant(letter: str, changes: Changes) -> Answer:
    if changes.seen is None:
        return None, f"{letter} did not change at {changes.times} times, which proves nothing"
    if changes.seen:
        return False, f"{letter} changes by {changes.size:.3g} until t = {changes.when:.4g}"
    return True, Plain("by its type")


@condition("P = beta I", "P = beta I, constant")
def multiple_scores(s: Setting) -> Answer:
    r"""$P = \beta W$ (on the sphere $\beta I$), constant and the same in every head."""
    holds, says = _constant("P", s.P_changes)
    if holds is not True:
        return holds, says
    beta = beta_of(s)
    off = float(np.abs(s.P - beta * s.W[None]).max())
    slack = s.rounding(s.field.P) * max(np.abs(s.P).max(), np.abs(beta * s.W).max(), 1e-300)
    if off > slack:
        return False, f"P differs from {beta:.4g} I by {off:.3g} in an entry"
    return True, f"beta = {beta:.6g}"


def beta_of(s: Setting) -> float:
    r"""The $\beta$ with which $\beta W$ is nearest to P at the beginning."""
    return float(np.mean(np.sum(s.P * s.W[None], axis=(1, 2)) / np.sum(s.W**2)))


@condition("beta in the gap", "-2/3 <= beta < -0.16", exact=Exact("beta in the gap"))
def beta_in_the_gap(s: Setting) -> Answer:
    r"""$P = \beta I$ with a $\beta$ for which the circle is an open case."""
    holds, says = multiple_scores.check(s)
    if holds is not True:
        return holds, says
    beta = beta_of(s)
    return GAP[0] <= beta < GAP[1], f"beta = {beta:.6g}"


GAP = (-2 / 3, -0.16)


@condition("P = 0")
def no_scores(s: Setting) -> Answer:
    """P is zero at all times."""
    zero = float((np.abs(s.P_range.centre) + s.P_range.radius).max())
    return zero == 0, "P = 0" if zero == 0 else f"an entry of P is as large as {zero:.3g}"


@condition("P + P' positive", "P + P' positive definite", exact=Exact("P + P' positive"))
def positive_scores(s: Setting) -> Answer:
    """P_eta + P_eta' is positive definite in every head."""
    low = min(float(np.linalg.eigvalsh(P + P.T)[0]) / 2 for P in s.P)
    good = low > s.rounding(s.field.P) * float(np.abs(s.P).max())
    return good, f"smallest eigenvalue {low:.4g}"


@condition("P symmetric", exact=Exact("P symmetric"))
def symmetric_scores(s: Setting) -> Answer:
    """P_eta = P_eta' in every head."""
    off = max(asymmetry(P) for P in s.P)
    return off <= s.rounding(s.field.P), f"off by {off:.2g}"


# === U


@condition("U = I", exact=Exact("U = I"))
def identity_values(s: Setting) -> Answer:
    """U_eta(t) = I in every head and at all times."""
    if s.field.U is None or s.U_range is None:
        return True, Plain("U = I")
    slack, eye = s.rounding(s.field.U), np.eye(s.dim)
    if is_identity(s.U_range, slack):
        return True, Plain("U = I to rounding")
    off = np.abs(s.U_values - eye[None, None]).max(axis=(1, 2, 3))
    k = int(np.argmax(off))
    if off[k] <= slack:
        return None, f"U is the identity at {len(off)} times; at all times it is not known to be"
    c = s.U[0, 0, 0]
    multiple = np.abs(s.U - c * eye[None]).max() <= slack * abs(c)
    hint = ""
    if multiple and c > 0 and s.U_changes.seen is False:
        hint = f" (U = {c:.4g} I is U = I at {c:.4g} times the scale: give that)"
    return False, f"U differs from I by {off[k]:.3g} in an entry at t = {s.U_times[k]:.4g}{hint}"


@condition("U constant", exact=ALWAYS)
def constant_values(s: Setting) -> Answer:
    """U does not change with time."""
    return _constant("U", s.U_changes)


def asymmetry(U: np.ndarray) -> float:
    """The largest entry of U - U' beside the largest of U."""
    size = np.abs(U).max()
    return float(np.abs(U - np.swapaxes(U, -1, -2)).max() / size) if size else 0.0


@condition("U symmetric", exact=Exact("U symmetric"))
def symmetric_values(s: Setting, U: np.ndarray | None = None) -> Answer:
    """U = U', at the beginning (a constant U: always)."""
    U = s.U if U is None else U
    off = asymmetry(U)
    slack = s.rounding(s.field.U)
    if off <= slack:
        return True, Plain("U = U' to rounding")
    return False, f"|U - U'| is {off:.3g} of |U|, and rounding explains {slack:.1g}"


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


# That the eigenvalue is simple the checker demands of every top that it encloses, of a symmetric U.
@condition("top simple", "top eigenvalue simple", exact=Exact("U symmetric", top=True))
def simple_top(top: Top) -> Answer:
    """The largest eigenvalue is simple."""
    if top.gap > top.slack:
        return True, f"lambda = {top.value:.6g}, gap {top.gap:.3g}"
    return False, f"the top eigenvalue {top.value:.6g} is double to rounding, gap {top.gap:.1g}"


@condition("lambda > 0", exact=Exact("lambda > 0", top=True))
def positive_top(top: Top) -> Answer:
    """The largest eigenvalue is positive."""
    good = top.value > top.slack
    return good, f"lambda = {top.value:.6g}" + ("" if good else ", not positive")


@condition("lambda < 0", exact=Exact("lambda < 0", top=True))
def negative_top(top: Top) -> Answer:
    """The largest eigenvalue is negative."""
    return top.value < -top.slack, f"lambda = {top.value:.6g}"
