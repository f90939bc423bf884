"""The oracle against the closed forms: both sides of every other comparison, before it is made."""

import dataclasses
import itertools
import math

import numpy as np
import pytest
from scipy.optimize import linprog

from tests.systems import (
    Oracle,
    block_pairs_mask,
    carry_p,
    carry_u,
    causal_rates,
    cross_ratios,
    dop853,
    equiangular,
    equiangular_cosine,
    equiangular_layer_cosine,
    fixed_step,
    generator,
    hardmax_map,
    layer,
    linear_equiangular,
    misalignment,
    oja,
    pair_cosine,
    random_rows,
    random_spd,
    unwhiten,
    wendel,
    whiten,
)


def place(kind: str, dim: int, *names):
    return np.eye(dim) if kind == "sphere" else random_spd(generator("place", dim, *names), dim)


@pytest.mark.parametrize("kernel", ["softmax", "exp"])
@pytest.mark.parametrize("causal", [False, True])
def test_the_oracle_in_arrays_is_the_sum_over_heads_and_tokens(kernel, causal):
    rng = generator("loops", kernel, causal)
    for heads in (1, 2, 3):
        field = Oracle(
            W=random_spd(rng, 3),
            P=rng.normal(size=(heads, 3, 3)),
            U=rng.normal(size=(heads, 3, 3)),
            allowed=np.tri(6, dtype=bool) if causal else None,
            kernel=kernel,
        )
        y = rng.normal(size=(6, 3))  # off the ellipsoid as well
        np.testing.assert_allclose(
            field.velocity(0.0, y), field.velocity_by_loops(0.0, y), rtol=1e-13, atol=1e-14
        )


@pytest.mark.parametrize("causal", [False, True])
def test_rows_of_attention_sum_to_one_over_root_d(causal):
    rng = generator("rows")
    field = Oracle(
        W=np.eye(3), P=rng.normal(size=(2, 3, 3)), allowed=np.tri(5, dtype=bool) if causal else None
    )
    a = field.attention(0.0, random_rows(rng, 5, np.eye(3)))
    np.testing.assert_allclose(a.sum(axis=-1), 1 / math.sqrt(3), rtol=1e-14)
    assert not causal or np.all(np.triu(a[0], 1) == 0)


