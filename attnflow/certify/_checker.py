"""Checks a certificate in ball arithmetic, with python-flint alone: python _checker.py FILE.

Nothing that it prints is taken from the file but numbers. It reads the file within bounds, encloses what the
numbers are said to prove, looks up the claim in a table of its own, checks every hypothesis of it by its
definition, and writes the sentences itself. What is proved, by which theorems, and who is trusted for what
is said in PROOFS.md beside this file, in the order of the sections here.
"""

import hashlib
import json
import re
import sys
import textwrap
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import reduce
from itertools import combinations, pairwise
from typing import Any

from flint import acb, acb_series, arb, arb_mat, arb_series, ctx, fmpq, fmpq_mat

FORMAT = "attnflow certificate 1"
MOST_BYTES, MOST_DEPTH = 2**20, 8
MOST_DIGITS, MOST_EXPONENT = 400, 400
LEAST_BITS, MOST_BITS = 64, 1024
MOST_HEADS, MOST_COORDINATES = 16, 100
MOST_TIME, MOST_SECONDS = 10_000, 900


class Refused(ValueError):
    """What a file says was not shown."""


def demand(holds: Any, what: str) -> None:
    """Refuse, unless something holds for certain."""
    if not holds:
        raise Refused(f"not shown: {what}")


# === 1. the file: bounded before anything is computed, no key twice, exactly the parts that are known

_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,4})?|-?[0-9]+/[0-9]+")
_PARTS = {
    "a certificate": {"format", "bits", "case", "proof", "claim", "made by", "statement", "digest"},
    "case": {"P", "U", "W", "sees", "softmax"},
    "claim": {"facts", "top", "v"},
    "claim, of a name": {"facts", "top", "v", "name", "says", "source"},
    "equilibrium": {
        "kind", "tokens", "radius", "family", "generators", "turning", "slices", "stable", "basin",
    },
    "exceptional": {"kind", "tokens", "thirds", "times"},
    "basin": {"axes", "reach", "weights", "start", "time"},
    "made by": {"attnflow", "python-flint"},
}  # fmt: skip


def read(data: bytes | str) -> dict[str, Any]:
    """A certificate's parts, each of its kind, shape and size."""
    raw = data.encode() if isinstance(data, str) else data
    demand(len(raw) <= MOST_BYTES, f"a file of at most {MOST_BYTES} bytes; it has {len(raw)}")
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise Refused("not shown: a file of text in UTF-8") from None
    demand(_depth(text) <= MOST_DEPTH, f"brackets at most {MOST_DEPTH} deep")
    try:
        c = json.loads(text, object_pairs_hook=_once, parse_int=_small)
    except json.JSONDecodeError as error:
        raise Refused(f"not shown: a file of JSON ({error})") from None
    _is_certificate(c)
    return c


def _depth(text: str) -> int:
    """How deep brackets are nested; those inside strings count too, which only refuses more."""
    depth = most = 0
    for letter in text:
        depth += (letter in "[{") - (letter in "]}")
        most = max(most, depth)
    return most


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    demand(len(set(names)) == len(names), "an object without a key that is there twice")
    return dict(pairs)


def _small(text: str) -> int:
    demand(len(text) <= 6, "whole numbers of at most six digits")
    return int(text)


def _keys(part: Any, name: str, kind: str | None = None) -> None:
    demand(isinstance(part, dict), f"{name} as an object with parts")
    odd = sorted(set(part) ^ _PARTS[name if kind is None else kind])
    demand(not odd, f"{name} with its parts and no others: see {odd[:1]!r:.60}")


def _is_certificate(c: Any) -> None:
    demand(isinstance(c, dict), "a certificate as an object with parts")
    kind = str(c.get("format"))
    demand(kind == FORMAT, f"a file of the format {FORMAT!r}; it is of {ascii(kind)[:60]}")
    _keys(c, "a certificate")
    demand(type(c["bits"]) is int, "a whole number of bits")
    demand(LEAST_BITS <= c["bits"] <= MOST_BITS, f"a precision of {LEAST_BITS} to {MOST_BITS} bits")
    _keys(c["made by"], "who made it", "made by")
    demand(all(isinstance(x, str) for x in c["made by"].values()), "who made it as two words")
    demand(_strings(c["statement"]), "a statement of lines")
    demand(isinstance(c["digest"], str), "a digest")
    tokens, dim = _is_case(c["case"])
    _is_proof(c["proof"], tokens, dim)
    _is_claim(c["claim"], dim)


def _is_case(case: Any) -> tuple[int, int]:
    """The numbers of tokens and of dimensions."""
    _keys(case, "the case", "case")
    demand(type(case["softmax"]) is bool, "a kernel")
    sees = case["sees"]
    demand(isinstance(sees, list) and len(sees) > 0, "one token at least")
    demand(isinstance(case["W"], list) and len(case["W"]) == 1, "one matrix W")
    dim = len(case["W"][0]) if isinstance(case["W"][0], list) else 0
    demand(dim >= 2, "two dimensions at least")
    demand(
        len(sees) * dim <= MOST_COORDINATES,
        f"at most {MOST_COORDINATES} coordinates; it has {len(sees)} tokens in {dim} dimensions",
    )
    for i, row in enumerate(sees):
        demand(isinstance(row, list) and row, f"somebody that token {i + 1} attends to")
        demand(all(type(j) is int for j in row), "a mask of whole numbers")
        demand(row == sorted(set(row)) and 0 <= row[0] and row[-1] < len(sees), "a mask in order")
    heads = len(case["P"]) if isinstance(case["P"], list) else 0
    demand(1 <= heads <= MOST_HEADS, f"one head at least and {MOST_HEADS} at most")
    demand(isinstance(case["U"], list) and len(case["U"]) == heads, "a U for each P")
    for M in (*case["P"], *case["U"], *case["W"]):
        _is_matrix(M, dim, dim)
    return len(sees), dim


