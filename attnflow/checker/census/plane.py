"""Full attention, U = P = diag(p, q): the field, its derivative, and Krawczyk's operator."""

from itertools import pairwise, product
from typing import Any

from flint import arb, arb_mat

from ..balls import Balls, Rows
from ..file import in_time


class Plane:
    """F_i = sum_j e^(u_ij) t_i'P y_j, u_ij = y_i'P y_j: the gradient of E = (1/2) sum_ij e^(u_ij)."""

    def __init__(self, n: int, p: Any, q: Any):
        self.n: int = n
        self.p: Any = p
        self.q: Any = q

    def field(self, x: Balls) -> Balls:
        """F over a box of angles."""
        return self._sums(x)[0]

    def _sums(self, x: Balls) -> tuple[Balls, Rows, Rows, Balls, Balls]:
        p, q, n = self.p, self.q, range(self.n)
        s, c = zip(*(a.sin_cos() for a in x), strict=True)
        e = [[(p * c[i] * c[j] + q * s[i] * s[j]).exp() for j in n] for i in n]
        pull = [[q * c[i] * s[j] - p * s[i] * c[j] for j in n] for i in n]
        return [sum(e[i][j] * pull[i][j] for j in n) for i in n], e, pull, list(s), list(c)

    def slopes(self, x: Balls) -> tuple[Balls, Rows]:
        """F and its derivative: dF_i/dx_j = e_ij (pull_ij pull_ji + t_i'P t_j) for j other than i."""
        p, q, n = self.p, self.q, range(self.n)
        F, e, pull, s, c = self._sums(x)
        J: Rows = [[None] * self.n for _ in n]
        for i in n:
            u = [p * c[i] * c[j] + q * s[i] * s[j] for j in n]
            for j in n:
                if j != i:
                    turned = p * s[i] * s[j] + q * c[i] * c[j]
                    J[i][j] = e[i][j] * (pull[i][j] * pull[j][i] + turned)
            J[i][i] = sum((e[i][j] * (pull[i][j] * pull[i][j] - u[j]) for j in n if j != i), arb(0))
            own = p * s[i] * s[i] + q * c[i] * c[i] - u[i]
            J[i][i] += e[i][i] * (2 * pull[i][i] * pull[i][i] + own)
        return F, J

    def steepness(self, X: Balls, parts: int) -> Rows:
        """The derivative over a box, as what holds it over each of so many parts of every side."""
        J = None
        for piece in product(*(cut(x, parts) for x in X)):
            _, here = self.slopes(list(piece))
            J = (
                here
                if J is None
                else [
                    [a.union(b) for a, b in zip(*rows, strict=True)]
                    for rows in zip(J, here, strict=True)
                ]
            )
        assert J is not None
        return J

    def krawczyk(self, X: Balls, parts: int = 1) -> Balls:
        """K(X) = c - Y F(c) + (I - Y DF(X)) (X - c): it holds every zero in X, and one alone if it lies inside."""
        in_time()
        n = range(self.n)
        c = [a.mid() for a in X]
        F, _ = self.slopes(c)
        J = self.steepness(X, parts)
        middle = arb_mat([[a.mid() for a in row] for row in J])
        try:
            inverse = [[a.mid() for a in row] for row in middle.inv().tolist()]
        except ZeroDivisionError:
            return [arb("nan")] * self.n  # which overlaps everything and lies in nothing
        K = []
        for i in n:
            total = c[i] - sum(inverse[i][k] * F[k] for k in n)
            for j in n:
                rest = int(i == j) - sum(inverse[i][k] * J[k][j] for k in n)
                total += rest * (X[j] - c[j])
            K.append(total)
        return K


def cut(x: Any, parts: int) -> Balls:
    """An interval in parts, whose ends are shared."""
    lo, width = x.lower(), (x.upper() - x.lower()) / parts
    ends = [lo, *(lo + k * width for k in range(1, parts)), x.upper()]
    return [a.union(b) for a, b in pairwise(ends)]
