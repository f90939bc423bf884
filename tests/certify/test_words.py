"""Certificates go by what a condition is, not by what it is called."""

import dataclasses
import json
from pathlib import Path

import jax.numpy as jnp
import pytest

import attnflow as af
from attnflow import certify, search
from attnflow.certify._plain import plain_case
from attnflow.checker import equilibria
from attnflow.theory import Condition, Hypothesis, conditions as given

RESULTS = Path(__file__).parents[2] / "benchmarks/results"
NAME = "causal-top-simple.json"
OPEN = {"not consensus", "not v", "not a line", "not around v"}  # what breaks a conclusion


@pytest.fixture(scope="module")
def found():
    return search.read_counterexample(RESULTS / "counterexamples" / NAME)


@pytest.fixture
def reworded(monkeypatch):
    """Every condition called the same, in words that are nobody's."""
    monkeypatch.setattr(
        Condition, "answer", lambda self, holds, says: Hypothesis("so and so", holds, "", self)
    )


def test_in_other_words_the_same_is_proved_and_written(found, reworded):
    assert {h.name for h in found.claim.domain(*found.build())} == {"so and so"}
    made = certify.counterexample(found)
    assert made.proved
    kept = json.loads((RESULTS / "certificates" / NAME).read_text())
    for part in ("case", "claim", "proof", "statement"):
        assert made.contents is not None
        assert made.contents[part] == kept[part]


def test_what_is_outside_or_not_exact_is_refused_in_other_words_too(found, reworded):
    claim = found.claim
    other = dataclasses.replace(found, claim=search.CLAIMS["heads that cancel"])
    assert certify.counterexample(other).verdict == "refuted"
    inexact = dataclasses.replace(
        claim, domain=lambda field, y: given.checked(field, y, [given.one_top])
    )
    made = certify.counterexample(dataclasses.replace(found, claim=inexact))
    assert made.verdict == "not decided"
    assert "no exact check is known of the hypothesis 'so and so'" in made.why


def test_a_name_alone_is_no_condition(found):
    """Words can be anyone's: a hypothesis that is only called as one of ours has no exact check."""
    named = dataclasses.replace(
        found.claim, domain=lambda field, y: [Hypothesis("one head", True, "h = 1")]
    )
    made = certify.counterexample(dataclasses.replace(found, claim=named))
    assert made.verdict == "not decided"
    assert "no exact check is known of the hypothesis 'one head'" in made.why


def test_a_claim_of_ones_own_on_an_open_hemisphere_is_broken(found, tmp_path):
    supposed = [
        *given.EQUATION_6,
        given.causal,
        given.sphere,
        given.each_symmetric,
        given.hemisphere,
    ]
    mine = dataclasses.replace(
        found.claim,
        name="mine",
        statement="All meet.",
        domain=lambda field, y: given.checked(field, y, supposed),
        conclusion=search.ToConsensus(),
    )
    made = certify.counterexample(dataclasses.replace(found, claim=mine), bits=(128,))
    assert made.proved
    made.write(tmp_path / "c.json")
    assert certify.check(tmp_path / "c.json", claim=mine).proved
    apart = dataclasses.replace(
        mine, domain=lambda field, y: given.checked(field, y, [given.full, given.hemisphere])
    )
    with pytest.raises(ValueError, match="outside the domain of the claim"):
        certify.check(tmp_path / "c.json", claim=apart)


def test_every_exact_check_that_is_named_is_the_checkers():
    case = plain_case(af.AttentionField(af.Sphere(2), jnp.eye(2)), 2)
    table = set(equilibria.facts(equilibria.Flow(case), [1, 0, 0, 1], [1, 0, 0, 1], [1, 0], None))
    named = {c.exact.fact for c in given.CONDITIONS.values() if c.exact is not None} - {None}
    assert named == table - OPEN


@pytest.mark.parametrize("name", list(equilibria.CLAIMS))
def test_the_checker_supposes_what_the_library_does(name):
    """The two tables are apart, so that the checker trusts nobody; they are the same."""
    claim, kept = search.CLAIMS[name], equilibria.CLAIMS[name]
    field = af.AttentionField(af.Sphere(2), jnp.eye(2))
    y = jnp.asarray([[1.0, 0.0], [0.8, 0.6]])
    supposed = [h.exact for h in claim.domain(field, y)]
    wanted = [e.fact for e in supposed if e is not None and e.fact is not None]
    assert set(wanted) == set(kept.supposes)
    order = [[n for n in names if n not in equilibria.UNSAID] for names in (wanted, kept.supposes)]
    assert list(dict.fromkeys(order[0])) == order[1]  # as files list them
    assert kept.top is (
        any(e.top for e in supposed if e) or kept.broken in ("not v", "not around v")
    )
