"""Noise in `simulate`: laws against closed forms, orders, keys, and what is refused."""

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import attnflow as af

SPHERE = af.Sphere(3)
Y0 = SPHERE.random(jr.key(0), (8,))
# One program for both of them; U = I as numbers.
FIELD = af.AttentionField(SPHERE, P=jnp.eye(3), U=jnp.eye(3))
STILL = af.AttentionField(SPHERE, P=jnp.eye(3), U=jnp.zeros((3, 3)))
BOTH = af.Noise(independent=0.4, common=0.3)
LATTICE = jnp.linspace(0.0, 1.0, 8)


def gram(y):
    return y @ y.T


@eqx.filter_jit
def many(field, noise, keys, dt0, y0=Y0, t1=1.0):
    return jax.vmap(lambda k: af.simulate(field, y0, t1=t1, dt0=dt0, noise=noise, key=k).y1)(keys)


@eqx.filter_jit
def run(field, **options):
    """A run whose program no other test has: compiled as a test's own, in less time."""
    return af.simulate(field, Y0, t1=1.0, **options)


def of_all_kinds(manifold, noise, y0, t1=1.0, dt0=0.05, frozen=0, **options):
    """Saves, frozen tokens and each kind of noise, all of them numbers of one program a manifold."""
    field = af.AttentionField(manifold, P=jnp.eye(3), frozen=jnp.arange(8) < frozen)
    return _of_all_kinds(field, noise, y0, jnp.asarray(t1), jnp.asarray(dt0), options)


@eqx.filter_jit
def _of_all_kinds(field, noise, y0, t1, dt0, options):
    times = {"t1": t1, "ts": t1 * LATTICE, "dt0": dt0}
    return af.simulate(field, y0, noise=noise, key=jr.key(1), **times, **options)


# === laws


@pytest.mark.parametrize("kind", ["independent", "common"])
def test_a_token_without_attention_is_a_brownian_motion_of_the_sphere(kind):
    noise = af.Noise(**{"independent": 0.0, "common": 0.0, kind: 0.7})
    ends = many(STILL, noise, jr.split(jr.key(1), 4000), 0.25)
    # Tokens of a common noise are no independent samples: a mean for each key first.
    means = np.asarray(jnp.mean(jnp.sum(ends * Y0[None], axis=-1), axis=1))
    error = means.std() / np.sqrt(len(means))
    assert abs(means.mean() - af.theory.brownian_cosine(1.0, 3, 0.7)) < 4 * error
    assert error < 0.01


def test_common_noise_keeps_every_cosine_where_attention_is_none_and_independent_noise_does_not():
    common, own = (
        af.simulate(STILL, Y0, t1=1.0, noise=noise, key=jr.key(1))
        for noise in (af.Noise(independent=0.0, common=0.8), af.Noise(independent=0.8, common=0.0))
    )
    np.testing.assert_allclose(gram(common.y1), gram(Y0), atol=1e-13)
    assert jnp.linalg.norm(common.y1 - Y0, axis=1).min() > 1e-2
    assert abs(gram(own.y1) - gram(Y0)).max() > 0.1


@pytest.mark.parametrize("dim", [2, 5])
def test_common_noise_is_a_rotation_in_every_dimension(dim):
    sphere = af.Sphere(dim)
    y0 = sphere.random(jr.key(2), (4,))
    still = af.AttentionField(sphere, P=jnp.eye(dim), U=jnp.zeros((dim, dim)))
    (y1,) = many(still, af.Noise(common=1.0), jr.split(jr.key(1), 1), 0.25, y0=y0)
    np.testing.assert_allclose(gram(y1), gram(y0), atol=1e-13)


def test_common_noise_does_not_change_cosines_under_attention_that_knows_no_direction():
    noise = af.Noise(independent=0.0, common=0.8)
    noisy = af.simulate(FIELD, Y0, t1=2.0, noise=noise, key=jr.key(1))
    plain = af.simulate(FIELD, Y0, t1=2.0)
    # Attention with P = I and U = I commutes with rotations: nothing but errors of both is left.
    np.testing.assert_allclose(gram(noisy.y1), gram(plain.y1), atol=1e-8)


