"""Wendel's probability: its known values, its symmetry, and numbers of tokens that no float counts."""

import math
from fractions import Fraction

import numpy as np
import pytest
from scipy.stats import binom

from attnflow import paper
from attnflow.theory import wendel
from tests import systems


@pytest.mark.parametrize(
    ("tokens", "dim", "value"),
    [(10, 3, 0.08984375), (12, 5, 0.2744140625), (2, 2, 1.0), (6, 2, 0.1875), (32, 16, 0.5)],
)
def test_known_values_are_exact(tokens, dim, value):
    assert wendel(tokens, dim) == value == systems.wendel(tokens, dim)


def test_the_known_value_of_32_tokens_in_20_dimensions():
    assert wendel(32, 20) == pytest.approx(0.9251936078, abs=5e-11)


def test_as_many_tokens_as_dimensions_always_share_a_hemisphere():
    assert [wendel(tokens, 7) for tokens in (1, 6, 7)] == [1.0, 1.0, 1.0]
    assert wendel(8, 7) == 1 - 2**-7
    assert wendel(5, 1) == 2**-4


@pytest.mark.parametrize(("tokens", "dim"), [(10_000, 4900), (10_001, 5200), (9999, 5000)])
def test_ten_thousand_tokens_keep_their_digits(tokens, dim):
    assert wendel(tokens, dim) == pytest.approx(binom.cdf(dim - 1, tokens - 1, 0.5), rel=1e-10)
    assert wendel(10_000, 5000) == 0.5  # half of the signs, by symmetry


def test_small_probabilities_are_rounded_once():
    exact = sum(Fraction(math.comb(999, k), 2**999) for k in range(9))
    assert 1e-290 < wendel(1000, 9) == float(exact) < 1e-270


def test_the_paper_s_wendel_is_this_one():
    assert paper.wendel is wendel


@pytest.mark.parametrize("bad", [0, -3, 2.5, "3", True])
def test_what_is_no_positive_integer_is_refused(bad, as_user):
    with pytest.raises(ValueError, match="`tokens` must be a positive integer; got"):
        wendel(bad, 3)
    with pytest.raises(ValueError, match="`dim` must be a positive integer; got"):
        wendel(3, bad)


def test_integers_of_numpy_are_integers(as_user):
    assert wendel(np.int64(10), np.int32(3)) == 0.08984375  # pyright: ignore[reportArgumentType]
