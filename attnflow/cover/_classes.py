"""Zeros that are alone in their boxes, each once, up to permutations of tokens and sign changes of the axes."""

import itertools

import numpy as np

from ._interval import Interval
from ._planar import WIDER, Planar
from ._types import Floats

_ROUNDING = 1e-12


def enclosed(problem: Planar, lo: Floats, hi: Floats) -> tuple[Interval, Interval]:
    """For leaves with one zero: the wider box in which it is alone, and the zero, as closely as it gets."""
    alone = problem.widened(lo, hi)
    width = np.full(len(lo), np.inf)
    for k in range(60):  # the first as the leaf was decided: it may reach beyond the leaf
        _, _, K = problem.krawczyk(lo, hi, 0.0 if k else WIDER)
        now = np.max(K.hi - K.lo, axis=1, initial=0)
        better = (now < 0.9 * width)[:, None]
        if not better.any():
            break
        lo, hi = np.where(better, K.lo, lo), np.where(better, K.hi, hi)
        width = np.minimum(width, now)
    return alone, Interval(lo, hi)


def first_of_each(alone: Interval, zeros: Interval) -> list[int] | None:
    """One zero of each class; `None` where two may be of one class or of two.

    An image of a zero that lies in a box in which another is alone is that other one, whatever the parameters are;
    one whose enclosure is apart from the other's is not.
    """
    first: list[int] = []
    for k in range(len(zeros.lo)):
        images = _images(zeros.lo[k], zeros.hi[k])
        same = [_is_one(images, alone, zeros, r) for r in first]
        if any(answer is None for answer in same) and True not in same:
            return None
        if True not in same:
            first.append(k)
    return first


def _images(lo: Floats, hi: Floats) -> tuple[Floats, Floats]:
    """Of a box of angles, under all permutations and sign changes: `(images, tokens)` each."""
    lows, highs = [], []
    orders = [list(o) for o in itertools.permutations(range(len(lo)))]
    for turn in (0.0, np.pi):
        for a, b in ((lo, hi), (-hi, -lo)):
            lows += [turn + a[order] - _ROUNDING for order in orders]
            highs += [turn + b[order] + _ROUNDING for order in orders]
    return np.array(lows), np.array(highs)


def _is_one(images: tuple[Floats, Floats], alone: Interval, zeros: Interval, r: int) -> bool | None:
    lo, hi = images
    turns = 2 * np.pi * np.rint((zeros.mid[r] - 0.5 * (lo + hi)) / (2 * np.pi))
    lo, hi = lo + turns, hi + turns
    inside = np.all((alone.lo[r] < lo) & (hi < alone.hi[r]), axis=1)
    if inside.any():
        return True
    apart = np.any((hi < zeros.lo[r]) | (zeros.hi[r] < lo), axis=1)
    return False if apart.all() else None