def _is_proof(p: Any, tokens: int, dim: int) -> None:
    demand(isinstance(p, dict) and p.get("kind") in ("equilibrium", "exceptional"), "a proof")
    _keys(p, "the proof", p["kind"])
    if p["kind"] == "exceptional":
        demand((tokens, dim) == (3, 2), "three tokens in the plane")
        _is_matrix(p["tokens"], 2, 2)
        _is_matrix(p["thirds"], 2, 2)
        _is_vector(p["times"], 2)
        demand(all(0 <= Fraction(x) <= MOST_TIME for x in p["times"]), "times of a run")
        return
    _is_matrix(p["tokens"], tokens, dim)
    _is_number(p["radius"])
    demand(0 < Fraction(p["radius"]) <= 1, "a radius of more than 0 and at most 1")
    demand(p["family"] in _FAMILIES, "a kind of family that is known")
    demand(type(p["stable"]) is bool, "stable or not")
    demand(isinstance(p["generators"], list), "rotations")
    many = len(p["generators"])
    demand(many <= tokens * dim, "fewer rotations")
    for M in p["generators"]:
        _is_matrix(M, dim, dim)
    solved = p["family"] not in KNOWN
    _is_vector(p["turning"], many if solved else 0)
    _is_matrix(p["slices"], many if solved else 0, tokens * dim)
    if p["basin"] is not None:
        b, n = p["basin"], tokens * dim
        _keys(b, "the basin", "basin")
        _is_matrix(b["axes"], n, n)
        _is_vector(b["weights"], n)
        _is_matrix(b["start"], tokens, dim)
        for name in ("reach", "time"):
            _is_number(b[name])
        demand(Fraction(b["reach"]) > 0, "a reach of more than zero")
        demand(all(Fraction(w) > 0 for w in b["weights"]), "weights of more than zero")
        demand(0 <= Fraction(b["time"]) <= MOST_TIME, "a time of a run")


def _is_claim(claim: Any, dim: int) -> None:
    named = isinstance(claim, dict) and "name" in claim
    _keys(claim, "the claim", "claim, of a name" if named else "claim")
    demand(_strings(claim["facts"]), "facts by name")
    demand(type(claim["top"]) is bool, "about the top eigenvector or not")
    _is_vector(claim["v"], dim)
    if named:
        demand(_strings([claim["name"], claim["says"], claim["source"]]), "a claim's name")


def _strings(x: Any) -> bool:
    return isinstance(x, list) and all(isinstance(a, str) for a in x)


def _is_number(x: Any) -> None:
    demand(isinstance(x, str) and _NUMBER.fullmatch(x) is not None, "numbers as decimals in quotes")
    digits, _, exponent = x.lower().partition("e")
    demand(len(digits) <= MOST_DIGITS, f"numbers of at most {MOST_DIGITS} digits")
    demand(abs(int(exponent or 0)) <= MOST_EXPONENT, f"exponents of at most {MOST_EXPONENT}")
    _, _, below = digits.partition("/")
    demand(below == "" or int(below) != 0, "fractions of something")


def _is_vector(x: Any, length: int) -> None:
    demand(isinstance(x, list) and len(x) == length, f"a row of {length} numbers")
    for a in x:
        _is_number(a)


def _is_matrix(x: Any, rows: int, columns: int) -> None:
    demand(isinstance(x, list) and len(x) == rows, f"a matrix of {rows} rows")
    for row in x:
        _is_vector(row, columns)


# === 2. exact numbers and balls


def exact(rows: Any) -> Any:
    """Decimals as a matrix of fractions."""
    return fmpq_mat([[fmpq(*Fraction(x).as_integer_ratio()) for x in row] for row in rows])


def balls(rows: Any) -> list[list[Any]]:
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


def derivative(f: Callable[[list], list], x: list) -> list[list[Any]]:
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


# === 3. the flow


