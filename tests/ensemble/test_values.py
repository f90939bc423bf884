"""A number of every trajectory, differentiated: spreads and times of events, whatever lanes they went through."""

import diffrax
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import attnflow as af
from attnflow.ensemble import mean, values

SPHERE = af.Sphere(3)
STARTS = SPHERE.random(jr.key(0), (8, 4))
MATRIX = jnp.eye(3) + 0.3 * jr.normal(jr.key(1), (3, 3))
OPTIONS = {"t1": 2.0, "rtol": 1e-8, "atol": 0.0}


def times(matrix, starts, **more):
    """Until two tokens have met: some runs come to that, others to the end."""
    options = {**OPTIONS, "event": lambda y: y[0] @ y[1] - 0.9, **more}
    return values(lambda sol: sol.t1, af.AttentionField(SPHERE, P=matrix), starts, **options)


def spread(matrix, starts, **more):
    found = times(matrix, starts, **more)
    return jnp.std(found), found


@pytest.fixture(scope="module")
def of_eight():
    """The spread of times of events, its gradient in parameters and starts, and the times: one group."""
    go = jax.value_and_grad(spread, argnums=(0, 1), has_aux=True)
    return go(MATRIX, STARTS, chunk=8)


@pytest.mark.slow
def test_a_spread_of_times_of_events_has_the_gradient_of_runs_side_by_side(of_eight):
    (value, found), gradient = of_eight
    assert 0 < np.sum(np.asarray(found) < OPTIONS["t1"]) < 8
    plain = {"adjoint": diffrax.RecursiveCheckpointAdjoint()}
    beside = jax.jit(
        jax.value_and_grad(lambda m, y: spread(m, y, chunk=3, **plain), (0, 1), has_aux=True)
    )
    (theirs, each), other = beside(MATRIX, STARTS)
    np.testing.assert_allclose(value, theirs, rtol=1e-9)
    np.testing.assert_allclose(found, each, rtol=1e-9)
    for a, b in zip(gradient, other, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-7 * np.abs(b).max())


@pytest.mark.slow
def test_a_trajectory_has_the_same_bits_in_any_slot(of_eight):
    (_, found), (in_matrix, in_starts) = of_eight
    go = jax.value_and_grad(spread, argnums=(0, 1), has_aux=True)
    (_, again), (matrix, starts) = go(MATRIX, STARTS, chunk=3)
    np.testing.assert_array_equal(found, again)
    np.testing.assert_array_equal(in_starts, starts)
    # What all share is a sum over them, added up as they were worked.
    np.testing.assert_allclose(in_matrix, matrix, atol=1e-13 * np.abs(matrix).max())


@pytest.mark.slow
def test_their_mean_is_the_mean(of_eight):
    options = {**OPTIONS, "event": lambda y: y[0] @ y[1] - 0.9}
    whole = mean(lambda sol: sol.t1, af.AttentionField(SPHERE, P=MATRIX), STARTS, **options)
    np.testing.assert_allclose(jnp.mean(of_eight[0][1]), whole, rtol=1e-14)


def test_a_trajectory_that_fails_is_nan_alone():
    found = times(MATRIX, STARTS.at[3].set(jnp.nan))
    np.testing.assert_array_equal(np.isnan(found), np.arange(8) == 3)


def test_bad_arguments_are_refused_by_name(as_user):
    with pytest.raises(ValueError, match="`chunk`"):
        times(MATRIX, STARTS, chunk=0)
