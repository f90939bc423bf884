"""`simulate` against SciPy's DOP853 at 1e-12 on random fields."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest

import attnflow as af
from tests.systems import Oracle, dop853, generator, random_rows, random_spd

TOKENS, DIM = 8, 3
TS = np.array([0.0, 1.3, 4.1, 7.7, 10.0])


def random_case(rng, heads, causal):
    """|P_h|_F <= 2 sqrt(d), U_h of spectral norm 1, W random, eigenvalues in [0.4, 2.5]."""
    W = random_spd(rng, DIM)
    P = rng.normal(size=(heads, DIM, DIM))
    size = 2 * np.sqrt(DIM) * rng.uniform(size=(heads, 1, 1))
    P *= size / np.linalg.norm(P, axis=(1, 2), keepdims=True)
    U = rng.normal(size=(heads, DIM, DIM))
    U /= np.linalg.norm(U, ord=2, axis=(1, 2), keepdims=True)
    allowed = np.tri(TOKENS, dtype=bool) if causal else None
    return Oracle(W=W, P=P, U=U, allowed=allowed), random_rows(rng, TOKENS, W)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("heads", [1, *(pytest.param(h, marks=pytest.mark.slow) for h in (2, 3))])
def test_random_fields_agree_with_dop853(heads, causal):
    """Five fields each, thirty in all: below 1e-8 to T = 10 at rtol 1e-10, atol 1e-12."""
    rng = generator("dop853", heads, causal)
    for _ in range(5):
        oracle, y0 = random_case(rng, heads, causal)
        expected = dop853(oracle.velocity, y0, TS)
        field = af.AttentionField(
            af.Ellipsoid(jnp.asarray(oracle.W)),
            jnp.asarray(oracle.P),
            U=jnp.asarray(oracle.U),
            mask="causal" if causal else None,
        )
        sol = af.simulate(
            field, jnp.asarray(y0), t1=10.0, ts=jnp.asarray(TS), rtol=1e-10, atol=1e-12
        )
        assert np.abs(expected[-1] - y0).max() > 0.1
        assert np.abs(np.asarray(sol.ys) - expected).max() < 1e-8
        assert np.abs(np.asarray(sol.y1) - expected[-1]).max() < 1e-8
        residual = np.abs(oracle.norm(np.asarray(sol.ys)) - 1).max()
        assert residual < 1e-14


def test_a_field_with_everything_agrees_with_dop853():
    """P(t) modulated, U(t) Fourier, a bias for each head, masses, frozen tokens, a drift."""
    rng = generator("everything")
    W = random_spd(rng, DIM)
    matrix, amplitude, phase = rng.normal(size=(2, DIM, DIM)), *rng.normal(size=(2, 2, DIM))
    omega = rng.uniform(1, 6, size=(2, DIM))
    C, A, B = rng.normal(size=(3, 2, DIM, DIM))
    bias = rng.normal(size=(2, TOKENS, TOKENS))
    bias[0, 2, 5] = -np.inf
    mass = rng.uniform(0.2, 2, TOKENS)
    frozen = np.arange(TOKENS) == 3
    push = rng.normal(size=(TOKENS, DIM))

    oracle = Oracle(
        W=W,
        P=lambda t: (amplitude * np.sin(omega * t + phase))[:, :, None] * matrix,
        U=lambda t: C + A * np.cos(1.7 * t) + B * np.sin(1.7 * t),
        bias=bias,
        weights=mass,
        frozen=frozen,
        drift=lambda t, y: 0.3 * np.sin(t) * push,
    )
    field = af.AttentionField(
        af.Ellipsoid(jnp.asarray(W)),
        af.Modulated(
            af.Sinusoid(jnp.asarray(amplitude), jnp.asarray(omega), jnp.asarray(phase)),
            jnp.asarray(matrix),
        ),
        U=af.Fourier(jnp.asarray(C), jnp.asarray(A[None]), jnp.asarray(B[None]), 1.7),
        mask=jnp.asarray(bias),
        weights=jnp.asarray(mass),
        frozen=jnp.asarray(frozen),
        drift=lambda t, y: 0.3 * jnp.sin(t) * jnp.asarray(push),
    )
    y0 = random_rows(rng, TOKENS, W)
    expected = dop853(oracle.velocity, y0, TS)
    for reduce in (True, False):
        sol = af.simulate(
            field,
            jnp.asarray(y0),
            t1=10.0,
            ts=jnp.asarray(TS),
            rtol=1e-10,
            atol=1e-12,
            reduce=reduce,
        )
        assert np.abs(np.asarray(sol.ys) - expected).max() < 1e-8
        np.testing.assert_allclose(sol.ys[:, 3], np.broadcast_to(y0[3], (5, DIM)), rtol=1e-13)


@pytest.mark.parametrize(
    "normalisation",
    ["pre", *(pytest.param(n, marks=pytest.mark.slow) for n in ("peri", "ngpt", "sqrt", "mix"))],
)
def test_other_normalisations_agree_with_dop853(normalisation):
    rng = generator("normalised", normalisation)
    oracle, y0 = random_case(rng, 2, True)
    # Half a sphere of tokens and values near I: a length that reached zero would have no direction.
    y0 = y0 * np.sign(y0[:, :1])
    oracle = Oracle(
        W=oracle.W,
        P=oracle.P,
        U=np.eye(DIM) + np.asarray(oracle.U) / 2,
        allowed=oracle.allowed,
        normalisation=normalisation,
        switch=2.0,
    )
    field = af.AttentionField(
        af.Ellipsoid(jnp.asarray(oracle.W)),
        jnp.asarray(oracle.P),
        U=jnp.asarray(oracle.U),
        mask="causal",
        normalisation=af.Mix(switch=2.0) if normalisation == "mix" else normalisation,
    )
    breaks = (2.0,) if normalisation == "mix" else ()
    expected = dop853(oracle.velocity, y0, TS, breaks=breaks)
    sol = af.simulate(field, jnp.asarray(y0), t1=10.0, ts=jnp.asarray(TS), rtol=1e-10, atol=1e-12)
    size = np.abs(expected).max(axis=(1, 2), keepdims=True)
    assert np.abs((np.asarray(sol.ys) - expected) / size).max() < 1e-8


def test_layers_with_small_steps_follow_the_flow():
    """Eq. (1) with step tau is first order in tau: halving the step halves the distance."""
    rng = generator("layers")
    oracle, y0 = random_case(rng, 2, True)
    expected = dop853(oracle.velocity, y0, [2.0])[-1]
    field = af.AttentionField(
        af.Ellipsoid(jnp.asarray(oracle.W)),
        jnp.asarray(oracle.P),
        U=jnp.asarray(oracle.U),
        mask="causal",
    )

    def distance(depth):
        layers = af.AttentionLayers(field, step=2.0 / depth)
        sol = af.iterate(layers, jnp.asarray(y0), depth=depth)
        assert sol.ys.shape == (depth + 1, TOKENS, DIM)
        return np.abs(np.asarray(sol.y1) - expected).max()

    assert 1.8 < distance(100) / distance(200) < 2.2


class Push(eqx.Module):
    """A drift that reads `args`."""

    def __call__(self, t, y, args):
        return args * jnp.ones_like(y)


def test_args_reach_the_drift():
    rng = generator("args")
    W = np.eye(DIM)
    y0 = random_rows(rng, TOKENS, W)
    oracle = Oracle(W=W, P=np.eye(DIM), drift=lambda t, y: 0.4 * np.ones_like(y))
    field = af.AttentionField(af.Sphere(DIM), jnp.eye(DIM), drift=Push())
    sol = af.simulate(field, jnp.asarray(y0), t1=3.0, rtol=1e-10, atol=1e-12, args=jnp.asarray(0.4))
    assert np.abs(np.asarray(sol.y1) - dop853(oracle.velocity, y0, [3.0])[-1]).max() < 1e-8
