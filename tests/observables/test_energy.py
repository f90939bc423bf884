"""The interaction energy and its derivative along the flow."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import attnflow as af


def field_of(manifold, beta, **options):
    """P = beta W, U = I: the gradient case on any ellipsoid."""
    return af.AttentionField(manifold, P=beta * manifold.W, scale=1.0, **options)


@pytest.mark.parametrize("beta", [1.5, -2.0])
def test_energy_is_the_mean_exponential_over_two_beta(getkey, manifold, beta):
    y = manifold.random(getkey(), (8,))
    expected = jnp.mean(jnp.exp(beta * manifold.whiten(y) @ manifold.whiten(y).T)) / (2 * beta)
    np.testing.assert_allclose(af.energy(field_of(manifold, beta), 0.0, y), expected, rtol=1e-13)


def test_energy_adds_over_heads_and_takes_beta_from_each(getkey, manifold):
    y = manifold.random(getkey(), (8,))
    P = jnp.stack([1.5 * manifold.W, -0.5 * manifold.W])
    both = af.energy(af.AttentionField(manifold, P=P), 0.0, y)
    each = [af.energy(field_of(manifold, beta), 0.0, y) for beta in (1.5, -0.5)]
    np.testing.assert_allclose(both, sum(each), rtol=1e-13)
    # beta is <P, WU>/|WU|²: values that carry the factor leave beta at one.
    U = jnp.array([1.5, -0.5])[:, None, None] * jnp.eye(3)[None]
    valued = af.energy(af.AttentionField(manifold, P=P, U=U), 0.0, y)
    np.testing.assert_allclose(valued, 1.5 * each[0] - 0.5 * each[1], rtol=1e-13)


def test_energy_at_beta_zero_is_the_limit_without_its_constant(getkey, manifold):
    y = manifold.random(getkey(), (8,))
    zero = af.energy(field_of(manifold, 0.0), 0.0, y)
    small = 1e-6
    limit = af.energy(field_of(manifold, small), 0.0, y) - 1 / (2 * small)
    np.testing.assert_allclose(zero, limit, atol=1e-5)
    assert bool(
        jnp.all(jnp.isfinite(jax.grad(lambda y: af.energy(field_of(manifold, 0.0), 0.0, y))(y)))
    )


@pytest.mark.parametrize("beta", [1.5, -2.0, 0.0])
@pytest.mark.parametrize("kernel", ["softmax", "exp"])
def test_dissipation_is_the_weighted_sum_of_squared_speeds(getkey, manifold, beta, kernel):
    y = manifold.random(getkey(), (8,))
    field = field_of(manifold, beta, kernel=kernel)
    speeds = manifold.inner(field(0.0, y), field(0.0, y))
    x = manifold.whiten(y)
    Z = jnp.mean(jnp.exp(beta * x @ x.T), axis=1) if kernel == "softmax" else 1.0
    rate = af.energy_dissipation(field, 0.0, y)
    np.testing.assert_allclose(rate, jnp.mean(Z * speeds), rtol=1e-12)
    assert float(rate) > 0


def test_dissipation_counts_the_schedule_s_own_change(getkey):
    sphere = af.Sphere(3)
    P = af.ScaledIdentity(af.Sinusoid(1.0, 2.0, 0.7), 3)
    field = af.AttentionField(sphere, P=P)
    y, t, step = sphere.random(getkey(), (8,)), 0.3, 1e-6

    def move(s):
        return af.energy(field, t + s, y + s * field(t, y))

    np.testing.assert_allclose(
        af.energy_dissipation(field, t, y), (move(step) - move(-step)) / (2 * step), rtol=1e-7
    )


def test_energy_uses_the_field_s_masses(getkey):
    sphere = af.Sphere(3)
    y = sphere.random(getkey(), (3,))
    weighted = field_of(sphere, 1.5, weights=jnp.array([2.0, 1.0, 1.0]))
    repeated = jnp.concatenate([y[:1], y])
    np.testing.assert_allclose(
        af.energy(weighted, 0.0, y), af.energy(field_of(sphere, 1.5), 0.0, repeated), rtol=1e-13
    )


def test_energy_forms_no_length_for_states_that_have_one(getkey, manifold):
    y = manifold.random(getkey(), (8,))
    plain = field_of(manifold, 1.5)
    peri = field_of(manifold, 1.5, normalisation="peri")
    np.testing.assert_allclose(af.energy(peri, 0.0, 7.0 * y), af.energy(plain, 0.0, y), rtol=1e-13)
