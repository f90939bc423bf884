"""Schedules by gradient: what is reached against what is known, what holds by construction, what is left out."""

import functools

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax
import pytest

import attnflow as af
from attnflow.design import _objectives
from attnflow.records import _resumable

SPHERE = af.Sphere(3)
FIELD = af.AttentionField(SPHERE, P=jnp.zeros((3, 3)), mask="causal")
TWO = jnp.asarray([[1.0, 0.0, 0.0], [-0.6, 0.8, 0.0]])
FOUR = SPHERE.random_hemisphere(jr.key(4), (4,))
STEPS = {"rtol": 1e-5, "atol": 1e-7, "progress": False}
KNOTS = jnp.linspace(0.0, 2.0, 3)


def interpolated(key):
    return af.Interpolated(KNOTS, jr.normal(key, (3, 3, 3)), "linear")


def sampler(key):
    return SPHERE.random(key, (4,))


def search(objective=None, schedule=interpolated, **given):
    """A short search over one start of four tokens."""
    objective = af.search.Final(log=True) if objective is None else objective
    options = {
        "field": FIELD,
        "starts": FOUR,
        "t1": 2.0,
        "key": jr.key(1),
        "bounds": 6.0,
        "steps": 5,
    }
    return af.search.optimise(objective, schedule, **(options | STEPS | given))


def leaves(found):
    return [np.asarray(x) for x in jax.tree.leaves(found.schedule)]


def same(a, b):
    return all(np.array_equal(x, y) for x, y in zip(leaves(a), leaves(b), strict=True))


# === what is reached


@pytest.mark.slow
def test_two_tokens_come_to_the_tanh_reference_and_not_beyond():
    """For token 2 it is the optimum: reached to a percent within a bound of 40."""
    optimised = search(af.search.Final(), starts=TWO, bounds=40.0, steps=150, rate=0.3, t1=3.0)
    best = float(af.theory.reference_misalignment(FIELD, TWO, 3.0))
    assert best < optimised.value < 1.01 * best
    assert optimised.value == pytest.approx(
        float(af.misalignment(run(optimised.field, TWO, 3.0))), rel=1e-4
    )


def run(field, y0, t1):
    return af.simulate(field, y0, t1=t1, rtol=1e-8, atol=1e-10).y1


@pytest.mark.slow
@pytest.mark.parametrize(("goal", "better"), [("minimise", np.less), ("maximise", np.greater)])
def test_either_goal_is_approached_and_the_best_is_kept(goal, better):
    optimised = search(goal=goal, steps=12)
    losses = optimised.history.loss[:, 0]
    assert better(optimised.value, optimised.sign * losses[0])
    assert optimised.history.least[-1, 0] <= losses.min()
    assert np.all(np.diff(optimised.history.least[:, 0]) <= 0)
    repeated = float(jnp.log(af.misalignment(run(optimised.field, FOUR, 2.0))))
    assert optimised.value == pytest.approx(repeated, abs=1e-4)


def test_bounds_hold_at_every_time_however_long_the_steps():
    optimised = search(bounds=1.5, steps=8, rate=3.0, goal="maximise")
    norms = [float(jnp.linalg.norm(optimised.schedule(t))) for t in np.linspace(0.0, 2.0, 41)]
    assert 1.0 < max(norms) < 1.5


@pytest.mark.slow
def test_values_and_heads_are_searched_together_within_bounds_of_their_own():
    def begin(key):
        U = af.Symmetric(jr.normal(jr.fold_in(key, 1), (3, 3)))
        return {"P": jr.normal(key, (2, 3, 3)), "U": U}

    optimised = search(
        af.search.Integral(points=9), begin, bounds={"P": 3.0, "U": (0.5, "spectral")}
    )
    U = optimised.schedule["U"](0.3)
    np.testing.assert_allclose(U, U.T, atol=1e-15)
    assert float(jnp.linalg.norm(U, 2)) < 0.5
    assert optimised.field.heads == 2
    assert optimised.settings["bounds"] == {"P": "frobenius 3", "U": "spectral 0.5"}