class Flow:
    """Eq. (6) with scale 1, carried off the ellipsoid.

    G_i = n_i A_i + (1 - n_i - y_i'WA_i) y_i, with n_i = y_i'Wy_i and A_i what attention adds up: y_i'WG_i =
    n_i (1 - n_i), so its zeros with n_i > 0 lie on the ellipsoid, and DG has the flow's eigenvalues there
    and -2, once a token.
    """

    def __init__(self, case: dict[str, Any]):
        self.P, self.U, (W,) = ([exact(M) for M in case[name]] for name in "PUW")
        self.heads = [
            (arb_mat(P).tolist(), arb_mat(U).tolist()) for P, U in zip(self.P, self.U, strict=True)
        ]
        self.sees, self.softmax, self.W = case["sees"], case["softmax"], W
        self.dim, self.tokens = W.nrows(), len(self.sees)
        self.one = fmpq_mat(
            self.dim, self.dim, [int(i == j) for i in range(self.dim) for j in range(self.dim)]
        )
        self.S = sum(self.U, 0 * self.one)
        everybody = list(range(self.tokens))
        self.full = all(sees == everybody for sees in self.sees)
        self.causal = self.sees == [everybody[: i + 1] for i in everybody]
        demand(W == W.transpose(), "a symmetric W")
        demand(positive(W, strictly=True), "a positive definite W")
        self.metric = arb_mat(W).tolist()

    def rows(self, x: list) -> list[list]:
        """Coordinates as tokens."""
        return [x[i : i + self.dim] for i in range(0, len(x), self.dim)]

    def turned(self, M: list[list], x: list) -> list:
        """M times each token."""
        return [dot(row, y) for y in self.rows(x) for row in M]

    def on(self, rows: Any) -> list:
        """Exact tokens, each divided by its length in W."""
        tokens = balls(rows)
        demand(all(any(a != 0 for a in y) for y in tokens), "tokens that are not zero")
        return [a / dot(y, self.turned(self.metric, y)).sqrt() for y in tokens for a in y]

    def attended(self, y: list, Y: list[list], sees: list[int]) -> list:
        """A of a token: the sum over heads of U times the mean that its weights make."""
        A = [0 * a for a in y]
        for P, U in self.heads:
            s = [dot(y, self.turned(P, Y[j])) for j in sees]
            w = [self.weight(a, s) for a in s]
            mean = [dot(w, [Y[j][a] for j in sees]) for a in range(self.dim)]
            A = [a + b for a, b in zip(A, self.turned(U, mean), strict=True)]
        return A

    def weight(self, score: Any, scores: list) -> Any:
        """Softmax, or exp(score) over the number of tokens."""
        if not self.softmax:
            return score.exp() / self.tokens
        rest = sum(((b - score).exp() for b in scores if b is not score), 0 * score)
        return 1 / (1 + rest)

    def field(self, x: list) -> list:
        """G of balls, complex balls or power series."""
        in_time()
        G, Y = [], self.rows(x)
        for y, sees in zip(Y, self.sees, strict=True):
            A, Wy = self.attended(y, Y, sees), self.turned(self.metric, y)
            n, pull = dot(y, Wy), dot(A, Wy)
            G += [n * a + (1 - n - pull) * b for a, b in zip(A, y, strict=True)]
        return G

    def after(self, x: list, span: Fraction) -> list:
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

    def series(self, c: list, order: int) -> list:
        """The solution from c as power series in time."""
        line = [arb_series([a], 1) for a in c]
        for n in range(1, order):
            ctx.cap = n + 1
            G = self.field(line)
            line = [g.integral() + a for a, g in zip(c, G, strict=True)]
        return line


_ends_at = [float("inf")]


def in_time() -> None:
    """Refuse where the check has taken longer than it may."""
    demand(time.process_time() < _ends_at[0], f"a proof that takes {MOST_SECONDS} s at most")


# === 4. families of equilibria, by rules that are exact

KNOWN = ("consensus", "balanced", "still")  # whose members are known without solving for one
_FAMILIES = ("none", "turns", "moments", *KNOWN)


def family(flow: Flow, p: dict[str, Any]) -> tuple[list[list[list]], int]:
    """The rotations that go along the family, and its dimension."""
    E, T = [exact(M) for M in p["generators"]], exact(p["tokens"]).tolist()
    n, d = flow.tokens, flow.dim
    demand(all(flow.W * M == -M.transpose() * flow.W for M in E), "rotations that keep W")
    dimension = {
        "none": lambda: _none_around(E),
        "turns": lambda: _turns(flow, E),
        "moments": lambda: _moments(flow, E),
        "consensus": lambda: _consensus(flow, E, T, d - 1),
        "balanced": lambda: _balanced(flow, E, T, n * (d - 1) - d + (n == 2)),
        "still": lambda: _still(flow, E, n * (d - 1)),
    }[p["family"]]()
    return [arb_mat(M).tolist() for M in E], dimension


def _none_around(E: list) -> int:
    demand(not E, "no rotations where there is no family")
    return 0


def _turns(flow: Flow, E: list) -> int:
    """Rotations with which all P and U commute carry solutions to solutions: the orbit is a family."""
    demand(E, "a rotation")
    demand(all(M.transpose() * P == -P * M for M in E for P in flow.P), "rotations that keep P")
    demand(all(M * U == U * M for M in E for U in flow.U), "rotations that keep U")
    return len(E)


def _moments(flow: Flow, E: list) -> int:
    """sum_i Z_i (R y_i)'W G_i / n_i = 0 for each R: so many equations follow from the others."""
    demand(E, "a rotation")
    demand(flow.full, "full attention, for the family 'moments'")
    demand(not flow.softmax or len(flow.U) == 1, "one head, for the family 'moments'")
    demand(all(_multiple(flow, U) for U in flow.U), "U a multiple of I, for the family 'moments'")
    demand(all(P == P.transpose() for P in flow.P), "P symmetric, for the family 'moments'")
    return len(E)


def _consensus(flow: Flow, E: list, T: list, dimension: int) -> int:
    """All tokens at one point, whichever: attention leaves them where they are."""
    demand(not E, "no rotations at consensus")
    demand(T == T[:1] * len(T), "tokens that are one")
    values = [flow.S] if flow.softmax else flow.U
    demand(all(_multiple(flow, M) for M in values), "values that are a multiple of I")
    return dimension


def _balanced(flow: Flow, E: list, T: list, dimension: int) -> int:
    """P = 0 and tokens in opposite pairs: the mean, which is all that moves them, is zero."""
    demand(not E, "no rotations of balanced tokens")
    demand(flow.full, "full attention, for the family 'balanced'")
    demand(all(P == 0 * P for P in flow.P), "P = 0, for the family 'balanced'")
    demand(all(T.count(y) == T.count([-a for a in y]) for y in T), "tokens in opposite pairs")
    demand(len(T) == 2 or any(apart(y, T[0]) for y in T), "tokens on more than one line")
    return dimension


def _still(flow: Flow, E: list, dimension: int) -> int:
    """The same P in all heads, and U that add up to zero: nothing ever moves."""
    demand(not E, "no rotations where nothing moves")
    demand(flow.S == 0 * flow.S, "U that add up to zero")
    demand(all(P == flow.P[0] for P in flow.P), "the same P in all heads")
    return dimension


