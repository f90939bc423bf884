"""Exact numbers, and balls that hold the exact value."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import reduce
from typing import Any, TypeAlias

from flint import acb, acb_series, arb, arb_mat, arb_series, ctx, fmpq, fmpq_mat

# python-flint has no types: a number is a ball, a complex one, or a power series of them.
Balls: TypeAlias = list[Any]
Rows: TypeAlias = list[list[Any]]


def ball(x: Fraction) -> Any:
    """A fraction as a ball that holds it."""
    return arb(fmpq(x.numerator, x.denominator))


def exact(rows: Any) -> Any:
    """Decimals as a matrix of fractions."""
    return fmpq_mat([[fmpq(*Fraction(x).as_integer_ratio()) for x in row] for row in rows])


def balls(rows: Any) -> Rows:
    """Decimals as rows of balls that hold them."""
    return arb_mat(exact(rows)).tolist()


def dot(a: Sequence[Any], b: Sequence[Any]) -> Any:
    """The sum of products."""
    return sum((x * y for x, y in zip(a, b, strict=True)), 0 * a[0])


def differ(a: Sequence[Any], b: Sequence[Any]) -> bool:
    """Whether two points are different for certain."""
    return any(x != y for x, y in zip(a, b, strict=True))


def apart(a: Sequence[Any], b: Sequence[Any]) -> bool:
    """Whether two points are on no line through zero (Cauchy and Schwarz), for certain."""
    return bool(dot(a, b) ** 2 < dot(a, a) * dot(b, b))


def largest(values: Any) -> Any:
    """The largest of some balls."""
    return reduce(arb.max, values)


def positive(M: Any, *, strictly: bool = False) -> bool:
    """Whether x'Mx >= 0 (> 0, strictly) for all x but zero: M a matrix of fractions, symmetric or not.

    The characteristic polynomial of -S, S the symmetric part, is the product of x + its eigenvalues, all
    real: they are all >= 0 (> 0) where all of its coefficients are.
    """
    least = min((-(M + M.transpose()) / 2).charpoly().coeffs())
    return bool(least > 0 if strictly else least >= 0)


def derivative(f: Callable[[Balls], Balls], x: Balls) -> Rows:
    """Df over a box of balls, a column from each power series x + t e_m."""
    ctx.cap = 2
    n, series = range(len(x)), acb_series if isinstance(x[0], acb) else arb_series
    lines = ([series([x[a], int(a == m)]) for a in n] for m in n)
    columns = ([g[1] for g in f(line)] for line in lines)
    return [list(row) for row in zip(*columns, strict=True)]


def growth(J: Any, w: Any) -> Any:
    """A bound of the logarithmic norm of J: Gershgorin's discs of (J + J')/2, with weights w > 0."""
    n = range(len(w))

    def beside(i: int) -> Any:
        return sum(abs(J[i][j] + J[j][i]) / 2 * w[j] / w[i] for j in n if j != i)

    return largest(beside(i) + J[i][i] for i in n).upper()