def test_noise_of_strength_zero_is_the_flow():
    nothing = af.Noise(independent=0.0, common=0.0, values=0.0)
    noisy = of_all_kinds(SPHERE, nothing, Y0, t1=2.0, dt0=0.01)
    np.testing.assert_allclose(noisy.y1, af.simulate(FIELD, Y0, t1=2.0).y1, atol=1e-8)
    assert noisy.reduction == "none"


def test_tokens_stay_on_sphere_and_ellipsoid_and_frozen_ones_where_they_are(manifold):
    # The first two are of those whose every bit the projection that ends a step gives back: five of six are.
    y0 = manifold.random(jr.key(3), (24,))
    kept = np.all(np.asarray(manifold.project(y0)) == np.asarray(y0), axis=1)
    y0 = y0[np.argsort(~kept, stable=True)[:8]]
    noise = af.Noise(independent=0.5, common=0.5, values=0.5)
    sol = of_all_kinds(manifold, noise, y0, frozen=2)
    assert manifold.residual(sol.ys).max() < 1e-13
    np.testing.assert_array_equal(sol.ys[:, :2], jnp.broadcast_to(sol.ys[0, :2], (8, 2, 3)))
    assert jnp.linalg.norm(sol.y1[2:] - y0[2:], axis=1).min() > 1e-2


def test_an_ellipsoid_and_its_whitened_sphere_have_the_same_path(ellipsoid):
    y0 = ellipsoid.random(jr.key(3), (8,))
    noise = af.Noise(independent=0.4, common=0.3, values=0.0)
    plain = of_all_kinds(ellipsoid, noise, y0)
    white = of_all_kinds(ellipsoid, noise, y0, reduce="whitening")
    assert (plain.reduction, white.reduction) == ("none", "whitening")
    np.testing.assert_allclose(white.ys, plain.ys, atol=1e-12)


@pytest.mark.parametrize(
    ("calculus", "beta", "sign"),
    [("ito", 0.5, -1), ("stratonovich", 0.5, -1), ("ito", 0.5, 1)],
)
def test_white_value_matrices_of_each_calculus_move_antipodes_at_its_exponent(calculus, beta, sign):
    angle, t1 = 1e-4, 0.5
    still = af.AttentionField(SPHERE, P=beta * jnp.eye(3), U=jnp.zeros((3, 3)), scale=1.0)
    y0 = jnp.array([[1.0, 0.0, 0.0], [sign * jnp.cos(angle), jnp.sin(angle), 0.0]])
    noise = af.Noise(values=1.0, calculus=calculus)
    ends = many(still, noise, jr.split(jr.key(1), 6000), 1 / 128, y0=y0, t1=t1)
    apart = jnp.sum((ends[:, 0] - sign * ends[:, 1]) ** 2, axis=-1)
    rates = np.asarray(jnp.log(apart / jnp.sum((y0[0] - sign * y0[1]) ** 2))) / t1
    expected = -2.0 if sign == 1 else af.theory.antipodal_exponent(beta, 3, calculus=calculus)
    error = rates.std() / np.sqrt(len(rates))
    # The two calculi are 0.54 apart, a dozen standard errors; a step's bias is about 0.02.
    assert abs(rates.mean() - expected) < 4 * error + 0.02
    assert error < 0.05


# === orders


def test_the_default_solver_is_of_weak_order_two():
    # A token drawn to a frozen one, d theta = -k sin(theta) dt + s dB: its mean solves a linear system of modes.
    k, s, theta, n = 2.0, 0.8, 2.0, np.arange(-30, 31)
    A = np.diag(-0.5 * s * s * n**2.0)
    A += np.diag(-0.5 * k * n[:-1], 1) + np.diag(0.5 * k * n[1:], -1)
    values, vectors = np.linalg.eig(A)
    modes = vectors @ (np.exp(values) * np.linalg.solve(vectors, np.exp(1j * n * theta)))
    exact = modes[31].real
    copies, keys = 7, 36_000
    y0 = jnp.asarray([[1.0, 0.0]] + copies * [[np.cos(theta), np.sin(theta)]])
    frozen = np.arange(copies + 1) == 0
    mask = np.eye(copies + 1, dtype=bool) | frozen
    field = af.AttentionField(
        af.Sphere(2), P=jnp.zeros((2, 2)), mask=mask, scale=2 * k, frozen=frozen
    )
    errors = []
    for h in (0.5, 0.25):
        ends = many(
            field, af.Noise(independent=s), jr.split(jr.key(1), keys), jnp.asarray(h), y0=y0
        )
        means = np.asarray(jnp.mean(ends[:, 1:, 0], axis=1))
        assert means.std() / np.sqrt(len(means)) < 1.5e-3
        errors.append(abs(means.mean() - exact))
    # 0.045 and 0.0088 in benchmarks/results/noise-cpu.json: a slope of 2.3, on its way to 2.
    assert 1.7 < np.log2(errors[0] / errors[1]) < 2.9


