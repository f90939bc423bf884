"""Spectra at known equilibria have their closed forms, on the sphere and on an ellipsoid."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import comb, iv

import attnflow as af
from attnflow import theory
from tests.systems import (
    PLACES,
    Oracle,
    Place,
    carry_p,
    carry_u,
    generator,
    random_orthogonal,
    random_rows,
)

D, L, H = 3, 5, 2  # one shape for most cases, so that they share compiled programs
AXES = np.array([0.9, 0.4, -0.3])  # eigenvalues of the symmetric U of K10


def sorted_real(values):
    return np.sort(np.asarray(values))[::-1]


def assert_real(found, expected, atol=1e-10):
    np.testing.assert_allclose(found.eigenvalues.imag, 0, atol=atol)
    np.testing.assert_allclose(found.eigenvalues.real, sorted_real(expected), atol=atol)
    assert (np.abs(found.eigenvalues.real - sorted_real(expected)) <= found.errors).all()


def random_p(rng, place):
    return jnp.stack([place.P(2 * rng.normal(size=(D, D))) for _ in range(H)])


def a_point(rng, place):
    return place.tokens(random_rows(rng, 1, np.eye(D)))[0]


@pytest.mark.parametrize("kind", PLACES)
@pytest.mark.parametrize("scale", [1.0, 0.7])
def test_k8_consensus_under_full_attention(kind, scale):
    rng, place = generator("k8", kind), Place(kind, D, "spectrum")
    field = af.AttentionField(place.general, random_p(rng, place), scale=scale)
    y = theory.consensus_state(L, a_point(rng, place), manifold=place.manifold)
    local = theory.spectrum(field, 0.0, y)
    assert_real(local, [0.0] * (D - 1) + [-H * scale] * ((L - 1) * (D - 1)))
    assert (local.verdict, local.family) == ("stable", D - 1)
    assert local.margin < 1e-12


@pytest.mark.parametrize("kind", PLACES)
def test_k9_consensus_under_causal_attention(kind):
    rng, place = generator("k9", kind), Place(kind, D, "spectrum")
    field = af.AttentionField(place.general, random_p(rng, place), mask="causal", scale=1 / H)
    y = theory.consensus_state(L, a_point(rng, place), manifold=place.manifold)
    local = theory.spectrum(field, 0.0, y)
    assert_real(local, np.repeat(-(1 - 1 / np.arange(1, L + 1)), D - 1))
    assert (local.verdict, local.family) == ("stable", D - 1)


@pytest.mark.parametrize("kind", PLACES)
def test_modes_of_causal_consensus_are_binomial_coefficients(kind):
    """That of token k has C(j-1, k-1) at token j: sums of columns of Pascal's triangle are in the next.

    They grow like 2^j, so that a solver for the whole matrix loses them.
    """
    rng, place = generator("binomial", kind), Place(kind, D, "spectrum")
    tokens = 30
    field = af.AttentionField(place.general, random_p(rng, place), mask="causal", scale=1 / H)
    y = theory.consensus_state(tokens, a_point(rng, place), manifold=place.manifold)
    local = theory.spectrum(field, 0.0, y)
    sizes = np.sqrt(np.einsum("nia,ab,nib->ni", local.modes, place.W, local.modes.conj()).real)
    for k in range(1, tokens + 1):
        expected = comb(np.arange(tokens), k - 1)
        expected = np.tile(expected / np.linalg.norm(expected), (D - 1, 1))
        of_this = np.argsort(np.abs(local.eigenvalues + 1 - 1 / k))[: D - 1]
        np.testing.assert_allclose(sizes[of_this], expected, rtol=1e-10)


def symmetric_values(rng, heads):
    """Symmetric U, one a head, that add up to one with the eigenvalues `AXES`; its eigenvectors."""
    basis = random_orthogonal(rng, D)
    total = (basis * AXES) @ basis.T
    parts = rng.normal(size=(heads, D, D))
    parts = parts + parts.transpose(0, 2, 1)
    return parts + (total - parts.sum(axis=0)) / heads, basis


@pytest.mark.parametrize("kind", PLACES)
@pytest.mark.parametrize("heads", [1, 2])
@pytest.mark.parametrize("mask", [None, "causal"])
def test_k10_consensus_at_an_eigenvector_of_symmetric_values(kind, heads, mask):
    rng, place = generator("k10", kind, heads), Place(kind, D, "spectrum")
    U, basis = symmetric_values(rng, heads)
    U = np.broadcast_to(U / (H / heads), (H, D, D))  # one head twice, at half: the same shapes
    carried = jnp.stack([place.U(u) for u in U])
    field = af.AttentionField(place.general, random_p(rng, place), U=carried, mask=mask, scale=1.0)
    for which, at in enumerate(AXES):
        v = place.tokens(basis[:, which][None])[0]
        y = theory.consensus_state(L, v, manifold=place.manifold)
        local = theory.spectrum(field, 0.0, y)
        expected = []
        for m in np.delete(AXES, which):
            if mask is None:
                expected += [-at] * (L - 1) + [m - at]
            else:
                expected += list(-at + m / np.arange(1, L + 1))
        assert_real(local, expected)
        assert local.family == 0
        assert local.verdict == ("stable" if which == 0 else "unstable")
        assert local.speed < 1e-14


@pytest.mark.parametrize("kind", PLACES)
@pytest.mark.parametrize("beta", [-3.0, -0.5, 1.0, 4.0])
def test_k11_the_equilateral_triangle(kind, beta):
    place = Place(kind, 2, "spectrum")
    y = theory.polygon(3, manifold=place.manifold)
    rate = np.exp(-beta / 2) * (0.5 + 0.75 * beta)
    mean = (np.exp(beta) + 2 * np.exp(-beta / 2)) / 3
    for kernel, divisor in (("exp", 1.0), ("softmax", mean)):
        P = place.P(beta * np.eye(2))
        field = af.AttentionField(place.general, P, kernel=kernel, scale=1.0)
        local = theory.spectrum(field, 0.0, y)
        assert_real(local, [0.0, rate / divisor, rate / divisor], atol=1e-12 * np.exp(abs(beta)))
        assert local.family == 1
        assert local.verdict == ("stable" if beta < -2 / 3 else "unstable")


@pytest.mark.slow
@pytest.mark.parametrize("kind", PLACES)
@pytest.mark.parametrize("kernel", ["softmax", "exp"])
def test_k11_polyhedra_are_sources_modulo_rotation(kind, kernel):
    flat, solid = Place(kind, 2, "spectrum"), Place(kind, 3, "spectrum")
    for place, y, family in (
        (flat, theory.polygon(3, manifold=flat.manifold), 1),
        (flat, theory.polygon(6, manifold=flat.manifold), 1),
        (solid, theory.simplex(4, manifold=solid.manifold), 3),
        (solid, theory.cross_polytope(3, manifold=solid.manifold), 3),
    ):
        P = place.P(1.5 * np.eye(place.manifold.dim))
        field = af.AttentionField(place.general, P, kernel=kernel, scale=1.0)
        local = theory.spectrum(field, 0.0, y)
        assert local.verdict == "unstable"
        assert (local.family, local.neutral, local.stable) == (family, family, 0)


def antipodal_rates(beta, kernel, dim):
    """Two tokens at each end of one line, `P = βI`, to first order, by hand.

    Along any of the d - 1 directions the tokens turn by angles θ in one plane. With a = e^β/4 for the
    own end and b = e^-β/4 for the other (sin(θ + π) changes sign there),
    θ_i' = a (θ_j − θ_i) − b Σ_k (θ_k − θ_i), j at the own end and k at the other; softmax divides by
    2a + 2b. θ = (1,1,1,1): 0. (1,1,−1,−1): −b·2·(−2) = 4b. (1,−1,0,0) and (0,0,1,−1): −2a + 2b.
    """
    a, b = np.exp(beta) / 4, np.exp(-beta) / 4
    divisor = 1.0 if kernel == "exp" else 2 * a + 2 * b
    return np.repeat([0.0, 4 * b / divisor, *[(2 * b - 2 * a) / divisor] * 2], dim - 1)


@pytest.mark.parametrize("kind", PLACES)
@pytest.mark.parametrize("kernel", ["softmax", "exp"])
@pytest.mark.parametrize("beta", [1.0, 9.0])
def test_antipodal_pairs_are_saddles_however_slow(kind, kernel, beta):
    place = Place(kind, 3, "spectrum")
    v = jnp.asarray(generator("antipodal").normal(size=3))
    y = theory.split(2, 2, v, manifold=place.manifold)
    field = af.AttentionField(place.general, place.P(beta * np.eye(3)), kernel=kernel, scale=1.0)
    local = theory.spectrum(field, 0.0, y)
    expected = sorted_real(antipodal_rates(beta, kernel, 3))
    if (beta, kernel) == (9.0, "softmax"):
        assert expected[0] == pytest.approx(3.046e-8, rel=1e-3)
    np.testing.assert_allclose(local.eigenvalues.real[:2], expected[:2], rtol=1e-7)
    assert_real(local, expected, atol=1e-14 * np.abs(expected).max())
    assert (local.unstable, local.family, local.stable) == (2, 2, 4)
    assert local.verdict == "unstable"


@pytest.mark.slow
@pytest.mark.parametrize("kind", PLACES)
@pytest.mark.parametrize("beta", [1.0, 4.0])
def test_k12_modes_of_a_polygon_grow_as_those_of_the_uniform_density(kind, beta):
    place = Place(kind, 2, "spectrum")
    y = theory.polygon(64, manifold=place.manifold)
    angle = 2 * np.pi * np.arange(64) / 64
    across = np.stack([-np.sin(angle), np.cos(angle)], axis=1)
    for kernel, divisor in (("exp", 1.0), ("softmax", iv(0, beta))):
        P = place.P(beta * np.eye(2))
        local = theory.spectrum(af.AttentionField(place.general, P, kernel=kernel, scale=1.0), 0, y)
        # Angles of each mode, and which wave it is: the one of two that it is made of.
        theta = np.einsum("nid,id->ni", np.stack([place.back(m.real) for m in local.modes]), across)
        power = np.abs(np.fft.rfft(theta, axis=1))
        for k in range(1, 7):
            pair = np.flatnonzero(power.argmax(axis=1) == k)
            assert len(pair) == 2
            rate = k**2 * iv(k, beta) / beta / divisor
            np.testing.assert_allclose(local.eigenvalues[pair], rate, atol=1e-10)


def ambient_jacobian(oracle, t, y, step=1e-5):
    """Of the oracle's velocity after projection, by central differences of fourth order."""

    def f(z):
        z = z.reshape(y.shape)
        return oracle.velocity(t, z / oracle.norm(z)[:, None]).ravel()

    J = np.zeros((y.size, y.size))
    for k, e in enumerate(np.eye(y.size)):
        near = f(y.ravel() + step * e) - f(y.ravel() - step * e)
        far = f(y.ravel() + 2 * step * e) - f(y.ravel() - 2 * step * e)
        J[:, k] = (8 * near - far) / (12 * step)
    return J