def _multiple(flow: Flow, M: Any) -> bool:
    return bool(M == M[0, 0] * flow.one)


# === 5. an equilibrium, its stability, and a way into its basin


def show_equilibrium(flow: Flow, p: dict[str, Any]) -> tuple[list, list]:
    """The start, if one is given, and a box with one equilibrium in it (of a family: on a slice).

    Newton's operator of Moore and Krawczyk: H has one zero within r of c, and one only, where
    DH(box)^-1 H(c) is less than r in each coordinate.
    """
    R, dimension = family(flow, p)
    x, n = flow.on(p["tokens"]), flow.tokens * flow.dim
    if p["family"] in KNOWN:
        J, box = derivative(flow.field, x), x
    else:
        H, c = _equations(flow, p, R, x)
        [[r]] = balls([[p["radius"]]])
        wide = [arb(a, r) + (x[k] - c[k] if k < n else 0) for k, a in enumerate(c)]
        J, box = derivative(H, wide), wide[:n]
        C = arb_mat(derivative(H, c)).inv().mid()
        step = (C * arb_mat(J)).solve(C * arb_mat([[a] for a in H(c)])).entries()
        demand(all(abs(a) < r for a in step), "one equilibrium in the box")
    on_it = all(dot(y, flow.turned(flow.metric, y)) > 0 for y in flow.rows(box))
    demand(on_it, "tokens that are not zero")
    X = arb_mat([flow.turned(M, box) for M in R])
    demand(not R or not (X * X.transpose()).det().contains(0), "rotations that are independent")
    show_signs(arb_mat([row[:n] for row in J[:n]]), dimension, p["stable"])
    if p["basin"] is None:
        return box, box
    demand(p["family"] == "none" and p["stable"], "a stable equilibrium that stands alone")
    return basin(flow, p["basin"], box), box


def _equations(flow: Flow, p: dict[str, Any], R: list, x: list) -> tuple[Callable, list]:
    """H: G and sum mu_k R_k y (tokens turn by mu), and slices (y - c); and c, the tokens and mu."""
    n = len(x)
    [mu] = balls([p["turning"]]) if R else [[]]
    across = balls(p["slices"]) if R else []
    c = [a.mid() for a in x + mu]

    def H(z: list) -> list:
        G = flow.field(z[:n])
        for speed, M in zip(z[n:], R, strict=True):
            G = [g + speed * b for g, b in zip(G, flow.turned(M, z[:n]), strict=True)]
        moved = [a - b for a, b in zip(z[:n], c[:n], strict=True)]
        return G + [dot(moved, s) for s in across]

    return H, c


def show_signs(D: Any, dimension: int, stable: bool) -> None:
    """Stable: all eigenvalues of D have negative real parts but as many as the family has dimensions.

    Unstable: one has a positive real part. D is looked at in another basis (any will do), in
    which Arb tells eigenvalues apart more often.
    """
    n = D.nrows()
    Q = arb_mat([[arb(a == b) + arb(1) / (a + b + 1) for a in range(n)] for b in range(n)])
    reals = [e.real for e in (Q * D * Q.inv()).eig(multiple=True)]
    if stable:
        demand(sum(not e < 0 for e in reals) == dimension, "eigenvalues with negative real parts")
    else:
        demand(any(e > 0 for e in reals), "an eigenvalue with a positive real part")


def basin(flow: Flow, p: dict[str, Any], x: list) -> list:
    """The start, which comes to where |T^-1 (y - y*)| declines, below `reach` of it."""
    T, [[reach]], [w] = arb_mat(exact(p["axes"])), balls([[p["reach"]]]), balls([p["weights"]])
    wide = [arb(0, reach) * dot(row, row).sqrt() for row in T.tolist()]
    J = arb_mat(derivative(flow.field, [a + b for a, b in zip(x, wide, strict=True)]))
    demand(growth((T.inv() * J * T).tolist(), w) < 0, "a basin")
    start = flow.on(p["start"])
    end = flow.after(start, Fraction(p["time"]))
    u = (T.inv() * arb_mat([[a - b] for a, b in zip(end, x, strict=True)])).entries()
    demand(dot(u, u) < reach**2, "that the start comes to the basin")
    return start


# === 6. a start on a null set


def show_exceptional(flow: Flow, p: dict[str, Any]) -> tuple[list, list]:
    """Causal, U = I, the circle: the arc from -y_1 to -y_2 is left at both ends and entered at none.

    Between a third token that leaves at one end and one that leaves at the other there is one that stays
    for ever, and so comes to -y_1 as y_2 comes to y_1 (Wazewski).
    """
    demand(flow.causal and flow.tokens == 3 and flow.dim == 2, "three causal tokens on the circle")
    demand(flow.W == flow.one, "W = I")
    demand(all(U == flow.one for U in flow.U), "U = I")
    start: list = []
    for third, span, above in zip(p["thirds"], p["times"], (False, True), strict=True):
        start = flow.on([*p["tokens"], third])
        (a, b, c), (_, d, e) = flow.rows(flow.after(start, Fraction(span))), flow.rows(start)
        ab, ac, bc, dc = (u[0] * v[1] - u[1] * v[0] for u, v in ((a, b), (a, c), (b, c), (d, c)))
        left = ac * ab < 0 and bc * ab < 0 if above else ac * ab > 0 and dc * ab > 0
        demand(left, "that the neighbours leave the arc")
        demand(dot(a, e) < 0, "neighbours on the far side of the first token")
    return start, start


# === 7. claims: whom they speak of, what they suppose, what they conclude

EVERY, ALMOST = "every start", "almost every start"


