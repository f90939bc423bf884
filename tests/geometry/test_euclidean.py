"""Tokens in R^d without a sphere: the space, its flow, and the flow without its growth."""

import diffrax
import jax
import jax.numpy as jnp
import jax.random as jr
import jax.scipy.linalg as jsl
import numpy as np
import pytest

import attnflow as af
from attnflow.schedules import Carried

SPACE = af.Euclidean(2)
U = jnp.array([[1.0, 0.3], [-0.2, 0.5]])
P = jnp.array([[0.6, 0.2], [0.0, 0.5]])
Y = SPACE.random(jr.key(1), (8,), law="cube")
FIELD = af.AttentionField(SPACE, P=P, U=U, scale=0.7)


def by_hand(t, y, P=P, U=U, scale=0.7):
    """The sum of arXiv:2305.05465 in a plain loop."""
    out = np.zeros_like(y)
    for i in range(len(y)):
        w = np.array([np.exp(y[i] @ P @ y[j]) for j in range(len(y))])
        for j in range(len(y)):
            out[i] += scale * w[j] / w.sum() * (U @ y[j])
    return out


def test_projection_and_tangent_map_are_the_identity():
    v = jnp.arange(16.0).reshape(8, 2)
    assert jnp.array_equal(SPACE.project(Y), Y)
    assert jnp.array_equal(SPACE.to_tangent(Y, v), v)
    assert jnp.array_equal(SPACE.residual(3 * Y), jnp.zeros(8))
    assert jnp.allclose(SPACE.distance(Y[0], Y[1]), jnp.sqrt(jnp.sum((Y[0] - Y[1]) ** 2)))


@pytest.mark.parametrize(
    ("law", "variance"), [("normal", 4.0), ("cube", 4.0 / 3), ("ball", 4.0 / 4)]
)
def test_random_starts_have_the_law_and_size_asked_for(law, variance):
    # A coordinate uniform on ]-s, s[ has variance s^2/3; in the disc of radius s, s^2/4.
    y = SPACE.random(jr.key(0), (20_000,), law=law, size=2.0)
    assert jnp.max(jnp.abs(y.mean(axis=0))) < 5 * (variance / 20_000) ** 0.5
    assert jnp.allclose(y.var(axis=0), variance, rtol=0.05)
    if law == "cube":
        assert jnp.max(jnp.abs(y)) <= 2.0
    if law == "ball":
        assert jnp.max(jnp.linalg.norm(y, axis=1)) <= 2.0


def test_the_field_is_the_sum_itself():
    assert np.allclose(FIELD(0.0, Y), by_hand(0.0, np.asarray(Y)), rtol=1e-13)


def test_a_token_at_the_origin_is_a_place_like_others():
    y = Y.at[0].set(0.0)
    sol = af.simulate(FIELD, y, t1=0.5)
    assert jnp.all(jnp.isfinite(sol.y1))
    run = af.ensemble.run(FIELD, y[None], t1=0.5, progress=False)
    assert np.allclose(run.ys[0, -1], sol.y1, rtol=1e-12)


def test_tolerance_is_of_a_tokens_length():
    # With P = 0 and U = I the mean grows as e^t and differences stay: at t = 25 no absolute 1e-9 is to be had.
    still = af.AttentionField(SPACE, P=jnp.zeros((2, 2)), scale=1.0)
    sol = af.simulate(still, Y, t1=25.0)
    mean = Y.mean(axis=0)
    exact = Y + (jnp.exp(25.0) - 1) * mean[None]
    error = jnp.linalg.norm(sol.y1 - exact, axis=1) / jnp.linalg.norm(exact, axis=1)
    assert jnp.max(error) < 1e-7


@pytest.mark.parametrize("solver_run", ["simulate", "ensemble"])
@pytest.mark.parametrize("values", ["matrix", "multiple", "identity"])
def test_the_rescaled_flow_is_the_flow_without_its_growth(values, solver_run):
    U_ = {"matrix": U, "multiple": af.ScaledIdentity(-0.5, 2), "identity": None}[values]
    R = 0.7 * {"matrix": U, "multiple": -0.5 * jnp.eye(2), "identity": jnp.eye(2)}[values]
    field = af.AttentionField(SPACE, P=P, U=U_, scale=0.7)
    y1 = af.simulate(field, Y, t1=2.0).y1
    small = af.rescaled(field)
    if solver_run == "simulate":
        z1 = af.simulate(small, Y, t1=2.0).y1
    else:
        z1 = jnp.asarray(af.ensemble.run(small, Y[None], t1=2.0, progress=False).ys[0, -1])
    # Each of the two runs is within 1e-9 a step of the flow.
    assert jnp.allclose(y1 @ jsl.expm(-2.0 * R).T, z1, rtol=1e-7, atol=1e-8)
    assert jnp.allclose(af.model.unrescaled(small, 2.0, z1), y1, rtol=1e-7, atol=1e-8)


