"""Theorems with one hypothesis dropped or changed, and conjectures of the literature, as claims."""

from ..theory import conditions as given
from . import _builders as builders
from ._claim import Claim
from ._conclusions import AroundTop, Polarisation, ToConsensus, ToTheTop
from ._domains import domain, top_cap_domain
from ._sampling import sampler
from ._statements import statement_of
from ._theorems import SQUARE

_CAUSAL = (
    given.causal, given.sphere, given.one_head, given.constant_scores, given.constant_values,
)  # fmt: skip
_TWO_HEADS = (given.causal, given.sphere, given.two_heads)
_STEADY = (given.bounded_scores, given.constant_values)
_SYMMETRIC = (given.each_symmetric, given.sum_simple, given.sum_positive)

NO_HEMISPHERE = (
    Claim(
        **statement_of("no hemisphere"),
        draw=sampler(1),
        build=builders.identity(),
        domain=domain(
            given.full,
            given.sphere,
            given.identity_values,
            given.bounded_scores,
            given.constant_scores,
        ),
        conclusion=ToConsensus(),
    ),
    Claim(
        **statement_of("no hemisphere, positive P"),
        draw=sampler(1, skew=(1, *SQUARE)),
        build=builders.identity(P=builders.positive_definite_scores),
        domain=domain(
            given.full,
            given.sphere,
            given.identity_values,
            given.constant_scores,
            given.positive_scores,
        ),
        conclusion=ToConsensus(),
    ),
    Claim(
        **statement_of("no hemisphere, symmetric positive P"),
        draw=sampler(1),
        build=builders.identity(P=builders.symmetric_positive_scores),
        domain=domain(
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
        **statement_of("symmetric U, full, no hemisphere"),
        draw=sampler(1, 1),
        build=builders.symmetric(),
        domain=domain(given.full, given.sphere, given.one_head, *_STEADY, *_SYMMETRIC),
        conclusion=ToConsensus(),
    ),
    Claim(
        **statement_of("symmetric U, causal, no hemisphere"),
        draw=sampler(1, 1),
        build=builders.symmetric("causal"),
        domain=domain(given.causal, given.sphere, given.one_head, *_STEADY, *_SYMMETRIC),
        conclusion=ToConsensus(),
    ),
)

VALUES = (
    Claim(
        **statement_of("symmetric U, full"),
        draw=sampler(1, 1),
        build=builders.symmetric(cap=True),
        domain=top_cap_domain(given.full, given.sphere, given.one_head, *_STEADY),
        conclusion=ToTheTop(),
    ),
    Claim(
        **statement_of("several heads, one U"),
        draw=sampler(2, 1),
        build=builders.symmetric("causal", cap=True),
        domain=top_cap_domain(*_TWO_HEADS, given.same_values, *_STEADY),
        conclusion=ToTheTop(),
    ),
    Claim(
        **statement_of("several heads, own U"),
        draw=sampler(2, 2),
        build=builders.symmetric("causal", cap=True),
        domain=top_cap_domain(*_TWO_HEADS, *_STEADY),
        conclusion=ToTheTop(),
    ),
    Claim(
        **statement_of("several heads, own positive U"),
        draw=sampler(2, 2),
        build=builders.symmetric("causal", cap=True, values=builders.positive_values),
        domain=top_cap_domain(*_TWO_HEADS, given.each_positive, *_STEADY),
        conclusion=ToTheTop(),
    ),
    Claim(
        **statement_of("several heads, common v"),
        draw=sampler(2, 2),
        build=builders.symmetric("causal", cap=True, values=builders.values_sharing_top),
        domain=top_cap_domain(*_TWO_HEADS, given.shared_top, *_STEADY),
        conclusion=ToTheTop(),
    ),
    Claim(
        **statement_of("several heads, one v"),
        draw=sampler(2, 2),
        build=builders.symmetric("causal", cap=True, values=builders.values_with_one_top),
        domain=top_cap_domain(*_TWO_HEADS, given.one_top, *_STEADY),
        conclusion=ToTheTop(),
    ),
    Claim(
        **statement_of("heads that cancel"),
        draw=sampler(2, 1),
        build=builders.opposite_heads,
        domain=domain(given.full, given.sphere, given.two_heads, *_STEADY, given.sum_zero),
        conclusion=ToConsensus(),
    ),
    Claim(
        **statement_of("U that turns"),
        draw=sampler(1, 0, gap=(), turn=(), below=(-1,)),
        build=builders.turning_values,
        domain=domain(
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
        **statement_of("causal, top simple"),
        draw=sampler(1, 1),
        build=builders.symmetric("causal"),
        domain=domain(*_CAUSAL, *_SYMMETRIC),
        conclusion=Polarisation(),
    ),
    Claim(
        **statement_of("causal, top simple, any U"),
        draw=sampler(1, 1),
        build=builders.symmetric("causal", values=builders.block_triangular),
        domain=domain(*_CAUSAL, given.real_simple_top),
        conclusion=Polarisation(),
    ),
    Claim(
        **statement_of("causal, top double"),
        draw=sampler(1, 1),
        build=builders.symmetric("causal", values=builders.double_top),
        domain=domain(*_CAUSAL, given.each_symmetric, given.sum_double, given.sum_positive),
        conclusion=ToConsensus(),
        sizes=((2, 3), (3, 3), (4, 4), (6, 4)),
    ),
    Claim(
        **statement_of("causal, top double, negative"),
        draw=sampler(1, 1),
        build=builders.symmetric("causal", values=builders.negative_double_top),
        domain=domain(*_CAUSAL, given.each_symmetric, given.sum_double, given.sum_negative),
        conclusion=AroundTop(dimension=2),
        sizes=((2, 3), (3, 3), (4, 3), (6, 3)),
    ),
    Claim(
        **statement_of("causal, top negative"),
        draw=sampler(1, 1),
        build=builders.symmetric("causal", values=builders.negative_top),
        domain=domain(*_CAUSAL, given.each_symmetric, given.sum_simple, given.sum_negative),
        conclusion=AroundTop(),
    ),
    Claim(
        **statement_of("circle"),
        draw=sampler(1),
        build=builders.circle(*given.GAP),
        domain=domain(
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
