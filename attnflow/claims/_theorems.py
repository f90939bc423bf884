"""The paper's theorems as claims: as stated, as printed, on ellipsoids, and with P that jumps."""

from typing import TYPE_CHECKING

from ._statement import PAPER, Statement, by_name

if TYPE_CHECKING:
    from ._claim import Claim

STATEMENTS: tuple[Statement, ...] = (
    Statement(
        name="3.2",
        statement="Full attention with U = I and bounded, uniformly continuous P(t) takes tokens "
        "that share an open hemisphere to consensus.",
        source=f"Theorem 3.2, {PAPER}",
    ),
    Statement(
        name="3.2, V falls",
        statement="Full attention with U = I: V(y) = max_i (1 - v'y_i) never grows while v'y_i > 0.",
        source=f"Theorem 3.2, {PAPER}",
    ),
    Statement(
        name="3.2 with jumps",
        statement="Full attention with U = I and bounded P(t) that jumps takes tokens that share an "
        "open hemisphere to consensus.",
        source=f"Theorem 3.2, {PAPER}, without uniform continuity: a few jumps",
    ),
    Statement(
        name="4.2",
        statement="Causal attention on the sphere with U = I and bounded P(t) takes almost every "
        "start to its first token.",
        source=f"Theorem 4.2, {PAPER}, Table 1",
    ),
    Statement(
        name="4.2 as printed",
        statement="Causal attention on the sphere with U = I and bounded P takes every start with "
        "y_j not -y_1 to its first token.",
        source=f"Theorem 4.2, {PAPER}, its printed domain",
    ),
    Statement(
        name="4.2 on ellipsoids",
        statement="Causal attention on an ellipsoid with U = I and bounded P takes almost every start "
        "to its first token.",
        source=f"Theorem 4.2, {PAPER}, W not I",
    ),
    Statement(
        name="4.5",
        statement="Causal attention on the sphere, one head, bounded P(t), U symmetric with a simple "
        "positive top eigenvalue and eigenvector v, takes tokens with v'y_i > 0 to v.",
        source=f"Theorem 4.5, {PAPER}",
    ),
    Statement(
        name="4.5 on ellipsoids",
        statement="Causal attention on an ellipsoid, one head, U symmetric with a simple positive top "
        "eigenvalue and eigenvector v, takes tokens with v'y_i > 0 to the direction of v.",
        source=f"Theorem 4.5, {PAPER}, W not I",
    ),
    Statement(
        name="4.5, V falls",
        statement="Causal attention on the sphere, one head, U symmetric with a simple positive top "
        "eigenvalue and eigenvector v: V(y) = max_i (1 - v'y_i) never grows while v'y_i > 0.",
        source=f"Theorem 4.5, {PAPER}, with the V of Theorem 3.2",
    ),
)


def theorems() -> "tuple[Claim, ...]":
    """The claims: what is imported here needs JAX, which their words do not."""
    from ..theory import conditions as given, exceptional_start
    from . import _builders as builders
    from ._claim import Claim
    from ._conclusions import Falls, ToConsensus, ToTheFirst, ToTheTop
    from ._domains import domain, top_cap_domain
    from ._sampling import JUMPING, MOVING, SQUARE, jumping_scores, moving_scores, sampler

    words = by_name(STATEMENTS)

    def third(field, y0):
        return exceptional_start(field, y0[:2])

    return (
        Claim(
            **words["3.2"],
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
            **words["3.2, V falls"],
            draw=sampler(2),
            build=builders.identity(cap=True),
            domain=domain(
                given.full,
                given.sphere,
                given.identity_values,
                given.bounded_scores,
                given.first_axis,
            ),
            conclusion=Falls(),
            almost=False,
        ),
        Claim(
            **words["3.2 with jumps"],
            draw=sampler(1, **JUMPING),
            build=builders.identity(cap=True, P=jumping_scores),
            domain=domain(
                given.full, given.identity_values, given.bounded_scores, given.hemisphere
            ),
            conclusion=ToConsensus(),
            almost=False,
        ),
        Claim(
            **words["4.2"],
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
            **words["4.2 as printed"],
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
            shoot=third,
        ),
        Claim(
            **words["4.2 on ellipsoids"],
            draw=sampler(2, W=SQUARE),
            build=builders.identity("causal"),
            domain=domain(
                given.causal, given.identity_values, given.bounded_scores, given.not_opposite
            ),
            conclusion=ToTheFirst(),
        ),
        Claim(
            **words["4.5"],
            draw=sampler(1, 1, **MOVING),
            build=builders.symmetric("causal", cap=True, P=moving_scores),
            domain=top_cap_domain(
                given.causal,
                given.sphere,
                given.one_head,
                given.bounded_scores,
                given.constant_values,
            ),
            conclusion=ToTheTop(),
            almost=False,
        ),
        Claim(
            **words["4.5 on ellipsoids"],
            draw=sampler(1, 1, W=SQUARE),
            build=builders.symmetric("causal", cap=True),
            domain=top_cap_domain(
                given.causal, given.one_head, given.bounded_scores, given.constant_values
            ),
            conclusion=ToTheTop(),
        ),
        Claim(
            **words["4.5, V falls"],
            draw=sampler(1, 1),
            build=builders.symmetric("causal", cap=True),
            domain=top_cap_domain(
                given.causal,
                given.sphere,
                given.one_head,
                given.constant_scores,
                given.constant_values,
            ),
            conclusion=Falls(top=True),
        ),
    )