@pytest.mark.slow
def test_paths_on_one_brownian_tree_come_together_as_steps_shrink():
    noise = af.Noise(independent=0.5, common=0.3, tol=2.0**-8)
    keys = jr.split(jr.key(2), 24)
    finest = many(FIELD, noise, keys, 2.0**-7)
    distances = []
    for h in (2.0**-1, 2.0**-3):
        gap = many(FIELD, noise, keys, h) - finest
        distances.append(float(jnp.sqrt(jnp.mean(jnp.sum(gap**2, -1)))))
    # Order 1/2: a fourth of the step halves the distance.
    assert 1.5 < distances[0] / distances[1] < 3.0


@pytest.mark.parametrize("solver", [diffrax.Heun(), diffrax.Euler()])
def test_solvers_of_diffrax_follow_the_same_path(solver):
    noise = af.Noise(independent=0.3, common=0.2, tol=2.0**-7)
    options = {"noise": noise, "key": jr.key(1), "dt0": 2.0**-6}
    ours, theirs = run(FIELD, **options), run(FIELD, solver=solver, **options)
    assert jnp.linalg.norm(theirs.y1 - ours.y1, axis=1).max() < 0.1
    assert jnp.linalg.norm(theirs.y1 - af.simulate(FIELD, Y0, t1=1.0).y1, axis=1).min() > 0.02
    assert SPHERE.residual(theirs.y1).max() < 1e-13


# === runs


def test_a_run_is_a_function_of_its_key():
    first, again, other = (
        af.simulate(FIELD, Y0, t1=1.0, noise=BOTH, key=k, dt0=0.05).y1
        for k in (jr.key(1), jr.key(1), jr.key(2))
    )
    np.testing.assert_array_equal(first, again)
    assert abs(other - first).max() > 0.01
    kept = af.simulate(FIELD, Y0, t1=1.0, noise=BOTH.with_key(jr.key(1)), dt0=0.05).y1
    np.testing.assert_array_equal(first, kept)


def test_where_it_is_saved_and_when_it_ends_does_not_change_the_path():
    options = {"noise": BOTH, "key": jr.key(1), "dt0": 0.0625}
    half = af.simulate(FIELD, Y0, t1=0.5, **options)
    options |= {"ts": jnp.array([0.25, 0.5, 1.0]), "event": lambda t, y, args: t - args}
    whole, event = (run(FIELD, args=jnp.asarray(end), **options) for end in (2.0, 0.5))
    assert not bool(whole.event)
    np.testing.assert_allclose(whole.ys[1], half.y1, atol=1e-14)
    np.testing.assert_allclose(event.y1, half.y1, atol=1e-9)


@pytest.mark.parametrize("dtype", [jnp.float64, jnp.float32])
def test_a_path_is_the_same_inside_a_program_that_knows_its_times(dtype):
    # XLA folds times that are constant, and adds up others: their last bits differ, from the eleventh step on.
    y0 = Y0.astype(dtype)

    def end(y):
        return af.simulate(FIELD, y, t1=0.7, dt0=0.05, noise=BOTH, key=jr.key(3)).y1

    np.testing.assert_allclose(jax.jit(end)(y0), end(y0), atol=100 * jnp.finfo(dtype).eps)