def test_several_heads_of_multiples_of_the_identity_are_rescaled_together():
    field = af.AttentionField(
        SPACE, P=jnp.stack([P, -P]), U=af.ScaledIdentity(jnp.array([0.5, 0.25]), 2), scale=1.0
    )
    y1 = af.simulate(field, Y, t1=2.0).y1
    z1 = af.simulate(af.rescaled(field), Y, t1=2.0).y1
    assert jnp.allclose(jnp.exp(-1.5) * y1, z1, rtol=1e-7, atol=1e-8)


def test_rescaled_tokens_go_to_the_boundary_of_a_polytope():
    # arXiv:2305.05465: P = U = I. Leaders are vertices; the others end at the boundary of their hull.
    field = af.rescaled(af.AttentionField(SPACE, P=jnp.eye(2), scale=1.0))
    z0 = SPACE.random(jr.key(3), (8,), law="cube", size=2.0)
    z1 = af.simulate(field, z0, t1=14.0).y1
    lead = np.asarray(af.leaders(field, 14.0, z1))
    assert 2 <= lead.sum() < 8
    speed = jnp.linalg.norm(field(14.0, z1), axis=1)
    assert jnp.max(speed) < 1e-4


def test_leaders_are_tokens_whose_largest_score_is_their_own_alone():
    y = np.asarray(Y)
    field = af.AttentionField(SPACE, P=P, kernel="hardmax", scale=1.0)
    scores = y @ np.asarray(P) @ y.T
    expected = [all(scores[i, i] > scores[i, j] for j in range(8) if j != i) for i in range(8)]
    assert 0 < sum(expected) < 8
    assert np.array_equal(af.leaders(field, 0.0, Y), expected)
    assert np.array_equal(af.Leaders(field)(0.0, Y), expected)
    # A twin is a tie, and nobody leads alone.
    twins = jnp.concatenate([Y, Y])
    assert not np.any(af.leaders(field, 0.0, twins))
    # To oneself alone: each token leads.
    mine = af.AttentionField(SPACE, P=P, mask=jnp.eye(8, dtype=bool))
    assert np.all(af.leaders(mine, 0.0, Y))


def test_hardmax_leaders_stay_where_they_are():
    field = af.rescaled(af.AttentionField(SPACE, P=jnp.eye(2), kernel="hardmax", scale=1.0))
    lead = af.leaders(field, 0.0, Y)
    layers = af.AttentionLayers(field, step=0.5)
    # Time enters no score of hardmax, so that depth overflows nothing.
    end = af.iterate(layers, Y, depth=2000).y1
    # (Once another token is within rounding of a leader the two tie, and share a step of that size.)
    assert jnp.allclose(end[lead], Y[lead], rtol=0, atol=1e-12)
    assert jnp.all(jnp.isfinite(end))
    gap = jnp.linalg.norm(end[:, None] - Y[lead][None], axis=-1).min(axis=1)
    assert jnp.sum(gap < 1e-12) > lead.sum()  # others have come to them


def test_layers_add_the_sum_and_project_nothing():
    layers = af.AttentionLayers(FIELD, step=0.5)
    expected = np.asarray(Y) + 0.5 * by_hand(0.0, np.asarray(Y))
    assert np.allclose(af.iterate(layers, Y, depth=1).y1, expected, rtol=1e-13)


def test_the_energy_rises_along_its_gradient_flow_in_space():
    field = af.AttentionField(SPACE, P=jnp.eye(2), kernel="exp", scale=1.0)
    ts = jnp.linspace(0.0, 0.3, 5)
    E = af.simulate(field, Y, t1=0.3, ts=ts, observe=af.Energy(field)).ys
    assert jnp.all(jnp.diff(E) > 0)


def test_observables_of_directions_look_from_the_origin():
    assert jnp.allclose(af.misalignment(Y, SPACE), af.misalignment(Y), rtol=1e-14)
    assert jnp.allclose(
        af.misalignment(Y * jnp.arange(1.0, 9.0)[:, None], SPACE), af.misalignment(Y)
    )


