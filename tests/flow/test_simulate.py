"""What a run returns: saves, events, endings, dtypes, summaries; and what it refuses."""

import warnings

import diffrax
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import attnflow as af

SPHERE = af.Sphere(3)
FIELD = af.AttentionField(SPHERE, P=jnp.diag(jnp.array([1.0, 0.5, -0.5])), scale=1.0)
Y0 = SPHERE.random_hemisphere(jr.key(1), (8,))
TS = jnp.linspace(0.0, 4.0, 9)


@pytest.fixture(scope="module")
def plain():
    return af.simulate(FIELD, Y0, t1=4.0, ts=TS)


def test_saves_are_tokens_at_the_times_asked_for(plain):
    assert plain.ys.shape == (9, 8, 3)
    assert jnp.array_equal(plain.ts, TS)
    assert jnp.allclose(plain.ys[0], Y0, atol=1e-15)
    assert jnp.allclose(plain.ys[-1], plain.y1, atol=1e-15)
    assert bool(jnp.all(plain.saved))
    assert plain.result == diffrax.RESULTS.successful
    assert jnp.max(SPHERE.residual(plain.ys)) < 1e-15


def test_without_ts_the_end_is_saved_and_y1_is_there_always(plain):
    sol = af.simulate(FIELD, Y0, t1=4.0)
    assert sol.ys.shape == (1, 8, 3)
    assert jnp.array_equal(sol.ts, jnp.array([4.0]))
    assert jnp.array_equal(sol.ys[0], sol.y1)
    assert jnp.allclose(sol.y1, plain.y1, atol=1e-14)
    assert sol.t1 == 4


def test_observers_store_values_and_not_tokens(plain):
    v = jnp.array([1.0, 0.0, 0.0])
    observe = {
        "E": af.misalignment,
        "V": af.Lyapunov(v),
        "t": lambda t, y: t,
        "both": lambda y: (y[0], {"n": y.shape[0]}),
        "labels": lambda y: af.clusters(y, 0.9),
        "any": lambda y: y[0, 0] > 0,
    }
    sol = af.simulate(FIELD, Y0, t1=4.0, ts=TS, observe=observe)
    both = jax.jit(jax.vmap(lambda y: (af.misalignment(y), af.lyapunov(y, v))))
    E, V = both(plain.ys)
    np.testing.assert_allclose(sol.ys["E"], E, rtol=1e-5, atol=1e-14)
    np.testing.assert_allclose(sol.ys["V"], V, rtol=1e-5, atol=1e-14)
    np.testing.assert_allclose(sol.ys["t"], TS)
    assert sol.ys["both"][0].shape == (9, 3)
    np.testing.assert_array_equal(sol.ys["both"][1]["n"], np.full(9, 8))
    assert jnp.issubdtype(sol.ys["labels"].dtype, jnp.integer)
    assert sol.ys["labels"].shape == (9, 8)
    assert sol.ys["any"].dtype == jnp.bool_


THREE = {"E": af.misalignment, "n": af.ClusterCount(0.99), "b": lambda y: y[0, 0] > -2}


@pytest.fixture(scope="module")
def until():
    """A run ended by consensus, that observes a real, an integer and a Boolean."""
    return af.simulate(FIELD, Y0, t1=50.0, ts=5 * TS, observe=THREE, event=af.consensus(1e-3))


def test_the_time_of_consensus_is_found_to_rounding(until):
    assert until.result == diffrax.RESULTS.event_occurred
    assert bool(until.event)
    assert 0 < until.t1 < 20
    assert jnp.allclose(af.misalignment(until.y1), 1e-3, rtol=1e-9)


def test_saves_after_an_event_are_marked_missing(until):
    assert jnp.array_equal(until.saved, until.t1 >= 5 * TS)
    assert bool(until.saved[0])
    assert not bool(until.saved[-1])
    lost = ~until.saved
    assert bool(jnp.all(jnp.isnan(until.ts) == lost))
    assert bool(jnp.all(jnp.isnan(until.ys["E"]) == lost))
    assert bool(jnp.all((until.ys["n"] == -1) == lost))
    assert bool(jnp.all(until.ys["b"] == until.saved))


