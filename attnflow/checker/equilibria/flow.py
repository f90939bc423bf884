"""The flow and its solutions, enclosed."""

from fractions import Fraction
from typing import Any

from flint import acb, arb, arb_mat, arb_series, ctx, fmpq, fmpq_mat

from ..balls import Balls, Rows, balls, derivative, dot, exact, growth, largest, positive
from ..file import demand, in_time


class Flow:
    """Eq. (6) with scale 1, carried off the ellipsoid.

    G_i = n_i A_i + (1 - n_i - y_i'WA_i) y_i, with n_i = y_i'Wy_i and A_i what attention adds up: y_i'WG_i =
    n_i (1 - n_i), so its zeros with n_i > 0 lie on the ellipsoid, and DG has the flow's eigenvalues there
    and -2, once a token.
    """

    def __init__(self, case: dict[str, Any]):
        self.P: list[Any] = [exact(M) for M in case["P"]]
        self.U: list[Any] = [exact(M) for M in case["U"]]
        W = exact(case["W"][0])
        self.heads: list[tuple[Rows, Rows]] = [
            (arb_mat(P).tolist(), arb_mat(U).tolist()) for P, U in zip(self.P, self.U, strict=True)
        ]
        self.sees: list[list[int]] = case["sees"]
        self.softmax: bool = case["softmax"]
        self.W: Any = W
        self.dim: int = W.nrows()
        self.tokens: int = len(self.sees)
        self.one: Any = fmpq_mat(
            self.dim, self.dim, [int(i == j) for i in range(self.dim) for j in range(self.dim)]
        )
        self.S: Any = sum(self.U, 0 * self.one)
        everybody = list(range(self.tokens))
        self.full: bool = all(sees == everybody for sees in self.sees)
        self.causal: bool = self.sees == [everybody[: i + 1] for i in everybody]
        demand(W.transpose() == W, "a symmetric W")
        demand(positive(W, strictly=True), "a positive definite W")
        self.metric: Rows = arb_mat(W).tolist()

    def rows(self, x: Balls) -> Rows:
        """Coordinates as tokens."""
        return [x[i : i + self.dim] for i in range(0, len(x), self.dim)]

    def turned(self, M: Rows, x: Balls) -> Balls:
        """M times each token."""
        return [dot(row, y) for y in self.rows(x) for row in M]

    def on(self, rows: Any) -> Balls:
        """Exact tokens, each divided by its length in W."""
        tokens = balls(rows)
        demand(all(any(a != 0 for a in y) for y in tokens), "tokens that are not zero")
        return [a / dot(y, self.turned(self.metric, y)).sqrt() for y in tokens for a in y]

    def attended(self, y: Balls, Y: Rows, sees: list[int]) -> Balls:
        """A of a token: the sum over heads of U times the mean that its weights make."""
        A = [0 * a for a in y]
        for P, U in self.heads:
            s = [dot(y, self.turned(P, Y[j])) for j in sees]
            w = [self.weight(a, s) for a in s]
            mean = [dot(w, [Y[j][a] for j in sees]) for a in range(self.dim)]
            A = [a + b for a, b in zip(A, self.turned(U, mean), strict=True)]
        return A

    def weight(self, score: Any, scores: Balls) -> Any:
        """Softmax, or exp(score) over the number of tokens."""
        if not self.softmax:
            return score.exp() / self.tokens
        rest = sum(((b - score).exp() for b in scores if b is not score), 0 * score)
        return 1 / (1 + rest)

    def field(self, x: Balls) -> Balls:
        """G of balls, complex balls or power series."""
        in_time()
        G, Y = [], self.rows(x)
        for y, sees in zip(Y, self.sees, strict=True):
            A, Wy = self.attended(y, Y, sees), self.turned(self.metric, y)
            n, pull = dot(y, Wy), dot(A, Wy)
            G += [n * a + (1 - n - pull) * b for a, b in zip(A, y, strict=True)]
        return G

    def after(self, x: Balls, span: Fraction) -> Balls:
        """Where solutions are after a time that start within the balls x.

        From within r of c a solution stays within q while |t| < s = (q - r) / max|G|, for complex t
        too (Picard): the coefficients of its series are below q / s^n (Cauchy). Two solutions part by
        the logarithmic norm at most.
        """
        c, r, order = [a.mid() for a in x], sum((a.rad() for a in x), arb(0)), ctx.prec // 6
        q = arb(1 / (32 + 16 * max(abs(a) for P in self.P for a in P.entries())))
        while span > 0:
            J = derivative(self.field, [acb(arb(a, q), arb(0, q)) for a in c])
            wide = q * largest(sum(map(abs, row)) for row in J)
            s = (q - r) / (largest(map(abs, self.field(c))) + wide).upper()
            demand(s > 0, "a step of the trajectory")
            step = min(Fraction(float(s) / 6), span)
            span, h = span - step, arb(fmpq(*step.as_integer_ratio()))
            line = self.series(c, order)
            x = [sum((a[n] * h**n for n in range(order)), arb(0)) for a in line]
            inside = [arb(a, r + q * h / s) for a in c]
            r = r * (growth(derivative(self.field, inside), [1] * len(c)) * h).exp()
            r += len(c) * q * (h / s) ** order / (1 - h / s) + sum((a.rad() for a in x), arb(0))
            c, r = [a.mid() for a in x], r.upper()
        return [arb(a, r) for a in c]

    def series(self, c: Balls, order: int) -> Balls:
        """The solution from c as power series in time."""
        line = [arb_series([a], 1) for a in c]
        for n in range(1, order):
            ctx.cap = n + 1
            G = self.field(line)
            line = [g.integral() + a for a, g in zip(c, G, strict=True)]
        return line
