"""Hardmax attention in R^d ends on leaders: K19."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import attnflow as af
from tests.systems import generator, hardmax_map


class Shrink(eqx.Module):
    """x / (1 + a)."""

    a: jax.Array

    def __call__(self, x):
        return x / (1 + self.a)


def test_k19_hardmax_layers_end_on_leaders():
    """Alcalde et al. 2407.01602: z <- z/(1+a) + a/(1+a) mean of argmax, by layers in R^d."""
    for a, seed in ((1.0, 0), (0.3, 1)):
        z0 = generator("k19", seed).normal(size=(12, 3))
        field = af.AttentionField(af.Sphere(3), jnp.eye(3), kernel="hardmax", scale=1.0)
        layers = af.AttentionLayers(field, step=a, norm=Shrink(jnp.asarray(a)))
        sol = af.iterate(layers, jnp.asarray(z0), depth=150)
        expected = hardmax_map(z0, a, 150)
        np.testing.assert_allclose(sol.ys, expected, atol=1e-10)

        end = np.asarray(sol.y1)
        scores = end @ end.T
        leaders = np.flatnonzero(np.diag(scores) >= scores.max(axis=1) - 1e-9)
        first = np.flatnonzero(np.diag(z0 @ z0.T) >= (z0 @ z0.T).max(axis=1))
        np.testing.assert_allclose(end[first], z0[first], atol=1e-12)  # a leader never moves
        distance = np.linalg.norm(end[:, None] - end[leaders][None], axis=-1).min(axis=1)
        assert distance.max() < 1e-8
        assert len(np.unique(np.round(end, 5), axis=0)) > 1


def test_k19_ties_are_shared():
    """Two leaders equally far ahead: the token goes to their mean, whatever the rounding."""
    z = jnp.array([[1.0, 2.0], [1.0, -2.0], [0.1 * 3 - 0.2, 0.0]])
    field = af.AttentionField(af.Sphere(2), jnp.eye(2), kernel="hardmax", scale=1.0)
    weights = field.attention(jnp.asarray(0.0), z)[0]
    np.testing.assert_allclose(weights, [[1, 0, 0], [0, 1, 0], [0.5, 0.5, 0]])
