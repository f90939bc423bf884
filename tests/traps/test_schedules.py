"""Trap 5: schedules that a step controller could step over."""

import diffrax
import jax.numpy as jnp
import numpy as np
import pytest

import attnflow as af
from tests.systems import Oracle, dop853, generator, random_rows

TOKENS, DIM = 8, 3
TURN = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]])


def turned(y0, angle):
    """The first causal token under U(t) = a(t) TURN, scale 1: K3, turned by the integral of a."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]]) @ y0[0]


def turning_field(U):
    return af.AttentionField(af.Sphere(DIM), jnp.zeros((DIM, DIM)), U=U, mask="causal", scale=1.0)


def pulse_train(modes, size):
    """size * sin^(2 modes)(pi t) as a Fourier sum: a narrow pulse a period, flat zero between."""
    theta = 2 * np.pi * np.arange(64) / 64
    c = np.fft.rfft(np.sin(theta / 2) ** (2 * modes)).real / 64
    constant = jnp.asarray(size * c[0] * TURN)
    cosine = jnp.asarray(2 * size * c[1 : modes + 1, None, None] * TURN)
    fourier = af.Fourier(constant, cosine, 0 * cosine, 2 * np.pi)
    return fourier, size * c[0]


def test_trap_5_periods_are_not_stepped_over():
    """A pulse a period, nothing between: at a loose tolerance every pulse is seen all the same."""
    y0 = random_rows(generator("pulses"), TOKENS, np.eye(DIM))
    U, mean = pulse_train(8, 3.0)
    field = turning_field(U)
    expected = turned(y0, mean * 20)

    def error(**options):
        sol = af.simulate(field, jnp.asarray(y0), t1=20.0, **options)
        return np.abs(np.asarray(sol.y1[0]) - expected).max(), int(sol.stats["num_accepted_steps"])

    seen, steps = error(rtol=1e-3, atol=1e-6)
    assert seen < 1e-3
    assert steps >= 8 * 20 / 0.6  # none is longer than 0.6 of the fastest mode's period
    # The same tolerance in a controller that looks at tokens alone misses pulses: the trap is real.
    missed, _ = error(controller=diffrax.PIDController(rtol=1e-3, atol=1e-6))
    assert missed > 0.1


@pytest.mark.parametrize("solver", [diffrax.Heun, diffrax.Bosh3, diffrax.Tsit5])
def test_trap_5_up_to_the_longest_step_error_estimates_see_an_oscillation(solver):
    """Over a step h of y' = sin(w t + p), estimate against error, for every phase: a quotient of sums."""
    from attnflow.flow._control import PERIODS

    tableau = solver.tableau
    c = np.concatenate([[0.0], tableau.c])

    def quotient(periods):
        x = 2 * np.pi * periods[:, None]
        wave = np.exp(1j * x * c)
        error = wave @ tableau.b_sol - ((np.exp(1j * x) - 1) / (1j * x))[:, 0]
        return np.abs(wave @ tableau.b_error) / np.abs(error)

    assert quotient(np.linspace(0.01, PERIODS, 500)).min() > 1
    assert quotient(np.array([1.0])).min() < 0.7  # at one period they no longer do


def test_trap_5_jumps_are_stepped_to():
    """U is zero but for a hundredth of a unit of time, and turns the token by 2 then."""
    y0 = random_rows(generator("jumps"), TOKENS, np.eye(DIM))
    for start, length, rtol in ((5.0, 0.01, 1e-3), (7.3, 0.001, 1e-3), (2.2, 1e-4, 1e-8)):
        values = np.stack([0 * TURN, TURN * 2.0 / length, 0 * TURN])
        field = turning_field(
            af.Piecewise(jnp.asarray([start, start + length]), jnp.asarray(values))
        )
        ts = jnp.asarray([start, start + length / 2, 10.0])
        sol = af.simulate(field, jnp.asarray(y0), t1=10.0, ts=ts, rtol=rtol, atol=1e-12)
        for k, angle in enumerate((0.0, 1.0, 2.0)):
            assert np.abs(np.asarray(sol.ys[k, 0]) - turned(y0, angle)).max() < 5 * rtol


