"""Hostile input on the functions of theory: one line that names the argument, NaN for NaN, or a right number."""

import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import attnflow as af
from attnflow import theory
from tests.hostile._wrong import wrong_but

_SPHERE = af.Sphere(3)
_FIELD = af.AttentionField(_SPHERE, P=np.eye(3))
_Y = _SPHERE.random(jr.key(0), (4,))
_WRONG = wrong_but("NaN")
_ARGUMENTS = {
    "angle_bound field": (lambda x: theory.angle_bound(x, _Y, 1.0), "`field`"),
    "angle_bound y0": (lambda x: theory.angle_bound(_FIELD, x, 1.0), "`y0`"),
    "angle_bound t0": (lambda x: theory.angle_bound(_FIELD, _Y, 1.0, t0=x), "`t0`"),
    "misalignment_bound field": (lambda x: theory.misalignment_bound(x, _Y, 1.0), "`field`"),
    "misalignment_bound y0": (lambda x: theory.misalignment_bound(_FIELD, x, 1.0), "`y0`"),
    "reference_misalignment y0": (lambda x: theory.reference_misalignment(_FIELD, x, 1.0), "`y0`"),
    "tanh_reference y0": (lambda x: theory.tanh_reference(_FIELD, x, 1.0), "`y0`"),
    "consensus_state v": (lambda x: theory.consensus_state(3, x), "`v`"),
    "consensus_state manifold": (
        lambda x: theory.consensus_state(3, [1.0, 0, 0], manifold=x),
        "`manifold`",
    ),
    "continuation family": (lambda x: theory.continuation(x, _Y, [0.0, 1.0]), "`family`"),
    "continuation y": (lambda x: theory.continuation(lambda b: _FIELD, x, [0.0, 1.0]), "`y`"),
    "continuation values": (lambda x: theory.continuation(lambda b: _FIELD, _Y, x), "`values`"),
    "continuation max_steps": (
        lambda x: theory.continuation(lambda b: _FIELD, _Y, [0.0, 1.0], max_steps=x),
        "`max_steps`",
    ),
    "cross_polytope dim": (lambda x: theory.cross_polytope(x), "`dim`"),
    "cross_polytope manifold": (lambda x: theory.cross_polytope(3, manifold=x), "`manifold`"),
    "cross_ratios y": (lambda x: theory.cross_ratios(x), "`y`"),
    "energy_rate field": (lambda x: theory.energy_rate(x, 0.0, _Y), "`field`"),
    "energy_rate y": (lambda x: theory.energy_rate(_FIELD, 0.0, x), "`y`"),
    "energy_rate t": (lambda x: theory.energy_rate(_FIELD, x, _Y), "`t`"),
    "equiangular_cosine beta": (lambda x: theory.equiangular_cosine(1.0, x, 4), "`beta`"),
    "equiangular_cosine start": (
        lambda x: theory.equiangular_cosine(1.0, 1.0, 4, start=x),
        "`start`",
    ),
    "equiangular_cosine kernel": (
        lambda x: theory.equiangular_cosine(1.0, 1.0, 4, kernel=x),
        "`kernel`",
    ),
    "equiangular_gap beta": (lambda x: theory.equiangular_gap(1.0, x, 4), "`beta`"),
    "equiangular_time cosine": (lambda x: theory.equiangular_time(x, 1.0, 4), "`cosine`"),
    "equilibrium field": (lambda x: theory.equilibrium(x, _Y), "`field`"),
    "equilibrium y": (lambda x: theory.equilibrium(_FIELD, x), "`y`"),
    "equilibrium t": (lambda x: theory.equilibrium(_FIELD, _Y, x), "`t`"),
    "equilibrium max_steps": (lambda x: theory.equilibrium(_FIELD, _Y, max_steps=x), "`max_steps`"),
    "equilibrium throw": (lambda x: theory.equilibrium(_FIELD, _Y, throw=x), "`throw`"),
    "exceptional_curve field": (lambda x: theory.exceptional_curve(x, _Y[:2], 0.1), "`field`"),
    "exceptional_start field": (lambda x: theory.exceptional_start(x, _Y[:2]), "`field`"),
    "first_clusters beta": (lambda x: theory.first_clusters(x), "`beta`"),
    "jacobian field": (lambda x: theory.jacobian(x, 0.0, _Y), "`field`"),
    "jacobian y": (lambda x: theory.jacobian(_FIELD, 0.0, x), "`y`"),
    "jacobian t": (lambda x: theory.jacobian(_FIELD, x, _Y), "`t`"),
    "mode_growth k": (lambda x: theory.mode_growth(x, 1.0), "`k`"),
    "mode_growth beta": (lambda x: theory.mode_growth(2, x), "`beta`"),
    "mode_growth kernel": (lambda x: theory.mode_growth(2, 1.0, kernel=x), "`kernel`"),
    "monitor field": (lambda x: theory.monitor(x, _Y), "`field`"),
    "monitor y0": (lambda x: theory.monitor(_FIELD, x), "`y0`"),
    "monitor known": (lambda x: theory.monitor(_FIELD, _Y, known=x), "`known`"),
    "polygon tokens": (lambda x: theory.polygon(x), "`tokens`"),
    "simplex tokens": (lambda x: theory.simplex(x), "`tokens`"),
    "spectrum field": (lambda x: theory.spectrum(x, 0.0, _Y), "`field`"),
    "spectrum t": (lambda x: theory.spectrum(_FIELD, x, _Y), "`t`"),
    "spectrum y": (lambda x: theory.spectrum(_FIELD, 0.0, x), "`y`"),
    "speed_limit field": (lambda x: theory.speed_limit(x), "`field`"),
    "speed_limit t": (lambda x: theory.speed_limit(_FIELD, x), "`t`"),
    "split v": (lambda x: theory.split(1, 1, x), "`v`"),
    "verdicts field": (lambda x: theory.verdicts(x, _Y), "`field`"),
    "verdicts y0": (lambda x: theory.verdicts(_FIELD, x), "`y0`"),
    "verdicts assume": (lambda x: theory.verdicts(_FIELD, _Y, assume=x), "`assume`"),
}


