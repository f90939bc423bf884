"""Branches follow their equilibrium, and say where it loses or gains stability, or turns back."""

import jax.numpy as jnp
import numpy as np
import pytest

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


def triangle(place, kernel="exp"):
    W = place.P(np.eye(2))

    def family(beta):
        return af.AttentionField(place.general, P=beta * W, kernel=kernel, scale=1.0)

    return family, theory.polygon(3, manifold=place.manifold)


@pytest.mark.parametrize("kind", PLACES)
@pytest.mark.parametrize("kernel", ["exp", "softmax"])
def test_k11_the_triangle_loses_stability_at_minus_two_thirds(kind, kernel):
    family, y = triangle(Place(kind, 2, "continuation"), kernel)
    branch = theory.continuation(family, y, jnp.linspace(-2.0, 1.0, 6))
    (crossing,) = branch.crossings
    assert crossing.parameter == pytest.approx(-2 / 3, rel=1e-12)
    assert crossing.width < 1e-12
    assert (crossing.direction, crossing.multiplicity) == ("loses", 2)
    assert abs(crossing.eigenvalue) < 1e-14
    np.testing.assert_allclose(crossing.y, y, atol=1e-13)
    assert branch.verdicts == ("stable",) * 3 + ("unstable",) * 3
    np.testing.assert_array_equal(branch.unstable, [0, 0, 0, 2, 2, 2])
    if kernel == "exp":
        beta = branch.parameter
        rate = np.exp(-beta / 2) * (0.5 + 0.75 * beta)
        np.testing.assert_allclose(
            np.sort(branch.eigenvalues.real, axis=1),
            np.sort(np.stack([rate, rate, 0 * rate], axis=1), axis=1),
            atol=1e-13,
        )


def test_followed_backwards_the_triangle_gains_stability():
    family, y = triangle(Place("sphere", 2))
    # -2/3 itself is among the values: neither side there, and one crossing all the same.
    branch = theory.continuation(family, y, np.array([1.0, -1 / 6, -2 / 3, -2.0]))
    (crossing,) = branch.crossings
    assert crossing.parameter == pytest.approx(-2 / 3, rel=1e-12)
    assert (crossing.direction, crossing.multiplicity) == ("gains", 2)
    assert branch.verdicts == ("unstable", "unstable", "undecided", "stable")
    assert "gains stability at -0.66666666666" in str(branch)


@pytest.mark.slow
@pytest.mark.parametrize("kind", PLACES)
@pytest.mark.parametrize("mask", [None, "causal"])
def test_k10_an_eigenvalue_of_the_values_raised_through_that_of_the_consensus(kind, mask):
    """Full: m - L changes sign at m = L = 0.5; causal also -L + m/k, at m = k L."""
    place = Place(kind, 3, "continuation")
    rng = generator("raised", kind)
    basis = random_orthogonal(rng, 3)
    P = place.P(rng.normal(size=(3, 3)))
    fixed = place.U((basis * np.array([0.5, 0.0, -0.3])) @ basis.T)
    raised = place.U(np.outer(basis[:, 1], basis[:, 1]))

    def family(m):
        return af.AttentionField(place.general, P, U=fixed + m * raised, mask=mask, scale=1.0)

    y = theory.consensus_state(4, place.tokens(basis[:, :1].T)[0], manifold=place.manifold)
    branch = theory.continuation(family, y, np.array([-0.2, 0.3, 0.7, 1.3]))
    places = [0.5] if mask is None else [0.5, 1.0]
    result = [crossing.parameter for crossing in branch.crossings]
    np.testing.assert_allclose(result, places, rtol=1e-12)
    for crossing in branch.crossings:
        assert (crossing.direction, crossing.multiplicity) == ("loses", 1)
    np.testing.assert_array_equal(branch.unstable, [0, 0, 1, 1 if mask is None else 2])


