"""Derivatives of means worked lane by lane: the same as one run at a time gives, however lanes were refilled."""

import functools

import diffrax
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import attnflow as af
from attnflow.core import outlines
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


def last(sol):
    return sol.ys["E"][-1]


def average(matrices, t1=2.0, chunk=None):
    """The mean that most tests take: at the end alone, of a few runs."""
    observe = {"E": af.misalignment}
    options = {"rtol": 1e-8, "atol": 0.0, "observe": observe, "chunk": chunk}
    return mean(last, field(matrices), STARTS, t1=t1, **options)


def by_lanes(matrices, starts, t0=0.0, t1=3.0, **more):
    """The mean that has all there is: saves between steps, an event that some come to, times."""
    options = {**OPTIONS, **EVENT, "observe": {"E": af.misalignment}, "t0": t0, "t1": t1, **more}
    return mean(objective, field(matrices), starts, **options)


def one_by_one(matrices, starts):
    """The mean and its gradient, one run after another by one program: less to compile than for all at once."""

    @jax.jit
    @functools.partial(jax.value_and_grad, argnums=(0, 1))
    def one(matrices, y0):
        options = {**OPTIONS, **EVENT, "observe": {"E": af.misalignment}}
        return objective(af.simulate(field(matrices), y0, **options))

    values, (of_matrices, of_starts) = jax.tree.map(
        lambda *each: np.stack(each), *(one(matrices, y0) for y0 in starts)
    )
    return values.mean(), (of_matrices.mean(axis=0), of_starts / len(starts))


@pytest.fixture(scope="module")
def program():
    """One program for all that can share it."""
    return jax.jit(jax.value_and_grad(average))


def test_the_gradient_is_how_the_mean_changes(program):
    step = jr.normal(jr.key(2), MATRICES.shape)
    _, gradient = program(MATRICES, 2.0)
    ends = [program(MATRICES + h * step, 2.0)[0] for h in (1e-4, -1e-4)]
    # Steps change with the numbers, and errors of 1e-8 with them.
    np.testing.assert_allclose(jnp.vdot(gradient, step), (ends[0] - ends[1]) / 2e-4, rtol=2e-4)


def test_times_out_of_order_under_jit_make_the_mean_nan(program):
    assert np.isnan(program(MATRICES, -1.0)[0])


@pytest.fixture(scope="module")
def gradients():
    """Both ways, in parameters and starts; some runs end by the event, others at t1."""
    by_our_way = jax.value_and_grad(by_lanes, argnums=(0, 1))
    return one_by_one(MATRICES, STARTS), by_our_way(MATRICES, STARTS)


def test_they_are_those_of_one_by_one(gradients):
    (value, plain), (ours, lanes) = gradients
    # Steps at rtol 1e-6 are chosen by error estimates, which agree to some rounding: so does what they add up to.
    np.testing.assert_allclose(ours, value, rtol=1e-8)
    for a, b in zip(lanes, plain, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-7 * np.abs(b).max())


@pytest.mark.slow
def test_forward_derivatives_are_those_of_the_gradient(gradients):
    along = jr.normal(jr.key(5), MATRICES.shape), jr.normal(jr.key(6), STARTS.shape)

    @jax.jit
    def derivative(along):
        go = lambda m, y: by_lanes(m, y, adjoint=diffrax.ForwardMode())  # noqa: E731
        return jax.jvp(go, (MATRICES, STARTS), along)

    value, slope = derivative(along)
    np.testing.assert_allclose(value, gradients[1][0], rtol=1e-13)
    expected = sum(jnp.vdot(a, b) for a, b in zip(gradients[1][1], along, strict=True))
    np.testing.assert_allclose(slope, expected, rtol=1e-10)


@pytest.mark.slow
def test_times_of_begin_and_end_have_derivatives_either_way():
    ends = jax.grad(by_lanes, argnums=(2, 3))(MATRICES, STARTS, 0.0, 3.05)

    def of_times(t0, t1):
        return by_lanes(MATRICES, STARTS, t0, t1, adjoint=diffrax.ForwardMode())

    both = jax.jit(jax.jacfwd(of_times, argnums=(0, 1)))(0.0, 3.05)
    np.testing.assert_allclose(both, ends, rtol=1e-9)


@pytest.mark.slow
def test_a_tape_too_short_for_a_run_is_worked_in_windows(gradients, monkeypatch):
    monkeypatch.setattr(_prepare, "_TICKS", (3, 3))
    outlines.forget()
    short = jax.value_and_grad(by_lanes)(MATRICES, STARTS)
    outlines.forget()
    (value, (gradient, _)) = gradients[1]
    np.testing.assert_allclose(short[0], value, rtol=1e-13)
    np.testing.assert_allclose(short[1], gradient, atol=1e-12 * np.abs(gradient).max())


@pytest.mark.slow
def test_groups_and_a_jit_around_them_change_nothing_but_rounding(program):
    value, gradient = program(MATRICES, 2.0)
    groups = jax.value_and_grad(lambda m: average(m, chunk=4))
    (outside, first), (_, second) = groups(MATRICES), groups(MATRICES)
    np.testing.assert_array_equal(first, second)  # whichever thread was first
    inside = jax.jit(groups)(MATRICES)
    for a, b in ((outside, first), inside):
        np.testing.assert_allclose(a, value, rtol=1e-13)
        np.testing.assert_allclose(b, gradient, atol=1e-12 * np.abs(gradient).max())


@pytest.mark.slow
def test_fields_that_lanes_do_not_share_columns_of_have_gradients_too():
    """Five dimensions: lanes come first, or there is one alone; saves lie between steps and at the end."""
    sphere, ts = af.Sphere(5), jnp.array([0.31, 1.0])
    options = {"t1": 1.0, "ts": ts, "rtol": 1e-8, "atol": 0.0, "observe": {"E": af.misalignment}}
    starts, matrix, step = (
        sphere.random(jr.key(7), (5, 6)),
        *jr.normal(jr.key(8), (2, 5, 5)),
    )

    def weighed(matrix):
        whole = af.AttentionField(sphere, P=matrix)
        return mean(lambda sol: sol.ys["E"] @ jnp.array([1.0, 2.0]), whole, starts, **options)

    gradient = jax.grad(weighed)(matrix)
    ends = [weighed(matrix + h * step) for h in (1e-4, -1e-4)]
    np.testing.assert_allclose(jnp.vdot(gradient, step), (ends[0] - ends[1]) / 2e-4, rtol=1e-5)


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


def test_a_forward_derivative_names_the_adjoint_that_takes_it(gradients):
    with pytest.raises(TypeError, match="ForwardMode"):
        jax.jvp(by_lanes, (MATRICES, STARTS), (MATRICES, STARTS))  # by the program of `gradients`


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
