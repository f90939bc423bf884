"""Symmetries of the model: rotations, permutations, sign; of the field and of whole runs."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest

import attnflow as af
from tests.systems import PLACES, Place, generator, random_orthogonal, random_rows

TOKENS, DIM = 8, 3


@eqx.filter_jit
def velocity(field, y):
    return field(jnp.asarray(0.0), y)


def setting(kind, *names):
    rng = generator("equivariance", kind, *names)
    place = Place(kind, DIM)
    P, U = rng.normal(size=(2, 2, DIM, DIM))
    return rng, place, P, U, random_rows(rng, TOKENS, np.eye(DIM))


@pytest.mark.parametrize("mask", [None, "causal"])
@pytest.mark.parametrize("kind", PLACES)
def test_rotated_tokens_with_conjugated_matrices_move_alike(kind, mask):
    """x -> Rx, P -> R P R', U -> R U R'; on the ellipsoid the rotations of its inner product."""
    rng, place, P, U, x = setting(kind, "rotation")
    R = random_orthogonal(rng, DIM)

    def build(P, U):
        return af.AttentionField(place.manifold, place.P(P), U=place.U(U), mask=mask)

    field, turned = build(P, U), build(R @ P @ R.T, R @ U @ R.T)
    v = place.back(velocity(field, place.tokens(x)))
    w = place.back(velocity(turned, place.tokens(x @ R.T)))
    np.testing.assert_allclose(w, v @ R.T, rtol=1e-11, atol=1e-13)
    if kind == "sphere" and mask is not None:
        end, other = (
            np.asarray(af.simulate(f, place.tokens(z), t1=5.0, rtol=1e-10, atol=1e-12).y1)
            for f, z in ((field, x), (turned, x @ R.T))
        )
        assert np.abs(end - x).max() > 0.1
        np.testing.assert_allclose(other, end @ R.T, atol=1e-9)


@pytest.mark.parametrize("kind", PLACES)
def test_permuted_tokens_move_permuted(kind):
    """Full attention; and with a mask, a bias, masses and frozen tokens permuted along."""
    rng, place, P, U, x = setting(kind, "permutation")
    order = rng.permutation(TOKENS)
    y = place.tokens(x)
    full = af.AttentionField(place.manifold, place.P(P), U=place.U(U))
    np.testing.assert_allclose(
        velocity(full, y[order]), velocity(full, y)[order], rtol=1e-11, atol=1e-13
    )

    mask = (rng.uniform(size=(TOKENS, TOKENS)) < 0.5) | np.eye(TOKENS, dtype=bool)
    bias = np.where(mask, rng.normal(size=(2, TOKENS, TOKENS)), -np.inf)
    mass, frozen = rng.uniform(0.1, 2, TOKENS), rng.uniform(size=TOKENS) < 0.3
    for matrix in (mask, bias):
        fields = [
            af.AttentionField(
                place.manifold,
                place.P(P),
                U=place.U(U),
                mask=jnp.asarray(matrix[..., o, :][..., :, o]),
                weights=jnp.asarray(mass[o]),
                frozen=jnp.asarray(frozen[o]),
            )
            for o in (np.arange(TOKENS), order)
        ]
        plain = velocity(fields[0], y)[order]
        np.testing.assert_allclose(velocity(fields[1], y[order]), plain, rtol=1e-11, atol=1e-13)
        assert not np.allclose(velocity(fields[0], y[order]), plain)

    if kind == "sphere":
        end, other = (
            np.asarray(af.simulate(full, z, t1=5.0, rtol=1e-10, atol=1e-12).y1)
            for z in (y, y[order])
        )
        np.testing.assert_allclose(other, end[order], atol=1e-9)


def test_a_causal_field_is_not_permutation_equivariant():
    _, place, P, U, x = setting("sphere", "causal")
    field = af.AttentionField(place.manifold, place.P(P), U=place.U(U), mask="causal")
    assert not np.allclose(
        velocity(field, jnp.asarray(x[::-1])), velocity(field, jnp.asarray(x))[::-1]
    )


@pytest.mark.parametrize("kind", PLACES)
def test_opposite_tokens_move_oppositely(kind):
    _, place, P, U, x = setting(kind, "sign")
    field = af.AttentionField(place.manifold, place.P(P), U=place.U(U), mask="causal")
    y = place.tokens(x)
    np.testing.assert_allclose(velocity(field, -y), -velocity(field, y), rtol=1e-12)


@pytest.mark.parametrize("kind", PLACES)
def test_copies_of_a_token_are_a_token_of_more_mass(kind):
    """Full attention on (a, a, a, b, ...) moves as (a, b, ...) with masses (3, 1, ...)."""
    _, place, P, U, x = setting(kind, "mass")
    many = place.tokens(np.concatenate([x[:1], x[:1], x]))
    few = place.tokens(x)
    args = (place.manifold, place.P(P))
    copies = af.AttentionField(*args, U=place.U(U))
    heavy = af.AttentionField(*args, U=place.U(U), weights=jnp.array([3.0] + [1.0] * (TOKENS - 1)))
    np.testing.assert_allclose(
        velocity(copies, many)[2:], velocity(heavy, few), rtol=1e-11, atol=1e-13
    )


def test_causal_tokens_do_not_see_later_ones():
    """Dropping later tokens changes nothing for the earlier."""
    _, place, P, U, x = setting("sphere", "prefix")
    field = af.AttentionField(place.manifold, place.P(P), U=place.U(U), mask="causal")
    y = place.tokens(x)
    np.testing.assert_allclose(velocity(field, y[:5]), velocity(field, y)[:5], rtol=1e-12)
