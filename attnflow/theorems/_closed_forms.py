"""Flows that are solved on paper: the first token's, two tokens' without scores, a consensus that turns."""

import math

import numpy as np

from ._hypotheses import causal, circle, equation_6, full, not_opposite, sphere
from ._hypothesis import Answer, condition
from ._parameters import asymmetry, constant_values, identity_values, no_scores
from ._quantities import Gap, Quantity
from ._setting import Setting
from ._verdict import Prediction, Verdict, judge, nothing


def oja(s: Setting, assume: tuple[str, ...]) -> Verdict:
    """A token that sees itself alone follows the linear flow of U, projected."""
    name = "Oja's flow of the first token (closed form)"
    alone = causal(s) if s.tokens > 1 else full(s)
    hypotheses = [*equation_6(s), alone, constant_values(s)]
    if any(h.holds is False for h in hypotheses):
        return judge(name, hypotheses, nothing, assume)
    values, right, left = _spectrum(s.U_sum)
    order = np.argsort(-np.real(values))
    first = order[0]
    value = complex(values[first])
    gap = value.real - float(np.real(values[order[1]])) if len(values) > 1 else math.inf
    slack = s.rounding(s.field.U) * max(float(np.abs(values).max()), 1e-300)
    simple = simple_leader(value, gap, slack)
    hypotheses.append(simple)
    v = np.real(right[:, first])
    part = float(np.real(left[first] @ s.y0[0])) * float(np.linalg.norm(v))
    if simple.holds:
        hypotheses.append(part_along(part, s.eps))
    v = v / math.sqrt(v @ s.W @ v) * (1 if part >= 0 else -1)

    def predict() -> Prediction:
        return Prediction(
            "the first token goes to the leading eigenvector of sum U, on its own side (of the "
            "others nothing is said)",
            limit=v,
            basin="almost every y_1",
            rate=float(s.field.scale) * gap if math.isfinite(gap) else None,
        )

    return judge(name, hypotheses, predict, assume)


@condition("leader simple", "leading eigenvalue of sum U real and simple")
def simple_leader(value: complex, gap: float, slack: float) -> Answer:
    """Of the sum of U the eigenvalue of largest real part is real, and alone with it."""
    says = f"it is {value.real:.4g}, and real parts are {gap:.3g} apart"
    return abs(value.imag) <= slack and gap > slack, says


@condition("part along the leader", "y_1 has a part along its eigenvector")
def part_along(part: float, eps: float) -> Answer:
    """The first token is not in the span of the other eigenvectors."""
    return abs(part) > 64 * eps, f"its part is {abs(part):.3g}"


def _spectrum(U: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Eigenvalues, right eigenvectors in columns, left ones in rows, with products of one."""
    if asymmetry(U) < 1e-14:
        values, right = np.linalg.eigh((U + U.T) / 2)
        return values, right, right.T
    values, right = np.linalg.eig(U)
    return values, right, np.linalg.pinv(right)


def two_tokens(s: Setting, assume: tuple[str, ...]) -> Verdict:
    """Two tokens with P = 0 and U = I, in closed form."""
    hypotheses = [*equation_6(s), pair(s)]
    allowed = full(s)
    is_full = allowed.holds is True
    hypotheses.append(allowed if is_full or causal(s).holds is not True else causal(s))
    hypotheses += [no_scores(s), identity_values(s), not_opposite(s)]

    def predict() -> Prediction:
        rate = s.pace * (1.0 if is_full else 0.5)
        start = 0.5 * float(np.sum((s.y0[0] - s.y0[1]) @ s.W * (s.y0[0] - s.y0[1])))

        def gap(ts):
            # 1 - tanh(rate t + artanh g0), with its digits.
            odds = (2 - start) / start if start > 0 else math.inf
            return 2 / (1 + odds * np.exp(2 * rate * (np.asarray(ts) - s.t0)))

        mean = s.y0.sum(axis=0)
        limit = mean / math.sqrt(mean @ s.W @ mean) if is_full else s.y0[0]
        return Prediction(
            f"consensus: cosine = tanh({rate:.4g} t + artanh of the first one)",
            limit=limit,
            basin="every start but opposite tokens",
            rate=rate,
            quantities=(Quantity("1 - cosine", Gap(s.field.manifold), "equals", expected=gap),),
        )

    return judge("Two tokens without scores (closed form)", hypotheses, predict, assume)


@condition("two tokens")
def pair(s: Setting) -> Answer:
    """There are two tokens."""
    return s.tokens == 2, f"there are {s.tokens}"


def turning(s: Setting, assume: tuple[str, ...]) -> Verdict:
    """On the circle with U = aI + bJ consensus turns for ever."""
    name = "Turning consensus on the circle (closed form)"
    hypotheses = [circle(s), *equation_6(s), full(s), sphere(s), constant_values(s)]
    if s.dim != 2:
        return judge(name, hypotheses, nothing, assume)
    U = s.U_sum
    a, b = (U[0, 0] + U[1, 1]) / 2, (U[1, 0] - U[0, 1]) / 2
    off = float(np.abs(U - np.array([[a, -b], [b, a]])).max())
    slack = s.rounding(s.field.U) * max(np.abs(U).max(), 1e-300)
    hypotheses.append(turning_values(a, b, off, slack))
    at_rest = no_scores(s)
    if at_rest.holds is not True:
        at_rest = no_scores.answer(None, "with P not 0 it holds in small arcs, of no known size")
    hypotheses.append(at_rest)

    def predict() -> Prediction:
        scale = float(s.field.scale)
        return Prediction(
            f"consensus that turns at {scale * b:.4g} radians a unit of time for ever",
            basin="almost every start" if at_rest.holds else "tokens in a small arc",
            rate=scale * a if s.tokens > 1 else None,
        )

    return judge(name, hypotheses, predict, assume)


@condition("sum U = aI + bJ", "sum U = aI + bJ, a > 0, b not 0")
def turning_values(a: float, b: float, off: float, slack: float) -> Answer:
    """The sum of U stretches by a and turns by b, to rounding."""
    says = f"sum U = {a:.4g} I + {b:.4g} J" + (f", off by {off:.2g}" if off > slack else "")
    return off <= slack and abs(b) > slack and a > slack, says
