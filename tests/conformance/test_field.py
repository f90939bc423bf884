"""Eq. (6), term by term: the field and its attention against the oracle, option by option."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest

import attnflow as af
from tests.systems import Oracle, generator, layer, random_rows, random_spd

L, D, H = 8, 3, 2


def _bias(rng, shape):
    bias = rng.normal(size=shape)
    bias[..., np.triu_indices(L, 3)[0], np.triu_indices(L, 3)[1]] = -np.inf
    return bias


def _mask(rng):
    return (rng.uniform(size=(L, L)) < 0.4) | np.eye(L, dtype=bool)


def _drift(t, y):
    return 0.3 * y[::-1] + t * y**2


class Drift(eqx.Module):
    """The same for the library, with `args`."""

    def __call__(self, t, y, args=None):
        return 0.3 * y[::-1] + t * y**2


# name -> rng -> (arguments of the field, arguments of the oracle); arrays are shared.
CASES = {
    "full": lambda rng: ({}, {}),
    "one head": lambda rng: ({"P": rng.normal(size=(D, D))}, {}),
    "one U for every head": lambda rng: ({"U": rng.normal(size=(D, D))}, {}),
    "one P for every head": lambda rng: (
        {"P": rng.normal(size=(D, D)), "U": rng.normal(size=(H, D, D))},
        {},
    ),
    "U for each head": lambda rng: ({"U": rng.normal(size=(H, D, D))}, {}),
    "causal": lambda rng: ({"mask": "causal"}, {"allowed": np.tri(L, dtype=bool)}),
    "boolean mask": lambda rng: (lambda m: ({"mask": m}, {"allowed": m}))(_mask(rng)),
    "bias": lambda rng: (lambda b: ({"mask": b}, {"bias": b}))(_bias(rng, (L, L))),
    "bias for each head": lambda rng: (lambda b: ({"mask": b}, {"bias": b}))(_bias(rng, (H, L, L))),
    "exp": lambda rng: ({"kernel": "exp"}, {"kernel": "exp"}),
    "exp, causal": lambda rng: (
        {"kernel": "exp", "mask": "causal"},
        {"kernel": "exp", "allowed": np.tri(L, dtype=bool)},
    ),
    "scale": lambda rng: ({"scale": 1.7}, {"scale": 1.7}),
    "masses": lambda rng: (lambda w: ({"weights": w}, {"weights": w}))(rng.uniform(0.1, 3, L)),
    "masses, exp": lambda rng: (
        lambda w: ({"weights": w, "kernel": "exp"}, {"weights": w, "kernel": "exp"})
    )(rng.uniform(0.1, 3, L)),
    "frozen": lambda rng: (lambda f: ({"frozen": f}, {"frozen": f}))(np.arange(L) % 3 == 0),
    "drift": lambda rng: ({"drift": Drift()}, {"drift": _drift}),
    "drift, peri": lambda rng: (
        {"drift": Drift(), "normalisation": "peri"},
        {"drift": _drift, "normalisation": "peri"},
    ),
    "pre": lambda rng: ({"normalisation": "pre"}, {"normalisation": "pre"}),
    "peri": lambda rng: ({"normalisation": "peri"}, {"normalisation": "peri"}),
    "sqrt": lambda rng: ({"normalisation": "sqrt"}, {"normalisation": "sqrt"}),
    "ngpt": lambda rng: (
        {"normalisation": af.NGPT(af.Sinusoid(1.0, 2.0, 0.5))},
        {"normalisation": "ngpt", "alpha": lambda t: np.sin(2 * t + 0.5)},
    ),
    "mix, before": lambda rng: (
        {"normalisation": af.Mix(switch=0.9)},
        {"normalisation": "mix", "switch": 0.9},
    ),
    "mix, after": lambda rng: (
        {"normalisation": af.Mix(switch=0.3)},
        {"normalisation": "mix", "switch": 0.3},
    ),
}


def build(case):
    rng = generator("field", case)
    ours, theirs = CASES[case](rng)
    W = random_spd(rng, D)
    P = ours.pop("P", None)
    P = rng.normal(size=(H, D, D)) if P is None else P
    theirs = {"P": P, "U": ours.get("U"), **theirs}
    ours: dict[str, Any] = {
        k: jnp.asarray(v) if isinstance(v, np.ndarray) else v for k, v in ours.items()
    }
    field = af.AttentionField(af.Ellipsoid(jnp.asarray(W)), jnp.asarray(P), **ours)
    # Off the ellipsoid as well: eq. (3) holds there in full, and Pre and Peri have a length. (Mix
    # has a length in its second part alone.)
    y = random_rows(rng, L, W)
    if case != "mix, before":
        y = y * rng.uniform(0.7, 1.4, (L, 1))
    return field, Oracle(W=W, **theirs), y


@pytest.mark.parametrize("case", CASES)
def test_field_is_eq_6(case):
    field, oracle, y = build(case)
    velocity = eqx.filter_jit(field)(jnp.asarray(0.6), jnp.asarray(y))
    np.testing.assert_allclose(velocity, oracle.velocity(0.6, y), rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("case", CASES)
def test_attention_is_the_oracles_and_its_rows_sum_to_scale(case):
    field, oracle, y = build(case)
    y = y / oracle.norm(y)[:, None]
    attention = eqx.filter_jit(lambda f, t, y: f.attention(t, y))(
        field, jnp.asarray(0.6), jnp.asarray(y)
    )
    assert attention.shape == (field.heads, L, L)
    expected = oracle.attention(0.6, y)
    np.testing.assert_allclose(
        attention, np.broadcast_to(expected, attention.shape), rtol=1e-11, atol=1e-14
    )
    if oracle.kernel == "softmax":
        np.testing.assert_allclose(attention.sum(-1), oracle.factor, rtol=1e-13)


@pytest.mark.parametrize("case", ["full", "causal", "bias for each head", "masses", "drift", "exp"])
@pytest.mark.parametrize("skip", [True, False])
def test_layer_is_eq_1(case, skip):
    """Layer k sees the schedules at t = k step; drifts are taken there."""
    field, oracle, y = build(case)
    y = y / oracle.norm(y)[:, None]
    layers = af.AttentionLayers(field, step=0.3, skip=skip)
    for k in (0, 2):
        pull = oracle.pull(0.3 * k, y) + (_drift(0.3 * k, y) if case == "drift" else 0)
        moved = (y if skip else 0) + 0.3 * pull
        expected = moved / oracle.norm(moved)[:, None]
        got = eqx.filter_jit(layers)(jnp.asarray(k), jnp.asarray(y))
        np.testing.assert_allclose(got, expected, rtol=1e-11, atol=1e-13)


def test_layer_with_feed_forward_is_the_posters_block():
    field, oracle, y = build("causal")
    y = y / oracle.norm(y)[:, None]
    block = af.AttentionLayers(field, step=0.5, feed_forward=lambda x: jnp.tanh(2 * x) - x[::-1])
    got = block(jnp.asarray(1), jnp.asarray(y))
    expected = layer(oracle, 1, y, 0.5, feed_forward=lambda x: np.tanh(2 * x) - x[::-1])
    np.testing.assert_allclose(got, expected, rtol=1e-11, atol=1e-13)


def test_layer_norm_is_remark_2_2():
    """g (x - mean)/std + b; with g = g0 1: the sphere of centre b and radius sqrt(d) g0, in b + 1^perp."""
    field, oracle, y = build("full")
    rng = generator("layernorm")
    gain, bias = rng.normal(size=(2, D))

    def norm(x):
        centred = x - x.mean(axis=1, keepdims=True)
        return gain * centred / x.std(axis=1, keepdims=True) + bias

    layers = af.AttentionLayers(
        field, step=0.7, norm=af.LayerNorm(jnp.asarray(gain), jnp.asarray(bias))
    )
    got = layers(jnp.asarray(0), jnp.asarray(y))
    np.testing.assert_allclose(got, layer(oracle, 0, y, 0.7, norm=norm), rtol=1e-11)

    round_norm = af.LayerNorm(jnp.full(D, 0.4), jnp.asarray(bias))
    around = np.asarray(round_norm(jnp.asarray(y))) - bias
    np.testing.assert_allclose(np.sum(around**2, axis=1), D * 0.4**2, rtol=1e-12)
    np.testing.assert_allclose(around.sum(axis=1), 0, atol=1e-12)
