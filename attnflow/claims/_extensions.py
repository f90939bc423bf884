"""Theorems with one hypothesis dropped or changed, and conjectures of the literature, as claims."""

from ..theory import conditions as given
from . import _builders as builders
from ._claim import Claim
from ._conclusions import AroundTop, Polarisation, ToConsensus, ToTheTop
from ._draws import draws
from ._inside import inside, inside_top_cap
from ._statements import stated
from ._theorems import SQUARE

_CAUSAL = (
    given.causal, given.sphere, given.one_head, given.constant_scores, given.constant_values,
)  # fmt: skip
_TWO_HEADS = (given.causal, given.sphere, given.two_heads)
_STEADY = (given.bounded_scores, given.constant_values)
_SYMMETRIC = (given.each_symmetric, given.sum_simple, given.sum_positive)

NO_HEMISPHERE = (
    Claim(
        **stated("no hemisphere"),
        draw=draws(1),
        build=builders.identity(),
        domain=inside(
            given.full,
            given.sphere,
            given.identity_values,
            given.bounded_scores,
            given.constant_scores,
        ),
        conclusion=ToConsensus(),
    ),
    Claim(
        **stated("no hemisphere, positive P"),
        draw=draws(1, skew=(1, *SQUARE)),
        build=builders.identity(P=builders.positive_definite_scores),
        domain=inside(
            given.full,
            given.sphere,
            given.identity_values,
            given.constant_scores,
            given.positive_scores,
        ),
        conclusion=ToConsensus(),
    ),
    Claim(
        **stated("no hemisphere, symmetric positive P"),
        draw=draws(1),
        build=builders.identity(P=builders.symmetric_positive_scores),
        domain=inside(
            given.full,
            given.sphere,
            given.identity_values,
            given.constant_scores,
            given.positive_scores,
            given.symmetric_scores,
        ),
        conclusion=ToConsensus(),
    ),
    Claim(
        **stated("symmetric U, full, no hemisphere"),
        draw=draws(1, 1),
        build=builders.symmetric(),
        domain=inside(given.full, given.sphere, given.one_head, *_STEADY, *_SYMMETRIC),
        conclusion=ToConsensus(),
    ),
    Claim(
        **stated("symmetric U, causal, no hemisphere"),
        draw=draws(1, 1),
        build=builders.symmetric("causal"),
        domain=inside(given.causal, given.sphere, given.one_head, *_STEADY, *_SYMMETRIC),
        conclusion=ToConsensus(),
    ),
)

VALUES = (
    Claim(
        **stated("symmetric U, full"),
        draw=draws(1, 1),
        build=builders.symmetric(cap=True),
        domain=inside_top_cap(given.full, given.sphere, given.one_head, *_STEADY),
        conclusion=ToTheTop(),
    ),
    Claim(
        **stated("several heads, one U"),
        draw=draws(2, 1),
        build=builders.symmetric("causal", cap=True),
        domain=inside_top_cap(*_TWO_HEADS, given.same_values, *_STEADY),
        conclusion=ToTheTop(),
    ),
    Claim(
        **stated("several heads, own U"),
        draw=draws(2, 2),
        build=builders.symmetric("causal", cap=True),
        domain=inside_top_cap(*_TWO_HEADS, *_STEADY),
        conclusion=ToTheTop(),
    ),
    Claim(
        **stated("several heads, own positive U"),
        draw=draws(2, 2),
        build=builders.symmetric("causal", cap=True, values=builders.positive_values),
        domain=inside_top_cap(*_TWO_HEADS, given.each_positive, *_STEADY),
        conclusion=ToTheTop(),
    ),
    Claim(
        **stated("several heads, common v"),
        draw=draws(2, 2),
        build=builders.symmetric("causal", cap=True, values=builders.values_sharing_top),
        domain=inside_top_cap(*_TWO_HEADS, given.shared_top, *_STEADY),
        conclusion=ToTheTop(),
    ),
    Claim(
        **stated("several heads, one v"),
        draw=draws(2, 2),
        build=builders.symmetric("causal", cap=True, values=builders.values_with_one_top),
        domain=inside_top_cap(*_TWO_HEADS, given.one_top, *_STEADY),
        conclusion=ToTheTop(),
    ),
    Claim(
        **stated("heads that cancel"),
        draw=draws(2, 1),
        build=builders.opposite_heads,
        domain=inside(given.full, given.sphere, given.two_heads, *_STEADY, given.sum_zero),
        conclusion=ToConsensus(),
    ),
    Claim(
        **stated("U that turns"),
        draw=draws(1, 0, gap=(), turn=(), below=(-1,)),
        build=builders.turning_values,
        domain=inside(
            given.causal,
            given.sphere,
            given.one_head,
            given.bounded_scores,
            given.always_simple_top,
            given.in_first_cap,
        ),
        conclusion=ToConsensus(),
    ),
)

LITERATURE = (
    Claim(
        **stated("causal, top simple"),
        draw=draws(1, 1),
        build=builders.symmetric("causal"),
        domain=inside(*_CAUSAL, *_SYMMETRIC),
        conclusion=Polarisation(),
    ),
    Claim(
        **stated("causal, top simple, any U"),
        draw=draws(1, 1),
        build=builders.symmetric("causal", values=builders.block_triangular),
        domain=inside(*_CAUSAL, given.real_simple_top),
        conclusion=Polarisation(),
    ),
    Claim(
        **stated("causal, top double"),
        draw=draws(1, 1),
        build=builders.symmetric("causal", values=builders.double_top),
        domain=inside(*_CAUSAL, given.each_symmetric, given.sum_double, given.sum_positive),
        conclusion=ToConsensus(),
        sizes=((2, 3), (3, 3), (4, 4), (6, 4)),
    ),
    Claim(
        **stated("causal, top double, negative"),
        draw=draws(1, 1),
        build=builders.symmetric("causal", values=builders.negative_double_top),
        domain=inside(*_CAUSAL, given.each_symmetric, given.sum_double, given.sum_negative),
        conclusion=AroundTop(dimension=2),
        sizes=((2, 3), (3, 3), (4, 3), (6, 3)),
    ),
    Claim(
        **stated("causal, top negative"),
        draw=draws(1, 1),
        build=builders.symmetric("causal", values=builders.negative_top),
        domain=inside(*_CAUSAL, given.each_symmetric, given.sum_simple, given.sum_negative),
        conclusion=AroundTop(),
    ),
    Claim(
        **stated("circle"),
        draw=draws(1),
        build=builders.circle(*given.GAP),
        domain=inside(
            given.full,
            given.sphere,
            given.circle,
            given.exponential,
            given.one_head,
            given.identity_values,
            given.beta_in_the_gap,
            kernel=False,
        ),
        conclusion=ToConsensus(),
        sizes=((3, 2), (4, 2), (5, 2), (7, 2), (12, 2)),
    ),
)