@pytest.mark.slow
def test_lbfgs_searches_along_its_line():
    adam = search(af.search.Final(), steps=6)
    lbfgs = search(af.search.Final(), steps=6, optimiser=optax.lbfgs())
    assert lbfgs.value < adam.value


@pytest.mark.slow
def test_evolution_needs_no_gradient():
    """Hardmax attention is piecewise constant in P: gradients are zero, tries are not."""
    field = af.AttentionField(SPHERE, P=jnp.zeros((3, 3)), mask="causal", kernel="hardmax")
    start = af.Constant(jnp.diag(jnp.asarray([-1.0, -2.0, -1.0])))
    given = {"field": field, "dt0": 0.05, "goal": "maximise", "rtol": None, "atol": None}
    given |= {"solver": diffrax.Heun(), "controller": diffrax.ConstantStepSize()}
    flat = search(af.search.Final(), start, steps=3, **given)
    assert np.all(flat.history.norm == 0)
    optimised = search(
        af.search.Final(),
        start,
        steps=6,
        optimiser=af.search.Evolution(sigma=1.0, population=8),
        **given,
    )
    assert optimised.value > flat.value + 0.01
    assert optimised.history.least.shape == (6, 1)


# === over many starts


@pytest.mark.slow
def test_more_starts_than_a_chunk_go_through_lanes_and_come_to_the_same():
    """Two restarts and the mean over the worst: every start's value and derivative counts for itself."""
    given = {"starts": SPHERE.random(jr.key(5), (6, 4)), "steps": 2, "restarts": 2}
    given |= {"risk": af.search.CVaR(0.5), "rtol": 1e-8, "atol": 1e-10}
    lanes, beside = search(chunk=5, **given), search(chunk=6, **given)
    np.testing.assert_allclose(lanes.history.loss, beside.history.loss, rtol=1e-8)
    np.testing.assert_allclose(lanes.history.norm, beside.history.norm, rtol=1e-6)
    np.testing.assert_allclose(lanes.values, beside.values, rtol=1e-8)


def test_risks_are_means_of_the_worst():
    values = jnp.asarray([3.0, 1.0, jnp.nan, 4.0, 2.0])
    counts = jnp.isfinite(values)
    of = lambda risk: float(_objectives.collected(risk, values, counts))  # noqa: E731
    assert of("mean") == 2.5
    assert of("worst") == 4.0
    assert of(af.search.CVaR(0.5)) == 3.5
    assert of(af.search.CVaR(0.6)) == 3.0
    assert of(af.search.CVaR(1.0)) == 2.5
    nothing = jnp.zeros(5, bool)
    for risk in ("mean", "worst", af.search.CVaR(0.5)):
        assert np.isnan(float(_objectives.collected(risk, values, nothing)))


@pytest.mark.slow
@pytest.mark.parametrize("risk", ["mean", af.search.CVaR(0.5)])
def test_chunks_change_nothing(risk):
    starts = jax.vmap(sampler)(jr.split(jr.key(2), 5))
    whole, parts = (search(starts=starts, risk=risk, chunk=c, steps=3) for c in (5, 2))
    np.testing.assert_allclose(whole.history.loss, parts.history.loss, rtol=1e-6)
    np.testing.assert_allclose(whole.history.norm, parts.history.norm, rtol=1e-4)


@pytest.mark.slow
def test_fresh_starts_are_new_at_each_step_and_the_same_in_each_run():
    first, second = (search(starts=sampler, number=3, steps=4) for _ in range(2))
    assert same(first, second)
    np.testing.assert_array_equal(first.history.loss, second.history.loss)
    fixed = search(starts=sampler, number=3, steps=4, rate=1e-300)
    assert len(set(fixed.history.loss[:, 0])) == 4
    # The best is said by starts that no step has: without a step it stays where it is.
    assert len(set(fixed.history.least[:, 0])) == 1
    assert fixed.history.least[0, 0] not in fixed.history.loss[:, 0]


