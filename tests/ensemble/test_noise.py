"""Noise in ensembles: a key for each trajectory, the same bits in any slot, failures alone."""

import functools

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import attnflow as af
from attnflow.ensemble import Outcome

SPHERE = af.Sphere(3)
FIELD = af.AttentionField(SPHERE, P=jnp.eye(3))
STARTS = SPHERE.random(jr.key(0), (20, 8))
NOISE = af.Noise(independent=0.4, common=0.3)
KEY = jr.key(5)
NOISY = 0x6E6F6973
TS = np.linspace(0.0, 0.7, 5)
OBSERVE = {"E": af.misalignment, "y": lambda y: y}


def near(y):
    return af.misalignment(y) - 0.8


# The program of this file: other starts, slots and keys compile nothing.
OPTIONS = {"t1": 0.7, "dt0": 0.05, "ts": TS, "observe": OBSERVE}


def run(starts=STARTS, **options):
    given = {"noise": NOISE, "key": KEY, "until": near, **OPTIONS}
    return af.ensemble.run(FIELD, starts, progress=False, **(given | options))


@pytest.fixture(scope="module")
def alone():
    """One trajectory by `simulate`, of a given key and strength."""

    @jax.jit
    def alone(y0, key, independent=0.4):
        noise = af.Noise(independent=independent, common=0.3)
        return af.simulate(FIELD, y0, noise=noise, key=key, event=near, **OPTIONS)

    return alone


@pytest.fixture(scope="module")
def whole():
    return run()


def own_key(i):
    return jr.fold_in(jr.fold_in(KEY, i), NOISY)


def same(many, i, sol):
    for name in OBSERVE:
        np.testing.assert_allclose(many.ys[name][i], sol.ys[name], atol=1e-12)
    np.testing.assert_allclose(many.t1[i], sol.t1, atol=1e-12)
    assert many.stats["num_steps"][i] == sol.stats["num_steps"]


def same_bits(many, others, chosen):
    for name in OBSERVE:
        np.testing.assert_array_equal(many.ys[name][chosen], others.ys[name])
    np.testing.assert_array_equal(many.t1[chosen], others.t1)


def test_each_trajectory_is_the_run_of_its_own_key_with_its_events_and_saves(whole, alone):
    assert 0 < whole.reached.sum() < 20
    for i in (0, 13, int(np.argmax(whole.reached)), int(np.argmin(whole.reached))):
        same(whole, i, alone(STARTS[i], own_key(i)))
    first, second = whole.ys["y"][~whole.reached, -1][:2]
    assert abs(first - second).max() > 0.1


@pytest.mark.parametrize("options", [{"slots": 3}, {"slots": 1}])
def test_it_is_the_same_bits_in_any_slot_and_number(whole, options):
    same_bits(whole, run(STARTS[:7], **options), slice(7))


def test_one_that_fails_spoils_no_other(whole):
    spoiled = np.array(STARTS)
    spoiled[4] = 2.0
    result = run(spoiled)
    assert result.outcome[4] == Outcome.BAD_START
    others = np.arange(20) != 4
    for name in OBSERVE:
        np.testing.assert_array_equal(result.ys[name][others], whole.ys[name][others])


def test_a_sampler_may_give_each_trajectory_a_noise_of_its_own(alone):
    """Of two strengths one is drawn and one is that of all."""

    def scaled(key):
        return FIELD, SPHERE.random(key, (8,)), af.Noise(independent=jr.uniform(key), common=0.3)

    result = run(scaled, number=8, ts=None, until=None)
    keys = [jr.fold_in(KEY, i) for i in range(8)]
    each = [
        alone(SPHERE.random(key, (8,)), own_key(i), jr.uniform(key)) for i, key in enumerate(keys)
    ]
    to_the_end = [i for i, sol in enumerate(each) if sol.t1 == 0.7]  # no event came first
    assert len(to_the_end) > 1
    for i in to_the_end:
        np.testing.assert_allclose(result.ys["y"][i, 0], each[i].y1, atol=1e-12)


