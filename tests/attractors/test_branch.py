"""`branch` goes through folds and onto crossing branches, and finds each special point of fields with closed forms."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest

import attnflow as af

CIRCLE, SPHERE = af.Sphere(2), af.Sphere(3)
TURN = jnp.array([[0.0, -1.0], [1.0, 0.0]])
TOGETHER = jnp.array([[1.0, 0.0], [1.0, 0.0]])


def two(u, tilt=0.0, beta=0.0):
    """The second of two causal tokens, the first held at an eigenvector of U = [[1, tilt], [0, u]].

    At an angle theta: (e^(-a) + 1) theta' = sin(theta) ((u - 1) cos(theta) - tilt sin(theta) - e^(-a)), with
    a = beta (1 - cos(theta)).
    """
    U = jnp.array([[1.0, tilt], [0.0, 0.0]]) + u * jnp.array([[0.0, 0.0], [0.0, 1.0]])
    return af.AttentionField(
        CIRCLE, P=beta * jnp.eye(2), U=U, mask="causal", frozen=[True, False], scale=1.0
    )


def tilted(u):
    return two(u, 0.6)


def straight(u):
    return two(u, 0.0, 0.5)


def turning(u):
    """The same on the sphere, where U turns tokens about the first: theta as above, phi' = 1.3/2."""
    around = jnp.array([[0.0, 0, 0], [0, 0, -1.3], [0, 1.3, 0]])
    U = jnp.diag(jnp.array([1.0, 0, 0])) + u * jnp.diag(jnp.array([0, 1.0, 1.0])) + around
    return af.AttentionField(
        SPHERE, P=jnp.zeros((3, 3)), U=U, mask="causal", frozen=[True, False], scale=1.0
    )


def triangle(beta):
    return af.AttentionField(CIRCLE, P=beta * jnp.eye(2), kernel="exp", scale=1.0)


def follow(field, y, parameter, **options):
    return af.attractors.branch(field, y, parameter, **options)


@pytest.fixture(scope="module")
def crossing():
    return follow(tilted(1.5), TOGETHER, tilted, low=0.5, high=3.0)


def test_branches_cross_at_a_transcritical_point(crossing):
    """The eigenvalue u - 2 of the second token crosses with the quadratic term -tilt."""
    (point,) = [point for point in crossing if point.kind == "transcritical"]
    assert point.value == pytest.approx(2, abs=1e-10)
    assert point.width < 1e-10
    assert abs(point.eigenvalue) < 1e-10
    assert len(point.branches) == 2  # one to either side
    for k in point.branches:
        curve = crossing.curves[k]
        assert curve.origin == 0
        c, s = curve.y[:, 1, 0], curve.y[:, 1, 1]
        np.testing.assert_allclose((curve.value - 1) * c - 0.6 * s, 1, atol=1e-9)


def test_the_branch_turns_at_a_fold_and_goes_on(crossing):
    """Where sin(theta) = -tilt, at u = 1 + (1 - tilt^2)^(1/2): beyond it the same curve is stable."""
    (fold,) = [point for point in crossing if point.kind == "fold"]
    assert fold.value == pytest.approx(1.8, abs=1e-10)
    assert fold.y[1, 1] == pytest.approx(-0.6, abs=1e-6)
    curve = crossing.curves[fold.curve]
    assert curve.value.min() == pytest.approx(1.8, abs=1e-2)
    assert set(curve.verdicts) == {"stable", "unstable"}
    assert curve.value[-1] == 3.0  # it went on to the bound after it had turned


def test_a_fold_of_one_token_is_passed_on_both_sides():
    """theta' = r - sin(2 theta): folds at r = -1 and 1; the curve closes."""

    def saddle(r):
        U = jnp.diag(jnp.array([1.0, -1.0])) + r * TURN
        return af.AttentionField(CIRCLE, P=jnp.zeros((2, 2)), U=U, scale=1.0)

    found = follow(saddle(0.0), jnp.array([[1.0, 0.0]]), saddle, low=-2.0, high=2.0)
    assert [point.kind for point in found] == ["fold", "fold"]
    assert sorted(point.value for point in found) == pytest.approx([-1, 1], abs=1e-10)
    assert found.curves[0].ends == ("the curve closes", "the curve closes")


