"""Theorems with one hypothesis dropped or changed, and conjectures of the literature, as claims."""

from ..theory import Hypothesis
from ..theory._hypotheses import causal, full, one_head, sphere
from ..theory._parameters import (
    bounded_scores,
    constant_scores,
    constant_values,
    identity_values,
    scores_beta,
)
from ..theory._setting import Setting
from . import _builders as builders
from ._claim import Claim
from ._conclusions import AroundTop, Consensus, Polarisation, ToTheTop
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
from ._theorems import PAPER, SQUARE

_ATLAS = "arXiv:2411.04990, Table 1"
_LOW, _HIGH = -2 / 3, -0.16


def _beta(s: Setting) -> Hypothesis:
    scores, beta = scores_beta(s)
    if scores.holds is not True:
        return scores
    return Hypothesis("-2/3 <= beta < -0.16", _LOW <= beta < _HIGH, f"beta = {beta:.6g}")


NO_HEMISPHERE = (
    Claim(
        name="no hemisphere",
        statement="Full attention with U = I and any constant P takes almost every start to "
        "consensus.",
        source=f"Theorem 3.2, {PAPER}, without its hemisphere",
        draw=draws(1),
        build=builders.identity(),
        domain=inside(full, sphere, identity_values, bounded_scores, constant_scores),
        conclusion=Consensus(),
    ),
    Claim(
        name="no hemisphere, positive P",
        statement="Full attention with U = I and P + P' positive definite takes almost every start "
        "to consensus.",
        source=f"Theorem 3.2, {PAPER}, without its hemisphere",
        draw=draws(1, skew=(1, *SQUARE)),
        build=builders.identity(P=builders.positive_definite_scores),
        domain=inside(full, sphere, identity_values, constant_scores, positive_scores),
        conclusion=Consensus(),
    ),
    Claim(
        name="no hemisphere, symmetric positive P",
        statement="Full attention with U = I and P symmetric positive definite takes almost every "
        "start to consensus.",
        source=f"Theorem 3.2, {PAPER}, without its hemisphere",
        draw=draws(1),
        build=builders.identity(P=builders.symmetric_positive_scores),
        domain=inside(
            full, sphere, identity_values, constant_scores, positive_scores, symmetric_scores
        ),
        conclusion=Consensus(),
    ),
    Claim(
        name="symmetric U, full, no hemisphere",
        statement="Full attention, one head, U symmetric with a simple positive top eigenvalue, "
        "takes almost every start to consensus.",
        source=f"Theorem 4.5, {PAPER}, in full attention without its hemisphere",
        draw=draws(1, 1),
        build=builders.symmetric(),
        domain=inside(
            full, sphere, one_head, bounded_scores, constant_values,
            each_symmetric, sum_simple, sum_positive,
        ),
        conclusion=Consensus(),
    ),
    Claim(
        name="symmetric U, causal, no hemisphere",
        statement="Causal attention, one head, U symmetric with a simple positive top eigenvalue, "
        "takes almost every start to consensus.",
        source=f"Theorem 4.5, {PAPER}, without its hemisphere",
        draw=draws(1, 1),
        build=builders.symmetric("causal"),
        domain=inside(
            causal, sphere, one_head, bounded_scores, constant_values,
            each_symmetric, sum_simple, sum_positive,
        ),
        conclusion=Consensus(),
    ),
)  # fmt: skip