@pytest.mark.parametrize("kind", PLACES)
@pytest.mark.parametrize("normalisation", ["post", "ngpt", "sqrt"])
@pytest.mark.parametrize("mask", ["full", "causal"])
def test_anywhere_it_is_the_covariant_derivative_of_the_velocity(kind, normalisation, mask):
    """Two heads, general P(t) and U, weights: against differences of the oracle in the ambient space."""
    rng, place = generator("anywhere", kind, mask), Place(kind, D, "spectrum")
    P, U = rng.normal(size=(2, H, D, D))
    weights = rng.uniform(0.5, 2, L)
    allowed = np.tril(np.ones((L, L), bool)) if mask == "causal" else np.ones((L, L), bool)
    oracle = Oracle(
        place.W,
        lambda t: np.cos(t) * carry_p(P, place.W),
        carry_u(U, place.W),
        allowed=allowed,
        weights=weights,
        normalisation=normalisation,
    )
    field = af.AttentionField(
        place.general,
        af.Function(Cosine(place.P(P))),
        U=place.U(U),
        mask=jnp.asarray(allowed),
        weights=jnp.asarray(weights),
        normalisation=normalisation,
    )
    y = random_rows(rng, L, place.W)
    J = ambient_jacobian(oracle, 0.4, y)
    onto = np.zeros((L, D, L, D))
    for i in range(L):
        onto[i, :, i, :] = np.eye(D) - np.outer(y[i], y[i] @ place.W)
    within = onto.reshape(L * D, L * D) @ J
    expected = np.linalg.eigvals(within)
    expected = expected[np.argsort(np.abs(expected))[L:]]  # less the zero of each token's normal
    local = theory.spectrum(field, 0.4, jnp.asarray(y))
    for value in expected:
        assert np.abs(local.eigenvalues - value).min() < 1e-8
    assert len(local.eigenvalues) == len(expected)
    assert local.verdict == "undecided"
    assert "polish" in str(local)
    for value, mode in zip(local.eigenvalues, local.modes, strict=True):
        turned = (within @ mode.ravel()).reshape(L, D)
        np.testing.assert_allclose(turned, value * mode, atol=1e-8)
        assert np.einsum("ia,ab,ib->", mode.conj(), place.W, mode).real == pytest.approx(1.0)


