"""Branch and bound over any boxes: order, units, a kill on the way, other hands, a budget."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pytest

from attnflow.cover import UNDECIDED, Circle, Decision, _prove, leaves, prove

FOUR = Circle((Fraction(1),) * 4, (Fraction(-2), Fraction(-4, 25)))


@dataclass(frozen=True)
class Disc:
    """Boxes of the unit square: wholly inside a disc (2), wholly outside (3), else halved, to a depth."""

    deepest: int = 6
    axes: int = 2
    roots: int = 1
    numbers: int = 1
    with_numbers: int = 2
    name: str = "disc"

    def decide(self, boxes):
        side = 2.0**-boxes.depth
        lo, hi = boxes.at * side, (boxes.at + 1) * side
        inside = np.sum(hi**2, axis=1) < 0.7
        outside = np.sum(lo**2, axis=1) > 0.7
        symbol = np.where(inside, 2, np.where(outside, 3, boxes.depth.argmin(axis=1)))
        stuck = ~inside & ~outside & (boxes.depth.min(axis=1) >= self.deepest)
        symbol = np.where(stuck, UNDECIDED, symbol).astype(np.uint16)
        return Decision(symbol, np.full((int(inside.sum()), 1), 7, np.uint16))


def test_what_has_a_reason_is_a_disc_and_what_is_left_its_edge():
    result = prove(Disc(), progress=False)
    assert not result.complete
    assert 0.9 < result.covered < 1
    lo, hi = result.undecided.at * 2.0**-6, (result.undecided.at + 1) * 2.0**-6
    assert np.all(np.sum(lo**2, axis=1) <= 0.7)
    assert np.all(np.sum(hi**2, axis=1) >= 0.7)


@pytest.fixture
def small(monkeypatch):
    """Units of a few boxes, so that there are many."""
    monkeypatch.setattr(_prove, "UNIT", 40)
    monkeypatch.setattr(_prove, "_TOGETHER", 8)


def test_the_tree_is_the_same_in_small_units(small):
    symbols = prove(FOUR, progress=False).symbols
    boxes, reasons = leaves(FOUR, symbols)
    assert boxes.volume == 1.0
    whole = _whole()
    assert np.array_equal(symbols, whole)
    assert len(reasons) == len(leaves(FOUR, whole)[1])


def _whole():
    before = _prove.UNIT
    _prove.UNIT = 20_000
    try:
        return prove(FOUR, progress=False).symbols
    finally:
        _prove.UNIT = before


def test_other_hands_make_the_same_tree(small):
    with ThreadPoolExecutor(3) as pool:
        result = prove(FOUR, executor=pool, progress=False)
    assert np.array_equal(result.symbols, prove(FOUR, progress=False).symbols)


def test_a_proof_that_was_killed_goes_on_to_the_same_tree(small, tmp_path, monkeypatch):
    expected = prove(FOUR, progress=False)
    true, calls = _prove.grow, []

    def killed(problem, boxes, most):
        calls.append(len(boxes))
        if len(calls) == 12:
            raise KeyboardInterrupt
        return true(problem, boxes, most)

    monkeypatch.setattr(_prove, "grow", killed)
    with pytest.raises(KeyboardInterrupt):
        prove(FOUR, folder=tmp_path / "begun", progress=False)
    files = sorted((tmp_path / "begun").glob("*.unit"))
    assert len(files) == 11
    files[3].write_bytes(files[3].read_bytes()[:-5])  # damage is seen, and done again
    result = prove(FOUR, folder=tmp_path / "begun", progress=False)
    assert np.array_equal(result.symbols, expected.symbols)
    total = len(sorted((tmp_path / "begun").glob("*.unit")))
    assert len(calls) == 12 + total - 10
    prove(FOUR, folder=tmp_path / "begun", progress=False)
    assert len(calls) == 12 + total - 10  # nothing is left to do


def test_a_folder_of_another_problem_is_refused(tmp_path):
    prove(FOUR, folder=tmp_path, progress=False)
    with pytest.raises(ValueError, match="is of a proof with another"):
        prove(Disc(), folder=tmp_path, progress=False)


def test_few_units_wait_at_a_time(small, monkeypatch):
    """Depth first: what waits does not grow with the tree."""
    seen = []
    real = _prove.grow

    def counted(problem, boxes, most):
        result = real(problem, boxes, most)
        seen.append(len(result.open))
        return result

    monkeypatch.setattr(_prove, "grow", counted)
    prove(FOUR, progress=False)
    assert len(seen) > 30
    assert max(seen) <= 60


@pytest.mark.parametrize("boxes", [0, -1])
def test_a_budget_below_one_box_is_refused(boxes):
    with pytest.raises(ValueError, match="`boxes` must be a whole number"):
        prove(FOUR, boxes=boxes, progress=False)


@pytest.mark.slow
def test_processes_make_the_same_tree_too():
    import attnflow as af

    six = Circle((Fraction(1),) * 6, (Fraction(-66, 100), Fraction(-4, 25)))
    with af.sweep.Pool(2) as pool:
        result = prove(six, executor=pool, progress=False)
    assert np.array_equal(result.symbols, prove(six, progress=False).symbols)
