"""What candidates are worth: counterexamples, and each kind of thing that looks like one."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import attnflow as af
from attnflow import search
from attnflow.claims._counterexample import counts
from attnflow.claims._cycle import Recurrence, cycle, rest_of

CIRCLE = af.Sphere(2)
KEY = jr.key(0)
ANYWHERE = dataclasses.replace(search.CLAIMS["no hemisphere"], domain=lambda field, y0: [])


def angles(*theta):
    theta = jnp.asarray(theta)
    return jnp.stack([jnp.cos(theta), jnp.sin(theta)], axis=1)


def scores(P, **options):
    return af.AttentionField(CIRCLE, P=jnp.asarray(P, float), scale=1.0, **options)


def turn(angle):
    return jnp.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])


NEAR_TRIANGLE = angles(0.1, 2.0, 4.3)


@pytest.mark.slow
def test_a_stable_triangle_breaks_consensus_and_its_basin_is_open():
    evidence = search.verify(
        search.CLAIMS["no hemisphere"], scores(-8 * jnp.eye(2)), NEAR_TRIANGLE, key=KEY
    )
    assert evidence.status == "open"
    assert evidence.breaks
    # Three tokens at 120 degrees: the cosines are 1 and -1/2, six times; margin 1 - 0 = 1.
    assert evidence.margin == pytest.approx(1.0, abs=1e-9)
    assert evidence.basin == 1.0
    assert evidence.family == 1  # it turns
    # K11 with softmax rows: scale e^{-b/2}(1/2 + 3b/4) over the row mean (e^b + 2 e^{-b/2})/3.
    b = -8.0
    closed = math.exp(-b / 2) * (0.5 + 0.75 * b) / ((math.exp(b) + 2 * math.exp(-b / 2)) / 3)
    assert evidence.rightmost == pytest.approx(closed, rel=1e-9)
    assert "stable equilibrium" in str(evidence)


def test_a_transient_is_one_however_long_the_margin_stays_at_first():
    """A regular triangle but for 1e-9, P = 0: unstable, left after a long while."""
    evidence = search.verify(
        ANYWHERE, scores(jnp.zeros((2, 2))), angles(0.0, 2.0944, 4.1889), key=KEY
    )
    assert evidence.status == "transient"
    assert not evidence.breaks
    assert "falls to" in evidence.why


@pytest.mark.slow
def test_two_clusters_that_large_beta_holds_apart_are_metastable():
    field = scores(12 * jnp.eye(2))
    for start in (angles(0.0, 0.01, math.pi, math.pi + 0.02), angles(0.0, 2.0)):
        evidence = search.verify(ANYWHERE, field, start, key=KEY)
        assert evidence.status == "metastable", evidence.why
    assert not evidence.breaks


@pytest.mark.slow
def test_beyond_the_digits_a_saddle_is_a_matter_of_rounding():
    """beta = 30: antipodal tokens leave each other at the rate e^-60."""
    evidence = search.verify(ANYWHERE, scores(30 * jnp.eye(2)), angles(0.0, math.pi), key=KEY)
    assert evidence.status == "rounding"
    assert "within its error" in evidence.why


@pytest.mark.slow
def test_where_nothing_moves_every_start_is_a_limit():
    """Two heads with one P, and U and -U: the field is zero."""
    S = jnp.diag(jnp.array([1.0, -1.0]))
    field = scores(jnp.zeros((2, 2, 2)), U=jnp.stack([S, -S]))
    evidence = search.verify(search.CLAIMS["heads that cancel"], field, angles(0.0, 2.0), key=KEY)
    assert evidence.status == "open"
    assert evidence.family == 2
    assert evidence.rightmost is None
    assert "nothing moves nearby" in str(evidence)


@pytest.mark.slow
def test_a_run_that_comes_to_no_end_decides_nothing():
    """U of size 1e6: more steps than are allowed."""
    U = 1e6 * jnp.diag(jnp.array([1.0, -1.0]))
    flat = jnp.zeros((1, 2, 2))
    P = af.Fourier(jnp.zeros((2, 2)), flat.at[0, 0, 1].set(1e3), flat, 1e4)
    evidence = search.verify(
        ANYWHERE, af.AttentionField(CIRCLE, P=P, U=U, scale=1.0), NEAR_TRIANGLE, key=KEY
    )
    assert evidence.status == "undecided"
    assert "came to no end" in evidence.why


@pytest.mark.slow
def test_a_curve_of_equilibria_that_attracts_is_open_though_no_symmetry_makes_it():
    """P = diag(-8, -6) turns with nothing, and yet three tokens at rest may turn: a zero eigenvalue."""
    evidence = search.verify(
        search.CLAIMS["no hemisphere"],
        scores(jnp.diag(jnp.array([-8.0, -6.0]))),
        NEAR_TRIANGLE,
        key=KEY,
    )
    assert evidence.status == "open"
    assert evidence.family == 1
    assert evidence.rightmost < -1
    assert "family of equilibria of dimension 1" in evidence.why
    # P that is not symmetric has no such curve: tokens drift along where it was.
    P = jnp.array([[-8.0, 0.01], [-0.01, -6.0]])
    other = search.verify(search.CLAIMS["no hemisphere"], scores(P), NEAR_TRIANGLE, key=KEY)
    assert other.family != 1


def test_outside_the_domain_nothing_is_run():
    claim = search.CLAIMS["3.2"]
    evidence = search.verify(claim, scores(-8 * jnp.eye(2)), NEAR_TRIANGLE, key=KEY)
    assert evidence.status == "outside the domain"
    assert "hemisphere" in evidence.why
    assert evidence.time == 0.0


@pytest.mark.slow
def test_a_triangle_that_turns_for_ever_is_a_cycle():
    """P = -4 R(0.2): each token favours one neighbour, and all follow, once round in 2 pi over their speed."""
    evidence = search.verify(ANYWHERE, scores(-4 * turn(0.2)), NEAR_TRIANGLE, key=KEY)
    assert evidence.status == "open"
    assert evidence.breaks
    assert evidence.period == pytest.approx(2 * math.pi / evidence.speed, rel=1e-8)
    assert evidence.rightmost < -1e-3
    assert "stable cycle" in evidence.why
    assert evidence.equilibrium.shape == NEAR_TRIANGLE.shape
    assert evidence.margin == pytest.approx(1.0, abs=1e-6)
    assert evidence.speed > 0.1


@pytest.mark.slow
def test_the_cycle_of_an_oscillating_field_is_found_and_stable():
    flat = jnp.zeros((1, 2, 2))
    P = af.Fourier(jnp.diag(jnp.array([-8.0, -6.0])), flat.at[0, 0, 0].set(1.0), flat, 2.0)
    evidence = search.verify(
        ANYWHERE, af.AttentionField(CIRCLE, P=P, scale=1.0), NEAR_TRIANGLE, key=KEY
    )
    assert evidence.status == "open"
    assert evidence.period == pytest.approx(math.pi)
    assert -1 < evidence.rightmost < 0
    assert evidence.margin > 0.9
    assert "stable cycle" in evidence.why


@pytest.mark.slow
def test_multipliers_of_a_turning_value_matrix_are_those_of_its_closed_form():
    """U(t) turns at half the rate w: phi = 2 theta - w t has phi' = -w - 2b sin phi. A period takes both
    tokens to their antipodes, which is a return, with the multiplier exp(-2b cos(phi*) 2 pi / w); with
    P = 0 the tokens' difference decays faster."""
    a, b, w = 2.0, 1.0, 1.2
    flat = jnp.zeros((1, 2, 2))
    sigma_z = flat.at[0].set(jnp.diag(jnp.array([b, -b])))
    sigma_x = flat.at[0].set(jnp.array([[0.0, b], [b, 0.0]]))
    U = af.Fourier(a * jnp.eye(2), sigma_z, sigma_x, w)
    field = af.AttentionField(CIRCLE, P=jnp.zeros((2, 2)), U=U, mask="causal", scale=1.0)
    rest = rest_of(field)
    assert rest == Recurrence(0.0, pytest.approx(2 * math.pi / w))
    phi = math.asin(-w / (2 * b))
    orbit = cycle(field, angles(phi / 2 + 0.02, phi / 2 - 0.03), rest)
    assert orbit.miss < 1e-10
    np.testing.assert_allclose(orbit.y, angles(phi / 2, phi / 2), atol=1e-9)
    expected = math.exp(-2 * b * math.cos(phi) * 2 * math.pi / w)
    assert abs(orbit.multipliers[0]) == pytest.approx(expected, rel=1e-5)
    # Token 2 opposite to token 1 stands still while that one goes to its antipode: no return.
    assert cycle(field, angles(phi / 2, phi / 2 + math.pi), rest).miss == math.inf