def test_a_mean_is_that_of_the_runs_and_its_gradient_follows_their_paths(whole):
    starts = STARTS[:3]
    assert not whole.reached[:3].any()

    @jax.jit
    @functools.partial(jax.value_and_grad, argnums=(0, 1, 2))
    def mean(beta, strength, starts):
        return af.ensemble.mean(
            lambda sol: af.misalignment(sol.ys[-1]),
            af.AttentionField(SPHERE, P=beta * jnp.eye(3)),
            starts,
            t1=0.7, dt0=0.05, noise=af.Noise(independent=strength, common=0.3), key=KEY, chunk=2,
        )  # fmt: skip

    value, slopes = mean(1.0, 0.4, starts)
    np.testing.assert_allclose(value, whole.ys["E"][:3, -1].mean(), atol=1e-12)
    step = 1e-5
    ways = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
    move = SPHERE.to_tangent(starts, jr.normal(jr.key(3), starts.shape))
    for way, slope in zip(ways, (slopes[0], slopes[1], jnp.sum(slopes[2] * move)), strict=True):

        def there(h, way=way):
            return mean(1.0 + h * way[0], 0.4 + h * way[1], starts + h * way[2] * move)[0]

        measured = (there(step) - there(-step)) / (2 * step)
        assert abs(measured) > 1e-3
        np.testing.assert_allclose(slope, measured, rtol=1e-5, atol=1e-8)


def test_a_mean_with_noise_needs_a_key_and_takes_that_of_each_row(as_user, alone):
    def mean(starts=STARTS[:3], **options):
        return af.ensemble.mean(
            lambda sol: sol.ys["y"][1, 0], FIELD, starts, noise=NOISE, **OPTIONS, **options
        )

    def sampler(key):
        return FIELD, SPHERE.random(key, (8,)), NOISE.with_key(jr.fold_in(key, 1))

    with pytest.raises(ValueError, match="`key` must be given with noise") as caught:
        mean()
    assert "\n" not in str(caught.value)
    own = mean(sampler, number=3, key=KEY)
    keys = [jr.fold_in(KEY, i) for i in range(3)]
    each = [alone(SPHERE.random(key, (8,)), jr.fold_in(key, 1)).ys["y"][1, 0] for key in keys]
    np.testing.assert_allclose(own, np.mean(each, axis=0), atol=1e-12)


def test_the_order_parameter_at_two_temperatures_is_the_exact_one():
    # One below and one above the transition at s^2 = c: 24 tokens on the circle, P = 0.
    circle, count, number = af.Sphere(2), 24, 32
    field = af.AttentionField(circle, P=jnp.zeros((2, 2)), scale=1.0)

    def pairs(y):
        total = jnp.sum(y, axis=0)
        return (total @ total - count) / (count * (count - 1))

    def start(row):
        temperature, trial = row
        key = jax.random.fold_in(KEY, trial)
        noise = af.Noise(independent=jnp.sqrt(temperature)).with_key(jr.fold_in(key, 1))
        return field, circle.random(key, (count,)), noise

    temperatures = np.repeat([0.5, 1.5], number)
    result = af.ensemble.run(
        field, start, each=(temperatures, np.arange(2 * number, dtype=np.uint32)), t1=40.0,
        ts=np.linspace(15.0, 40.0, 26), dt0=0.125, observe=pairs, noise=af.Noise(independent=1.0),
        progress=False,
    )  # fmt: skip
    means = result.ys.mean(axis=1).reshape(2, number)
    for temperature, of_trials in zip([0.5, 1.5], means, strict=True):
        exact = af.theory.stationary_cosine(np.sqrt(temperature), count)
        error = of_trials.std(ddof=1) / np.sqrt(number)
        assert abs(of_trials.mean() - exact) < 3 * error, temperature
        assert error < 0.02


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"key": None}, "`key` must be given with noise, such as"),
        ({"noise": None}, "`key` is for a sampler"),
        ({"noise": 0.1}, "`noise` must be an attnflow.Noise"),
        ({"rtol": 1e-3}, "`rtol` and `atol` are not used with noise"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(options, message, as_user):
    with pytest.raises(ValueError, match=message) as caught:
        run(**options)
    assert "\n" not in str(caught.value)


def test_a_sampled_noise_of_other_kinds_or_without_a_key_is_refused(as_user):
    def other(key):
        return FIELD, SPHERE.random(key, (8,)), af.Noise(values=0.1)

    with pytest.raises(ValueError, match="`starts` must return a noise of the kinds of `noise=`"):
        run(other, number=2)
    with pytest.raises(
        ValueError, match="`starts` returns a noise of each trajectory; pass `noise=`"
    ):
        run(other, number=2, noise=None)
    rows = np.arange(2, dtype=np.uint32)
    with pytest.raises(ValueError, match="with `each`, let the sampler"):
        run(lambda k: SPHERE.random(jr.key(k), (8,)), each=rows, key=None)