def test_ensembles_give_the_same_bits_in_any_slot():
    starts = np.stack([np.asarray(Y) * s for s in (0.5, 1.0, 0.2)])
    small = af.rescaled(FIELD)
    runs = [
        af.ensemble.run(small, starts, t1=1.0, slots=slots, progress=False).ys for slots in (1, 3)
    ]
    assert np.array_equal(*runs)
    alone = af.ensemble.run(small, starts[1:2], t1=1.0, progress=False).ys
    assert np.array_equal(alone[0], runs[0][1])


def test_gradients_pass_through_the_rescaled_flow():
    def end(r):
        field = af.rescaled(af.AttentionField(SPACE, P=P, U=r * U, scale=1.0))
        return jnp.sum(af.iterate(af.AttentionLayers(field, step=0.2), Y, depth=3).y1 ** 2)

    h = 1e-5
    slope = (end(1.0 + h) - end(1.0 - h)) / (2 * h)
    assert jnp.allclose(jax.grad(end)(1.0), slope, rtol=1e-8)


def test_carried_scores_are_those_of_carried_tokens():
    S = Carried(P, U)
    E = jsl.expm(1.5 * U)
    assert jnp.allclose(S(1.5), E.T @ P @ E, rtol=1e-13)
    assert jnp.allclose(S.bilinear(1.5, Y, Y), (Y @ E.T) @ P @ (Y @ E.T).T, rtol=1e-13)
    assert jnp.allclose(S.apply(1.5, Y), Y @ S(1.5).T, rtol=1e-13)
    number = Carried(P, 0.5)
    assert jnp.allclose(number(2.0), jnp.exp(2.0) * P, rtol=1e-14)
    assert jnp.allclose(number.apply(2.0, Y), Y @ number(2.0).T, rtol=1e-14)


@pytest.mark.parametrize("size", [0.0, 1e-6, 0.3, 7.0, 90.0])
def test_the_exponential_of_a_matrix_is_exact_to_rounding(size):
    A = size * U
    # Each squaring may double the relative error: |A| / 2^s is one half after s of them.
    allowed = 1e-14 * max(1.0, 2 * size)
    found, exact = Carried(P, A).carry(1.0, jnp.eye(2)).T, jsl.expm(A, max_squarings=40)
    assert jnp.max(jnp.abs(found - exact)) <= allowed * jnp.max(jnp.abs(exact))


def test_fields_in_space_are_saved_and_read(tmp_path):
    for field in (FIELD, af.rescaled(FIELD)):
        af.save(tmp_path / "field", field)
        again = af.load(tmp_path / "field")
        assert jnp.array_equal(again(0.3, Y), field(0.3, Y))
        assert again.manifold == SPACE


TABLE = """
[manifold]
dim = 2
space = "euclidean"
[tokens]
count = 8
law = "ball"
size = 2.0
[attention]
P = [[0.6, 0.2], [0.0, 0.5]]
U = [[1.0, 0.3], [-0.2, 0.5]]
scale = 0.7
rescaled = true
[time]
t1 = 1.0
points = 3
"""


def test_a_case_in_space_is_read_from_a_file(tmp_path):
    path = tmp_path / "case.toml"
    path.write_text(TABLE)
    case = af.spec.read(str(path))
    field, y0, options = case.build()
    assert field.manifold == SPACE
    assert jnp.array_equal(y0, SPACE.random(jr.key(0), (8,), law="ball", size=2.0))
    assert jnp.allclose(field(0.5, y0), af.rescaled(FIELD)(0.5, y0))
    observe = case.observers(field)
    assert "residual" not in observe
    sol = af.simulate(field, y0, **options, observe=observe["misalignment"])
    assert jnp.all(jnp.isfinite(sol.ys))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (('law = "ball"', 'law = "uniform"'), "law = .uniform. is of spheres"),
        (('space = "euclidean"', ""), "law = .ball. is for .space = .euclidean.. alone"),
        (("dim = 2", "W = [[1.0, 0.0], [0.0, 1.0]]"), "needs `dim`"),
    ],
)
def test_a_case_that_means_nothing_is_refused(tmp_path, change, message):
    path = tmp_path / "case.toml"
    path.write_text(TABLE.replace(*change).replace("rescaled = true", ""))
    with pytest.raises(ValueError, match=message):
        af.spec.read(str(path)).build()


