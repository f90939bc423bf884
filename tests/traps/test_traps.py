"""Six traps of a naive implementation; the fifth, fast schedules, has a file of its own."""

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import attnflow as af
from tests.systems import Place, generator, random_rows, wendel

# === 1. The naive field blows up off the manifold


def near_triangle(turn):
    """Three tokens near 120 degrees on the circle, turned."""
    angles = turn + 2 * np.pi / 3 * np.arange(3) + np.array([0.0, 1e-3, -1.5e-3])
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


CASES_OF_TRAP_1 = [(-8.0, 1.0), (-8.0, -1.0), (3.0, -1.0), (5.0, -1.0)]


@pytest.mark.parametrize("kind", [pytest.param("sphere", marks=pytest.mark.slow), "ellipsoid"])
def test_trap_1_tokens_stay_on_the_manifold_to_t_2000(kind):
    """P = -8I with U = I and U = -I, and P = 3I, 5I with U = -I, in three orientations each."""
    place = Place(kind, 2)
    ts = jnp.linspace(0, 2000, 101)
    for beta, sign in CASES_OF_TRAP_1:
        field = af.AttentionField(
            place.manifold, place.P(beta * np.eye(2)), U=jnp.asarray(sign * np.eye(2))
        )
        for turn in (0.1, 0.7, 1.3):
            y0 = place.tokens(near_triangle(turn))
            sol = af.simulate(field, y0, t1=2000.0, ts=ts, rtol=1e-10, atol=1e-12)
            x = place.back(sol.ys)
            assert np.abs(np.linalg.norm(x, axis=-1) - 1).max() < 1e-12
            if sign > 0:  # the equilateral triangle is stable there (K11)
                cosines = np.einsum("nla,na->nl", x, x[:, 0])
                misalignment = 1 - cosines.mean(axis=1)
                assert abs(misalignment[-1] - 1) < 1e-9


def test_trap_1_the_field_alone_stays_on_the_manifold_where_the_shorthand_leaves_it():
    """U = -I, P = 3I: without any projection, far beyond the t = 10 to 15 of the shorthand."""
    place = Place("ellipsoid", 2)
    field = af.AttentionField(place.manifold, place.P(3 * np.eye(2)), U=-jnp.eye(2))
    sol = diffrax.diffeqsolve(
        diffrax.ODETerm(field),
        diffrax.Tsit5(),
        t0=0.0,
        t1=200.0,
        dt0=None,
        y0=place.tokens(near_triangle(0.7)),
        stepsize_controller=diffrax.PIDController(rtol=1e-10, atol=1e-12),
    )
    assert float(jnp.max(place.manifold.residual(jnp.asarray(sol.ys)))) < 1e-8


@pytest.mark.parametrize("kind", ["sphere", "ellipsoid"])
def test_trap_1_length_is_a_first_integral_off_the_manifold_too(kind):
    """<y_i, y_i'>_W = 0 at any length, with every mask: eq. (3) in full, no projection involved."""
    place = Place(kind, 3)
    rng = generator("first integral", kind)
    y = random_rows(rng, 8, place.W) * rng.uniform(0.2, 5.0, (8, 1))
    for mask in (None, "causal"):
        field = af.AttentionField(
            place.manifold,
            jnp.asarray(rng.normal(size=(2, 3, 3))),
            U=jnp.asarray(rng.normal(size=(2, 3, 3))),
            mask=mask,
        )
        v = np.asarray(field(jnp.asarray(0.0), jnp.asarray(y)))
        along = np.einsum("ia,ab,ib->i", y, place.W, v)
        size = np.sqrt(np.einsum("ia,ab,ib->i", v, place.W, v))
        assert np.all(np.abs(along) < 1e-14 * (1 + size) * 10)


# === 2. Remark 3.4 is off by one


