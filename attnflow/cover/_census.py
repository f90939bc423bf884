"""Complete counts of equilibria on the circle, for U = P symmetric."""

import itertools
import time
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from ..core.arguments import numbers, whole
from ._interval import Interval
from ._planar import ONE_ZERO, WIDER, Planar
from ._prove import prove
from ._tree import leaves
from ._types import Floats

MOST_TOKENS, MOST_SIZE = 4, 12.0
_CLOSE = 1e-9


@dataclass(frozen=True)
class Census:
    """All equilibria, up to permutations of tokens and sign changes of the axes.

    **Attributes:**

    - `equilibria`: how many there are; `None` where it was not decided.
    - `stable`: how many of them are exponentially stable; `None` where it was not decided.
    - `why`: in a line.
    - `angles`: one of each class, in the basis of P's eigenvectors, `(equilibria, tokens)`.
    - `is_stable`: of each.
    - `eigenvalues`: of P, the first eigenvector's angle being zero.
    - `boxes`, `seconds`: how many were looked at, and how long that took.
    """

    equilibria: int | None
    stable: int | None
    why: str
    eigenvalues: tuple[float, float]
    angles: Floats = field(repr=False)
    is_stable: tuple[bool, ...] = ()
    boxes: int = 0
    seconds: float = 0.0

    def __str__(self) -> str:
        p, q = self.eigenvalues
        if self.equilibria is None:
            return f"not decided for the eigenvalues {p:.6g}, {q:.6g}: {self.why}"
        return (
            f"{self.equilibria} equilibria, {self.stable} of them stable, for the eigenvalues "
            f"{p:.6g}, {q:.6g} ({self.boxes} boxes, {self.seconds:.3g} s)"
        )


def census(
    P: ArrayLike,
    U: ArrayLike,
    tokens: int,
    *,
    boxes: int = 20_000_000,
    folder: str | Path | None = None,
    executor: Executor | None = None,
    progress: bool = True,
) -> Census:
    r"""Count all equilibria on the circle, stable and unstable, for U a multiple of a symmetric P.

    Eq. (6) with $d = 2$, $W = I$, one head, full attention, softmax or exponential kernel, $P = P^\top$, $U = cP$.
    In the basis of P's eigenvectors it is, but for positive factors, $c$ times the gradient of

    $$ E = \frac12 \sum_{ij} e^{y_i^\top P y_j}, $$

    so that an equilibrium is stable where $c\,D^2E$ is negative definite, and unstable where it has a positive
    eigenvalue.

    Branch and bound over all angles, in intervals rounded outward: a box is discarded where a component of the
    gradient has no zero in it, and settled where Krawczyk's operator shows that one zero and no other is in a
    box around it. A box that is left makes the count undecided. Sign changes of the axes bring the first token into
    one quadrant; permutations bring the others into order.

    **Arguments:**

    - `P`: symmetric, 2 by 2, eigenvalues that differ, of size at most 12. (For $P = \beta I$ equilibria come in
      circles: see [`synchronisation`][attnflow.certify.synchronisation].)
    - `U`: a multiple of P, not zero.
    - `tokens`: from 1 to 4.
    - `boxes`, `folder`, `executor`, `progress`: as in [`prove`][attnflow.cover.prove].

    **Returns:**

    A [`Census`][attnflow.cover.Census]: `.equilibria` and `.stable`, whole numbers, consensus included.

    **Raises:**

    - `ValueError`: P not symmetric or a multiple of I, U no multiple of P, too many tokens, a budget below one box.

    ```python
    result = af.certify.census(np.diag([3.0, -4.5]), np.diag([2.0, -3.0]), 2)
    result.equilibria, result.stable
    ```
    """
    # === check arguments
    tokens = whole("tokens", tokens, least=1, most=MOST_TOKENS)
    scores, sign = _matrices(P, U)
    p, q = _eigenvalues(scores)

    # === run
    began = time.perf_counter()
    middle = (float(p.mid[0]), float(q.mid[0]))
    problem = Planar(int(tokens), _ends(p), _ends(q))
    cover = prove(problem, boxes=boxes, folder=folder, executor=executor, progress=progress)
    none = np.zeros((0, int(tokens)))
    if cover.symbols is None:
        why = f"boxes are left after {cover.nodes}, with equilibria that may not be apart from one another"
        spent = time.perf_counter() - began
        return Census(None, None, why, middle, none, boxes=cover.nodes, seconds=spent)
    at, reasons = leaves(problem, cover.symbols)
    lo, hi = problem.angles(at[reasons == problem.axes + ONE_ZERO])
    zeros, apart = _enclosed(problem, lo, hi)
    first = _classes(zeros)
    definite = [_definite(problem, zeros, k, sign) for k in first]
    spent = time.perf_counter() - began
    if not apart:
        why = "two equilibria may be one: they are too near to one another for float64"
        return Census(None, None, why, middle, none, boxes=cover.nodes, seconds=spent)
    counts: tuple[int | None, int | None] = (len(first), sum(d is True for d in definite))
    why = "every box has a reason"
    if None in definite:
        counts, why = (len(first), None), "an eigenvalue at an equilibrium is too near zero"
    return Census(
        *counts,
        why,
        middle,
        zeros.mid[first] if first else none,
        tuple(d is True for d in definite),
        cover.nodes,
        spent,
    )


