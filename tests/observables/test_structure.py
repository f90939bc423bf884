"""Cosines, order parameter, clusters, effective rank."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import attnflow as af
from attnflow.observables import cluster_count


def on_circle(angles):
    return jnp.stack([jnp.cos(angles), jnp.sin(angles)], axis=1)


def test_cosines_are_the_gram_matrix_of_directions(getkey, ellipsoid):
    y = jr.normal(getkey(), (8, 3))
    W = ellipsoid.W
    gram = y @ W @ y.T
    norms = jnp.sqrt(jnp.diag(gram))
    expected = gram / (norms[:, None] * norms[None, :])
    np.testing.assert_allclose(af.cosines(y, ellipsoid), expected, atol=1e-14)
    np.testing.assert_allclose(af.cosines(5.0 * y), af.cosines(y), atol=1e-14)
    copies = af.cosines(jnp.tile(y[:1], (8, 1)))
    assert bool(jnp.all(jnp.arccos(copies) < 1e-7))  # never NaN


def test_the_order_parameter_of_known_configurations():
    square = on_circle(jnp.arange(4.0) * jnp.pi / 2)
    np.testing.assert_allclose(af.order_parameter(square), 0, atol=1e-16)
    np.testing.assert_allclose(af.order_parameter(3.0 * square[:1]), 1, rtol=1e-15)
    np.testing.assert_allclose(af.order_parameter(square[:2]), 0.5**0.5, rtol=1e-15)
    masses = jnp.array([3.0, 1.0, 0.0, 0.0])
    value = af.order_parameter(square.at[2].set(jnp.nan), weights=masses)
    np.testing.assert_allclose(value, 10**0.5 / 4, rtol=1e-15)


def test_the_order_parameter_has_a_gradient_where_it_is_zero():
    y = jnp.array([[1.0, 0.0], [-1.0, 0.0]])
    assert bool(jnp.all(jax.grad(af.order_parameter)(y) == 0))


def test_the_order_parameter_uses_the_manifold(getkey, manifold):
    y = manifold.random(getkey(), (8,))
    x = manifold.whiten(y)
    expected = jnp.linalg.norm(jnp.mean(x, axis=0))
    np.testing.assert_allclose(af.order_parameter(y, manifold), expected, rtol=1e-13)


def test_a_chain_is_one_cluster_however_long_and_in_whatever_order(getkey):
    tokens, gap = 200, 0.01
    order = jr.permutation(getkey(), tokens).astype(float)
    y = on_circle(gap * order)
    label = jax.jit(af.clusters)
    assert bool(jnp.all(label(y, float(np.cos(1.01 * gap))) == 0))
    assert bool(jnp.all(label(y, float(np.cos(0.99 * gap))) == jnp.arange(tokens)))
    # One link taken out: two clusters, the first to appear is 0.
    cut = on_circle(gap * order + jnp.where(order < 70, 0.0, 0.02))
    two = label(cut, float(np.cos(1.01 * gap)))
    below = np.asarray(order < 70)
    np.testing.assert_array_equal(two, np.where(below == below[0], 0, 1))


def test_labels_count_from_zero_in_the_order_of_first_appearance():
    y = on_circle(jnp.array([2.0, 0.0, 2.001, 4.0, 0.001, 4.001]))
    np.testing.assert_array_equal(af.clusters(y, 0.999), [0, 1, 0, 2, 1, 2])
    assert int(cluster_count(y, 0.999)) == 3
    assert int(cluster_count(y, -1.0)) == 1
    assert jnp.issubdtype(af.clusters(y, 0.999).dtype, jnp.integer)


@pytest.mark.parametrize(("dtype", "gap"), [(jnp.float64, 1e-6), (jnp.float32, 1e-6)])
def test_thresholds_next_to_one_mean_what_they_say(dtype, gap):
    # 1 - 1e-12 is 1 in float32; the cosine of this gap is 1 - 5e-13.
    y = jnp.array([[1.0, 0.0], [1.0, gap]], dtype)
    np.testing.assert_array_equal(af.clusters(y, 1 - 1e-12), [0, 0])
    np.testing.assert_array_equal(af.clusters(y, 1 - 2e-13), [0, 1])
    np.testing.assert_array_equal(af.clusters(jnp.array([[0.1, 0.7]] * 2, dtype), 1.0), [0, 0])


def test_clusters_use_the_manifold(ellipsoid):
    y = ellipsoid.unwhiten(jnp.array([[1.0, 0.0, 0.0], [0.96, 0.28, 0.0], [0.0, 1.0, 0.0]]))
    np.testing.assert_array_equal(af.clusters(y, 0.9599, ellipsoid), [0, 0, 1])
    np.testing.assert_array_equal(af.clusters(y, 0.9601, ellipsoid), [0, 1, 2])


def test_clusters_map_over_a_batch(getkey):
    y = jr.normal(getkey(), (5, 8, 3))
    batch = jax.vmap(lambda y: af.clusters(y, 0.7))(y)
    for k in range(5):
        np.testing.assert_array_equal(batch[k], af.clusters(y[k], 0.7))


@pytest.mark.parametrize("threshold", [1.5, -1.5, float("nan")])
def test_a_threshold_that_is_no_cosine_is_refused(threshold):
    with pytest.raises(ValueError, match="`threshold` is a cosine"):
        af.clusters(jnp.eye(3), threshold)


def test_the_effective_rank_of_known_matrices(getkey):
    np.testing.assert_allclose(af.effective_rank(2.0 * jnp.eye(5)), 5, rtol=1e-14)
    token = jr.normal(getkey(), (1, 3))
    assert float(af.effective_rank(jnp.tile(token, (8, 1)))) == pytest.approx(1, abs=1e-12)
    singular = np.array([3.0, 1.0])
    p = singular / 4
    y = jnp.diag(jnp.asarray(singular))
    np.testing.assert_allclose(af.effective_rank(y), np.exp(-np.sum(p * np.log(p))), rtol=1e-14)


def test_the_effective_rank_has_a_finite_gradient_at_rank_deficiency(getkey):
    y = jnp.tile(jr.normal(getkey(), (1, 3)), (8, 1))
    assert bool(jnp.all(jnp.isfinite(jax.grad(af.effective_rank)(y))))
    # And the right one at full rank.
    y, change = jr.normal(getkey(), (4, 3)), jr.normal(getkey(), (4, 3))
    ahead, behind = (af.effective_rank(y + s * 1e-6 * change) for s in (1, -1))
    slope = jnp.sum(jax.grad(af.effective_rank)(y) * change)
    np.testing.assert_allclose(slope, (ahead - behind) / 2e-6, rtol=1e-7)


def test_aligned_pairs_are_counted_among_all_pairs(manifold):
    angles = jnp.array([0.0, 0.1, 0.2, 2.0])
    y = jnp.stack([jnp.cos(angles), jnp.sin(angles)], axis=1)
    assert af.aligned_pairs(y, jnp.cos(0.15)) == pytest.approx(2 / 6)
    assert af.aligned_pairs(3.0 * y, jnp.cos(0.25)) == pytest.approx(3 / 6)
    assert af.aligned_pairs(y, -1.0) == 1
    assert af.aligned_pairs(y[:1], 0.999) == 1
    assert af.aligned_pairs(jnp.concatenate([y[:1]] * 3), 1.0) == 1
    y = manifold.random(jr.key(0), (7,))
    g = af.cosines(y, manifold)[np.triu_indices(7, 1)]
    assert af.aligned_pairs(y, 0.2, manifold) == pytest.approx(np.mean(np.asarray(g) >= 0.2))
