"""The exponential and the sine of the lanes beside exact values, over all arguments they may meet."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flint import arb, ctx

from attnflow.core.elementary import exp, sin


def off(function, x, ours):
    """How far each number is from the exact value."""
    with ctx.workprec(200):
        exact = [function(arb(float(v))) for v in x]
        return np.array([abs(float(arb(float(a)) - b)) for a, b in zip(ours, exact, strict=True)])


def test_the_exponential_is_within_a_unit_in_the_last_place():
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.uniform(-708, 709, 800), rng.uniform(-2, 2, 800), [0.0, -0.0, 1e-300]])
    ours = np.asarray(jax.jit(exp)(x))
    assert np.max(off(arb.exp, x, ours) / np.spacing(ours)) < 1.1


def test_the_exponential_of_what_is_far_below_is_nothing_beside_one():
    ours = np.asarray(exp(jnp.array([-709.0, -1e5, -jnp.inf])))
    assert np.all(ours < 1e-307)
    assert np.all(ours >= 0)
    assert np.isnan(exp(jnp.array(jnp.nan)))


@pytest.mark.parametrize("size", [1.0, 1e3, 1e6, 1e9])
def test_the_sine_is_exact_to_rounding(size):
    rng = np.random.default_rng(1)
    zeros = np.round(rng.uniform(-size, size, 200)) * np.pi / 2  # where most of x cancels
    x = np.concatenate([rng.uniform(-size, size, 600), zeros, [0.0, -0.0]])
    ours = np.asarray(jax.jit(sin)(x))
    assert np.max(off(arb.sin, x, ours)) <= 2.0**-52


def test_sines_of_huge_numbers_stay_sines():
    x = np.array([1e12, 3e15, 1e18, 1e300])
    ours = np.asarray(sin(jnp.asarray(x)))
    assert np.all(np.abs(ours) <= 1)
    np.testing.assert_allclose(ours[0], np.sin(x[0]), atol=2e-4)  # one rounding of 1e12
    assert np.all(np.isnan(np.asarray(sin(jnp.array([jnp.nan, jnp.inf, -jnp.inf])))))


def test_both_have_their_derivatives():
    x = jnp.linspace(-3.0, 3.0, 7)
    np.testing.assert_allclose(jax.vmap(jax.grad(exp))(x), np.exp(x), rtol=1e-14)
    np.testing.assert_allclose(jax.vmap(jax.grad(sin))(x), np.cos(x), atol=1e-15)
    np.testing.assert_allclose(jax.vmap(jax.grad(jax.grad(sin)))(x), -np.sin(x), atol=1e-15)


def test_single_precision_has_jax_own():
    x = jnp.linspace(-3.0, 3.0, 7, dtype=jnp.float32)
    assert exp(x).dtype == sin(x).dtype == jnp.float32
    np.testing.assert_array_equal(exp(x), jnp.exp(x))
    np.testing.assert_array_equal(sin(x), jnp.sin(x))