@pytest.mark.parametrize("value", _WRONG.values(), ids=_WRONG)
@pytest.mark.parametrize(("call", "words"), _ARGUMENTS.values(), ids=_ARGUMENTS)
def test_an_argument_of_a_wrong_kind_is_named(refused, call, words, value):
    refused(lambda: call(value), words)


# Of these some of the values above are right, or name another argument.
_WORDS = {
    "verdicts t0": (lambda x: theory.verdicts(_FIELD, _Y, t0=x), "`t0`"),
    "angle_bound t": (lambda x: theory.angle_bound(_FIELD, _Y, x), "`t`"),
    "misalignment_bound t": (lambda x: theory.misalignment_bound(_FIELD, _Y, x), "`t`"),
    "tanh_reference t": (lambda x: theory.tanh_reference(_FIELD, _Y, x), "`t`"),
    "consensus_state tokens": (lambda x: theory.consensus_state(x, [1.0, 0, 0]), "`tokens`"),
    "equiangular_cosine t": (lambda x: theory.equiangular_cosine(x, 1.0, 4), "`t`"),
    "equiangular_cosine tokens": (lambda x: theory.equiangular_cosine(1.0, 1.0, x), "`tokens`"),
    "equilibrium rtol": (lambda x: theory.equilibrium(_FIELD, _Y, rtol=x), "`rtol`"),
    "polygon dim": (lambda x: theory.polygon(3, dim=x), "`dim`"),
    "simplex dim": (lambda x: theory.simplex(3, dim=x), "`dim`"),
    "spectrum margin": (lambda x: theory.spectrum(_FIELD, 0.0, _Y, margin=x), "`margin`"),
    "split plus": (lambda x: theory.split(x, 1, [1.0, 0, 0]), "`plus`"),
    "split minus": (lambda x: theory.split(1, x, [1.0, 0, 0]), "`minus`"),
    "wendel tokens": (lambda x: theory.wendel(x, 3), "`tokens`"),
    "wendel dim": (lambda x: theory.wendel(3, x), "`dim`"),
}


@pytest.mark.parametrize("value", ["x", {}, [1, "word"]], ids=["a word", "a dictionary", "mixed"])
@pytest.mark.parametrize(("call", "words"), _WORDS.values(), ids=_WORDS)
def test_a_word_for_a_number_is_refused(refused, call, words, value):
    if call is _WORDS["tanh_reference t"][0]:
        words = "`"
    refused(lambda: call(value), words)


_NAN = float("nan")
_OTHERS = {
    "tokens beyond memory": (lambda: theory.polygon(10**30), "GiB"),
    "simplex beyond memory": (lambda: theory.simplex(10**6), "GiB"),
    "cross-polytope beyond memory": (lambda: theory.cross_polytope(10**6), "GiB"),
    "consensus beyond memory": (lambda: theory.consensus_state(10**30, [1.0, 0.0]), "GiB"),
    "split beyond memory": (lambda: theory.split(1, 10**30, [1.0, 0.0]), "GiB"),
    "one token that is true": (lambda: theory.polygon(True), "`tokens`"),
    "steps that are true": (lambda: theory.equilibrium(_FIELD, _Y, max_steps=True), "`max_steps`"),
    "no steps": (lambda: theory.equilibrium(_FIELD, _Y, max_steps=0), "`max_steps`"),
    "tolerance NaN": (lambda: theory.equilibrium(_FIELD, _Y, rtol=_NAN), "`rtol`"),
    "margin NaN": (lambda: theory.spectrum(_FIELD, 0.0, _Y, margin=_NAN), "`margin`"),
    "margin negative": (lambda: theory.spectrum(_FIELD, 0.0, _Y, margin=-1.0), "`margin`"),
    "time NaN": (lambda: theory.jacobian(_FIELD, _NAN, _Y), "`t`"),
    "verdicts at NaN": (lambda: theory.verdicts(_FIELD, _Y, t0=_NAN), "`t0`"),
    "verdicts that assume": (lambda: theory.verdicts(_FIELD, _Y, assume=("x",)), "`assume`"),
    "rate of NaN": (lambda: theory.energy_rate(_FIELD, 0.0, jnp.full((4, 3), _NAN)), "`y`"),
    "beta NaN": (lambda: theory.equiangular_cosine(1.0, _NAN, 4), "`beta`"),
    "bound at NaN": (lambda: theory.angle_bound(_FIELD, _Y, _NAN), "`t`"),
    "dimensions without end": (lambda: theory.wendel(10**9, 10**8), "`dim`"),
}


@pytest.mark.parametrize(("call", "words"), _OTHERS.values(), ids=_OTHERS)
def test_other_arguments_are_refused(refused, call, words):
    refused(call, words)


def test_sizes_beyond_any_float_have_their_answer():
    assert theory.wendel(10**30, 3) == 0.0
    assert theory.wendel(3, 10**30) == 1.0
    assert theory.wendel(10, 3) == 0.08984375
    assert theory.equiangular_cosine(10**30, 1.0, 4) == 1.0


def test_cross_ratios_of_nan_tokens_are_nan():
    assert np.isnan(np.asarray(theory.cross_ratios(jnp.full((4, 3), _NAN)))).all()