def test_trap_5_the_papers_modulation_is_resolved():
    """P_h(t) = D_h(t) P'_h of the paper's Figures 1-3: five periods per unit time, slow tokens."""
    P1 = [[0.08, -0.19, 0.20], [-0.23, 0.31, -0.23], [0.18, -0.17, -0.16]]
    P2 = [[-0.31, 0.03, 0.11], [0.06, -0.06, 0.13], [0.14, 0.11, 0.10]]
    matrix = np.array([P1, P2])
    omega = np.pi * np.array([[10.0, 10.0, 6.0], [6.0, 6.0, 4.0]])
    phase = np.pi / 2 * np.array([1.0, 0.0, 1.0])[None] * np.ones((2, 1))
    oracle = Oracle(W=np.eye(3), P=lambda t: (2 * np.sin(omega * t + phase))[:, :, None] * matrix)
    diagonal = af.Sinusoid(jnp.asarray(2.0), jnp.asarray(omega), jnp.asarray(phase))
    field = af.AttentionField(af.Sphere(3), af.Modulated(diagonal, jnp.asarray(matrix)))
    assert field.frequency is not None
    assert float(field.frequency) == pytest.approx(5.0)
    y0 = random_rows(generator("figure 1"), 10, np.eye(3))
    ts = np.array([0.5, 3.0, 10.0])
    expected = dop853(oracle.velocity, y0, ts)
    for rtol in (1e-4, 1e-7, 1e-10):
        sol = af.simulate(
            field, jnp.asarray(y0), t1=10.0, ts=jnp.asarray(ts), rtol=rtol, atol=1e-13
        )
        assert int(sol.stats["num_accepted_steps"]) >= 5 * 10 / 0.6
        assert np.abs(np.asarray(sol.ys) - expected).max() < 10 * rtol


def allowance(omega, phase):
    """Twice the root of the number of kinks in [0, 10].

    A step keeps its error below the tolerance; as many errors of that size as there are kinks, of
    either sign, add up to the root. An error estimate that is blind to kinks is off by hundreds.
    """
    return 2 * np.sqrt(np.sum((omega * 10 + phase) // np.pi - phase // np.pi))


def integral_of_rectified_sine(x):
    """Of |sin| from 0 to x."""
    return 2 * np.floor(x / np.pi) + 1 - np.cos(np.mod(x, np.pi))


@pytest.mark.slow
def test_trap_5_rectified_sines_meet_the_tolerance_in_values():
    """U = diag |2 sin(w t + p)|, some 700 kinks: the first token is exact (K3)."""
    rng = generator("rectified", 24)
    omega, phase = rng.uniform(0, 20, 24), rng.uniform(0, 2 * np.pi, 24)
    y0 = random_rows(rng, TOKENS, np.eye(24))
    grown = integral_of_rectified_sine(omega * 10 + phase) - integral_of_rectified_sine(phase)
    z = y0[0] * np.exp(0.5 * 2 * grown / omega)
    expected = z / np.linalg.norm(z)
    diagonal = af.Sinusoid(jnp.asarray(2.0), jnp.asarray(omega), jnp.asarray(phase), rectified=True)
    field = af.AttentionField(
        af.Sphere(24),
        jnp.zeros((24, 24)),
        U=af.Modulated(diagonal, jnp.eye(24)),
        mask="causal",
        scale=0.5,
    )
    for rtol in (1e-4, 1e-6, 1e-8):
        sol = af.simulate(field, jnp.asarray(y0), t1=10.0, rtol=rtol, atol=1e-13)
        error = np.abs(np.asarray(sol.y1[0]) - expected).max()
        assert error < allowance(omega, phase) * rtol


def test_trap_5_rectified_sines_meet_the_tolerance_in_logits():
    """P = |2 sin(w t + p)| P', against DOP853 restarted at every kink."""
    rng = generator("rectified P")
    omega, phase = rng.uniform(1, 15, (2, DIM)), rng.uniform(0, 2 * np.pi, (2, DIM))
    matrix = rng.normal(size=(2, DIM, DIM))
    kinks = np.concatenate(
        [(np.pi * np.arange(1, 60) - p) / w for w, p in zip(omega.flat, phase.flat, strict=True)]
    )
    oracle = Oracle(
        W=np.eye(DIM),
        P=lambda t: np.abs(2 * np.sin(omega * t + phase))[:, :, None] * matrix,
        allowed=np.tri(TOKENS, dtype=bool),
    )
    y0 = random_rows(rng, TOKENS, np.eye(DIM))
    expected = dop853(oracle.velocity, y0, [10.0], breaks=kinks)[-1]
    diagonal = af.Sinusoid(jnp.asarray(2.0), jnp.asarray(omega), jnp.asarray(phase), rectified=True)
    field = af.AttentionField(
        af.Sphere(DIM), af.Modulated(diagonal, jnp.asarray(matrix)), mask="causal"
    )
    for rtol in (1e-4, 1e-6, 1e-9):
        sol = af.simulate(field, jnp.asarray(y0), t1=10.0, rtol=rtol, atol=1e-13)
        error = np.abs(np.asarray(sol.y1) - expected).max()
        assert error < allowance(omega, phase) * rtol
