"""Counts of equilibria that hold for ranges of the eigenvalues."""

import time
from dataclasses import replace
from fractions import Fraction

import numpy as np

from ..core.arguments import shown, whole
from ..records import progress as bar
from ._census import MOST_SIZE, MOST_TOKENS, Census, counted
from ._exact import Number, exact_range


def census_range(
    p: tuple[Number, Number],
    q: tuple[Number, Number],
    tokens: int,
    *,
    sign: int = 1,
    boxes: int = 500_000,
    progress: bool = True,
) -> Census:
    r"""Count the equilibria of full attention on the circle for every U = cP in a rectangle of eigenvalues of P.

    As [`census`][attnflow.certify.census], with the eigenvalues as parameters: the boxes in which one equilibrium
    is alone hold for all of them. Where a rectangle is too wide, it is halved, and the count must be the same in all
    parts. There is none across a bifurcation: then `.equilibria` is `None`.

    **Arguments:**

    - `p`, `q`: ranges `(lo, hi)`, within 12 of zero, apart from one another.
    - `tokens`: from 1 to 4.
    - `sign`: 1 for c > 0, -1 for c < 0.
    - `boxes`: how many are looked at, at most, in all parts together.
    - `progress`: a bar on a terminal.

    **Returns:**

    A [`Census`][attnflow.cover.Census]; its certificate is about every pair of eigenvalues in the ranges.

    **Raises:**

    - `ValueError`: ranges that are none or that overlap (there P may be a multiple of I), a bad sign or budget.

    ```python
    result = af.certify.census_range((2.9, 3.1), (-4.6, -4.4), 2)
    result.equilibria, result.stable
    result.save("saddle.json")
    ```
    """
    # === check arguments
    tokens = int(whole("tokens", tokens, least=1, most=MOST_TOKENS))
    ranges = [exact_range(name, x, MOST_SIZE) for name, x in (("p", p), ("q", q))]
    if ranges[0][0] <= ranges[1][1] and ranges[1][0] <= ranges[0][1]:
        raise ValueError(
            "`p` and `q` must be apart: where they are equal P is a multiple of I, and equilibria come in circles; "
            f"got {shown(p)} and {shown(q)}."
        )
    if isinstance(sign, bool) or sign not in (1, -1):
        raise ValueError(f"`sign` must be 1 or -1, that of c in U = cP; got {shown(sign)}.")
    boxes = int(whole("boxes", boxes, least=1))

    # === run
    began, spent = time.perf_counter(), 0
    waiting, done = [tuple(ranges)], []
    middle = (float(sum(ranges[0]) / 2), float(sum(ranges[1]) / 2))
    none = Census(None, None, "", middle, np.zeros((0, tokens)))
    why = ""
    with bar(total=1.0, description="rectangles decided", unit="", show=progress) as there:
        while waiting and not why:
            p_range, q_range = waiting.pop()
            made = counted(tokens, p_range, q_range, sign, min(_A_PIECE[tokens], boxes))
            spent += made.boxes
            if made.stable is not None:
                done.append(made)
                there.update(_area(p_range, q_range) / max(_area(*ranges), 1e-300))
                if (made.equilibria, made.stable) != (done[0].equilibria, done[0].stable):
                    why = "the count is not the same everywhere"
            elif spent >= boxes or len(waiting) + len(done) >= _PIECES:
                why = f"not decided near p = {float(p_range[0]):.6g}, q = {float(q_range[0]):.6g}: {made.why}"
            else:
                waiting += _halved(p_range, q_range)
    seconds = time.perf_counter() - began
    if why:
        return replace(none, why=why, boxes=spent, seconds=seconds)
    pieces = tuple(piece for made in done for piece in made.pieces)
    return replace(done[0], eigenvalues=middle, boxes=spent, seconds=seconds, pieces=pieces)


_PIECES = 1_024
_A_PIECE = {1: 2_000, 2: 5_000, 3: 40_000, 4: 200_000}  # boxes for one rectangle, by tokens


def _area(p: tuple[Fraction, Fraction], q: tuple[Fraction, Fraction]) -> float:
    return max(float(p[1] - p[0]), 1e-9) * max(float(q[1] - q[0]), 1e-9)


def _halved(p: tuple[Fraction, Fraction], q: tuple[Fraction, Fraction]) -> list:
    """The two halves along the wider side."""
    wide = p if p[1] - p[0] >= q[1] - q[0] else q
    middle = (wide[0] + wide[1]) / 2
    parts = [(wide[0], middle), (middle, wide[1])]
    return [(part, q) if wide is p else (p, part) for part in parts]
