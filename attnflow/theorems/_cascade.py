r"""Theorem 4.5 for several heads with one common top eigenvector, causal attention, token after token.

**Theorem.** Eq. (6) on the sphere, causal attention, softmax rows of sum $s > 0$ (masses allowed), $P_\eta(t)$
bounded; every $U_\eta$ symmetric with the same simple top eigenvector $v$, $U_\eta v = \lambda_\eta v$,
$\lambda_\eta > 0$; other eigenvalues at most $\kappa_\eta < \lambda_\eta$, as negative as they like. From
every start with $v^\top y_i > 0$ for all $i$ all tokens converge to $v$.

**Proof.** Let $c = v^\top y_k$, $a_\eta$ the weight of token $k$ on itself, and suppose that $y_j = v + e_j$,
$e_j \to 0$, for $j < k$ (nothing for $k = 1$, where $a_\eta = s$). Since
$y^\top U_\eta y \leq \lambda_\eta c^2 + \kappa_\eta(1 - c^2)$,

$$ \dot c = \sum_\eta \Big[(s - a_\eta)\lambda_\eta (1 - c^2) + a_\eta c\,(\lambda_\eta - y_k^\top U_\eta
y_k)\Big] + o(1) \geq (1 - c^2) \sum_\eta \big[(s - a_\eta)\lambda_\eta + a_\eta c\,(\lambda_\eta -
\kappa_\eta)\big] + o(1). $$

The cap is invariant: where $c = 0$ and $c_j > 0$ for $j < k$,
$\dot c = \sum_\eta\sum_{j<k} a^\eta_{kj}\lambda_\eta c_j \geq 0$, and positive for $k > 1$; for $k = 1$ there
is no $o(1)$ and $\dot c \geq 0$ while $c > 0$. For $k > 1$ the weights $s - a_\eta$ on earlier tokens are
bounded below, $P$ being bounded, so that the first sum keeps $c$ away from zero in the end. Then
$\dot c \geq \delta(1 - c^2) + o(1)$ for some $\delta > 0$, so that $c \to 1$. Induction over $k$. ∎
"""

import jax.numpy as jnp
import numpy as np

from ._hypotheses import (
    cap,
    causal,
    moving,
    no_drift,
    on_their_side,
    positive_scale,
    post,
    softmax,
    sphere,
)
from ._hypothesis import Answer, condition
from ._parameters import (
    Top,
    bounded_scores,
    constant_values,
    positive_top,
    simple_top,
    symmetric_values,
    top,
)
from ._quantities import Height, OneLyapunov, Quantity
from ._setting import Setting
from ._verdict import Prediction, Verdict, judge, nothing

_NAME = "Several heads with one top eigenvector, causal (Theorem 4.5, token after token)"


def cascade(s: Setting, assume: tuple[str, ...]) -> Verdict:
    """Causal attention, any number of heads, each U symmetric with the same simple top eigenvector."""
    hypotheses = [
        softmax(s),
        post(s),
        moving(s),
        no_drift(s),
        positive_scale(s),
        causal(s),
        sphere(s),
        bounded_scores(s),
        constant_values(s),
        symmetric_values(s),
    ]
    if any(h.holds is False for h in hypotheses):
        return judge(_NAME, hypotheses, nothing, assume)
    each = [top(U, s.unit(s.field.U)) for U in s.U]
    weakest = min(each, key=lambda one: one.gap)
    lowest = min(each, key=lambda one: one.value)
    whole = top(s.U_sum, s.unit(s.field.U))
    hypotheses += [simple_top(weakest), positive_top(lowest)]
    v = whole.vector
    if simple_top(weakest).holds is True:
        hypotheses += [one_vector(s, each), cap(s, whole)]
        v = on_their_side(s, whole)

    def predict() -> Prediction:
        axis, m = jnp.asarray(v), whole.second
        slowest = max(m, m / s.tokens)
        rate = float(s.field.scale) * (whole.value - slowest) if np.isfinite(m) else None
        return Prediction(
            "consensus at v, the top eigenvector of every U on the tokens' side",
            limit=v,
            v=v,
            basin="every start with v'y_i > 0 for all i",
            rate=rate,
            quantities=(
                Quantity("V_1 = 1 - v'y_1", OneLyapunov(axis, 0), "falls"),
                Quantity("least v'y", Height(axis), "above"),
            ),
        )

    return judge(_NAME, hypotheses, predict, assume)


@condition("one top eigenvector")
def one_vector(s: Setting, each: list[Top]) -> Answer:
    """Every head's top eigenvector is the same."""
    first = each[0].vector
    off = max(float(np.linalg.norm(e.vector - (e.vector @ first) * first)) for e in each)
    slack = 32 * s.dim**0.5 * max(s.eps, *(e.slack / e.gap for e in each))
    return (
        off <= slack,
        "of every head the same" if off <= slack else f"heads differ in it, by {off:.3g}",
    )
