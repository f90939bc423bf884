"""Equiangular times and cosines are those of the one equation for the common cosine, each way."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from attnflow.theory import equiangular_cosine, equiangular_gap, equiangular_time
from tests import systems


def right(g, tokens, beta, kernel):
    """The common cosine's rate of change, as in the paper."""
    both = 2 * np.exp(beta * g) * (1 - g) * ((tokens - 1) * g + 1)
    if kernel == "exp":
        return both / tokens
    return both / (np.exp(beta) + (tokens - 1) * np.exp(beta * g))


def linear_time(cosine, tokens, start=0.0):
    """With `P = 0`: half the way in log((1 + (tokens-1) g)/(1 - g))."""
    ends = [np.log1p((tokens - 1) * g) - np.log1p(-g) for g in (start, cosine)]
    return (ends[1] - ends[0]) / 2


def test_known_cosines_of_eight_tokens_come_at_their_times():
    # The cosines have twelve digits, and near 1 the time is steep in them: 1e-12/(2(1-g)).
    assert equiangular_time(0.362586879849, 1.0, 8) == pytest.approx(1.0, abs=2e-12)
    assert equiangular_time(0.999443470754, 1.0, 8) == pytest.approx(5.0, abs=1e-9)


@pytest.mark.parametrize("kernel", ["softmax", "exp"])
@pytest.mark.parametrize("tokens", [2, 8, 1000])
def test_without_scores_the_time_has_a_closed_form(kernel, tokens):
    cosine = np.array([0.0, 1e-9, 0.1, 0.999, 1 - 1e-12])
    got = equiangular_time(cosine, 0.0, tokens, kernel=kernel)
    np.testing.assert_allclose(got, linear_time(cosine, tokens), rtol=1e-13)
    t = 1.7  # and so the cosine is (e^2t - 1)/(e^2t + tokens - 1)
    g = np.expm1(2 * t) / (np.exp(2 * t) + tokens - 1)
    assert equiangular_time(g, 0.0, tokens, kernel=kernel) == pytest.approx(t, rel=1e-12)


@pytest.mark.parametrize("kernel", ["softmax", "exp"])
@pytest.mark.parametrize("beta", [-10.0, -1.0, 0.5, 4.0, 9.0])
def test_the_time_is_where_an_integration_gets_to_the_cosine(beta, kernel):
    tokens, start = 8, -0.05
    t1 = float(equiangular_time(0.9, beta, tokens, start=start, kernel=kernel))
    run = solve_ivp(
        lambda _, g: right(g, tokens, beta, kernel),
        (0.0, t1),
        [start],
        method="DOP853",
        t_eval=[t1 / 3, t1 / 2, t1],
        rtol=1e-12,
        atol=1e-14,
    )
    back = equiangular_time(run.y[0], beta, tokens, start=start, kernel=kernel)
    np.testing.assert_allclose(back, run.t, rtol=1e-10)
    assert run.y[0, -1] == pytest.approx(0.9, abs=1e-10)


@pytest.mark.parametrize("kernel", ["softmax", "exp"])
@pytest.mark.parametrize("beta", [-10.0, 9.0, 30.0, 60.0])
@pytest.mark.parametrize("start", [0.0, -0.02, 0.5])
def test_times_keep_twelve_digits_up_to_cosines_of_almost_one(kernel, beta, start):
    # Trapezia in s = -log(1 - g), halved and extrapolated (Romberg), in long doubles.
    tokens, cosine = 32, 1 - 1e-12
    low, high = -np.log1p(-np.array([start, cosine], np.longdouble))
    rows = []
    for level in range(11, 18):
        s = np.linspace(low, high, 2**level + 1)
        g = -np.expm1(-s)
        if kernel == "exp":
            slope = tokens * np.exp(-beta * g) / (2 * (1 + 31 * g))
        else:
            slope = (31 + np.exp(beta * np.exp(-s))) / (2 * (1 + 31 * g))
        rows.append([np.trapezoid(slope, s)])
        for k in range(1, len(rows)):
            rows[-1].append(rows[-1][-1] + (rows[-1][-1] - rows[-2][k - 1]) / (4**k - 1))
    got = equiangular_time(cosine, beta, tokens, start=start, kernel=kernel)
    assert float(got) == pytest.approx(float(rows[-1][-1]), rel=1e-12)


def test_times_add_up_from_a_start_on_the_way():
    first = equiangular_time(0.4, 5.0, 16)
    second = equiangular_time(0.99, 5.0, 16, start=0.4)
    assert first + second == pytest.approx(equiangular_time(0.99, 5.0, 16), rel=1e-13)
    assert equiangular_time(0.4, 5.0, 16, start=0.4) == 0


def test_cosines_and_betas_broadcast():
    cosines, betas = np.array([0.1, 0.5, 0.9])[:, None], [0.0, 1.0, 20.0, -3.0]
    together = equiangular_time(cosines, betas, 8)
    assert together.shape == (3, 4)
    assert together.dtype == np.float64
    alone = [[equiangular_time(c, b, 8) for b in betas] for c in cosines[:, 0]]
    np.testing.assert_allclose(together, alone, rtol=1e-13)
    assert isinstance(equiangular_time(0.5, 1, 8), float)
    assert equiangular_time(0.5, [], 8).shape == (0,)