@pytest.mark.slow
def test_restarts_side_by_side_are_those_alone():
    many = search(restarts=3, steps=4)
    keys = jr.split(jr.fold_in(jr.key(1), 0), 3)
    for k in (0, 2):
        alone = search(schedule=interpolated(keys[k]), steps=4)
        np.testing.assert_allclose(many.history.loss[:, k], alone.history.loss[:, 0], rtol=1e-8)
    assert many.value == many.sign * many.history.least[-1].min()
    assert many.values.shape == (3,)


# === what fails is left out, and counted


class Breaks:
    """A drift that is not finite for tokens whose first coordinate begins above 0.9."""

    def __call__(self, t, y):
        return jnp.where(y[0, 0] > 0.9, jnp.nan, 0.0) * y


@functools.cache
def broken_field():
    breaks = Breaks()
    return af.AttentionField(
        SPHERE, P=jnp.zeros((3, 3)), mask="causal", drift=lambda t, y: breaks(t, y)
    )


@pytest.mark.slow
def test_runs_that_fail_are_left_out_and_counted():
    good = jax.vmap(sampler)(jr.split(jr.key(6), 3))
    good = good.at[:, 0].set(jnp.asarray([[0.0, 0.6, 0.8]]))
    bad = good[:1].at[0, 0].set(jnp.asarray([1.0, 0.0, 0.0]))
    field = broken_field()
    with_bad = search(field=field, starts=jnp.concatenate([good, bad]), steps=3)
    without = search(field=field, starts=good, steps=3)
    np.testing.assert_allclose(with_bad.history.loss, without.history.loss, rtol=1e-6)
    np.testing.assert_allclose(with_bad.history.norm, without.history.norm, rtol=1e-4)
    assert with_bad.history.failed.tolist() == [[1], [1], [1]]
    assert not with_bad.history.skipped.any()
    assert "3 failed runs" in str(with_bad)


@pytest.mark.slow
def test_a_search_in_which_every_run_fails_says_so():
    bad = FOUR.at[0].set(jnp.asarray([1.0, 0.0, 0.0]))
    with pytest.raises(RuntimeError, match="10 steps in a row had no finite gradient"):
        search(field=broken_field(), starts=bad, steps=20)


@pytest.mark.slow
def test_a_step_whose_gradient_is_not_finite_changes_nothing():
    def steep(solution):
        return jnp.sqrt(jnp.sum(solution.y1[0] * 0.0)) + jnp.sum(solution.y1)

    losses = []
    with pytest.raises(RuntimeError, match="no finite gradient"):
        search(steep, steps=12, report=losses.append)
    assert [row["skipped"] for row in losses] == list(range(1, 11))
    assert len({row["objective"] for row in losses}) == 1


def test_patience_ends_a_search_that_stands_still():
    optimised = search(steps=50, patience=3, rate=1e-300)
    assert len(optimised.history) == 4
    assert optimised.reason == "no better for 3 steps"


# === objectives


@pytest.mark.slow
def test_consensus_time_and_its_slope_are_those_of_the_closed_form():
    """K5: two causal tokens with P = 0, cos = tanh(ct/2 + artanh cos(0)); E = (1 - cos)/2."""
    scale = 0.7

    def time(g, log):
        objective = af.search.ConsensusTime(0.05, log=log)
        y0 = jnp.stack([jnp.asarray([1.0, 0, 0]), jnp.stack([g, jnp.sqrt(1 - g**2), 0 * g])])
        field = af.AttentionField(SPHERE, P=jnp.zeros((3, 3)), mask="causal", scale=scale)
        t0, t1 = jnp.asarray(0.0), jnp.asarray(50.0)
        sol = af.simulate(field, y0, t1=t1, rtol=1e-10, atol=1e-12, **objective.asks(t0, t1))
        return objective.value(sol)

    def exact(g):
        return 2 * (jnp.arctanh(0.9) - jnp.arctanh(g)) / scale

    g = jnp.asarray(-0.3)
    for log in (False, True):
        known = (lambda g: jnp.log(exact(g))) if log else exact
        value, slope = jax.value_and_grad(lambda g, log=log: time(g, log))(g)
        assert float(value) == pytest.approx(float(known(g)), rel=1e-8)
        assert float(slope) == pytest.approx(float(jax.grad(known)(g)), rel=1e-6)


