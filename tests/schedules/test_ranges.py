"""What the types of schedules promise of their values holds at every time that is looked at."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import attnflow as af
from attnflow.claims._cycle import rest_of
from attnflow.schedules import ranges as _ranges

_K = jr.split(jr.key(5), 6)
_H, _M = jr.normal(_K[0], (2, 3, 3)), jr.normal(_K[1], (3, 3))
_VALUES = jnp.array([1.5, 0.2, -0.7])
WAVE = af.Sinusoid(0.05 * _M, 3.0, 0.2) + _M
MODES = af.Fourier(_M, 0.3 * _H, -0.2 * _H, 2.0)
STEPS = af.Piecewise([0.3, 0.5], jr.normal(_K[2], (3, 3, 3)))
TABLE = af.Interpolated([0.0, 0.4, 1.0], jr.normal(_K[3], (3, 3, 3)))

CASES = {
    "symmetric": af.Symmetric(MODES),
    "symmetric, still": af.Symmetric(_M),
    "semidefinite": af.PositiveSemidefinite(MODES),
    "fixed spectrum, nearly still": af.FixedSpectrum(_VALUES, WAVE),
    "fixed spectrum": af.FixedSpectrum(_VALUES, 4.0 * MODES),
    "fixed spectrum, heads": af.FixedSpectrum(jnp.stack([_VALUES, 3 * _VALUES]), 2.0 * TABLE),
    "fixed spectrum, one eigenvalue": af.FixedSpectrum(jnp.ones(3), MODES),
    "periodic steps": af.Periodic(STEPS, 0.7, 4),
    "periodic table": af.Periodic(TABLE, 1.0, 4),
    "a sum of what repeats": af.Periodic(STEPS, 0.7, 4) + af.Symmetric(af.Periodic(TABLE, 1, 4)),
    "bounded": af.Bounded(af.Symmetric(MODES), 0.8),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_values_and_slopes_lie_in_their_range(name):
    schedule = CASES[name]
    times = jnp.linspace(0.013, 9.0, 700)
    bounds = _ranges.range_of(schedule, 0.0)
    values = np.asarray(jax.vmap(schedule)(times))
    slopes = np.asarray(jax.vmap(lambda t: jax.jvp(schedule, (t,), (jnp.ones(()),))[1])(times))
    assert bounds.centre.shape == bounds.radius.shape == bounds.slope.shape == schedule.shape
    assert np.all(np.abs(values - bounds.centre[None]) <= bounds.radius[None] + 1e-13)
    assert np.all(np.abs(slopes) <= bounds.slope[None] + 1e-12)


def test_ranges_of_constrained_matrices_are_not_wider_than_need_be():
    constant = _ranges.range_of(CASES["symmetric, still"], 0.0)
    assert np.all(constant.radius == 0)
    np.testing.assert_allclose(constant.centre, (_M + _M.T) / 2)
    near = _ranges.range_of(CASES["fixed spectrum, nearly still"], 0.0)
    assert np.all(near.radius < 1.1)  # half of what the eigenvalues span, at most
    assert np.all(_ranges.range_of(af.FixedSpectrum(_VALUES, _M), 0.0).radius == 0)
    unknown = af.FixedSpectrum(_VALUES, af.Function(lambda t: jnp.exp(t) * _M))
    assert np.all(_ranges.range_of(unknown, 0.0).radius == pytest.approx(1.1))
    assert np.all(np.isinf(_ranges.range_of(unknown, 0.0).slope))


def test_the_first_jump_of_what_repeats_is_found_whatever_the_beginning():
    for t0, when in ((0.0, 0.3), (0.31, 0.5), (0.5, 0.7), (7.01, 7.3), (70.5, 70.7)):
        t, size = _ranges.first_jump(CASES["periodic steps"], t0)
        assert t == pytest.approx(when)
        before, behind = STEPS((when - 1e-9) % 0.7), STEPS((when + 1e-9) % 0.7)
        assert size == pytest.approx(float(jnp.max(jnp.abs(before - behind))))
    t, size = _ranges.first_jump(CASES["periodic table"], 0.2)
    assert t == 1.0
    assert size == pytest.approx(float(jnp.max(jnp.abs(TABLE(0.0) - TABLE(1.0)))))


def test_what_closes_has_no_jump():
    modes = af.Fourier(_M, 0.3 * _H, -0.2 * _H, 2.0)
    assert _ranges.first_jump(af.Periodic(modes, np.pi, 4), 0.0) is None
    closed = af.Interpolated([0.0, 0.5, 1.0], jnp.stack([_M, 2 * _M, _M]))
    assert _ranges.first_jump(af.Periodic(closed, 1.0, 4), 0.0) is None
    steps = CASES["periodic steps"]
    assert _ranges.first_jump(steps - steps, 0.0) is None


def test_what_repeats_has_taken_all_its_values_after_a_period():
    assert _ranges.recurrence(CASES["periodic steps"], 2.0) == pytest.approx(2.7)
    together = CASES["periodic steps"] + af.Sinusoid(_M, 2 * np.pi / 0.3)
    assert _ranges.recurrence(together, 0.0) == pytest.approx(2.1)
    later = CASES["periodic steps"] + af.Piecewise([4.0], jnp.stack([_M, 2 * _M]))
    assert _ranges.recurrence(later, 0.0) == pytest.approx(4.7)
    assert _ranges.knots(later, 0.0).tolist() == [4.0]
    times = _ranges.some_times(CASES["periodic steps"], 2.0)
    assert {2.1, 2.4, 2.6} <= {round(float(t), 9) for t in times}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("P", "holds"),
    [
        ("symmetric", True),
        ("fixed spectrum", True),
        ("semidefinite", True),
        ("periodic steps", False),
        ("periodic table", False),
    ],
)
def test_theorem_3_2_is_decided_for_what_is_constrained_or_repeats(P, holds):
    field = af.AttentionField(af.Sphere(3), CASES[P])
    y0 = af.Sphere(3).random_hemisphere(jr.key(1), (4,), v=jnp.array([1.0, 0.0, 0.0]))
    assert af.theory.verdicts(field, y0)["3.2"].applies is holds


def test_what_does_not_say_that_it_repeats_is_not_taken_to_have_stopped():
    unknown = af.Function(lambda t: jnp.exp(-t) * _M)
    for schedule in (unknown, 2.0 * unknown + _M, af.Symmetric(unknown)):
        assert _ranges.recurrence(schedule, 0.0) is None
        assert np.all(np.isinf(_ranges.range_of(schedule, 0.0).slope))
        assert rest_of(af.AttentionField(af.Sphere(3), schedule)).period is None
    # What repeats does so whatever it repeats.
    assert _ranges.recurrence(af.Periodic(unknown, 0.5, 4), 0.0) == pytest.approx(0.5)


def test_a_slope_is_worth_nothing_where_jumps_may_hide():
    class Stepped(af.schedules.AbstractSchedule):
        frequency = None
        jump_times = jnp.array([1.0])

        def __call__(self, t):
            return jnp.where(t < 1.0, 1.0, 2.0) * _M

        def range_from(self, t0):
            constant = af.schedules.Range.constant(1.5 * _M)
            return constant._replace(radius=np.abs(0.5 * np.asarray(_M)))

    for schedule in (Stepped(), Stepped() + _M):
        bounds = _ranges.range_of(schedule, 0.0)
        assert np.all(np.isfinite(bounds.radius))
        assert np.all(np.isinf(bounds.slope))
    y0 = af.Sphere(3).random_hemisphere(jr.key(1), (4,), v=jnp.array([1.0, 0.0, 0.0]))
    verdict = af.theory.verdicts(af.AttentionField(af.Sphere(3), Stepped()), y0)["3.2"]
    assert verdict.applies is None
