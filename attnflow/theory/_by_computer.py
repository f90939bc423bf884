"""Synchronisation on the circle where a certificate has it, for so many tokens."""

import math

from ..model import Exponential, Softmax
from ..observables import Energy
from ._equiangular import LARGEST
from ._hypotheses import equation_6, full, one_head
from ._hypothesis import Hypothesis
from ._parameters import identity_values, scores_beta
from ._quantities import Quantity
from ._setting import Setting
from ._verdict import Prediction, Verdict, judge

HIGHEST = -0.16  # from here on arXiv:2507.22857 has it for any number of tokens
# By tokens: the certificate in benchmarks/results/certificates/covers, and beta's lower end there.
CERTIFICATES = {
    3: ("gap-3", -2 / 3),
    4: ("lowest-4", -2.2124),
    5: ("lowest-5", -1.4428),
    6: ("gap-6", -2 / 3),
    7: ("gap-7", -2 / 3),
}


def by_computer(s: Setting, assume: tuple[str, ...]) -> Verdict:
    """Full attention, U = I, P = beta I on the circle, beta between a certificate's end and -0.16."""
    scores, beta = scores_beta(s)
    good = isinstance(s.field.kernel, Softmax | Exponential)
    name, lowest = CERTIFICATES.get(s.tokens, ("", math.inf))
    hypotheses = [
        Hypothesis("softmax or exp", good, type(s.field.kernel).__name__),
        *equation_6(s, kernel=False),
        Hypothesis("the circle, d = 2", s.dim == 2, f"d = {s.dim}"),
        full(s),
        one_head(s),
        scores,
        identity_values(s),
        _range(s.tokens, name, beta, lowest),
    ]

    def predict() -> Prediction:
        exp = isinstance(s.field.kernel, Exponential)
        return Prediction(
            "consensus; the interaction energy rises all the way",
            basin="almost every start (not: equilibria such as polygons, and what ends at them)",
            rate=s.pace * (math.exp(min(beta, LARGEST)) if exp else 1.0),
            quantities=(Quantity("energy", Energy(s.field), "grows"),),
        )

    which = f"l = {s.tokens}, certificate {name}" if name else "certificates for 3 to 7 tokens"
    return judge(
        f"Synchronisation on the circle, by computer ({which})", hypotheses, predict, assume
    )


def _range(tokens: int, name: str, beta: float, lowest: float) -> Hypothesis:
    words = "beta in a certificate's range"
    if not name:
        return Hypothesis(words, False, f"there is no certificate for {tokens} tokens")
    inside = lowest < beta <= HIGHEST + 1e-12
    says = f"beta = {beta:.6g} is {'' if inside else 'not '}in ({lowest:.6g}, {HIGHEST}]"
    return Hypothesis(words, inside, says)
