"""Lyapunov exponents equal the spectra that have closed forms, and lie within their error bars where none have."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import attnflow as af
from attnflow.attractors import exponents

SPHERE = af.Sphere(3)
Y = SPHERE.random(jr.key(0), (4,))
PAIR = jnp.stack([Y, Y[::-1]])
TURN = jnp.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
ALL = jnp.ones((4, 4), bool)  # as a matrix, so that one program serves every mask


def field(mask=None, U=None, beta=1.0, manifold=SPHERE):
    return af.AttentionField(manifold, P=beta * jnp.eye(3), U=U, mask=mask, scale=1.0)


def test_at_consensus_under_full_attention_they_are_zero_twice_and_minus_one():
    got = exponents(field(ALL, jnp.eye(3)), PAIR, t1=60.0)
    np.testing.assert_allclose(got.values, [[0.0] * 2 + [-1.0] * 6] * 2, atol=1e-10)
    assert got.errors.max() < 1e-10
    assert got.total == pytest.approx([-6, -6])
    assert "averaged from t = 30 to 60" in str(got)


def test_at_consensus_under_a_causal_mask_token_k_has_its_own_in_each_of_many_runs():
    got = exponents(field(jnp.tril(ALL), jnp.eye(3)), PAIR, t1=120.0)
    assert (got.values.shape, got.history.shape, got.state.shape) == ((2, 8), (2, 16, 8), (2, 4, 3))
    want = [-(1 - 1 / k) for k in (1, 1, 2, 2, 3, 3, 4, 4)]
    np.testing.assert_allclose(got.values, [want] * 2, atol=1e-10)


def test_consensus_that_turns_has_exponents_zero():
    got = exponents(field(ALL, jnp.eye(3) + TURN), PAIR, t1=60.0)
    np.testing.assert_allclose(got.values, [[0.0] * 2 + [-1.0] * 6] * 2, atol=1e-9)


def test_on_an_ellipsoid_the_leading_ones_are_those_of_the_spectrum_at_its_end(ellipsoid):
    start = ellipsoid.random(jr.key(1), (4,))
    on_it = field(manifold=ellipsoid)  # one start, of which some are wanted
    got = exponents(on_it, start, t1=80.0, count=3)
    rest = af.theory.spectrum(on_it, 0.0, jnp.asarray(got.state))
    np.testing.assert_allclose(got.values, np.real(rest.eigenvalues)[:3], atol=1e-8)


def test_volumes_shrink_as_the_divergence_says_away_from_rest():
    """The sum of all exponents is the trace of the Jacobian, averaged along the run, from the first step on."""
    moving = field(ALL, jnp.eye(3) + TURN, beta=2.0)
    got = exponents(moving, PAIR, t1=2.0, transient=0.0)
    ys = af.simulate(moving, Y, t1=2.0, ts=jnp.linspace(0.0, 2.0, 51)).ys
    traces = jax.jit(jax.vmap(lambda y: jnp.trace(af.theory.jacobian(moving, 0.0, y))))(ys)
    weights = np.array([1.0] + [4.0, 2.0] * 24 + [4.0, 1.0])
    # The order of tokens is of no account, so both runs have the same.
    np.testing.assert_allclose(got.total, (weights @ traces) / weights.sum(), atol=1e-6)


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