@pytest.mark.parametrize(
    ("tokens", "dim", "draws"), [(2, 2, 2000), pytest.param(12, 5, 2000, marks=pytest.mark.slow)]
)
def test_trap_2_wendels_sum_goes_to_the_dimension_less_one(tokens, dim, draws):
    """sum_{k < m}, m the dimension of the space: two tokens on the circle always share a half."""
    value = wendel(tokens, dim)
    starts = af.Sphere(dim).random(jax.random.key(2), (draws, tokens))
    within = np.asarray(jax.jit(jax.vmap(af.hemisphere_margin))(starts)[0]) > 0
    remark = value - np.prod(np.arange(tokens - 1, tokens - dim, -1)) / (
        np.prod(np.arange(1, dim)) * 2.0 ** (tokens - 1)
    )
    error = np.sqrt(remark * (1 - remark) / draws)
    assert abs(within.mean() - value) <= 4 * np.sqrt(value * (1 - value) / draws)
    assert abs(within.mean() - remark) > 8 * error  # what the remark prints is refuted


# === 3. 1 - cos cancels


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_trap_3_misalignment_resolves_to_the_square_of_rounding(dtype):
    eps = float(jnp.finfo(dtype).eps)
    for angle in (1e-2, 10 * np.sqrt(eps), 1e-3 * np.sqrt(eps), 4 * eps):
        y = jnp.asarray([[1.0, 0.0, 0.0], [np.cos(angle), np.sin(angle), 0.0]], dtype)
        expected = np.sin(float(y[1, 1]) / 2) ** 2  # (1 - cos)/2 over two tokens
        value = af.misalignment(y)
        assert value.dtype == dtype
        np.testing.assert_allclose(float(value), expected, rtol=40 * eps + angle**2)
        np.testing.assert_allclose(
            float(af.lyapunov(y, jnp.asarray([1.0, 0.0, 0.0], dtype))), 2 * expected, rtol=1e-3
        )


def test_trap_3_consensus_to_1e_10_is_found_in_float32():
    """K5: two causal tokens, E = (1 - tanh(t/2 + artanh g))/2 = 1e-10 at a known time."""
    g, threshold = 0.3, 1e-10
    y0 = jnp.asarray([[1.0, 0.0, 0.0], [g, np.sqrt(1 - g**2), 0.0]], jnp.float32)
    field = af.AttentionField(af.Sphere(3), jnp.zeros((3, 3)), mask="causal", scale=1.0)
    sol = af.simulate(field, y0, t1=60.0, event=af.consensus(threshold))
    # 1 - tanh(u) = 2/(e^2u + 1)
    expected = np.log(1 / threshold - 1) - 2 * np.arctanh(g)
    assert sol.result == diffrax.RESULTS.event_occurred
    assert float(af.misalignment(sol.y1)) == pytest.approx(threshold, rel=1e-2)
    # The tokens are 2e-5 apart there, and a step is right to 1e-5.
    assert float(sol.t1) == pytest.approx(expected, abs=0.5)


# === 4. Large logits


MASKS = {
    "none": lambda rng: {},
    "causal": lambda rng: {"mask": "causal"},
    "boolean": lambda rng: {
        "mask": jnp.asarray((rng.uniform(size=(8, 8)) < 0.3) | np.eye(8, k=1, dtype=bool))
        .at[7, 0]
        .set(True)
    },
    "bias": lambda rng: {
        "mask": jnp.where(jnp.asarray(np.eye(8, k=-1) + np.eye(8)) > 0, 0.5, -jnp.inf)
    },
    "masses": lambda rng: {"weights": jnp.asarray([0.0, 1.0, 2.0, 0.0, 1.0, 2.0, 0.0, 1.0])},
}


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
@pytest.mark.parametrize("mask", MASKS)
def test_trap_4_logits_of_1000_neither_overflow_nor_spoil_the_gradient(mask, dtype):
    """P = +-1000 I: the value is hardmax's, the gradient in everything finite, masked rows too."""
    rng = generator("large", mask)
    options = MASKS[mask](rng)
    y = jnp.asarray(random_rows(rng, 8, np.eye(3)), dtype)
    c = jnp.asarray(rng.normal(size=(8, 3)), dtype)

    @eqx.filter_jit
    def velocity_and_gradient(field, y):
        out = field(jnp.asarray(0.0, dtype), y)
        loss = lambda z: jnp.sum(c * z[0](jnp.asarray(0.0, dtype), z[1]))  # noqa: E731
        return out, eqx.filter_grad(loss)((field, y))

    for sign in (1.0, -1.0):
        P = jnp.asarray(1000 * sign * np.eye(3), dtype)
        soft, hard = (
            af.AttentionField(
                af.Sphere(3), P, kernel=kernel, scale=jnp.asarray(1.0, dtype), **options
            )
            for kernel in ("softmax", "hardmax")
        )
        soft, hard = (
            jax.tree.map(lambda a: a.astype(dtype) if eqx.is_inexact_array(a) else a, f)
            for f in (soft, hard)
        )
        value, gradient = velocity_and_gradient(soft, y)
        assert value.dtype == dtype
        for leaf in jax.tree.leaves((value, gradient)):
            assert np.all(np.isfinite(leaf))
        expected = hard(jnp.asarray(0.0, dtype), y)
        # Tokens are no closer in logits than this, so softmax is hardmax to its exponential.
        logits = np.sort(1000 * np.asarray(y, float) @ np.asarray(y, float).T, axis=1)
        assert np.diff(logits, axis=1).min() > 0.05
        assert np.median(np.abs(value - expected)) < 1e-5


