"""Where smooth pieces meet: knots, jumps on a grid of constant steps, starts a rounding before a jump."""

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import attnflow as af
from attnflow.flow._sides import Breaks
from tests.systems import START, awkward, generator, jumping, run_both

COSINE = 0.1


def pair(c):
    """P = 0, U = c(t) I: the second of two causal tokens has cosine tanh(integral of c/2 + artanh b)."""
    return af.AttentionField(
        af.Sphere(2), jnp.zeros((2, 2)), U=af.ScaledIdentity(c, 2), mask="causal", scale=1.0
    )


Y0 = jnp.array([[1.0, 0.0], [COSINE, np.sqrt(1 - COSINE**2)]])


def exact(integral, before=COSINE):
    return np.tanh(integral / 2 + np.arctanh(before))


def both(field, t0=0.0, y0=Y0, **options):
    """The run by either engine: the second token's cosine, and the number of steps."""
    sol = af.simulate(field, y0, t0=t0, **options)
    many = af.ensemble.run(field, y0[None], t0=t0, progress=False, **options)
    assert int(many.stats["num_steps"][0]) == int(sol.stats["num_steps"])
    y1 = np.asarray(many.ys)[0, -1]
    np.testing.assert_allclose(y1, sol.y1, atol=1e-13)
    return float(sol.y1[1, 0]), int(sol.stats["num_steps"])


KNOTS = 81


def summed(jump, high, size, omega, cubic):
    """A schedule with a jump, kinks and knots."""
    wave = af.Sinusoid(jnp.asarray(size, float), jnp.asarray(omega, float), rectified=True)
    return af.Piecewise(jnp.array([jump]), jnp.array(high)) + wave + cubic


def test_the_knots_of_a_noisy_cubic_are_stepped_to():
    knots = np.linspace(0.0, 20.0, KNOTS)
    values = generator("knots").normal(size=KNOTS)
    c = af.Interpolated(jnp.asarray(knots), jnp.asarray(values))
    spline = diffrax.CubicInterpolation(c.ts, diffrax.backward_hermite_coefficients(c.ts, c.values))
    # Three Gauss nodes integrate a cubic exactly.
    nodes, weights = np.polynomial.legendre.leggauss(3)
    middle, half = (knots[1:] + knots[:-1]) / 2, np.diff(knots) / 2
    at = jax.jit(jax.vmap(spline.evaluate))((middle[:, None] + half[:, None] * nodes).ravel())
    integral = np.sum(np.asarray(at).reshape(KNOTS - 1, 3) * weights * half[:, None])
    # Beside them nothing: jumps of no height, a wave of none whose kinks lie far behind the end.
    nothing = af.Piecewise(jnp.array([50.0]), jnp.zeros(2))
    alone = summed(50.0, (0.0, 0.0), 0.0, 1e-3, c) + nothing
    result, steps = both(pair(alone), t1=20.0, rtol=1e-7, atol=0.0)
    assert abs(result - exact(integral)) < 10e-7
    # Steps that run over the knots are more of them.
    over = eqx.filter_jit(diffrax.diffeqsolve)(
        diffrax.ODETerm(pair(c)),
        af.ProjectedSolver(diffrax.Tsit5(), af.Sphere(2)),
        0.0,
        20.0,
        None,
        Y0,
        stepsize_controller=diffrax.PIDController(rtol=0.0, atol=1e-7, dtmax=0.3),
    )
    assert steps < int(over.stats["num_steps"])


@pytest.mark.parametrize("solver", [diffrax.Tsit5, diffrax.Heun])
def test_a_jump_on_the_grid_of_constant_steps_costs_no_order(solver):
    c = af.Piecewise(jnp.array([0.7]), jnp.array([1.0, -1.0]))
    options = {"t1": 1.0, "solver": solver(), "controller": diffrax.ConstantStepSize()}
    errors = []
    for dt0 in (0.1, 0.05):
        result, steps = both(pair(c), dt0=dt0, **options)
        assert steps == round(1 / dt0)
        errors.append(abs(result - exact(0.4)))
    order = {diffrax.Tsit5: 5, diffrax.Heun: 2}[solver]
    assert errors[0] > 1e-11  # there is an error to speak of
    assert np.log2(errors[0] / errors[1]) > order - 0.4


def both_awkward(times, values, ts, **options):
    """The same of three tokens, the second in the same place, in a program of other tests."""
    sol, _ = run_both(
        jumping(times, values), jnp.asarray(START), same=1e-13, **awkward(ts, rtol=1e-8, **options)
    )
    return float(sol.y1[1, 0]), int(sol.stats["num_steps"])


@pytest.mark.parametrize("ulps", [-2, -1, 0, 1, 2])
def test_a_run_may_start_a_rounding_from_a_jump(ulps):
    t0 = 1.0 + ulps * (np.finfo(float).eps / 2 if ulps < 0 else np.finfo(float).eps)
    result, steps = both_awkward([1.0], [50.0, -1.0], [1.1, 1.5, 2.0], t0=t0)
    assert abs(result - exact(-1.0)) < 1e-7
    assert steps < 60


