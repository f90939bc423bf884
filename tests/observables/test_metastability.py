"""Metastability read off: plateaus, distances and lengths of measures, clusters by distance."""

import itertools

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import attnflow as af

CIRCLE, SPHERE, LINE, SPACE = af.Sphere(2), af.Sphere(3), af.Euclidean(1), af.Euclidean(2)


def plateaus_loop(ts, values, slope, least, clock=lambda t: t):
    """Stretches found one save after another."""
    tau, found, k = clock(np.asarray(ts)), [], 0
    while k < len(ts) - 1:
        end = k
        while end < len(ts) - 1 and abs(values[end + 1] - values[end]) <= slope * (
            tau[end + 1] - tau[end]
        ):
            end += 1
        if end > k and tau[end] - tau[k] >= least:
            area = np.trapezoid(values[k : end + 1], tau[k : end + 1])
            found.append((area / (tau[end] - tau[k]), ts[k], ts[end], tau[end] - tau[k]))
        k = max(end, k + 1)
    return found


@pytest.mark.parametrize("clock", ["t", "ln t"])
def test_plateaus_are_those_of_a_loop(clock):
    ts = np.linspace(1.0, 60.0, 119) if clock == "t" else np.geomspace(1.0, 1e6, 119)
    tau = np.asarray({"t": ts, "ln t": np.log(ts)}[clock])
    span = tau[-1] - tau[0]
    steps = tau[0] + span * np.array([0.2, 0.5, 0.53, 0.8])
    values = sum(1 / (1 + np.exp(-200 * (tau - s) / span)) for s in steps)
    slope, least = 0.5 / span, 0.1 * span
    expected = plateaus_loop(ts, values, slope, least, lambda t: t if clock == "t" else np.log(t))
    assert len(expected) == 4  # the short one between the second and the third step is none
    found = af.plateaus(ts, values, slope=slope, least=least, clock=clock)
    assert found.count == 4
    for name, column in zip(
        ("level", "begin", "end", "residence"), zip(*expected, strict=True), strict=True
    ):
        assert np.allclose(getattr(found, name)[:4], column, rtol=1e-12), name
        assert np.isnan(getattr(found, name)[4:]).all()
    for k in range(4):
        on = np.flatnonzero(np.asarray(found.of_save) == k)
        assert ts[on[-1]] == found.end[k]
        assert np.array_equal(on, np.arange(on[0], on[-1] + 1))


def test_plateaus_of_a_staircase_of_whole_numbers_last_as_long_as_it_stands():
    ts = jnp.arange(10.0)
    found = af.plateaus(ts, jnp.array([5, 5, 5, 3, 3, 2, 2, 2, 2, 1]), slope=0.0)
    assert found.count == 3
    assert jnp.array_equal(found.level[:3], jnp.array([5.0, 3.0, 2.0]))
    assert jnp.array_equal(found.residence[:3], jnp.array([2.0, 1.0, 3.0]))
    assert jnp.array_equal(found.of_save, jnp.array([0, 0, 0, 1, 1, 2, 2, 2, 2, -1]))
    few = af.plateaus(ts, jnp.array([5, 5, 5, 3, 3, 2, 2, 2, 2, 1]), slope=0.0, most=2)
    assert few.count == 3
    assert jnp.array_equal(few.level, found.level[:2])


def test_plateaus_of_many_curves_are_those_of_each():
    ts = jnp.linspace(0.0, 10.0, 41)
    curves = jnp.stack([jnp.tanh(5 * (ts - s)) for s in (2.0, 5.0, 20.0)])
    many = jax.jit(jax.vmap(lambda v: af.plateaus(ts, v, slope=0.05)))(curves)
    for k in range(3):
        one = af.plateaus(ts, curves[k], slope=0.05)
        assert jax.tree.all(
            jax.tree.map(lambda a, b, k=k: jnp.array_equal(a[k], b, equal_nan=True), many, one)
        )
    assert jnp.array_equal(many.count, jnp.array([2, 2, 1]))


def test_missing_saves_are_on_no_plateau():
    values = jnp.array([1.0, 1.0, jnp.nan, jnp.nan])
    found = af.plateaus(jnp.arange(4.0), values, slope=0.1)
    assert found.count == 1
    assert jnp.array_equal(found.of_save, jnp.array([0, 0, -1, -1]))