class Cosine(eqx.Module):
    P: jax.Array

    def __call__(self, t):
        return jnp.cos(t) * self.P


def test_tokens_in_any_order_of_dependence_keep_the_digits_of_repeated_eigenvalues():
    """Each token sees itself and its neighbour, U turns about v: Jordan blocks of ℓ - 1, one mode each.

    With displacements as complex numbers δ' = ½ e^{iφ} (δ_before + δ) - δ.
    """
    place = Place("ellipsoid", D, "spectrum")
    rng = generator("window")
    order = rng.permutation(L)
    chain = np.eye(L, dtype=bool) | np.eye(L, k=-1, dtype=bool)
    mask = jnp.asarray(chain[np.ix_(order, order)])
    turn = np.array([[np.cos(1), -np.sin(1), 0], [np.sin(1), np.cos(1), 0], [0, 0, 1]])
    U = jnp.broadcast_to(place.U(turn), (H, D, D))
    field = af.AttentionField(place.general, random_p(rng, place), U=U, mask=mask, scale=1 / H)
    v = place.tokens(np.eye(D)[2:])[0]
    local = theory.spectrum(field, 0.0, theory.consensus_state(L, v, manifold=place.manifold))
    first, others = np.exp(1j) - 1, np.exp(1j) / 2 - 1
    expected = np.array([first] + [others] * (L - 1))
    above = local.eigenvalues[local.eigenvalues.imag > 0]
    np.testing.assert_allclose(above, expected, atol=1e-14)
    below = local.eigenvalues[local.eigenvalues.imag < 0]
    np.testing.assert_allclose(below, expected.conj(), atol=1e-14)
    dense = np.linalg.eigvals(local.jacobian)
    dense = dense[dense.imag > 0]
    assert np.abs(dense[:, None] - expected[None, :]).min(axis=1).max() > 1e-6
    known = ~np.isnan(local.modes[:, 0, 0])
    np.testing.assert_array_equal(known[:2], True)
    assert known[2:].sum() == 2  # the last token of the chain alone moves
    assert (local.verdict, local.family) == ("stable", 0)


