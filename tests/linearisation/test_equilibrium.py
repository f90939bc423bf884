"""A zero of the velocity near the tokens given, at rounding, whether the flow would go there or not."""

import jax.numpy as jnp
import numpy as np
import pytest

import attnflow as af
from attnflow import theory
from tests.systems import PLACES, Oracle, Place, carry_p, generator, random_orthogonal, random_rows

TOKENS = 6


def nudged(y, manifold, size, *names):
    rng = generator("nudged", *names)
    return manifold.project(y + size * jnp.asarray(rng.normal(size=y.shape)))


def solid(kind, P, **options):
    place = Place(kind, 3, "equilibrium")
    field = af.AttentionField(place.general, place.P(np.asarray(P, float)), scale=1.0, **options)
    return place, field


@pytest.mark.parametrize("kind", PLACES)
@pytest.mark.parametrize("size", [1e-6, 1e-3, 0.05])
def test_a_source_with_rotations_is_polished_to_rounding(kind, size):
    """The octahedron, off by up to a tenth of a radian: the same octahedron, turned."""
    place, field = solid(kind, 1.5 * np.eye(3))
    y = theory.cross_polytope(3, manifold=place.manifold)
    start = nudged(y, place.manifold, size, kind)
    fixed = theory.equilibrium(field, start)
    assert fixed.converged
    assert fixed.speed < 1e-15
    x, exact = place.back(fixed.y), np.asarray(theory.cross_polytope(3))
    np.testing.assert_allclose(x @ x.T, exact @ exact.T, atol=1e-14)
    assert 0 < fixed.moved < 6 * size
    assert fixed.steps <= 8
    # Not along the family: seen from the start no turn would bring the tokens closer.
    turned = (start_x := place.back(start)).T @ x
    np.testing.assert_allclose(turned, turned.T, atol=10 * size**2 + 1e-14)
    assert np.abs(start_x - x).max() > 0.1 * size
    assert theory.spectrum(field, 0.0, fixed.y).verdict == "unstable"


@pytest.mark.parametrize("kind", PLACES)
@pytest.mark.parametrize("mask", [None, pytest.param("causal", marks=pytest.mark.slow)])
def test_equilibria_without_symmetry_are_found_from_the_end_of_a_run(kind, mask):
    """Two heads, a general P, symmetric U: the oracle's velocity there is zero too."""
    place = Place(kind, 3, "equilibrium")
    rng = generator("general", mask)
    P = rng.normal(size=(2, 3, 3))
    basis = random_orthogonal(rng, 3)
    U = (basis * np.array([1.0, -0.5, 0.3])) @ basis.T
    field = af.AttentionField(
        place.general, place.P(P), U=jnp.stack([place.U(U)] * 2), mask=mask, scale=0.5
    )
    y0 = place.tokens(random_rows(rng, TOKENS, np.eye(3)))
    near = af.simulate(field, y0, t1=12.0, rtol=1e-4, atol=1e-6).y1
    fixed = theory.equilibrium(field, near)
    assert fixed.speed < 1e-15
    assert 0 < fixed.moved < 0.2
    assert "equilibrium: speed" in str(fixed)
    allowed = np.tril(np.ones((TOKENS, TOKENS), bool)) if mask else None
    inverse = np.linalg.inv(np.linalg.cholesky(place.W)).T
    carried = inverse @ U @ np.linalg.cholesky(place.W).T
    oracle = Oracle(
        place.W, carry_p(P, place.W), np.stack([carried] * 2), allowed=allowed, scale=0.5
    )
    assert np.abs(oracle.velocity(0.0, np.asarray(fixed.y))).max() < 1e-14
    assert theory.spectrum(field, 0.0, fixed.y).verdict == "stable"


@pytest.mark.parametrize("kind", PLACES)
def test_directions_of_eigenvalue_3e_8_are_not_taken_for_neutral_ones(kind):
    """Antipodal pairs at β = 9, P = 9 diag(1, 1.2): the axes alone are equilibria, weakly."""
    place = Place(kind, 2, "equilibrium")
    field = af.AttentionField(place.general, place.P(9 * np.diag([1.0, 1.2])), scale=1.0)
    exact = theory.split(2, 2, jnp.array([1.0, 0.0]))
    angle = np.array([0.0, 0.0, 1e-4, 1e-4])
    turn = np.stack([np.cos(angle), np.sin(angle)], axis=1) * np.asarray(exact)[:, :1]
    fixed = theory.equilibrium(field, place.tokens(turn))
    assert fixed.converged
    x = place.back(fixed.y)
    # Weakly: a velocity of one unit of rounding is an angle of 1e-8, and there is no more to know.
    np.testing.assert_allclose(x, np.sign(x[:, :1]) * x[0], atol=3e-8)
    assert fixed.moved > 1e-5


def test_a_start_too_far_for_newton_is_led_up_to_it():
    place, field = solid("sphere", 1.5 * np.eye(3))
    start = nudged(theory.cross_polytope(3), place.manifold, 0.45, "far")
    fixed = theory.equilibrium(field, start)
    assert fixed.speed < 1e-15
    assert fixed.steps > 10


def test_float32_ends_at_its_own_rounding():
    place, field = solid("sphere", 1.5 * np.eye(3))
    start = nudged(theory.cross_polytope(3), place.manifold, 1e-2, "short").astype(jnp.float32)
    fixed = theory.equilibrium(field, start)
    assert fixed.y.dtype == jnp.float32
    assert fixed.converged
    assert 1e-10 < fixed.speed < 1e-6


def test_frozen_tokens_stay_where_they_are():
    frozen = jnp.arange(TOKENS) == 2
    place, field = solid("sphere", np.eye(3), frozen=frozen)
    v = place.manifold.project(jnp.array([1.0, 2.0, 2.0]))
    y = nudged(theory.consensus_state(TOKENS, v), place.manifold, 1e-2, "frozen")
    fixed = theory.equilibrium(field, y)
    np.testing.assert_allclose(fixed.y, jnp.broadcast_to(y[2], y.shape), atol=1e-14)
    np.testing.assert_allclose(fixed.y[2], y[2], atol=2e-16)


def test_where_there_is_none_it_says_so():
    """U = I + a quarter turn on the circle: tokens turn for ever, and no state is at rest."""
    turn = jnp.array([[1.0, -1.0], [1.0, 1.0]])
    field = af.AttentionField(af.Sphere(2), jnp.zeros((2, 2)), U=turn, mask="causal", scale=1.0)
    y = theory.polygon(3)
    with pytest.raises(RuntimeError, match="No equilibrium was found near `y`: after"):
        theory.equilibrium(field, y)
    fixed = theory.equilibrium(field, y, throw=False)
    assert not fixed.converged
    assert fixed.speed > 0.1
    assert str(fixed).startswith("no equilibrium found")


def test_what_cannot_be_polished_is_refused(as_user):
    sphere, y = af.Sphere(3), theory.polygon(5, dim=3)
    field = af.AttentionField(sphere, jnp.eye(3))
    with pytest.raises(ValueError, match=r"`rtol` must be a positive number; got 0\.0"):
        theory.equilibrium(field, y, rtol=0.0)
    with pytest.raises(ValueError, match="`max_steps` must be a positive integer; got 0"):
        theory.equilibrium(field, y, max_steps=0)
    with pytest.raises(ValueError, match="`field` must keep tokens on the manifold"):
        theory.equilibrium(af.AttentionField(sphere, jnp.eye(3), normalisation="pre"), y)
