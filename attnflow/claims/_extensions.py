"""Theorems with one hypothesis dropped or changed, and conjectures of the literature, as claims."""

from typing import TYPE_CHECKING

from ._statement import ATLAS, PAPER, Statement, by_name

if TYPE_CHECKING:
    from ._claim import Claim

STATEMENTS: tuple[Statement, ...] = (
    Statement(
        name="no hemisphere",
        statement="Full attention with U = I and any constant P takes almost every start to "
        "consensus.",
        source=f"Theorem 3.2, {PAPER}, without its hemisphere",
    ),
    Statement(
        name="no hemisphere, positive P",
        statement="Full attention with U = I and P + P' positive definite takes almost every start "
        "to consensus.",
        source=f"Theorem 3.2, {PAPER}, without its hemisphere",
    ),
    Statement(
        name="no hemisphere, symmetric positive P",
        statement="Full attention with U = I and P symmetric positive definite takes almost every "
        "start to consensus.",
        source=f"Theorem 3.2, {PAPER}, without its hemisphere",
    ),
    Statement(
        name="symmetric U, full, no hemisphere",
        statement="Full attention, one head, U symmetric with a simple positive top eigenvalue, "
        "takes almost every start to consensus.",
        source=f"Theorem 4.5, {PAPER}, in full attention without its hemisphere",
    ),
    Statement(
        name="symmetric U, causal, no hemisphere",
        statement="Causal attention, one head, U symmetric with a simple positive top eigenvalue, "
        "takes almost every start to consensus.",
        source=f"Theorem 4.5, {PAPER}, without its hemisphere",
    ),
    Statement(
        name="symmetric U, full",
        statement="Full attention, one head, U symmetric with a simple positive top eigenvalue and "
        "eigenvector v, takes tokens with v'y_i > 0 to v.",
        source=f"Theorem 4.5, {PAPER}, in full attention",
    ),
    Statement(
        name="several heads, one U",
        statement="Causal attention on the sphere, two heads that share U, symmetric with a simple "
        "positive top eigenvalue and eigenvector v, takes tokens with v'y_i > 0 to v.",
        source=f"Theorem 4.5, {PAPER}, h = 2",
    ),
    Statement(
        name="several heads, own U",
        statement="Causal attention on the sphere, two heads, each with its own symmetric U, whose "
        "sum has a simple positive top eigenvalue and eigenvector v, takes tokens with v'y_i > 0 to v.",
        source=f"Theorem 4.5, {PAPER}, believed there to hold in greater generality",
    ),
    Statement(
        name="several heads, own positive U",
        statement="Causal attention on the sphere, two heads, each with its own symmetric positive "
        "semidefinite U, whose sum has a simple top eigenvalue and eigenvector v, takes tokens with "
        "v'y_i > 0 to v.",
        source=f"Theorem 4.5, {PAPER}, h = 2, positive values",
    ),
    Statement(
        name="several heads, common v",
        statement="Causal attention on the sphere, two heads, each with its own symmetric U, the top "
        "eigenvector v of the sum an eigenvector of each, takes tokens with v'y_i > 0 to v.",
        source=f"Theorem 4.5, {PAPER}, h = 2, v shared",
    ),
    Statement(
        name="several heads, one v",
        statement="Causal attention on the sphere, two heads, each with its own symmetric U, all with "
        "the same simple top eigenvector v and positive top eigenvalues, takes tokens with v'y_i > 0 to v.",
        source=f"Theorem 4.5, {PAPER}, h = 2, v the top of every head; proved, the verdict 'one v'",
    ),
    Statement(
        name="heads that cancel",
        statement="Full attention with two heads whose U add up to zero takes almost every start to "
        "consensus.",
        source=f"Theorem 3.2, {PAPER}, another U",
    ),
    Statement(
        name="U that turns",
        statement="Causal attention on the sphere, one head, U(t) symmetric with a simple positive "
        "top eigenvalue at every time, takes tokens in the cap of its first eigenvector to consensus.",
        source=f"Theorem 4.5 and Remark 4.7, {PAPER}, U(t) as fast as it likes",
    ),
    Statement(
        name="causal, top simple",
        statement="Causal attention, one head, U symmetric with a simple positive top eigenvalue and "
        "eigenvector v, takes almost every start to the two points v and -v.",
        source=f"conjecture, {ATLAS}, third row; U symmetric",
    ),
    Statement(
        name="causal, top simple, any U",
        statement="Causal attention, one head, U whose eigenvalue of largest real part is real, simple "
        "and positive, with eigenvector v, takes almost every start to the two points v and -v.",
        source=f"conjecture, {ATLAS}, third row",
    ),
    Statement(
        name="causal, top double",
        statement="Causal attention, one head, U symmetric with a positive top eigenvalue that is at "
        "least double, takes almost every start to one point.",
        source=f"conjecture, {ATLAS}, second row; U symmetric",
    ),
    Statement(
        name="causal, top double, negative",
        statement="Causal attention, one head, U symmetric with a negative top eigenvalue that is at "
        "least double, with eigenspace L: tokens of almost every start gather about L.",
        source=f"conjecture, {ATLAS}, fourth row; read as: on average nearer to it than points spread evenly",
    ),
    Statement(
        name="causal, top negative",
        statement="Causal attention, one head, U symmetric with a negative simple top eigenvalue and "
        "eigenvector v: tokens of almost every start gather about the line of v.",
        source=f"conjecture, {ATLAS}, fifth row; read as: on average nearer to it than points spread evenly",
    ),
    Statement(
        name="circle",
        statement="On the circle, full attention with the exponential kernel, U = I and P = beta I, "
        "-2/3 <= beta < -0.16, takes almost every start to consensus.",
        source="open for 9 tokens and more; 3 to 8 by certify.synchronisation; arXiv:2507.22857 has -0.16 <= beta",
    ),
)


