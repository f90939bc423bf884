"""Metastable sets of runs whose Markov chain is known, and of free diffusion, which has a closed form."""

from importlib.util import find_spec

import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import attnflow as af

CIRCLE = af.Sphere(2)
FIELD = af.AttentionField(CIRCLE, P=jnp.eye(2), U=0.0 * jnp.eye(2), scale=1.0)
needs_deeptime = pytest.mark.skipif(
    find_spec("deeptime") is None, reason="metastable sets need deeptime"
)


def at(angles):
    return np.stack([np.cos(angles), np.sin(angles)], axis=-1)


def hopping(runs=20, times=500):
    """Two tokens, together or opposite, turned anyhow and in any order: a chain of two states with known hops."""
    generator = np.random.default_rng(0)
    leave, state = np.array([0.02, 0.05]), generator.integers(0, 2, runs)
    states = []
    for _ in range(times):
        state = np.where(generator.random(runs) < leave[state], 1 - state, state)
        states.append(state)
    states = np.stack(states, axis=1)
    turn = generator.uniform(0, 2 * np.pi, states.shape)
    apart = np.pi * states + generator.normal(scale=0.1, size=states.shape)
    return states, at(np.stack([turn, turn + apart], axis=-1))


@needs_deeptime
def test_a_chain_of_two_states_is_found_with_its_shares_and_time_scale():
    states, ys = hopping()
    got = af.attractors.metastable(FIELD, ys, every=0.5, microstates=10)
    assert len(got.shares) == 2
    np.testing.assert_allclose(got.transition, [[0.98, 0.02], [0.05, 0.95]], atol=0.01)
    np.testing.assert_allclose(got.shares, [5 / 7, 2 / 7], atol=0.07)  # three standard errors
    assert got.time_scales[0] == pytest.approx(-0.5 / np.log(0.93), rel=0.2)
    hops = np.array([np.mean(states[:, 1:][states[:, :-1] == k] != k) for k in (0, 1)])
    assert got.time_scales[0] == pytest.approx(-0.5 / np.log(1 - hops.sum()), rel=0.02)
    np.testing.assert_allclose(got.shares, hops[::-1] / hops.sum(), atol=0.01)
    assert np.mean(got.labels == states) > 0.999
    assert got.covered == 1
    cosines = np.sum(got.examples[:, 0] * got.examples[:, 1], axis=1)
    np.testing.assert_allclose(cosines, [1, -1], atol=0.05)
    assert "2 metastable sets" in str(got)


@needs_deeptime
def test_free_diffusion_has_its_closed_form_time_scale():
    """The angle between two tokens diffuses at s² twice over: its cosine forgets at the rate s²."""
    s, every = 1.0, 0.2
    runs = af.ensemble.run(
        FIELD, lambda key: CIRCLE.random(key, (2,)), number=60, key=jr.key(0), t1=40.0,
        ts=every * jnp.arange(200.0), dt0=0.05, noise=af.Noise(independent=s), progress=False,
    )  # fmt: skip
    got = af.attractors.metastable(FIELD, runs.ys, every=every, lag=2, sets=2, microstates=30)
    assert got.time_scales[0] == pytest.approx(1 / s**2, rel=0.12)
    np.testing.assert_allclose(got.shares, 0.5, atol=0.1)


@needs_deeptime
def test_runs_that_come_back_nowhere_are_refused():
    still = np.tile(at(np.array([0.0, 1.0])), (3, 10, 1, 1))
    with pytest.raises(ValueError, match="`ys` must change"):
        af.attractors.metastable(FIELD, still, every=1.0)
    once = at(np.array([0.0, 1.0]) + np.linspace(0, 1, 10)[:, None] * np.array([0.0, 2.0]))
    with pytest.raises(ValueError, match="must go back and forth"):
        af.attractors.metastable(FIELD, once[None], every=1.0)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"lag": 10}, "`lag` must be below"),
        ({"sets": 1}, "`sets` must be 2"),
        ({"every": 0.0}, "`every` must"),
        ({"ys": np.zeros((2, 10, 2, 3))}, "`ys` must have shape"),
    ],
)
def test_wrong_arguments_are_refused_in_one_line(options, words, as_user):
    options = {"ys": np.tile(at(np.array([0.0, 1.0])), (3, 10, 1, 1)), "every": 1.0, **options}
    ys = options.pop("ys")
    with pytest.raises(ValueError, match=words):
        af.attractors.metastable(FIELD, ys, **options)