def test_an_event_that_holds_at_the_start_ends_the_run_there():
    near = SPHERE.project(Y0[:1] + 1e-4 * Y0)
    below = {"event": lambda y: af.misalignment(y) < 0.1, "observe": None}
    for more in ({"event": af.consensus(0.1), "observe": THREE}, below):
        sol = af.simulate(FIELD, near, t1=50.0, ts=5 * TS, **more)
        assert sol.t1 == 0
        assert sol.result == diffrax.RESULTS.event_occurred
        assert jnp.allclose(sol.y1, near, atol=1e-15)
        np.testing.assert_array_equal(sol.saved, np.arange(9) == 0)
        if more["observe"] is None:
            assert jnp.allclose(sol.ys[0], near, atol=1e-15)
        else:
            assert jnp.allclose(sol.ys["E"][0], af.misalignment(near), rtol=1e-7)


@pytest.mark.slow
def test_events_of_every_form_are_found_at_one_time():
    def height(y):
        return 0.05 - af.misalignment(y)

    assert height(Y0) < 0
    times = [
        af.simulate(FIELD, Y0, t1=50.0, event=event).t1
        for event in (height, lambda t, y: height(y), lambda y: height(y) > 0)
    ]
    raw = diffrax.Event(lambda t, y, args, **kw: height(y))  # no root-finder: the step's end
    late = af.simulate(FIELD, Y0, t1=50.0, event=raw).t1
    assert 0 < times[0] < 50
    assert jnp.allclose(jnp.stack(times), times[0], rtol=1e-12)
    assert times[0] <= late


def test_which_of_several_events_ended_the_run_is_said():
    events = {"early": lambda t, y: t - 1.25, "late": lambda t, y: t - 2.5}
    sol = af.simulate(FIELD, Y0, t1=4.0, event=events)
    assert jnp.allclose(sol.t1, 1.25, rtol=1e-14)
    assert bool(sol.event["early"])
    assert not bool(sol.event["late"])


@pytest.mark.slow
def test_in_a_batch_some_lanes_may_have_events_and_some_none():
    starts = jnp.stack([Y0, SPHERE.project(Y0[:1] + 1e-3 * Y0), SPHERE.project(Y0 + Y0[:1])])
    run = lambda y: af.simulate(FIELD, y, t1=3.0, event=af.consensus(1e-3))  # noqa: E731
    together = jax.vmap(run)(starts)
    alone = [run(y) for y in starts]
    assert jnp.allclose(together.t1, jnp.stack([s.t1 for s in alone]), rtol=1e-12)
    assert jnp.allclose(together.y1, jnp.stack([s.y1 for s in alone]), atol=1e-12)
    assert len(set(together.event.tolist())) == 2
    assert "3 trajectories of 8 tokens" in str(together)


def test_the_continuous_solution_is_on_the_manifold_and_meets_the_saves(plain):
    sol = af.simulate(FIELD, Y0, t1=4.0, dense=True)
    values = jax.jit(jax.vmap(sol.evaluate))(jnp.concatenate([TS, jnp.linspace(0, 4, 77)]))
    assert jnp.allclose(values[:9], plain.ys, atol=1e-12)
    assert jnp.max(SPHERE.residual(values)) < 1e-15


def test_float32_tokens_give_float32_everything():
    sol = af.simulate(FIELD, Y0.astype(jnp.float32), t1=4.0, ts=TS, observe={"E": af.misalignment})
    for array in (sol.ts, sol.t1, sol.y1, sol.ys["E"]):
        assert array.dtype == jnp.float32
    assert jnp.allclose(sol.y1, af.simulate(FIELD, Y0, t1=4.0).y1.astype(jnp.float32), atol=1e-4)


def test_constant_steps_and_solvers_without_error_estimates(plain):
    constant = diffrax.ConstantStepSize()
    tsit5 = af.simulate(FIELD, Y0, t1=4.0, dt0=0.02, controller=constant)
    assert tsit5.stats["num_steps"] == 200
    assert jnp.allclose(tsit5.y1, plain.y1, atol=1e-9)
    euler = af.simulate(FIELD, Y0, t1=4.0, dt0=0.02, solver=diffrax.Euler())
    assert euler.stats["num_steps"] == 200
    assert jnp.allclose(euler.y1, plain.y1, atol=0.05)


