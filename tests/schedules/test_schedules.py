"""Every schedule: its values, its products with tokens, how it folds, what it tells the solver."""

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import attnflow as af

_K = jr.split(jr.key(7), 24)
_M = jr.normal(_K[0], (3, 3))
_H = jr.normal(_K[1], (2, 3, 3))
_W, _P = jr.normal(_K[2], (2, 3)), jr.normal(_K[3], (2, 3))


def _fourier(shape):
    modes = jr.normal(_K[4], (2, 4, *shape))
    return af.Fourier(jr.normal(_K[5], shape), modes[0], modes[1], 1.3)


CASES = {
    "constant": lambda: af.Constant(_M),
    "constant heads": lambda: af.Constant(_H),
    "sinusoid": lambda: af.Sinusoid(_M, 2.0, 0.3),
    "sinusoid entries": lambda: af.Sinusoid(_H, jnp.abs(_H), _M[None]),
    "rectified": lambda: af.Sinusoid(_M, 2.0, 0.3, rectified=True),
    "fourier": lambda: _fourier((3, 3)),
    "fourier heads": lambda: _fourier((2, 3, 3)),
    "piecewise": lambda: af.Piecewise(jnp.array([0.5, 1.0]), jr.normal(_K[6], (3, 2, 3, 3))),
    "linear": lambda: af.Interpolated(jnp.linspace(0, 2, 5), jr.normal(_K[7], (5, 3, 3)), "linear"),
    "cubic": lambda: af.Interpolated(jnp.linspace(0, 2, 5), jr.normal(_K[8], (5, 2, 3, 3))),
    "modulated": lambda: af.Modulated(af.Sinusoid(2.0, _W, _P), _H),
    "modulated, one head": lambda: af.Modulated(af.Sinusoid(2.0, _W[0], _P[0]), _M),
    "modulated, shared diagonal": lambda: af.Modulated(af.Sinusoid(2.0, _W[0], _P[0]), _H),
    "modulated, with a left": lambda: af.Modulated(af.Sinusoid(2.0, _W, _P), _H, _M),
    "factored": lambda: af.Factored(_W, _P),
    "factored heads": lambda: af.Factored(jr.normal(_K[9], (2, 1, 3)), _fourier((2, 1, 3))),
    "scaled identity": lambda: af.ScaledIdentity(af.Sinusoid(1.0, jnp.array([1.0, 2.0]), 0.0), 3),
    "sum": lambda: af.Constant(_H) + _fourier((2, 3, 3)) - 0.5 * af.Constant(_H),
    "scaled by heads": lambda: af.Sinusoid(1.0, jnp.array([1.0, 2.0]), 0.0) * af.Constant(_H),
    "heads of one matrix": lambda: af.Sinusoid(1.0, jnp.array([1.0, 2.0]), 0.0) * af.Constant(_M),
    "bounded": lambda: af.Bounded(_fourier((2, 3, 3)), 0.7),
    "bounded spectral": lambda: af.Bounded(_fourier((2, 3, 3)), 0.7, norm="spectral"),
    "bounded constant": lambda: af.Bounded(_H, 0.7),
    "bounded pieces": lambda: af.Bounded(CASES["piecewise"](), 0.7, norm="spectral"),
    "bounded factors": lambda: af.Bounded(af.Factored(_fourier((2, 2, 3)), _H[:, :2]), 0.7),
    "symmetric": lambda: af.Symmetric(_fourier((2, 3, 3))),
    "symmetric, cubic": lambda: af.Symmetric(CASES["cubic"]()),
    "symmetric sinusoid": lambda: af.Symmetric(af.Sinusoid(_M, jnp.abs(_M))),
    "semidefinite": lambda: af.PositiveSemidefinite(_fourier((2, 3))),
    "semidefinite heads": lambda: af.PositiveSemidefinite(_H[:, :2]),
    "fixed spectrum": lambda: af.FixedSpectrum(_W, _fourier((3, 3))),
    "fixed spectrum, heads": lambda: af.FixedSpectrum(_W[0], af.Constant(_H)),
    "periodic": lambda: af.Periodic(CASES["piecewise"](), 0.6, 4),
    "function": lambda: af.Function(lambda t: jnp.cos(t) * _M, frequency=1 / (2 * jnp.pi)),
}


@pytest.fixture(params=list(CASES))
def schedule(request):
    return CASES[request.param]()


T = 0.77


