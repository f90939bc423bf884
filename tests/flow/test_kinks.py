"""Rectified sinusoids: steps end at their kinks where these are few, and are shorter where not."""

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import attnflow as af
from attnflow.flow._control import adaptive, default_solver
from attnflow.flow._kinks import stops_at_kinks
from attnflow.schedules import Kinks
from tests.systems import generator, random_rows


def rectified(omega, phase):
    """U = diag |2 sin(w t + p)| on the first causal token, which K3 then solves."""
    dim = len(omega)
    diagonal = af.Sinusoid(jnp.asarray(2.0), jnp.asarray(omega), jnp.asarray(phase), rectified=True)
    return af.AttentionField(
        af.Sphere(dim),
        jnp.zeros((dim, dim)),
        U=af.Modulated(diagonal, jnp.eye(dim)),
        mask="causal",
        scale=0.5,
    )


def integral(x):
    """Of |sin| from 0 to x."""
    return 2 * np.floor(x / np.pi) + 1 - np.cos(np.mod(x, np.pi))


def test_the_next_kink_is_the_next_zero_of_the_sine():
    omega, phase = jnp.array([2.0, -3.0, 0.0]), jnp.array([0.5, 0.7, 1.0])
    stops = Kinks(omega, phase)
    k = np.arange(-30, 30)
    zeros = np.sort(np.concatenate([(np.pi * k - 0.5) / 2, (0.7 - np.pi * k) / 3]))
    zeros = zeros[(zeros > 0) & (zeros < 10)]
    t, result = jnp.asarray(0.0), []
    while t < 10:
        before, t = stops.next_kink(t)  # from behind a kink to the next, never the same again
        assert before < t
        result.append((float(before) + float(t)) / 2)
    np.testing.assert_allclose(result[:-1], zeros, rtol=1e-12)


def test_a_run_ends_steps_at_every_kink():
    field = rectified(np.array([2.0, 3.0]), np.array([0.5, 0.7]))
    kinks = [(np.pi * k - p) / w for w, p in ((2.0, 0.5), (3.0, 0.7)) for k in range(1, 12)]
    y0 = random_rows(generator("kinked run"), 4, np.eye(2))
    sol = af.simulate(field, jnp.asarray(y0), t1=4.0, rtol=1e-3, dense=True)
    assert sol.dense is not None
    ends = np.asarray(sol.dense.interpolation.ts)
    ends = ends[np.isfinite(ends)]
    for kink in (k for k in kinks if 0 < k < 4):
        assert np.abs(ends - kink).min() < 1e-12


