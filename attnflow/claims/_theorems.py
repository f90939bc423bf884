"""The paper's theorems as claims: as stated, as printed, on ellipsoids, and with P that jumps."""

from ..theory import conditions as given, exceptional_start
from . import _builders as builders
from ._claim import Claim
from ._conclusions import Falls, ToConsensus, ToTheFirst, ToTheTop
from ._draws import JUMPING, MOVING, draws, jumping_scores, moving_scores
from ._inside import inside, inside_top_cap
from ._statements import stated

SQUARE = (-1, -1)


def _third(field, y0):
    return exceptional_start(field, y0[:2])


THEOREMS = (
    Claim(
        **stated("3.2"),
        draw=draws(2, W=SQUARE, **MOVING),
        build=builders.identity(cap=True, P=moving_scores),
        domain=inside(
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
        **stated("3.2, V falls"),
        draw=draws(2),
        build=builders.identity(cap=True),
        domain=inside(
            given.full, given.sphere, given.identity_values, given.bounded_scores, given.first_axis
        ),
        conclusion=Falls(),
        almost=False,
    ),
    Claim(
        **stated("3.2 with jumps"),
        draw=draws(1, **JUMPING),
        build=builders.identity(cap=True, P=jumping_scores),
        domain=inside(given.full, given.identity_values, given.bounded_scores, given.hemisphere),
        conclusion=ToConsensus(),
        almost=False,
    ),
    Claim(
        **stated("4.2"),
        draw=draws(2, **MOVING),
        build=builders.identity("causal", P=moving_scores),
        domain=inside(
            given.causal,
            given.sphere,
            given.identity_values,
            given.bounded_scores,
            given.not_opposite,
        ),
        conclusion=ToTheFirst(),
    ),
    Claim(
        **stated("4.2 as printed"),
        draw=draws(1),
        build=builders.identity("causal"),
        domain=inside(
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
        **stated("4.2 on ellipsoids"),
        draw=draws(2, W=SQUARE),
        build=builders.identity("causal"),
        domain=inside(
            given.causal, given.identity_values, given.bounded_scores, given.not_opposite
        ),
        conclusion=ToTheFirst(),
    ),
    Claim(
        **stated("4.5"),
        draw=draws(1, 1, **MOVING),
        build=builders.symmetric("causal", cap=True, P=moving_scores),
        domain=inside_top_cap(
            given.causal, given.sphere, given.one_head, given.bounded_scores, given.constant_values
        ),
        conclusion=ToTheTop(),
        almost=False,
    ),
    Claim(
        **stated("4.5 on ellipsoids"),
        draw=draws(1, 1, W=SQUARE),
        build=builders.symmetric("causal", cap=True),
        domain=inside_top_cap(
            given.causal, given.one_head, given.bounded_scores, given.constant_values
        ),
        conclusion=ToTheTop(),
    ),
    Claim(
        **stated("4.5, V falls"),
        draw=draws(1, 1),
        build=builders.symmetric("causal", cap=True),
        domain=inside_top_cap(
            given.causal, given.sphere, given.one_head, given.constant_scores, given.constant_values
        ),
        conclusion=Falls(top=True),
    ),
)