VALUES = (
    Claim(
        name="symmetric U, full",
        statement="Full attention, one head, U symmetric with a simple positive top eigenvalue and "
        "eigenvector v, takes tokens with v'y_i > 0 to v.",
        source=f"Theorem 4.5, {PAPER}, in full attention",
        draw=draws(1, 1),
        build=builders.symmetric(cap=True),
        domain=inside_top_cap(full, sphere, one_head, bounded_scores, constant_values),
        conclusion=ToTheTop(),
    ),
    Claim(
        name="several heads, one U",
        statement="Causal attention on the sphere, two heads that share U, symmetric with a simple "
        "positive top eigenvalue and eigenvector v, takes tokens with v'y_i > 0 to v.",
        source=f"Theorem 4.5, {PAPER}, h = 2",
        draw=draws(2, 1),
        build=builders.symmetric("causal", cap=True),
        domain=inside_top_cap(
            causal, sphere, two_heads, same_values, bounded_scores, constant_values
        ),
        conclusion=ToTheTop(),
    ),
    Claim(
        name="several heads, own U",
        statement="Causal attention on the sphere, two heads, each with its own symmetric U, whose "
        "sum has a simple positive top eigenvalue and eigenvector v, takes tokens with v'y_i > 0 to v.",
        source=f"Theorem 4.5, {PAPER}, believed there to hold in greater generality",
        draw=draws(2, 2),
        build=builders.symmetric("causal", cap=True),
        domain=inside_top_cap(causal, sphere, two_heads, bounded_scores, constant_values),
        conclusion=ToTheTop(),
    ),
    Claim(
        name="several heads, own positive U",
        statement="Causal attention on the sphere, two heads, each with its own symmetric positive "
        "semidefinite U, whose sum has a simple top eigenvalue and eigenvector v, takes tokens with "
        "v'y_i > 0 to v.",
        source=f"Theorem 4.5, {PAPER}, h = 2, positive values",
        draw=draws(2, 2),
        build=builders.symmetric("causal", cap=True, values=builders.positive_values),
        domain=inside_top_cap(
            causal, sphere, two_heads, each_positive, bounded_scores, constant_values
        ),
        conclusion=ToTheTop(),
    ),
    Claim(
        name="several heads, common v",
        statement="Causal attention on the sphere, two heads, each with its own symmetric U, the top "
        "eigenvector v of the sum an eigenvector of each, takes tokens with v'y_i > 0 to v.",
        source=f"Theorem 4.5, {PAPER}, h = 2, v shared",
        draw=draws(2, 2),
        build=builders.symmetric("causal", cap=True, values=builders.values_sharing_top),
        domain=inside_top_cap(
            causal, sphere, two_heads, shared_top, bounded_scores, constant_values
        ),
        conclusion=ToTheTop(),
    ),
    Claim(
        name="several heads, one v",
        statement="Causal attention on the sphere, two heads, each with its own symmetric U, all with "
        "the same simple top eigenvector v and positive top eigenvalues, takes tokens with v'y_i > 0 to v.",
        source=f"Theorem 4.5, {PAPER}, h = 2, v the top of every head",
        draw=draws(2, 2),
        build=builders.symmetric("causal", cap=True, values=builders.values_with_one_top),
        domain=inside_top_cap(causal, sphere, two_heads, one_top, bounded_scores, constant_values),
        conclusion=ToTheTop(),
    ),
    Claim(
        name="heads that cancel",
        statement="Full attention with two heads whose U add up to zero takes almost every start to "
        "consensus.",
        source=f"Theorem 3.2, {PAPER}, another U",
        draw=draws(2, 1),
        build=builders.opposite_heads,
        domain=inside(full, sphere, two_heads, bounded_scores, constant_values, sum_zero),
        conclusion=Consensus(),
    ),
    Claim(
        name="U that turns",
        statement="Causal attention on the sphere, one head, U(t) symmetric with a simple positive "
        "top eigenvalue at every time, takes tokens in the cap of its first eigenvector to consensus.",
        source=f"Theorem 4.5 and Remark 4.7, {PAPER}, U(t) as fast as it likes",
        draw=draws(1, 0, gap=(), turn=(), below=(-1,)),
        build=builders.turning_values,
        domain=inside(causal, sphere, one_head, bounded_scores, always_simple_top, in_first_cap),
        conclusion=Consensus(),
    ),
)

LITERATURE = (
    Claim(
        name="causal, top simple",
        statement="Causal attention, one head, U symmetric with a simple positive top eigenvalue and "
        "eigenvector v, takes almost every start to the two points v and -v.",
        source=f"conjecture, {_ATLAS}, third row; U symmetric",
        draw=draws(1, 1),
        build=builders.symmetric("causal"),
        domain=inside(
            causal, sphere, one_head, constant_scores, constant_values,
            each_symmetric, sum_simple, sum_positive,
        ),
        conclusion=Polarisation(),
    ),
    Claim(
        name="causal, top simple, any U",
        statement="Causal attention, one head, U whose eigenvalue of largest real part is real, simple "
        "and positive, with eigenvector v, takes almost every start to the two points v and -v.",
        source=f"conjecture, {_ATLAS}, third row",
        draw=draws(1, 1),
        build=builders.symmetric("causal", values=builders.block_triangular),
        domain=inside(causal, sphere, one_head, constant_scores, constant_values, real_simple_top),
        conclusion=Polarisation(),
    ),
    Claim(
        name="causal, top double",
        statement="Causal attention, one head, U symmetric with a positive top eigenvalue that is at "
        "least double, takes almost every start to one point.",
        source=f"conjecture, {_ATLAS}, second row; U symmetric",
        draw=draws(1, 1),
        build=builders.symmetric("causal", values=builders.double_top),
        domain=inside(
            causal, sphere, one_head, constant_scores, constant_values,
            each_symmetric, sum_double, sum_positive,
        ),
        conclusion=Consensus(),
        sizes=((2, 3), (3, 3), (4, 4), (6, 4)),
    ),
    Claim(
        name="causal, top double, negative",
        statement="Causal attention, one head, U symmetric with a negative top eigenvalue that is at "
        "least double, with eigenspace L: tokens of almost every start gather about L.",
        source=f"conjecture, {_ATLAS}, fourth row; read as: on average nearer to it than points spread evenly",
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
        name="causal, top negative",
        statement="Causal attention, one head, U symmetric with a negative simple top eigenvalue and "
        "eigenvector v: tokens of almost every start gather about the line of v.",
        source=f"conjecture, {_ATLAS}, fifth row; read as: on average nearer to it than points spread evenly",
        draw=draws(1, 1),
        build=builders.symmetric("causal", values=builders.negative_top),
        domain=inside(
            causal, sphere, one_head, constant_scores, constant_values,
            each_symmetric, sum_simple, sum_negative,
        ),
        conclusion=AroundTop(),
    ),
    Claim(
        name="circle",
        statement="On the circle, full attention with the exponential kernel, U = I and P = beta I, "
        "-2/3 <= beta < -0.16, takes almost every start to consensus.",
        source="open; arXiv:2507.22857 has -0.16 <= beta",
        draw=draws(1),
        build=builders.circle(_LOW, _HIGH),
        domain=inside(
            full, sphere, circle, exponential, one_head, identity_values, _beta, kernel=False
        ),
        conclusion=Consensus(),
        sizes=((3, 2), (4, 2), (5, 2), (7, 2), (12, 2)),
    ),
)  # fmt: skip
