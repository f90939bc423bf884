"""Theorems with one hypothesis dropped or changed, and conjectures of the literature, as claims."""

from ..theorems import Setting
from ..theorems.hypotheses import causal, full, one_head, sphere
from ..theorems.parameters import (
    bounded_scores,
    constant_scores,
    constant_values,
    identity_values,
    scores_beta,
)
from ..theory import Hypothesis
from . import _builders as builders
from ._claim import Claim
from ._conclusions import AroundTop, Polarisation, ToConsensus, ToTheTop
from ._draws import draws
from ._inside import (
    always_simple_top,
    circle,
    each_positive,
    each_symmetric,
    exponential,
    in_first_cap,
    inside,
    inside_top_cap,
    one_top,
    positive_scores,
    real_simple_top,
    same_values,
    shared_top,
    sum_double,
    sum_negative,
    sum_positive,
    sum_simple,
    sum_zero,
    symmetric_scores,
    two_heads,
)
from ._statements import stated
from ._theorems import SQUARE

_LOW, _HIGH = -2 / 3, -0.16


def _beta(s: Setting) -> Hypothesis:
    scores, beta = scores_beta(s)
    if scores.holds is not True:
        return scores
    return Hypothesis("-2/3 <= beta < -0.16", _LOW <= beta < _HIGH, f"beta = {beta:.6g}")


NO_HEMISPHERE = (
    Claim(
        **stated("no hemisphere"),
        draw=draws(1),
        build=builders.identity(),
        domain=inside(full, sphere, identity_values, bounded_scores, constant_scores),
        conclusion=ToConsensus(),
    ),
    Claim(
        **stated("no hemisphere, positive P"),
        draw=draws(1, skew=(1, *SQUARE)),
        build=builders.identity(P=builders.positive_definite_scores),
        domain=inside(full, sphere, identity_values, constant_scores, positive_scores),
        conclusion=ToConsensus(),
    ),
    Claim(
        **stated("no hemisphere, symmetric positive P"),
        draw=draws(1),
        build=builders.identity(P=builders.symmetric_positive_scores),
        domain=inside(
            full, sphere, identity_values, constant_scores, positive_scores, symmetric_scores
        ),
        conclusion=ToConsensus(),
    ),
    Claim(
        **stated("symmetric U, full, no hemisphere"),
        draw=draws(1, 1),
        build=builders.symmetric(),
        domain=inside(
            full, sphere, one_head, bounded_scores, constant_values,
            each_symmetric, sum_simple, sum_positive,
        ),
        conclusion=ToConsensus(),
    ),
    Claim(
        **stated("symmetric U, causal, no hemisphere"),
        draw=draws(1, 1),
        build=builders.symmetric("causal"),
        domain=inside(
            causal, sphere, one_head, bounded_scores, constant_values,
            each_symmetric, sum_simple, sum_positive,
        ),
        conclusion=ToConsensus(),
    ),
)  # fmt: skip

VALUES = (
    Claim(
        **stated("symmetric U, full"),
        draw=draws(1, 1),
        build=builders.symmetric(cap=True),
        domain=inside_top_cap(full, sphere, one_head, bounded_scores, constant_values),
        conclusion=ToTheTop(),
    ),
    Claim(
        **stated("several heads, one U"),
        draw=draws(2, 1),
        build=builders.symmetric("causal", cap=True),
        domain=inside_top_cap(
            causal, sphere, two_heads, same_values, bounded_scores, constant_values
        ),
        conclusion=ToTheTop(),
    ),
    Claim(
        **stated("several heads, own U"),
        draw=draws(2, 2),
        build=builders.symmetric("causal", cap=True),
        domain=inside_top_cap(causal, sphere, two_heads, bounded_scores, constant_values),
        conclusion=ToTheTop(),
    ),
    Claim(
        **stated("several heads, own positive U"),
        draw=draws(2, 2),
        build=builders.symmetric("causal", cap=True, values=builders.positive_values),
        domain=inside_top_cap(
            causal, sphere, two_heads, each_positive, bounded_scores, constant_values
        ),
        conclusion=ToTheTop(),
    ),
    Claim(
        **stated("several heads, common v"),
        draw=draws(2, 2),
        build=builders.symmetric("causal", cap=True, values=builders.values_sharing_top),
        domain=inside_top_cap(
            causal, sphere, two_heads, shared_top, bounded_scores, constant_values
        ),
        conclusion=ToTheTop(),
    ),
    Claim(
        **stated("several heads, one v"),
        draw=draws(2, 2),
        build=builders.symmetric("causal", cap=True, values=builders.values_with_one_top),
        domain=inside_top_cap(causal, sphere, two_heads, one_top, bounded_scores, constant_values),
        conclusion=ToTheTop(),
    ),
    Claim(
        **stated("heads that cancel"),
        draw=draws(2, 1),
        build=builders.opposite_heads,
        domain=inside(full, sphere, two_heads, bounded_scores, constant_values, sum_zero),
        conclusion=ToConsensus(),
    ),
    Claim(
        **stated("U that turns"),
        draw=draws(1, 0, gap=(), turn=(), below=(-1,)),
        build=builders.turning_values,
        domain=inside(causal, sphere, one_head, bounded_scores, always_simple_top, in_first_cap),
        conclusion=ToConsensus(),
    ),
)

LITERATURE = (
    Claim(
        **stated("causal, top simple"),
        draw=draws(1, 1),
        build=builders.symmetric("causal"),
        domain=inside(
            causal, sphere, one_head, constant_scores, constant_values,
            each_symmetric, sum_simple, sum_positive,
        ),
        conclusion=Polarisation(),
    ),
    Claim(
        **stated("causal, top simple, any U"),
        draw=draws(1, 1),
        build=builders.symmetric("causal", values=builders.block_triangular),
        domain=inside(causal, sphere, one_head, constant_scores, constant_values, real_simple_top),
        conclusion=Polarisation(),
    ),
    Claim(
        **stated("causal, top double"),
        draw=draws(1, 1),
        build=builders.symmetric("causal", values=builders.double_top),
        domain=inside(
            causal, sphere, one_head, constant_scores, constant_values,
            each_symmetric, sum_double, sum_positive,
        ),
        conclusion=ToConsensus(),
        sizes=((2, 3), (3, 3), (4, 4), (6, 4)),
    ),
    Claim(
        **stated("causal, top double, negative"),
        draw=draws(1, 1),
        build=builders.symmetric("causal", values=builders.negative_double_top),
        domain=inside(
            causal, sphere, one_head, constant_scores, constant_values,
            each_symmetric, sum_double, sum_negative,
        ),
        conclusion=AroundTop(dimension=2),
        sizes=((2, 3), (3, 3), (4, 3), (6, 3)),
    ),
    Claim(
        **stated("causal, top negative"),
        draw=draws(1, 1),
        build=builders.symmetric("causal", values=builders.negative_top),
        domain=inside(
            causal, sphere, one_head, constant_scores, constant_values,
            each_symmetric, sum_simple, sum_negative,
        ),
        conclusion=AroundTop(),
    ),
    Claim(
        **stated("circle"),
        draw=draws(1),
        build=builders.circle(_LOW, _HIGH),
        domain=inside(
            full, sphere, circle, exponential, one_head, identity_values, _beta, kernel=False
        ),
        conclusion=ToConsensus(),
        sizes=((3, 2), (4, 2), (5, 2), (7, 2), (12, 2)),
    ),
)  # fmt: skip
