"""Where a found schedule stands: the table, what theory knows, the baselines, and the other solver."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import attnflow as af
from attnflow.design import _evaluate as evaluated
from attnflow.design._evaluate import of_curve

SPHERE = af.Sphere(3)
FIELD = af.AttentionField(SPHERE, P=jnp.zeros((3, 3)), mask="causal")


def sampler(key):
    return SPHERE.random_hemisphere(key, (4,), v=jnp.asarray([1.0, 0.0, 0.0]))


@pytest.fixture(scope="module")
def found():
    return af.search.optimise(
        af.search.Final(),
        lambda key: jr.normal(key, (3, 3)),
        field=FIELD,
        starts=sampler,
        number=4,
        t1=2.0,
        bounds=6.0,
        key=jr.key(1),
        steps=20,
        rate=0.3,
        rtol=1e-6,
        atol=1e-8,
        progress=False,
    )


@pytest.fixture(scope="module")
def evaluation(found):
    others = af.search.baselines(found, jr.key(2), constant=False)
    return af.search.evaluate(
        found, sampler, number=8, key=jr.key(3), baselines=others, progress=False
    )


@pytest.mark.slow
def test_every_contender_has_the_objective_of_its_own_runs(found, evaluation):
    starts = jax.vmap(sampler)(jr.split(jr.fold_in(jr.key(3), 0), 8))
    for name, P in (("found", found.schedule(0.0)), ("P = 0", jnp.zeros((3, 3)))):
        field = af.AttentionField(SPHERE, P=P, mask="causal")
        ends = [af.simulate(field, y0, t1=2.0, rtol=1e-9, atol=1e-11).y1 for y0 in starts[:2]]
        expected = [float(af.misalignment(y)) for y in ends]
        np.testing.assert_allclose(evaluation.rows[name].values[:2], expected, rtol=1e-5)


@pytest.mark.slow
def test_the_limit_is_below_everything_and_found_is_below_before(evaluation):
    limit = evaluation.rows["limit"].values
    assert all(np.all(row.values >= limit) for row in evaluation.rows.values())
    assert evaluation.found.mean() < evaluation.rows["before"].values.mean()


def test_baselines_stay_within_the_bound(found):
    others = af.search.baselines(found, jr.key(2), constant=False)
    assert {"P = 0", "paper, Figs. 1-3", "paper, Fig. 4", "random P, 1"} <= set(others)
    for schedule in others.values():
        norms = [float(np.max(np.linalg.norm(schedule(t), axis=(-2, -1)))) for t in (0.0, 0.3, 1.7)]
        assert max(norms) < 6.0
    assert max(float(jnp.linalg.norm(s(0.0))) for s in others.values()) > 5.99


@pytest.mark.slow
def test_differences_are_paired(evaluation):
    row = next(r for r in evaluation.record()["rows"] if r["name"] == "P = 0")
    difference = evaluation.found - evaluation.rows["P = 0"].values
    assert row["found minus this"] == pytest.approx(difference.mean(), rel=1e-12)
    assert row["its standard error"] == pytest.approx(difference.std(ddof=1) / 8**0.5, rel=1e-12)
    assert row["errors apart"] == pytest.approx(row["found minus this"] / row["its standard error"])


@pytest.mark.slow
def test_another_solver_comes_to_the_same(evaluation):
    assert evaluation.recheck["solver"] == "Dopri8"
    assert evaluation.recheck["starts"] == 8
    assert evaluation.recheck["largest change"] < 1e-5


def test_a_table_is_printed_where_the_other_solver_came_to_no_end():
    again = {
        "solver": "Kvaerno4",
        "tolerance": 1e-4,
        "starts": 1,
        "failed": 1,
        "largest change": None,
    }
    row = evaluated.Row("found", np.array([2.0]), 0)
    table = evaluated.Evaluation({"found": row}, again, "log time", "maximise")
    assert str(table).splitlines()[-1] == "  by Kvaerno4 at 0.0001: no run ended"


@pytest.mark.slow
def test_the_table_and_its_record_say_the_same(evaluation):
    text = str(evaluation)
    for name in evaluation.rows:
        assert f"  {name} " in text
    record = json.loads(json.dumps(evaluation.record()))
    assert [row["name"] for row in record["rows"]] == list(evaluation.rows)
    assert "on 8 starts kept apart" in text


@pytest.mark.slow
def test_the_best_constant_is_searched_for_as_the_schedule_was(found):
    best = af.search.best_constant(found, jr.key(4))
    assert best.settings["restarts"] == 3
    assert float(jnp.linalg.norm(best.schedule(0.0))) < 6.0
    assert best.value < 1.05 * found.value  # judged by the same starts


def test_the_best_constant_has_the_restarts_that_its_optimiser_allows(found):
    """Asked of the optimiser: what is printed of it says nothing."""

    def again(schedule, **options):
        return dataclasses.replace(found, settings=options)

    other = {**found.settings, "optimiser": "Evolution of my own, by optax"}
    for optimiser, restarts in ((None, 3), (af.search.Evolution(), 1)):
        search = dataclasses.replace(found, optimiser=optimiser, settings=other, rerun=again)
        assert af.search.best_constant(search, jr.key(0)).settings["restarts"] == restarts


@pytest.mark.slow
def test_a_longer_horizon_and_another_solver_take_the_place_of_the_search_s(found):
    y0 = sampler(jr.key(5))
    short = af.search.evaluate(found, y0, baselines={}, progress=False)
    long = af.search.evaluate(found, y0, baselines={}, progress=False, t1=4.0, rtol=1e-8)
    assert long.found[0] < short.found[0]
    assert long.rows["limit"].values[0] < short.rows["limit"].values[0]
    end = af.simulate(found.field, y0, t1=4.0).y1
    assert long.found[0] == pytest.approx(float(af.misalignment(end)), rel=1e-6)


def test_objectives_of_a_known_curve():
    """E(t) = exp(-t): at the end, on average, and the time to 0.01."""
    curve = lambda t: jnp.exp(-t)  # noqa: E731
    t0, t1 = jnp.asarray(0.0), jnp.asarray(3.0)
    of = lambda objective: of_curve(objective, curve, t0, t1)  # noqa: E731
    assert of(af.search.Final()) == pytest.approx(np.exp(-3.0))
    assert of(af.search.Final(log=True)) == pytest.approx(-3.0)
    assert of(af.search.Integral()) == pytest.approx((1 - np.exp(-3.0)) / 3.0, rel=1e-6)
    assert of(af.search.ConsensusTime(0.01, log=False)) == pytest.approx(np.log(100.0))
    assert of(af.search.ConsensusTime(0.01)) == pytest.approx(np.log(np.log(100.0)))
    assert of(af.search.Final(af.order_parameter)) is None
    assert of(af.search.OfRun(lambda sol: sol.t1)) is None


def test_bad_input_is_one_line_that_names_it(found, as_user):
    cases = (
        (lambda: af.search.evaluate(3, sampler), "`optimised` must come from optimise"),
        (lambda: af.search.evaluate(found, sampler), "`key` and `number` must be given"),
        (lambda: af.search.evaluate(found, jnp.ones((2, 5))), "`starts` must have shape"),
        (lambda: af.search.evaluate(found, jnp.ones((2, 3))), "`starts`"),
    )
    for call, message in cases:
        with pytest.raises(ValueError, match=message):
            call()


def test_baselines_need_a_bound_of_their_own(found, as_user):
    import equinox as eqx

    free = eqx.tree_at(lambda t: t.model.bounds, found.task, None)
    with pytest.raises(
        ValueError, match="`optimised` needs an AttentionField as `field` and a number"
    ):
        af.search.baselines(dataclasses.replace(found, task=free), jr.key(0))
