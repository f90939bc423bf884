"""Conditions are asked for as objects and by their ids: reworded, they decide the same."""

import re
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

import attnflow as af
from attnflow.search import CLAIMS
from attnflow.theory import Condition, Hypothesis, condition, conditions

PACKAGE = Path(af.__file__).parent
# Ids are in arguments (`assume`) and in the files of certificates: one may be added, none changed.
IDS = {
    "softmax", "exponential", "softmax or exponential", "post", "equal masses", "moving", "no drift",
    "positive scale", "full", "causal", "one head", "two heads", "sphere", "circle", "hemisphere",
    "v'y of one sign", "no token at -y_1", "e_1'y_i > 0", "P bounded", "P uniformly continuous",
    "P constant", "P = beta I", "beta in the gap", "beta in the known range", "P = 0", "P + P' positive",
    "P symmetric", "U = I", "U constant", "U symmetric", "every U symmetric", "U positive semidefinite",
    "one U", "v of every U", "v top of every U", "top simple", "top double", "lambda > 0", "lambda < 0",
    "sum of U zero", "sum U symmetric", "top real, simple, positive", "top of U(t) simple, positive",
    "U slowly varying", "known tail", "one cosine", "separate caps", "two tokens", "leader simple",
    "part along the leader", "sum U = aI + bJ", "somebody", "P finite", "v left and right of every U",
    "U smaller across v", "U known at all times", "one top eigenvector", "beta in a certificate's range",
}  # fmt: skip


@pytest.fixture(scope="module")
def cases():
    """Fields and starts that satisfy some theorem, that miss one, and that leave some open."""
    circle, eye, U = af.Sphere(2), jnp.eye(2), jnp.diag(jnp.asarray([1.0, -1.0]))
    y = jnp.asarray([[1.0, 0.0], [0.8, -0.6], [0.6, 0.8]])
    return {
        "4.5": (af.AttentionField(circle, eye, U=U, mask="causal"), y),
        "heads": (af.AttentionField(circle, jnp.stack([eye, U]), U=jnp.stack([U, eye])), y),
        "unknown": (af.AttentionField(circle, af.Function(lambda t: jnp.exp(-t) * eye)), y),
        "drifting": (af.AttentionField(circle, eye, drift=lambda t, y, args: 0 * y), y),
    }


@pytest.fixture
def reworded(monkeypatch):
    """Every condition called something else, and with nothing said of what was found."""

    def answer(self, holds, says):
        number = sorted(IDS).index(self.id)
        return Hypothesis(
            f"assumption no. {number}", None if holds is None else bool(holds), "-", self
        )

    def reword():
        monkeypatch.setattr(Condition, "answer", answer)

    return reword


def decided(field, y0):
    """Everything that verdicts and claims decide of a field and a start."""
    assume = ("P bounded", "P uniformly continuous")
    verdicts = af.theory.verdicts(field, y0, assume=assume)
    about = {
        name: (v.applies, [(h.id, h.holds, h.exact) for h in v.hypotheses], v.prediction is None)
        for name, v in verdicts.items()
    }
    claims = {
        name: [(h.id, h.holds, h.exact) for h in CLAIMS[name].outside(field, y0)]
        for name in CLAIMS
        if field.U is not None or name != "U that turns"
    }
    return about, claims


def test_verdicts_and_domains_decide_the_same_in_other_words(cases, reworded):
    before = {name: decided(*case) for name, case in cases.items()}
    reworded()
    names = [h.name for h in CLAIMS["4.5"].domain(*cases["4.5"])]
    assert all(name.startswith("assumption no.") for name in names)
    assert {name: decided(*case) for name, case in cases.items()} == before
    # They are told apart: it is no test of answers that are all alike.
    assert len({str(b) for b in before.values()}) == len(cases)
    assert {v[0] for about, _ in before.values() for v in about.values()} == {True, False, None}


def test_ids_are_unique_and_stay():
    objects = [c for c in vars(conditions).values() if isinstance(c, Condition)]
    assert len({id(c) for c in objects}) == len({c.id for c in objects})
    assert set(conditions.CONDITIONS) == IDS
    assert all(c.words and c.check.__doc__ for c in objects)
    named = {name for name, value in vars(conditions).items() if isinstance(value, Condition)}
    assert conditions.__doc__ is not None
    assert named - set(re.findall(r"`(\w+)`", conditions.__doc__)) == set()


def test_words_stand_once():
    """What is shown of a condition is written where it is defined, and nowhere asked for."""
    text = {path: path.read_text() for path in PACKAGE.rglob("*.py")}
    for c in conditions.CONDITIONS.values():
        if c.words != c.id:
            result = [path.name for path, body in text.items() if f'"{c.words}"' in body]
            assert len(result) == 1, (c.words, result)
    calls = [
        path.name for path, body in text.items() if re.search(r"\bh\.(name|says) (==|in|not)", body)
    ]
    assert calls == []


def test_a_condition_of_ones_own_is_an_object_too():
    @condition("attracting", "P = beta I, beta > 0")
    def attracting(s):
        """The scores draw tokens together."""
        beta = float(s.P[0, 0, 0])
        return beta > 0, f"beta = {beta:.4g}"

    field = af.AttentionField(af.Sphere(2), -2.0 * jnp.eye(2))
    y = af.theory.polygon(3)
    first, second = conditions.checked(field, y, [attracting, conditions.circle])
    assert (first.id, first.name, first.holds) == ("attracting", "P = beta I, beta > 0", False)
    assert first.exact is None
    assert (second.id, second.holds) == ("circle", True)
    plain = Hypothesis("circle", True, "")
    assert (plain.id, plain.condition, plain.exact) == ("circle", None, None)
    with pytest.raises(ValueError, match="`y0` must"):
        conditions.checked(field, np.full((3, 2), np.nan), [attracting])
