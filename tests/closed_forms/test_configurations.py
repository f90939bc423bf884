"""Configurations are what they are called, on the sphere and carried to an ellipsoid."""

import jax.numpy as jnp
import numpy as np
import pytest

from attnflow import theory
from tests.systems import PLACES, Place


@pytest.mark.parametrize("tokens", [1, 2, 3, 7, 64])
def test_neighbours_on_a_polygon_are_one_angle_apart(tokens):
    x = np.asarray(theory.polygon(tokens))
    np.testing.assert_allclose(np.sum(x * x, axis=1), 1, rtol=1e-15)
    turn = np.sum(x * np.roll(x, 1, axis=0), axis=1)
    np.testing.assert_allclose(turn, np.cos(2 * np.pi / tokens), atol=4e-16)
    wide = np.asarray(theory.polygon(tokens, dim=4))
    np.testing.assert_array_equal(wide, np.pad(x, ((0, 0), (0, 2))))


@pytest.mark.parametrize("tokens", [2, 3, 4, 9])
def test_cosines_between_vertices_of_a_simplex_are_all_alike(tokens):
    x = np.asarray(theory.simplex(tokens))
    assert x.shape == (tokens, max(2, tokens - 1))
    gram = np.full((tokens, tokens), -1 / (tokens - 1))
    np.fill_diagonal(gram, 1)
    np.testing.assert_allclose(x @ x.T, gram, atol=4e-16)


def test_the_cross_polytope_has_both_ends_of_each_axis():
    x = np.asarray(theory.cross_polytope(3))
    np.testing.assert_array_equal(x @ x.T, np.kron([[1, -1], [-1, 1]], np.eye(3)))


@pytest.mark.parametrize("place", PLACES)
def test_carried_tokens_have_the_same_products_in_the_metric_there(place):
    place = Place(place, 3, "configurations")
    for make in (
        lambda **to: theory.polygon(5, dim=3, **to),
        lambda **to: theory.simplex(4, **to),
        lambda **to: theory.cross_polytope(3, **to),
    ):
        x, y = np.asarray(make()), np.asarray(make(manifold=place.manifold))
        np.testing.assert_allclose(y @ place.W @ y.T, x @ x.T, atol=4e-15)


@pytest.mark.parametrize("place", PLACES)
def test_split_tokens_sit_at_both_ends_of_one_direction(place):
    place = Place(place, 3, "configurations")
    v = jnp.array([3.0, -1.0, 2.0])
    y = np.asarray(theory.split(2, 1, v, manifold=place.manifold))
    unit = np.asarray(v) / np.sqrt(np.asarray(v) @ place.W @ np.asarray(v))
    np.testing.assert_allclose(y, np.array([1, 1, -1])[:, None] * unit, rtol=1e-14)
    together = np.asarray(theory.consensus_state(4, v, manifold=place.manifold))
    np.testing.assert_array_equal(together, np.tile(y[0], (4, 1)))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: theory.polygon(0), r"`tokens` must be an integer from 1 on; got 0\."),
        (lambda: theory.polygon(3, dim=1), r"`dim` must be an integer from 2 on; got 1\."),
        (lambda: theory.simplex(1), r"`tokens` must be an integer from 2 on; got 1\."),
        (lambda: theory.simplex(5, dim=3), r"`dim` must be an integer from 4 on; got 3\."),
        (lambda: theory.cross_polytope(2.5), r"`dim` must be an integer from 2 on; got 2\.5"),
        (lambda: theory.split(-1, 2, jnp.ones(2)), r"`plus` must be an integer from 0 on; got -1"),
        (lambda: theory.split(0, 0, jnp.ones(2)), "`plus` and `minus` must not both be zero"),
        (lambda: theory.split(1, 1, jnp.zeros(2)), "`v` must be finite and not zero"),
        (lambda: theory.split(1, 1, jnp.ones((2, 2))), r"`v` must have shape \(dim,\)"),
        (lambda: theory.consensus_state(0, jnp.ones(2)), "`tokens` must be an integer from 1 on"),
        (
            lambda: theory.polygon(3, manifold=Place("sphere", 3).manifold),
            "`manifold` must have the dimension of the tokens, 2; got 3",
        ),
        (
            lambda: theory.split(1, 1, jnp.ones(2), manifold=Place("sphere", 3).manifold),
            r"`v` must have shape \(3,\); got \(2,\)",
        ),
    ],
)
def test_configurations_that_do_not_exist_are_refused(as_user, make, message):
    with pytest.raises(ValueError, match=message):
        make()