def test_the_family_is_that_of_the_rotations_which_the_field_has():
    sphere = af.Ellipsoid(jnp.eye(3))
    y = theory.cross_polytope(3)
    for P, dimension in (
        (jnp.eye(3), 3),
        (jnp.diag(jnp.array([1.0, 1.0, 2.0])), 1),
        (jnp.diag(jnp.array([1.0, 1.5, 2.0])), 0),
        (jnp.array([[1.0, 0.4, 0], [-0.4, 1.0, 0], [0, 0, 2.0]]), 1),
    ):
        local = theory.spectrum(af.AttentionField(sphere, P, scale=1.0), 0.0, y)
        assert local.family == dimension


@pytest.mark.parametrize("kind", PLACES)
def test_a_line_of_tokens_turns_freely_under_any_p_and_identity_values(kind):
    """No rotation commutes with P, and every line is an equilibrium: a family all the same."""
    rng, place = generator("line", kind), Place(kind, D, "spectrum")
    field = af.AttentionField(place.general, random_p(rng, place), scale=1.0)
    y = theory.split(3, 2, a_point(rng, place), manifold=place.manifold)
    local = theory.spectrum(field, 0.0, y)
    assert (local.family, local.at_rest) == (D - 1, True)
    assert np.sum(np.abs(local.eigenvalues) < 1e-13) == D - 1


def test_frozen_tokens_are_left_out_of_the_verdict():
    """One token fixed, the others consent with it: stable, and no rotation is left."""
    sphere = af.Ellipsoid(jnp.eye(3))
    frozen = jnp.array([False, True, False, False, False])
    field = af.AttentionField(sphere, jnp.eye(3), frozen=frozen, scale=1.0)
    y = theory.consensus_state(L, jnp.array([0.6, 0.0, 0.8]))
    local = theory.spectrum(field, 0.0, y)
    # δ' = mean(δ) - δ with one δ held at zero: -1 three times, -1/5 once, in each direction
    assert_real(local, [0.0] * 2 + [-0.2] * 2 + [-1.0] * 6, atol=1e-14)
    assert (local.verdict, local.family, local.neutral) == ("stable", 0, 2)


