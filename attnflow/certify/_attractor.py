"""An equilibrium polished to many digits, and what its certificate needs: the checker has the last word."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from flint import arb, arb_mat, ctx

from ..checker import equilibria as checker
from ._family import KNOWN, candidates
from ._plain import Rows, decimal, digits, rows_of

_ZERO = 1e-7  # eigenvalues below it, relative to the largest, may be those of a family


class NotDecided(Exception):
    """Nothing could be shown, one way or the other."""


class Refuted(Exception):
    """What was to be shown is false."""


def reason(error: Exception) -> str:
    """Why nothing was shown: the checker's words, or that balls became too wide to divide by."""
    words = str(error)
    ours = isinstance(error, NotDecided | checker.Refused)
    return words if ours else f"the enclosures are too wide ({words.split(' (')[0]})"


@dataclass(frozen=True)
class EquilibriumProof:
    """A proof by the checker's rules: of a stable equilibrium, or of an unstable one."""

    proof: dict[str, Any]
    tokens: np.ndarray
    jacobian: np.ndarray


def attractor(case: dict[str, Any], y: np.ndarray, within: float, bits: int) -> EquilibriumProof:
    """An equilibrium no farther than `within` from y, in each coordinate, with the signs of its eigenvalues."""
    ctx.prec = bits
    flow = checker.Flow(case)
    _empty(case, flow, y, within)
    J = _floats(checker.derivative(flow.field, flow.on(rows_of(y))))
    sizes = np.abs(np.linalg.eigvals(J))
    zeros = int(np.sum(sizes < _ZERO * max(1.0, float(sizes.max()))))
    families = [(kind, R) for kind, R in candidates(case, y) if R or kind in (*KNOWN, "none")]
    # Those whose dimension is that of the zeros, as float64 counts them, come first.
    families.sort(key=lambda family: family[0] not in KNOWN and len(family[1]) != zeros)
    tried = []
    for kind, R in families:
        try:
            return _proved(flow, y, within, bits, kind, R)
        except (ValueError, ZeroDivisionError, NotDecided) as error:
            tried.append((kind in KNOWN, reason(error)))
    raise NotDecided(min(tried, key=lambda failure: failure[0])[1])


def _empty(case: dict[str, Any], flow: Any, y: np.ndarray, within: float) -> None:
    """Refuted, where the field has no zero within the box (and no rotation makes up for it)."""
    turning = any(R for kind, R in candidates(case, y) if kind == "turns")
    box = [x + arb(0, within) for x in flow.on(rows_of(y))]
    G = flow.field(box)
    if not turning and any(not g.contains(0) for g in G):
        fastest = max(float(abs(g).lower()) for g in G)
        raise Refuted(
            f"no equilibrium is within {within:g} of these tokens: a coordinate of the field is at "
            f"least {fastest:.3g} in all of that box"
        )


def _proved(flow: Any, y: np.ndarray, within: float, bits: int, kind: str, R: list[Rows]):
    known = kind in KNOWN
    rotations = [arb_mat(checker.exact(M)).tolist() for M in R]
    start = flow.on(rows_of(y))
    if known:
        tokens, mu, slices = rows_of(y), [], []
        if kind == "consensus":
            tokens = [rows_of(y)[0]] * len(y)
        elif kind == "balanced":
            tokens = _paired(tokens)
    else:
        slices = _slices(flow, y, kind, rotations)
        z = _polished(flow, start, rotations, slices, bits)
        many = int(0.3 * bits) - 8
        x, turning = z[: len(start)], z[len(start) :]
        tokens = [[digits(a, many) for a in row] for row in flow.rows(x)]
        mu = [digits(a, many) for a in turning]
    end = flow.on(tokens)
    moved = max(abs(float((a - b).mid())) for a, b in zip(end, start, strict=True))
    if not moved <= within:
        raise NotDecided(
            f"the equilibrium near these tokens is {moved:.3g} away, and not within {within:g}"
        )
    D = _floats(checker.derivative(flow.field, end))
    for M, speed in zip(rotations, mu, strict=True):
        D = D + float(speed) * np.kron(np.eye(len(y)), _floats(M))
    proof = {
        "kind": "equilibrium",
        "tokens": tokens,
        "radius": f"1e-{int(0.3 * bits) - 14}",
        "family": kind,
        "generators": R,
        "turning": mu,
        "slices": slices,
        "stable": bool(np.linalg.eigvals(D).real.max() < 1e-9),
        "basin": None,
    }
    try:
        checker.show_equilibrium(flow, proof)
    except ValueError:  # a real part near zero in float64
        proof["stable"] = not proof["stable"]
        checker.show_equilibrium(flow, proof)
    return EquilibriumProof(proof, np.array([float(a.mid()) for a in end]).reshape(y.shape), D)


def _slices(flow: Any, y: np.ndarray, kind: str, rotations: list) -> list[list[str]]:
    """Directions along the family: of its rotations, or the right null vectors of the Jacobian."""
    if not rotations:
        return []
    x = flow.on(rows_of(y))
    if kind == "turns":
        along = _floats([flow.turned(M, x) for M in rotations])
    else:
        J = _floats(checker.derivative(flow.field, x))
        along = np.linalg.svd(J)[2][-len(rotations) :]
    return [[decimal(round(a, 6)) for a in row] for row in along]


def _polished(flow: Any, start: list, rotations: list, slices: list, bits: int) -> list:
    """Newton's method, at midpoints."""
    n = len(start)
    across = arb_mat(checker.exact(slices)).tolist() if slices else []

    def H(z: list) -> list:
        G = flow.field(z[:n])
        for a, M in zip(z[n:], rotations, strict=True):
            G = [g + a * b for g, b in zip(G, flow.turned(M, z[:n]), strict=True)]
        return G + [
            checker.dot([a - b for a, b in zip(z[:n], start, strict=True)], s) for s in across
        ]

    z = [a.mid() for a in start] + [arb(0)] * len(rotations)
    small, last = arb(2) ** (-bits // 2), 2  # quadratic: two steps more are as good as it gets
    for _ in range(60):
        J = checker.derivative(H, z)
        step = (arb_mat(J).mid().solve(arb_mat([[h.mid()] for h in H(z)]))).mid().entries()
        z = [(a - b).mid() for a, b in zip(z, step, strict=True)]
        last -= all(abs(a) < small for a in step)
        if not last:
            return z
    raise NotDecided("Newton's method came to no equilibrium from these tokens")


def _paired(tokens: Rows) -> Rows:
    """Tokens with each one's opposite, where it is there to rounding, made exact."""
    y = np.array(tokens, float)
    out = [list(row) for row in tokens]
    for i in range(len(y)):
        j = int(np.argmin(np.abs(y + y[i]).max(axis=1)))
        if j > i and np.abs(y[j] + y[i]).max() < 1e-12:
            out[j] = [decimal(-float(x)) for x in tokens[i]]
    return out


def _floats(M: Any) -> np.ndarray:
    return np.array([[float(x.mid()) for x in row] for row in M])