def test_jump_times_are_stepped_to_under_a_controller_of_ones_own():
    # E1 until t = 1, then U = 0: the tokens stop. Stepping over the jump would move them on.
    U = af.Piecewise(jnp.array([1.0]), jnp.stack([jnp.eye(3), jnp.zeros((3, 3))]))
    field = af.AttentionField(SPHERE, P=jnp.eye(3), U=U, scale=1.0)
    controller = diffrax.PIDController(rtol=1e-3, atol=1e-3, dtmin=1e-3)
    a = af.simulate(field, Y0, t1=9.0, ts=jnp.array([1.5, 9.0]), controller=controller)
    assert jnp.allclose(a.ys[0], a.ys[1], atol=1e-15)
    fine = af.simulate(af.AttentionField(SPHERE, P=jnp.eye(3), scale=1.0), Y0, t1=1.0)
    assert jnp.allclose(a.y1, fine.y1, atol=1e-2)


def test_args_reach_drift_observers_and_events():
    field = af.AttentionField(SPHERE, jnp.eye(3), drift=lambda t, y, args: args["push"] * y[::-1])
    sol = af.simulate(
        field,
        Y0,
        t1=4.0,
        observe=lambda t, y, args: args["push"],
        event=lambda t, y, args: t - args["stop"],
        args={"push": jnp.asarray(0.5), "stop": jnp.asarray(1.5)},
    )
    assert jnp.allclose(sol.t1, 1.5)
    assert sol.ys[0] == 0.5
    assert not jnp.allclose(sol.y1, af.simulate(FIELD, Y0, t1=1.5).y1)


def test_a_run_that_fails_says_why_or_keeps_what_there_is():
    with pytest.raises(RuntimeError, match="`max_steps` = 3 was not enough .reached t = "):
        af.simulate(FIELD, Y0, t1=4.0, ts=TS, max_steps=3)
    stored = af.simulate(FIELD, Y0, t1=4.0, ts=TS, max_steps=3, throw=False)
    assert stored.result == diffrax.RESULTS.max_steps_reached
    assert bool(stored.saved[0])
    assert not bool(stored.saved[-1])
    assert 0 < stored.t1 < 4
    assert "for want of steps" in str(stored)


@pytest.mark.parametrize("when", [-1.0, pytest.param(2.0, marks=pytest.mark.slow)])
def test_a_field_that_is_not_finite_ends_the_run_soon(when):
    broken = af.AttentionField(
        SPHERE, jnp.eye(3), drift=lambda t, y: jnp.where(t > when, jnp.nan, 0.0) * y
    )
    sol = af.simulate(broken, Y0, t1=4.0, throw=False)
    assert sol.result == diffrax.RESULTS.dt_min_reached
    assert sol.stats["num_steps"] < 300
    assert jnp.allclose(sol.t1, max(when, 0.0), atol=1e-3)
    with pytest.raises(RuntimeError, match="stopped being finite"):
        af.simulate(broken, Y0, t1=4.0)


def test_failures_under_jit_are_nan():
    run = jax.jit(lambda y: af.simulate(FIELD, y, t1=4.0, max_steps=3).y1)
    assert jnp.isnan(run(Y0)).all()


def test_a_solution_prints_a_summary(until):
    text = str(until)
    for part in ("8 tokens in R^3, float64", "by an event", "accepted", "9 times of E, b, n"):
        assert part in text


def test_unnormalised_states_start_anywhere_but_zero():
    field = af.AttentionField(SPHERE, jnp.eye(3), normalisation="pre")
    sol = af.simulate(field, 3.0 * Y0, t1=4.0)
    assert jnp.all(SPHERE.norm(sol.y1) > 1.5)
    with pytest.raises(ValueError, match="`y0` must have finite, non-zero rows; got row 0"):
        af.simulate(field, Y0.at[0].set(0.0), t1=4.0)


def test_mix_is_post_and_then_pre():
    mix = af.AttentionField(SPHERE, jnp.eye(3), normalisation=af.Mix(1.5), scale=1.0)
    post = af.AttentionField(SPHERE, jnp.eye(3), scale=1.0)
    pre = af.AttentionField(SPHERE, jnp.eye(3), normalisation="pre", scale=1.0)
    sol = af.simulate(mix, Y0, t1=4.0, ts=jnp.array([1.5, 4.0]))
    middle = af.simulate(post, Y0, t1=1.5).y1
    assert jnp.allclose(sol.ys[0], middle, atol=1e-8)
    assert jnp.allclose(sol.y1, af.simulate(pre, middle, t1=4.0, t0=1.5).y1, atol=1e-8)
    with pytest.raises(ValueError, match="`y0` must lie on the manifold"):
        af.simulate(mix, 3.0 * Y0, t1=4.0)


GOOD = {"t1": 4.0}


