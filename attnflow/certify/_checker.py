"""Checks a certificate in ball arithmetic, with python-flint alone: python _checker.py FILE.
Off the ellipsoid eq. (6), scale 1, is G_i = n_i A_i + (1 - n_i - y_i'WA_i) y_i, n_i = y_i'Wy_i: y_i'WG_i = n_i (1 -
n_i), so its zeros with n_i > 0 lie there, and DG has the flow's eigenvalues and -2's. Theorems: attnflow.certify."""

# fmt: off
import hashlib
import json
import sys
from fractions import Fraction
from functools import reduce
from itertools import combinations, pairwise

from flint import acb, acb_series, arb, arb_mat, arb_series, ctx, fmpq, fmpq_mat

def demand(holds, what):
    if not holds:
        raise ValueError(f"not shown: {what}")

def exact(rows):
    return fmpq_mat([[fmpq(*Fraction(x).as_integer_ratio()) for x in row] for row in rows])

def balls(rows):
    return arb_mat(exact(rows)).tolist()

def dot(a, b):
    return sum((x * y for x, y in zip(a, b, strict=True)), 0 * a[0])

def apart(a, b):  # not on one line (Cauchy and Schwarz)
    return dot(a, b) ** 2 < dot(a, a) * dot(b, b)

def derivative(f, x):  # Df over balls, a column from each power series x + t e_m
    ctx.cap, n, series = 2, range(len(x)), acb_series if isinstance(x[0], acb) else arb_series
    lines = ([series([x[a], int(a == m)]) for a in n] for m in n)
    return [list(row) for row in zip(*([g[1] for g in f(line)] for line in lines), strict=True)]

def growth(J, w):  # a bound of the logarithmic norm: Gershgorin's discs of (J + J')/2, with weights
    n, of = range(len(w)), lambda i, j: abs(J[i][j] + J[j][i]) / 2 * w[j] / w[i]
    return reduce(arb.max, (sum((of(i, j) for j in n if j != i), J[i][i]) for i in n)).upper()