def test_a_run_may_end_and_be_saved_a_rounding_from_a_jump():
    for t1 in (1.0, np.nextafter(1.0, 0), np.nextafter(1.0, 2)):
        ts = np.minimum([0.5, np.nextafter(1.0, 0), t1], t1)
        result, _ = both_awkward([1.0], [1.0, 500.0], ts, t1=t1)
        assert abs(result - exact(1.0)) < 1e-7


def test_a_run_in_ten_pieces_of_a_tenth_is_the_run_in_one():
    field = jumping([0.3, 0.6, 0.8, 1.0], [1.0, -2.0, 3.0, -4.0, 9.0])
    t, y = 0.0, jnp.asarray(START)
    for _ in range(10):
        options = awkward([t, t + 0.05, t + 0.1], t0=t, t1=t + 0.1, rtol=1e-9)
        sol = af.simulate(field, y, **options)
        assert int(sol.stats["num_steps"]) < 60
        t, y = t + 0.1, sol.y1
    assert t != 1.0
    assert abs(float(y[1, 0]) - exact(0.3 - 0.6 + 0.6 - 0.8)) < 1e-8


def test_a_step_looks_at_its_own_side_of_a_break():
    eps = np.finfo(float).eps
    breaks = Breaks(jnp.array([0.0, 1.0]))
    low, high = breaks.limits(jnp.asarray(0.5), jnp.asarray(1.0))
    assert low == 0.5
    assert 1 - 8 * eps < high < 1
    low, high = breaks.limits(jnp.asarray(1 - eps / 2), jnp.asarray(2.0))
    assert 1 < low < 1 + 8 * eps
    assert high == 2
    low, high = breaks.limits(jnp.asarray(0.0), jnp.asarray(0.9))
    assert 0 < low < 1e-300
    assert high == 0.9
    assert breaks.following(jnp.asarray(1 - eps / 2)) == jnp.inf
    assert breaks.following(jnp.asarray(1 - 100 * eps)) == 1


@pytest.mark.parametrize("solver", [diffrax.Tsit5, diffrax.Heun])
def test_a_jump_off_the_grid_of_constant_steps_costs_no_order(solver):
    """It costs a step: the one that would run over it is taken in two."""
    at = 0.7321
    c = af.Piecewise(jnp.array([at]), jnp.array([1.0, -1.0]))
    options = {"t1": 1.0, "solver": solver(), "controller": diffrax.ConstantStepSize()}
    errors = []
    for dt0 in (0.1, 0.05):
        result, steps = both(pair(c), dt0=dt0, **options)
        assert steps == round(1 / dt0) + 1
        errors.append(abs(result - exact(2 * at - 1)))
    order = {diffrax.Tsit5: 5, diffrax.Heun: 2}[solver]
    assert errors[0] > 1e-11
    assert np.log2(errors[0] / errors[1]) > order - 0.6


def _one_break_at_one(kind):
    """A schedule whose only break near t = 1 is of that kind, and its integral to 2; all kinds are one program."""
    jump, high = (1.0, (1.0, -2.0)) if kind == "a jump" else (0.3, (0.0, 0.0))
    size, omega = (1.0, np.pi) if kind == "a kink" else (0.0, np.pi / 4)
    knot, values = (1.0, (0.0, 3.0, 1.0)) if kind == "a knot" else (0.6, (0.0, 0.0, 0.0))
    # As many knots as those of the noisy cubic: the rest of them lie after the end.
    knots = np.concatenate([[0.0, knot], np.arange(2.0, KNOTS)])
    cubic = af.Interpolated(jnp.asarray(knots), jnp.asarray(np.r_[values, np.zeros(KNOTS - 3)]))
    # Of a cubic piece: Simpson's rule is exact.
    at = np.asarray(jax.vmap(cubic)(jnp.arange(5) / 2))
    simpson = float(at @ np.array([1.0, 4.0, 2.0, 4.0, 1.0])) / 6
    integral = {"a jump": -1.0, "a kink": 4 / np.pi, "a knot": simpson}[kind]
    return summed(jump, high, size, omega, cubic), integral


@pytest.mark.parametrize("ulps", [1, 4, 64])
@pytest.mark.parametrize("first", ["a jump", "a kink", "a knot"])
def test_breaks_within_roundings_of_one_another_are_each_stepped_to(first, ulps):
    after = 1.0 + ulps * np.finfo(float).eps
    jump = af.Piecewise(jnp.array([after]), jnp.array([0.5, -1.5]))
    other, integral = _one_break_at_one(first)
    result, _ = both(pair(other + jump), t1=2.0, rtol=1e-7, atol=0.0)
    assert abs(result - exact(integral - 1.0)) < 1e-7