def test_a_field_is_at_rest_after_its_last_jump():
    P = af.Piecewise(jnp.array([1.0, 3.5]), jnp.zeros((3, 2, 2)).at[2].set(jnp.eye(2)))
    assert rest_of(af.AttentionField(CIRCLE, P=P)) == Recurrence(3.5, 0.0)
    assert rest_of(scores(jnp.eye(2))) == Recurrence(0.0, 0.0)


@pytest.mark.slow
def test_two_periods_that_differ_have_no_verdict():
    flat = jnp.zeros((1, 2, 2))
    P = af.Fourier(-8 * jnp.eye(2), flat.at[0, 0, 0].set(1.0), flat, 2.0)
    U = af.Fourier(jnp.eye(2), flat.at[0, 0, 0].set(0.01), flat, 3.0)
    field = af.AttentionField(CIRCLE, P=P, U=U, scale=1.0)
    assert rest_of(field).period is None
    evidence = search.verify(ANYWHERE, field, NEAR_TRIANGLE, key=KEY)
    assert evidence.status == "undecided"
    assert "no common period" in evidence.why


@pytest.mark.slow
def test_a_rate_is_checked_by_a_run_and_by_its_neighbours():
    claim = search.CLAIMS["4.5, V falls"]
    U = jnp.array([[-1.9, 1.8], [1.8, -1.6]])
    field = scores([[-1.0, 0.0], [0.0, 3.0]], U=U, mask="causal")
    y0 = jnp.array([[0.0, -1.0], [-1.0, 0.0]])
    evidence = search.verify(claim, field, y0, key=KEY)
    assert evidence.status == "open"
    assert evidence.other == pytest.approx(evidence.margin, rel=1e-2)
    fine = search.verify(claim, field, y0[:1].repeat(2, axis=0), key=KEY)
    assert fine.status == "transient"