def _matrices(P: ArrayLike, U: ArrayLike) -> tuple[Floats, float]:
    """P, and the sign of c in U = cP."""
    result = []
    for name, M in (("P", P), ("U", U)):
        M = numbers(name, M)
        if M.shape != (2, 2) or not np.all(np.isfinite(M)):
            raise ValueError(f"`{name}` must be a finite 2 by 2 matrix; got shape {M.shape}.")
        result.append(M)
    A, B = result
    if A[0, 1] != A[1, 0]:
        raise ValueError(
            f"`P` must be symmetric, else there is no energy; P - P' is {abs(A[0, 1] - A[1, 0]):.3g}."
        )
    if np.abs(A).max() > MOST_SIZE:
        raise ValueError(
            f"`P` must have entries of size at most {MOST_SIZE:g}; got {np.abs(A).max():g}."
        )
    c = float(np.sum(A * B) / max(np.sum(A * A), 1e-300))
    if not c or np.abs(B - c * A).max() > 1e-12 * np.abs(B).max():
        raise ValueError(
            "`U` must be a multiple of P, not zero, else there is no energy; it is not."
        )
    return A, np.sign(c)


def _eigenvalues(P: Floats) -> tuple[Interval, Interval]:
    """Enclosures, the larger one first."""
    a, b, d = (Interval.of(np.full(1, x)) for x in (P[0, 0], P[0, 1], P[1, 1]))
    half = 0.5 * (a - d)
    root = (half.square() + b.square()).sqrt()
    if root.lo[0] < 1e-9:
        raise ValueError(
            "`P` must have two eigenvalues: for a multiple of I equilibria come in circles; see "
            "certify.synchronisation."
        )
    middle = 0.5 * (a + d)
    return middle + root, middle - root


def _ends(x: Interval) -> tuple[float, float]:
    return float(x.lo[0]), float(x.hi[0])


def _enclosed(problem: Planar, lo: Floats, hi: Floats) -> tuple[Interval, bool]:
    """The zero in each box, closely: Krawczyk's operator again and again, and each zero once.

    And whether two that are within `_CLOSE` of one another are one: both lie in a box that holds one alone.
    """
    alone, box = problem.widened(lo, hi), Interval(lo, hi)
    zeros: list[tuple[Floats, Floats]] = []
    width = np.full(len(lo), np.inf)
    for k in range(60):  # the first as the leaf was decided: it may reach beyond the leaf
        _, _, K = problem.krawczyk(lo, hi, 0.0 if k else WIDER)
        now = np.max(K.hi - K.lo, axis=1, initial=0)
        better = (now < 0.9 * width)[:, None]
        if not better.any():
            break
        lo, hi = np.where(better, K.lo, lo), np.where(better, K.hi, hi)
        width = np.minimum(width, now)
    # What lies beside its box is the zero of a neighbouring one.
    inside = np.all((lo <= box.hi) & (box.lo <= hi), axis=1)
    lo, hi, alone = lo[inside], hi[inside], Interval(alone.lo[inside], alone.hi[inside])
    room = np.minimum(lo - alone.lo, alone.hi - hi)
    apart = bool(np.all(room > 10 * _CLOSE) and np.all(hi - lo < _CLOSE / 10))
    for a, b in zip(lo, hi, strict=True):
        if not any(np.all(np.abs(a - c) < _CLOSE) for c, _ in zeros):
            zeros.append((a, b))
    n = problem.tokens
    lows, highs = ([z[k] for z in zeros] for k in (0, 1))
    result = Interval(np.array(lows).reshape(-1, n), np.array(highs).reshape(-1, n))
    return result, apart


def _classes(zeros: Interval) -> list[int]:
    """One of each class under permutations and sign changes of the axes."""
    first: list[int] = []
    seen: list[list[Floats]] = []
    for k, x in enumerate(zeros.mid):
        y = np.stack([np.cos(x), np.sin(x)], axis=1)
        if any(np.abs(y - other).max() < _CLOSE for images in seen for other in images):
            continue
        first.append(k)
        seen.append(
            [
                y[list(order)] * np.array(signs)[None, :]
                for order in itertools.permutations(range(len(x)))
                for signs in itertools.product((1, -1), repeat=2)
            ]
        )
    return first


def _definite(problem: Planar, zeros: Interval, k: int, sign: float) -> bool | None:
    """Whether c D^2 E is negative definite at a zero; `False` for a positive eigenvalue, `None` between."""
    J = problem.sums(Interval(zeros.lo[k : k + 1], zeros.hi[k : k + 1])).J
    M = np.array([[sign * float(a.mid[0]) for a in row] for row in J])
    error = np.sqrt(sum(float(a.width[0]) ** 2 for row in J for a in row)) + 1e-12 * np.abs(M).max()
    largest = float(np.linalg.eigvalsh((M + M.T) / 2)[-1])
    if largest < -error:
        return True
    return False if largest > error else None