def test_a_pitchfork_breaks_a_symmetry():
    """Without the tilt theta and -theta are alike: two arms that a reflection exchanges, one of them followed."""
    found = follow(straight(1.5), TOGETHER, straight, low=0.5, high=3.0)
    (point,) = found.special
    assert point.kind == "pitchfork"
    assert point.value == pytest.approx(2, abs=1e-10)
    (k,) = point.branches
    arm = found.curves[k]
    theta = np.arctan2(arm.y[:, 1, 1], arm.y[:, 1, 0])
    away = np.exp(-0.5 * (1 - np.cos(theta)))
    np.testing.assert_allclose((arm.value - 1) * np.cos(theta), away, atol=1e-9)
    assert np.abs(theta).min() > 1e-3


def test_orbits_leave_a_hopf_point():
    """cos(theta) = 1/(u - 1), one turn in 4 pi / 1.3, and the multiplier of theta' over a period."""
    y = jnp.eye(3)[jnp.array([0, 0])]
    found = follow(turning(1.2), y, turning, low=0.5, high=3.0, orbits=3)
    (point,) = found.special
    assert point.kind == "hopf"
    assert point.value == pytest.approx(2, abs=1e-10)
    assert point.eigenvalue == pytest.approx(0.65j, abs=1e-10)
    assert len(point.orbits) == 3
    for orbit in point.orbits:
        period = 4 * np.pi / 1.3
        assert orbit.period == pytest.approx(period, rel=1e-8)
        cos = 1 / (orbit.value - 1)
        assert orbit.amplitude == pytest.approx(np.sqrt(1 - cos**2), abs=1e-6)
        slope = -(orbit.value - 1) * (1 - cos**2) / 2
        assert orbit.multipliers[-1].real == pytest.approx(np.exp(slope * period), rel=1e-6)
        assert orbit.stable


def test_the_triangle_crosses_where_two_eigenvalues_vanish_and_its_arms_meet_the_line():
    """At -2/3 under the symmetry of a triangle; isosceles ones end in two against one, at -ln(2)/2."""
    found = follow(triangle(-2.0), af.theory.polygon(3), triangle, low=-3.0, high=1.0)
    double, line = found.special
    assert (double.kind, double.multiplicity) == ("transcritical", 2)
    assert double.value == pytest.approx(-2 / 3, abs=1e-10)
    assert len(double.branches) == 2  # up to relabelling and rotation, one to either side
    assert line.kind == "pitchfork"
    assert line.value == pytest.approx(-np.log(2) / 2, abs=1e-10)
    gram = np.sort((line.y @ line.y.T).ravel())
    np.testing.assert_allclose(gram, [-1] * 4 + [1] * 5, atol=1e-8)


@pytest.mark.parametrize("angle", [1.0, 3.0, 5.0])
def test_arms_that_a_symmetry_takes_to_each_other_are_one_however_the_triangle_lies(angle):
    """The tangent at the crossing, where no equation gives it, is along the parameter: what is left is symmetric."""
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    y, options = af.theory.polygon(3) @ turn, {"start": -0.75, "low": -0.8, "high": -0.6}
    (double,) = follow(triangle(-0.75), y, triangle, **options).special
    assert len(double.branches) == 2


@pytest.mark.slow
def test_polarised_tokens_lose_stability_at_the_threshold():
    """Two against two with U = diag(1, 1/2, 1/2): tanh(beta) = 1/2."""

    def held(beta):
        U = jnp.diag(jnp.array([1.0, 0.5, 0.5]))
        return af.AttentionField(SPHERE, P=beta * jnp.eye(3), U=U, scale=1.0)

    y = jnp.eye(3)[jnp.zeros(4, int)] * jnp.array([[1.0], [1.0], [-1.0], [-1.0]])
    found = follow(held(1.0), y, held, low=0.0, high=2.0, switch=0)
    (point,) = found.special
    assert (point.kind, point.multiplicity, point.branches) == ("pitchfork", 2, ())
    assert point.value == pytest.approx(np.arctanh(0.5), abs=1e-10)


