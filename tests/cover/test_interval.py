"""Outward rounding held to Arb: no enclosure is missed."""

import numpy as np
import pytest
from flint import arb, ctx

from attnflow.cover import Interval
from attnflow.cover._elementary import ERROR, exponential, sincos
from attnflow.cover._pairs import ranges, unit

ONE = {
    "exp": (Interval.exp, arb.exp),
    "sin": (Interval.sin, arb.sin),
    "cos": (Interval.cos, arb.cos),
    "square": (Interval.square, lambda x: x * x),
    "sqrt": (lambda x: x.square().sqrt(), abs),
}
TWO = {
    "+": lambda x, y: x + y,
    "-": lambda x, y: x - y,
    "*": lambda x, y: x * y,
    "/": lambda x, y: x / y,
}


@pytest.fixture(autouse=True)
def _bits():
    before, ctx.prec = ctx.prec, 400  # the cosine of a tiny angle is no 1 in a ball
    yield
    ctx.prec = before


def boxes(rng, many):
    """Boxes of all sizes: some are points, some neighbours, some hold multiples of pi / 2."""
    middle = rng.uniform(-8, 8, many)
    k = rng.integers(-5, 6, many)
    middle = np.where(rng.random(many) < 0.3, k * np.pi / 2, middle)
    width = 10.0 ** rng.uniform(-17, 0.7, many) * (rng.random(many) < 0.9)
    return Interval.of(
        middle - width, np.maximum(middle - width, middle + width * rng.random(many))
    )


def missed(rng, many):
    """How many enclosures do not hold a value that Arb has at an end, or at a point inside."""
    x, y = boxes(rng, many), boxes(rng, many)
    bad = 0
    part = rng.random(many)
    for kind, (ours, theirs) in ONE.items():
        if kind == "sqrt":
            x = x.meet(Interval.of(np.full(many, -8.0), np.full(many, 8.0)))
            x = Interval(x.lo, np.maximum(x.lo, x.hi))
        result = ours(x)
        points = (x.lo, x.hi, np.clip(x.lo + part * (x.hi - x.lo), x.lo, x.hi))
        for p in points:
            bad += _outside(result, [theirs(arb(float(a))) for a in p])
    for f in TWO.values():
        result = f(x, y)
        for p, q in ((x.lo, y.hi), (x.hi, y.lo), (x.mid, y.mid)):
            keep = q != 0
            values = [
                f(arb(float(a)), arb(float(b))) for a, b in zip(p[keep], q[keep], strict=True)
            ]
            bad += _outside(Interval(result.lo[keep], result.hi[keep]), values)
    return bad


def _outside(result, values):
    low = [not v >= arb(float(a)) for v, a in zip(values, result.lo, strict=True) if a > -np.inf]
    high = [not v <= arb(float(b)) for v, b in zip(values, result.hi, strict=True) if b < np.inf]
    return sum(low) + sum(high)


def test_no_enclosure_is_missed_on_random_boxes():
    assert missed(np.random.default_rng(0), 4_000) == 0


@pytest.mark.slow
def test_no_enclosure_is_missed_on_a_million_random_boxes():
    assert sum(missed(np.random.default_rng(seed), 10_000) for seed in range(1, 101)) == 0


def test_a_rounding_that_goes_inward_is_seen(monkeypatch):
    from attnflow.cover import _interval

    monkeypatch.setattr(_interval, "down", lambda x: np.nextafter(x, np.inf))
    assert missed(np.random.default_rng(0), 500) > 0


def test_sine_cosine_and_exponential_are_within_their_bound():
    x = np.random.default_rng(0).uniform(-64, 64, 3_000)
    s, c = sincos(x)
    e = exponential(x)
    for a, b, d, f in zip(x, s, c, e, strict=True):
        exact = arb(float(a))
        assert abs(exact.sin() - arb(float(b))) < ERROR
        assert abs(exact.cos() - arb(float(d))) < ERROR
        assert abs(exact.exp() / arb(float(f)) - 1) < ERROR


def test_a_divisor_that_holds_zero_gives_everything():
    result = Interval.of([1.0], [2.0]) / Interval.of([-1.0], [1.0])
    assert (result.lo, result.hi) == (-np.inf, np.inf)


def test_ends_in_the_wrong_order_are_refused():
    with pytest.raises(ValueError, match="`lo` must not be above"):
        Interval.of([1.0, np.nan], [2.0, 3.0])


def test_arguments_of_sine_beyond_its_range_are_refused():
    with pytest.raises(ValueError, match="within 64 of zero"):
        Interval.of([100.0]).sin()


def test_the_pull_and_its_slope_stay_within_their_ranges():
    rng = np.random.default_rng(3)
    many = 3_000
    lo = rng.uniform(0, 6, (many, 1))
    hi = np.minimum(lo + 10.0 ** rng.uniform(-9, 0.5, (many, 1)), 2 * np.pi)
    b0 = rng.uniform(-4, 4, (many, 1))
    b1 = b0 + 10.0 ** rng.uniform(-9, -0.3, (many, 1))
    result, slack = ranges(lo, hi, b0, b1), unit(b0, b1)
    tight = 0
    for k in range(many):
        for _ in range(4):
            x = arb(float(rng.uniform(lo[k, 0], hi[k, 0])))
            b = arb(float(rng.uniform(b0[k, 0], b1[k, 0])))
            e, s, c = (b * x.cos()).exp(), x.sin(), x.cos()
            margin = arb(float(slack[k, 0]))
            pull, slope = e * s, e * (c - b * s * s)
            assert arb(float(result.k_lo[k, 0])) - margin <= pull
            assert pull <= arb(float(result.k_hi[k, 0])) + margin
            assert arb(float(result.slope_lo[k, 0])) - margin <= slope
            assert slope <= arb(float(result.slope_hi[k, 0])) + margin
            reach = result.k_hi[k, 0] - result.k_lo[k, 0]
            tight += bool(pull > arb(float(result.k_hi[k, 0] - 0.3 * reach)))
    assert tight > 0.1 * 4 * many  # bounds that are reached
