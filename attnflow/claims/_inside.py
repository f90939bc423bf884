"""Hypotheses of the claims that come with the library, on fields and starts."""

from collections.abc import Callable

import numpy as np

from ..model import Exponential
from ..schedules.ranges import recurrence, values_at
from ..theorems import Setting
from ..theorems.hypotheses import cap, equation_6
from ..theorems.parameters import Top, asymmetry, positive_top, simple_top, top
from ..theory import Hypothesis

Check = Callable[[Setting], Hypothesis]
# Of an eigenvalue beside U: what is nearer to zero acts in no time that a run has, and looks like zero.
_CLEAR = 1e-6
_TIMES = 1024  # at which U(t) is looked at, over a period


def inside(*checks: Check, kernel: bool = True):
    """A domain: the model of eq. (6), and all of `checks`."""

    def domain(field, y0):
        s = Setting(field, y0, 0.0)
        return [*equation_6(s, kernel=kernel), *(check(s) for check in checks)]

    return domain


def inside_top_cap(*checks: Check):
    """A domain: eq. (6), `checks`, symmetric values whose sum has a simple positive top, tokens in its cap."""

    def domain(field, y0):
        s = Setting(field, y0, 0.0)
        found = _top(s)
        about = [each_symmetric(s), _simple(s, found), _positive(s, found), cap(s, found)[0]]
        return [*equation_6(s), *(check(s) for check in checks), *about]

    return domain


def _top(s: Setting) -> Top:
    return top(s.U_sum, s.eps)


def _simple(s: Setting, found: Top) -> Hypothesis:
    return _clear(s, simple_top(found), found.gap)


def _positive(s: Setting, found: Top) -> Hypothesis:
    return _clear(s, positive_top(found), found.value)


def _clear(s: Setting, hypothesis: Hypothesis, size: float) -> Hypothesis:
    """The hypothesis, not decided where what it is about is positive and yet as good as zero beside U."""
    least = _CLEAR * float(np.abs(s.U).max())
    if hypothesis.holds is not True or size > least:
        return hypothesis
    return Hypothesis(hypothesis.name, None, f"too close to call: {size:.2g} and not {least:.2g}")


# === the field


def two_heads(s: Setting) -> Hypothesis:
    """h = 2."""
    return Hypothesis("two heads", s.field.heads == 2, f"h = {s.field.heads}")


def exponential(s: Setting) -> Hypothesis:
    """Weights exp(score), over the number of tokens."""
    name = type(s.field.kernel).__name__
    return Hypothesis("exponential", isinstance(s.field.kernel, Exponential), f"it is {name}")


def circle(s: Setting) -> Hypothesis:
    """d = 2."""
    return Hypothesis("circle", s.dim == 2, f"d = {s.dim}")


# === values


def each_symmetric(s: Setting) -> Hypothesis:
    """Every U_eta is symmetric, to the last bit but rounding."""
    off = max((asymmetry(U) for U in s.U), default=0.0)
    good = off <= (0.0 if s.field.U is None else s.rounding(s.field.U))
    return Hypothesis("every U symmetric", bool(good), f"|U - U'| is {off:.2g} of |U|")


def each_positive(s: Setting) -> Hypothesis:
    """Every U_eta is positive semidefinite."""
    low = min(float(np.linalg.eigvalsh((U + U.T) / 2)[0]) for U in s.U)
    good = low >= -s.rounding(s.field.U) * float(np.abs(s.U).max())
    return Hypothesis("every U positive semidefinite", bool(good), f"smallest eigenvalue {low:.4g}")


def shared_top(s: Setting) -> Hypothesis:
    """The top eigenvector of the sum is an eigenvector of every U_eta."""
    v = _top(s).vector
    off = max(float(np.linalg.norm(U @ v - (v @ U @ v) * v)) for U in s.U)
    good = off <= 64 * s.rounding(s.field.U) * float(np.abs(s.U).max())
    return Hypothesis("v an eigenvector of every U", bool(good), f"|Uv - (v'Uv)v| is {off:.2g}")


def one_top(s: Setting) -> Hypothesis:
    """The top eigenvector of the sum is that of every U_eta, and its eigenvalues are positive and simple."""
    v = _top(s).vector
    slack = 64 * s.rounding(s.field.U) * float(np.abs(s.U).max())
    off = max(float(np.linalg.norm(U @ v - (v @ U @ v) * v)) for U in s.U)
    gaps = [
        float(v @ U @ v - np.linalg.eigvalsh(U - (v @ U @ v) * np.outer(v, v))[-1]) for U in s.U
    ]
    low = min(float(v @ U @ v) for U in s.U)
    good = off <= slack and min(gaps) > slack and low > slack
    says = f"|Uv - (v'Uv)v| is {off:.2g}, v'Uv >= {low:.4g}, {min(gaps):.4g} above the others"
    return Hypothesis("v the top eigenvector of every U", bool(good), says)


