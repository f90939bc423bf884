"""An event that is NaN ends a run as failed, in either engine; others that happen before are found."""

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optimistix as optx
import pytest

import attnflow as af
from attnflow.ensemble import Outcome
from tests.systems import NEVER, START, awkward, jumping, run_both

SPHERE = af.Sphere(3)
FIELD = af.AttentionField(SPHERE, P=jnp.diag(jnp.array([1.0, 0.5, -0.5])), scale=1.0)
Y0 = SPHERE.random_hemisphere(jax.random.key(1), (4,))
# Times at which two events turn NaN or happen are numbers of one program.
SMOOTH = jumping([], [1.0])


def options_of(nan, real):
    return awkward([0.5, 1.5, 4.0], t1=4.0, nan=nan, real=real)


@pytest.mark.parametrize(
    ("nan", "real", "ending", "when"),
    [
        (0.0, NEVER, Outcome.EVENT_NAN, 0.0),
        (1.3, NEVER, Outcome.EVENT_NAN, 1.3),
        (1.3, 2.0, Outcome.EVENT_NAN, 1.3),
        (2.0, 1.3, Outcome.REACHED, 1.3),
        (1.3 + 1e-9, 1.3, Outcome.REACHED, 1.3),
        (0.0, 0.0, Outcome.REACHED, 0.0),
        (NEVER, NEVER, Outcome.TIME_UP, 4.0),
    ],
)
def test_the_first_that_happens_or_is_nan_ends_the_run(nan, real, ending, when):
    sol, many = run_both(SMOOTH, jnp.asarray(START), **options_of(nan, real))
    assert many.outcome[0] == ending
    assert sol.t1 == pytest.approx(when, abs=1e-12)
    assert bool(sol.event["real"]) == (ending == Outcome.REACHED)
    assert not bool(sol.event["nan"])
    assert bool(sol.undefined["nan"]) == (ending == Outcome.EVENT_NAN)
    assert not bool(sol.undefined["real"])
    assert many.failed[0] == (ending == Outcome.EVENT_NAN)


def test_the_event_that_was_nan_is_named():
    with pytest.raises(
        RuntimeError, match=r"`event\['nan'\]` was NaN \(reached t = 1.3\)"
    ) as caught:
        af.simulate(SMOOTH, jnp.asarray(START), **options_of(1.3, NEVER))
    assert "\n" not in str(caught.value)


def test_a_batch_says_which_of_its_runs_had_an_event_that_was_nan():
    late = jnp.array([0.5, NEVER, 2.0])

    def one(when):
        happens = {
            "nan": lambda t, y: jnp.where(t >= when, jnp.nan, 1.0),
            "real": lambda t, y: t - 1,
        }
        return af.simulate(FIELD, Y0, t1=4.0, event=happens, throw=False)

    sol = eqx.filter_jit(jax.vmap(one))(late)
    np.testing.assert_array_equal(sol.undefined["nan"], [True, False, False])
    np.testing.assert_array_equal(sol.event["real"], [False, True, True])
    np.testing.assert_allclose(sol.t1, [0.5, 1.0, 1.0], rtol=1e-12)


def raw(t, y, args, **kw):
    return jnp.where(t >= args, jnp.nan, 3.0 - t)


@pytest.mark.parametrize(
    ("finder", "direction"),
    [(None, False), (optx.Newton(1e-8, 1e-8), None)],
    ids=["none", "newton"],
)
def test_an_event_of_diffrax_that_is_nan_is_a_failure_too(finder, direction):
    options = {"t1": 4.0, "event": diffrax.Event(raw, finder, direction)}
    for nan, fails in ((1.3, True), (0.0, True), (NEVER, False)):
        sol = af.simulate(FIELD, Y0, args=jnp.asarray(nan), throw=False, **options)
        assert bool(sol.undefined) == fails
        assert bool(sol.event) != fails
        ended = diffrax.RESULTS.nonfinite if fails else diffrax.RESULTS.event_occurred
        assert sol.result == ended
    with pytest.raises(RuntimeError, match="`event` was NaN"):
        af.simulate(FIELD, Y0, args=jnp.asarray(1.3), **options)


def test_a_run_whose_tokens_stop_being_finite_says_so_and_no_event_did():
    """Constant steps take what is not finite; both engines then say the same."""
    c = af.Piecewise(jnp.array([0.7]), jnp.ones(2))
    U = af.ScaledIdentity(c, 2)
    field = af.AttentionField(af.Sphere(2), jnp.zeros((2, 2)), U=U, mask="causal", scale=1.0)
    # A schedule refuses such values when it is made.
    field = eqx.tree_at(lambda f: f.U.coefficient.values, field, jnp.array([1.0, jnp.nan]))
    y0, constant = jnp.asarray(START[:2]), diffrax.ConstantStepSize()
    options = {"t1": 1.0, "dt0": 0.1, "solver": diffrax.Heun(), "controller": constant}
    sol, many = run_both(field, y0, **options)
    assert many.outcome[0] == Outcome.NOT_FINITE
    assert sol.result == diffrax.RESULTS.nonfinite
    sol, many = run_both(field, y0, event=af.consensus(1e-9), **options)
    assert many.outcome[0] == Outcome.NOT_FINITE
    assert not bool(sol.event)
    with pytest.raises(RuntimeError, match="tokens stopped being finite"):
        af.simulate(field, y0, event=af.consensus(1e-9), **options)
