"""A claim's hypotheses and conclusion as facts that the checker knows."""

from typing import Any

import numpy as np

from ..geometry import hemisphere_margin
from ..model import AttentionField
from ..search import AroundTop, Claim, Polarisation, ToConsensus, ToTheFirst, ToTheTop
from ._attractor import Refuted, Undecided
from ._plain import decimal

# What holds for every field that a certificate is about.
_ALWAYS = (
    "post-normalisation", "equal masses", "tokens that move", "no drift", "positive scale", "P bounded",
    "P uniformly continuous", "P constant", "U constant",
)  # fmt: skip
_FACTS = {
    "softmax": "softmax",
    "the sphere, W = I": "sphere",
    "one head": "one head",
    "full attention": "full",
    "causal attention": "causal",
    "U = I": "U = I",
    "U symmetric": "U symmetric",
    "every U symmetric": "U symmetric",
    "every U positive semidefinite": "U positive semidefinite",
    "one U for all heads": "one U",
    "sum of U = 0": "sum of U zero",
    "no token at -y_1": "no token at -y_1",
    "P symmetric": "P symmetric",
    "P + P' positive definite": "P + P' positive",
    "two heads": "two heads",
    "exponential": "exponential",
    "circle": "circle",
    "-2/3 <= beta < -0.16": "beta in the gap",
}
# The same, of the top eigenvalue lambda of the sum of U, which is simple, and its vector v.
_OF_THE_TOP = {
    "top eigenvalue simple": "U symmetric",
    "v an eigenvector of every U": "v of every U",
    "lambda > 0": "lambda > 0",
    "lambda < 0": "lambda < 0",
    "the eigenvalue of largest real part real, simple, positive": "lambda > 0",
    "v'y_i > 0 for all i, or < 0 for all": "v'y of one sign",
}
_HEMISPHERE = "tokens in an open hemisphere"


def facts(claim: Claim, field: AttentionField, y: Any) -> dict[str, Any]:
    """What a certificate has to show: the hypotheses that claim makes on y, and that its conclusion fails.

    **Raises:**

    - `Refuted`: a hypothesis does not hold.
    - `Undecided`: the checker does not know one, or the conclusion.
    """
    hypotheses = claim.domain(field, y)
    for h in hypotheses:
        if h.holds is False:
            raise Refuted(f"outside the domain of the claim: {h}")
    names = [h.name for h in hypotheses if h.name not in _ALWAYS]
    unknown = [n for n in names if n not in _FACTS and n not in _OF_THE_TOP and n != _HEMISPHERE]
    if unknown:
        raise Undecided(f"no exact check is known of the hypothesis {unknown[0]!r}")
    wanted = [_FACTS.get(n) or _OF_THE_TOP.get(n, "v'y of one sign") for n in names]
    fact, about_top = _conclusion(claim)
    top = about_top or any(n in _OF_THE_TOP for n in names)
    v = np.zeros(field.dim)
    if _HEMISPHERE in names:
        if top:
            raise Undecided(
                "a hemisphere of its own, and one of the top eigenvector of U, are not both checked"
            )
        v = np.round(np.asarray(hemisphere_margin(y)[1], float), 4)
    return {
        "facts": [*dict.fromkeys(wanted), fact],
        "top": bool(top),
        "v": [decimal(x) for x in v],
    }


def _conclusion(claim: Claim) -> tuple[str, bool]:
    """The fact that breaks it, and whether it is about the top eigenvector."""
    match claim.conclusion:
        case ToConsensus() | ToTheFirst():
            return "not consensus", False
        case ToTheTop():
            return "not v", True
        case Polarisation():
            return "not a line", False
        case AroundTop(dimension=1):
            return "not around v", True
    raise Undecided(f"no certificate is known against the conclusion: {claim.conclusion.says}")
