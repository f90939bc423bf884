"""Rényi centres of a sequence: who parks, who is strong, and what each captures."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import attnflow as af


def on_circle(angles):
    return jnp.stack([jnp.cos(jnp.asarray(angles)), jnp.sin(jnp.asarray(angles))], axis=1)


def parked(y, radius):
    """The same by the words of the definition, token after token."""
    y = np.asarray(y) / np.linalg.norm(np.asarray(y), axis=1, keepdims=True)
    angle = np.arccos(np.clip(y @ y.T, -1, 1))
    centres, strong = [], []
    for j in range(len(y)):
        if all(angle[j, k] > radius for k in centres):
            centres.append(j)
        if all(angle[j, k] > radius for k in range(j)):
            strong.append(j)
    captured = [min(centres, key=lambda k: angle[i, k] * (i != k)) for i in range(len(y))]
    return centres, strong, captured


@pytest.mark.parametrize(("dim", "radius"), [(2, 0.3), (3, 0.7), (3, 0.05)])
def test_centres_are_those_of_the_definition(dim, radius, getkey):
    y = af.Sphere(dim).random(getkey(), (40,)) * 3.0
    found = af.renyi_centres(y, radius)
    centres, strong, captured = parked(y, radius)
    np.testing.assert_array_equal(np.nonzero(found.centres)[0], centres)
    np.testing.assert_array_equal(np.nonzero(found.strong)[0], strong)
    np.testing.assert_array_equal(found.captured_by, captured)
    np.testing.assert_allclose(found.share, np.bincount(captured, minlength=40) / 40, atol=1e-15)
    assert np.all(found.centres | ~found.strong)
    unit = np.asarray(y) / np.linalg.norm(np.asarray(y), axis=1, keepdims=True)
    angle = np.arccos(np.clip(unit @ unit.T, -1, 1))
    shares = np.zeros(40)
    for i in range(40):
        near = [k for k in strong if k == i or angle[i, k] <= radius]
        if near:
            shares[min(near, key=lambda k, i=i: angle[i, k] * (i != k))] += 1 / 40
    np.testing.assert_allclose(found.strong_shares, shares, atol=1e-15)
    np.testing.assert_allclose(found.strong_share, shares.sum(), atol=1e-14)


def test_a_token_parks_beside_one_that_did_not():
    found = af.renyi_centres(on_circle([0.0, 0.8, 1.5]), 1.0)
    np.testing.assert_array_equal(found.centres, [True, False, True])
    np.testing.assert_array_equal(found.strong, [True, False, False])
    np.testing.assert_allclose(found.share, [1 / 3, 0, 2 / 3])
    assert found.strong_share == pytest.approx(2 / 3)
    np.testing.assert_allclose(found.strong_shares, [2 / 3, 0, 0])


def test_centres_of_many_sequences_are_those_of_each(getkey):
    y = af.Sphere(3).random(getkey(), (4, 40))
    many = jax.jit(jax.vmap(lambda one: af.renyi_centres(one, 0.7)))(y)
    for k in range(4):
        one = af.renyi_centres(y[k], 0.7)
        np.testing.assert_array_equal(many.centres[k], one.centres)
        np.testing.assert_array_equal(many.share[k], one.share)


def test_they_are_observed_along_a_run_and_the_strong_ones_stand_still():
    beta, radius = 100.0, 0.4
    y0 = af.Sphere(2).random(jr.key(1), (20,))
    field = af.AttentionField(af.Sphere(2), P=beta * jnp.eye(2), mask="causal", scale=1.0)
    sol = af.simulate(field, y0, t1=20.0, ts=jnp.array([0.0, 20.0]), observe=af.Renyi(radius))
    assert sol.ys.share.shape == (2, 20)
    np.testing.assert_allclose(sol.ys.share.sum(axis=1), 1)
    strong = np.asarray(sol.ys.strong[0])
    moved = np.asarray(af.Sphere(2).distance(sol.y1, y0))
    assert 1 < strong.sum() < 20
    assert moved[strong].max() < 0.1 < moved[~strong].max()


def test_bad_radii_and_tokens_are_refused_in_one_line(as_user):
    y = on_circle([0.0, 1.0])
    for radius in (-0.1, 4.0, float("nan")):
        with pytest.raises(ValueError, match="`radius` must be"):
            af.renyi_centres(y, radius)
    with pytest.raises(ValueError, match="`radius` must be one angle"):
        af.Renyi(jnp.array([0.1, 0.2]))
    with pytest.raises(ValueError, match="`y` must have shape"):
        af.renyi_centres(y[0], 0.1)


def test_a_token_without_a_direction_gives_no_share():
    found = af.renyi_centres(jnp.zeros((3, 2)), 0.1)
    assert np.all(np.isnan(found.share))
