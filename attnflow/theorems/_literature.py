"""Results of the literature on where tokens go, their hypotheses and predictions."""

import math

import jax.numpy as jnp
import numpy as np

from ..closed_forms import LARGEST, equiangular_gap
from ..model import NGPT, Exponential, Peri, Post, Pre, SquareRoot
from ..observables import Energy
from ._caps import Caps, caps
from ._hypotheses import (
    causal,
    equation_6,
    full,
    not_opposite,
    one_head,
    softmax_or_exp,
    sphere,
)
from ._hypothesis import Answer, Plain, condition
from ._paper import to_the_first
from ._parameters import (
    GAP,
    beta_of,
    constant_scores,
    constant_values,
    identity_values,
    multiple_scores,
    positive_top,
    simple_top,
    top,
)
from ._quantities import Gap, InCaps, Quantity, Spread
from ._setting import Setting
from ._values import sum_symmetric
from ._verdict import Prediction, Verdict, judge, nothing

_TAILS = {
    Pre: "1 - cosine falls as t^-2",
    Peri: "1 - cosine falls as t^-2",
    NGPT: "1 - cosine falls as exp(-2 int alpha)",
    SquareRoot: "1 - cosine falls as exp(-4 sqrt(t + 1))",
}


@condition("known tail", "a normalisation with a known tail")
def known_tail(s: Setting) -> Answer:
    """How fast the last of the way to consensus is gone is known of the normalisation."""
    kind = s.field.normalisation
    return isinstance(kind, Post | Pre | Peri | NGPT | SquareRoot), Plain(type(kind).__name__)


def equiangular(s: Setting, assume: tuple[str, ...]) -> Verdict:
    """Tokens with one cosine keep one, and it goes to 1."""
    beta, kind = beta_of(s), s.field.normalisation
    hypotheses = [
        softmax_or_exp(s),
        known_tail(s),
        *equation_6(s, kernel=False, normalisation=False),
        full(s),
        one_head(s),
        multiple_scores(s),
        identity_values(s),
        one_cosine(s),
    ]

    def predict() -> Prediction:
        mean = s.y0.sum(axis=0)
        limit = mean / math.sqrt(mean @ s.W @ mean)
        scale = float(s.field.scale)
        if not isinstance(kind, Post):
            tail = _TAILS[type(kind)]
            return Prediction(
                f"cosines stay equal and go to 1: consensus at the tokens' mean; {tail}",
                limit=limit,
                quantities=(Quantity("spread of the cosines", Spread(s.field.manifold), "zero"),),
            )
        start = float(s.cosines[0, 1])
        kernel = "exp" if isinstance(s.field.kernel, Exponential) else "softmax"

        def gap(ts):
            t = (np.asarray(ts) - s.t0) * scale
            return equiangular_gap(t, beta, s.tokens, start=start, kernel=kernel)

        quantities = [Quantity("spread of the cosines", Spread(s.field.manifold), "zero")]
        if abs(beta) <= LARGEST:
            together = Quantity("1 - cosine", Gap(s.field.manifold), "equals", expected=gap)
            quantities.insert(0, together)
        return Prediction(
            "cosines stay equal and go to 1: consensus at the tokens' mean direction",
            limit=limit,
            basin="starts with one cosine above -1/(tokens - 1)",
            rate=scale * (math.exp(min(beta, LARGEST)) if kernel == "exp" else 1.0),
            quantities=tuple(quantities),
        )

    return judge("Equiangular tokens (arXiv:2312.10794)", hypotheses, predict, assume)


@condition("one cosine", "tokens with one cosine")
def one_cosine(s: Setting) -> Answer:
    """All pairs of tokens have one cosine: neither a simplex's nor that of one point."""
    if s.tokens < 2:
        return False, "there is one token"
    g = s.cosines[np.triu_indices(s.tokens, 1)]
    spread, slack = float(np.ptp(g)), 64 * s.dim**0.5 * s.eps
    if spread > slack:
        return False, f"cosines go from {g.min():.4g} to {g.max():.4g}"
    edge = -1 / (s.tokens - 1)
    if g.min() <= edge + slack:
        return False, f"the cosine {g[0]:.6g} is that of a simplex, which rests"
    if g.max() >= 1 - slack:
        return False, "the tokens are at one point already"
    return True, f"every cosine is {g[0]:.6g}"