SPHERE = af.AttentionField(af.Sphere(2), P=P)
OTHER_U = jnp.stack([U, U.T])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: af.Euclidean(0), "`dim` must be a positive integer; got 0"),
        (lambda: SPACE.random_hemisphere(jr.key(0), (3,)), "Euclidean has no hemispheres"),
        (lambda: SPACE.random(jr.key(0), (3,), law="uniform"), "`law` must be one of"),
        (lambda: SPACE.random(jr.key(0), (3,), size=-1.0), "`size` must be a positive number"),
        (lambda: af.AttentionField(SPACE, P=P, normalisation="pre"), "`normalisation` must be"),
        (lambda: af.AttentionField(SPACE, P=P, normalisation="ngpt"), "`normalisation` must be"),
        (lambda: af.simulate(FIELD, Y * jnp.nan, t1=1.0), "`y0` must have finite rows"),
        (lambda: af.simulate(FIELD, Y, t1=1.0, reduce="span"), "needs a Sphere or an Ellipsoid"),
        (lambda: af.theory.verdicts(FIELD, Y), "on a Sphere or an Ellipsoid"),
        (lambda: af.theory.spectrum(FIELD, 0.0, Y), "on a Sphere or an Ellipsoid"),
        (lambda: af.theory.speed_limit(FIELD), "on a Sphere or an Ellipsoid"),
        (lambda: af.certify.equilibrium(FIELD, Y), "on a Sphere or an Ellipsoid"),
        (lambda: af.rescaled(SPHERE), "`field` must have tokens of Euclidean"),
        (lambda: af.rescaled(af.rescaled(FIELD)), "`field` must have the normalisation 'post'"),
        (
            lambda: af.rescaled(af.AttentionField(SPACE, P=P, drift=lambda t, y: y)),
            "`field` must have no drift",
        ),
        (lambda: af.rescaled(af.AttentionField(SPACE, P=P, U=OTHER_U)), "one head, or values U"),
        (
            lambda: af.rescaled(
                af.AttentionField(SPACE, P=P, U=af.ScaledIdentity(af.Sinusoid(1.0, 1.0), 2))
            ),
            "a U that time does not change",
        ),
        (lambda: af.model.unrescaled(FIELD, 1.0, Y), "must be what attnflow.rescaled"),
        (lambda: af.leaders(FIELD, 0.0, Y[:, :1]), "`y` must be tokens of the field"),
        (lambda: af.leaders(FIELD, 0.0, Y, tolerance=-1.0), "`tolerance` must be zero or more"),
        (lambda: af.leaders("field", 0.0, Y), "`field` must be an AttentionField"),
        (lambda: Carried(jnp.ones(2), 1.0), "`schedule` must have shape"),
        (lambda: Carried(P, jnp.ones(2)), "`generator` must be a number"),
    ],
)
def test_what_has_no_meaning_in_space_is_refused_in_one_line(as_user, call, message):
    with pytest.raises(ValueError, match=message) as refused:
        call()
    assert "\n" not in str(refused.value)


@pytest.mark.slow
@pytest.mark.parametrize("adjoint", ["RecursiveCheckpointAdjoint", "BacksolveAdjoint"])
def test_gradients_of_runs_in_space_are_those_of_differences(adjoint):
    def end(beta, adjoint, **how):
        field = af.AttentionField(SPACE, P=beta * jnp.eye(2), scale=1.0)
        return jnp.sum(af.simulate(field, Y, t1=1.0, adjoint=adjoint, **how).y1 ** 2)

    h, tight = 1e-5, {"rtol": 1e-11, "atol": 1e-12}
    direct = diffrax.DirectAdjoint()
    slope = (end(1.0 + h, direct, **tight) - end(1.0 - h, direct, **tight)) / (2 * h)
    found = jax.grad(lambda beta: end(beta, getattr(diffrax, adjoint)()))(1.0)
    # Differences of runs at 1e-11 over 2e-5, and a run at 1e-9.
    assert jnp.allclose(found, slope, rtol=1e-6)


def test_single_precision_stays_single():
    sol = af.simulate(af.rescaled(FIELD), Y.astype(jnp.float32), t1=0.5)
    assert sol.y1.dtype == sol.ts.dtype == jnp.float32
    exact = af.simulate(af.rescaled(FIELD), Y, t1=0.5).y1
    assert jnp.allclose(sol.y1.astype(jnp.float64), exact, atol=1e-4)