@pytest.mark.parametrize("rtol", [3e-3, 1e-4, 1e-6])
def test_many_kinks_meet_the_tolerance_too(rtol):
    """160 entries, some 600 kinks: more than steps can end at; off by the root of their number at most."""
    rng = generator("many kinks")
    omega, phase = rng.uniform(0, 2.4, 160), rng.uniform(0, 2 * np.pi, 160)
    field = rectified(omega, phase)
    assert not stops_at_kinks(field)
    y0 = random_rows(rng, 8, np.eye(160))
    grown = integral(omega * 5 + phase) - integral(phase)
    z = y0[0] * np.exp(grown / omega)
    sol = af.simulate(field, jnp.asarray(y0), t1=5.0, rtol=rtol, atol=1e-13)
    count = np.sum((omega * 5 + phase) // np.pi - phase // np.pi)
    error = np.linalg.norm(np.asarray(sol.y1[0]) - z / np.linalg.norm(z))
    assert error < 2 * np.sqrt(count) * rtol


def test_the_default_solver_is_chosen_by_the_number_of_kinked_entries():
    few, many = rectified(np.ones(64), np.zeros(64)), rectified(np.ones(65), np.zeros(65))
    smooth = af.AttentionField(af.Sphere(3), af.Sinusoid(jnp.eye(3), 2.0))
    unlisted = af.AttentionField(
        af.Sphere(3), af.Function(lambda t: jnp.abs(jnp.sin(t)) * jnp.eye(3), kinked=True)
    )
    assert stops_at_kinks(few)
    assert isinstance(default_solver(few), diffrax.Tsit5)
    assert isinstance(default_solver(many), diffrax.Bosh3)
    assert isinstance(default_solver(many, 1e-3), diffrax.Bosh3)
    assert isinstance(default_solver(many, 2e-3), diffrax.Heun)
    assert isinstance(default_solver(many, float(np.float32(2e-3))), diffrax.Heun)
    assert not stops_at_kinks(smooth)
    assert isinstance(default_solver(smooth), diffrax.Tsit5)
    assert not stops_at_kinks(unlisted)
    assert isinstance(default_solver(unlisted), diffrax.Bosh3)
    # How long its periods are is not known.
    assert isinstance(default_solver(unlisted, 1e-2), diffrax.Bosh3)


def test_many_kinks_take_a_quarter_of_the_tolerance_but_of_heun():
    field, times = rectified(np.ones(65), np.zeros(65)), (jnp.zeros(()), jnp.ones(()))

    def asked(solver):
        controller = adaptive(field, 1e-2, 0.0, *times, solver=solver)
        while not isinstance(controller, diffrax.PIDController):
            controller = controller.controller
        return float(controller.atol)

    assert asked(diffrax.Bosh3()) == 2.5e-3
    assert asked(diffrax.Heun()) == 1e-2


@pytest.mark.slow
def test_kinks_survive_vmap_and_grad():
    omega, phase = jnp.array([2.0, 3.0]), jnp.array([0.5, 0.7])
    y0 = jnp.asarray(random_rows(generator("kinked batch"), 4, np.eye(2)))

    def end(omega):
        diagonal = af.Sinusoid(jnp.asarray(2.0), omega, phase, rectified=True)
        field = af.AttentionField(
            af.Sphere(2), jnp.zeros((2, 2)), U=af.Modulated(diagonal, jnp.eye(2)), mask="causal"
        )
        return af.simulate(field, y0, t1=3.0, rtol=1e-11).y1[0, 0]

    together = jax.vmap(end)(jnp.stack([omega, 1.1 * omega]))
    assert jnp.allclose(together[1], end(1.1 * omega), atol=1e-12)
    # A stage on a kink, where |sin| has no derivative, would spoil this by percents.
    h = 1e-5
    slope = (end(omega + h * jnp.array([1.0, 0.0])) - end(omega - h * jnp.array([1.0, 0.0]))) / (
        2 * h
    )
    assert jnp.allclose(jax.grad(end)(omega)[0], slope, rtol=1e-5)


# === a schedule of one's own


class Tent(af.schedules.AbstractSchedule):
    """diag(a) times a triangle wave between 0 and 1: |t/p - the nearest even number|, kinks at the multiples of p."""

    amplitude: jax.Array
    period: jax.Array
    rule: bool = True

    def __call__(self, t):
        turns = jnp.mod(t / self.period, 2.0)
        return jnp.minimum(turns, 2 - turns) * jnp.diag(self.amplitude)

    @property
    def frequency(self):
        return 1 / (2 * self.period)

    @property
    def jump_times(self):
        return None

    def kinks(self):
        return (af.schedules.Kinks(jnp.pi / self.period, 0.0),) if self.rule else "anywhere"

    def integral(self, t):
        """Of the wave, from 0 to t: p/2 in each p."""
        k, s = divmod(t / float(self.period), 1)
        return float(self.period) * (k / 2 + (s - s**2 / 2 if k % 2 else s**2 / 2))


_RATES, _P = np.array([3.0, -2.0]), 0.37


def tented(rule=True):
    tent = Tent(jnp.asarray(_RATES), jnp.asarray(_P), rule)
    zero = jnp.zeros((2, 2))
    return af.AttentionField(af.Sphere(2), zero, U=1.0 * tent, mask="causal", scale=1.0), tent


def test_kinks_of_a_schedule_of_ones_own_are_stepped_to():
    field, tent = tented()
    assert stops_at_kinks(field)
    y0 = random_rows(generator("tents"), 3, np.eye(2))
    sol = af.simulate(field, jnp.asarray(y0), t1=4.0, rtol=1e-6, dense=True)
    z = y0[0] * np.exp(_RATES * tent.integral(4.0))
    np.testing.assert_allclose(sol.y1[0], z / np.linalg.norm(z), atol=2e-6)
    assert sol.dense is not None
    ends = np.asarray(sol.dense.interpolation.ts)
    for k in range(1, 11):
        assert np.abs(ends - _P * k).min() < 1e-12
    # An ensemble meets the same kinks, and ends where the run does.
    starts, observe = jnp.asarray(y0)[None], {"y": lambda y: y}
    many = af.ensemble.run(field, starts, t1=4.0, rtol=1e-6, observe=observe, progress=False)
    np.testing.assert_allclose(many.ys["y"][0, -1], sol.y1, atol=1e-9)
    assert int(many.stats["num_steps"][0]) == int(sol.stats["num_steps"])


def test_kinks_without_a_rule_cost_the_default_solver_its_order():
    field, _ = tented(rule=False)
    assert field.kinks == "anywhere"
    assert not stops_at_kinks(field)
    assert isinstance(default_solver(field), diffrax.Bosh3)
    assert isinstance(default_solver(tented()[0]), diffrax.Tsit5)


def test_kinks_inside_are_those_of_the_parts():
    wave = af.Sinusoid(jnp.eye(2), 5.0, rectified=True)
    _, tent = tented()
    field = af.AttentionField(af.Sphere(2), wave + 2.0 * tent, U=tented(rule=False)[1])
    assert (wave + 2.0 * tent).kinks() == (*wave.kinks(), *tent.kinks())
    assert field.kinks == "anywhere"
    assert af.Sinusoid(jnp.eye(2), 5.0).kinks() == af.Constant(jnp.eye(2)).kinks() == ()


def test_oscillating_fields_at_loose_tolerances_are_solved_by_bosh3():
    P = af.schedules.Scaled(af.Sinusoid(1.0, 6.0), jnp.eye(3))
    oscillating = af.AttentionField(af.Sphere(3), P=P)
    still = af.AttentionField(af.Sphere(3), P=jnp.eye(3))
    assert isinstance(default_solver(oscillating, 1e-4), diffrax.Bosh3)
    assert isinstance(default_solver(oscillating, float(np.float32(1e-4))), diffrax.Bosh3)
    assert isinstance(default_solver(oscillating, 1e-5), diffrax.Tsit5)
    assert isinstance(default_solver(oscillating), diffrax.Tsit5)
    assert isinstance(default_solver(still, 1e-2), diffrax.Tsit5)