def test_a_gradient_goes_through_a_noisy_run():
    def last(beta):
        field = af.AttentionField(SPHERE, P=beta * jnp.eye(3), U=jnp.eye(3))
        sol = af.simulate(field, Y0, t1=1.0, noise=BOTH, key=jr.key(1), dt0=0.0625)
        return af.misalignment(sol.y1)

    slope = jax.jit(jax.grad(last))(1.0)
    # The path and its steps are fixed, so that differences are an oracle: to h^2 and rounding over h.
    np.testing.assert_allclose(slope, (last(1.0 + 1e-5) - last(1.0 - 1e-5)) / 2e-5, rtol=1e-6)


def test_float32_tokens_stay_float32():
    y0 = Y0.astype(jnp.float32)
    sol = af.simulate(FIELD, y0, t1=0.5, noise=BOTH, key=jr.key(1))
    assert sol.y1.dtype == jnp.float32
    assert SPHERE.residual(sol.y1).max() < 1e-6


def test_jumps_of_a_schedule_off_the_grid_cut_steps():
    P = af.Piecewise([0.33], jnp.stack([jnp.eye(3), -jnp.eye(3)]))
    field = af.AttentionField(SPHERE, P=P)
    nothing = af.Noise(independent=0.0)
    noisy, plain = run(field, noise=nothing, key=jr.key(1), dt0=0.0625), run(field)
    np.testing.assert_allclose(noisy.y1, plain.y1, atol=1e-6)


# === refusals


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"noise": BOTH}, "`key` must be given with noise, such as"),
        ({"key": jr.key(0)}, "`key` is for noise, and none was given"),
        ({"noise": 0.1, "key": jr.key(0)}, "`noise` must be an attnflow.Noise"),
        ({"noise": BOTH, "key": 3}, "`key` must be one random key"),
        ({"noise": BOTH, "key": jr.key(0), "rtol": 1e-6}, "`rtol` and `atol` are not used with noise"),
        ({"noise": BOTH, "key": jr.key(0), "solver": diffrax.Tsit5()}, "`solver` with noise must be"),
        ({"noise": BOTH, "key": jr.key(0), "reduce": "span"}, '`reduce` cannot be "span" with noise'),
        (
            {"noise": BOTH, "key": jr.key(0), "adjoint": diffrax.BacksolveAdjoint()},
            "`adjoint` BacksolveAdjoint is not for noise",
        ),
        (
            {
                "noise": BOTH, "key": jr.key(0), "solver": diffrax.Heun(),
                "controller": diffrax.PIDController(rtol=1e-3, atol=1e-3),
            },
            "`controller` with noise must be None or",
        ),
        (
            {
                "noise": af.Noise(values=0.1), "key": jr.key(0), "dt0": 0.1,
                "solver": diffrax.Euler(),
            },
            "`solver` Euler solves the Itô equation",
        ),
    ],
)  # fmt: skip
def test_what_does_not_go_with_noise_is_refused_in_one_line(options, message, as_user):
    with pytest.raises(ValueError, match=message) as caught:
        af.simulate(FIELD, Y0, t1=1.0, **options)
    assert "\n" not in str(caught.value)


def test_states_that_leave_their_manifold_have_no_noise():
    field = af.AttentionField(SPHERE, P=jnp.eye(3), normalisation="pre")
    with pytest.raises(
        ValueError, match="`noise` is for tokens that stay on their manifold; got .* Pre"
    ):
        af.simulate(field, Y0, t1=1.0, noise=BOTH, key=jr.key(0))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "`Noise` must be given `independent`, `common` or `values`"),
        ({"independent": -0.1}, "`independent` must be zero or more; got less"),
        ({"common": jnp.nan}, "`common` must be finite; got NaN"),
        ({"values": jnp.ones(2)}, r"`values` must be a number; got shape \(2,\)"),
        (
            {"independent": 0.1, "calculus": "heun"},
            "`calculus` must be one of 'stratonovich', 'ito'",
        ),
        ({"independent": 0.1, "tol": 0.0}, "`tol` must be a positive time; got zero"),
    ],
)
def test_a_noise_that_is_none_is_refused(arguments, message, as_user):
    with pytest.raises(ValueError, match=message):
        af.Noise(**arguments)