@dataclass(frozen=True)
class Claim:
    """A claim as it is refuted: for which starts it speaks, its hypotheses, what breaks its conclusion."""

    starts: str
    supposes: tuple[str, ...]
    broken: str
    says: str
    source: str
    top: bool = False

    @property
    def facts(self) -> list[str]:
        """All that has to be shown."""
        return [*self.supposes, self.broken]


_PAPER = "arXiv:2412.02682"
_ATLAS = "arXiv:2411.04990, Table 1"
_CAP = ("U symmetric", "lambda > 0", "v'y of one sign")
_SYMMETRIC = ("one head", "U symmetric", "lambda > 0")
_HEMISPHERE = f"Theorem 3.2, {_PAPER}, without its hemisphere"
_CAUSAL, _FULL = ("softmax", "causal", "sphere"), ("softmax", "full", "sphere")

CLAIMS = {
    "3.2": Claim(
        EVERY, ("softmax", "full", "U = I", "hemisphere"), "not consensus",
        "Full attention with U = I and bounded, uniformly continuous P(t) takes tokens that share an open "
        "hemisphere to consensus.",
        f"Theorem 3.2, {_PAPER}",
    ),
    "3.2 with jumps": Claim(
        EVERY, ("softmax", "full", "U = I", "hemisphere"), "not consensus",
        "Full attention with U = I and bounded P(t) that jumps takes tokens that share an open hemisphere "
        "to consensus.",
        f"Theorem 3.2, {_PAPER}, without uniform continuity: a few jumps",
    ),
    "4.2": Claim(
        ALMOST, (*_CAUSAL, "U = I", "no token at -y_1"), "not consensus",
        "Causal attention on the sphere with U = I and bounded P(t) takes almost every start to its first "
        "token.",
        f"Theorem 4.2, {_PAPER}, Table 1",
    ),
    "4.2 as printed": Claim(
        EVERY, (*_CAUSAL, "U = I", "no token at -y_1"), "not consensus",
        "Causal attention on the sphere with U = I and bounded P takes every start with y_j not -y_1 to "
        "its first token.",
        f"Theorem 4.2, {_PAPER}, its printed domain",
    ),
    "4.2 on ellipsoids": Claim(
        ALMOST, ("softmax", "causal", "U = I", "no token at -y_1"), "not consensus",
        "Causal attention on an ellipsoid with U = I and bounded P takes almost every start to its first "
        "token.",
        f"Theorem 4.2, {_PAPER}, W not I",
    ),
    "4.5": Claim(
        EVERY, (*_CAUSAL, "one head", *_CAP), "not v",
        "Causal attention on the sphere, one head, bounded P(t), U symmetric with a simple positive top "
        "eigenvalue and eigenvector v, takes tokens with v'y_i > 0 to v.",
        f"Theorem 4.5, {_PAPER}", top=True,
    ),
    "4.5 on ellipsoids": Claim(
        ALMOST, ("softmax", "causal", "one head", *_CAP), "not v",
        "Causal attention on an ellipsoid, one head, U symmetric with a simple positive top eigenvalue and "
        "eigenvector v, takes tokens with v'y_i > 0 to the direction of v.",
        f"Theorem 4.5, {_PAPER}, W not I", top=True,
    ),
    "no hemisphere": Claim(
        ALMOST, (*_FULL, "U = I"), "not consensus",
        "Full attention with U = I and any constant P takes almost every start to consensus.",
        _HEMISPHERE,
    ),
    "no hemisphere, positive P": Claim(
        ALMOST, (*_FULL, "U = I", "P + P' positive"), "not consensus",
        "Full attention with U = I and P + P' positive definite takes almost every start to consensus.",
        _HEMISPHERE,
    ),
    "no hemisphere, symmetric positive P": Claim(
        ALMOST, (*_FULL, "U = I", "P + P' positive", "P symmetric"), "not consensus",
        "Full attention with U = I and P symmetric positive definite takes almost every start to consensus.",
        _HEMISPHERE,
    ),
    "symmetric U, full, no hemisphere": Claim(
        ALMOST, (*_FULL, *_SYMMETRIC), "not consensus",
        "Full attention, one head, U symmetric with a simple positive top eigenvalue, takes almost every "
        "start to consensus.",
        f"Theorem 4.5, {_PAPER}, in full attention without its hemisphere", top=True,
    ),
    "symmetric U, causal, no hemisphere": Claim(
        ALMOST, (*_CAUSAL, *_SYMMETRIC), "not consensus",
        "Causal attention, one head, U symmetric with a simple positive top eigenvalue, takes almost every "
        "start to consensus.",
        f"Theorem 4.5, {_PAPER}, without its hemisphere", top=True,
    ),
    "symmetric U, full": Claim(
        ALMOST, (*_FULL, "one head", *_CAP), "not v",
        "Full attention, one head, U symmetric with a simple positive top eigenvalue and eigenvector v, "
        "takes tokens with v'y_i > 0 to v.",
        f"Theorem 4.5, {_PAPER}, in full attention", top=True,
    ),
    "several heads, one U": Claim(
        ALMOST, (*_CAUSAL, "two heads", "one U", *_CAP), "not v",
        "Causal attention on the sphere, two heads that share U, symmetric with a simple positive top "
        "eigenvalue and eigenvector v, takes tokens with v'y_i > 0 to v.",
        f"Theorem 4.5, {_PAPER}, h = 2", top=True,
    ),
    "several heads, own U": Claim(
        ALMOST, (*_CAUSAL, "two heads", *_CAP), "not v",
        "Causal attention on the sphere, two heads, each with its own symmetric U, whose sum has a simple "
        "positive top eigenvalue and eigenvector v, takes tokens with v'y_i > 0 to v.",
        f"Theorem 4.5, {_PAPER}, believed there to hold in greater generality", top=True,
    ),
    "several heads, own positive U": Claim(
        ALMOST, (*_CAUSAL, "two heads", "U positive semidefinite", *_CAP), "not v",
        "Causal attention on the sphere, two heads, each with its own symmetric positive semidefinite U, "
        "whose sum has a simple top eigenvalue and eigenvector v, takes tokens with v'y_i > 0 to v.",
        f"Theorem 4.5, {_PAPER}, h = 2, positive values", top=True,
    ),
    "several heads, common v": Claim(
        ALMOST, (*_CAUSAL, "two heads", "v of every U", *_CAP), "not v",
        "Causal attention on the sphere, two heads, each with its own symmetric U, the top eigenvector v "
        "of the sum an eigenvector of each, takes tokens with v'y_i > 0 to v.",
        f"Theorem 4.5, {_PAPER}, h = 2, v shared", top=True,
    ),
    "heads that cancel": Claim(
        ALMOST, (*_FULL, "two heads", "sum of U zero"), "not consensus",
        "Full attention with two heads whose U add up to zero takes almost every start to consensus.",
        f"Theorem 3.2, {_PAPER}, another U",
    ),
    "causal, top simple": Claim(
        ALMOST, (*_CAUSAL, *_SYMMETRIC), "not a line",
        "Causal attention, one head, U symmetric with a simple positive top eigenvalue and eigenvector v, "
        "takes almost every start to the two points v and -v.",
        f"conjecture, {_ATLAS}, third row; U symmetric", top=True,
    ),
    "causal, top simple, any U": Claim(
        ALMOST, (*_CAUSAL, "one head", "lambda > 0"), "not a line",
        "Causal attention, one head, U whose eigenvalue of largest real part is real, simple and positive, "
        "with eigenvector v, takes almost every start to the two points v and -v.",
        f"conjecture, {_ATLAS}, third row", top=True,
    ),
    "causal, top negative": Claim(
        ALMOST, (*_CAUSAL, "one head", "U symmetric", "lambda < 0"), "not around v",
        "Causal attention, one head, U symmetric with a negative simple top eigenvalue and eigenvector v: "
        "tokens of almost every start gather about the line of v.",
        f"conjecture, {_ATLAS}, fifth row; read as: on average nearer to it than points spread evenly",
        top=True,
    ),
    "circle": Claim(
        ALMOST, ("exponential", "full", "sphere", "circle", "one head", "U = I", "beta in the gap"),
        "not consensus",
        "On the circle, full attention with the exponential kernel, U = I and P = beta I, "
        "-2/3 <= beta < -0.16, takes almost every start to consensus.",
        "open for 9 tokens and more; 3 to 8 by certify.synchronisation; arXiv:2507.22857 has -0.16 <= beta",
    ),
}  # fmt: skip
_UNSAID = ("two heads", "exponential", "circle")  # in the words for the model already


