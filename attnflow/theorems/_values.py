"""Conditions on the values of all heads: what each U is, and what their sum is."""

from dataclasses import replace

import numpy as np

from ..schedules.ranges import every_time, values_at
from ._hypotheses import cap
from ._hypothesis import Answer, Exact, Hypothesis, condition
from ._parameters import Top, asymmetry, negative_top, positive_top, simple_top, top
from ._setting import Setting

# Of an eigenvalue beside U: what is nearer to zero acts in no time that a run has, and looks like zero.
_CLEAR = 1e-6
_TIMES = 1024  # at which U(t) is looked at, over a period

# === each head


@condition("every U symmetric", exact=Exact("U symmetric"))
def each_symmetric(s: Setting) -> Answer:
    """Every U_eta is symmetric, to the last bit but rounding."""
    off = max((asymmetry(U) for U in s.U), default=0.0)
    good = off <= (0.0 if s.field.U is None else s.rounding(s.field.U))
    return good, f"|U - U'| is {off:.2g} of |U|"


@condition(
    "U positive semidefinite",
    "every U positive semidefinite",
    exact=Exact("U positive semidefinite"),
)
def each_positive(s: Setting) -> Answer:
    """Every U_eta is positive semidefinite."""
    low = min(float(np.linalg.eigvalsh((U + U.T) / 2)[0]) for U in s.U)
    good = low >= -s.rounding(s.field.U) * float(np.abs(s.U).max())
    return good, f"smallest eigenvalue {low:.4g}"


@condition("one U", "one U for all heads", exact=Exact("one U"))
def same_values(s: Setting) -> Answer:
    """Every head has the same U."""
    off = float(np.abs(s.U - s.U[:1]).max())
    return off == 0, f"they differ by {off:.2g}"


@condition("v of every U", "v an eigenvector of every U", exact=Exact("v of every U", top=True))
def shared_top(s: Setting) -> Answer:
    """The top eigenvector of the sum is an eigenvector of every U_eta."""
    v = top_of_sum(s).vector
    off = max(float(np.linalg.norm(U @ v - (v @ U @ v) * v)) for U in s.U)
    good = off <= 64 * s.rounding(s.field.U) * float(np.abs(s.U).max())
    return good, f"|Uv - (v'Uv)v| is {off:.2g}"


@condition("v top of every U", "v the top eigenvector of every U")
def one_top(s: Setting) -> Answer:
    """The top eigenvector of the sum is that of every U_eta, and its eigenvalues are positive and simple."""
    v = top_of_sum(s).vector
    slack = 64 * s.rounding(s.field.U) * float(np.abs(s.U).max())
    off = max(float(np.linalg.norm(U @ v - (v @ U @ v) * v)) for U in s.U)
    gaps = [
        float(v @ U @ v - np.linalg.eigvalsh(U - (v @ U @ v) * np.outer(v, v))[-1]) for U in s.U
    ]
    low = min(float(v @ U @ v) for U in s.U)
    good = off <= slack and min(gaps) > slack and low > slack
    return good, f"|Uv - (v'Uv)v| is {off:.2g}, v'Uv >= {low:.4g}, {min(gaps):.4g} above the others"


# === their sum


def top_of_sum(s: Setting) -> Top:
    """The top of the sum of U at the beginning."""
    return top(s.U_sum, s.eps)


def sum_simple(s: Setting) -> Hypothesis:
    """The top eigenvalue of the sum of U is simple, and clearly so."""
    eigen = top_of_sum(s)
    return _clear(s, simple_top(eigen), eigen.gap)


def sum_positive(s: Setting) -> Hypothesis:
    """It is positive, and clearly so."""
    eigen = top_of_sum(s)
    return _clear(s, positive_top(eigen), eigen.value)


def sum_negative(s: Setting) -> Hypothesis:
    """It is negative, and clearly so."""
    eigen = top_of_sum(s)
    return _clear(s, negative_top(eigen), -eigen.value)


def _clear(s: Setting, hypothesis: Hypothesis, size: float) -> Hypothesis:
    """The hypothesis, not decided where what it is about is positive and yet as good as zero beside U."""
    least = _CLEAR * float(np.abs(s.U).max())
    if hypothesis.holds is not True or size > least:
        return hypothesis
    return replace(
        hypothesis, holds=None, says=f"too close to call: {size:.2g} and not {least:.2g}"
    )


def in_first_cap(s: Setting) -> Hypothesis:
    """The tokens are in the cap of the top eigenvector of the sum of U at the beginning."""
    return cap(s, top_of_sum(s))


@condition("top double", "top eigenvalue at least double, not all")
def sum_double(s: Setting) -> Answer:
    """The top eigenvalue of the sum is at least double, to rounding, and some eigenvalue is smaller."""
    values = np.linalg.eigvalsh((s.U_sum + s.U_sum.T) / 2)
    slack = s.rounding(s.field.U) * float(np.abs(values).max())
    good = values[-1] - values[-2] <= slack < values[-1] - values[0]
    return good, "eigenvalues " + ", ".join(f"{x:.6g}" for x in values)


@condition("sum of U zero", "sum of U = 0", exact=Exact("sum of U zero"))
def sum_zero(s: Setting) -> Answer:
    """The U of all heads add up to zero, and are not zero."""
    size, each = float(np.abs(s.U_sum).max()), float(np.abs(s.U).max())
    says = f"an entry of the sum is {size:.2g}, one of U {each:.2g}"
    return size <= 8 * s.eps * each and each > 0, says


@condition("sum U symmetric")
def sum_symmetric(s: Setting) -> Answer:
    """The sum of U is symmetric."""
    off = asymmetry(s.U_sum)
    return off <= s.rounding(s.field.U), f"|sum U - its transpose| is {off:.2g} of it"


@condition(
    "top real, simple, positive",
    "the eigenvalue of largest real part real, simple, positive",
    exact=Exact("lambda > 0", top=True),
)
def real_simple_top(s: Setting) -> Answer:
    """Of the eigenvalues of U, the one with the largest real part is real, simple and positive."""
    values = sorted(np.linalg.eigvals(s.U_sum), key=lambda x: -x.real)
    size = float(np.abs(s.U_sum).max())
    gap = float(values[0].real - values[1].real)
    # A root of a matrix that is not normal moves by the root of rounding, at worst.
    good = values[0].imag == 0 and gap > 1e-6 * size and values[0].real > 1e-6 * size
    return good, f"{values[0].real:.6g}, and {gap:.3g} to the next"


@condition("top of U(t) simple, positive", "U(t) symmetric, top eigenvalue simple and positive")
def always_simple_top(s: Setting) -> Answer:
    """U(t) is symmetric, its top eigenvalue simple and positive, at every time."""
    assert s.field.U is not None
    assert s.U_range is not None
    known = every_time(s.field.U, s.t0, _TIMES)
    if known is None or not np.all(np.isfinite(s.U_range.slope)):
        return None, "U(t) is not known to repeat"
    times, step = known
    U = values_at(s.field.U, times)
    off = max(asymmetry(u) for u in U)
    if off > s.rounding(s.field.U):
        return False, f"|U - U'| is {off:.2g} of |U|"
    values = np.linalg.eigvalsh((U + np.swapaxes(U, -1, -2)) / 2)
    # Between two times eigenvalues move by no more than the matrix does (Weyl).
    slack = float(np.linalg.norm(s.U_range.slope)) * step
    gap, low = float((values[:, -1] - values[:, -2]).min()), float(values[:, -1].min())
    says = f"lambda >= {low - slack:.4g}, gap >= {gap - 2 * slack:.4g}"
    return gap > 2 * slack and low > slack, says