@pytest.mark.slow
def test_products_agree_with_the_matrix(schedule, getkey):
    x, y = jr.normal(getkey(), (5, 3)), jr.normal(getkey(), (4, 3))
    M = schedule(T)
    assert M.shape == schedule.shape
    assert jnp.allclose(schedule.apply(T, y), jnp.einsum("...ab,jb->...ja", M, y), atol=1e-13)
    expected = jnp.einsum("ia,...ab,jb->...ij", x, M, y)
    assert jnp.allclose(schedule.bilinear(T, x, y), expected, atol=1e-13)


@pytest.mark.slow
@pytest.mark.parametrize("size", [2, 3, pytest.param(6, marks=pytest.mark.slow)])
def test_a_congruence_is_the_product_on_both_sides(schedule, size, getkey):
    left, right = jr.normal(getkey(), (size, 3)), jr.normal(getkey(), (3, size))
    folded = schedule.congruence(left, right)
    expected = left @ schedule(T) @ right
    assert jnp.allclose(folded(T), expected, atol=1e-12)
    x, y = jr.normal(getkey(), (4, size)), jr.normal(getkey(), (4, size))
    assert jnp.allclose(folded.bilinear(T, x, y), x @ expected @ y.T, atol=1e-11)
    repeated = folded.congruence(right, left)
    assert jnp.allclose(repeated(T), right @ expected @ left, atol=1e-11)


@pytest.mark.slow
def test_it_survives_jit_vmap_and_grad_as_a_pytree(schedule):
    times = jnp.array([0.1, 0.77, 1.6])
    one_by_one = jnp.stack([schedule(t) for t in times])
    batched = jax.jit(lambda s, ts: jax.vmap(s)(ts))(schedule, times)
    assert jnp.allclose(batched, one_by_one, atol=1e-14)
    gradient = eqx.filter_grad(lambda s: jnp.sum(jnp.square(s(jnp.asarray(T)))))(schedule)
    assert all(jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(gradient))


def test_values_of_the_oscillating_schedules():
    s = af.Sinusoid(-2.0, 3.0, 0.4)
    assert jnp.allclose(s(T), -2 * jnp.sin(3 * T + 0.4))
    assert jnp.allclose(af.Sinusoid(-2.0, 3.0, 0.4, rectified=True)(T), jnp.abs(s(T)))
    f = af.Fourier(1.0, jnp.array([2.0, 3.0]), jnp.array([4.0, 5.0]), 1.3)
    expected = (
        1
        + 2 * jnp.cos(1.3 * T)
        + 3 * jnp.cos(2.6 * T)
        + 4 * jnp.sin(1.3 * T)
        + 5 * jnp.sin(2.6 * T)
    )
    assert jnp.allclose(f(T), expected)


def test_piecewise_is_continuous_from_the_right():
    s = af.Piecewise(jnp.array([1.0, 2.0]), jnp.array([10.0, 20.0, 30.0]))
    values = [float(s(t)) for t in (-5.0, 1 - 1e-12, 1.0, 1.5, 2.0, 99.0)]
    assert values == [10, 10, 20, 20, 30, 30]


@pytest.mark.parametrize("method", ["linear", "cubic"])
def test_interpolated_passes_through_its_knots_and_holds_its_ends(method):
    ts, values = jnp.array([0.0, 1.0, 3.0]), jnp.array([1.0, -1.0, 4.0])
    s = af.Interpolated(ts, values, method)
    assert jnp.allclose(jnp.stack([s(t) for t in ts]), values)
    assert s(-2.0) == 1
    assert s(50.0) == 4
    if method == "linear":
        assert jnp.allclose(s(2.0), 1.5)


@pytest.mark.parametrize(
    "knots", [2, pytest.param(3, marks=pytest.mark.slow), pytest.param(7, marks=pytest.mark.slow)]
)
def test_the_cubic_is_that_of_diffrax_on_all_knots(knots, getkey):
    ts = jnp.cumsum(jr.uniform(getkey(), (knots,), minval=0.1))
    values = jr.normal(getkey(), (knots, 2, 2))
    whole = diffrax.CubicInterpolation(ts, diffrax.backward_hermite_coefficients(ts, values))
    times = jnp.concatenate([ts, jr.uniform(getkey(), (40,), minval=ts[0], maxval=ts[-1])])
    got = jax.vmap(af.Interpolated(ts, values))(times)
    assert jnp.allclose(got, jax.vmap(whole.evaluate)(times), atol=1e-12)


