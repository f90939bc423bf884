"""Noise in ensembles: a key for each trajectory, the same bits in any slot, failures alone."""

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


def tokens(y):
    return y


def run(starts=STARTS, **options):
    given = {"noise": NOISE, "key": KEY, "t1": 0.7, "dt0": 0.05, "observe": tokens}
    return af.ensemble.run(FIELD, starts, progress=False, **(given | options))


@pytest.fixture(scope="module")
def whole():
    return run()


def own_key(i):
    return jr.fold_in(jr.fold_in(KEY, i), NOISY)


def test_each_trajectory_is_the_run_of_its_own_key(whole):
    for i in (0, 13):
        sol = af.simulate(FIELD, STARTS[i], t1=0.7, dt0=0.05, noise=NOISE, key=own_key(i))
        np.testing.assert_allclose(whole.ys[i, 0], sol.y1, atol=1e-13)
        assert whole.stats["num_steps"][i] == sol.stats["num_steps"]
    assert abs(whole.ys[0] - whole.ys[13]).max() > 0.1


@pytest.mark.parametrize("options", [{"slots": 3}, {"slots": 1}])
def test_it_is_the_same_bits_in_any_slot_and_number(whole, options):
    np.testing.assert_array_equal(run(STARTS[:7], **options).ys, whole.ys[:7])


def test_one_that_fails_spoils_no_other(whole):
    spoiled = np.array(STARTS)
    spoiled[4] = 2.0
    result = run(spoiled)
    assert result.outcome[4] == Outcome.BAD_START
    others = np.arange(20) != 4
    np.testing.assert_array_equal(result.ys[others], whole.ys[others])


def test_events_and_saves_are_those_of_the_run_alone():
    ts = np.linspace(0.0, 0.6, 5)

    def near(y):
        return af.misalignment(y) - 0.8

    many = run(ts=ts, until=near, observe=af.misalignment)
    assert 0 < many.reached.sum() < 20
    for i in (int(np.argmax(many.reached)), int(np.argmin(many.reached))):
        sol = af.simulate(
            FIELD, STARTS[i], t1=0.7, dt0=0.05, ts=ts, event=near, observe=af.misalignment,
            noise=NOISE, key=own_key(i),
        )  # fmt: skip
        np.testing.assert_allclose(many.ys[i], sol.ys, atol=1e-12)
        np.testing.assert_allclose(many.t1[i], sol.t1, atol=1e-12)


def test_a_sampler_may_give_each_trajectory_a_noise_of_its_own(whole):
    def alike(key):
        return FIELD, SPHERE.random(key, (8,)), NOISE

    def scaled(key):
        return FIELD, SPHERE.random(key, (8,)), af.Noise(independent=jr.uniform(key), common=0.3)

    first, other = (run(sampler, number=4) for sampler in (alike, scaled))
    y0 = SPHERE.random(jr.fold_in(KEY, 2), (8,))
    expected = af.simulate(FIELD, y0, t1=0.7, dt0=0.05, noise=NOISE, key=own_key(2)).y1
    np.testing.assert_allclose(first.ys[2, 0], expected, atol=1e-13)
    noise = af.Noise(independent=jr.uniform(jr.fold_in(KEY, 2)), common=0.3)
    expected = af.simulate(FIELD, y0, t1=0.7, dt0=0.05, noise=noise, key=own_key(2)).y1
    np.testing.assert_allclose(other.ys[2, 0], expected, atol=1e-13)


def test_a_mean_is_that_of_the_runs_and_its_gradient_follows_their_paths(whole):
    @jax.jit
    def mean(beta, strength, starts):
        return af.ensemble.mean(
            lambda sol: af.misalignment(sol.ys[-1]),
            af.AttentionField(SPHERE, P=beta * jnp.eye(3)),
            starts,
            t1=0.7, dt0=0.05, noise=af.Noise(independent=strength, common=0.3), key=KEY, chunk=2,
        )  # fmt: skip

    at = (jnp.asarray(1.0), jnp.asarray(0.4), STARTS[:3])
    value, slopes = jax.jit(jax.value_and_grad(mean, (0, 1, 2)))(*at)
    expected = np.mean([af.misalignment(jnp.asarray(y)) for y in whole.ys[:3, 0]])
    np.testing.assert_allclose(value, expected, atol=1e-12)
    step = 1e-5
    ways = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
    move = SPHERE.to_tangent(at[2], jr.normal(jr.key(3), at[2].shape))
    for way, slope in zip(ways, (slopes[0], slopes[1], jnp.sum(slopes[2] * move)), strict=True):

        def there(h, way=way):
            return mean(1.0 + h * way[0], 0.4 + h * way[1], at[2] + h * way[2] * move)

        measured = (there(step) - there(-step)) / (2 * step)
        assert abs(measured) > 1e-3
        np.testing.assert_allclose(slope, measured, rtol=1e-5, atol=1e-8)


def test_a_mean_with_noise_needs_a_key_and_takes_that_of_each_row(as_user):
    def mean(starts=STARTS[:3], **options):
        return af.ensemble.mean(
            lambda sol: sol.ys[-1, 0], FIELD, starts, t1=0.7, dt0=0.05, noise=NOISE, **options
        )

    def sampler(key):
        return FIELD, SPHERE.random(key, (8,)), NOISE.with_key(jr.fold_in(key, 1))

    with pytest.raises(ValueError, match="`key` must be given with noise") as caught:
        mean()
    assert "\n" not in str(caught.value)
    own = mean(sampler, number=3, key=KEY)
    many = af.ensemble.run(
        FIELD, sampler, number=3, key=KEY, t1=0.7, dt0=0.05, noise=NOISE, observe=tokens,
        progress=False,
    )  # fmt: skip
    np.testing.assert_allclose(own, many.ys[:, 0, 0].mean(axis=0), atol=1e-12)


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
