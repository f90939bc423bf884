"""Derivatives of runs: solvers and adjoints, at the end, at `ts` and through dense output.

Against finite differences on a fixed grid of steps (on an adaptive run these are no oracle: the
steps move with the parameter), and against closed forms on adaptive runs.
"""

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optimistix as optx
import pytest
from scipy.linalg import expm

import attnflow as af
from tests.systems import generator, random_rows, random_spd

TOKENS, DIM, T1, STEPS = 8, 3, 1.0, 10
TS = np.array([0.18, 0.43, 0.77])

SOLVERS = {
    "Heun": diffrax.Heun(),
    "Tsit5": diffrax.Tsit5(),
    "Dopri8": diffrax.Dopri8(),
    "Kvaerno5": diffrax.Kvaerno5(root_finder=optx.Newton(rtol=1e-12, atol=1e-12)),
}
ADJOINTS = {
    "RecursiveCheckpoint": diffrax.RecursiveCheckpointAdjoint(),
    "Direct": diffrax.DirectAdjoint(),
    "Forward": diffrax.ForwardMode(),
    "Backsolve": diffrax.BacksolveAdjoint(solver=diffrax.Dopri8()),
}


def inputs():
    """A point and a direction in (P, U, W, y0) at once, and weights that make a loss of tokens."""
    rng = generator("gradients")
    W = random_spd(rng, DIM)
    point = {
        "P": rng.normal(size=(2, DIM, DIM)),
        "U": rng.normal(size=(2, DIM, DIM)),
        "W": W,
        "y0": random_rows(rng, TOKENS, W),
    }
    direction = {k: rng.normal(size=v.shape) for k, v in point.items()}
    direction["W"] = direction["W"] + direction["W"].T
    weights = rng.normal(size=(3, TOKENS, DIM))
    return jax.tree.map(jnp.asarray, (point, direction, weights))


POINT, DIRECTION, WEIGHTS = inputs()


def losses(s, solver, adjoint, *, dense=True, reduce=False):
    """Three numbers of one run, s along the direction: of its end, its `ts`, its dense output."""
    at = jax.tree.map(lambda p, d: p + s * d / 10, POINT, DIRECTION)
    manifold = af.Ellipsoid(at["W"])
    field = af.AttentionField(manifold, at["P"], U=at["U"], mask="causal")
    sol = af.simulate(
        field,
        manifold.project(at["y0"]),
        t1=T1,
        ts=jnp.asarray(TS),
        solver=solver,
        controller=diffrax.ConstantStepSize(),
        dt0=T1 / STEPS,
        adjoint=adjoint,
        dense=dense,
        max_steps=16,
        reduce=reduce,
    )
    end = jnp.sum(WEIGHTS[0] * sol.y1)
    saved = jnp.sum(WEIGHTS * sol.ys)
    if not dense:
        return jnp.stack([end, saved])
    return jnp.stack([end, saved, jnp.sum(WEIGHTS[1] * sol.evaluate(jnp.asarray(0.61)))])


_quotients: dict[str, np.ndarray] = {}


def difference_quotient(name):
    """Of fourth order in h, from five compiled runs; kept, since every adjoint asks for it."""
    if name not in _quotients:
        run = eqx.filter_jit(lambda s: losses(s, SOLVERS[name], diffrax.DirectAdjoint()))
        h = 2e-3
        f = {k: np.asarray(run(jnp.asarray(k * h))) for k in (-2, -1, 1, 2)}
        _quotients[name] = (8 * (f[1] - f[-1]) - (f[2] - f[-2])) / (12 * h)
    return _quotients[name]


