"""The paper's theorems as claims: as stated, as printed, on ellipsoids, and with P that jumps."""

from ..theory import conditions as given, exceptional_start
from . import _builders as builders
from ._claim import Claim
from ._conclusions import Falls, ToConsensus, ToTheFirst, ToTheTop
from ._domains import domain, top_cap_domain
from ._sampling import JUMPING, MOVING, jumping_scores, moving_scores, sampler
from ._statements import statement_of

SQUARE = (-1, -1)


def _third(field, y0):
    return exceptional_start(field, y0[:2])


THEOREMS = (
    Claim(
        **statement_of("3.2"),
        draw=sampler(2, W=SQUARE, **MOVING),
        build=builders.identity(cap=True, P=moving_scores),
        domain=domain(
            given.full,
            given.identity_values,
            given.bounded_scores,
            given.continuous_scores,
            given.hemisphere,
        ),
        conclusion=ToConsensus(),
        almost=False,
    ),
    Claim(
        **statement_of("3.2, V falls"),
        draw=sampler(2),
        build=builders.identity(cap=True),
        domain=domain(
            given.full, given.sphere, given.identity_values, given.bounded_scores, given.first_axis
        ),
        conclusion=Falls(),
        almost=False,
    ),
    Claim(
        **statement_of("3.2 with jumps"),
        draw=sampler(1, **JUMPING),
        build=builders.identity(cap=True, P=jumping_scores),
        domain=domain(given.full, given.identity_values, given.bounded_scores, given.hemisphere),
        conclusion=ToConsensus(),
        almost=False,
    ),
    Claim(
        **statement_of("4.2"),
        draw=sampler(2, **MOVING),
        build=builders.identity("causal", P=moving_scores),
        domain=domain(
            given.causal,
            given.sphere,
            given.identity_values,
            given.bounded_scores,
            given.not_opposite,
        ),
        conclusion=ToTheFirst(),
    ),
    Claim(
        **statement_of("4.2 as printed"),
        draw=sampler(1),
        build=builders.identity("causal"),
        domain=domain(
            given.causal,
            given.sphere,
            given.identity_values,
            given.bounded_scores,
            given.not_opposite,
        ),
        conclusion=ToTheFirst(),
        sizes=((3, 2),),
        almost=False,
        shoot=_third,
    ),
    Claim(
        **statement_of("4.2 on ellipsoids"),
        draw=sampler(2, W=SQUARE),
        build=builders.identity("causal"),
        domain=domain(
            given.causal, given.identity_values, given.bounded_scores, given.not_opposite
        ),
        conclusion=ToTheFirst(),
    ),
    Claim(
        **statement_of("4.5"),
        draw=sampler(1, 1, **MOVING),
        build=builders.symmetric("causal", cap=True, P=moving_scores),
        domain=top_cap_domain(
            given.causal, given.sphere, given.one_head, given.bounded_scores, given.constant_values
        ),
        conclusion=ToTheTop(),
        almost=False,
    ),
    Claim(
        **statement_of("4.5 on ellipsoids"),
        draw=sampler(1, 1, W=SQUARE),
        build=builders.symmetric("causal", cap=True),
        domain=top_cap_domain(
            given.causal, given.one_head, given.bounded_scores, given.constant_values
        ),
        conclusion=ToTheTop(),
    ),
    Claim(
        **statement_of("4.5, V falls"),
        draw=sampler(1, 1),
        build=builders.symmetric("causal", cap=True),
        domain=top_cap_domain(
            given.causal, given.sphere, given.one_head, given.constant_scores, given.constant_values
        ),
        conclusion=Falls(top=True),
    ),
)