def extensions() -> "tuple[Claim, ...]":
    """The claims: what is imported here needs JAX, which their words do not."""
    from ..theory import conditions as given
    from . import _builders as builders
    from ._claim import Claim
    from ._conclusions import AroundTop, Polarisation, ToConsensus, ToTheTop
    from ._domains import domain, top_cap_domain
    from ._sampling import SQUARE, sampler

    words = by_name(STATEMENTS)
    causal = (
        given.causal, given.sphere, given.one_head, given.constant_scores, given.constant_values,
    )  # fmt: skip
    two_heads = (given.causal, given.sphere, given.two_heads)
    steady = (given.bounded_scores, given.constant_values)
    symmetric = (given.each_symmetric, given.sum_simple, given.sum_positive)

    no_hemisphere = (
        Claim(
            **words["no hemisphere"],
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
            **words["no hemisphere, positive P"],
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
            **words["no hemisphere, symmetric positive P"],
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
            **words["symmetric U, full, no hemisphere"],
            draw=sampler(1, 1),
            build=builders.symmetric(),
            domain=domain(given.full, given.sphere, given.one_head, *steady, *symmetric),
            conclusion=ToConsensus(),
        ),
        Claim(
            **words["symmetric U, causal, no hemisphere"],
            draw=sampler(1, 1),
            build=builders.symmetric("causal"),
            domain=domain(given.causal, given.sphere, given.one_head, *steady, *symmetric),
            conclusion=ToConsensus(),
        ),
    )

    values = (
        Claim(
            **words["symmetric U, full"],
            draw=sampler(1, 1),
            build=builders.symmetric(cap=True),
            domain=top_cap_domain(given.full, given.sphere, given.one_head, *steady),
            conclusion=ToTheTop(),
        ),
        Claim(
            **words["several heads, one U"],
            draw=sampler(2, 1),
            build=builders.symmetric("causal", cap=True),
            domain=top_cap_domain(*two_heads, given.same_values, *steady),
            conclusion=ToTheTop(),
        ),
        Claim(
            **words["several heads, own U"],
            draw=sampler(2, 2),
            build=builders.symmetric("causal", cap=True),
            domain=top_cap_domain(*two_heads, *steady),
            conclusion=ToTheTop(),
        ),
        Claim(
            **words["several heads, own positive U"],
            draw=sampler(2, 2),
            build=builders.symmetric("causal", cap=True, values=builders.positive_values),
            domain=top_cap_domain(*two_heads, given.each_positive, *steady),
            conclusion=ToTheTop(),
        ),
        Claim(
            **words["several heads, common v"],
            draw=sampler(2, 2),
            build=builders.symmetric("causal", cap=True, values=builders.values_sharing_top),
            domain=top_cap_domain(*two_heads, given.shared_top, *steady),
            conclusion=ToTheTop(),
        ),
        Claim(
            **words["several heads, one v"],
            draw=sampler(2, 2),
            build=builders.symmetric("causal", cap=True, values=builders.values_with_one_top),
            domain=top_cap_domain(*two_heads, given.one_top, *steady),
            conclusion=ToTheTop(),
        ),
        Claim(
            **words["heads that cancel"],
            draw=sampler(2, 1),
            build=builders.opposite_heads,
            domain=domain(given.full, given.sphere, given.two_heads, *steady, given.sum_zero),
            conclusion=ToConsensus(),
        ),
        Claim(
            **words["U that turns"],
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

    literature = (
        Claim(
            **words["causal, top simple"],
            draw=sampler(1, 1),
            build=builders.symmetric("causal"),
            domain=domain(*causal, *symmetric),
            conclusion=Polarisation(),
        ),
        Claim(
            **words["causal, top simple, any U"],
            draw=sampler(1, 1),
            build=builders.symmetric("causal", values=builders.block_triangular),
            domain=domain(*causal, given.real_simple_top),
            conclusion=Polarisation(),
        ),
        Claim(
            **words["causal, top double"],
            draw=sampler(1, 1),
            build=builders.symmetric("causal", values=builders.double_top),
            domain=domain(*causal, given.each_symmetric, given.sum_double, given.sum_positive),
            conclusion=ToConsensus(),
            sizes=((2, 3), (3, 3), (4, 4), (6, 4)),
        ),
        Claim(
            **words["causal, top double, negative"],
            draw=sampler(1, 1),
            build=builders.symmetric("causal", values=builders.negative_double_top),
            domain=domain(*causal, given.each_symmetric, given.sum_double, given.sum_negative),
            conclusion=AroundTop(dimension=2),
            sizes=((2, 3), (3, 3), (4, 3), (6, 3)),
        ),
        Claim(
            **words["causal, top negative"],
            draw=sampler(1, 1),
            build=builders.symmetric("causal", values=builders.negative_top),
            domain=domain(*causal, given.each_symmetric, given.sum_simple, given.sum_negative),
            conclusion=AroundTop(),
        ),
        Claim(
            **words["circle"],
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
    return (*no_hemisphere, *values, *literature)
