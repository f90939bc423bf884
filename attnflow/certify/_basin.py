"""A start in the claim's domain, and its way into a basin of attraction about the equilibrium."""

from dataclasses import replace
from typing import Any

import jax.numpy as jnp
import numpy as np
from flint import arb, arb_mat, ctx

from ..checker import equilibria as checker
from ..flow import simulate
from ..model import AttentionField
from ..search import Claim
from ._attractor import EquilibriumProof, NotDecided
from ._plain import decimal, rows_of

_POINTS = 257
_LONG = 400.0  # units of 1 / (h scale) in which the start has to come near the equilibrium
_NEAR = 1 / 2  # of the reach, at which the run is taken to be there


def with_start(
    there: EquilibriumProof,
    case: dict[str, Any],
    claim: Claim,
    field: AttentionField,
    y0: Any,
    bits: int,
) -> EquilibriumProof:
    """The proof with a start from which the equilibrium is reached, as near to it as the domain goes.

    **Raises:**

    - `NotDecided`: no basin, or no way into it, was there.
    """
    if there.proof["family"] != "none" or not there.proof["stable"]:
        raise NotDecided("the equilibrium is not in the claim's domain, and is one of a family")
    ctx.prec = bits
    flow = checker.Flow(case)
    start = _last_inside(claim, field, jnp.asarray(y0), there.tokens)
    ways = []
    for axes in _axes(there.jacobian):
        reach, weights = _reach(flow, there, axes)
        if reach:
            time = _arrival(field, start, there.tokens, axes, reach)
            ways.append((time, axes, reach, weights))
    if not ways or not np.isfinite(min(way[0] for way in ways)):
        raise NotDecided("no basin of attraction is known that the start comes to")
    time, axes, reach, weights = min(ways, key=lambda way: way[0])
    basin = {
        "axes": rows_of(axes),
        "reach": decimal(reach),
        "weights": [decimal(w) for w in weights],
        "start": rows_of(start),
        "time": decimal(time),
    }
    return replace(there, proof={**there.proof, "basin": basin})


def _axes(J: np.ndarray) -> list[np.ndarray]:
    """Matrices T in which J contracts.

    With J'S + SJ = -I and S = VDV', T = V D^-1/2 makes T'(J'S + SJ)T diagonal. In eigenvectors, real and
    imaginary parts, T^-1 J T has the real parts on its diagonal and a skew part beside it; slow ones are
    given more room.
    """
    n = len(J)
    eye = np.eye(n)
    system = np.kron(eye, J.T) + np.kron(J.T, eye)
    S = np.linalg.solve(system, -eye.reshape(-1)).reshape(n, n)
    sizes, V = np.linalg.eigh((S + S.T) / 2)
    out = [V / np.sqrt(sizes)] if sizes.min() > 0 else []
    values, vectors = np.linalg.eig(J)
    columns, slow = [], []
    for value, vector in zip(values, vectors.T, strict=True):
        if np.imag(value) >= 0:
            parts = [np.real(vector), np.imag(vector)][: 1 + int(np.imag(value) != 0)]
            columns += [part / np.linalg.norm(vector) for part in parts]
            slow += [-float(np.real(value))] * len(parts)
    modal, rates = np.stack(columns, axis=1), np.array(slow)
    if np.linalg.cond(modal) < 1e6:
        out += [modal * (rates.min() / rates) ** power for power in (0.0, 0.5, 1.0)]
    return [np.round(T / np.abs(T).max(), 8) + 0.0 for T in out]


def _reach(flow: Any, there: EquilibriumProof, axes: np.ndarray) -> tuple[float, np.ndarray]:
    """The largest of some radii about the equilibrium in which distances |T^-1 (y - y*)| decline; 0 if none."""
    T = arb_mat(checker.exact(rows_of(axes)))
    inverse = T.inv()
    centre = [arb(a, arb(10) ** -12) for a in flow.on(there.proof["tokens"])]
    widths = np.linalg.norm(axes, axis=1)
    for k in range(40):
        reach = float(f"{2.0 ** (-k / 2) / float(widths.max()):.3g}")
        box = [a + arb(0, 1.0001 * reach * w) for a, w in zip(centre, widths, strict=True)]
        try:
            J = inverse * arb_mat(checker.derivative(flow.field, box)) * T
        except (ValueError, ZeroDivisionError):
            continue  # too large a box
        weights = _weights((J + J.transpose()) / 2)
        if checker.growth(J.tolist(), [arb(w) for w in weights]) < 0:
            return reach, weights
    return 0.0, np.ones(len(axes))


def _weights(S: Any) -> np.ndarray:
    """Those with which Gershgorin's discs reach least far: Perron's vector of the upper bounds."""
    M = np.array([[float(abs(x).upper()) for x in row] for row in S.tolist()])
    diagonal = np.array([float(S[i, i].upper()) for i in range(len(M))])
    if not (np.isfinite(M).all() and np.isfinite(diagonal).all()):
        return np.ones(len(M))
    np.fill_diagonal(M, diagonal)
    values, vectors = np.linalg.eig(M + 1e-9)
    w = np.abs(np.real(vectors[:, int(np.argmax(np.real(values)))]))
    return np.array([float(f"{x:.3g}") for x in np.maximum(w / w.max(), 1e-6)])


def _last_inside(claim: Claim, field: AttentionField, y0: Any, end: np.ndarray) -> np.ndarray:
    """The last tokens of the run from y0 that are still in the claim's domain, cut short."""
    time = _LONG / (field.heads * float(field.scale))
    # Nearly all of the way is gone in the first units of time: points that crowd there.
    ts = time * jnp.linspace(0.0, 1.0, _POINTS) ** 4
    run = simulate(field, y0, t1=time, ts=ts, rtol=1e-9, atol=1e-12, throw=False)
    ys = np.asarray(run.ys)
    if not np.abs(ys[-1] - end).max() < 1e-4:
        raise NotDecided("the start does not come to this equilibrium")

    def inside(k: int) -> bool:
        y = field.manifold.project(jnp.asarray(np.round(ys[k], 4)))
        return not claim.outside(field, y)

    low, high = 0, _POINTS - 1
    if not inside(low):
        return np.asarray(y0, np.float64)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if inside(middle) else (low, middle)
    return np.round(ys[low], 4) + 0.0


def _arrival(
    field: AttentionField, start: np.ndarray, end: np.ndarray, axes, reach: float
) -> float:
    """When the run from the start is well inside the basin, in units of the scale."""
    time = _LONG / (field.heads * float(field.scale))
    ts = time * jnp.linspace(0.0, 1.0, 8 * _POINTS) ** 3
    y0 = field.manifold.project(jnp.asarray(start))
    run = simulate(field, y0, t1=time, ts=ts, rtol=1e-9, atol=1e-12, throw=False)
    apart = (np.asarray(run.ys) - end).reshape(len(ts), -1)
    near = np.linalg.norm(np.linalg.solve(axes, apart.T), axis=0) < _NEAR * reach
    if not near.any():
        return float("inf")
    return float(f"{float(ts[int(np.argmax(near))]) * float(field.scale) * 1.01:.4g}")