def same_values(s: Setting) -> Hypothesis:
    """Every head has the same U."""
    off = float(np.abs(s.U - s.U[:1]).max())
    return Hypothesis("one U for all heads", off == 0, f"they differ by {off:.2g}")


def sum_simple(s: Setting) -> Hypothesis:
    """The top eigenvalue of the sum of U is simple."""
    return _simple(s, _top(s))


def sum_positive(s: Setting) -> Hypothesis:
    """It is positive."""
    return _positive(s, _top(s))


def sum_double(s: Setting) -> Hypothesis:
    """It is at least double, to rounding, and some eigenvalue is smaller."""
    values = np.linalg.eigvalsh((s.U_sum + s.U_sum.T) / 2)
    slack = s.rounding(s.field.U) * float(np.abs(values).max())
    good = values[-1] - values[-2] <= slack < values[-1] - values[0]
    says = "eigenvalues " + ", ".join(f"{x:.6g}" for x in values)
    return Hypothesis("top eigenvalue at least double, not all", bool(good), says)


def sum_negative(s: Setting) -> Hypothesis:
    """It is negative."""
    found = _top(s)
    holds = Hypothesis("lambda < 0", found.value < -found.slack, f"lambda = {found.value:.6g}")
    return _clear(s, holds, -found.value)


def sum_zero(s: Setting) -> Hypothesis:
    """The U of all heads add up to zero, and are not zero."""
    size, each = float(np.abs(s.U_sum).max()), float(np.abs(s.U).max())
    says = f"an entry of the sum is {size:.2g}, one of U {each:.2g}"
    return Hypothesis("sum of U = 0", size <= 8 * s.eps * each and each > 0, says)


def real_simple_top(s: Setting) -> Hypothesis:
    """Of the eigenvalues of U, the one with the largest real part is real, simple and positive."""
    name = "the eigenvalue of largest real part real, simple, positive"
    values = sorted(np.linalg.eigvals(s.U_sum), key=lambda x: -x.real)
    size = float(np.abs(s.U_sum).max())
    gap = float(values[0].real - values[1].real)
    # A root of a matrix that is not normal moves by the root of rounding, at worst.
    good = values[0].imag == 0 and gap > 1e-6 * size and values[0].real > 1e-6 * size
    return Hypothesis(name, bool(good), f"{values[0].real:.6g}, and {gap:.3g} to the next")


def always_simple_top(s: Setting) -> Hypothesis:
    """U(t) is symmetric, its top eigenvalue simple and positive, at every time."""
    name = "U(t) symmetric, top eigenvalue simple and positive"
    assert s.field.U is not None
    assert s.U_range is not None
    end = recurrence(s.field.U, s.t0)
    if end is None or not np.all(np.isfinite(s.U_range.slope)):
        return Hypothesis(name, None, "U(t) is not known to repeat")
    times = np.linspace(s.t0, end, _TIMES)
    U = values_at(s.field.U, times)
    off = max(asymmetry(u) for u in U)
    if off > s.rounding(s.field.U):
        return Hypothesis(name, False, f"|U - U'| is {off:.2g} of |U|")
    values = np.linalg.eigvalsh((U + np.swapaxes(U, -1, -2)) / 2)
    # Between two times eigenvalues move by no more than the matrix does (Weyl).
    slack = float(np.linalg.norm(s.U_range.slope)) * (end - s.t0) / (_TIMES - 1) / 2
    gap, low = float((values[:, -1] - values[:, -2]).min()), float(values[:, -1].min())
    says = f"lambda >= {low - slack:.4g}, gap >= {gap - 2 * slack:.4g}"
    return Hypothesis(name, bool(gap > 2 * slack and low > slack), says)


def in_first_cap(s: Setting) -> Hypothesis:
    """The tokens are in the cap of the top eigenvector of U at the beginning."""
    return cap(s, _top(s))[0]


# === scores


def positive_scores(s: Setting) -> Hypothesis:
    """P_eta + P_eta' is positive definite in every head."""
    low = min(float(np.linalg.eigvalsh(P + P.T)[0]) / 2 for P in s.P)
    good = low > s.rounding(s.field.P) * float(np.abs(s.P).max())
    return Hypothesis("P + P' positive definite", bool(good), f"smallest eigenvalue {low:.4g}")


def symmetric_scores(s: Setting) -> Hypothesis:
    """P_eta = P_eta' in every head."""
    off = max(asymmetry(P) for P in s.P)
    return Hypothesis("P symmetric", bool(off <= s.rounding(s.field.P)), f"off by {off:.2g}")


# === the start


def first_axis(s: Setting) -> Hypothesis:
    """Every token has a positive first coordinate."""
    low = float(s.y0[:, 0].min())
    return Hypothesis("e_1'y_i > 0", low > 0, f"the smallest is {low:.4g}")
