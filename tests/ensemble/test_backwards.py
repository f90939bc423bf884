"""Gradients of means worked lane by lane: the same as one run at a time gives, however lanes were refilled."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import attnflow as af
from attnflow.ensemble import _prepare, mean

SPHERE = af.Sphere(3)
STARTS = SPHERE.random(jr.key(0), (9, 4))
KNOTS = jnp.array([0.0, 0.7, 1.6, 3.0])
MATRICES = jr.normal(jr.key(1), (4, 3, 3))
OPTIONS = {"t1": 3.0, "rtol": 1e-6, "atol": 0.0, "ts": jnp.array([0.0, 0.2, 0.21, 2.9, 3.0])}
EVENT = {"event": lambda y: y[0] @ y[1] - 0.9}


def field(matrices):
    """A field with knots, at which steps end and the last stage is not the first of the next."""
    return af.AttentionField(SPHERE, P=af.Interpolated(KNOTS, matrices), mask="causal")


def objective(sol):
    seen = jnp.where(sol.saved, sol.ys["E"], 0)
    return sol.t1 + jnp.sum(seen * jnp.arange(1.0, 6.0)) + sol.y1[2, 0]


def by_lanes(matrices, starts, chunk=None):
    observe = {"E": af.misalignment}
    options = {**OPTIONS, **EVENT, "observe": observe}
    return mean(objective, field(matrices), starts, chunk=chunk, **options)


def one_by_one(matrices, starts):
    def one(y0):
        options = {**OPTIONS, **EVENT, "observe": {"E": af.misalignment}}
        return objective(af.simulate(field(matrices), y0, **options))

    return jnp.mean(jax.vmap(one)(starts))


@pytest.fixture(scope="module")
def gradients():
    """Both ways, in parameters and starts; some runs end by the event, others at t1."""
    how = lambda f: jax.value_and_grad(f, argnums=(0, 1))  # noqa: E731
    return jax.jit(how(one_by_one))(MATRICES, STARTS), how(by_lanes)(MATRICES, STARTS)


def test_they_are_those_of_one_by_one(gradients):
    (value, plain), (ours, lanes) = gradients
    # Steps at rtol 1e-6 are chosen by error estimates, which agree to some rounding: so does what they add up to.
    np.testing.assert_allclose(ours, value, rtol=1e-8)
    for a, b in zip(lanes, plain, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-7 * np.abs(b).max())


@pytest.mark.slow
def test_a_tape_too_short_for_a_run_is_worked_in_windows(gradients, monkeypatch):
    monkeypatch.setattr(_prepare, "_TICKS", (3, 3))
    _prepare._looked.clear()
    short = jax.value_and_grad(by_lanes)(MATRICES, STARTS)
    _prepare._looked.clear()
    np.testing.assert_allclose(short[0], gradients[1][0], rtol=1e-13)
    largest = np.abs(gradients[1][1][0]).max()
    np.testing.assert_allclose(short[1], gradients[1][1][0], atol=1e-12 * largest)


@pytest.mark.slow
def test_groups_and_a_jit_around_them_change_nothing_but_rounding(gradients):
    value, gradient = jax.jit(jax.value_and_grad(lambda m: by_lanes(m, STARTS, 4)))(MATRICES)
    np.testing.assert_allclose(value, gradients[1][0], rtol=1e-13)
    largest = np.abs(gradient).max()
    np.testing.assert_allclose(gradient, gradients[1][1][0], atol=1e-12 * largest)
    again = [jax.grad(lambda m: by_lanes(m, STARTS, 4))(MATRICES) for _ in range(2)]
    np.testing.assert_array_equal(*again)  # whichever thread was first


@pytest.mark.slow
def test_what_functions_close_over_is_differentiated_too():
    def total(beta, scale):
        def sample(key):
            return field(beta * MATRICES), SPHERE.random(key, (4,))

        return mean(
            lambda sol: scale * sol.ys["E"][-1],
            field(MATRICES),
            sample,
            number=3,
            key=jr.key(2),
            t1=1.0,
            observe={"E": lambda y: scale * af.misalignment(y)},
        )

    def plain(beta, scale):
        def one(i):
            y0 = SPHERE.random(jr.fold_in(jr.key(2), i), (4,))
            return af.misalignment(af.simulate(field(beta * MATRICES), y0, t1=1.0).y1)

        return jnp.mean(jax.vmap(one)(jnp.arange(3))) * scale**2

    ours, theirs = (jax.grad(f, argnums=(0, 1))(1.1, 0.7) for f in (total, plain))
    np.testing.assert_allclose(ours, theirs, rtol=1e-9)


@pytest.mark.slow
def test_several_means_at_once_have_a_jacobian():
    def both(matrices):
        def values(sol):
            return {"t1": sol.t1, "E": sol.ys["E"]}

        options = {"t1": 1.0, "ts": jnp.array([0.5, 1.0]), "observe": {"E": af.misalignment}}
        return mean(values, field(matrices), STARTS[:2], **options)["E"]

    jacobian = jax.jacrev(both)(MATRICES)
    for k in range(2):
        row = jax.grad(lambda m, k=k: both(m)[k])(MATRICES)
        np.testing.assert_allclose(jacobian[k], row, atol=1e-14)


def test_times_out_of_order_under_jit_make_the_mean_nan():
    late = jax.jit(lambda t1: mean(lambda sol: sol.t1, field(MATRICES), STARTS[:2], t1=t1))
    assert np.isnan(late(-1.0))


def test_a_forward_derivative_names_the_adjoint_that_takes_it():
    with pytest.raises(TypeError, match="ForwardMode"):
        jax.jvp(lambda m: by_lanes(m, STARTS[:2]), (MATRICES,), (MATRICES,))


def test_memory_is_that_of_one_tape_however_many_trajectories():
    def plan(count):
        many = jnp.broadcast_to(STARTS[:1], (count, 4, 3))
        gathered = _prepare_of(many)
        return gathered[1]

    few, many = plan(1_000), plan(100_000)
    assert (few.ticks, few.lanes) == (many.ticks, many.lanes)
    assert many.block <= 2 * many.lanes


def _prepare_of(starts):
    from attnflow.core.callables import as_module
    from attnflow.ensemble._backwards import Objective
    from attnflow.ensemble._starts import gather_starts
    from attnflow.flow import Integrator, make_options

    many = gather_starts(field(MATRICES), starts, None, None, None)
    options = make_options(field(MATRICES), many.shape, many.dtype, Integrator(), t1=1.0)
    objective = Objective(as_module("objective", lambda sol: sol.t1))
    work = _prepare.prepared(objective, many, options, None)
    assert work is not None
    return work
