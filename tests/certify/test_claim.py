"""A claim that a search could not break is handed on to a proof, if its own conditions make it that theorem."""

import dataclasses

import jax
import jax.numpy as jnp
import pytest

import attnflow as af
from attnflow import certify, search
from attnflow.search import CLAIMS, Findings, ToTheFirst, provable
from attnflow.theory import conditions as given

CIRCLE = CLAIMS["circle"]


def without(claim, condition):
    """The claim on more fields: one of its hypotheses dropped."""

    def domain(f, y):
        return [h for h in claim.domain(f, y) if h.condition is not condition]

    return dataclasses.replace(claim, domain=domain)


def test_the_range_and_the_tokens_are_the_claim_s_own():
    known = provable(CIRCLE)
    assert (known.reach, known.tokens, known.beta) == (True, (3, 4, 5, 7), ("-2/3", "-0.16"))
    assert known.command() == "attnflow certify --claim circle --tokens 3"
    assert known.command("my claims.py:c").startswith('attnflow certify --claim "my claims.py:c"')


def test_findings_carry_what_a_proof_needs_and_the_proof_is_made_from_them():
    resisted = Findings(CIRCLE, [0, 0], tries=100)
    assert resisted.provable == provable(CIRCLE)
    made = certify.claim(resisted, 4, progress=False)
    assert made.proved
    assert [str(b) for b in made.beta] == ["-2/3", "-4/25"]


@pytest.mark.parametrize(
    "condition",
    [
        *(given.full, given.sphere, given.one_head, given.identity_values, given.beta_in_the_gap),
        *(given.exponential, given.equal_masses, given.post, given.no_drift, given.moving),
    ],
    ids=lambda c: c.id,
)
def test_a_claim_on_more_fields_than_the_theorem_s_is_not_proved_by_it(condition):
    wider = without(CIRCLE, condition)
    assert not provable(wider).reach
    with pytest.raises(ValueError, match="does not suppose"):
        certify.claim(wider, 3)


def test_another_conclusion_or_every_start_is_not_what_is_proved():
    for other in (
        dataclasses.replace(CIRCLE, conclusion=ToTheFirst()),
        dataclasses.replace(CIRCLE, almost=False),
    ):
        with pytest.raises(ValueError, match="from almost every start"):
            certify.claim(other, 3)


def test_a_claim_without_a_size_on_the_circle_is_not_asked_for_one():
    """Its draws may not know two dimensions."""

    def draw(key, tokens, dim):
        raise AssertionError("never asked for")

    sphere = dataclasses.replace(CIRCLE, sizes=((4, 3),), draw=draw)
    assert "has no such size" in provable(sphere).why
    with pytest.raises(ValueError, match="there is no command"):
        provable(sphere).command()


def test_narrower_claims_are_proved_with_it():
    def more(f, y):
        return [*CIRCLE.domain(f, y), *given.checked(f, y, [given.symmetric_scores])]

    assert provable(dataclasses.replace(CIRCLE, domain=more)).reach


def test_of_the_library_s_claims_one_is_within_reach():
    assert [name for name, claim in CLAIMS.items() if provable(claim).reach] == ["circle"]


@pytest.mark.parametrize("name", ["3.2", "3.2 with jumps", "4.2", "4.5", "several heads, one v"])
def test_what_is_proved_by_hand_is_named_and_that_verdict_exists(name, as_user):
    why = provable(CLAIMS[name]).why
    y0 = jnp.array([[1.0, 0.0], [0.8, 0.6]])
    verdicts = af.theory.verdicts(af.AttentionField(af.Sphere(2), P=jnp.eye(2)), y0)
    assert why.partition("[")[2].strip("']") in verdicts


def test_what_was_broken_is_not_proved(as_user):
    class Broken(Findings):
        broken = True

    assert Broken(CIRCLE, [0, 0]).provable is None
    with pytest.raises(ValueError, match="was broken"):
        certify.claim(Broken(CIRCLE, [0, 0]), 3)
    with pytest.raises(TypeError, match="`resisted` must be a Claim"):
        certify.claim("circle", 3)


def test_where_the_claim_supposes_no_range_one_is_asked_for():
    def domain(f, y):
        supposed = [h for h in CIRCLE.domain(f, y) if h.condition is not given.beta_in_the_gap]
        return [*supposed, *given.checked(f, y, [given.multiple_scores])]

    anything = dataclasses.replace(CIRCLE, domain=domain)
    assert provable(anything).command().endswith("--tokens 3 --beta=LOW,HIGH")
    with pytest.raises(ValueError, match="`beta` must be given"):
        certify.claim(anything, 3)
    assert certify.claim(anything, 3, (-0.6, -0.2), progress=False).proved
    # A range across a known failure is never proved.
    assert certify.claim(anything, 3, (-0.9, -0.7), progress=False).proved is None


def test_the_end_that_a_proof_leaves_out_is_said():
    assert "from -2/3 (itself left out) to" in str(certify.claim(CIRCLE, 3, progress=False))
    assert "left out" not in str(certify.claim(CIRCLE, 4, progress=False))


def test_a_random_draw_of_the_claim_is_in_the_theorem_s_domain():
    field, y0 = CIRCLE.build(CIRCLE.draw(jax.random.key(3), 4, 2))
    assert search.CLAIMS["circle"].outside(field, y0) == []