@pytest.mark.parametrize(
    ("y0", "options", "message"),
    [
        (Y0.at[2].set(0.0), GOOD, "`y0` must have finite, non-zero rows; got row 2"),
        (Y0.at[5, 1].set(jnp.nan), GOOD, "`y0` must have finite, non-zero rows; got row 5"),
        (
            Y0.at[3].multiply(1.2),
            GOOD,
            r"`y0` must lie on the manifold.*token 3 with \|y\|_W = 1.2",
        ),
        (Y0[0], GOOD, r"`y0` must have shape \(tokens, 3\); got \(3,\)"),
        (jnp.stack([Y0, Y0]), GOOD, r"`y0` must have shape.*vmap"),
        (Y0[:, :2], GOOD, r"`y0` must have shape \(tokens, 3\); got \(8, 2\)"),
        (Y0.astype(jnp.float16), GOOD, "`y0` must be float32 or float64"),
        ("tokens", GOOD, "`y0` must be an array of real numbers"),
        (Y0, {"t1": 0.0}, "`t1` must be finite and later than `t0`; got t0 = 0, t1 = 0"),
        (Y0, {"t1": 1.0, "t0": 2.0}, "`t1` must be finite and later"),
        (Y0, {"t1": jnp.inf}, "`t1` must be finite"),
        (Y0, {"t1": jnp.ones(2)}, "`t1` must be a number"),
        (Y0, {**GOOD, "ts": [0.0, 5.0]}, "`ts` must lie between t0 = 0 and t1 = 4"),
        (Y0, {**GOOD, "ts": [2.0, 1.0]}, "`ts` must be sorted"),
        (Y0, {**GOOD, "ts": [jnp.nan]}, "`ts` must lie between"),
        (Y0, {**GOOD, "ts": 1.0}, r"`ts` must have shape \(times,\)"),
        (Y0, {**GOOD, "rtol": -1.0}, "`rtol` and `atol` must be finite, zero or more"),
        (Y0, {**GOOD, "rtol": 0.0, "atol": 0.0}, "not both zero"),
        (Y0, {**GOOD, "max_steps": 0}, "`max_steps` must be a positive integer"),
        (Y0, {**GOOD, "solver": diffrax.Euler()}, "`dt0` must be given with Euler"),
        (Y0, {**GOOD, "controller": diffrax.ConstantStepSize()}, "`dt0` must be given with"),
        (
            Y0,
            {**GOOD, "controller": diffrax.PIDController(1e-3, 1e-3), "rtol": 1e-3},
            "`rtol` and `atol` are not used by PIDController",
        ),
        (Y0, {**GOOD, "dense": True, "max_steps": 10**7}, "`dense` keeps every step"),
        (Y0, {**GOOD, "observe": {}}, "`observe` must hold at least one function"),
        (Y0, {**GOOD, "observe": 3}, "`observe` must be callable"),
        (Y0, {**GOOD, "event": lambda y: y}, "`event` must give one real number or Boolean"),
        (Y0, {**GOOD, "reduce": "fast"}, "`reduce` must be one of"),
    ],
)
def test_bad_input_is_refused_in_one_line(as_user, y0, options, message):
    with pytest.raises(ValueError, match=message) as caught:
        af.simulate(FIELD, y0, **options)
    assert "\n" not in str(caught.value)


def test_tokens_off_by_rounding_are_projected():
    sol = af.simulate(FIELD, Y0 * (1 + 5e-5), t1=4.0, ts=TS)
    assert jnp.allclose(sol.ys[0], Y0, atol=1e-15)


def test_float32_with_a_tolerance_it_cannot_meet_warns():
    options = {"t1": 4.0, "ts": TS, "observe": {"E": af.misalignment}}
    with pytest.warns(UserWarning, match="enable float64"):
        af.simulate(FIELD, Y0.astype(jnp.float32), rtol=1e-7, atol=1e-8, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        af.simulate(FIELD, Y0.astype(jnp.float32), rtol=1e-4, atol=1e-6, **options)


def test_a_field_of_another_kind_is_refused(as_user):
    with pytest.raises(ValueError, match="`field` must be an AttentionField"):
        af.simulate(SPHERE, Y0, t1=1.0)
    with pytest.raises(ValueError, match="`evaluate` needs a continuous solution"):
        af.simulate(FIELD, Y0, t1=4.0).evaluate(1.0)
    with pytest.raises(ValueError, match="`threshold` must be positive"):
        af.consensus(0.0)