@pytest.mark.parametrize("kind", PLACES)
def test_a_pair_that_crosses_off_the_real_axis_is_oscillatory(kind):
    """U turns about v by one radian, P = 0, causal: -1 + r e^{±i}/k for token k at r = 1/cos 1."""
    place = Place(kind, 3, "continuation")
    turn = np.array([[np.cos(1), -np.sin(1), 0], [np.sin(1), np.cos(1), 0], [0, 0, 0]])
    turning, along = place.U(turn), place.U(np.diag([0.0, 0.0, 1.0]))
    P = place.P(np.zeros((3, 3)))

    def family(r):
        return af.AttentionField(place.general, P, U=along + r * turning, mask="causal", scale=1.0)

    y = theory.consensus_state(4, place.tokens(np.eye(3)[2:])[0], manifold=place.manifold)
    branch = theory.continuation(family, y, np.array([0.5, 2.5]))
    (crossing,) = branch.crossings
    assert crossing.parameter == pytest.approx(1 / np.cos(1), rel=1e-12)
    assert crossing.eigenvalue == pytest.approx(1j * np.tan(1), abs=1e-12)
    assert crossing.multiplicity == 2
    assert "(oscillatory, 2 eigenvalues)" in str(branch)


VALUES = np.array([1.0, 0.6, -0.8])


def bent(kind, mask, seed):
    """Two heads of a general P that the parameter bends, and an equilibrium that is no consensus."""
    place = Place(kind, 3, "continuation")
    rng = generator("bent", mask, seed)
    first, other = rng.normal(size=(2, 2, 3, 3))
    basis = random_orthogonal(rng, 3)
    U = (basis * VALUES) @ basis.T
    start, change, values = place.P(first), place.P(other), place.U(U)

    def family(p):
        P = start + p * change
        return af.AttentionField(place.general, P, U=values, mask=mask, scale=0.5)

    near = place.tokens(random_rows(rng, 4, np.eye(3)))
    y = theory.equilibrium(family(jnp.array(0.0)), near).y

    def oracle(p):
        allowed = np.tril(np.ones((4, 4), bool)) if mask else None
        P = carry_p(first + p * other, place.W)
        U_there = np.stack([carry_u(U, place.W)] * 2)
        return Oracle(place.W, P, U_there, allowed=allowed, scale=0.5)

    return family, y, oracle


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sphere", pytest.param("ellipsoid", marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("mask", "seed"), [(None, 4), pytest.param("causal", 2, marks=pytest.mark.slow)]
)
def test_a_branch_without_symmetry_ends_where_direct_polishing_does(kind, mask, seed):
    family, y, oracle = bent(kind, mask, seed)
    branch = theory.continuation(family, y, np.array([0.0, 0.25, 0.5]))
    assert branch.stopped is None
    assert np.abs(branch.y[-1] - y).max() > 0.05
    field = family(jnp.array(0.5))
    assert theory.equilibrium(field, branch.y[-1]).moved < 1e-13
    assert np.abs(oracle(0.5).velocity(0.0, np.asarray(branch.y[-1]))).max() < 2e-14
    local = theory.spectrum(field, 0.0, branch.y[-1])
    np.testing.assert_allclose(local.eigenvalues, branch.eigenvalues[-1], atol=1e-12)


@pytest.mark.slow
def test_crossings_of_a_branch_that_others_meet_do_not_depend_on_the_steps():
    """The causal branch of seed 7: at each crossing the Jacobian is singular, and the tokens move."""
    family, y, oracle = bent("sphere", "causal", 7)
    coarse = theory.continuation(family, y, np.array([0.0, 0.25, 0.45]))
    fine = theory.continuation(family, y, np.linspace(0.0, 0.45, 41))
    assert len(coarse.crossings) == 3
    for one, other in zip(coarse.crossings, fine.crossings, strict=True):
        assert one.parameter == pytest.approx(other.parameter, rel=2e-11)
        assert abs(one.parameter - other.parameter) < one.width + other.width
        assert one.width < 1e-9
        assert np.abs(oracle(one.parameter).velocity(0.0, np.asarray(one.y))).max() < 1e-12
        assert abs(one.eigenvalue) < 1e-12
        assert one.direction == other.direction == "gains"
    np.testing.assert_allclose(coarse.y[-1], fine.y[-1], atol=1e-12)