def test_an_eigenvalue_that_cannot_be_told_from_zero_leaves_the_verdict_open():
    """U of a double top eigenvalue, P that is not symmetric: neutral, and of no known family."""
    sphere = af.Ellipsoid(jnp.eye(3))
    P = jnp.asarray(generator("double").normal(size=(H, D, D)))
    U = jnp.diag(jnp.array([1.0, 1.0, 0.0]))
    field = af.AttentionField(sphere, P, U=jnp.stack([U, U]), scale=1 / H)
    y = theory.consensus_state(L, jnp.array([1.0, 0.0, 0.0]))
    local = theory.spectrum(field, 0.0, y)
    assert (local.verdict, local.family, local.neutral) == ("undecided", 0, 1)
    assert theory.spectrum(field, 0.0, y, margin=1.5).neutral == len(local.eigenvalues)


@pytest.mark.slow
def test_float32_gives_what_float64_gives_with_a_margin_of_its_own():
    rng = generator("float32")
    P = jnp.asarray(rng.normal(size=(H, D, D)))
    y = theory.consensus_state(L, a_point(rng, Place("sphere", D)))
    field = af.AttentionField(af.Ellipsoid(jnp.eye(D)), P, mask="causal", scale=1 / H)
    wide = theory.spectrum(field, 0.0, y)
    short = theory.spectrum(field, 0.0, y.astype(jnp.float32))
    assert (np.abs(short.eigenvalues - wide.eigenvalues) < short.errors + wide.errors).all()
    assert 1e-7 < short.margin < 1e-3
    assert short.verdict == wide.verdict == "stable"


def test_the_jacobian_is_that_of_the_spectrum_inside_jit_and_vmap():
    place = Place("ellipsoid", D, "spectrum")
    rng = generator("jit")
    field = af.AttentionField(place.general, random_p(rng, place))
    ys = jnp.asarray(np.stack([random_rows(rng, L, place.W) for _ in range(3)]))
    many = jax.jit(jax.vmap(lambda y: theory.jacobian(field, 0.3, y)))(ys)
    for y, J in zip(ys, many, strict=True):
        np.testing.assert_allclose(theory.spectrum(field, 0.3, y).jacobian, J, atol=1e-13)
        np.testing.assert_allclose(theory.jacobian(field, 0.3, y), J, atol=1e-13)


def test_a_summary_says_what_was_found():
    field = af.AttentionField(af.Ellipsoid(jnp.eye(3)), jnp.eye(3), scale=1.0)
    text = str(theory.spectrum(field, 0.0, theory.cross_polytope(3)))
    assert "unstable modulo a family of dimension 3: 9 unstable, 3 neutral, 0 stable of 12" in text


def test_what_has_no_spectrum_is_refused(as_user):
    sphere, y = af.Sphere(3), theory.polygon(5, dim=3)
    field = af.AttentionField(sphere, jnp.eye(3))
    for normalisation in ("pre", "peri", af.Mix(switch=1.0)):
        bad = af.AttentionField(sphere, jnp.eye(3), normalisation=normalisation)
        for function in (theory.spectrum, theory.jacobian):
            with pytest.raises(ValueError, match="`field` must keep tokens on the manifold"):
                function(bad, 0.0, y)
    with pytest.raises(ValueError, match="`field` must be an AttentionField; got Sphere"):
        theory.spectrum(sphere, 0.0, y)
    with pytest.raises(ValueError, match="`field` must have dim at least 2"):
        theory.spectrum(af.AttentionField(af.Sphere(1), jnp.eye(1)), 0.0, jnp.ones((2, 1)))
    with pytest.raises(ValueError, match="`y` must lie on the manifold"):
        theory.spectrum(field, 0.0, 2 * y)
    with pytest.raises(ValueError, match="`y` must have 4 tokens"):
        masked = af.AttentionField(sphere, jnp.eye(3), mask=jnp.ones((4, 4), bool))
        theory.spectrum(masked, 0.0, y)
    with pytest.raises(ValueError, match="`y` must be float32 or float64; got float16"):
        theory.spectrum(field, 0.0, y.astype(jnp.float16))
    with pytest.raises(ValueError, match="`t` must be a number"):
        theory.spectrum(field, jnp.zeros(2), y)
    with pytest.raises(ValueError, match="`margin` must be a number, zero or more; got -1"):
        theory.spectrum(field, 0.0, y, margin=-1.0)
    with pytest.raises(ValueError, match="`field` must have a finite Jacobian"):
        theory.spectrum(af.AttentionField(sphere, 800 * jnp.eye(3), kernel="exp"), 0.0, y)
