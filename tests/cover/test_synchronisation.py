"""Synchronisation on the circle: proved where it holds, never beside another stable equilibrium."""

from fractions import Fraction

import numpy as np
import pytest

from attnflow.cover import Circle, leaves, prove, synchronisation
from attnflow.cover._ascent import three_groups


@pytest.fixture(scope="module")
def four():
    return synchronisation(4, beta=("-2/3", -0.16), progress=False)


@pytest.mark.parametrize(
    ("tokens", "lo"), [(2, "-4"), (3, "-2/3"), (3, -0.6666), (4, "-2/3"), (5, "-2/3"), (5, -1.4)]
)
def test_the_gap_is_proved(tokens, lo):
    result = synchronisation(tokens, (lo, -0.16), progress=False)
    assert result.proved is True
    assert result.covered == 1.0


def test_the_known_range_of_beta_is_proved_too():
    assert synchronisation(4, (-0.16, 1.0), "exp", progress=False).proved is True


@pytest.mark.slow
def test_six_and_seven_tokens_are_proved_on_the_whole_gap():
    for tokens in (6, 7):
        assert synchronisation(tokens, ("-2/3", -0.16), progress=False).proved is True


def test_weights_are_proved_in_every_order_around_the_circle():
    result = synchronisation(4, (-0.6, -0.16), weights=[1, 2, 3, 4.5], progress=False)
    assert result.proved is True
    assert result.problem is not None
    assert result.problem.roots == 12


STABLE = [
    (3, -0.9, -0.7),
    (3, -0.667, -0.6667),
    (5, -2.4, -2.0),
    (6, -0.75, -0.7),
    (4, -2.4, -0.16),
]


@pytest.mark.parametrize(("tokens", "lo", "hi"), STABLE)
def test_nothing_is_proved_beside_a_stable_equilibrium(tokens, lo, hi):
    result = synchronisation(tokens, (lo, hi), progress=False)
    assert result.proved is None
    assert result.stable is not None
    assert "stable equilibrium" in result.why
    with pytest.raises(ValueError, match="no certificate to save"):
        result.save("nowhere.json")


@pytest.mark.parametrize(("tokens", "lo", "hi"), STABLE)
def test_nor_by_the_boxes_alone_and_what_is_left_is_there(tokens, lo, hi):
    problem = Circle((Fraction(1),) * tokens, (Fraction(str(lo)), Fraction(str(hi))))
    result = prove(problem, boxes=60_000, progress=False)
    assert not result.complete
    assert result.symbols is None
    assert result.covered < 1
    g_lo, g_hi = problem.gaps(result.undecided[:1])
    assert np.all(g_hi - g_lo < 1)


def test_a_budget_that_is_too_small_leaves_it_undecided_with_its_boxes():
    result = synchronisation(5, (-0.66, -0.16), boxes=50, progress=False)
    assert result.proved is None
    assert "larger budget" in result.why
    assert len(result.undecided) > 0
    assert np.all(result.undecided[0].gaps[:, 0] <= result.undecided[0].gaps[:, 1])


def test_leaves_fill_the_domain_and_have_reasons(four):
    boxes, reasons = leaves(four.problem, four.symbols)
    assert boxes.volume == 1.0
    assert np.all((reasons >= four.problem.axes) & (reasons < four.problem.layout.end))
    assert sum(four.reasons.values()) == len(boxes)


def test_random_states_are_in_a_leaf_whose_reason_holds_there(four):
    """The reasons' own definitions, in floats, at random states of the domain."""
    rng = np.random.default_rng(0)
    boxes, reasons = leaves(four.problem, four.symbols)
    g_lo, g_hi = four.problem.gaps(boxes)
    b_lo, b_hi = four.problem.betas(boxes)
    layout, hits = four.problem.layout, 0
    for _ in range(300):
        gaps = 2 * np.pi * rng.dirichlet(np.ones(4))
        gaps = np.roll(gaps, 3 - gaps.argmax())
        if gaps[-1] > np.pi:
            continue
        gaps[:3] = gaps[:3] if gaps[0] <= gaps[2] else gaps[2::-1]
        beta = rng.uniform(-2 / 3, -0.16)
        inside = np.all((g_lo <= gaps[:3]) & (gaps[:3] <= g_hi), axis=1)
        inside &= (b_lo[:, 0] <= beta) & (beta <= b_hi[:, 0])
        (k,) = np.flatnonzero(inside)
        x = np.concatenate([[0], np.cumsum(gaps[:3])])
        d = x[None, :] - x[:, None]
        e = np.exp(beta * np.cos(d))
        pulls, slopes = (e * np.sin(d)).sum(1), e * (np.cos(d) - beta * np.sin(d) ** 2)
        s = int(reasons[k])
        assert layout.arc <= s
        if s < layout.subset:
            assert np.abs(pulls).max() > 0
        else:
            H = slopes - np.diag(slopes.sum(1))
            assert np.linalg.eigvalsh(H)[-1] > 1e-9
        hits += 1
    assert hits > 50


def test_three_groups_of_equal_weight_are_seen():
    assert three_groups((Fraction(1),) * 4) is None
    assert three_groups((Fraction(1), Fraction(1), Fraction(2), Fraction(2))) is not None


BAD = [
    ({"tokens": 1}, "`tokens` must be an integer, 2 or more and at most 9; got 1"),
    ({"tokens": 10}, "`tokens` must be an integer, 2 or more and at most 9; got 10"),
    ({"beta": (-0.9, -0.16)}, "three groups of equal weight"),
    ({"tokens": 6, "beta": (-0.7, -0.66)}, "three groups of equal weight"),
    ({"tokens": 4, "weights": [1, 1, 2, 2], "beta": (-1, 0)}, "three groups of equal weight"),
    ({"beta": (-0.16, -0.6)}, "lo <= hi"),
    ({"beta": (float("nan"), 0)}, "finite numbers"),
    ({"beta": ("1/0", 0)}, "finite numbers"),
    ({"beta": (-100, 0)}, "within 16 of zero"),
    ({"kernel": "linear"}, "the proof needs an energy"),
    ({"mask": "causal"}, "the proof needs an energy"),
    ({"weights": [1, 2]}, "one a token"),
    ({"weights": [1, 2, -1]}, "must be positive"),
    ({"weights": [1, 2, 1e9]}, "must be positive"),
    ({"tokens": 9, "weights": list(range(1, 10))}, "orders"),
    ({"boxes": 0}, "`boxes` must be a whole number"),
]


@pytest.mark.parametrize(("wrong", "says"), BAD)
def test_bad_input_is_refused_in_one_line(wrong, says):
    given = {"tokens": 3, "beta": (-0.66, -0.16), "progress": False} | wrong
    with pytest.raises(ValueError, match=says) as error:
        synchronisation(**given)
    assert "\n" not in str(error.value)