@pytest.mark.parametrize(
    ("arguments", "options", "name"),
    [
        ((0.5, 1.0, 1), {}, "tokens"),
        ((1.0, 1.0, 8), {}, "cosine"),
        (([0.5, -0.1], 1.0, 8), {}, "cosine"),
        ((np.nan, 1.0, 8), {}, "cosine"),
        ((0.3, 1.0, 8), {"start": 0.4}, "cosine"),
        ((0.3, 1.0, 8), {"start": -1 / 7}, "start"),
        ((0.3, 1.0, 8), {"start": np.nan}, "start"),
        ((0.3, np.inf, 8), {}, "beta"),
        ((0.3, [1.0, 701.0], 8), {}, "beta"),
        ((0.3, 1.0, 8), {"kernel": "relu"}, "kernel"),
    ],
)
def test_arguments_without_a_time_are_refused(arguments, options, name):
    with pytest.raises(ValueError, match=f"`{name}` must"):
        equiangular_time(*arguments, **options)


def test_half_a_token_is_refused(as_user):
    with pytest.raises(ValueError, match=r"`tokens` must be an integer from 2 on; got 2\.5"):
        equiangular_time(0.5, 1.0, 2.5)  # pyright: ignore[reportArgumentType]


def test_no_way_takes_no_time_where_times_overflow():
    np.testing.assert_array_equal(equiangular_time([-0.1, 0.5], 700.0, 8, start=-0.1), [0, np.inf])


def test_known_cosines_of_eight_tokens_at_their_times():
    got = equiangular_cosine([1.0, 5.0], 1.0, 8)
    np.testing.assert_allclose(got, [0.362586879849, 0.999443470754], rtol=0, atol=1e-12)
    np.testing.assert_allclose(equiangular_gap([1.0, 5.0], 1.0, 8), 1 - got, rtol=1e-12)


@pytest.mark.parametrize("kernel", ["softmax", "exp"])
@pytest.mark.parametrize("tokens", [2, 8, 1000])
def test_without_scores_cosine_and_gap_have_closed_forms(kernel, tokens):
    t = np.array([0.0, 1e-9, 0.1, 1.0, 3.0, 30.0, 170.0, 340.0])
    cosine = equiangular_cosine(t, 0.0, tokens, kernel=kernel)
    np.testing.assert_allclose(cosine, systems.linear_equiangular(t, tokens), rtol=2e-13)
    # (1 - γ) = ℓ/(e^{2t} + ℓ - 1), 3e-296 and the like at the last
    gap = equiangular_gap(t, 0.0, tokens, kernel=kernel)
    np.testing.assert_allclose(gap, tokens / (np.exp(2 * t) + tokens - 1), rtol=1e-12)
    assert 0 < np.min(gap) < 1e-292
    assert equiangular_gap(1e6, 0.0, tokens, kernel=kernel) == 0
    assert equiangular_cosine(1e6, 0.0, tokens, kernel=kernel) == 1


@pytest.mark.parametrize("kernel", ["softmax", "exp"])
@pytest.mark.parametrize("beta", [-10.0, -1.0, 0.5, 4.0])
def test_the_gap_is_that_of_an_integration(beta, kernel):
    ts = np.array([0.1, 0.5, 2.0, 6.0])
    for start in (0.0, -0.1, 0.6):
        expected, _ = systems.equiangular(ts, 8, beta, kernel=kernel, start=start)
        got = np.asarray(equiangular_gap(ts, beta, 8, start=start, kernel=kernel))
        held = expected > 1e-300
        np.testing.assert_allclose(got[held], expected[held], rtol=2e-10)
        cosine = equiangular_cosine(ts, beta, 8, start=start, kernel=kernel)
        np.testing.assert_allclose(cosine, 1 - expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("kernel", ["softmax", "exp"])
@pytest.mark.parametrize("beta", [-700.0, -20.0, -3.0, 0.0, 1.0, 20.0, 300.0])
@pytest.mark.parametrize("start", [0.0, -0.1, 0.5])
def test_the_time_of_the_cosine_at_a_time_is_that_time(kernel, beta, start):
    reached = start + (1 - start) * np.array([1e-3, 0.1, 0.5, 0.9])
    times = 1.001 * np.asarray(equiangular_time(reached, beta, 8, start=start, kernel=kernel))
    cosines = np.asarray(equiangular_cosine(times, beta, 8, start=start, kernel=kernel))
    short = cosines < 0.999  # beyond, the cosine itself has lost the digits
    assert short[0]
    back = equiangular_time(cosines[short], beta, 8, start=start, kernel=kernel)
    np.testing.assert_allclose(back, times[short], rtol=5e-12 if start == 0.5 else 1e-12)


def test_times_and_betas_broadcast_to_cosines():
    times, betas = np.array([0.0, 0.5, 4.0])[:, None], [0.0, 1.0, 20.0, -3.0]
    together = np.asarray(equiangular_cosine(times, betas, 8, start=0.2))
    assert together.shape == (3, 4)
    alone = [[equiangular_cosine(t, b, 8, start=0.2) for b in betas] for t in times[:, 0]]
    np.testing.assert_allclose(together, alone, rtol=1e-14)
    np.testing.assert_allclose(together[0], 0.2, rtol=1e-14)
    assert isinstance(equiangular_cosine(1, 1, 8), float)
    assert equiangular_gap([], 1.0, 8).shape == (0,)


@pytest.mark.parametrize(
    ("arguments", "options", "name"),
    [
        ((1.0, 1.0, 1), {}, "tokens"),
        ((-1.0, 1.0, 8), {}, "t"),
        (([1.0, np.inf], 1.0, 8), {}, "t"),
        ((1.0, 1.0, 8), {"start": 1.0}, "start"),
        ((1.0, 701.0, 8), {}, "beta"),
        ((1.0, 1.0, 8), {"kernel": "relu"}, "kernel"),
    ],
)
def test_arguments_without_a_cosine_are_refused(arguments, options, name):
    for function in (equiangular_cosine, equiangular_gap):
        with pytest.raises(ValueError, match=f"`{name}` must"):
            function(*arguments, **options)
