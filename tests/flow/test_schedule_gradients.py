"""Derivatives of runs in what schedules are made of, and of the times of events.

In schedules: against differences of fourth order on a fixed grid of steps. Of event times: against
a closed form, and against differences of tight adaptive runs.
"""

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import attnflow as af
from tests.systems import generator, random_rows, random_spd

TOKENS, DIM, T1, STEPS = 4, 3, 1.0, 8
KINDS = [(kernel, mask) for kernel in ("softmax", "exp") for mask in (None, "causal")]
_RNG = generator("schedule gradients")


def _normal(*shape):
    return jnp.asarray(_RNG.normal(size=shape))


W = random_spd(_RNG, DIM)
Y0 = jnp.asarray(random_rows(_RNG, TOKENS, W))
WEIGHTS = _normal(len(KINDS), TOKENS, DIM)
A, B, S = 0.5 * _normal(DIM, DIM), 0.5 * _normal(DIM, DIM), 0.5 * _normal(3, DIM, DIM)
MODES = af.Fourier(A, S[:2], S[1:], 1.3)

# Steps end at jumps and knots, wherever they lie.
SCHEDULES = {
    "constant": af.Constant(A),
    "scaled identity": af.ScaledIdentity(af.Sinusoid(1.5, 2.0, 0.3), DIM),
    "modulated": af.Modulated(af.Sinusoid(A[0], B[0], S[0, 0]), A),
    "sinusoid": af.Sinusoid(A, B, S[0]),
    "fourier": MODES,
    "piecewise": af.Piecewise([0.47], S[:2]),
    "linear": af.Interpolated([-0.1, 0.47, 1.1], S, "linear"),
    "cubic": af.Interpolated([-0.1, 0.31, 1.1], S),
    "factored": af.Factored(A[:2], af.Sinusoid(B[:2], 2.0, 0.4)),
    "bounded, frobenius": af.Bounded(MODES, 1.2),
    "bounded, spectral": af.Bounded(MODES, 1.2, "spectral"),
    "symmetric": af.Symmetric(MODES),
    "semidefinite": af.PositiveSemidefinite(af.Sinusoid(A[:2], 2.0, 0.4)),
    "fixed spectrum": af.FixedSpectrum(S[0, 0], MODES),
    "periodic": af.Periodic(MODES, 0.83, 2),
    "sum of scaled ones": af.Sinusoid(1.0, 2.0, 0.3) * af.Constant(A) + 0.7 * MODES,
}
VALUES = af.FixedSpectrum([1.0, 0.5, -0.4], af.Sinusoid(S[1], 1.1, 0.2))
# Where a schedule jumps the gradient holds still, as its docstring says: a moved jump is not in it.
HELD = {"piecewise": lambda s: s.times, "periodic": lambda s: s.period}
# Steps end at a knot that moves: the quotient sees their error move, the gradient does not, so that it has to be small.
FINER = {"linear": 40}


def loss(schedules, steps=STEPS):
    """One number of runs of every kernel and mask under the schedules: P, or P and U."""
    total = jnp.zeros(())
    for weights, (kernel, mask) in zip(WEIGHTS, KINDS, strict=True):
        field = af.AttentionField(af.Ellipsoid(W), *schedules, mask=mask, kernel=kernel)
        sol = af.simulate(
            field,
            Y0,
            t1=T1,
            solver=diffrax.Tsit5(),
            controller=diffrax.ConstantStepSize(),
            dt0=T1 / steps,
            max_steps=steps + 1,
            throw=False,
        )
        total += jnp.sum(weights * sol.y1)
    return total


def slope_and_quotient(schedules, held=None, steps=STEPS):
    """The derivative of `loss` along a random direction of all numbers, and its difference quotient."""
    kinds = jax.tree.map(eqx.is_inexact_array, schedules)
    if held is not None:
        kinds = eqx.tree_at(lambda s: held(s[0]), kinds, replace=False)
    numbers, rest = eqx.partition(schedules, kinds)
    direction = jax.tree.map(lambda x: _normal(*x.shape) / 10, numbers)

    @jax.jit
    @jax.value_and_grad
    def along(s):
        at = jax.tree.map(lambda x, dx: x + s * dx, numbers, direction)
        return loss(eqx.combine(at, rest), steps)

    h = 4e-3
    f = {k: float(along(jnp.asarray(k * h))[0]) for k in (-2, -1, 1, 2)}
    quotient = (8 * (f[1] - f[-1]) - (f[2] - f[-2])) / (12 * h)
    return float(along(jnp.asarray(0.0))[1]), quotient


@pytest.mark.slow
@pytest.mark.parametrize("name", SCHEDULES)
def test_gradient_in_scores_is_the_difference_quotient(name):
    got, expected = slope_and_quotient((SCHEDULES[name],), HELD.get(name), FINER.get(name, STEPS))
    assert abs(expected) > 1e-3
    assert got == pytest.approx(expected, rel=1e-8)


@pytest.mark.slow
def test_gradient_in_scores_and_values_together_is_the_difference_quotient():
    got, expected = slope_and_quotient((SCHEDULES["cubic"], VALUES))
    assert abs(expected) > 1e-3
    assert got == pytest.approx(expected, rel=1e-8)


