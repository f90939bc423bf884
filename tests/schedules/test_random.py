"""Weights drawn at random: laws, and that a schedule is a function of its key."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import attnflow as af
from attnflow.schedules import ornstein_uhlenbeck, random_layers, random_waves

KEY = jr.key(0)
SHAPE = (60, 50)  # 3000 entries: a correlation is known to 0.02


def test_layers_are_drawn_one_by_one():
    few, many = (random_layers(KEY, (3, 3), layers=n, interval=0.5) for n in (4, 7))
    np.testing.assert_array_equal(many.values[:4], few.values)
    np.testing.assert_array_equal(many.times, 0.5 * np.arange(1, 7))
    assert abs(random_layers(jr.key(1), (3, 3), layers=4).values - few.values).min() > 1e-6


def test_layers_have_the_deviation_asked_for_and_white_ones_that_of_white_noise():
    plain = random_layers(KEY, SHAPE, layers=3, interval=0.25, std=0.3)
    assert abs(float(plain.values.std()) / 0.3 - 1) < 0.03
    white = random_layers(KEY, SHAPE, layers=3, interval=0.25, std=0.3, white=True)
    np.testing.assert_allclose(white.values, 2 * plain.values)


def test_layers_of_attention_see_each_its_own_weights():
    sphere = af.Sphere(3)
    y0 = sphere.random(jr.key(2), (8,))
    V = random_layers(KEY, (3, 3), layers=3, interval=0.3)
    field = af.AttentionField(sphere, P=jnp.eye(3), U=V)
    deep = af.iterate(af.AttentionLayers(field, 0.3), y0, depth=3)
    y = y0
    for k in range(3):
        layer = af.AttentionField(sphere, P=jnp.eye(3), U=V.values[k])
        y = af.AttentionLayers(layer, 0.3)(0, y)
    np.testing.assert_allclose(deep.y1, y, atol=1e-14)


def test_an_ornstein_uhlenbeck_path_has_its_deviation_and_correlation():
    path = ornstein_uhlenbeck(KEY, SHAPE, t1=4.0, memory=0.5, std=0.7, step=0.125)
    values = np.stack([np.asarray(path(t)).ravel() for t in (0.0, 1.0, 1.5, 4.0)])
    np.testing.assert_allclose(values.std(axis=1), 0.7, rtol=0.05)
    correlation = np.mean(values[1] * values[2]) / 0.49
    assert abs(correlation - np.exp(-1)) < 4 * np.sqrt(2 / values[0].size)
    assert abs(np.mean(values[0] * values[3])) / 0.49 < 4 / np.sqrt(values[0].size)


def test_a_longer_path_is_the_same_path_and_another_key_another():
    short, long = (ornstein_uhlenbeck(KEY, (3, 3), t1=t1, memory=0.5) for t1 in (2.0, 5.0))
    for t in (0.0, 0.7, 2.0):
        np.testing.assert_allclose(long(t), short(t), atol=1e-14)
    assert abs(ornstein_uhlenbeck(jr.key(1), (3, 3), t1=2.0)(0.7) - short(0.7)).max() > 0.01


def test_a_run_on_a_path_does_not_depend_on_the_solver():
    sphere = af.Sphere(3)
    y0 = sphere.random(jr.key(2), (8,))
    P = ornstein_uhlenbeck(KEY, (3, 3), t1=1.0, memory=1.0)
    field = af.AttentionField(sphere, P=P)
    adaptive = af.simulate(field, y0, t1=1.0)
    import diffrax

    constant = af.simulate(field, y0, t1=1.0, solver=diffrax.Midpoint(), dt0=1e-3)
    np.testing.assert_allclose(constant.y1, adaptive.y1, atol=1e-6)


def test_waves_have_the_mean_square_asked_for_and_their_frequencies():
    waves = random_waves(KEY, SHAPE, omega=(1.0, 2.0), std=0.3)
    for t in (0.0, 3.0):
        assert abs(float(jnp.sqrt(jnp.mean(waves(t) ** 2))) / 0.3 - 1) < 0.05
    assert 1.9 < 2 * np.pi * float(waves.frequency) <= 2.0


def test_keys_are_mapped_over():
    keys = jr.split(KEY, 3)
    many = jax.vmap(lambda k: ornstein_uhlenbeck(k, (2, 2), t1=1.0)(0.3))(keys)
    np.testing.assert_allclose(many[1], ornstein_uhlenbeck(keys[1], (2, 2), t1=1.0)(0.3))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: random_layers(3, (2, 2), layers=3), "`key` must be one random key"),
        (lambda: random_layers(KEY, (2, 2), layers=1), "`layers` must be an integer, 2 or more"),
        (lambda: random_layers(KEY, 2, layers=3), "`shape` must be a tuple of whole numbers"),
        (
            lambda: random_layers(KEY, (2, 2), layers=3, interval=0.0),
            "`interval` must be a positive",
        ),
        (lambda: ornstein_uhlenbeck(KEY, (2, 2), t1=0.0), "`t1` must be later than `t0`"),
        (
            lambda: ornstein_uhlenbeck(KEY, (2, 2), t1=1.0, memory=-1.0),
            "`memory` must be a positive",
        ),
        (lambda: random_waves(KEY, (2, 2), omega=(2.0, 1.0)), "`omega` must be the least first"),
        (lambda: random_waves(KEY, (2, 2), omega=1.0), "`omega` must be two numbers"),
    ],
)
def test_what_makes_no_schedule_is_refused(call, message, as_user):
    with pytest.raises(ValueError, match=message):
        call()