def test_whitening_carries_a_field_of_the_sphere_to_the_ellipsoid():
    rng = generator("whitening")
    W, P, U = random_spd(rng, 3), rng.normal(size=(3, 3)), rng.normal(size=(3, 3))
    x = random_rows(rng, 5, np.eye(3))
    y = unwhiten(x, W)
    np.testing.assert_allclose(whiten(y, W), x, rtol=1e-12)
    np.testing.assert_allclose(np.einsum("ia,ab,ib->i", y, W, y), 1, rtol=1e-12)
    on_sphere = Oracle(W=np.eye(3), P=P, U=U).velocity(0.0, x)
    on_ellipsoid = Oracle(W=W, P=carry_p(P, W), U=carry_u(U, W)).velocity(0.0, y)
    np.testing.assert_allclose(whiten(on_ellipsoid, W), on_sphere, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(carry_p(3.0 * np.eye(3), W), 3.0 * W, rtol=1e-12)
    np.testing.assert_allclose(carry_u(np.eye(3), W), np.eye(3), atol=1e-12)


def test_the_two_reference_integrators_agree():
    rng = generator("integrators")
    field = Oracle(W=random_spd(rng, 3), P=rng.normal(size=(3, 3)))
    y0 = random_rows(rng, 5, field.W)
    tight = dop853(field.velocity, y0, [1.0])[-1]
    np.testing.assert_allclose(fixed_step(field.velocity, y0, 1.0, 200), tight, atol=1e-9)


def test_the_reference_restarts_at_jumps():
    values = {0: 1.0, 1: -3.0, 2: 0.5}

    def velocity(t, y):
        return values[int(t)] * y

    got = dop853(velocity, np.ones(1), [0.5, 1.0, 1.5, 3.0], breaks=(1.0, 2.0))[:, 0]
    np.testing.assert_allclose(got, np.exp([0.5, 1.0, -0.5, -1.5]), rtol=1e-11)


@pytest.mark.parametrize("place_kind", ["sphere", "ellipsoid"])
@pytest.mark.parametrize("kernel", ["softmax", "exp"])
def test_k1_equiangular_cosine(kernel, place_kind):
    W = place(place_kind, 8)
    field = Oracle(W=W, P=carry_p(np.eye(8), W), kernel=kernel, scale=1.0)
    ts = np.array([0.3, 1.0, 2.0])
    ys = dop853(field.velocity, unwhiten(np.eye(8), W), ts)
    for y, expected in zip(ys, equiangular_cosine(ts, 8, 1.0, kernel=kernel), strict=True):
        gram = np.einsum("ia,ab,jb->ij", y, W, y)
        np.testing.assert_allclose(gram[np.triu_indices(8, 1)], expected, atol=1e-10)


def test_k1_printed_values():
    g = equiangular_cosine([1.0, 5.0], 8, 1.0)
    np.testing.assert_allclose(g, [0.362586879849, 0.999443470754], atol=1e-12)


def test_k2_is_k1_at_beta_zero():
    ts = np.array([0.2, 1.0, 3.0, 20.0])
    gap, _ = equiangular(ts, 8, 0.0)
    np.testing.assert_allclose(1 - gap[:3], linear_equiangular(ts[:3], 8), rtol=1e-11)
    np.testing.assert_allclose(gap[3], 8 / (math.exp(40) + 7), rtol=1e-10)


@pytest.mark.parametrize("place_kind", ["sphere", "ellipsoid"])
def test_k3_oja_flow(place_kind):
    rng = generator("oja", place_kind)
    W, U = place(place_kind, 3), rng.normal(size=(2, 3, 3))
    y0 = random_rows(rng, 1, W)
    field = Oracle(W=W, P=rng.normal(size=(3, 3)), U=U)
    z = oja([(2.0, U.sum(axis=0) / math.sqrt(3))], y0[0])
    y = dop853(field.velocity, y0, [2.0])[-1, 0]
    np.testing.assert_allclose(y, z / math.sqrt(z @ W @ z), atol=1e-11)


def test_k4_cross_ratios_are_constant():
    rng = generator("cross")
    W = random_spd(rng, 3)
    A, B = rng.normal(size=(2, 2, 3, 3))
    field = Oracle(W=W, P=np.zeros((3, 3)), U=lambda t: A * np.cos(t) + B * np.sin(2 * t))
    y0 = random_rows(rng, 5, W)
    y1 = dop853(field.velocity, y0, [1.0])[-1]
    before, after = (cross_ratios(y @ W @ y.T) for y in (y0, y1))
    assert np.max(np.abs(y1 - y0)) > 0.1
    np.testing.assert_allclose(after, before, rtol=1e-8)


@pytest.mark.parametrize("causal", [False, True])
def test_k5_two_tokens(causal):
    rng = generator("pairs", causal)
    W = random_spd(rng, 3)
    y0 = random_rows(rng, 8, W)
    field = Oracle(W=W, P=np.zeros((3, 3)), allowed=block_pairs_mask(8, causal=causal), scale=1.0)
    y = dop853(field.velocity, y0, [1.5])[-1]
    g0, g1 = ((z @ W @ z.T)[np.arange(0, 8, 2), np.arange(1, 8, 2)] for z in (y0, y))
    np.testing.assert_allclose(g1, pair_cosine(1.5, g0, causal=causal), atol=1e-11)


@pytest.mark.parametrize("kernel", ["softmax", "exp"])
def test_k7_energy_grows_as_the_dissipation_says(kernel):
    """K7 by its definition: sums over pairs, differentiated along the flow by hand."""
    rng = generator("energy", kernel)
    beta, x = 2.0, random_rows(rng, 6, np.eye(3))
    v = Oracle(W=np.eye(3), P=beta * np.eye(3), kernel=kernel, scale=1.0).velocity(0.0, x)
    weights = np.exp(beta * x @ x.T)
    growth = np.sum(weights * (v @ x.T + x @ v.T)) / (2 * 36)
    Z = weights.mean(axis=1) if kernel == "softmax" else np.ones(6)
    np.testing.assert_allclose(growth, np.mean(Z * np.sum(v**2, axis=1)), rtol=1e-12)


K13 = {
    "post": {},
    "pre": {},
    "peri": {},
    "ngpt": {"alpha": lambda t: 0.5 + t / 4},
    "sqrt": {},
    "mix": {"switch": 1.2},
}


@pytest.mark.parametrize("kind", K13)
@pytest.mark.parametrize("place_kind", ["sphere", "ellipsoid"])
def test_k13_equiangular_under_each_normalisation(kind, place_kind):
    W = place(place_kind, 8)
    field = Oracle(W=W, P=carry_p(1.5 * np.eye(8), W), scale=1.0, normalisation=kind, **K13[kind])
    ts = np.array([0.5, 1.2, 3.0])
    breaks = (1.2,) if kind == "mix" else ()
    ys = dop853(field.velocity, unwhiten(np.eye(8), W), ts, breaks=breaks)
    gaps, radii = equiangular(ts, 8, 1.5, normalisation=kind, **K13[kind])
    for y, gap, radius in zip(ys, gaps, radii, strict=True):
        r = field.norm(y)
        np.testing.assert_allclose(r, radius, rtol=1e-10)
        unit = y / r[:, None]
        cosines = (unit @ W @ unit.T)[np.triu_indices(8, 1)]
        np.testing.assert_allclose(cosines, 1 - gap, atol=1e-10)


def tail(kind, left, right, variable, **options):
    """Slope of ln(1 - g) against `variable(t)`."""
    gap, _ = equiangular([left, right], 8, 1.0, normalisation=kind, **options)
    return np.log(gap[1] / gap[0]) / (variable(right) - variable(left))


def test_k13_tails():
    """Karagodin et al.: e^-2t, t^-2, t^-2, e^-2 int alpha, e^-4 sqrt(t+1)."""
    assert tail("post", 10, 12, lambda t: t) == pytest.approx(-2, abs=1e-6)
    assert tail("pre", 1e6, 1e8, math.log) == pytest.approx(-2, abs=1e-3)
    assert tail("peri", 1e6, 1e8, math.log) == pytest.approx(-2, abs=1e-3)
    assert tail("ngpt", 8, 9, lambda t: t / 2 + t**2 / 8, **K13["ngpt"]) == pytest.approx(
        -2, abs=1e-6
    )
    assert tail("sqrt", 40, 60, lambda t: math.sqrt(t + 1)) == pytest.approx(-4, abs=1e-6)


@pytest.mark.parametrize(
    ("tokens", "dim", "expected"),
    [
        (32, 16, 0.5),
        (32, 20, 0.9251936078),
        (6, 2, 0.1875),
        (2, 2, 1.0),
        (10, 3, 0.08984375),
        (12, 5, 0.2744140625),
    ],
)
def test_k16_wendel_values(tokens, dim, expected):
    assert wendel(tokens, dim) == pytest.approx(expected, abs=5e-11)


def test_k16_wendel_by_linear_programming():
    """1000 draws of 6 points in the plane: the frequency of a hemisphere is .1875."""
    rng = generator("wendel")
    hits = 0
    for points in rng.normal(size=(1000, 6, 2)):
        run = linprog(np.zeros(2), A_ub=-points, b_ub=-np.ones(6), bounds=(None, None))
        hits += run.status == 0
    assert abs(hits / 1000 - 0.1875) < 4 * math.sqrt(0.1875 * 0.8125 / 1000)


@pytest.mark.parametrize("g", [0.5, 1.0, 1.6])
def test_k17_one_layer_without_skip(g):
    """The exact cosine at 64 tokens, and the approach to the limit of 2512.01868."""
    rho = 0.3
    gram = np.full((64, 64), rho) + (1 - rho) * np.eye(64)
    beta = g / (1 - rho) * math.log(64)
    field = Oracle(W=np.eye(64), P=beta * np.eye(64), scale=1.0)
    out = layer(field, 0, np.linalg.cholesky(gram), 1.0, skip=False)
    cosines = (out @ out.T)[np.triu_indices(64, 1)]
    np.testing.assert_allclose(cosines, equiangular_layer_cosine(64, rho, beta), rtol=1e-12)

    limit = 1.0 if g < 1 else (4 * rho / (1 + 3 * rho) if g == 1 else rho)
    errors = [
        abs(equiangular_layer_cosine(n, rho, g / (1 - rho) * math.log(n)) - limit)
        for n in (10**2, 10**4, 10**6, 10**8)
    ]
    assert all(b < 0.2 * a for a, b in itertools.pairwise(errors))
    assert errors[-1] < 1e-3


def test_k18_causal_rates():
    M = causal_rates(8)
    np.testing.assert_allclose(np.sort(np.linalg.eigvals(M).real)[-1], -0.5, rtol=1e-12)
    np.testing.assert_allclose(M @ np.arange(1, 8), -0.5 * np.arange(1, 8), rtol=1e-12)


def test_k19_hardmax_ends_on_leaders():
    z = hardmax_map(generator("hardmax").normal(size=(12, 3)), 1.0, 200)
    scores = z[-1] @ z[-1].T
    leaders = np.flatnonzero(scores.diagonal() >= scores.max(axis=1) - 1e-9)
    distance = np.linalg.norm(z[-1][:, None] - z[-1][leaders][None], axis=-1).min(axis=1)
    assert distance.max() < 1e-9
    assert np.linalg.matrix_rank(z[-1] - z[-1][0], tol=1e-6) > 0  # more than one leader


def triangle(turn: float) -> np.ndarray:
    angles = turn + 2 * np.pi / 3 * np.arange(3) + np.array([0.0, 1e-3, -1.5e-3])
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def test_trap_1_the_shorthand_of_eq_3_leaves_the_circle_and_eq_3_does_not():
    field = Oracle(W=np.eye(2), P=-8 * np.eye(2))

    @dataclasses.dataclass(frozen=True)
    class Shorthand(Oracle):
        def tangent(self, y, v):
            return v - y * np.sum(y * v, axis=1, keepdims=True)

    naive = Shorthand(W=np.eye(2), P=-8 * np.eye(2))
    gone = 0
    for turn in (0.1, 0.7, 1.3):
        try:
            bad = dop853(naive.velocity, triangle(turn), [150.0], rtol=1e-10, atol=1e-12)[-1]
            gone += abs(np.sum(bad**2, axis=1) - 1).max() > 0.1 or misalignment(bad) < 0.9
        except (RuntimeError, FloatingPointError):
            gone += 1
        good = dop853(field.velocity, triangle(turn), [150.0], rtol=1e-10, atol=1e-12)[-1]
        assert abs(np.linalg.norm(good, axis=1) - 1).max() < 1e-11
        assert misalignment(good) == pytest.approx(1.0, abs=1e-8)
    assert gone > 0