def test_schedules_say_how_fast_they_move():
    fast = af.Sinusoid(1.0, 2 * jnp.pi * jnp.array([1.0, -5.0]), 0.0)
    assert jnp.allclose(fast.frequency, 5)
    assert jnp.allclose(af.Sinusoid(1.0, 2 * jnp.pi, 0.0, rectified=True).frequency, 2)
    assert jnp.allclose(_fourier((2,)).frequency, 4 * 1.3 / (2 * jnp.pi))
    assert af.Constant(1.0).frequency is None
    assert jnp.allclose((af.Constant(jnp.ones(2)) + fast).frequency, 5)
    assert jnp.allclose(af.Modulated(fast, jnp.ones((2, 2))).frequency, 5)
    assert jnp.allclose(af.Bounded(af.Sinusoid(_M, 2 * jnp.pi), 1.0).frequency, 3)
    # Steps end at its knots, and a cubic does not oscillate.
    knots = jnp.linspace(0, 1, 5)
    assert af.Interpolated(knots, knots).frequency is None


def test_products_are_as_fast_as_their_factors_together_and_sums_as_the_fastest():
    slow, fast = (af.Sinusoid(_M, 2 * jnp.pi * f) for f in (2.0, 5.0))
    wave = af.Sinusoid(1.0, 2 * jnp.pi * 3)
    assert jnp.allclose((slow + fast).frequency, 5)
    assert jnp.allclose(af.Factored(slow, fast).frequency, 7)
    assert jnp.allclose(af.Factored(_M, fast).frequency, 5)
    assert jnp.allclose((wave * slow).frequency, 5)
    assert jnp.allclose((wave * (wave * slow)).frequency, 8)
    assert jnp.allclose((2.0 * slow).frequency, 2)
    assert jnp.allclose(af.schedules.Congruent(wave * slow, _M, _M).frequency, 5)
    assert jnp.allclose(af.Bounded(wave * slow, 1.0).frequency, 15)
    # Congruences fold constants in, and change no frequency.
    for made in (af.Bounded(slow, 1.0), af.Factored(slow, fast), wave * slow):
        assert jnp.allclose(made.congruence(_M, _M).frequency, made.frequency)
    # Values are multiplied by attention weights, and these follow P.
    assert jnp.allclose(af.AttentionField(af.Sphere(3), P=slow, U=fast).frequency, 7)


def test_schedules_say_where_their_pieces_meet():
    knots = jnp.array([0.0, 1.0, 3.0])
    cubic = af.Interpolated(knots, jnp.zeros((3, 3, 3)))
    assert jnp.array_equal(cubic.break_times, knots)
    assert jnp.array_equal(cubic.jump_times, jnp.array([0.0, 3.0]))  # of its slope, to constants
    steps = af.Piecewise(jnp.array([2.0]), jnp.zeros((2, 3, 3)))
    wave = af.Sinusoid(_M, 2 * jnp.pi)
    assert wave.break_times is None
    assert jnp.array_equal(
        af.Function(lambda t: _M, jump_times=[2.0]).break_times, jnp.array([2.0])
    )
    every = {0.0, 1.0, 3.0}
    scalar = af.Interpolated(knots, jnp.zeros(3))
    for made in (
        cubic + wave,
        scalar * wave,
        af.Factored(cubic, wave),
        af.Bounded(cubic, 1.0),
        af.Modulated(af.Interpolated(knots, jnp.zeros((3, 3))), _M),
        af.ScaledIdentity(scalar, 3),
        af.PositiveSemidefinite(cubic),
    ):
        assert set(made.break_times.tolist()) == every
    field = af.AttentionField(af.Sphere(3), P=cubic, U=steps)
    assert set(field.break_times.tolist()) == every | {2.0}
    repeated = af.Periodic(cubic, 2.0, 2)
    assert set(repeated.break_times.tolist()) == {0.0, 1.0, 2.0, 3.0, 4.0, 5.0}


def test_schedules_say_where_they_jump():
    steps = af.Piecewise(jnp.array([1.0, 2.0]), jnp.zeros((3, 3, 3)))
    assert jnp.array_equal(steps.jump_times, jnp.array([1.0, 2.0]))
    both = steps + af.Interpolated(jnp.array([0.0, 4.0]), jnp.zeros((2, 3, 3)), "linear")
    assert sorted(both.jump_times.tolist()) == [0, 1, 2, 4]
    field = af.AttentionField(af.Sphere(3), P=both, U=2.0 * steps)
    assert sorted(field.jump_times.tolist()) == [0, 1, 1, 2, 2, 4]


@pytest.mark.parametrize("norm", ["frobenius", "spectral"])
def test_bounded_stays_inside_its_ball_and_reaches_all_of_it(norm, getkey):
    order = "fro" if norm == "frobenius" else 2
    for size in (1e-6, 1.0, 1e4):
        S = size * jr.normal(getkey(), (3, 3))
        M = af.Bounded(S, 0.7, norm=norm)(0.0)
        assert jnp.linalg.norm(M, order) <= 0.7 * (1 + 1e-12)
        if size < 1:
            assert jnp.allclose(M, S, rtol=1e-6)  # the identity near zero
        if size > 1:
            assert jnp.linalg.norm(M, order) > 0.69


