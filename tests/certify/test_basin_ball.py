"""Balls proved to lie in a basin: runs from their rims, volumes by counting, and what is not proved."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import attnflow as af

pytest.importorskip("flint")
from attnflow.certify import _basin_ball


def held(beta, dim=3):
    """Values that are larger along one axis: consensus and, for tanh(beta) > 1/2, two against two are stable."""
    U = jnp.diag(jnp.array([1.0] + [0.5] * (dim - 1)))
    return af.AttentionField(af.Sphere(dim), P=beta * jnp.eye(dim), U=U, scale=1.0)


def ends(ahead, behind, dim=3):
    y = np.zeros((ahead + behind, dim))
    y[:ahead, 0], y[ahead:, 0] = 1, -1
    return jnp.asarray(y)


def on_rim(y, radius, number):
    """Starts on the sphere whose total distance to `y` is `radius`, in random directions."""
    generator = np.random.default_rng(0)
    starts = []
    for _ in range(number):
        v = generator.normal(size=y.shape)
        v -= np.sum(v * y, axis=1, keepdims=True) * y
        part = generator.dirichlet(np.ones(len(y)))
        chord = radius * np.sqrt(part)[:, None]
        v *= chord * np.sqrt(1 - chord**2 / 4) / np.linalg.norm(v, axis=1, keepdims=True)
        starts.append(y * (1 - chord**2 / 2) + v)
    return np.stack(starts)


@pytest.fixture(scope="module")
def two():
    return af.certify.basin(held(2.0), ends(2, 2))


def test_every_start_on_the_rim_goes_to_the_centre(two):
    assert two.proved
    y = np.asarray(ends(2, 2))
    starts = on_rim(y, two.radius, 20)
    np.testing.assert_allclose(np.sum((starts - y) ** 2, axis=(1, 2)), two.radius**2, rtol=1e-9)
    run = jax.vmap(lambda y0: af.simulate(held(2.0), y0, t1=60.0).y1)
    np.testing.assert_allclose(
        np.asarray(run(jnp.asarray(starts))), np.tile(y, (20, 1, 1)), atol=1e-6
    )


def test_copies_are_counted_by_masses_and_sign(two):
    assert two.copies == 6  # two of four ahead; the sign is one of these
    assert two.share == pytest.approx(6 * two.one)
    assert two.one == pytest.approx((two.radius**2 / 4) ** 4 / math.factorial(4))
    assert af.certify.basin(held(2.0), ends(4, 0)).copies == 2
    assert af.certify.basin(held(2.0), ends(3, 1)).copies == 8


@pytest.mark.parametrize(("tokens", "dim"), [(2, 3), (3, 3), (2, 2), (2, 5)])
def test_the_volume_is_below_what_is_counted(tokens, dim):
    """Uniform tokens by a generator; exact for d = 3, caps inside the ball otherwise."""
    x = np.random.default_rng(1).normal(size=(200_000, tokens, dim))
    x /= np.linalg.norm(x, axis=2, keepdims=True)
    pole = np.eye(dim)[0]
    counted = float(np.mean(np.sum((x - pole) ** 2, axis=(1, 2)) <= 1.0))
    error = 4 * math.sqrt(counted / len(x))
    bound = _basin_ball._volume(1.0, tokens, dim)
    assert 0 < bound <= counted + error
    if dim == 3:
        assert bound == pytest.approx(counted, abs=error)


def test_what_is_no_attractor_or_not_alone_is_not_proved():
    unstable = af.certify.basin(held(0.4), ends(2, 2))
    assert (unstable.verdict, unstable.radius, unstable.share) == ("refuted", 0.0, 0.0)
    nowhere = af.certify.basin(held(2.0), on_rim(np.asarray(ends(2, 2)), 0.3, 1)[0])
    assert (nowhere.proved, nowhere.share) == (False, 0.0)
    free = af.AttentionField(af.Sphere(3), P=jnp.eye(3), scale=1.0)
    one_of_many = af.certify.basin(free, ends(4, 0))
    assert one_of_many.verdict == "not decided"
    assert "family" in one_of_many.why


def test_an_ellipsoid_is_refused():
    ellipsoid = af.Ellipsoid(jnp.diag(jnp.array([1.0, 4.0])))
    field = af.AttentionField(ellipsoid, P=jnp.eye(2), U=jnp.diag(jnp.array([1.0, 0.5])))
    with pytest.raises(ValueError, match="must be on a Sphere"):
        af.certify.basin(field, jnp.array([[1.0, 0.0]]))


def test_a_causal_mask_allows_no_relabelling():
    U = jnp.diag(jnp.array([1.0, 0.5, 0.5]))
    field = af.AttentionField(af.Sphere(3), P=jnp.eye(3), U=U, mask="causal", scale=1.0)
    got = af.certify.basin(field, ends(4, 0))
    assert got.proved
    assert got.copies == 2