@pytest.mark.slow
def test_a_consensus_time_that_is_not_reached_goes_on_with_a_slope():
    objective = af.search.ConsensusTime(1e-3)
    short = search(objective, t1=2.0, steps=3)
    assert short.history.loss[0, 0] > np.log(2.0)
    assert np.all(short.history.norm > 0)
    values = jnp.asarray([0.5, np.log(2.0) + 1e-9, 3.0])
    assert objective.censored(values, jnp.asarray(2.0)).tolist() == [False, True, True]


@pytest.mark.slow
def test_the_integral_is_the_average_in_time():
    optimised = search(af.search.Integral(points=65), rate=1e-300, steps=1)
    ts = jnp.linspace(0.0, 2.0, 2001)
    sol = af.simulate(optimised.field, FOUR, t1=2.0, ts=ts, observe=af.misalignment, rtol=1e-9)
    average = np.trapezoid(np.asarray(sol.ys), np.asarray(ts)) / 2.0
    assert optimised.value == pytest.approx(average, rel=1e-5)


@pytest.mark.slow
def test_other_numbers_do_not_compile_again():
    traced = []

    def end(solution):
        traced.append(1)
        return solution.ys[-1]

    objective = af.search.OfRun(end, observe=af.misalignment)
    search(objective, key=jr.key(1))
    before = len(traced)
    search(objective, key=jr.key(2), starts=-FOUR, t1=1.5, bounds=7.0)
    assert (
        len(traced) <= before + 1
    )  # the summary's own shapes are looked at once more, not compiled


# === what may be changed


@pytest.mark.slow
def test_knots_bounds_and_frequencies_are_not_trained():
    bounded = af.Bounded(interpolated(jr.key(0)), 2.0)
    spec = af.search.trainable(bounded)
    assert (spec.bound, spec.schedule.ts, spec.schedule.values) == (False, False, True)
    optimised = search(schedule=bounded, bounds=None)
    assert float(optimised.schedule.bound) == 2.0
    np.testing.assert_array_equal(optimised.schedule.schedule.ts, KNOTS)
    assert not np.array_equal(optimised.schedule.schedule.values, bounded.schedule.values)


@pytest.mark.slow
def test_what_is_chosen_alone_is_changed():
    fourier = af.Fourier(jnp.eye(3), jnp.ones((1, 3, 3)), jnp.ones((1, 3, 3)), 2.0)
    spec = eqx.tree_at(lambda s: s.constant, af.search.trainable(fourier), False)
    optimised = search(schedule=fourier, trainable=spec, bounds=None)
    np.testing.assert_array_equal(optimised.schedule.constant, jnp.eye(3))
    assert not np.array_equal(optimised.schedule.cosine, fourier.cosine)
    by_function = search(schedule=fourier, trainable=lambda leaf: leaf.ndim == 3, bounds=None)
    assert same(optimised, by_function)


def test_a_bound_cannot_be_chosen(as_user):
    bounded = af.Bounded(interpolated(jr.key(0)), 2.0)
    spec = eqx.tree_at(lambda s: s.bound, af.search.trainable(bounded), True)
    with pytest.raises(ValueError, match=r"`trainable` may not choose `\.bound`"):
        search(schedule=bounded, trainable=spec)