def test_the_parameter_is_a_function_a_leaf_or_values():
    field, y = triangle(-2.0), af.theory.polygon(3)

    def scaled(f, factor):
        return eqx.tree_at(lambda f: f.P, f, factor * f.P)

    ways = {
        "a function of the value": (field, triangle, {"low": -2.5, "high": 0.0}, -2 / 3),
        "of the field and the value": (
            field,
            scaled,
            {"low": 0.1, "high": 2.0, "start": 1.0},
            1 / 3,
        ),
        "a leaf": (field, lambda f: f.P, {"low": 0.1, "high": 2.0}, 1 / 3),
        "values": (triangle, jnp.array([-2.0, 0.0]), {}, -2 / 3),
    }
    for name, (given, parameter, options, value) in ways.items():
        (point,) = follow(given, y, parameter, switch=0, **options)
        assert point.value == pytest.approx(value, abs=1e-10), name
    # Another scale of time crosses nothing.
    assert len(follow(field, y, lambda f: f.scale, low=0.5, high=2.0)) == 0


def test_bad_arguments_are_refused_in_one_sentence(as_user):
    field, y = triangle(-2.0), af.theory.polygon(3)
    with pytest.raises(ValueError, match=r"`parameter` must be a function of the value"):
        follow(field, y, "beta")
    with pytest.raises(ValueError, match=r"`parameter` as a selector must return a leaf"):
        follow(field, y, lambda f: 2 * f.scale)
    with pytest.raises(ValueError, match=r"`start` must be between `low` and `high`"):
        follow(field, y, triangle, low=0.0, high=1.0)
    with pytest.raises(ValueError, match=r"`start` must be given"):
        follow(field, y, tilted)
    with pytest.raises(ValueError, match=r"two finite numbers"):
        follow(triangle, y, [1.0])
    with pytest.raises(ValueError, match=r"`switch` must"):
        follow(field, y, triangle, switch=-1)


def test_it_prints_what_it_found(crossing):
    text = str(crossing)
    assert "transcritical at 2 +-" in text
    assert "fold          at 1.8 +-" in text
    assert text.count("curve ") >= len(crossing.curves)


def test_the_diagram_marks_each_special_point(crossing):
    ax = af.plot.branches(crossing, measure=lambda y: y[1, 1], xlabel="u")
    assert len(af.plot.branch(crossing).texts) == len(ax.texts)
    words = [text.get_text() for text in ax.texts]
    assert "transcritical 2" in words
    assert "fold 1.8" in words
    assert {line.get_linestyle() for line in ax.lines} >= {"-", ":"}


@pytest.mark.slow
def test_folds_and_crossings_are_curves_in_two_parameters():
    """Folds at u = 1 + (1 - tilt^2)^(1/2) up to where it meets the axis; crossings at u = 2 for every tilt."""

    def both(u, tilt):
        U = jnp.array([[1.0, 0.0], [0.0, 0.0]]) + u * jnp.diag(jnp.array([0.0, 1.0]))
        return af.AttentionField(
            CIRCLE, P=jnp.zeros((2, 2)), U=U + tilt * jnp.eye(2, k=1), mask="causal",
            frozen=[True, False], scale=1.0,
        )  # fmt: skip

    tilts = np.array([0.4, 0.6, 0.8])
    got = af.attractors.loci(both, TOGETHER, tilts, start=1.5, low=1.2, high=2.5)
    curves = {locus.kind: locus for locus in got}
    np.testing.assert_array_equal(curves["fold"].second, tilts)
    np.testing.assert_allclose(curves["fold"].value, 1 + np.sqrt(1 - tilts**2), atol=1e-10)
    np.testing.assert_allclose(curves["transcritical"].value, 2, atol=1e-10)
    assert len(got) == 2
    with pytest.raises(ValueError, match="`values` must be finite numbers"):
        af.attractors.loci(both, TOGETHER, [np.nan], start=1.5, low=1.2, high=2.5)


@pytest.mark.slow
def test_a_narrow_range_still_has_the_branches_that_leave_in_it():
    found = follow(tilted(1.99), TOGETHER, tilted, low=1.98, high=2.01)
    (point,) = found.special
    assert point.value == pytest.approx(2, abs=1e-9)
    assert len(point.branches) == 2
