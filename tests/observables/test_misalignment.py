"""Misalignment (eq. 9) and the Lyapunov function (eq. 7): right, and resolved below rounding."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import attnflow as af
from attnflow.observables import lyapunov_each


def near(token, spread, tokens=8):
    """Tokens at known small angles from `token`, in float64."""
    token = np.asarray(token) / np.linalg.norm(token)
    side = np.cross(token, [0.3, -0.5, 0.9])
    side /= np.linalg.norm(side)
    angles = spread * np.arange(tokens)
    return np.cos(angles)[:, None] * token + np.sin(angles)[:, None] * side, angles


def test_misalignment_is_one_minus_the_mean_cosine_to_the_first(getkey, manifold):
    y = jr.normal(getkey(), (8, 3))
    cosines = af.cosines(y)[0]
    np.testing.assert_allclose(af.misalignment(y), 1 - jnp.mean(cosines), rtol=1e-13)
    cosines = af.cosines(y, manifold)[0]
    np.testing.assert_allclose(af.misalignment(y, manifold), 1 - jnp.mean(cosines), rtol=1e-13)


def test_misalignment_with_a_manifold_is_that_of_the_whitened_tokens(getkey, ellipsoid):
    y = ellipsoid.random(getkey(), (8,))
    whitened = af.misalignment(ellipsoid.whiten(y))
    np.testing.assert_allclose(af.misalignment(y, ellipsoid), whitened, rtol=1e-14)
    assert abs(float(af.misalignment(y) - whitened)) > 1e-3


@pytest.mark.parametrize(("dtype", "spread"), [(jnp.float64, 1e-12), (jnp.float32, 1e-6)])
def test_misalignment_resolves_to_the_square_of_the_machine_epsilon(dtype, spread):
    # Trap 3. Along an axis, so that the small coordinate itself is representable.
    angles = spread * np.arange(8)
    y = jnp.asarray(np.stack([np.cos(angles), np.sin(angles), 0 * angles], 1)).astype(dtype)
    exact = np.mean(2 * np.sin(angles / 2) ** 2)
    result = af.misalignment(y)
    assert result.dtype == dtype
    np.testing.assert_allclose(result, exact, rtol=1e-5)
    # What 1 - cos gives instead.
    assert abs(float(1 - jnp.mean(y @ y[0])) - exact) > 0.5 * exact


def test_misalignment_is_exactly_zero_at_consensus_and_its_gradient_too():
    y = jnp.tile(jnp.array([[0.3, -0.2, 0.7]]), (8, 1))
    value, gradient = jax.value_and_grad(af.misalignment)(y)
    assert float(value) == 0
    assert bool(jnp.all(gradient == 0))


def test_weights_are_masses_and_padding_may_be_anything(getkey, manifold):
    y = jr.normal(getkey(), (5, 3))
    masses = jnp.array([1.0, 3.0, 0.5, 2.0, 1.5])
    unit = af.cosines(y, manifold)[0]
    expected = jnp.sum(masses * (1 - unit)) / jnp.sum(masses)
    np.testing.assert_allclose(af.misalignment(y, manifold, weights=masses), expected, rtol=1e-13)
    padded = jnp.concatenate([jnp.zeros((1, 3)), y, jnp.full((2, 3), jnp.nan)])
    weights = jnp.concatenate([jnp.zeros(1), masses, jnp.zeros(2)])
    of = jax.value_and_grad(lambda y: af.misalignment(y, manifold, weights=weights))
    value, gradient = jax.jit(of)(padded)
    np.testing.assert_allclose(value, expected, rtol=1e-13)
    assert bool(jnp.all(jnp.isfinite(gradient)))


@pytest.mark.parametrize("weights", [[1.0, 2.0], [1.0, -1.0, 1.0], [0.0, 0.0, 0.0]])
def test_weights_that_are_no_masses_are_refused(weights):
    with pytest.raises(ValueError, match="`weights`"):
        af.misalignment.__wrapped__(jnp.eye(3), weights=jnp.array(weights))


def test_tokens_of_the_wrong_rank_are_refused():
    with pytest.raises(ValueError, match="`y` must have shape"):
        af.misalignment.__wrapped__(jnp.ones((2, 8, 3)))


def test_lyapunov_is_the_largest_of_one_minus_the_product_with_v(getkey, ellipsoid):
    y, v = jr.normal(getkey(), (8, 3)), jr.normal(getkey(), (3,))
    # Literal for any vectors: Theorem 3.2 pairs v and y by the Euclidean product on any ellipsoid.
    np.testing.assert_allclose(lyapunov_each(y, v), 1 - y @ v, atol=1e-14)
    np.testing.assert_allclose(af.lyapunov(y, v), jnp.max(1 - y @ v), rtol=1e-14)
    W = ellipsoid.W
    norms = jnp.sqrt(jnp.sum((y @ W) * y, axis=1) * (v @ W @ v))
    expected = jnp.max(1 - (y @ W @ v) / norms)
    np.testing.assert_allclose(af.lyapunov(y, v, ellipsoid), expected, rtol=1e-13)


def test_lyapunov_resolves_unit_vectors_below_rounding():
    y, angles = near([0.6, 0.0, 0.8], 1e-10)
    result = lyapunov_each(jnp.asarray(y), jnp.asarray(y[0]))
    # Rounding of the vectors, 1e-16, is 1e-6 of the angles.
    np.testing.assert_allclose(result, angles**2 / 2, rtol=2e-5, atol=1e-30)
    np.testing.assert_allclose(af.lyapunov(jnp.asarray(y), jnp.asarray(y[0])), result[-1])


def test_the_derivative_of_lyapunov_is_minus_v_at_the_worst_token():
    y, _ = near([0.6, 0.0, 0.8], 0.1)
    v = jnp.array([0.6, 0.0, 0.8])
    gradient = jax.grad(af.lyapunov)(jnp.asarray(y), v)
    np.testing.assert_allclose(gradient[-1], -v, atol=1e-15)
    assert bool(jnp.all(gradient[:-1] == 0))
    np.testing.assert_allclose(
        jax.grad(af.lyapunov, argnums=1)(jnp.asarray(y), v), -y[-1], atol=1e-15
    )


def test_lyapunov_refuses_a_v_of_another_dimension():
    with pytest.raises(ValueError, match="`v` must have shape"):
        lyapunov_each.__wrapped__(jnp.eye(3), jnp.ones(2))
