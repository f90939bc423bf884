"""Balls proved to lie in a basin: runs from their rims, volumes by counting, and what is not proved."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import attnflow as af

pytest.importorskip("flint")
from attnflow.certify import _basin_ball
from attnflow.certify._plain import plain_case
from attnflow.checker import equilibria


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


@eqx.filter_jit
def after(field, starts):
    """Where all of the starts are, when long enough has gone by: one program for fields of one structure."""
    return jax.vmap(lambda y0: af.simulate(field, y0, t1=120.0).y1)(starts)


@pytest.fixture(scope="module")
def two():
    return af.certify.basin(held(2.0), ends(2, 2))


def test_every_start_on_the_rim_goes_to_the_centre(two):
    assert two.proved
    y = np.asarray(ends(2, 2))
    starts = on_rim(y, two.radius, 20)
    np.testing.assert_allclose(np.sum((starts - y) ** 2, axis=(1, 2)), two.radius**2, rtol=1e-9)
    ended = after(held(2.0), jnp.asarray(starts))
    np.testing.assert_allclose(ended, np.tile(y, (20, 1, 1)), atol=1e-6)


def test_copies_are_counted_by_masses_and_sign(two):
    assert two.copies == 6  # two of four ahead; the sign is one of these
    assert two.share == pytest.approx(6 * two.one)
    assert two.one == pytest.approx(((1 - math.cos(two.angle)) / 2) ** 4)
    assert af.certify.basin(held(2.0), ends(4, 0)).copies == 2
    assert af.certify.basin(held(2.0), ends(3, 1)).copies == 8


@pytest.mark.parametrize(
    ("masses", "radius", "copies"),
    [((2, 2), 0.1, 6), ((3, 1), 0.1, 8), ((4, 0), 0.1, 2), ((3, 1), 1.5, 1), ((2, 2), 1.0, 6)],
)
def test_balls_count_where_they_are_disjoint(masses, radius, copies):
    flow = equilibria.Flow(plain_case(held(2.0), 4))
    assert _basin_ball._copies(flow, np.asarray(ends(*masses)), radius) == copies


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
    free = af.AttentionField(af.Sphere(3), P=jnp.eye(3), mask="causal", scale=1.0)
    one_of_many = af.certify.basin(free, ends(2, 0))
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


def test_an_axis_that_is_no_fraction_leaves_a_ball():
    U = jnp.array([[1.0, 0.1, 0.0], [0.1, 0.5, 0.0], [0.0, 0.0, 0.5]])
    field = af.AttentionField(af.Sphere(3), P=jnp.eye(3), U=U, scale=1.0)
    v = jnp.linalg.eigh(U)[1][:, -1]
    y = np.tile(v, (3, 1))
    got = af.certify.basin(field, jnp.asarray(y))
    assert (got.proved, got.angle, got.copies) == (True, 0.0, 2)
    assert got.one == pytest.approx((got.radius**2 / 4) ** 3 / math.factorial(3))
    starts = on_rim(y, got.radius, 20)
    np.testing.assert_allclose(np.sum((starts - y) ** 2, axis=(1, 2)), got.radius**2, rtol=1e-9)
    ended = after(field, jnp.asarray(starts))
    np.testing.assert_allclose(ended, np.tile(y, (20, 1, 1)), atol=1e-6)


def test_an_axis_is_kept_from_both_sides_or_has_no_caps():
    U = jnp.array([[1.0, 0.3, 0.0], [0.0, 0.5, 0.0], [0.0, 0.0, 0.5]])
    field = af.AttentionField(af.Sphere(3), P=jnp.eye(3), U=U, scale=1.0)
    assert af.certify.basin(field, ends(3, 0)).angle == 0
    assert af.certify.basin(held(1.0), ends(3, 0)).angle > 1.5


def test_what_is_printed_is_no_more_than_what_was_proved():
    got = af.certify.basin(held(2.0), ends(4, 0))
    assert f"within {math.pi / 2:.6g} rad" not in str(got)  # 1.5708 is above
    assert "within 1.57079 rad" in str(got)
    for x in (got.angle, got.one, 1.2345678e-50, 0.22656):
        assert 0.99 * x < float(_basin_ball._down(x, 3)) <= x


def on_the_edge(y, angle, number):
    """Starts in which every token is `angle` from its place."""
    v = np.random.default_rng(2).normal(size=(number, *y.shape))
    v -= np.sum(v * y, axis=2, keepdims=True) * y
    return y * np.cos(angle) + np.sin(angle) * v / np.linalg.norm(v, axis=2, keepdims=True)


SOME = [[1, 0, 1, 0], [1, 1, 0, 0], [1, 0, 1, 1], [0, 0, 1, 1]]  # whom each of four tokens sees
TILTED = np.array([[0.0, 0.02, -0.01], [0.03, 0.1, 0.0], [0.0, -0.05, 0.02]])


@pytest.mark.parametrize(
    ("P", "U", "mask", "masses", "kernel"),
    [
        (2 * np.eye(3), np.diag([1, 0.5, 0.5]), None, (3, 1), "softmax"),
        (2 * np.eye(3), np.diag([1, 0.5, 0.5]), None, (2, 2), "exp"),
        (2 * np.eye(3), np.diag([1, 0.3, 0.2]), SOME, (2, 2), "softmax"),
        (2 * np.eye(3) + TILTED, np.diag([1, 0.3, 0.2]), None, (2, 2), "softmax"),
        (
            np.stack([2 * np.eye(3), 1.5 * np.eye(3) + TILTED]),
            np.diag([2, 0.1, 0.3]),
            None,
            (2, 2),
            "softmax",
        ),
        (-np.eye(3), np.diag([1, 0.5, -0.5]), "causal", (4, 0), "softmax"),
    ],
    ids=[
        "lone",
        "exponentials",
        "masked",
        "tilted scores",
        "two heads",
        "causal, scores that repel",
    ],
)
def test_every_start_on_the_edge_of_the_caps_goes_to_its_centre(P, U, mask, masses, kernel):
    mask = mask if mask is None or isinstance(mask, str) else jnp.asarray(mask, bool)
    field = af.AttentionField(
        af.Sphere(3), P=P, U=jnp.asarray(U, float), mask=mask, scale=1.0, kernel=kernel
    )
    y = np.asarray(ends(*masses))
    got = af.certify.basin(field, jnp.asarray(y))
    assert got.proved
    assert 0.3 < got.angle <= math.pi / 2
    starts = on_the_edge(y, got.angle * (1 - 1e-3), 20)
    ended = after(field, jnp.asarray(starts))
    np.testing.assert_allclose(ended, np.tile(y, (20, 1, 1)), atol=1e-5)


def test_caps_end_where_the_closed_form_has_them():
    """Halves, P = beta I: cos(a) exp(2 beta cos 2a) = 3; and none where values pull too little."""
    angle = af.certify.basin(held(2.0), ends(2, 2)).angle
    assert math.cos(angle) * math.exp(4 * math.cos(2 * angle)) == pytest.approx(3, rel=1e-3)
    assert 0 < angle - af.certify.basin(held(1.9), ends(2, 2)).angle < 0.05
    assert not af.certify.basin(held(0.5), ends(2, 2)).proved  # tanh(1/2) < 1/2


def test_of_equal_values_a_hemisphere_is_proved_with_wendels_share():
    full = af.AttentionField(af.Sphere(3), P=jnp.eye(3), U=0.7 * jnp.eye(3), scale=1.0)
    got = af.certify.basin(full, ends(5, 0))
    assert (got.proved, got.hemisphere) == (True, True)
    assert got.share == pytest.approx(af.theory.wendel(5, 3))
    assert got.share <= af.theory.wendel(5, 3)
    # The theorem is about rows that sum to one.
    sums = af.AttentionField(
        af.Sphere(3), P=jnp.eye(3), U=0.7 * jnp.eye(3), kernel="exp", scale=1.0
    )
    assert not af.certify.basin(sums, ends(5, 0)).proved
    own = jnp.stack([0.7 * jnp.eye(3), 0.3 * jnp.eye(3)])
    heads = af.AttentionField(af.Sphere(3), P=jnp.stack([jnp.eye(3)] * 2), U=own, scale=1.0)
    assert not af.certify.basin(heads, ends(5, 0)).hemisphere
    backwards = af.AttentionField(af.Sphere(3), P=jnp.eye(3), U=-jnp.eye(3), scale=1.0)
    assert not af.certify.basin(backwards, ends(5, 0)).proved


def test_what_is_proved_is_below_the_share_of_starts():
    """Four tokens on S²: consensus and both polarised ends, beside what `find` counts."""
    found = af.attractors.find(
        held(2.0), lambda key: af.Sphere(3).random(key, (4,)), number=300, key=jax.random.key(0), t1=60.0,
        progress=False,
    )  # fmt: skip
    for row in found:
        proved = af.certify.basin(held(2.0), jnp.asarray(row.state))
        assert 0 < proved.share < row.high
    assert af.certify.basin(held(2.0), ends(4, 0)).share == pytest.approx(2 / 16)
