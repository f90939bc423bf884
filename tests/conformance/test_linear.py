"""Flows that are linear before projection, P = 0 or one token: K3, K4, K5, K6."""

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

import attnflow as af
from tests.systems import (
    PLACES,
    Place,
    block_pairs_mask,
    cross_ratios,
    generator,
    oja,
    pair_cosine,
    random_rows,
)

TIGHT: dict[str, Any] = {"rtol": 1e-11, "atol": 1e-13}


@pytest.mark.parametrize(
    ("tokens", "kind"),
    [
        pytest.param(1, "ellipsoid", marks=pytest.mark.slow),
        pytest.param(8, "sphere", marks=pytest.mark.slow),
        (8, "ellipsoid"),
    ],
)
def test_k3_the_first_causal_token_is_an_oja_flow(tokens, kind):
    """x = z/|z|_W, z' = sum_h U_h(t) z scale: exact by matrix exponentials through pieces of U."""
    rng = generator("k3", kind)
    place = Place(kind, 3)
    y0 = random_rows(rng, tokens, place.W)
    U = rng.normal(size=(3, 2, 3, 3))
    field = af.AttentionField(
        place.manifold,
        jnp.asarray(rng.normal(size=(2, 3, 3))),
        U=af.Piecewise(jnp.array([0.7, 1.1]), jnp.asarray(U)),
        mask=None if tokens == 1 else "causal",
    )
    scale = 1 / np.sqrt(3)
    pieces = [(dt, scale * u.sum(axis=0)) for dt, u in zip((0.7, 0.4, 0.9), U, strict=True)]
    ts = np.array([0.7, 1.1, 2.0])
    sol = af.simulate(field, jnp.asarray(y0), t1=2.0, ts=jnp.asarray(ts), **TIGHT)
    for k in range(3):
        z = oja(pieces[: k + 1], y0[0])
        np.testing.assert_allclose(sol.ys[k, 0], z / np.sqrt(z @ place.W @ z), atol=1e-9)


def test_k4_cross_ratios_are_constant():
    """Full attention, P = 0, two heads with U_h(t): every cross-ratio of 1 - cos is a constant."""
    for kind in PLACES:
        rng = generator("k4", kind)
        place = Place(kind, 3)
        C = jnp.asarray(rng.normal(size=(2, 3, 3)))
        A, B = jnp.asarray(rng.normal(size=(2, 2, 2, 3, 3)))
        U = af.Fourier(C, A, B, 1.3)
        field = af.AttentionField(place.general, jnp.zeros((2, 3, 3)), U=U)
        y0 = random_rows(rng, 8, place.W)
        ts = jnp.array([0.5, 1.0])
        sol = af.simulate(field, jnp.asarray(y0), t1=1.0, ts=ts, **TIGHT)
        before = cross_ratios(y0 @ place.W @ y0.T)
        for y in np.asarray(sol.ys):
            assert np.abs(y - y0).max() > 0.02
            np.testing.assert_allclose(cross_ratios(y @ place.W @ y.T), before, rtol=1e-6)


def test_k5_two_tokens():
    """P = 0: tanh(t/2 + artanh g0) causal, tanh(t + artanh g0) full; four pairs side by side."""
    for kind in PLACES:
        rng = generator("k5", kind)
        place = Place(kind, 3)
        y0 = random_rows(rng, 8, place.W)
        first, second = np.arange(0, 8, 2), np.arange(1, 8, 2)
        start = (y0 @ place.W @ y0.T)[first, second]
        ts = np.array([0.5, 2.0, 4.0])
        for causal in (True, False):
            mask = jnp.asarray(block_pairs_mask(8, causal=causal))
            field = af.AttentionField(place.general, jnp.zeros((3, 3)), mask=mask, scale=1.0)
            sol = af.simulate(field, jnp.asarray(y0), t1=4.0, ts=jnp.asarray(ts), **TIGHT)
            for t, y in zip(ts, np.asarray(sol.ys), strict=True):
                got = (y @ place.W @ y.T)[first, second]
                np.testing.assert_allclose(got, pair_cosine(t, start, causal=causal), atol=1e-9)
            if causal:
                np.testing.assert_allclose(sol.ys[-1][first], y0[first], atol=1e-12)


def test_k6_consensus_that_turns_for_ever():
    """d = 2, U = I + J: consensus turns at speed 1; from anywhere with P = 0, from a small arc else."""
    for kind in PLACES:
        rng = generator("k6", kind)
        place = Place(kind, 2)
        U = place.U(np.eye(2) + np.array([[0.0, -1.0], [1.0, 0.0]]))
        ts = np.array([30.0, 31.0, 37.5, 40.0])
        half_circle = 1.0 + 0.9 * np.pi * rng.uniform(-0.5, 0.5, 8)
        arc = -2.0 + 0.2 * rng.uniform(-0.5, 0.5, 8)
        for P, angles in ((np.zeros((2, 2)), half_circle), (rng.normal(size=(2, 2)), arc)):
            y0 = place.tokens(np.stack([np.cos(angles), np.sin(angles)], axis=1))
            field = af.AttentionField(place.general, place.P(P), U=U, scale=1.0)
            sol = af.simulate(field, y0, t1=40.0, ts=jnp.asarray(ts), **TIGHT)
            x = place.back(sol.ys)
            assert np.abs(x - x[:, :1]).max() < 1e-10
            turned = np.angle((x[:, 0] @ [1, 1j]) / (x[0, 0] @ [1, 1j]))
            np.testing.assert_allclose(np.exp(1j * turned), np.exp(1j * (ts - ts[0])), atol=1e-9)
