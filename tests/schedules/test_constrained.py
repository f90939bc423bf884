"""Schedules that keep a constraint by construction, what repeats, and what a bound folds into."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import attnflow as af

_K = jr.split(jr.key(3), 8)
_M, _H = jr.normal(_K[0], (3, 3)), jr.normal(_K[1], (2, 3, 3))
_VALUES = jnp.array([1.5, 0.2, -0.7])


def _fourier(shape):
    modes = jr.normal(_K[2], (2, 2, *shape))
    return af.Fourier(jr.normal(_K[3], shape), modes[0], modes[1], 1.3)


def skew_of(S):
    return np.asarray(S - jnp.swapaxes(S, -1, -2)) / 2


# === symmetric, semidefinite, of given eigenvalues


@pytest.mark.parametrize("t", [0.0, 0.9, -3.0])
def test_symmetric_is_the_mean_with_the_transpose_and_exactly_symmetric(t):
    S = _fourier((2, 3, 3))
    M = af.Symmetric(S)(t)
    assert jnp.array_equal(M, jnp.swapaxes(M, 1, 2))
    np.testing.assert_allclose(M, (S(t) + np.swapaxes(S(t), 1, 2)) / 2, rtol=1e-15)


@pytest.mark.parametrize(("width", "rank"), [(1, 1), (2, 2), (5, 3)])
def test_semidefinite_matrices_have_the_rank_of_their_width(width, rank, getkey):
    M = af.PositiveSemidefinite(jr.normal(getkey(), (width, 3)))(0.0)
    values = np.linalg.eigvalsh(M)
    assert np.all(values > -1e-14)
    assert np.sum(values > 1e-10) == rank


@pytest.mark.parametrize(("size", "tolerance"), [(1e-8, 1e-15), (1.0, 2e-15), (1e6, 1e-9)])
def test_a_fixed_spectrum_is_kept_however_large_the_matrix_that_turns_it(size, tolerance, getkey):
    M = af.FixedSpectrum(_VALUES, size * jr.normal(getkey(), (4, 3, 3)))(0.0)
    assert jnp.array_equal(M, jnp.swapaxes(M, 1, 2))
    expected = np.broadcast_to(np.sort(_VALUES), (4, 3))
    np.testing.assert_allclose(np.linalg.eigvalsh(M), expected, atol=tolerance)


def test_a_fixed_spectrum_is_the_diagonal_turned_by_the_cayley_transform():
    A, eye = skew_of(_M), np.eye(3)
    O = (eye - A) @ np.linalg.inv(eye + A)  # noqa: E741
    expected = O @ np.diag(_VALUES) @ O.T
    np.testing.assert_allclose(af.FixedSpectrum(_VALUES, _M)(0.0), expected, atol=1e-15)
    assert jnp.array_equal(af.FixedSpectrum(_VALUES, 0 * _M)(0.0), jnp.diag(_VALUES))


def test_a_fixed_spectrum_differentiates_in_every_mode_and_under_vmap(getkey):
    # At S = 0 the derivative along dS is [Λ, 2 dA]: O = I - 2A + ..., M = Λ - 2AΛ + 2ΛA.
    dS = jr.normal(getkey(), (3, 3))
    make = lambda S: af.FixedSpectrum(_VALUES, S)(0.0)  # noqa: E731
    _, got = jax.jvp(make, (jnp.zeros((3, 3)),), (dS,))
    dA, L = skew_of(dS), np.diag(_VALUES)
    np.testing.assert_allclose(got, 2 * (L @ dA - dA @ L), atol=1e-15)
    weights = jr.normal(getkey(), (3, 3))
    loss = lambda S: jnp.sum(weights * make(S))  # noqa: E731
    points = jr.normal(getkey(), (3, 3, 3))
    first, second = jax.jit(jax.vmap(lambda S: (jax.grad(loss)(S), jax.hessian(loss)(S))))(points)
    assert jnp.allclose(first, -jnp.swapaxes(first, 1, 2), atol=1e-14)
    h, many = 1e-3, jax.jit(jax.vmap(loss))
    f = {k: np.asarray(many(points + k * h * dS[None])) for k in range(-2, 3)}
    slope = (8 * (f[1] - f[-1]) - (f[2] - f[-2])) / (12 * h)
    bend = (16 * (f[1] + f[-1]) - (f[2] + f[-2]) - 30 * f[0]) / (12 * h**2)
    np.testing.assert_allclose(jnp.einsum("nab,ab->n", first, dS), slope, rtol=1e-8)
    along = jnp.einsum("ab,nabcd,cd->n", dS, second, dS)
    np.testing.assert_allclose(along, bend, rtol=1e-6)


def test_eigenvalues_are_frozen_by_the_recipe():
    def total(m, frozen):
        if frozen:
            m = eqx.tree_at(lambda m: m.eigenvalues, m, replace_fn=jax.lax.stop_gradient)
        return jnp.sum(jnp.square(m(0.0)[0]))

    m = af.FixedSpectrum(_VALUES, _M)
    free, stored = (eqx.filter_grad(total)(m, frozen) for frozen in (False, True))
    assert jnp.all(free.eigenvalues != 0)
    assert jnp.all(stored.eigenvalues == 0)
    assert jnp.array_equal(free.schedule.value, stored.schedule.value)


def test_products_of_an_oscillation_are_twice_as_fast():
    wave = af.Sinusoid(_M, 2 * jnp.pi)
    assert jnp.allclose(af.PositiveSemidefinite(wave).frequency, 2)
    assert jnp.allclose(af.FixedSpectrum(_VALUES, wave).frequency, 2)
    assert jnp.allclose(af.Symmetric(wave).frequency, 1)
    assert af.PositiveSemidefinite(_M).frequency is None


# === what repeats


def test_periodic_repeats_its_first_period_for_ever():
    S = _fourier((3, 3))
    M = af.Periodic(S, 0.7, 2)
    for t in (0.0, 0.3, 0.69):
        for k in (-3, -1, 0, 1, 5):
            assert jnp.allclose(M(t + k * 0.7), S(t), atol=1e-13)
    assert jnp.allclose(M(0.7 * 8), S(0.0), atol=1e-13)


def test_periodic_jumps_at_its_multiples_and_inside_its_periods():
    steps = af.Piecewise(jnp.array([-1.0, 0.25, 2.0]), jnp.zeros((4, 3, 3)))
    times = np.unique(af.Periodic(steps, 1.5, 2).jump_times)
    np.testing.assert_allclose(times, [0, 0.25, 1.5, 1.75, 3, 3.25])
    np.testing.assert_allclose(af.Periodic(_M, 0.5, 3).jump_times, [0, 0.5, 1, 1.5])


def test_periodic_is_at_least_as_fast_as_its_period():
    assert jnp.allclose(af.Periodic(_M, 0.25, 1).frequency, 4)
    assert jnp.allclose(af.Periodic(af.Sinusoid(_M, 20 * jnp.pi), 0.25, 1).frequency, 10)


def test_kinks_inside_a_period_are_known_to_the_field():
    wave = af.Sinusoid(_M, 5.0, 0.3, rectified=True)
    (kinks,) = af.AttentionField(af.Sphere(3), wave).kinks
    assert (kinks.omega, kinks.phase) == (5.0, 0.3)
    assert af.AttentionField(af.Sphere(3), af.Periodic(wave, 1.0, 2)).kinks == "anywhere"
    assert af.AttentionField(af.Sphere(3), af.Periodic(_M, 1.0, 2)).kinks == ()


def test_the_gradient_in_the_period_is_that_of_the_shifted_schedule():
    S, t = af.Sinusoid(1.0, 2.0), 1.9
    got = jax.grad(lambda T: af.Periodic(S, T, 4)(t))(jnp.asarray(0.7))
    assert jnp.allclose(got, -2 * 2.0 * jnp.cos(2.0 * (t - 2 * 0.7)))


def test_a_run_under_a_repeated_step_ends_at_each_jump():
    # One causal token pulled by the rotation U: its angle is the integral of scale * c(t).
    turn = jnp.array([[0.0, -1.0], [1.0, 0.0]])
    U = af.Periodic(af.Piecewise([0.2], jnp.stack([turn, -0.5 * turn])), 0.7, 8)
    field = af.AttentionField(af.Sphere(2), jnp.eye(2), U=U, scale=1.0)
    sol = af.simulate(field, jnp.array([[1.0, 0.0]]), t1=5.0)
    angle = 7 * (0.2 - 0.25) + 0.1  # seven periods and the first 0.1 of the eighth
    expected = [np.cos(angle), np.sin(angle)]
    np.testing.assert_allclose(sol.y1[0], expected, atol=1e-11)


# === bounds that fold


BOUNDED = {
    "constant": lambda: af.Constant(_H),
    "piecewise": lambda: af.Piecewise([0.5, 1.0], jnp.stack([_H, 2 * _H, -_H])),
    "fourier": lambda: _fourier((2, 3, 3)),
    "one matrix": lambda: af.Sinusoid(_M, 2.0, 0.3),
    "factored": lambda: af.Factored(_H[:, :2], _fourier((2, 2, 3))),
}


@pytest.mark.slow
@pytest.mark.parametrize("norm", ["frobenius", "spectral"])
@pytest.mark.parametrize("name", BOUNDED)
def test_a_folded_bound_is_the_plain_one_in_values_and_gradients(name, norm, getkey):
    left, right = jr.normal(getkey(), (2, 3)), jr.normal(getkey(), (3, 2))
    weights = jr.normal(getkey(), (2, 2))

    def total(M, folds):
        if folds:
            values = M.congruence(left, right)(0.77)
        else:
            values = left @ M(0.77) @ right
        return jnp.einsum("...ab,ab->", jnp.sin(values), weights)

    M = af.Bounded(BOUNDED[name](), 0.9, norm)
    (folded, ours), (plain, theirs) = (
        eqx.filter_value_and_grad(total)(M, folds) for folds in (True, False)
    )
    assert jnp.allclose(folded, plain, rtol=1e-13)
    for mine, other in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        assert jnp.allclose(mine, other, rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize("norm", ["frobenius", "spectral"])
@pytest.mark.parametrize("name", ["constant", "piecewise"])
def test_a_bound_of_few_values_folds_into_them(name, norm):
    folded = af.Bounded(BOUNDED[name](), 0.9, norm).congruence(jnp.eye(2, 3), jnp.eye(3, 2))
    assert type(folded) is (af.Constant if name == "constant" else af.Piecewise)
    assert {leaf.shape[-1] for leaf in jax.tree.leaves(folded) if leaf.ndim > 1} == {2}


def test_a_frobenius_bound_leaves_its_schedule_folded():
    def shapes(M):
        folded = af.Bounded(M, 0.9).congruence(jnp.ones((2, 50)), jnp.ones((50, 2)))
        jaxpr = jax.make_jaxpr(lambda m, x: m.bilinear(0.3, x, x))(folded, jnp.ones((4, 2)))
        return [var.aval.shape for eqn in jaxpr.eqns for var in eqn.outvars]

    wide = jnp.ones((3, 50))
    assert (50, 50) not in shapes(af.Factored(wide, af.Sinusoid(wide, 2.0)))


@pytest.mark.parametrize("name", BOUNDED)
def test_square_norms_are_sums_of_squares(name):
    M = BOUNDED[name]()
    expected = np.sum(np.square(M(0.77)), axis=(-2, -1))
    np.testing.assert_allclose(M.square_norm(0.77), expected, rtol=1e-13)


@pytest.mark.parametrize(
    "M",
    [
        af.PositiveSemidefinite(_fourier((2, 2, 3))),
        af.FixedSpectrum(_VALUES, _H),
        af.FixedSpectrum(jnp.stack([_VALUES, 2 * _VALUES]), _M),
        af.Periodic(_fourier((3, 3)), 0.5, 1),
    ],
)
def test_square_norms_that_are_known_otherwise_are_the_same(M):
    expected = np.sum(np.square(M(0.77)), axis=(-2, -1))
    np.testing.assert_allclose(M.square_norm(0.77), expected, rtol=1e-13)


# === bad input


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: af.Symmetric(_M[:2]), r"`schedule` must have shape \(d, d\)"),
        (lambda: af.Symmetric(_VALUES), r"`schedule` must have shape .* got \(3,\)"),
        (lambda: af.PositiveSemidefinite(_VALUES), r"`schedule` must have shape"),
        (lambda: af.FixedSpectrum(_VALUES[:2], _M), r"`eigenvalues` .* \(3,\) or \(heads, 3\)"),
        (lambda: af.FixedSpectrum(jnp.ones((3, 3)), _H), r"`eigenvalues` .* \(3,\) or \(2, 3\)"),
        (lambda: af.Periodic(_M, 0.0, 1), "`period` must be positive"),
        (lambda: af.Periodic(_M, _VALUES, 1), "`period` must be a number"),
        (
            lambda: af.Periodic(_M, 1.0, 0),
            "`periods` must be a positive integer and at most 10000000; got 0",
        ),
        (
            lambda: af.Periodic(_M, 1.0, 1.5),
            "`periods` must be a positive integer and at most 10000000; got 1.5",
        ),
    ],
)
def test_bad_schedules_are_refused_in_one_line(as_user, build, message):
    with pytest.raises(ValueError, match=message) as caught:
        build()
    assert "\n" not in str(caught.value)