def synchronisation(s: Setting, assume: tuple[str, ...]) -> Verdict:
    """Full attention, U = I, P = beta I: almost every start, for beta in a range."""
    beta = beta_of(s)
    hypotheses = [
        softmax_or_exp(s),
        *equation_6(s, kernel=False),
        full(s),
        one_head(s),
        multiple_scores(s),
        identity_values(s),
        known_range(s),
    ]

    def predict() -> Prediction:
        exp = isinstance(s.field.kernel, Exponential)
        rate = s.pace * (math.exp(min(beta, LARGEST)) if exp else 1.0)
        return Prediction(
            "consensus; the interaction energy rises all the way",
            basin="almost every start (not: equilibria such as polygons, and what ends at them)",
            rate=rate if s.tokens > 1 else None,
            quantities=(Quantity("energy", Energy(s.field), "grows"),),
        )

    source = "arXiv:2405.18273 for d >= 3, arXiv:2507.22857 on the circle"
    return judge(f"Synchronisation ({source})", hypotheses, predict, assume)


@condition("beta in the known range")
def known_range(s: Setting) -> Answer:
    """Of the multiples of the identity, the ones for which synchronisation is proved."""
    beta = beta_of(s)
    if s.dim == 1:
        return False, "d = 1: two points, on which no token moves"
    if beta >= (GAP[1] if s.dim == 2 else 0.0) - 1e-12:
        return True, f"beta = {beta:.6g}, d = {s.dim}"
    if s.dim > 2:
        why = "for beta < 0 and d >= 3 it is not known, and false at beta = -8 for 6 tokens on S^2"
    elif beta < GAP[0]:
        why = "below -2/3 it is false: three tokens at 120 degrees are stable"
    else:
        why = "from -2/3 to -0.16 on the circle it is open"
    return False, f"beta = {beta:.6g} with d = {s.dim}: {why}"


def causal_identity(s: Setting, assume: tuple[str, ...]) -> Verdict:
    """Causal attention, one head, constant P, U = I: the older form of Theorem 4.2."""
    hypotheses = [
        *equation_6(s),
        causal(s),
        sphere(s),
        one_head(s),
        constant_scores(s),
        identity_values(s),
        not_opposite(s),
    ]
    name = "Causal attention, U = I (arXiv:2411.04990, Theorem 4.1)"
    return judge(name, hypotheses, lambda: to_the_first(s), assume)


def local(s: Setting, assume: tuple[str, ...]) -> Verdict:
    """Consensus at the top eigenvector of sum U attracts its neighbourhood, for any heads and P."""
    name = "Local stability of consensus (linearisation)"
    causal_, full_ = causal(s), full(s)
    is_causal = causal_.holds is True and s.tokens > 1
    pattern = causal_ if is_causal else full_
    hypotheses = [*equation_6(s), pattern, sphere(s), constant_values(s), sum_symmetric(s)]
    if any(h.holds is False for h in hypotheses):
        return judge(name, hypotheses, nothing, assume)
    eigen = top(s.U_sum, s.unit(s.field.U))
    hypotheses += [simple_top(eigen), positive_top(eigen)]

    def predict() -> Prediction:
        L, m = eigen.value, eigen.second
        slowest = max(m, m / s.tokens) if is_causal else (max(m, 0.0) if s.tokens > 1 else m)
        v = eigen.vector * (1.0 if (s.y0 @ eigen.vector).sum() >= 0 else -1.0)
        return Prediction(
            "consensus at v (or -v), the top eigenvector of sum U, attracts starts near it",
            limit=v,
            basin="a neighbourhood of unknown size",
            rate=float(s.field.scale) * (L - slowest) if math.isfinite(slowest) else None,
        )

    return judge(name, hypotheses, predict, assume)


def metastable(s: Setting, assume: tuple[str, ...]) -> Verdict:
    """Tokens in separate caps stay in them for a time that is exponential in beta."""
    beta = beta_of(s)
    separate = caps(s, beta)
    hypotheses = [
        *equation_6(s),
        full(s),
        one_head(s),
        multiple_scores(s),
        identity_values(s),
        separate_caps(separate, beta),
    ]

    def predict() -> Prediction:
        assert separate is not None
        until = s.t0 + separate.time / float(s.field.scale)
        w, labels = jnp.asarray(separate.centres), jnp.asarray(separate.labels)
        in_caps = Quantity(
            "least cosine with the cap's centre",
            InCaps(w, labels, s.field.manifold),
            "above",
            bound=1 - 2 * separate.eps,
            until=until,
        )
        return Prediction(
            f"tokens stay in {len(separate.centres)} caps until t = {until:.4g} at least",
            basin="starts in these caps",
            quantities=(in_caps,),
        )

    return judge("Metastable caps (arXiv:2410.06833)", hypotheses, predict, assume)


@condition("separate caps", "tokens in separate caps")
def separate_caps(separate: Caps | None, beta: float) -> Answer:
    """Caps hold the tokens, and are far enough apart."""
    if separate is None:
        return False, f"no caps of these tokens are far enough apart for beta = {beta:.4g}"
    return (
        True,
        f"{len(separate.centres)} caps, eps = {separate.eps:.3g}, slack {separate.slack:.3g}",
    )
