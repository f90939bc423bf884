"""Equiangular starts, where one cosine says everything: K1, K2, K13, K17."""

import math
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest

import attnflow as af
from tests.systems import (
    PLACES,
    Place,
    equiangular,
    equiangular_cosine,
    equiangular_layer_cosine,
    linear_equiangular,
)

TOKENS = 8
TIGHT: dict[str, Any] = {"rtol": 1e-11, "atol": 1e-13}


def gaps(place, y):
    """1 - cosine of every pair, in the inner product of W, as half a squared distance: (n, pairs)."""
    x = place.back(y)
    x = x / np.linalg.norm(x, axis=-1, keepdims=True)
    i, j = np.triu_indices(TOKENS, 1)
    return 0.5 * np.sum((x[..., i, :] - x[..., j, :]) ** 2, axis=-1)


def orthonormal(place):
    return place.tokens(np.eye(TOKENS))


@pytest.mark.parametrize(
    ("kernel", "kind"),
    [
        ("softmax", "ellipsoid"),
        ("exp", "sphere"),
        pytest.param("softmax", "sphere", marks=pytest.mark.slow),
        pytest.param("exp", "ellipsoid", marks=pytest.mark.slow),
    ],
)
def test_k1_orthonormal_start_keeps_one_cosine(kernel, kind):
    """Geshkovski et al. 2312.10794, section on orthonormal starts; SA and USA."""
    place = Place(kind, TOKENS)
    ts = np.array([0.25, 0.5, 1.0, 5.0])
    for beta in (-2.0, 1.0, 3.0):
        field = af.AttentionField(
            place.manifold, place.P(beta * np.eye(TOKENS)), kernel=kernel, scale=1.0
        )
        sol = af.simulate(field, orthonormal(place), t1=5.0, ts=jnp.asarray(ts), **TIGHT)
        expected = equiangular_cosine(ts, TOKENS, beta, kernel=kernel)
        np.testing.assert_allclose(
            1 - gaps(place, sol.ys), expected[:, None] + np.zeros(28), atol=1e-9
        )
        if beta == 1 and kernel == "softmax":
            np.testing.assert_allclose(expected[2:], [0.362586879849, 0.999443470754], atol=1e-11)


@pytest.mark.parametrize("kind", PLACES)
def test_k2_without_attention_logits_the_cosine_is_elementary(kind):
    """g(t) = (e^2t - 1)/(e^2t + l - 1): closed form."""
    place = Place(kind, TOKENS)
    ts = np.array([0.1, 0.4, 1.5, 4.0])
    field = af.AttentionField(
        place.manifold, jnp.zeros((TOKENS, TOKENS)), kernel="softmax", scale=1.0
    )
    sol = af.simulate(field, orthonormal(place), t1=4.0, ts=jnp.asarray(ts), **TIGHT)
    expected = linear_equiangular(ts, TOKENS)[:, None] + np.zeros(28)
    np.testing.assert_allclose(1 - gaps(place, sol.ys), expected, atol=1e-9)


def alpha(t):
    return 1 + math.sin(t) / 2


# kind: the library's argument, the reference's options, and the window and variable of the tail
# with its slope (Karagodin et al. 2510.22026).
NORMALISATIONS = {
    "post": ("post", {}, (6.0, 8.0), lambda t: t, -2.0),
    "pre": ("pre", {}, (1e3, 1e4), math.log, -2.0),
    "peri": ("peri", {}, (1e3, 1e4), math.log, -2.0),
    "ngpt": (None, {"alpha": alpha}, (6.0, 8.0), lambda t: t + (1 - math.cos(t)) / 2, -2.0),
    "sqrt": ("sqrt", {}, (15.0, 20.0), lambda t: math.sqrt(t + 1), -4.0),
    "mix": (None, {"switch": 1.2}, (1e3, 1e4), math.log, -2.0),
}


def normalisation(kind):
    if kind == "ngpt":
        return af.NGPT(af.Constant(jnp.asarray(1.0)) + af.Sinusoid(0.5, 1.0))
    return af.Mix(switch=1.2) if kind == "mix" else NORMALISATIONS[kind][0]


LONG = ("peri", "ngpt", "sqrt", "mix")


@pytest.mark.parametrize(
    "kind", [pytest.param(k, marks=pytest.mark.slow) if k in LONG else k for k in NORMALISATIONS]
)
def test_k13_cosine_radius_and_tail_under_each_normalisation(kind):
    """Karagodin et al. 2510.22026: (1/s) of each normalisation, its radius, its tail; P = I."""
    _, options, (left, right), variable, slope = NORMALISATIONS[kind]
    ts = np.array([0.5, 1.0, 3.0, left, right])
    gap, radius = equiangular(ts, TOKENS, 1.0, normalisation=kind, **options)
    # The corrections to the power laws fall as 1/t, so they are asked for by the reference's slope.
    measured = math.log(gap[-1] / gap[-2]) / (variable(right) - variable(left))
    assert measured == pytest.approx(slope, rel=2e-3 if variable is math.log else 1e-4)

    for where in PLACES:
        place = Place(where, TOKENS)
        field = af.AttentionField(
            place.general, place.P(np.eye(TOKENS)), scale=1.0, normalisation=normalisation(kind)
        )
        sol = af.simulate(field, orthonormal(place), t1=right, ts=jnp.asarray(ts), **TIGHT)
        got = gaps(place, sol.ys)
        np.testing.assert_allclose(1 - got, (1 - gap)[:, None] + np.zeros(28), atol=1e-9)
        np.testing.assert_allclose(got[-2:], gap[-2:, None] + np.zeros(28), rtol=1e-5)
        lengths = np.linalg.norm(place.back(sol.ys), axis=-1)
        np.testing.assert_allclose(lengths, radius[:, None] + np.zeros(TOKENS), rtol=1e-9)
        tail = np.log(got[-1] / got[-2]) / (variable(right) - variable(left))
        np.testing.assert_allclose(tail, measured, rtol=1e-5)


@pytest.mark.parametrize("kind", ["sphere", pytest.param("ellipsoid", marks=pytest.mark.slow)])
def test_k17_long_context_one_layer_without_skip(kind):
    """2512.01868: beta = g ln l; collapse for g < 1/(1-rho), 4 rho/(1+3 rho) at it, rho above."""
    rho = 0.3
    previous = {}
    for tokens in (32, 512):
        place = Place(kind, tokens)
        gram = np.full((tokens, tokens), rho) + (1 - rho) * np.eye(tokens)
        y0 = place.tokens(np.linalg.cholesky(gram))

        @eqx.filter_jit
        def output(P, y0, place=place):
            field = af.AttentionField(place.manifold, P, scale=1.0)
            return af.AttentionLayers(field, skip=False)(jnp.asarray(0), y0)

        for ratio, limit in ((0.5, 1.0), (1.0, 4 * rho / (1 + 3 * rho)), (1.6, rho)):
            beta = ratio / (1 - rho) * math.log(tokens)
            x = place.back(output(place.P(beta * np.eye(tokens)), y0))
            cosines = (x @ x.T)[np.triu_indices(tokens, 1)]
            expected = equiangular_layer_cosine(tokens, rho, beta)
            np.testing.assert_allclose(cosines, expected, atol=1e-10)
            error = np.abs(cosines - limit).max()
            assert error < 0.5 * previous.get(ratio, 1.0)
            previous[ratio] = error
    assert max(previous.values()) < 0.06