class Flow:
    def __init__(self, case):
        self.P, self.U, (W,) = ([exact(M) for M in case[name]] for name in "PUW")
        self.heads = [[arb_mat(M).tolist() for M in pair] for pair in zip(self.P, self.U, strict=True)]
        self.sees, self.softmax, self.one, self.dim = case["sees"], case["softmax"], W * W.inv(), W.nrows()
        self.W, self.metric, self.S, self.full = W, arb_mat(W).tolist(), sum(self.U, 0 * W), [*range(len(self.sees))]
        valid = all(sees and sees == [j for j in self.full if j in sees] for sees in self.sees)
        demand(valid and W == W.transpose() and min((-W).charpoly().coeffs()) > 0, "a mask, an ellipsoid")

    def rows(self, x):
        return [x[i : i + self.dim] for i in range(0, len(x), self.dim)]

    def turned(self, M, x):
        return [dot(row, y) for y in self.rows(x) for row in M]

    def on(self, rows):  # exact rows brought to the ellipsoid
        return [a / dot(y, self.turned(self.metric, y)).sqrt() for y in balls(rows) for a in y]

    def field(self, x):  # G of balls, complex balls or power series
        G, Y = [], self.rows(x)
        for y, sees in zip(Y, self.sees, strict=True):
            A, Wy = [0 * a for a in y], self.turned(self.metric, y)
            for P, U in self.heads:
                s = [dot(y, self.turned(P, Y[j])) for j in sees]
                rest = [sum(((b - a).exp() for b in s if b is not a), 0 * a) for a in s]
                w = [1 / (1 + r) if self.softmax else a.exp() / len(Y) for a, r in zip(s, rest, strict=True)]
                mean = [dot(w, [Y[j][a] for j in sees]) for a in range(self.dim)]
                A = [a + b for a, b in zip(A, self.turned(U, mean), strict=True)]
            n, pull = dot(y, Wy), dot(A, Wy)
            G += [n * a + (1 - n - pull) * b for a, b in zip(A, y, strict=True)]
        return G

    def after(self, x, time):
        """From within r of c a solution stays within q while |t| < s = (q - r) / max|G|, complex t too (Picard):
        coefficients of its series are below q / s^n (Cauchy). Two part by the logarithmic norm at most."""
        c, r, order = [a.mid() for a in x], sum((a.rad() for a in x), arb(0)), ctx.prec // 6
        q = arb(1 / (32 + 16 * max(abs(a) for P in self.P for a in P.entries())))
        while time > 0:
            J = derivative(self.field, [acb(arb(a, q), arb(0, q)) for a in c])
            G = reduce(arb.max, map(abs, self.field(c))) + q * reduce(arb.max, (sum(map(abs, row)) for row in J))
            s = (q - r) / G.upper()
            demand(s > 0, "a step of the trajectory")
            h = min(Fraction(float(s) / 6), time)
            time, h, line = time - h, arb(fmpq(*h.as_integer_ratio())), [arb_series([a], 1) for a in c]
            for n in range(1, order):
                ctx.cap, G = n + 1, self.field(line)
                line = [g.integral() + a for a, g in zip(c, G, strict=True)]
            x = [sum((a[n] * h**n for n in range(order)), arb(0)) for a in line]
            r = r * (growth(derivative(self.field, [arb(a, r + q * h / s) for a in c]), [1] * len(c)) * h).exp()
            r += len(c) * q * (h / s) ** order / (1 - h / s) + sum((a.rad() for a in x), arb(0))
            c, r = [a.mid() for a in x], r.upper()
        return [arb(a, r) for a in c]

    def family(self, p):  # its rotations and its dimension, by rules that are exact
        E, T, n, d = [exact(M) for M in p["generators"]], exact(p["tokens"]).tolist(), len(self.sees), self.dim
        values, full = [self.S] if self.softmax else self.U, all(sees == self.full for sees in self.sees)
        constant, alike = all(M == M[0, 0] * self.one for M in values), all(P == self.P[0] for P in self.P)
        pairs = all(T.count(y) == T.count([-a for a in y]) for y in T) and (n == 2 or any(apart(y, T[0]) for y in T))
        rules = {
            "none": (not E, 0),
            "turns": (all(M.transpose() * P == -P * M for M in E for P in self.P)
                      and all(M * U == U * M for M in E for U in self.U), len(E)),  # orbits
            "moments": (constant and full and len(values) == len(self.U)  # sum_i (R y_i)'W G_i Z_i / n_i = 0
                        and all(P == P.transpose() for P in self.P), len(E)),
            "consensus": (constant and T == T[:1] * n, d - 1),  # at any point
            "balanced": (full and self.P[0] == 0 * self.P[0] and alike and pairs, n * (d - 1) - d + (n == 2)),
            "still": (self.S == 0 * self.S and alike, n * (d - 1)),  # nothing moves
        }
        kept, (holds, m) = all(self.W * M == -M.transpose() * self.W for M in E), rules[p["family"]]
        demand(kept and holds, f"what the family {p['family']!r} needs")
        return [arb_mat(M).tolist() for M in E], m

    def show_equilibrium(self, p):
        """The start if there is one, and a box with one equilibrium (of a family: on a slice) in it,
        stable or not as is said. Newton: H has one zero within r of c if DH(box)^-1 H(c) is less."""
        (R, m), x, n = self.family(p), self.on(p["tokens"]), len(self.sees) * self.dim
        slices, [mu] = balls(p["slices"]) if R else [], balls([p["turning"]]) if R else [[]]
        c, [[r]] = [a.mid() for a in x + mu], balls([[p["radius"]]])
        def H(z):  # G + sum mu_k R_k y: tokens turn by mu; and slices (y - c)
            G = self.field(z[:n])
            for a, M in zip(z[n:], R, strict=True):
                G = [g + a * b for g, b in zip(G, self.turned(M, z[:n]), strict=True)]
            return G + [dot([a - b for a, b in zip(z[:n], c[:n], strict=True)], s) for s in slices]
        if p["family"] not in ("consensus", "balanced", "still"):  # these are known exactly
            x = [a + arb(0, r) for a in x + mu]
            C = arb_mat(derivative(H, c)).inv().mid()
            step = (C * arb_mat(derivative(H, x))).solve(C * arb_mat([[a] for a in H(c)])).entries()
            demand(all(abs(a) < r for a in step), "one equilibrium in the box")
        D, x = arb_mat([row[:n] for row in derivative(H, x)[:n]]), x[:n]
        demand(all(dot(y, self.turned(self.metric, y)) > 0 for y in self.rows(x)), "n_i > 0")
        X = arb_mat([self.turned(M, x) for M in R])
        Q = arb_mat([[arb(a == b) + arb(1) / (a + b + 1) for a in range(n)] for b in range(n)])  # any basis
        values = [e.real for e in (Q * D * Q.inv()).eig(multiple=True)]
        demand(not (R and (X * X.transpose()).det().contains(0)), "rotations that are independent")
        demand(sum(not e < 0 for e in values) == m if p["stable"] else any(e > 0 for e in values), "eigenvalues' signs")
        return self.basin(p["basin"], x) if p["basin"] else x, x

    def basin(self, p, x):  # |T^-1 (y - y*)| declines below `reach`; the start comes there
        T, [[reach]], [w] = arb_mat(exact(p["axes"])), balls([[p["reach"]]]), balls([p["weights"]])
        box = [a + arb(0, reach) * dot(b, b).sqrt() for a, b in zip(x, T.tolist(), strict=True)]
        demand(growth((T.inv() * arb_mat(derivative(self.field, box)) * T).tolist(), w) < 0 < min(w), "a basin")
        end = self.after(self.on(p["start"]), Fraction(p["time"]))
        u = (T.inv() * arb_mat([[a - b] for a, b in zip(end, x, strict=True)])).entries()
        demand(dot(u, u) < reach**2, "that the start comes to the basin")
        return self.on(p["start"])

    def show_exceptional(self, p):
        """U = I, causal: -y_1 to -y_2 is left at both ends, entered at none: between two that leave one stays."""
        circle = self.dim == 2 and self.sees == [[0], [0, 1], [0, 1, 2]]
        demand(circle and all(M == self.one for M in [self.W, *self.U]), "U = I, causal, on the circle")
        for third, time, above in zip(p["thirds"], p["times"], (False, True), strict=True):
            start = self.on([*p["tokens"], third])
            (a, b, c), (_, d, e) = self.rows(self.after(start, Fraction(time))), self.rows(start)
            ab, ac, bc, dc = (u[0] * v[1] - u[1] * v[0] for u, v in ((a, b), (a, c), (b, c), (d, c)))
            left = ac * ab < 0 and bc * ab < 0 if above else ac * ab > 0 and dc * ab > 0
            demand(left and dot(a, e) < 0, "that the neighbours leave the arc")
        return start, start

    def claim(self, p, start, limit):  # its hypotheses at the start; not its conclusion at the limit
        U, S, Y, Z = self.U, self.S, self.rows(start), self.rows(limit)
        v, value, top = balls([p["v"]])[0], arb("nan"), p["top"]  # v of a hemisphere, or
        if top:  # of S the eigenvalue of largest real part, real as it is simple, and its vector v
            values, vectors = arb_mat(S).eig(right=True)
            k = max(range(self.dim), key=lambda i: float(values[i].real.mid()))
            v, value = [vectors[i, k].real for i in range(self.dim)], values[k].real
            demand(all(a.real < value for a in values[:k] + values[k + 1 :]), "a simple top of U")
        facts = {
            "softmax": self.softmax,
            "sphere": self.W == self.one,
            "one head": len(U) == 1,
            "full": all(sees == self.full for sees in self.sees),
            "causal": self.sees == [self.full[: i + 1] for i in self.full],
            "U = I": all(M == self.one for M in U),
            "U symmetric": all(M == M.transpose() for M in U),
            "U positive semidefinite": all(min((-M).charpoly().coeffs()) >= 0 for M in U),
            "one U": all(M == U[0] for M in U),
            "v of every U": top and all(M * S == S * M for M in U),
            "sum of U zero": S == 0 * S and any(M != S for M in U),
            "no token at -y_1": all(any(a + b != 0 for a, b in zip(y, Y[0], strict=True)) for y in Y),
            "v'y of one sign": all(dot(v, y) > 0 for y in Y) or all(dot(v, y) < 0 for y in Y),
            "lambda > 0": value > 0,
            "lambda < 0": value < 0,
            "not consensus": any(a != b for y, z in pairwise(Z) for a, b in zip(y, z, strict=True)),
            "not v": top and any(apart(z, v) or dot(z, v) * dot(Z[0], v) < 0 for z in Z),
            "not a line": any(apart(y, z) for y, z in combinations(Z, 2)),
            "not around v": top and dot(v, v) * len(Z) > self.dim * sum(dot(v, z) ** 2 / dot(z, z) for z in Z),
        }
        demand(all(facts[name] for name in p["facts"]), [name for name in p["facts"] if not facts[name]])

def check(text):  # a certificate's contents, if they follow from its numbers
    c = json.loads(text)
    demand(c.pop("digest") == hashlib.sha256(json.dumps(c, sort_keys=True).encode()).hexdigest(), "an unaltered file")
    ctx.prec = max(c["bits"], 64)
    flow = Flow(c["case"])
    flow.claim(c["claim"], *getattr(flow, "show_" + c["proof"]["kind"])(c["proof"]))
    return c

if __name__ == "__main__":
    with open(sys.argv[1]) as file:
        print("holds:", *check(file.read())["statement"], sep="\n")
