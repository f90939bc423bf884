"""Remark 2.2: layer normalisation as a sphere, and a looped layer as eq. (1) on it."""

import math

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import attnflow as af
from attnflow.language._field import as_field, as_layers, directions, start

D, TOKENS, PASSES = 16, 9, 12
IDS = np.arange(TOKENS)


def one_layer(gain=1.0, biased=True, step=1.0):
    """One layer, epsilon zero, final norm of uniform gain; tokens that begin as that norm leaves them."""
    arch = af.language.Architecture("gpt2", 20, 12, D, 1, 2, 32, epsilon=0.0, deviation=0.25)
    model = af.language.random(arch, key=jr.key(7), dtype="float64")
    rng = np.random.default_rng(8)
    size = 0.3 if biased else 0.0
    attention, norm = model.blocks.attention, model.blocks.attention_norm
    tokens = rng.normal(size=(20, D))
    tokens = (
        gain * (tokens - tokens.mean(axis=1, keepdims=True)) / tokens.std(axis=1, keepdims=True)
    )
    drawn = lambda like, size: jnp.asarray(size * rng.normal(size=like.shape))  # noqa: E731
    return eqx.tree_at(
        lambda m: (
            m.tokens, m.positions, m.norm.gain, m.blocks.attention_norm.bias,
            m.blocks.attention_norm.gain, m.blocks.attention.qkv_bias,
            m.blocks.attention.out_bias, m.blocks.attention.out,
        ),
        model,
        (
            jnp.asarray(tokens), jnp.zeros(model.positions.shape), jnp.asarray(np.full(D, gain)),
            drawn(norm.bias, size),
            jnp.asarray(np.asarray(norm.gain) + drawn(norm.gain, size)),
            drawn(attention.qkv_bias, size),
            drawn(attention.out_bias, step * size),
            jnp.asarray(step * np.asarray(attention.out)),
        ),
    )  # fmt: skip


@pytest.mark.parametrize("gain", [1.0, 0.6])
@pytest.mark.parametrize("biased", [False, True])
def test_a_looped_layer_is_equation_1_on_the_sphere_of_its_norm(gain, biased):
    model = one_layer(gain, biased)
    run = af.language.looped(model, IDS, passes=PASSES, feed_forward=False, progress=False)
    layers = as_layers(model, passes=PASSES, radius=math.sqrt(D) * gain)
    sol = af.iterate(layers, start(model, IDS), depth=PASSES, observe=af.misalignment)
    assert run.E[0, 0] - run.after_norm["E"][0, -1] > 0.02  # it goes somewhere
    np.testing.assert_allclose(run.after_norm["E"][0], sol.ys[1:], atol=1e-10)
    np.testing.assert_allclose(run.E[0, 0], sol.ys[0], atol=1e-10)


def test_the_radius_is_not_the_square_that_the_paper_prints():
    model = one_layer(0.6)
    run = af.language.looped(model, IDS, passes=PASSES, feed_forward=False, progress=False)
    layers = as_layers(model, passes=PASSES, radius=D * 0.6**2)
    sol = af.iterate(layers, start(model, IDS), depth=PASSES, observe=af.misalignment)
    assert np.max(np.abs(run.after_norm["E"][0] - np.asarray(sol.ys[1:]))) > 1e-2


def test_equation_6_follows_a_looped_layer_to_first_order_in_its_step():
    def error(steps):
        model = one_layer(step=1 / steps)
        run = af.language.looped(model, IDS, passes=steps, feed_forward=False, progress=False)
        sol = af.simulate(
            as_field(model), start(model, IDS), t1=float(steps), observe=af.misalignment
        )
        return abs(float(run.after_norm["E"][0, -1]) - float(sol.ys[-1]))

    coarse, fine = error(32), error(64)
    assert fine < 0.02
    assert coarse / fine == pytest.approx(2, rel=0.1)