# Each costs a compiled run: Tsit5 has every adjoint, the implicit solver both reverse ones, the other
# explicit ones have the loop of Tsit5.
BANK = [
    pytest.param("Tsit5", "RecursiveCheckpoint", marks=pytest.mark.slow),
    pytest.param("Tsit5", "Direct", marks=pytest.mark.slow),
    ("Tsit5", "Forward"),
    pytest.param("Kvaerno5", "RecursiveCheckpoint", marks=pytest.mark.slow),
    pytest.param("Kvaerno5", "Direct", marks=pytest.mark.slow),
    pytest.param("Dopri8", "Forward", marks=pytest.mark.slow),
    pytest.param("Heun", "Forward", marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("solver", "adjoint"), BANK)
def test_gradient_is_the_difference_quotient(solver, adjoint):
    """In P, U, W and y0 together; the end, `ts` and dense output, one row each."""

    def run(s):
        return losses(s, SOLVERS[solver], ADJOINTS[adjoint])

    derivative = jax.jacfwd if adjoint == "Forward" else jax.jacrev
    got = eqx.filter_jit(derivative(run))(jnp.asarray(0.0))
    expected = difference_quotient(solver)
    assert np.all(np.abs(expected) > 1e-2)
    # An implicit step is solved to 1e-12, which the quotient divides by h.
    np.testing.assert_allclose(got, expected, rtol=1e-7 if solver == "Kvaerno5" else 1e-8)


@pytest.mark.slow
@pytest.mark.parametrize("reduce", [True, False])
def test_backsolve_gradient_is_the_difference_quotient(reduce):
    """Optimise then discretise: right to the accuracy of the steps (Dopri8's), no better."""

    def run(s):
        return losses(s, SOLVERS["Dopri8"], ADJOINTS["Backsolve"], dense=False, reduce=reduce)

    got = eqx.filter_jit(jax.jacrev(run))(jnp.asarray(0.0))
    np.testing.assert_allclose(got, difference_quotient("Dopri8")[:2], rtol=1e-6)


@pytest.mark.parametrize(
    "adjoint", ["RecursiveCheckpoint", pytest.param("Forward", marks=pytest.mark.slow)]
)
def test_gradient_of_an_oja_flow_is_that_of_the_matrix_exponential(adjoint):
    """K3, adaptive: one token, x = z/|z|, z = exp(T U) y0; in U along a direction."""
    rng = generator("oja gradient")
    U, dU, c = rng.normal(size=(DIM, DIM)), rng.normal(size=(DIM, DIM)), rng.normal(size=DIM)
    y0 = random_rows(rng, TOKENS, np.eye(DIM))
    T = 2.0

    def end(s):
        field = af.AttentionField(
            af.Sphere(DIM),
            jnp.eye(DIM),
            U=jnp.asarray(U) + s * jnp.asarray(dU),
            mask="causal",
            scale=1.0,
        )
        sol = af.simulate(
            field,
            jnp.asarray(y0),
            t1=T,
            rtol=1e-10,
            atol=1e-12,
            adjoint=ADJOINTS[adjoint],
            max_steps=4096,
        )
        return jnp.sum(jnp.asarray(c) * sol.y1[0])

    derivative = jax.jacfwd if adjoint == "Forward" else jax.grad
    got = eqx.filter_jit(derivative(end))(jnp.asarray(0.0))
    # exp of [[TU, TdU], [0, TU]] holds exp(TU) and its derivative along dU.
    blocks = expm(T * np.block([[U, dU], [np.zeros((DIM, DIM)), U]]))
    z, dz = blocks[:DIM, :DIM] @ y0[0], blocks[:DIM, DIM:] @ y0[0]
    r = np.linalg.norm(z)
    expected = c @ (dz / r - z * (z @ dz) / r**3)
    assert float(got) == pytest.approx(expected, rel=1e-7)


def two_tokens(g, scale, **options):
    """K5: the cosine at T = 1.5 of two causal tokens that start at the cosine g."""
    y0 = jnp.stack([jnp.array([1.0, 0.0, 0.0]), jnp.stack([g, jnp.sqrt(1 - g**2), 0 * g])])
    field = af.AttentionField(af.Sphere(DIM), jnp.zeros((DIM, DIM)), mask="causal", scale=scale)
    options = options or {"rtol": 1e-11, "atol": 1e-13}
    sol = af.simulate(field, y0, t1=1.5, **options)
    return sol.y1[0] @ sol.y1[1]


def two_tokens_exact(g, scale):
    return jnp.tanh(scale * 1.5 / 2 + jnp.arctanh(g))


POINTS = jnp.array([-0.6, 0.1, 0.8]), jnp.array([0.4, 1.0, 1.3])


@pytest.mark.slow
def test_gradients_of_a_batch_of_runs_in_start_and_scale_are_exact():
    """vmap of grad, the default adjoint."""
    got = jax.jit(jax.vmap(jax.grad(two_tokens, argnums=(0, 1))))(*POINTS)
    expected = jax.vmap(jax.grad(two_tokens_exact, argnums=(0, 1)))(*POINTS)
    np.testing.assert_allclose(got[0], expected[0], rtol=1e-8)
    np.testing.assert_allclose(got[1], expected[1], rtol=1e-8)


@pytest.mark.slow
def test_gradient_of_a_mean_over_a_batch_of_runs_is_exact():
    """grad of vmap: one loop for all lanes, of different lengths."""

    def mean(g, scale):
        return jnp.mean(jax.vmap(two_tokens)(g, scale))

    got = jax.jit(jax.grad(mean, argnums=(0, 1)))(*POINTS)
    expected = jax.vmap(jax.grad(two_tokens_exact, argnums=(0, 1)))(*POINTS)
    np.testing.assert_allclose(got[0], expected[0] / 3, rtol=1e-8)
    np.testing.assert_allclose(got[1], expected[1] / 3, rtol=1e-8)


@pytest.mark.slow
def test_hessian_of_a_run_is_exact():
    """Forward over reverse through DirectAdjoint, on a grid fine enough to be exact."""

    def run(x):
        return two_tokens(
            x[0],
            x[1],
            adjoint=diffrax.DirectAdjoint(),
            controller=diffrax.ConstantStepSize(),
            dt0=0.02,
            max_steps=80,
        )

    x = jnp.array([0.1, 1.0])
    got = jax.jit(jax.jacfwd(jax.grad(run)))(x)
    expected = jax.hessian(lambda x: two_tokens_exact(x[0], x[1]))(x)
    np.testing.assert_allclose(got, expected, rtol=1e-8)


def test_forward_mode_through_the_default_adjoint_names_the_adjoints_that_do_it():
    def run(g):
        return two_tokens(g, jnp.asarray(1.0))

    with pytest.raises(TypeError, match=r"ForwardMode.*DirectAdjoint"):
        jax.jvp(run, (jnp.asarray(0.1),), (jnp.asarray(1.0),))


@pytest.mark.slow
@pytest.mark.parametrize(("tokens", "dim", "name"), [(4, 6, "span"), (8, 3, "whitening")])
def test_derivatives_through_reductions_agree_with_plain_runs(tokens, dim, name):
    """In P, W and y0; two starting tokens coincide, where a basis by QR loses the derivative."""
    rng = generator("reductions", name)
    W = random_spd(rng, dim)
    y0 = random_rows(rng, tokens, W)
    y0[1] = y0[0]
    P, c = rng.normal(size=(dim, dim)), jnp.asarray(rng.normal(size=(tokens, dim)))
    U = None if name == "span" else jnp.asarray(rng.normal(size=(dim, dim)))
    dW = rng.normal(size=(dim, dim))
    dP, dy = rng.normal(size=(dim, dim)), rng.normal(size=(tokens, dim))

    def end(s, reduce):
        at = [jnp.asarray(x) + s * jnp.asarray(dx) for x, dx in ((P, dP), (W, dW + dW.T), (y0, dy))]
        field = af.AttentionField(af.Ellipsoid(at[1]), at[0], U=U)
        sol = af.simulate(
            field,
            field.manifold.project(at[2]),
            t1=2.0,
            rtol=1e-10,
            atol=1e-12,
            adjoint=diffrax.ForwardMode(),
            reduce=reduce,
        )
        return jnp.sum(c * sol.y1), sol

    zero, one = jnp.asarray(0.0), jnp.asarray(1.0)
    reduced, plain = (
        jax.jvp(lambda s, how=how: end(s, how), (zero,), (one,), has_aux=True)
        for how in (True, False)
    )
    assert (reduced[2].reduction, plain[2].reduction) == (name, "none")
    # Tolerances are per token, whatever the coordinates: the steps are the same.
    assert int(reduced[2].stats["num_steps"]) == int(plain[2].stats["num_steps"])
    np.testing.assert_allclose(reduced[2].y1, plain[2].y1, atol=1e-11)
    np.testing.assert_allclose(reduced[0], plain[0], rtol=1e-10)
    np.testing.assert_allclose(reduced[1], plain[1], rtol=1e-8)