def top_of(flow: Flow) -> tuple[list, Any]:
    """Of the sum of all U the eigenvalue of largest real part, and its vector.

    It is alone with its real part, hence real and simple: that of a complex one is shared.
    """
    values, vectors = arb_mat(flow.S).eig(right=True)
    k = max(range(flow.dim), key=lambda i: float(values[i].real.mid()))
    value = values[k].real
    demand(all(a.real < value for a in values[:k] + values[k + 1 :]), "a simple top of U")
    return [vectors[i, k].real for i in range(flow.dim)], value


def facts(flow: Flow, start: list, limit: list, v: list, value: Any) -> dict[str, Callable]:
    """By name, what a claim may suppose of the field and the start, and what breaks its conclusion.

    v is the top eigenvector of the sum of U and `value` its eigenvalue; or, for a claim that is not about
    these (`value` is None), a vector of the file's that shows the tokens on one side.
    """
    U, S, one = flow.U, flow.S, flow.one
    Y, Z = flow.rows(start), flow.rows(limit)
    first = Y[0]
    top = value is not None

    def one_side() -> bool:
        return all(dot(v, y) > 0 for y in Y) or all(dot(v, y) < 0 for y in Y)

    def around() -> Any:
        return flow.dim * sum(dot(v, z) ** 2 / dot(z, z) for z in Z)

    return {
        "softmax": lambda: flow.softmax,
        "exponential": lambda: not flow.softmax,
        "sphere": lambda: flow.W == one,
        "circle": lambda: flow.dim == 2,
        "one head": lambda: len(U) == 1,
        "two heads": lambda: len(U) == 2,
        "full": lambda: flow.full,
        "causal": lambda: flow.causal,
        "U = I": lambda: all(M == one for M in U),
        "U symmetric": lambda: all(M == M.transpose() for M in U),
        "U positive semidefinite": lambda: all(positive(M) for M in U),
        "one U": lambda: all(M == U[0] for M in U),
        "v of every U": lambda: top and all(M * S == S * M for M in U),
        "sum of U zero": lambda: S == 0 * S and any(M != S for M in U),
        "P symmetric": lambda: all(P == P.transpose() for P in flow.P),
        "P + P' positive": lambda: all(positive(P, strictly=True) for P in flow.P),
        "beta in the gap": lambda: all(_in_gap(flow, P) for P in flow.P),
        "no token at -y_1": lambda: all(differ(y, [-a for a in first]) for y in Y),
        "hemisphere": lambda: not top and one_side(),
        "v'y of one sign": lambda: top and one_side(),
        "lambda > 0": lambda: top and value > 0,
        "lambda < 0": lambda: top and value < 0,
        "not consensus": lambda: any(differ(y, z) for y, z in pairwise(Z)),
        "not v": lambda: top and any(apart(z, v) or dot(z, v) * dot(Z[0], v) < 0 for z in Z),
        "not a line": lambda: any(apart(y, z) for y, z in combinations(Z, 2)),
        "not around v": lambda: top and dot(v, v) * len(Z) > around(),
    }


