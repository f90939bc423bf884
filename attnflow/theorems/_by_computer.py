"""Synchronisation on the circle where a certificate has it, for so many tokens."""

import math

from ..closed_forms import LARGEST
from ..model import Exponential
from ..observables import Energy
from ._hypotheses import circle, equation_6, full, one_head, softmax_or_exp
from ._hypothesis import Answer, condition
from ._parameters import beta_of, identity_values, multiple_scores
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
    beta = beta_of(s)
    name, _ = CERTIFICATES.get(s.tokens, ("", math.inf))
    hypotheses = [
        softmax_or_exp(s),
        *equation_6(s, kernel=False),
        circle(s),
        full(s),
        one_head(s),
        multiple_scores(s),
        identity_values(s),
        in_a_certificate(s, beta),
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


@condition("beta in a certificate's range")
def in_a_certificate(s: Setting, beta: float) -> Answer:
    """Between the lower end of the certificate for so many tokens and -0.16."""
    if s.tokens not in CERTIFICATES:
        return False, f"there is no certificate for {s.tokens} tokens"
    lowest = CERTIFICATES[s.tokens][1]
    inside = lowest < beta <= HIGHEST + 1e-12
    return inside, f"beta = {beta:.6g} is {'' if inside else 'not '}in ({lowest:.6g}, {HIGHEST}]"
