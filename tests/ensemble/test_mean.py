"""Means over trajectories: their value, their gradient, an event's time, what bad input meets."""

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import attnflow as af
from attnflow.ensemble import mean, run

SPHERE = af.Sphere(3)
STARTS = SPHERE.random(jr.key(0), (7, 5))
GRID = {"dt0": 0.1, "controller": diffrax.ConstantStepSize(), "solver": diffrax.Tsit5()}


def field(matrix):
    return af.AttentionField(SPHERE, P=matrix, mask="causal")


def last(sol):
    return sol.ys["E"][-1]


def average(matrix, chunk=None, starts=STARTS, **options):
    observe = {"E": af.misalignment}
    return mean(last, field(matrix), starts, t1=2.0, observe=observe, chunk=chunk, **options)


@pytest.mark.slow
def test_value_and_gradient_are_those_of_one_by_one():
    def plain(matrix):
        def one(y0):
            return af.simulate(field(matrix), y0, t1=2.0, observe={"E": af.misalignment}, **GRID)

        return jnp.mean(jax.vmap(lambda y: last(one(y)))(STARTS))

    matrix = jr.normal(jr.key(1), (3, 3))
    value, gradient = jax.jit(jax.value_and_grad(plain))(matrix)
    ours = jax.jit(jax.value_and_grad(lambda m: average(m, 2, **GRID)))(matrix)
    np.testing.assert_allclose(ours[0], value, rtol=1e-13)
    np.testing.assert_allclose(ours[1], gradient, atol=1e-15)


@pytest.mark.slow
def test_the_mean_is_that_of_run():
    matrix = jr.normal(jr.key(1), (3, 3))
    result = run(field(matrix), STARTS, t1=2.0, observe={"E": af.misalignment}, progress=False)
    np.testing.assert_allclose(average(matrix), result.ys["E"].mean(), rtol=1e-9)


@pytest.mark.slow
def test_the_gradient_of_the_mean_time_of_consensus():
    def time(beta):
        event = af.consensus(1e-2)
        options = {"event": event, "rtol": 1e-11, "atol": 1e-13}
        return mean(lambda sol: sol.t1, field(beta * jnp.eye(3)), STARTS[:2], t1=200.0, **options)

    time = jax.jit(jax.value_and_grad(time))
    value, slope = time(1.0)
    (above, _), (below, _) = time(1.0 + 1e-4), time(1.0 - 1e-4)
    assert 1.0 < value < 200.0
    np.testing.assert_allclose(slope, (above - below) / 2e-4, rtol=1e-6)


@pytest.mark.slow
def test_a_sampler_and_fields_of_their_own_are_those_of_run():
    def sample(key):
        beta_key, start_key = jr.split(key)
        return field(jr.uniform(beta_key) * jnp.eye(3)), SPHERE.random(start_key, (5,))

    options = {"number": 3, "key": jr.key(4), "t1": 1.0, "observe": {"E": af.misalignment}}
    drawn = run(field(jnp.eye(3)), sample, progress=False, **options)
    ours = mean(last, field(jnp.eye(3)), sample, **options)
    np.testing.assert_allclose(ours, drawn.ys["E"].mean(), rtol=1e-9)


def test_a_trajectory_that_fails_makes_the_mean_nan():
    assert np.isnan(average(jnp.eye(3), max_steps=4))


@pytest.mark.parametrize(
    ("options", "named"),
    [({"chunk": 0}, "`chunk`"), ({"starts": np.zeros((3, 2))}, "`starts`")],
)
def test_bad_arguments_are_refused_by_name(as_user, options, named):
    with pytest.raises(ValueError, match=named):
        average(jnp.eye(3), **options)


@pytest.mark.slow
def test_memory_does_not_grow_with_trajectories():
    def bytes_for(count):
        starts = jnp.tile(STARTS[:1], (count, 1, 1))
        gradient = eqx.filter_jit(jax.grad(lambda m, s: average(m, 4, s, **GRID)))
        return gradient.lower(jnp.eye(3), starts).compile().compiled.memory_analysis()

    few, many = bytes_for(8).temp_size_in_bytes, bytes_for(64).temp_size_in_bytes
    extra = 56 * STARTS[0].size * 8  # the starts themselves may be copied
    assert many - few <= 3 * extra