@pytest.mark.slow
def test_a_start_on_a_null_set_is_told_from_those_beside_it():
    claim = search.CLAIMS["4.2 as printed"]
    field = scores(jnp.zeros((2, 2)), mask="causal")
    start = af.theory.exceptional_start(field, angles(0.0, 1.0))
    assert float(jnp.arctan2(-start[2, 1], -start[2, 0])) == pytest.approx(0.287989844, abs=1e-8)
    evidence = search.verify_null(claim, field, start)
    assert evidence.status == "null set"
    assert evidence.rightmost == pytest.approx(2 / 3, rel=1e-6)
    assert evidence.other < 1e-9
    beside = start.at[2].set(angles(math.pi + 0.2881)[0])
    assert search.verify_null(claim, field, beside).status in ("undecided", "transient")
    assert counts(claim, evidence)
    # A claim on almost every start is not broken by it.
    assert not counts(search.CLAIMS["4.2"], evidence)
    # The open triangle is not such a start.
    assert (
        search.verify_null(ANYWHERE, scores(-8 * jnp.eye(2)), NEAR_TRIANGLE).status == "undecided"
    )


def test_numbers_of_the_evidence_are_plain():
    evidence = search.Evidence("open", "because", equilibrium=jnp.eye(2))
    assert evidence.plain()["equilibrium"] == [[1.0, 0.0], [0.0, 1.0]]
    assert evidence.plain()["period"] is None
    assert isinstance(jax.tree.leaves(evidence.plain())[0], str | float)
