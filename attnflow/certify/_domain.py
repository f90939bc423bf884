"""A claim's hypotheses and conclusion as facts that the checker decides: each says by which."""

from typing import Any

import numpy as np

from ..geometry import hemisphere_margin
from ..model import AttentionField
from ..search import Claim
from ._attractor import NotDecided, Refuted
from ._plain import decimal


def facts(claim: Claim, field: AttentionField, y: Any) -> dict[str, Any]:
    """What a certificate has to show, by the checker's ids: a claim's hypotheses on y, and that its conclusion fails.

    Hypotheses know how they are shown, and a conclusion how it is broken: [`Exact`][attnflow.theory.Exact].

    **Raises:**

    - `Refuted`: a hypothesis does not hold.
    - `NotDecided`: the checker does not know one, or the conclusion.
    """
    hypotheses = claim.domain(field, y)
    for h in hypotheses:
        if h.holds is False:
            raise Refuted(f"outside the domain of the claim: {h}")
    unknown = [h for h in hypotheses if h.exact is None]
    if unknown:
        raise NotDecided(f"no exact check is known of the hypothesis {unknown[0].name!r}")
    exact = [h.exact for h in hypotheses if h.exact is not None and h.exact.fact is not None]
    wanted = list(dict.fromkeys(e.fact for e in exact))
    broken = claim.conclusion.broken_by
    if broken is None or broken.fact is None:
        raise NotDecided(f"no certificate is known against the conclusion: {claim.conclusion.says}")
    top = any(e.top for e in (*exact, broken))
    v = np.zeros(field.dim)
    if "hemisphere" in wanted:
        if top:
            raise NotDecided(
                "a hemisphere of its own, and one of the top eigenvector of U, are not both checked"
            )
        v = np.round(np.asarray(hemisphere_margin(y)[1], float), 4)
    return {"facts": [*wanted, broken.fact], "top": top, "v": [decimal(x) for x in v]}
