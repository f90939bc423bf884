"""Free numbers of any size land in the sets that claims speak of."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from attnflow import search

SIZES = [1e-3, 1.0, 1e3]


@pytest.mark.parametrize("size", SIZES)
def test_tokens_are_unit_vectors_in_the_open_cap(getkey, size):
    x = size * jr.normal(getkey(), (50, 4))
    v = search.on_sphere(jr.normal(getkey(), (1, 4)))[0]
    y = search.in_cap(x, v)
    np.testing.assert_allclose(jnp.linalg.norm(y, axis=1), 1, rtol=1e-14)
    assert float(jnp.min(y @ v)) > 0


@pytest.mark.parametrize("size", SIZES)
def test_matrices_stay_within_their_norm_head_by_head(getkey, size):
    x = size * jr.normal(getkey(), (3, 4, 4))
    within = search.in_ball(x, 5.0)
    norms = jnp.linalg.norm(within, axis=(1, 2))
    assert float(jnp.max(norms)) < 5.0
    # Small ones are let be.
    np.testing.assert_allclose(search.in_ball(1e-6 * x / size, 5.0), 1e-6 * x / size, rtol=1e-9)


@pytest.mark.parametrize("size", [1e-3, 1.0, 30.0])
def test_the_sum_of_symmetric_matrices_has_the_top_that_was_asked_for(getkey, size):
    S = search.with_top(size * jr.normal(getkey(), (2, 5, 5)), jnp.asarray(0.7))
    assert jnp.array_equal(S, jnp.swapaxes(S, 1, 2))
    assert float(jnp.linalg.eigvalsh(S.sum(axis=0))[-1]) == pytest.approx(0.7, abs=1e-12 * size)


def test_positive_definite_means_eigenvalues_of_a_tenth_and_more(getkey):
    S = search.positive_definite(jr.normal(getkey(), (3, 4, 4)))
    assert jnp.array_equal(S, jnp.swapaxes(S, 1, 2))
    assert float(jnp.min(jnp.linalg.eigvalsh(S))) >= 0.1 - 1e-12


def test_between_is_open_and_increases():
    x = jnp.linspace(-20.0, 20.0, 101)
    within = search.between(x, -2.0, 5.0)
    assert -2 < float(within[0]) < float(within[-1]) < 5
    assert bool(jnp.all(jnp.diff(within) > 0))


def test_every_map_is_differentiable(getkey):
    x, y = jr.normal(getkey(), (2, 3, 3)), jr.normal(getkey(), (4, 3))
    v = jnp.array([0.0, 0.6, 0.8])
    maps = [
        (lambda x: search.in_ball(x, 2.0), x),
        (search.symmetric, x),
        (search.positive_definite, x),
        (lambda x: search.with_top(x, x[0, 0, 0]), x),
        (search.on_sphere, y),
        (lambda y: search.in_cap(y, v), y),
        (lambda y: search.between(y, 0.0, 1.0), y),
    ]
    for f, at in maps:
        d, h = jr.normal(getkey(), at.shape), 1e-6
        _, slope = jax.jvp(f, (at,), (d,))
        np.testing.assert_allclose(
            slope, (f(at + h * d) - f(at - h * d)) / (2 * h), rtol=1e-6, atol=1e-8
        )