def test_trap_4_gradient_of_a_run_with_large_logits_is_the_difference_quotient():
    """P = 1000 I and a bias that makes rows tie at the start, causal by -inf, two tokens unseen."""
    rng = generator("large run")
    y = random_rows(rng, 8, np.eye(3))
    y0, c = jnp.asarray(y), jnp.asarray(rng.normal(size=(8, 3)))
    bias = jnp.asarray(np.where(np.tri(8, dtype=bool), -1000 * y @ y.T, -np.inf))
    mass = jnp.asarray([1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 1.0, 0.0])
    direction = jnp.asarray(rng.normal(size=(3, 3)))

    @eqx.filter_jit
    def loss(s):
        field = af.AttentionField(
            af.Sphere(3), 1000 * jnp.eye(3) + s * direction, mask=bias, weights=mass
        )
        sol = af.simulate(
            field,
            y0,
            t1=0.02,
            solver=diffrax.Tsit5(),
            controller=diffrax.ConstantStepSize(),
            dt0=0.005,
            max_steps=8,
            adjoint=diffrax.ForwardMode(),
        )
        return jnp.sum(c * sol.y1)

    got = jax.jit(jax.jacfwd(loss))(jnp.asarray(0.0))
    h = 1e-4
    f = {k: float(loss(jnp.asarray(k * h))) for k in (-2, -1, 1, 2)}
    quotient = (8 * (f[1] - f[-1]) - (f[2] - f[-2])) / (12 * h)
    assert abs(quotient) > 1e-4
    assert float(got) == pytest.approx(quotient, rel=1e-6)


# === 6. Outside a hemisphere there need not be consensus


def test_trap_6_six_tokens_end_at_five_values_of_misalignment():
    """S^2, P = -8I, full, U = I: E in {0, 0.617985, 0.851404, 1.090144, 1.126523}, by start."""
    sphere = af.Sphere(3)
    field = af.AttentionField(sphere, -8 * jnp.eye(3))
    starts = jax.vmap(lambda k: sphere.random(k, (6,)))(jax.random.split(jax.random.key(6), 64))

    def end(y0):
        sol = af.simulate(field, y0, t1=400.0, rtol=1e-9, atol=1e-12)
        return af.misalignment(sol.y1), af.hemisphere_margin(y0)[0] > 0

    E, within = jax.jit(jax.vmap(end))(starts)
    values = np.array([0.0, 0.617985, 0.851404, 1.090144, 1.126523])
    nearest = np.abs(np.asarray(E)[:, None] - values[None])
    assert nearest.min(axis=1).max() < 1e-6
    assert set(nearest.argmin(axis=1)) == {0, 1, 2, 3, 4}
    assert np.asarray(E)[np.asarray(within)].max() < 1e-12  # Theorem 3.2: those in one agree
