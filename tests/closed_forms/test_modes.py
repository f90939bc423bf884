"""Modes of the uniform ring grow as the Bessel functions say, and as the ring of 64 tokens itself says."""

import numpy as np
import pytest
from scipy.special import ive

from attnflow.theory import first_clusters, mode_growth

K = np.arange(1, 61)
BETAS = np.array([-100.0, -30.0, -1.0, -1e-3, 1e-3, 0.1, 1.0, 5.0, 30.0, 100.0])


def by_integration(k, beta):
    """I_k(β) e^{-β} by the trapezoidal rule in long doubles, which converges geometrically."""
    theta = np.arange(4096, dtype=np.longdouble) * (2 * np.pi / np.longdouble(4096))
    return np.mean(np.exp(beta * (np.cos(theta) - 1)) * np.cos(k * theta))


@pytest.mark.parametrize("kernel", ["exp", "softmax"])
def test_rates_are_those_of_scipy_s_bessel_functions(kernel):
    got = np.asarray(mode_growth(K[:, None], BETAS, kernel=kernel))
    assert got.shape == (60, len(BETAS))
    below = ive(0, BETAS) if kernel == "softmax" else np.exp(-np.abs(BETAS))
    expected = K[:, None] ** 2 * ive(K[:, None], BETAS) / BETAS / below
    held = np.abs(expected) > 1e-290
    np.testing.assert_allclose(got[held], expected[held], rtol=2e-13)


@pytest.mark.parametrize("beta", [30.0, 100.0, 700.0])
def test_rates_have_thirteen_digits_by_an_integral_in_long_doubles(beta):
    for k in (1, 7, 20):
        expected = k**2 * by_integration(k, beta) / beta / by_integration(0, beta)
        got = mode_growth(k, beta, kernel="softmax")
        assert float(got) == pytest.approx(float(expected), rel=1e-13)


def test_without_scores_the_first_mode_alone_grows():
    np.testing.assert_array_equal(mode_growth([1, 2, 3], 0.0), [0.5, 0, 0])
    np.testing.assert_allclose(mode_growth([1, 2], 1e-200), [0.5, 0.5e-200], rtol=1e-15)
    assert isinstance(mode_growth(1, 0.0), float)
    assert mode_growth(1, []).shape == (0,)


def test_no_rate_overflows_up_to_its_limit():
    assert np.isfinite(mode_growth(K, 700.0)).all()
    assert mode_growth(1, 700.0) > 1e299
    # Far out I_k/I_0 tends to exp(-k²/2β).
    np.testing.assert_allclose(
        mode_growth(K, 1e6, kernel="softmax"), K**2 / 1e6 * np.exp(-(K**2) / 2e6), rtol=1e-5
    )


@pytest.mark.parametrize("kernel", ["exp", "softmax"])
@pytest.mark.parametrize("beta", [-6.0, 0.0, 0.5, 4.0, 9.0, 20.0])
def test_a_ring_of_64_tokens_has_these_eigenvalues(beta, kernel):
    # dθ_i/dt = (1/ℓ) Σ_j e^{β cos(θ_j-θ_i)} sin(θ_j-θ_i), divided by the row's mean under softmax:
    # its Jacobian at the ring is the circulant matrix of the slope of that pair force.
    angle = 2 * np.pi * np.arange(64) / 64
    pair = np.exp(beta * np.cos(angle))
    slope = pair * (np.cos(angle) - beta * np.sin(angle) ** 2) / 64
    if kernel == "softmax":
        slope = slope / pair.mean()
    matrix = np.array([np.roll(slope, i) for i in range(64)])
    matrix -= np.diag(matrix.sum(axis=1))
    eigenvalues = np.linalg.eigvalsh((matrix + matrix.T) / 2)
    rates = np.atleast_1d(mode_growth(np.arange(1, 13), beta, kernel=kernel))
    for rate in rates:
        nearest = np.sort(np.abs(eigenvalues - rate))[:2]  # each twice: a cosine and a sine
        np.testing.assert_allclose(nearest, 0, atol=1e-12 * max(1, np.abs(eigenvalues).max()))


def test_the_first_clusters_are_the_fastest_mode():
    betas = np.array([0.0, 0.5, 1.0, 4.0, 9.0, 25.0, 100.0, 1000.0])
    got = first_clusters(betas)
    modes = np.arange(1, 200)
    expected = [np.argmax(modes**2 * ive(modes, b)) + 1 if b else 1 for b in betas]
    np.testing.assert_array_equal(got, expected)
    assert got.dtype == np.int64
    assert first_clusters(1e6) == round(np.sqrt(2e6))
    assert [first_clusters(b) for b in betas] == np.asarray(got).tolist()


def test_negative_scores_let_odd_modes_grow():
    assert (mode_growth([2, 4], -8.0) < 0).all()
    assert (mode_growth([1, 3], -8.0) > 0).all()
    # Three clusters, the triangle that is stable below -2/3, in place of two.
    assert first_clusters(-3.0) == 3
    assert first_clusters([[-0.5], [-8.0]]).shape == (2, 1)


@pytest.mark.parametrize(
    ("arguments", "options", "name"),
    [
        ((0, 1.0), {}, "k"),
        (([1.0, 2.0], 1.0), {}, "k"),
        ((1, 701.0), {}, "beta"),
        ((1, [1.0, np.nan]), {}, "beta"),
        ((1, -2e6), {"kernel": "softmax"}, "beta"),
        ((1, 1.0), {"kernel": "hardmax"}, "kernel"),
    ],
)
def test_arguments_without_a_rate_are_refused(arguments, options, name):
    with pytest.raises(ValueError, match=f"`{name}` must"):
        mode_growth(*arguments, **options)


def test_a_beta_without_clusters_is_refused():
    with pytest.raises(ValueError, match="`beta` must be at most 1e\\+06 in size; got inf"):
        first_clusters(np.inf)