def _in_gap(flow: Flow, P: Any) -> bool:
    beta = P[0, 0]
    return bool(P == beta * flow.one and fmpq(-2, 3) <= beta < fmpq(-16, 100))


_NULL = {"softmax", "causal", "sphere", "U = I", "no token at -y_1"}


def show_claim(
    flow: Flow, given: dict[str, Any], p: dict[str, Any], start: list, limit: list, claim: Claim
) -> None:
    """That the claim is false: its starts, each of its hypotheses, and that its conclusion fails."""
    if p["kind"] == "exceptional":
        demand(claim.starts == EVERY, "a refutation of what holds for almost every start")
        known = claim.broken == "not consensus" and set(claim.supposes) <= _NULL
        demand(known, "that a start between two others is in the claim's domain")
    elif not p["stable"]:
        demand(claim.starts == EVERY, "a stable equilibrium: the claim leaves out null sets")
    v, value = top_of(flow) if claim.top else (balls([given["v"]])[0], None)
    table = facts(flow, start, limit, v, value)
    for name in claim.facts:
        demand(table[name](), name)


# === 8. the words, from the numbers alone

_WIDTH = 100
_KINDS = {
    "turns": "the tokens' orbit under rotations with which P and U commute",
    "moments": "a family of equilibria, since of their equations some follow from the others",
    "consensus": "the family of all tokens at one point",
    "balanced": "the family of tokens whose mean is zero",
}
_BROKEN = {
    "not consensus": "not all tokens of y* are the same: y*_i != y*_j for some i, j",
    "not v": "not all tokens of y* are at v",
    "not a line": "not all tokens of y* are on one line through the origin",
    "not around v": "the tokens of y* are farther from v on average than points spread evenly: "
    "mean (v'y*_i)^2 / |y*_i|^2 < 1/d",
}
_IN_WORDS = {
    "softmax": "rows of attention are softmax",
    "sphere": "W = I",
    "circle": "d = 2",
    "one head": "h = 1",
    "full": "attention is full",
    "causal": "attention is causal",
    "U = I": "every U is the identity",
    "U symmetric": "every U is symmetric",
    "U positive semidefinite": "every U is positive semidefinite",
    "one U": "all heads have one U",
    "v of every U": "v is an eigenvector of every U",
    "sum of U zero": "the U of all heads add up to zero, and are not zero",
    "P symmetric": "every P is symmetric",
    "P + P' positive": "P + P' is positive definite for every P",
    "beta in the gap": "P = beta I with -2/3 <= beta < -0.16",
    "no token at -y_1": "y_i != -y_1 for all i",
    "lambda > 0": "lambda > 0",
    "lambda < 0": "lambda < 0",
}


def statement(c: dict[str, Any], claim: Claim | None = None) -> list[str]:
    """The lines of what was proved. `claim` is what is refuted, if anything is."""
    proof = c["proof"]
    null = proof["kind"] == "exceptional"
    lines = _model(c["case"])
    lines += _neighbours(proof) if null else _equilibrium(proof)
    return lines if claim is None else lines + _refuted(c["claim"], proof, claim)


def _model(case: dict[str, Any]) -> list[str]:
    heads, tokens, dim = len(case["P"]), len(case["sees"]), len(case["W"][0])
    sees, every = case["sees"], list(range(tokens))
    mask = "masked"
    if all(row == every for row in sees):
        mask = "full"
    elif sees == [every[: i + 1] for i in every]:
        mask = "causal"
    kernel = "softmax" if case["softmax"] else "exponential"
    lines = _wrapped(
        f"Eq. (6) for {tokens} tokens in R^{dim}, {heads} head{'s' * (heads > 1)}, {mask} attention, "
        f"{kernel} kernel, any positive scale, with"
    )
    names = [*_named("P", case["P"]), *_named("U", case["U"]), ("W", case["W"][0])]
    lines += [f"  {name} = {_matrix(M)}" for name, M in names]
    if mask == "masked":
        lines.append(f"  token i attending to {sees}, from 0,")
    return lines


def _named(letter: str, matrices: list) -> list[tuple[str, list]]:
    if len(matrices) == 1:
        return [(letter, matrices[0])]
    return [(f"{letter}_{k + 1}", M) for k, M in enumerate(matrices)]


def _matrix(M: list) -> str:
    return "[" + ", ".join("[" + ", ".join(row) + "]" for row in M) + "]"


def _equilibrium(proof: dict[str, Any]) -> list[str]:
    lines = _wrapped(_there_is(proof))
    lines += _tokens(proof["tokens"])
    lines.append("(each divided by its length |.|_W).")
    if not proof["stable"]:
        return lines + _wrapped(
            "It is unstable: an eigenvalue of the flow's Jacobian there has a positive real part."
        )
    lines += _wrapped(_stable(proof["family"]))
    if proof["basin"]:
        lines.append("The solution from the start")
        lines += _tokens(proof["basin"]["start"])
        lines += _wrapped(
            "(likewise divided) converges to y*, as those from all starts near it do: by the time "
            f"{proof['basin']['time']} / scale it is in a basin of attraction."
        )
    return lines


