"""What theorems predict, watched along runs: it holds where they apply, and a breach is found in time."""

from typing import Any

import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import attnflow as af

SPHERE = af.Sphere(3)
TS = jnp.linspace(0.0, 6.0, 61)
U = np.diag([1.0, 0.4, -0.3])
NEAR = SPHERE.random_hemisphere(jr.key(3), (5,))
PAIRS = np.random.default_rng(2).normal(size=(3, 3))
SLOW = U + af.Sinusoid(0.05 * np.array([[0, 1.0, 0], [1, 0, 0], [0, 0, 0]]), 0.4)
CLUSTERS = SPHERE.project(
    jnp.array([[1, 0, 0], [1, 0.01, 0], [0, 1, 0], [0, 0, 1], [0.01, 0, 1.0]])
)


def field(P=PAIRS, **options) -> af.AttentionField:
    return af.AttentionField(SPHERE, P, **options)


def run(flow, y0, watch, ts=TS):
    return af.simulate(flow, y0, t1=ts[-1], ts=ts, observe=watch.observe)


# A field and start by theorem, and how the same tokens move that do not obey it.
RUNS: dict[str, tuple[af.AttentionField, Any, af.AttentionField, set[str]]] = {
    "3.2": (field(), NEAR, field(scale=-1.0), {"V, eq. (7)", "least v'y"}),
    "4.2": (
        field(mask="causal"),
        NEAR,
        field(mask="causal", U=U, scale=-1.0),
        {"1 - y_1'y_2", "|y_1(t) - y_1(0)|"},
    ),
    "4.5": (
        field(mask="causal", U=U),
        NEAR,
        field(mask="causal", U=U, scale=-1.0),
        {"V_1 = 1 - v'y_1", "least v'y"},
    ),
    "4.7": (
        field(mask="causal", U=SLOW),
        NEAR,
        field(mask="causal", U=U, scale=-1.0),
        {"angle of y_1 to v(t)"},
    ),
    "equiangular": (
        field(P=2 * np.eye(3)),
        jnp.eye(3),
        field(P=np.diag([1.0, 2.0, 3.0])),
        {"1 - cosine", "spread of the cosines"},
    ),
    "synchronisation": (field(P=np.eye(3)), NEAR, field(P=np.eye(3), scale=-1.0), {"energy"}),
    "two tokens": (field(P=0 * PAIRS), NEAR[:2], field(scale=1.0), {"1 - cosine"}),
    "metastable": (
        field(P=30 * np.eye(3)),
        CLUSTERS,
        field(P=0 * PAIRS),
        {"least cosine with the cap's centre"},
    ),
}


@pytest.mark.parametrize(
    "theorem", [k if k == "4.5" else pytest.param(k, marks=pytest.mark.slow) for k in RUNS]
)
def test_a_prediction_holds_along_its_run_and_is_broken_along_another(theorem):
    flow, y0, other, quantities = RUNS[theorem]
    watch = af.theory.monitor(flow, y0)
    assert watch.verdicts[theorem].applies is True
    good = watch.check(run(flow, y0, watch))
    assert good.holds, str(good)
    assert good.first is None
    assert {c.quantity for c in good.checks if c.theorem == theorem} == quantities
    bad = watch.check(run(other, y0, watch))
    broken = {c.quantity for c in bad.checks if c.theorem == theorem and not c.holds}
    assert broken == quantities
    assert bad.first is not None
    assert "VIOLATED from t =" in str(bad)


def test_the_first_violation_is_where_the_flow_turns_round():
    """Values that are -I from t = 3 on drive tokens apart: V falls until then and rises after."""
    watch = af.theory.monitor(field(), NEAR)
    eye = np.eye(3)
    turned = field(U=af.Piecewise([3.0], np.stack([eye, -eye])))
    report = watch.check(run(turned, NEAR, watch))
    assert report.first is not None
    assert report.first.quantity == "V, eq. (7)"
    assert report.first.time == pytest.approx(3.1)


@pytest.mark.slow
def test_the_distance_to_the_limit_is_that_of_the_last_tokens():
    flow, y0 = field(mask="causal", U=U), NEAR
    watch = af.theory.monitor(flow, y0)
    sol = run(flow, y0, watch, ts=jnp.linspace(0.0, 60.0, 5))
    report = watch.check(sol)
    assert report.distances["4.5"] == pytest.approx(
        float(np.linalg.norm(np.asarray(sol.y1) - np.eye(3)[0], axis=1).max()), rel=1e-9
    )
    assert report.distances["4.5"] < 1e-6
    assert report.distances["Oja"] <= report.distances["4.5"]
    assert float(sol.ys["E"][-1]) < 1e-12


@pytest.mark.slow
def test_a_lagging_first_token_stays_in_the_ball_of_remark_4_7():
    """It starts at v(0), so that the bound on its angle is the radius itself, and is nearly reached."""
    turning = U + af.Sinusoid(0.2 * np.array([[0, 1.0, 0], [1, 0, 0], [0, 0, 0]]), 0.4)
    flow = field(mask="causal", U=turning, scale=1.0)
    y0 = SPHERE.project(jnp.array([[1.0, 0, 0], [1.0, 0.2, 0.1]]))
    watch = af.theory.monitor(flow, y0)
    assert watch.verdicts["4.7"].applies is True
    ts = jnp.linspace(0.0, 40.0, 401)
    sol = run(flow, y0, watch, ts)
    report = watch.check(sol)
    assert report.holds
    (bound,) = [q.bound for q in watch.verdicts["4.7"].prediction.quantities]
    largest = float(jnp.max(sol.ys["4.7: angle of y_1 to v(t)"]))
    assert 0.5 * bound < largest < bound


@pytest.mark.slow
def test_tokens_in_caps_leave_them_only_after_the_time_that_is_promised():
    """Orthonormal tokens at beta = 16: the promise, and the time that they really take (K1)."""
    flow = field(P=16 * np.eye(3), scale=1.0)
    watch = af.theory.monitor(flow, jnp.eye(3))
    verdict = watch.verdicts["metastable"]
    assert verdict.applies is True
    (within,) = verdict.prediction.quantities
    together = float(af.theory.equiangular_time(0.9, 16.0, 3))
    assert 10 < within.until < together
    ts = jnp.append(jnp.linspace(0.0, within.until, 20), together)
    sol = run(flow, jnp.eye(3), watch, ts)
    depth = np.asarray(sol.ys["metastable: least cosine with the cap's centre"])
    assert np.all(depth[:-1] > within.bound)
    assert depth[-1] < within.bound
    assert [c.holds for c in watch.check(sol).checks if c.theorem == "metastable"] == [True]


def test_undecided_theorems_are_watched_too():
    flow = field(P=af.Function(lambda t: jnp.cos(t) * jnp.eye(3)))
    watch = af.theory.monitor(flow, NEAR)
    assert watch.verdicts["3.2"].applies is None
    assert "3.2: V, eq. (7)" in watch.observe


def test_a_run_without_the_observables_is_refused():
    watch, (flow, y0, _, _) = af.theory.monitor(field(), NEAR), RUNS["4.5"]
    sol = run(flow, y0, af.theory.monitor(flow, y0))
    with pytest.raises(ValueError, match=r"`solution` must hold this monitor's observables"):
        watch.check(sol)


def test_times_that_were_not_saved_are_left_out():
    watch = af.theory.monitor(field(), NEAR)
    sol = af.simulate(field(), NEAR, t1=6.0, ts=TS, observe=watch.observe, event=af.consensus(0.2))
    assert not bool(sol.saved.all())
    assert watch.check(sol).holds