def test_the_spectral_bound_differentiates_at_equal_singular_values(getkey):
    # At S = I the derivative of an eigendecomposition is NaN; that of the bounded map is
    # dS (1+s)^(-1/2) - (dS + dS')/2 (1+s)^(-3/2) s with s = 1/b^2.
    dS, s = jr.normal(getkey(), (3, 3)), 1 / 0.7**2
    _, got = jax.jvp(lambda S: af.Bounded(S, 0.7, norm="spectral")(0.0), (jnp.eye(3),), (dS,))
    expected = dS / jnp.sqrt(1 + s) - (dS + dS.T) / 2 * s / (1 + s) ** 1.5
    assert jnp.allclose(got, expected, atol=1e-13)
    zero = jax.grad(lambda S: jnp.sum(af.Bounded(S, 0.7, norm="spectral")(0.0)))(jnp.zeros((3, 3)))
    assert jnp.allclose(zero, 1.0)


def test_materialise_changes_no_bit(getkey):
    from attnflow.schedules._products import materialise

    x = jr.normal(getkey(), (7, 131)) * 10.0 ** jr.uniform(getkey(), (7, 131), minval=-9, maxval=9)
    assert jnp.array_equal(materialise(x), x)
    assert jnp.array_equal(jax.vmap(materialise)(x), x)


@pytest.mark.parametrize("heads", [2, 9])
def test_products_head_by_head_are_products_in_a_batch_of_lanes_too(getkey, heads):
    from attnflow.schedules._products import by_head

    a, b = jr.normal(getkey(), (3, heads, 4, 5)), jr.normal(getkey(), (3, heads, 5, 4))
    assert jnp.allclose(by_head(a[0], b[0]), jnp.matmul(a[0], b[0]), atol=1e-14)
    assert jnp.allclose(jax.vmap(by_head)(a, b), jnp.matmul(a, b), atol=1e-14)
    assert jnp.allclose(by_head(a[0, 0], b[0]), jnp.matmul(a[0, 0], b[0]), atol=1e-14)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: af.Piecewise([2.0, 1.0], jnp.zeros(3)), "`times` must increase strictly"),
        (lambda: af.Piecewise([1.0, 2.0], jnp.zeros(2)), "`values` must have one entry more"),
        (lambda: af.Interpolated([0.0], [1.0]), "`ts` must hold at least two knots"),
        (lambda: af.Interpolated([0.0, 1.0], [1.0]), "`values` must have one entry for each"),
        (lambda: af.Interpolated([0.0, 1.0], [1.0, 2.0], "spline"), "`method` must be one of"),
        (lambda: af.Modulated(jnp.ones(2), _M), r"`diagonal` must have shape \(3,\)"),
        (
            lambda: af.Modulated(jnp.ones((3, 3)), _H),
            r"`diagonal` must have shape \(3,\) or \(2, 3\)",
        ),
        (lambda: af.Modulated(jnp.ones(3), jnp.ones(3)), "`matrix` must have shape"),
        (lambda: af.Factored(_W, _M), "`Q` and `K` must have shapes"),
        (lambda: af.Bounded(_M, -1.0), "`bound` must be positive"),
        (
            lambda: af.Bounded(_M, 1.0, norm="nuclear"),
            "`norm` must be one of 'frobenius', 'spectral'",
        ),
        (lambda: af.Constant(jnp.array([jnp.inf])), "`value` must be finite"),
        (lambda: af.Constant(_M) + jnp.ones(2), "`terms` must have one shape"),
        (lambda: af.Sinusoid(jnp.ones(2), jnp.ones(3)), "`amplitude`, `omega` and `phase` must"),
        (lambda: af.Fourier(1.0, jnp.ones(2), jnp.ones(3), 1.0), "`cosine` and `sine` must have"),
        (lambda: af.ScaledIdentity(_M, 3), "`coefficient` must be a number"),
        (lambda: af.AttentionField(af.Sphere(3), P=lambda t: _M), "`P` must be .* got a function"),
    ],
)
def test_bad_schedules_are_refused(as_user, build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_a_numpy_array_on_the_left_is_a_term_and_not_many():
    matrix = np.arange(9.0).reshape(3, 3)
    wave = af.Sinusoid(np.eye(3), 2.0)
    for schedule in (matrix + wave, matrix - wave, wave + matrix):
        assert isinstance(schedule, af.schedules.Sum)
    np.testing.assert_allclose((matrix - wave)(0.4), matrix - np.eye(3) * np.sin(0.8), rtol=1e-15)