def _stable(family: str) -> str:
    if family == "none":
        return (
            "All eigenvalues of the flow's Jacobian there have negative real parts: y* is exponentially "
            "stable, and an open set of starts converges to it."
        )
    if family == "still":
        return "The field is zero everywhere: no token ever moves."
    frame = "turning frame's" if family == "turns" else "flow's"
    goes = "that orbit" if family == "turns" else "equilibria of the family near y*"
    return (
        f"It belongs to {_KINDS[family]}. Zero is an eigenvalue of the {frame} Jacobian as many times "
        "as the family has dimensions, and all others have negative real parts: starts near y* stay near "
        f"the family and go to {goes}."
    )


def _there_is(proof: dict[str, Any]) -> str:
    radius, family = proof["radius"], proof["family"]
    if family in KNOWN:
        return "has the equilibrium y* that is"
    if family == "turns":
        speeds = ", ".join(proof["turning"])
        return (
            "has, on a slice across its orbit, one solution that turns rigidly, exp(-t sum_k mu_k R_k) y*, with "
            f"rotations R_k that keep P, U and W and mu = ({speeds}), where mu and y* are within {radius}, in "
            "each coordinate, of those numbers and of"
        )
    on = ", on a slice across a family," if family != "none" else ""
    return f"has{on} one equilibrium y* within {radius}, in each coordinate, of"


def _neighbours(proof: dict[str, Any]) -> list[str]:
    lines = ["has, for the first two tokens", *_tokens(proof["tokens"])]
    lines += ["and some third token between", *_tokens(proof["thirds"], ["y_3", "y_3'"])]
    lines += ["(each divided by its length), a solution whose third token stays"]
    lines += ["between -y_1 and -y_2 for ever, and so comes to -y_1 as y_2 comes to y_1."]
    return lines


def _refuted(given: dict[str, Any], proof: dict[str, Any], claim: Claim) -> list[str]:
    null = proof["kind"] == "exceptional"
    where = "the start" if null or proof["basin"] else "y*"
    said = [_IN_WORDS[name] for name in claim.supposes if name in _IN_WORDS]
    if claim.top:
        said.append("the sum of all U has a simple top eigenvalue lambda, with eigenvector v")
    if {"v'y of one sign", "hemisphere"} & set(claim.supposes):
        v = "" if claim.top else ", v = (" + ", ".join(given["v"]) + ")"
        said.append(f"v'y_i is positive, or negative, for all tokens of {where}{v}")
    lines = _wrapped("Moreover " + "; ".join(said) + ".")
    if not null:
        lines += _wrapped("And " + _BROKEN[claim.broken] + ".")
    open_set = not null and proof["stable"]
    on = "on an open set of starts" if open_set else "for a start"
    source = f" ({claim.source})" if claim.source else ""
    return lines + _wrapped(f"So the claim {given['name']!r}{source} is false {on}: {claim.says}")


def _tokens(rows: list, names: list[str] | None = None) -> list[str]:
    names = names or [f"y_{i + 1}" for i in range(len(rows))]
    return [f"  {name} = (" + ", ".join(row) + ")" for name, row in zip(names, rows, strict=True)]


def _wrapped(words: str) -> list[str]:
    return textwrap.wrap(words, _WIDTH, break_long_words=False)


# === 9. all of it


def digest(contents: dict[str, Any]) -> str:
    """SHA-256 of the other parts. It shows a slip of the hand; anyone can make one that fits."""
    rest = {name: part for name, part in contents.items() if name != "digest"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def check(data: bytes | str, claims: dict[str, Claim] = CLAIMS) -> tuple[dict[str, Any], list[str]]:
    """A certificate's parts, and what its numbers prove in words; else `Refused`.

    `claims` are the ones that it may refute.
    """
    _ends_at[0] = time.process_time() + MOST_SECONDS
    try:
        c = read(data)
        demand(c["digest"] == digest(c), "an unaltered file")
        return c, prove(c, claims)
    finally:  # the time is this check's alone
        _ends_at[0] = float("inf")


def prove(c: dict[str, Any], claims: dict[str, Claim] = CLAIMS) -> list[str]:
    """What the numbers prove, in words."""
    given, claim = c["claim"], None
    if "name" in given:
        claim = claims.get(given["name"])
        demand(claim, "a claim that is known here; of one's own, give its claim too")
    wanted, top = (claim.facts, claim.top) if claim else ([], False)
    named = [name for name in wanted if name not in _UNSAID]
    said = [name for name in given["facts"] if name not in _UNSAID]
    demand((said, given["top"]) == ([_OLD.get(n, n) for n in named], top), "the claim's own facts")
    ctx.prec = c["bits"]
    try:
        flow = Flow(c["case"])
        show = show_equilibrium if c["proof"]["kind"] == "equilibrium" else show_exceptional
        start, limit = show(flow, c["proof"])
        if claim:
            show_claim(flow, given, c["proof"], start, limit, claim)
    except Refused:
        raise
    except (ValueError, ZeroDivisionError, OverflowError) as error:  # balls too wide to divide by
        raise Refused(f"not shown: anything, the enclosures are too wide ({error})") from None
    words = statement(c, claim)
    demand(c["statement"] == words, "what it says in words: its numbers prove something else")
    return words


_OLD = {"hemisphere": "v'y of one sign"}  # as the file has it


def main(arguments: list[str]) -> int:
    """Check the file that is named: 0 where it holds, 1 where it does not."""
    if len(arguments) != 1:
        print("usage: python _checker.py FILE", file=sys.stderr)
        return 1
    try:
        with open(arguments[0], "rb") as file:
            _, words = check(file.read(MOST_BYTES + 1))
    except OSError as error:
        print(f"cannot be read: {error.strerror}", file=sys.stderr)
        return 1
    except Refused as error:
        print(error, file=sys.stderr)
        return 1
    print("holds:", *words, sep="\n")
    return 0


if __name__ == "__main__" and (status := main(sys.argv[1:])):
    sys.exit(status)
