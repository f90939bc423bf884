"""The equiangular times are those at which the one equation for the common cosine gets there."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from attnflow.theory import equiangular_time


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