# === times of events


def consensus_time(gamma, scale, threshold, adjoint=None):
    """K5: when two causal tokens that start at the cosine gamma, P = 0, are as near as the threshold."""
    second = jnp.stack([gamma, jnp.sqrt(1 - gamma**2), 0 * gamma])
    y0 = jnp.stack([jnp.array([1.0, 0.0, 0.0]), second])
    field = af.AttentionField(af.Sphere(DIM), jnp.zeros((DIM, DIM)), mask="causal", scale=scale)
    sol = af.simulate(
        field,
        y0,
        t1=60.0,
        rtol=1e-10,
        atol=1e-12,
        event=af.consensus(threshold),
        adjoint=adjoint,
        throw=False,
    )
    return sol.t1


def consensus_time_exact(gamma, scale, threshold):
    # The cosine is tanh(scale t / 2 + artanh gamma), misalignment half of one minus it.
    return 2 / scale * (jnp.arctanh(1 - 2 * threshold) - jnp.arctanh(gamma))


POINT = tuple(jnp.asarray(x) for x in (0.1, 1.3, 1e-3))
ALL = (0, 1, 2)


@pytest.mark.slow
def test_reverse_derivatives_of_a_consensus_time_are_those_of_its_closed_form():
    got, slopes = jax.jit(jax.value_and_grad(consensus_time, ALL))(*POINT)
    expected, exact = jax.value_and_grad(consensus_time_exact, ALL)(*POINT)
    assert float(got) == pytest.approx(float(expected), rel=1e-8)
    np.testing.assert_allclose(slopes, exact, rtol=2e-8)


@pytest.mark.slow
def test_forward_derivatives_of_a_consensus_time_are_those_of_its_closed_form():
    def time(*x):
        return consensus_time(*x, adjoint=diffrax.ForwardMode())

    slopes = jax.jit(jax.jacfwd(time, ALL))(*POINT)
    np.testing.assert_allclose(slopes, jax.grad(consensus_time_exact, ALL)(*POINT), rtol=2e-8)


@pytest.mark.slow
def test_a_batch_of_consensus_times_has_the_derivatives_of_each():
    """vmap of grad. In the last lanes there is no event, or it holds at the start: no slope."""
    points = (
        jnp.array([-0.6, 0.1, 0.8, 0.1, 0.9999]),
        jnp.array([0.4, 1.0, 1.3, 0.01, 1.0]),
        jnp.full(5, 1e-3),
    )
    result, slopes = jax.jit(jax.vmap(jax.value_and_grad(consensus_time, ALL)))(*points)
    expected, exact = jax.vmap(jax.value_and_grad(consensus_time_exact, ALL))(*points)
    assert result[3:].tolist() == [60, 0]
    np.testing.assert_allclose(result[:3], expected[:3], rtol=1e-8)
    for got, known in zip(slopes, exact, strict=True):
        np.testing.assert_allclose(got[:3], known[:3], rtol=1e-7)
        assert got[3:].tolist() == [0, 0]


def moving_time(s, event, adjoint=None):
    """When an event of four tokens under scores that move happens, s along a direction."""
    P = af.Sinusoid(A + s * B, 2.0 + 0.1 * s, 0.3)
    field = af.AttentionField(af.Sphere(DIM), P, mask="causal", scale=1.0 + 0.2 * s)
    sol = af.simulate(
        field,
        _STARTS,
        t1=60.0,
        rtol=1e-11,
        atol=1e-13,
        solver=diffrax.Dopri8(),
        event=event,
        adjoint=adjoint,
        throw=False,
    )
    return jnp.stack([sol.t1, jnp.sum(WEIGHTS[0] * sol.y1)])


_STARTS = jnp.asarray(random_rows(_RNG, TOKENS, np.eye(DIM)))
_EVENTS = {
    "consensus": af.consensus(1e-2),
    "a function": lambda t, y: y[1] @ y[2] - 0.9,
    "the first of two": {
        "far": af.consensus(1e-9),
        "near": lambda t, y: y[0] @ y[3] - 0.5 - t / 50,
    },
}


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["reverse", "forward"])
@pytest.mark.parametrize("name", _EVENTS)
def test_derivatives_at_an_event_are_the_difference_quotient_of_tight_runs(name, mode):
    """Of its time, and of a sum of the tokens there, which moves with the time."""
    event = _EVENTS[name]
    if mode == "reverse":
        derivative = jax.jacrev(lambda s: moving_time(s, event))
    else:
        derivative = jax.jacfwd(lambda s: moving_time(s, event, diffrax.ForwardMode()))
    got = jax.jit(derivative)(jnp.asarray(0.0))
    h, run = 1e-2, jax.jit(lambda s: moving_time(s, event))
    f = {k: np.asarray(run(jnp.asarray(k * h))) for k in (-2, -1, 1, 2)}
    assert all(0.1 < value[0] < 59 for value in f.values())
    expected = (8 * (f[1] - f[-1]) - (f[2] - f[-2])) / (12 * h)
    np.testing.assert_allclose(got, expected, rtol=1e-6)
