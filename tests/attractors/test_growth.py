"""Growth in finite time, slow modes and covariant vectors, where Jacobians say what they are."""

import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import attnflow as af
from attnflow.linearisation import tangent_basis

SPHERE = af.Sphere(3)
CIRCLE = af.Sphere(2)


def causal():
    """At consensus on the circle J is minus a row of averages: J_kk = 1/k - 1, J_kj = 1/k for j < k."""
    return af.AttentionField(CIRCLE, P=jnp.eye(2), mask="causal", scale=1.0)


def averages(tokens):
    return np.tril(np.ones((tokens, tokens)) / np.arange(1, tokens + 1)[:, None]) - np.eye(tokens)


@pytest.fixture(scope="module")
def grown():
    consensus = jnp.tile(jnp.array([1.0, 0.0]), (6, 1))
    return af.attractors.growth(causal(), consensus, np.array([0.0, 1.0, 5.0, 20.0]))


def test_causal_consensus_has_the_growth_of_its_triangle(grown):
    """Without the family: differences to the first token, which stays where it is."""
    J = averages(6)
    # The family turns all tokens together; what is orthogonal to it, by hand.
    one = np.ones((6, 1)) / np.sqrt(6)
    free = np.linalg.svd(np.eye(6) - one @ one.T)[0][:, :5]
    A = free.T @ J @ free
    assert grown.numerical_abscissa == pytest.approx(
        np.linalg.eigvalsh((A + A.T) / 2)[-1], abs=1e-12
    )
    assert grown.abscissa == pytest.approx(-0.5, abs=1e-10)
    values, V = np.linalg.eig(A)
    for time, norm in zip(grown.times, grown.norms, strict=True):
        E = np.real(V @ np.diag(np.exp(time * values)) @ np.linalg.inv(V))
        assert norm == pytest.approx(np.linalg.norm(E, 2), rel=1e-8)
    np.testing.assert_allclose(
        np.sort(grown.slow.real), np.sort(1 / np.arange(2, 6) - 1), atol=1e-9
    )


def test_the_peak_is_no_less_than_any_norm_and_is_reached(grown):
    assert grown.peak >= grown.norms.max() - 1e-9
    assert 0 <= grown.peak_time <= 20
    assert np.linalg.norm(grown.start) == pytest.approx(1)
    assert "at first" in str(grown)


def test_symmetric_jacobians_only_decline():
    full = af.AttentionField(CIRCLE, P=jnp.eye(2), scale=1.0)
    got = af.attractors.growth(full, jnp.tile(jnp.array([1.0, 0.0]), (4, 1)), [0.0, 1.0])
    assert got.peak == pytest.approx(1)
    assert got.numerical_abscissa == pytest.approx(-1, abs=1e-12)
    np.testing.assert_allclose(got.norms, np.exp([0.0, -1.0]), rtol=1e-10)


@pytest.mark.slow
def test_covariant_vectors_at_rest_are_eigenvectors():
    U = jnp.diag(jnp.array([1.0, 0.7, 0.2]))
    field = af.AttentionField(SPHERE, P=jnp.eye(3), U=U, mask="causal", scale=1.0)
    start = SPHERE.random_hemisphere(jr.key(0), (2,), v=jnp.array([1.0, 0.0, 0.0]))
    got = af.attractors.covariant_vectors(field, start, t1=120.0, count=4, steps=64)
    local = af.theory.spectrum(field, 0.0, jnp.asarray(got.ys[-1]))
    np.testing.assert_allclose(got.values, local.eigenvalues.real, atol=1e-3)
    J = local.jacobian
    basis = np.asarray(tangent_basis(jnp.asarray(got.ys[-1])))
    for k, vector in enumerate(got.vectors[len(got.ts) // 2]):
        v = np.einsum("idk,id->ik", basis, vector).ravel()
        np.testing.assert_allclose(J @ v, got.values[k] * v, atol=1e-2)


def test_wrong_times_are_refused():
    with pytest.raises(ValueError, match="`times` must increase"):
        af.attractors.growth(causal(), jnp.tile(jnp.array([1.0, 0.0]), (3, 1)), [1.0, 0.5])
    with pytest.raises(ValueError, match="`t1` must be after"):
        af.attractors.covariant_vectors(causal(), jnp.eye(2), t1=-1.0, count=1)