def in_a_wind(angle):
    """One token, U = diag(1, -1), and a drift of strength h: θ' = -sin 2θ - h sin(θ - angle)."""
    direction = np.array([[np.cos(angle), np.sin(angle)]])
    U = jnp.diag(jnp.array([1.0, -1.0]))

    def family(h):
        def drift(t, y):
            return h * jnp.asarray(direction)

        return af.AttentionField(af.Sphere(2), jnp.zeros((2, 2)), U=U, scale=1.0, drift=drift)

    return family


@pytest.mark.slow
@pytest.mark.parametrize("values", [[0.0, 0.4, 0.8, 1.2], [0.0, 0.5, 1.0, 1.5]])
def test_a_branch_that_turns_back_says_where(values):
    """Stoner and Wohlfarth's astroid: at angle φ the well is gone at h = 2/(|cos φ|^⅔ + |sin φ|^⅔)^{3/2}."""
    branch = theory.continuation(in_a_wind(3 * np.pi / 4), jnp.array([[1.0, 0.0]]), values)
    assert branch.stopped == pytest.approx(1.0, abs=1e-9)
    assert "turns back (a fold)" in branch.reason
    assert "stopped at 1" in str(branch)
    assert branch.crossings == ()
    reached = sum(h < 1.0 for h in values)  # the fold itself is at the edge of what can be polished
    assert len(branch.parameter) == len(branch.y) == reached


def test_all_values_share_one_compiled_program():
    calls = []
    inner, y = triangle(Place("sphere", 2))

    def family(beta):
        calls.append(type(beta))
        return inner(beta)

    theory.continuation(family, y, jnp.linspace(-2.0, 1.0, 4))
    traced = len(calls)
    assert traced <= 4
    theory.continuation(family, y, jnp.linspace(-1.0, 2.0, 40))
    assert len(calls) == traced + 1  # the look at the first field


def test_a_walk_out_of_steps_says_so():
    family, y = triangle(Place("sphere", 2))
    branch = theory.continuation(family, y, jnp.linspace(-2.0, 1.0, 6), max_steps=2)
    assert branch.stopped == pytest.approx(branch.parameter[-1])
    assert "`max_steps` was not enough" in branch.reason
    assert 1 < len(branch.parameter) < 6


def test_what_cannot_be_followed_is_refused(as_user):
    family, y = triangle(Place("sphere", 2))
    with pytest.raises(ValueError, match=r"`values` must have shape \(n,\)"):
        theory.continuation(family, y, jnp.zeros((2, 2)))
    with pytest.raises(ValueError, match="`values` must be finite numbers"):
        theory.continuation(family, y, jnp.array([0.0, jnp.nan]))
    with pytest.raises(ValueError, match="`max_steps` must be a positive integer; got 0"):
        theory.continuation(family, y, jnp.zeros(1), max_steps=0)
    with pytest.raises(ValueError, match="`family` must be a function of the parameter"):
        theory.continuation(family(jnp.array(1.0)), y, jnp.zeros(1))
    with pytest.raises(ValueError, match=r"`family\(values\[0\]\)` must be an AttentionField"):
        theory.continuation(lambda p: p, y, jnp.zeros(1))
    with pytest.raises(RuntimeError, match=r"No equilibrium of family\(5\) was found near `y`"):
        theory.continuation(in_a_turn, y, jnp.array([5.0]))


def in_a_turn(r):
    U = jnp.eye(2) + r * jnp.array([[0.0, -1.0], [1.0, 0.0]])
    return af.AttentionField(af.Sphere(2), jnp.zeros((2, 2)), U=U, mask="causal", scale=1.0)
