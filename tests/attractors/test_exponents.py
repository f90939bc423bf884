"""Lyapunov exponents equal the spectra that have closed forms, and lie within their error bars where none have."""

import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import attnflow as af
from attnflow.attractors import exponents

SPHERE = af.Sphere(3)
Y = SPHERE.random(jr.key(0), (4,))
TURN = jnp.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]])


def field(mask=None, U=None, beta=1.0, manifold=SPHERE):
    return af.AttentionField(manifold, P=beta * jnp.eye(3), U=U, mask=mask, scale=1.0)


def test_at_consensus_under_full_attention_they_are_zero_twice_and_minus_one():
    got = exponents(field(U=jnp.eye(3)), Y, t1=60.0)
    np.testing.assert_allclose(got.values, [0.0] * 2 + [-1.0] * 6, atol=1e-10)
    assert got.errors.max() < 1e-10
    assert got.total == pytest.approx(-6)
    assert "averaged from t = 30 to 60" in str(got)


def test_at_consensus_under_a_causal_mask_token_k_has_its_own_in_each_of_many_runs():
    starts = jnp.stack([Y, Y[::-1]])
    got = exponents(field("causal"), starts, t1=120.0, count=6)
    assert (got.values.shape, got.history.shape, got.state.shape) == ((2, 6), (2, 16, 6), (2, 4, 3))
    want = [-(1 - 1 / k) for k in (1, 1, 2, 2, 3, 3)]
    np.testing.assert_allclose(got.values, [want] * 2, atol=1e-10)


def test_consensus_that_turns_has_exponents_zero():
    got = exponents(field(U=jnp.eye(3) + TURN), Y, t1=60.0)
    np.testing.assert_allclose(got.values, [0.0] * 2 + [-1.0] * 6, atol=1e-9)


def test_on_an_ellipsoid_the_leading_ones_are_those_of_the_spectrum_at_its_end(ellipsoid):
    start = ellipsoid.random(jr.key(1), (4,))
    on_it = field(manifold=ellipsoid)
    got = exponents(on_it, start, t1=80.0, count=3)
    rest = af.theory.spectrum(on_it, 0.0, jnp.asarray(got.state))
    np.testing.assert_allclose(got.values, np.real(rest.eigenvalues)[:3], atol=1e-8)


def test_volumes_shrink_as_the_divergence_says_away_from_rest():
    """The sum of all exponents is the trace of the Jacobian, averaged along the run, from the first step on."""
    moving = field(U=jnp.eye(3) + TURN, beta=2.0)
    got = exponents(moving, Y, t1=2.0, transient=0.0)
    ys = af.simulate(moving, Y, t1=2.0, ts=jnp.linspace(0.0, 2.0, 51)).ys
    traces = np.array([np.trace(af.theory.jacobian(moving, 0.0, y)) for y in ys])
    weights = np.array([1.0] + [4.0, 2.0] * 24 + [4.0, 1.0])
    assert got.total == pytest.approx((weights @ traces) / weights.sum(), abs=1e-6)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"t1": 0.0}, "`t1` must be after t0"),
        ({"transient": 5.0}, "`transient` must end before t1"),
        ({"count": 9}, "`count` must be a positive integer and at most 8"),
        ({"rtol": 0.0}, "`rtol` must be a positive number"),
    ],
)
def test_wrong_arguments_are_refused_in_one_line(options, words):
    with pytest.raises(ValueError, match=words):
        exponents(field(), Y, **{"t1": 1.0, **options})


def test_tokens_of_another_dimension_are_refused():
    with pytest.raises(ValueError, match="`y0` must have shape"):
        exponents(field(), jnp.zeros((4, 2)), t1=1.0)