def test_frequencies_are_trained_where_a_pytree_says_so_alike_in_every_schedule():
    fourier = af.Fourier(jnp.eye(3), jnp.ones((1, 3, 3)), jnp.ones((1, 3, 3)), 2.0)
    for schedule in (fourier, af.Sinusoid(jnp.eye(3), 2.0), 3.0 * af.Sinusoid(jnp.eye(3), 2.0)):
        inner = lambda s: s.schedule if isinstance(s, af.schedules.Scaled) else s  # noqa: E731
        spec = af.search.trainable(schedule)
        assert inner(spec).omega is False
        assert inner(af.search.trainable(schedule, eqx.is_inexact_array)).omega is False
        chosen = eqx.tree_at(lambda s: inner(s).omega, spec, True)  # noqa: B023
        assert inner(af.search.trainable(schedule, chosen)).omega is True


class Warmed(af.Piecewise):
    """Knots under the name of another class."""


class Marked(af.Piecewise):
    """Knots, and a number that nobody says anything of."""

    mark: jax.Array

    def __init__(self, times, values, mark):
        super().__init__(times, values)
        self.mark = jnp.asarray(mark)


class Settled(Marked):
    """The same, where the class says that it is no time."""

    never_trained = ()


class Stretched(af.schedules.AbstractSchedule):
    """A schedule of one's own that says nothing but what it must."""

    knots: jax.Array
    schedule: af.schedules.AbstractSchedule

    def __call__(self, t):
        return jnp.sum(self.knots) * self.schedule(t)

    @property
    def frequency(self):
        return self.schedule.frequency

    @property
    def jump_times(self):
        return self.knots


def test_times_of_a_subclass_are_not_trained_and_what_no_class_tells_is_refused(as_user):
    knots, values = [1.0, 2.0], jnp.ones((3, 3, 3))
    spec = af.search.trainable(Warmed(knots, values))
    assert (spec.times, spec.values) == (False, True)
    with pytest.raises(
        ValueError, match=r"`schedule` of type Marked does not say whether `\.mark`"
    ):
        search(schedule=Marked(knots, values, 1.0), bounds=None)
    spec = af.search.trainable(Settled(knots, values, 1.0))
    assert (spec.times, spec.values, spec.mark) == (False, True, True)

    own = 2.0 * Stretched(jnp.asarray(knots), af.Constant(jnp.eye(3)))
    with pytest.raises(
        ValueError, match=r"type Stretched does not say whether `\.schedule\.knots`"
    ):
        af.search.trainable(own)
    with pytest.raises(ValueError, match="never_trained"):
        af.search.trainable(own, eqx.is_inexact_array)
    spec = af.search.trainable(own, lambda leaf: leaf.ndim == 2)
    assert (spec.schedule.knots, spec.schedule.schedule.value) == (False, True)
    every = jax.tree.map(lambda _: True, own)
    assert af.search.trainable(own, every).schedule.knots is True


# === killed and gone on


@pytest.mark.slow
@pytest.mark.parametrize("fresh", [False, True])
def test_a_search_that_was_stopped_goes_on_to_the_same_bits(tmp_path, fresh):
    given = {"starts": sampler, "number": 2} if fresh else {}
    whole = search(steps=8, **given)

    class Stop(Exception):
        pass

    def until(last):
        def report(now):
            if now["step"] == last:
                raise Stop

        return report

    store = tmp_path / "search.af"
    for last in (1, 2, 6):
        with pytest.raises(Stop):
            search(steps=8, store=store, report=until(last), **given)
    optimised = search(steps=8, store=store, **given)
    assert same(optimised, whole)
    for name in ("loss", "norm", "least", "failed", "skipped"):
        np.testing.assert_array_equal(
            getattr(optimised.history, name), getattr(whole.history, name)
        )
    done = search(steps=8, store=store, **given)
    assert same(done, whole)