def by_permutations(x, y, manifold, order):
    cost = np.asarray(manifold.distance(x[:, None], y[None])) ** order
    rows = np.arange(len(x))
    best = min(cost[rows, list(p)].mean() for p in itertools.permutations(rows))
    return best ** (1 / order)


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("name", ["circle", "ellipse", "line", "sphere", "space"])
def test_wasserstein_distances_are_the_best_of_all_assignments(name, order):
    manifold = {
        "circle": CIRCLE,
        "ellipse": af.Ellipsoid(jnp.array([[1.0, 0.3], [0.3, 2.0]])),
        "line": LINE,
        "sphere": SPHERE,
        "space": SPACE,
    }[name]
    for seed in range(4):
        x, y = (manifold.random(k, (5,)) for k in jr.split(jr.key(seed)))
        found = af.wasserstein(x, y, manifold, order=order)
        assert np.allclose(found, by_permutations(x, y, manifold, order), rtol=1e-12, atol=1e-14)


def test_the_length_of_a_turning_path_is_its_angle():
    turn = jnp.linspace(0.0, 1.0, 21)
    angles = jnp.array([0.0, 1.0, 3.0])[None] + turn[:, None]
    ys = jnp.stack([jnp.cos(angles), jnp.sin(angles)], axis=-1)
    assert jnp.allclose(af.wasserstein_length(ys, CIRCLE), 1.0, rtol=1e-12)
    # Tokens that change places are the same measure; on the sphere by assignment.
    up = jnp.concatenate([ys, jnp.zeros((21, 3, 1))], axis=-1)
    mixed = up.at[1::2].set(up[1::2, ::-1])
    assert jnp.allclose(af.wasserstein_length(mixed, SPHERE), 1.0, rtol=1e-12)


def test_on_the_circle_distances_and_lengths_are_traced_and_vectorise():
    ys = CIRCLE.random(jr.key(0), (3, 4, 5))
    many = jax.jit(jax.vmap(lambda y: af.wasserstein_length(y, CIRCLE)))(ys)
    each = jnp.stack([af.wasserstein_length(y, CIRCLE) for y in ys])
    assert jnp.allclose(many, each, rtol=1e-13)
    same = jax.jit(jax.grad(lambda x: af.wasserstein(x, ys[0, 0], CIRCLE)))(ys[0, 0])
    assert jnp.all(jnp.isfinite(same))


def test_a_measure_that_is_not_finite_has_no_distance():
    x = SPHERE.random(jr.key(0), (3,))
    assert jnp.isnan(af.wasserstein(x, x.at[0].set(jnp.nan), SPHERE))


def test_clusters_by_distance_see_lengths_where_clusters_see_directions():
    y = jnp.array([[1.0, 0.0], [2.0, 0.0], [2.05, 0.05], [0.0, 1.0]])
    assert jnp.array_equal(af.clusters_within(y, 0.1, SPACE), jnp.array([0, 1, 1, 2]))
    assert jnp.array_equal(af.ClustersWithin(0.1, SPACE)(0.0, y), jnp.array([0, 1, 1, 2]))
    assert jnp.array_equal(af.clusters(y, 0.99), jnp.array([0, 0, 0, 1]))
    assert jnp.array_equal(af.clusters_within(y, jnp.arccos(0.99), CIRCLE), af.clusters(y, 0.99))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: af.plateaus(jnp.arange(3.0), jnp.zeros(4), slope=0.1), "vectors of one length"),
        (lambda: af.plateaus(jnp.zeros(3), jnp.zeros(3), slope=0.1), "`ts` must increase"),
        (lambda: af.plateaus(jnp.arange(3.0), jnp.zeros(3), slope=-1.0), "`slope` must be zero"),
        (
            lambda: af.plateaus(jnp.arange(3.0), jnp.zeros(3), slope=0.1, clock="log"),
            "`clock` must be one of",
        ),
        (
            lambda: af.wasserstein(jnp.ones((2, 2)), jnp.ones((3, 2)), CIRCLE),
            "as many tokens of 2 coordinates",
        ),
        (lambda: af.wasserstein(jnp.ones((2, 2)), jnp.ones((2, 2)), CIRCLE, order=3), "`order`"),
        (lambda: af.wasserstein(jnp.ones((2, 2)), jnp.ones((2, 2)), None), "`manifold` must be"),
        (
            lambda: jax.jit(lambda x: af.wasserstein(x, x, SPHERE))(jnp.ones((2, 3))),
            "must be known, not traced",
        ),
        (lambda: af.wasserstein_length(jnp.ones((1, 2, 2)), CIRCLE), "two times or more"),
        (lambda: af.clusters_within(jnp.ones((2, 2)), -1.0, SPACE), "`radius` must be zero"),
        (lambda: af.clusters_within(jnp.ones((2, 2)), 1.0, None), "`manifold` must be"),
    ],
)
def test_bad_arguments_are_refused_in_one_line(as_user, call, message):
    with pytest.raises(ValueError, match=message) as refused:
        call()
    assert "\n" not in str(refused.value)
