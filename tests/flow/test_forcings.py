"""Fast forcings: no error adds up over hundreds of periods, whatever the amplitude, phase and solver."""

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import attnflow as af
from attnflow.bench._forcings import forced_field, forced_runs, forcings
from attnflow.flow._steady import felt_frequency, swing_of_logits

MOST = 20.0  # tolerances
RTOLS = (1e-4, 1e-5, 1e-6, 1e-7, 1e-8)


def test_no_forcing_of_the_core_bank_is_off_by_twenty_tolerances():
    rows = forcings(24)
    for result in forced_runs(jnp.asarray(rows), None, RTOLS):
        assert result["errors"].max() < MOST, (result["rtol"], rows[np.argmax(result["errors"])])


@pytest.mark.slow
@pytest.mark.parametrize(
    "solver", [None, diffrax.Tsit5(), diffrax.Dopri8(), diffrax.Bosh3(), diffrax.Heun()]
)
def test_no_forcing_of_the_whole_bank_is_off_by_twenty_tolerances(solver):
    rows = forcings(160)
    rtols = RTOLS[:3] if isinstance(solver, diffrax.Heun) else RTOLS
    for solution in forced_runs(jnp.asarray(rows), solver, rtols):
        assert solution["errors"].max() < MOST, (
            solution["rtol"],
            rows[np.argmax(solution["errors"])],
        )


def test_a_product_of_two_sines_meets_the_tolerance_in_closed_form():
    """P = 0, U = sin(wt) sin(wt) I: the second token's cosine is tanh(integral / 2 + artanh b)."""
    b = -0.3
    y0 = jnp.array([[1.0, 0.0], [b, np.sqrt(1 - b * b)]])

    @jax.jit
    def end(omega, rtol):
        wave = af.Sinusoid(0.1**0.5, omega)
        field = af.AttentionField(
            af.Sphere(2),
            jnp.zeros((2, 2)),
            U=af.ScaledIdentity(wave * wave, 2),
            mask="causal",
            scale=1.0,
        )
        return af.simulate(field, y0, t1=40.0, rtol=rtol, atol=0.0).y1[1, 0]

    for omega in (31.4, 17.0, 23.7):
        integral = 0.1 * (20.0 - np.sin(80 * omega) / (4 * omega))
        exact = np.tanh(integral / 2 + np.arctanh(b))
        for rtol in RTOLS:
            assert abs(float(end(omega, rtol)) - exact) < MOST * rtol


def test_the_frequency_felt_grows_with_how_far_logits_swing():
    zero, one = jnp.zeros(()), jnp.asarray(40.0)
    for A in (0.5, 4.0, 30.0):
        field = forced_field(jnp.array([A, 17.0, 0.3, 0.02, 0.0]))
        felt = felt_frequency(field, swing_of_logits(field, zero, one))
        # U has a frequency although its sine's amplitude is zero: amplitudes are not looked at there.
        expected = 17 / (2 * np.pi) * (1 + 1 / np.arcsinh(np.pi / A))
        np.testing.assert_allclose(felt, expected, rtol=0.1)


def test_a_number_times_a_constant_is_felt_as_what_it_makes_and_one_matrix_is_looked_at():
    zero, one = jnp.zeros(()), jnp.asarray(40.0)
    M = jax.random.normal(jax.random.key(3), (2, 20, 20))
    waves = (
        af.Sinusoid(jnp.array([2.0, 0.5]), jnp.array([3.0, 7.0])),
        af.Sinusoid(0.7, 5.0),
    )
    sphere, ellipsoid = af.Sphere(20), af.Ellipsoid(jnp.diag(jnp.linspace(1, 3, 20)))
    cases = (sphere, waves[0], M), (ellipsoid, waves[1], M), (sphere, waves[0], M[0])
    for manifold, c, S in cases:
        P = af.schedules.Scaled(c, S)
        alike = af.schedules.Sum(P, jnp.zeros(P.shape))
        felt, expected = (
            felt_frequency(field, swing_of_logits(field, zero, one))
            for field in (af.AttentionField(manifold, p) for p in (P, alike))
        )
        np.testing.assert_allclose(felt, expected, rtol=1e-12)
    field = af.AttentionField(af.Sphere(20), af.schedules.Scaled(waves[0], M))
    program = jax.make_jaxpr(lambda t0, t1: swing_of_logits(field, t0, t1))(zero, one)
    assert max(v.aval.size for e in program.eqns for v in e.outvars) <= M.size
