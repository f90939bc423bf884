"""Equilibria proved stable or unstable, families included, against what is known of them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import attnflow as af
from attnflow import certify

KERNELS = ("softmax", "exp")


def polygon(n):
    angles = jnp.linspace(0.0, 2 * jnp.pi, n + 1)[:-1]
    return jnp.stack([jnp.cos(angles), jnp.sin(angles)], axis=1)


TETRAHEDRON = jnp.array([[1.0, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) / 3**0.5
OCTAHEDRON = jnp.concatenate([jnp.eye(3), -jnp.eye(3)])
PAIRS = jnp.array([[1.0, 0], [1, 0], [-1, 0], [-1, 0]])
K11 = {
    "triangle": polygon(3),
    "square": polygon(4),
    "pentagon": polygon(5),
    "hexagon": polygon(6),
    "tetrahedron": TETRAHEDRON,
    "octahedron": OCTAHEDRON,
    "antipodal 2 + 2": PAIRS,
}


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("shape", K11)
def test_k11_polyhedra_are_unstable_for_positive_beta(shape, kernel):
    y = K11[shape]
    dim = y.shape[1]
    field = af.AttentionField(af.Sphere(dim), P=1.5 * jnp.eye(dim), kernel=kernel)
    found = certify.equilibrium(field, y)
    assert found.verdict == "refuted"
    assert found.stable is False
    assert "is unstable" in found.statement


@pytest.mark.parametrize(("beta", "stable"), [(-1.0, True), (-0.6667, True), (-0.6666, False)])
def test_k11_the_triangle_loses_its_stability_at_minus_two_thirds(beta, stable):
    field = af.AttentionField(af.Sphere(2), P=beta * jnp.eye(2), kernel="exp")
    found = certify.equilibrium(field, polygon(3))
    assert found.stable is stable
    assert found.verdict == ("proved" if stable else "refuted")


def test_what_few_bits_do_not_decide_more_do():
    field = af.AttentionField(af.Sphere(2), P=(-2 / 3 - 1e-9) * jnp.eye(2), kernel="exp")
    few = certify.equilibrium(field, polygon(3), bits=(64,))
    assert few.verdict == "not decided"
    assert few.stable is None
    assert "64 bits" in few.why
    assert few.contents is None
    assert certify.equilibrium(field, polygon(3)).verdict == "proved"


@pytest.fixture(params=["sphere", "ellipsoid"])
def place(request, getkey):
    if request.param == "sphere":
        return af.Sphere(3)
    A = jax.random.normal(getkey(), (3, 3))
    return af.Ellipsoid(jnp.round(A @ A.T + jnp.eye(3), 4))


@pytest.mark.parametrize("mask", [None, "causal"])
@pytest.mark.parametrize("heads", [1, 2])
def test_k8_k9_consensus_is_stable_modulo_its_place_for_any_scores(place, mask, heads, getkey):
    P = jax.random.normal(getkey(), (heads, 3, 3))
    y = jnp.broadcast_to(place.random(getkey(), (1,)), (4, 3))
    found = certify.equilibrium(af.AttentionField(place, P=P, mask=mask), y)
    assert found.verdict == "proved"
    assert found.contents["proof"]["family"] == "consensus"


@pytest.mark.parametrize("mask", [None, "causal"])
def test_k10_consensus_at_an_eigenvector_is_stable_at_the_top_alone(mask, getkey):
    A = jax.random.normal(getkey(), (3, 3))
    values, vectors = np.linalg.eigh(np.round(A + A.T, 3))
    U = np.round(A + A.T, 3) + round(0.5 - values[-1], 3) * np.eye(3)
    field = af.AttentionField(
        af.Sphere(3), P=jax.random.normal(getkey(), (3, 3)), U=np.round(U, 3), mask=mask
    )
    top, low = (np.tile(vectors[:, k], (3, 1)) for k in (-1, 0))
    near = 1e-2
    assert certify.equilibrium(field, jnp.asarray(top), within=near).verdict == "proved"
    assert certify.equilibrium(field, jnp.asarray(low), within=near).stable is False


def test_a_triangle_that_turns_for_ever_attracts():
    turn = jnp.array([[0.0, -1], [1, 0]])
    field = af.AttentionField(af.Sphere(2), P=-3 * jnp.eye(2), U=jnp.eye(2) + 0.5 * turn)
    found = certify.equilibrium(field, polygon(3))
    # The mean of the others, turned: U y = y + J y / 2, and the weights of an equilateral triangle.
    far = np.exp(1.5) / (np.exp(-3) + 2 * np.exp(1.5))
    near = 1 - 2 * far
    speed = 0.5 * (near - far)
    assert found.verdict == "proved"
    assert found.contents["proof"]["family"] == "turns"
    assert abs(abs(float(found.contents["proof"]["turning"][0])) - abs(speed)) < 1e-12
    assert "turns rigidly" in found.statement


def test_tokens_on_a_curve_of_equilibria_that_no_symmetry_makes():
    field = af.AttentionField(af.Sphere(2), P=jnp.diag(jnp.array([-3.0, -2.0])), scale=1.0)
    found = af.theory.equilibrium(field, polygon(3))
    proved = certify.equilibrium(field, found.y)
    assert proved.verdict == "proved"
    assert proved.contents["proof"]["family"] == "moments"


def test_the_signs_are_those_of_the_spectrum_in_float64(getkey):
    signs = []
    for k in range(12):
        a, b, c = jax.random.split(jax.random.fold_in(getkey(), k), 3)
        P, U = jax.random.normal(a, (2, 3, 3)) * 2, jax.random.normal(b, (2, 3, 3))
        field = af.AttentionField(af.Sphere(3), P=P, U=U, mask="causal", scale=1.0)
        run = af.simulate(field, af.Sphere(3).random(c, (2,)), t1=40.0, throw=False)
        at = af.theory.equilibrium(field, run.y1, throw=False)
        local = af.theory.spectrum(field, 0.0, at.y)
        if at.converged and local.verdict in ("stable", "unstable"):
            found = certify.equilibrium(field, at.y)
            assert found.stable is (local.verdict == "stable")
            signs.append(found.stable)
    assert signs


def test_tokens_beside_an_equilibrium_are_refused(getkey):
    field = af.AttentionField(af.Sphere(2), P=-3 * jnp.eye(2))
    noise = 1e-3 * jax.random.normal(getkey(), (3, 2))
    found = certify.equilibrium(field, af.Sphere(2).project(polygon(3) + noise))
    assert found.verdict != "proved"
    assert found.contents is None


def test_where_no_equilibrium_is_near_that_is_shown(getkey):
    U = jnp.diag(jnp.array([1.0, -1.0]))
    field = af.AttentionField(af.Sphere(2), P=jnp.eye(2), U=U)
    found = certify.equilibrium(field, polygon(3))
    assert found.verdict == "refuted"
    assert "no equilibrium is within 1e-06" in found.why


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"kernel": "hardmax"}, "`field` must have kernel 'softmax' or 'exp'"),
        ({"normalisation": "peri"}, "`field` must have normalisation 'post'"),
        ({"weights": jnp.array([1.0, 2.0, 1.0])}, "no masses"),
        ({"frozen": jnp.array([True, False, False])}, "no `frozen` tokens"),
        ({"mask": jnp.zeros((3, 3))}, "a mask without a bias"),
        ({"P": af.Sinusoid(jnp.eye(2), 1.0, 0.0)}, "`field.P` must be constant in time"),
    ],
)
def test_fields_that_no_certificate_is_about(options, says):
    options = {"P": jnp.eye(2), **options}
    with pytest.raises(ValueError, match=says):
        certify.equilibrium(af.AttentionField(af.Sphere(2), **options), polygon(3))


def test_bad_arguments(as_user):
    field = af.AttentionField(af.Sphere(2), P=jnp.eye(2))
    with pytest.raises(ValueError, match="`within` must be a positive distance"):
        certify.equilibrium(field, polygon(3), within=0.0)
    with pytest.raises(ValueError, match="`bits` must be precisions of 64 bits"):
        certify.equilibrium(field, polygon(3), bits=(8,))
    with pytest.raises(ValueError, match="`y`"):
        certify.equilibrium(field, 2 * polygon(3))
