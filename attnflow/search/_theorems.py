"""The paper's theorems as claims: as stated, as printed, on ellipsoids, and with P that jumps."""

from ..theory import exceptional_start
from ..theory._hypotheses import causal, full, hemisphere, not_opposite, one_head, sphere
from ..theory._parameters import (
    bounded_scores,
    constant_scores,
    constant_values,
    continuous_scores,
    identity_values,
)
from . import _builders as builders
from ._claim import Claim
from ._conclusions import Consensus, Falls, ToTheFirst, ToTheTop
from ._draws import JUMPING, MOVING, draws, jumping_scores, moving_scores
from ._inside import first_axis, inside, inside_top_cap

PAPER = "arXiv:2412.02682"
SQUARE = (-1, -1)


def _third(field, y0):
    return exceptional_start(field, y0[:2])


THEOREMS = (
    Claim(
        name="3.2",
        statement="Full attention with U = I and bounded, uniformly continuous P(t) takes tokens "
        "that share an open hemisphere to consensus.",
        source=f"Theorem 3.2, {PAPER}",
        draw=draws(2, W=SQUARE, **MOVING),
        build=builders.identity(cap=True, P=moving_scores),
        domain=inside(full, identity_values, bounded_scores, continuous_scores, hemisphere),
        conclusion=Consensus(),
        almost=False,
    ),
    Claim(
        name="3.2, V falls",
        statement="Full attention with U = I: V(y) = max_i (1 - v'y_i) never grows while v'y_i > 0.",
        source=f"Theorem 3.2, {PAPER}",
        draw=draws(2),
        build=builders.identity(cap=True),
        domain=inside(full, sphere, identity_values, bounded_scores, first_axis),
        conclusion=Falls(),
        almost=False,
    ),
    Claim(
        name="3.2 with jumps",
        statement="Full attention with U = I and bounded P(t) that jumps takes tokens that share an "
        "open hemisphere to consensus.",
        source=f"Theorem 3.2, {PAPER}, without uniform continuity: a few jumps",
        draw=draws(1, **JUMPING),
        build=builders.identity(cap=True, P=jumping_scores),
        domain=inside(full, identity_values, bounded_scores, hemisphere),
        conclusion=Consensus(),
        almost=False,
    ),
    Claim(
        name="4.2",
        statement="Causal attention on the sphere with U = I and bounded P(t) takes almost every "
        "start to its first token.",
        source=f"Theorem 4.2, {PAPER}, Table 1",
        draw=draws(2, **MOVING),
        build=builders.identity("causal", P=moving_scores),
        domain=inside(causal, sphere, identity_values, bounded_scores, not_opposite),
        conclusion=ToTheFirst(),
    ),
    Claim(
        name="4.2 as printed",
        statement="Causal attention on the sphere with U = I and bounded P takes every start with "
        "y_j not -y_1 to its first token.",
        source=f"Theorem 4.2, {PAPER}, its printed domain",
        draw=draws(1),
        build=builders.identity("causal"),
        domain=inside(causal, sphere, identity_values, bounded_scores, not_opposite),
        conclusion=ToTheFirst(),
        sizes=((3, 2),),
        almost=False,
        shoot=_third,
    ),
    Claim(
        name="4.2 on ellipsoids",
        statement="Causal attention on an ellipsoid with U = I and bounded P takes almost every start "
        "to its first token.",
        source=f"Theorem 4.2, {PAPER}, W not I",
        draw=draws(2, W=SQUARE),
        build=builders.identity("causal"),
        domain=inside(causal, identity_values, bounded_scores, not_opposite),
        conclusion=ToTheFirst(),
    ),
    Claim(
        name="4.5",
        statement="Causal attention on the sphere, one head, bounded P(t), U symmetric with a simple "
        "positive top eigenvalue and eigenvector v, takes tokens with v'y_i > 0 to v.",
        source=f"Theorem 4.5, {PAPER}",
        draw=draws(1, 1, **MOVING),
        build=builders.symmetric("causal", cap=True, P=moving_scores),
        domain=inside_top_cap(causal, sphere, one_head, bounded_scores, constant_values),
        conclusion=ToTheTop(),
        almost=False,
    ),
    Claim(
        name="4.5 on ellipsoids",
        statement="Causal attention on an ellipsoid, one head, U symmetric with a simple positive top "
        "eigenvalue and eigenvector v, takes tokens with v'y_i > 0 to the direction of v.",
        source=f"Theorem 4.5, {PAPER}, W not I",
        draw=draws(1, 1, W=SQUARE),
        build=builders.symmetric("causal", cap=True),
        domain=inside_top_cap(causal, one_head, bounded_scores, constant_values),
        conclusion=ToTheTop(),
    ),
    Claim(
        name="4.5, V falls",
        statement="Causal attention on the sphere, one head, U symmetric with a simple positive top "
        "eigenvalue and eigenvector v: V(y) = max_i (1 - v'y_i) never grows while v'y_i > 0.",
        source=f"Theorem 4.5, {PAPER}, with the V of Theorem 3.2",
        draw=draws(1, 1),
        build=builders.symmetric("causal", cap=True),
        domain=inside_top_cap(causal, sphere, one_head, constant_scores, constant_values),
        conclusion=Falls(top=True),
    ),
)
