"""The theorems of the paper: 3.2, 4.2, 4.5 and Remark 4.7, their hypotheses and predictions."""

import math

import jax.numpy as jnp
import numpy as np

from ..observables import Lyapunov
from ._hypotheses import (
    cap,
    causal,
    equation_6,
    full,
    hemisphere,
    not_opposite,
    on_their_side,
    one_head,
    sphere,
)
from ._parameters import (
    bounded_scores,
    constant_values,
    continuous_scores,
    identity_values,
    positive_top,
    simple_top,
    symmetric_values,
    top,
)
from ._quantities import AngleToTop, Height, Moved, OneLyapunov, Quantity
from ._setting import Setting
from ._slow import slow_values
from ._verdict import Prediction, Verdict, judge, nothing

PAPER = "arXiv:2412.02682"


def theorem_3_2(s: Setting, assume: tuple[str, ...]) -> Verdict:
    """Full attention, U = I, P bounded and uniformly continuous, tokens in an open hemisphere."""
    hypotheses = [
        *equation_6(s),
        full(s),
        identity_values(s),
        bounded_scores(s),
        continuous_scores(s),
        hemisphere(s),
    ]

    def predict() -> Prediction:
        v = jnp.asarray(s.hemisphere.v)
        V = Quantity("V, eq. (7)", Lyapunov(v), "falls")
        return Prediction(
            "consensus, at a point of the hemisphere that holds the tokens, which they never leave",
            v=np.asarray(v),
            basin="every start in an open hemisphere",
            rate=s.pace if s.tokens > 1 else None,
            quantities=(V, Quantity("least v'y", Height(v), "above")),
        )

    return judge(f"Theorem 3.2 ({PAPER})", hypotheses, predict, assume)


def theorem_4_2(s: Setting, assume: tuple[str, ...]) -> Verdict:
    """Causal attention on the sphere, U = I, P bounded: almost every start."""
    hypotheses = [
        *equation_6(s),
        causal(s),
        sphere(s),
        identity_values(s),
        bounded_scores(s),
        not_opposite(s),
    ]

    def predict() -> Prediction:
        return to_the_first(s)

    return judge(f"Theorem 4.2 ({PAPER})", hypotheses, predict, assume)


def to_the_first(s: Setting) -> Prediction:
    """All tokens go to the first one, which stands still."""
    first = jnp.asarray(s.y0[0])
    quantities = (Quantity("|y_1(t) - y_1(0)|", Moved(first), "zero"),)
    if s.tokens > 1:
        quantities = (Quantity("1 - y_1'y_2", OneLyapunov(first, 1), "falls"), *quantities)
    basin = "almost every start"
    if s.tokens > 2:
        basin += (
            " (the exceptions are more than y_j = -y_1: some starts of later tokens end there too)"
        )
    if float(s.hemisphere.margin) > 0:
        basin += "; from this one for certain, since its tokens share an open hemisphere"
    return Prediction(
        "consensus at y_1(0), asymptotically stable",
        limit=s.y0[0],
        basin=basin,
        rate=s.pace / 2 if s.tokens > 1 else None,
        quantities=quantities,
    )


def theorem_4_5(s: Setting, assume: tuple[str, ...]) -> Verdict:
    """Causal attention on the sphere, one head, U symmetric with a simple positive top eigenvalue."""
    hypotheses = [*equation_6(s), causal(s), sphere(s), one_head(s), bounded_scores(s)]
    constant, symmetric = constant_values(s), symmetric_values(s)
    hypotheses += [constant, symmetric]
    if symmetric.holds is False or constant.holds is False:
        return judge(f"Theorem 4.5 ({PAPER})", hypotheses, nothing, assume)
    eigen = top(s.U[0], s.unit(s.field.U))
    simple, positive = simple_top(eigen), positive_top(eigen)
    hypotheses += [simple, positive]
    v = eigen.vector
    if simple.holds is True:
        v = on_their_side(s, eigen)
        hypotheses.append(cap(s, eigen))

    def predict() -> Prediction:
        axis = jnp.asarray(v)
        slowest = eigen.second if eigen.second > 0 else eigen.second / s.tokens
        return Prediction(
            "consensus at v, the top eigenvector of U on the tokens' side, asymptotically stable",
            limit=v,
            v=v,
            basin="every start with v'y_i > 0 for all i",
            rate=s.pace * (eigen.value - slowest) if math.isfinite(slowest) else None,
            quantities=(
                Quantity("V_1 = 1 - v'y_1", OneLyapunov(axis, 0), "falls"),
                Quantity("least v'y", Height(axis), "above"),
            ),
        )

    return judge(f"Theorem 4.5 ({PAPER})", hypotheses, predict, assume)


def remark_4_7(s: Setting, assume: tuple[str, ...]) -> Verdict:
    """Theorem 4.5 with a slowly varying U(t): a ball around v(t)."""
    name = f"Remark 4.7 ({PAPER})"
    alone = one_head(s)
    hypotheses = [*equation_6(s), causal(s), sphere(s), alone, bounded_scores(s)]
    if alone.holds is False:
        return judge(name, hypotheses, nothing, assume)
    about, course = slow_values(s)
    hypotheses += about
    v, eigen = np.zeros(s.dim), None
    if course is not None:
        eigen = top(s.U[0], s.unit(s.field.U))
        if simple_top(eigen).holds is True:
            v = on_their_side(s, eigen)
            hypotheses.append(cap(s, eigen))

    def predict() -> Prediction:
        assert course is not None
        assert eigen is not None
        radius = course.radius
        start = 2 * math.asin(min(1.0, float(np.linalg.norm(s.y0[0] - v)) / 2))
        quantities = ()
        # Beyond pi/2 - radius the bound on the angle's growth says nothing. (U = None: S^0 alone.)
        if s.field.U is not None and start <= math.pi / 2 - radius:
            bound, observer = max(start, radius), AngleToTop(s.field.U)
            quantities = (Quantity("angle of y_1 to v(t)", observer, "below", bound=bound),)
        return Prediction(
            "tokens end in a ball around v(t), which grows with sup |v'|"
            f" = {course.speed:.3g}; the first token's has the angle {radius:.3g}",
            limit=v if radius == 0 else None,
            v=v,
            basin="starts with v(t0)'y_i > 0 for all i, as far as the remark's sketch goes",
            quantities=quantities,
        )

    return judge(name, hypotheses, predict, assume)