def test_with_feed_forward_layers_are_the_posters_block():
    model = one_layer()
    f = model.blocks.feed_forward
    bias = jnp.asarray(0.5 * np.random.default_rng(9).normal(size=(1, D)))
    model = eqx.tree_at(lambda m: m.blocks.feed_forward_norm.bias, model, bias)
    radius = 3.0

    def unit(x):
        x = x - x.mean(axis=1, keepdims=True)
        return x / np.linalg.norm(x, axis=1, keepdims=True)

    def gelu(x):
        return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))

    attention = as_layers(model, radius=radius)
    y = np.asarray(start(model, IDS))
    sol = af.iterate(as_layers(model, feed_forward=True, radius=radius), jnp.asarray(y), depth=4)
    for k in range(4):
        np.testing.assert_allclose(sol.ys[k], y, atol=1e-12)
        z = np.asarray(attention(0, jnp.asarray(y)))
        a = math.sqrt(D) * z + np.asarray(bias)
        up = gelu(a @ np.asarray(f.up[0]) + np.asarray(f.up_bias[0]))
        y = unit(z + (up @ np.asarray(f.down[0]) + np.asarray(f.down_bias[0])) / radius)


def test_layer_norm_of_uniform_gain_has_the_radius_sqrt_d_gain(getkey):
    x = jr.normal(getkey(), (50, D))
    for gain in (0.6, 1.0, -2.0):
        out = af.LayerNorm(jnp.full(D, gain))(x)
        radius = jnp.linalg.norm(out, axis=1)
        assert jnp.allclose(radius, math.sqrt(D) * abs(gain), rtol=1e-14)
        assert jnp.max(jnp.abs(radius - D * gain**2)) > 1  # as it is printed
        assert jnp.max(jnp.abs(out.sum(axis=1))) < 1e-12
        arch = af.language.architecture("gpt2")
        before, after = directions(arch, x), directions(arch, out)
        assert jnp.allclose(after, math.copysign(1, gain) * before, atol=1e-13)
        bias = jr.normal(getkey(), (D,))
        shifted = af.LayerNorm(jnp.full(D, gain), bias)(x)
        assert jnp.allclose(jnp.linalg.norm(shifted - bias[None], axis=1), radius, rtol=1e-13)


def test_layer_norm_of_any_gains_has_an_ellipsoid_in_a_hyperplane(getkey):
    gain = jr.uniform(getkey(), (D,), minval=0.3, maxval=3.0)
    out = af.LayerNorm(gain)(jr.normal(getkey(), (50, D)))
    assert jnp.allclose(jnp.sum((out / gain[None]) ** 2, axis=1), D, rtol=1e-13)
    assert jnp.max(jnp.abs(jnp.sum(out / gain[None], axis=1))) < 1e-12
    # Neither a sphere nor the hyperplane of uniform gains.
    assert jnp.ptp(jnp.linalg.norm(out, axis=1)) > 0.5
    assert jnp.max(jnp.abs(out.sum(axis=1))) > 0.5


def test_normalisation_with_a_bias_alone_drives_E_to_zero():
    arch = af.language.Architecture("gpt2", 40, 40, 64, 1, 2, 64)
    model = af.language.random(arch, key=jr.key(0), dtype="float64")
    bias = 0.3 * jr.normal(jr.key(1), (64,))
    biased = eqx.tree_at(lambda m: m.norm.bias, model, bias)
    options = {"passes": 10, "control": "normalisation", "progress": False}
    run = af.language.looped(biased, np.arange(40), **options)
    assert run.E[0, 0] > 0.9
    assert run.after_norm["E"][0, -1] < 0.03
    # Without it directions in the hyperplane stay as they are.
    still = af.language.looped(model, np.arange(40), **options)
    inside = af.misalignment(directions(arch, model.embed(np.arange(40))))
    assert still.after_norm["E"][0, -1] == pytest.approx(float(inside), rel=1e-3)
    assert inside > 0.9
