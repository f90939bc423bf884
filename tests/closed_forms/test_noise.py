"""Formulas of noise against numbers got another way."""

import math

import numpy as np
import pytest

import attnflow as af

theory = af.theory


def test_the_mean_cosine_of_three_tokens_is_the_integral_over_their_angles():
    s, n = 0.8, 400
    a, b = np.meshgrid(*[2 * np.pi * np.arange(n) / n] * 2)
    total = (1 + np.cos(a) + np.cos(b)) ** 2 + (np.sin(a) + np.sin(b)) ** 2
    w = np.exp(total / (3 * s * s))
    expected = float((w * np.cos(a)).sum() / w.sum())
    assert theory.stationary_cosine(s, 3) == pytest.approx(expected, abs=1e-11)


def test_many_tokens_have_the_order_of_infinitely_many():
    for s, dim in ((0.7, 2), (0.5, 5), (1.2, 2)):
        limit = theory.stationary_order(s, dim) ** 2
        gaps = [theory.stationary_cosine(s, n, dim) - limit for n in (1000, 4000)]
        # The difference is of order one over their number.
        assert gaps[0] / gaps[1] == pytest.approx(4.0, rel=0.03)


@pytest.mark.parametrize("dim", [2, 3, 8])
def test_order_begins_at_the_noise_where_the_linear_term_vanishes(dim):
    critical = math.sqrt(2 / dim)
    assert theory.stationary_order(1.0001 * critical, dim) == 0
    below = theory.stationary_order(0.9999 * critical, dim)
    # r^2 = (1 - s^2/s_c^2) (d + 2)/d to leading order: of I_{d/2}/I_{d/2-1} = k/d (1 - k^2/(d (d + 2)) + ...).
    assert below**2 == pytest.approx(2e-4 * (dim + 2) / dim, rel=1e-2)
    assert theory.stationary_order(critical * 0.9 * 2**0.5, dim, scale=2.0) == pytest.approx(
        theory.stationary_order(critical * 0.9, dim), abs=1e-12
    )


def test_antipodes_attract_where_attention_is_sharp_and_dimensions_are_few():
    for beta, dim in ((0.3, 3), (1.0, 5), (1.0, 6), (2.0, 29), (2.0, 30)):
        stable = theory.antipodal_exponent(beta, dim) < 0
        assert stable == (math.cosh(2 * beta) > dim - 2)
    assert theory.antipodal_exponent(1.0, 6, strength=2.0, scale=0.5) == pytest.approx(
        theory.antipodal_exponent(1.0, 6)
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: theory.brownian_cosine(-1.0, 3), "`t` must be a number, zero or more; got -1.0"),
        (lambda: theory.stationary_order(0.0), "`strength` must be a positive number; got 0.0"),
        (lambda: theory.stationary_order(1.0, 1), "`dim` must be an integer, 2 or more; got 1"),
        (lambda: theory.stationary_cosine(1.0, 1), "`tokens` must be an integer, 2 or more; got 1"),
        (lambda: theory.antipodal_exponent(1.0, 3, calculus="x"), "`calculus` must be one of"),
    ],
)
def test_what_has_no_formula_is_refused(call, message, as_user):
    with pytest.raises(ValueError, match=message):
        call()
