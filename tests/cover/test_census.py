"""Complete counts of equilibria for U = P: what random starts come to is among them, and no more."""

import itertools

import numpy as np
import pytest

from attnflow.cover import Interval, census
from attnflow.cover._planar import Planar

CASES = {
    "one of each sign": (np.diag([3.0, -4.5]), 2, 7, 3),
    "both negative, small": (np.diag([-0.012, -0.12]), 2, 4, 1),
    "both positive": (np.diag([4.5, 3.0]), 2, 6, 2),
    "one token": (np.diag([2.0, 1.0]), 1, 2, 1),
}


def newton(P, starts):
    """Equilibria that Newton's method comes to, in floats, as tokens."""
    result = []
    for x in starts:
        n = len(x)
        for _ in range(60):
            y = np.stack([np.cos(x), np.sin(x)], 1)
            t = np.stack([-np.sin(x), np.cos(x)], 1)
            u, pull, turned = y @ P @ y.T, t @ P @ y.T, t @ P @ t.T
            e = np.exp(u)
            F = (e * pull).sum(1)
            J = e * (pull * pull.T + turned)
            own = e * (pull**2 - u)
            J[range(n), range(n)] += own.sum(1)
            step = np.linalg.lstsq(J, F, rcond=1e-12)[0]
            x = x - step * min(1, 0.5 / max(np.abs(step).max(), 1e-300))
        if np.abs(F).max() < 1e-11 * np.abs(e).max():
            result.append((np.stack([np.cos(x), np.sin(x)], 1), np.linalg.eigvalsh(J)[-1]))
    return result


def classes(result):
    distinct = []
    for y, top in result:
        images = [
            y[list(o)] * np.array(s)
            for o in itertools.permutations(range(len(y)))
            for s in itertools.product((1, -1), repeat=2)
        ]
        if not any(np.abs(image - z).max() < 1e-6 for image in images for z, _ in distinct):
            distinct.append((y, top))
    return distinct


@pytest.mark.parametrize("kind", CASES)
def test_the_count_is_that_of_newton_s_method_from_many_starts(kind):
    P, tokens, equilibria, stable = CASES[kind]
    result = census(P, P, tokens, progress=False)
    assert (result.equilibria, result.stable) == (equilibria, stable)
    starts = np.random.default_rng(0).uniform(0, 2 * np.pi, (150, tokens))
    seen = classes(newton(P, starts))
    assert len(seen) == equilibria
    assert sum(top < 0 for _, top in seen) == stable


@pytest.mark.slow
def test_three_tokens_too():
    P = np.diag([4.5, 3.0])
    result = census(P, P, 3, progress=False)
    assert (result.equilibria, result.stable) == (12, 2)
    starts = np.random.default_rng(0).uniform(0, 2 * np.pi, (4_000, 3))
    assert len(classes(newton(P, starts))) == 12


def test_a_turned_P_has_the_same_count_and_a_negative_multiple_turns_stability_round():
    c, s = np.cos(0.3), np.sin(0.3)
    R = np.array([[c, -s], [s, c]])
    P = R @ np.diag([4.5, 3.0]) @ R.T
    P = (P + P.T) / 2
    assert census(P, 0.5 * P, 2, progress=False).equilibria == 6
    back = census(P, -P, 2, progress=False)
    assert back.equilibria == 6
    assert back.stable is not None
    assert back.stable >= 1


def test_the_field_and_its_derivative_hold_the_exact_ones():
    rng = np.random.default_rng(1)
    problem, P = Planar(3, (3.0, 3.0), (-2.0, -2.0)), np.diag([3.0, -2.0])
    lo = rng.uniform(0, 6, (50, 3))
    hi = lo + 10.0 ** rng.uniform(-6, -0.5, (50, 3))
    F, J = problem.sums(Interval(lo, hi))
    for k in range(50):
        x = rng.uniform(lo[k], hi[k])

        def energy(x):
            y = np.stack([np.cos(x), np.sin(x)], 1)
            return np.exp(y @ P @ y.T).sum() / 2

        h = 1e-4
        for i, e in enumerate(np.eye(3)):
            slope = (energy(x + h * e) - energy(x - h * e)) / (2 * h)
            assert F[i].lo[k] - 1e-4 <= slope <= F[i].hi[k] + 1e-4
            for j, f in enumerate(np.eye(3)):
                bend = energy(x + h * e + h * f) - energy(x + h * e - h * f)
                bend += energy(x - h * e - h * f) - energy(x - h * e + h * f)
                bend /= 4 * h * h
                assert J[i][j].lo[k] - 1e-3 <= bend <= J[i][j].hi[k] + 1e-3


def test_a_budget_that_is_too_small_counts_nothing():
    result = census(np.diag([4.5, 3.0]), np.diag([4.5, 3.0]), 3, boxes=100, progress=False)
    assert (result.equilibria, result.stable) == (None, None)
    assert "boxes are left" in result.why


EYE = np.eye(2)
BAD = [
    ((EYE, EYE, 2), "two eigenvalues"),
    ((np.array([[1.0, 2], [0, 1]]), EYE, 2), "must be symmetric"),
    ((np.diag([1.0, 2]), EYE, 2), "a multiple of P"),
    ((np.diag([1.0, 2]), 0 * EYE, 2), "a multiple of P"),
    ((np.diag([1.0, 2]), np.diag([1.0, 2]), 0), "`tokens`"),
    ((np.diag([1.0, 2]), np.diag([1.0, 2]), 9), "`tokens`"),
    ((np.eye(3), np.eye(3), 2), "2 by 2"),
    ((np.diag([100.0, 2]), np.diag([100.0, 2]), 2), "size at most"),
    ((np.diag([np.nan, 2]), np.diag([1.0, 2]), 2), "finite"),
]


@pytest.mark.parametrize(("given", "says"), BAD)
def test_bad_input_is_refused_in_one_line(given, says):
    with pytest.raises(ValueError, match=says) as error:
        census(*given, progress=False)
    assert "\n" not in str(error.value)