@pytest.mark.slow
def test_evolution_goes_on_to_the_same_bits(tmp_path):
    given = {"optimiser": af.search.Evolution(population=5), "schedule": jnp.eye(3), "steps": 6}
    whole = search(**given)

    def report(now):
        if now["step"] == 3:
            raise KeyboardInterrupt

    store = tmp_path / "search.af"
    with pytest.raises(KeyboardInterrupt):
        search(store=store, report=report, **given)
    assert same(search(store=store, **given), whole)


def test_a_store_of_another_search_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(_resumable, "_EVERY", 0.0)
    store = tmp_path / "search.af"
    search(store=store, steps=2)
    for other in ({"bounds": 7.0}, {"key": jr.key(9)}, {"goal": "maximise"}, {"starts": -FOUR}):
        with pytest.raises(ValueError, match="of a search with other arguments"):
            search(store=store, steps=2, **other)
    af.save(store, {"format": "something"})
    with pytest.raises(ValueError, match="holds something else"):
        search(store=store, steps=2)


# === bad input

BAD = {
    "objective": ({"objective": 3.0}, "`objective` must be Final"),
    "goal": ({"goal": "fast"}, "`goal` must be one of"),
    "rate": ({"rate": 0.0}, "`rate` must be one positive number"),
    "steps": ({"steps": 0}, "`steps` must be a positive integer"),
    "restarts": ({"schedule": jnp.eye(3), "restarts": 2}, "`restarts` = 2 needs `schedule`"),
    "bounds": ({"bounds": -1.0}, "`bounds` must be positive"),
    "norm": ({"bounds": (1.0, "nuclear")}, "`bounds` must be one of"),
    "by name": ({"bounds": {"P": 1.0}}, "`bounds` must be a number or"),
    "names": ({"schedule": {"Q": jnp.eye(3)}}, "`schedule` as a dictionary must name P, U"),
    "dictionary": ({"schedule": {"P": jnp.eye(3)}, "bounds": 2.0}, "`bounds` must be a dictionary"),
    "shape": ({"schedule": jnp.eye(4)}, r"`P` must have shape \(3, 3\)"),
    "starts": ({"starts": jnp.ones((2, 5))}, "`starts` must have shape"),
    "off": ({"starts": jnp.ones((2, 3))}, "`starts`"),
    "number": ({"starts": sampler}, "`number` must say how many"),
    "number of an array": ({"number": 3}, "`number` is for a sampler"),
    "risk": ({"risk": "median"}, "`risk` must be 'mean', 'worst' or CVaR"),
    "ts": ({"ts": KNOTS}, "`ts` is asked for by the objective"),
    "unknown": ({"colour": 1}, "`colour` is no argument"),
    "trainable": ({"trainable": lambda leaf: False}, "`trainable` leaves nothing"),
    "spec": ({"trainable": [True]}, "`trainable` must be a function of a leaf"),
    "evolution": (
        {"optimiser": af.search.Evolution(), "restarts": 2},
        "`restarts` must be 1 with Evolution",
    ),
    "t1": ({"t1": -1.0}, "`t1` must be finite and later"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_line_that_names_it(name, as_user):
    given, message = BAD[name]
    with pytest.raises(ValueError, match=message) as caught:
        search(**given)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: af.search.Integral(points=4), "`points` must be odd"),
        (lambda: af.search.Integral(points=1), "`points` must be an integer, 3 or more; got 1"),
        (lambda: af.search.ConsensusTime(0.0), "`threshold` must be positive"),
        (lambda: af.search.CVaR(1.5), r"`fraction` must be in \]0, 1\]"),
        (lambda: af.search.Evolution(sigma=0.0), "`sigma` must be positive"),
        (lambda: af.search.Evolution(population=2), "`population` must be an integer, 4 or more"),
    ],
)
def test_bad_parts_are_refused(make, message, as_user):
    with pytest.raises(ValueError, match=message):
        make()
