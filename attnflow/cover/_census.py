"""Complete counts of equilibria on the circle, for U = P symmetric."""

import math
import os
import time
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from ..core.arguments import numbers, whole
from ._census_file import causal_contents, causal_counts, full_contents
from ._classes import enclosed, first_of_each
from ._file import write
from ._interval import Interval
from ._planar import ONE_ZERO, Planar
from ._prove import prove
from ._tree import leaves
from ._types import Codes, Floats

MOST_TOKENS, MOST_SIZE = 4, 12.0


class Piece(NamedTuple):
    """Ranges of both eigenvalues, and the tree of bisections of all angles that is about every pair in them."""

    p: tuple[Fraction, Fraction]
    q: tuple[Fraction, Fraction]
    symbols: Codes


@dataclass(frozen=True)
class Census:
    """All equilibria, up to permutations of tokens and sign changes of the axes.

    **Attributes:**

    - `equilibria`: how many there are; `None` where it was not decided.
    - `stable`: how many of them are exponentially stable; `None` where it was not decided.
    - `why`: in a line.
    - `angles`: one of each class, in the basis of P's eigenvectors, `(equilibria, tokens)`.
    - `is_stable`: of each.
    - `eigenvalues`: of P, the first eigenvector's angle being zero (of ranges, the middle).
    - `boxes`, `seconds`: how many were looked at, and how long that took.
    - `pieces`: of full attention, ranges of the eigenvalues with their trees; `sign`: that of c in U = cP.
    - `matrices`: of causal attention, P and U as exact decimals.
    """

    equilibria: int | None
    stable: int | None
    why: str
    eigenvalues: tuple[float, float]
    angles: Floats = field(repr=False)
    is_stable: tuple[bool, ...] = ()
    boxes: int = 0
    seconds: float = 0.0
    sign: int = 1
    pieces: tuple[Piece, ...] = field(default=(), repr=False)
    matrices: tuple[list[list[str]], list[list[str]]] | None = None

    @property
    def tokens(self) -> int:
        """How many."""
        return self.angles.shape[1]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the certificate, once the independent checker has gone through all of it.

        `attnflow certify --check` checks it again; so does `python attnflow/checker FILE`.

        **Raises:**

        - `ValueError`: nothing was decided, or it was not shown again in ball arithmetic.
        - `ImportError`: python-flint is missing.
        """
        if self.equilibria is None or self.stable is None:
            raise ValueError(f"there is no certificate to save: not decided, {self.why}.")
        if self.matrices is not None:
            write(causal_contents(*self.matrices, self.tokens), path)
            return
        rows = [(*piece.p, *piece.q, piece.symbols) for piece in self.pieces]
        write(full_contents(rows, self.sign, self.tokens), path)

    def __str__(self) -> str:
        if self.matrices is not None:
            return (
                f"{self.equilibria} equilibria, {self.stable} of them stable, causal attention"
                if self.equilibria is not None
                else f"not decided: {self.why}"
            )
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
    mask: str = "full",
    boxes: int = 20_000_000,
    folder: str | Path | None = None,
    executor: Executor | None = None,
    progress: bool = True,
) -> Census:
    r"""Count all equilibria on the circle, stable and unstable: U a multiple of a symmetric P, or causal attention.

    Eq. (6) with $d = 2$, $W = I$, one head, softmax or exponential kernel.

    **Full attention**, $P = P^\top$, $U = cP$.
    In the basis of P's eigenvectors it is, but for positive factors, $c$ times the gradient of

    $$ E = \frac12 \sum_{ij} e^{y_i^\top P y_j}, $$

    so that an equilibrium is stable where $c\,D^2E$ is negative definite, and unstable where it has a positive
    eigenvalue.

    Branch and bound over all angles, in intervals rounded outward: a box is discarded where a component of the
    gradient has no zero in it, and settled where Krawczyk's operator shows that one zero and no other is in a
    box around it. A box that is left makes the count undecided. Sign changes of the axes bring the first token into
    one quadrant; permutations bring the others into order.

    **Causal attention**, any P and U, one head. Token $k$ moves in the field of those before it,

    $$ \dot\theta_k = \frac{1}{Z_k} f_k(\theta_k), \qquad
       f_k(\theta) = \sum_{j \leq k} e^{y_k^\top P y_j}\,\tau_k^\top U y_j, $$

    one angle at a time: for each way in which the others can be at rest, all zeros of $f_k$ are isolated.
    The Jacobian is triangular, its diagonal made of the slopes $f_k'$ over $Z_k$. *Where all zeros are simple, and
    there are some for each token, every start converges to an equilibrium, and almost every one to one where all
    slopes are negative*: token 1 follows a flow on the circle; token k one that is asymptotically so, with
    the earlier tokens at rest, and a limit set of it is a chain-transitive one of the limit (Mischaikow,
    Smith and Thieme 1995): a zero, since zeros attract and repel by turns. What repels in some
    direction is hyperbolic, and almost nothing converges to it.

    **Arguments:**

    - `P`: 2 by 2, of size at most 12. Full attention: symmetric, eigenvalues that differ. (For
      $P = \beta I$ equilibria come in circles: see [`synchronisation`][attnflow.certify.synchronisation].)
    - `U`: 2 by 2; full attention: a multiple of P, not zero.
    - `tokens`: from 1 to 4.
    - `mask`: `"full"` or `"causal"`. The causal count is that of the checker itself, and needs python-flint.
    - `boxes`, `folder`, `executor`, `progress`: as in [`prove`][attnflow.cover.prove].

    **Returns:**

    A [`Census`][attnflow.cover.Census]: `.equilibria` and `.stable`, whole numbers, consensus included; full attention:
    up to permutations and sign changes of the axes; causal attention: each by itself. `.save(path)` writes a
    certificate.

    **Raises:**

    - `ValueError`: P not symmetric or a multiple of I, U no multiple of P, too many tokens, a budget below one box.

    ```python
    result = af.certify.census(np.diag([3.0, -4.5]), np.diag([2.0, -3.0]), 2)
    result.equilibria, result.stable
    ```
    """
    # === check arguments
    tokens = whole("tokens", tokens, least=1, most=MOST_TOKENS)
    if mask == "causal":
        return _causal(P, U, int(tokens))
    if mask != "full":
        raise ValueError(f"`mask` must be 'full' or 'causal'; got {mask!r:.60}.")
    scores, sign = _matrices(P, U)
    p, q = _eigenvalues(scores)

    # === run
    began = time.perf_counter()
    made = counted(int(tokens), p, q, sign, boxes, folder, executor, progress)
    return replace(made, seconds=time.perf_counter() - began)


def counted(
    tokens: int,
    p: tuple[Fraction, Fraction],
    q: tuple[Fraction, Fraction],
    sign: float,
    boxes: int,
    folder: str | Path | None = None,
    executor: Executor | None = None,
    progress: bool = False,
) -> Census:
    """The count for every pair of eigenvalues in two ranges, where it is one."""
    problem = Planar(tokens, _floats(p), _floats(q))
    cover = prove(problem, boxes=boxes, folder=folder, executor=executor, progress=progress)
    middle = (float(sum(p) / 2), float(sum(q) / 2))
    none = Census(None, None, "", middle, np.zeros((0, tokens)), boxes=cover.nodes)
    if cover.symbols is None:
        why = f"boxes are left after {cover.nodes}, with equilibria that may not be apart from one another"
        return replace(none, why=why)
    at, reasons = leaves(problem, cover.symbols)
    lo, hi = problem.angles(at[reasons == problem.axes + ONE_ZERO])
    alone, zeros = enclosed(problem, lo, hi)
    first = first_of_each(alone, zeros)
    if first is None:
        return replace(
            none, why="two equilibria may be one: they are too near to one another for float64"
        )
    definite = [_definite(problem, zeros, k, sign) for k in first]
    counts: tuple[int | None, int | None] = (len(first), sum(d is True for d in definite))
    why = "every box has a reason"
    if None in definite:
        counts, why = (len(first), None), "an eigenvalue at an equilibrium is too near zero"
    return replace(
        none,
        equilibria=counts[0],
        stable=counts[1],
        why=why,
        angles=zeros.mid[first],
        is_stable=tuple(d is True for d in definite),
        sign=int(sign),
        pieces=(Piece(p, q, cover.symbols),),
    )


def _floats(ends: tuple[Fraction, Fraction]) -> tuple[float, float]:
    """Outward."""
    lo, hi = map(float, ends)
    below, above = Fraction(lo) <= ends[0], Fraction(hi) >= ends[1]
    return lo if below else math.nextafter(lo, -math.inf), hi if above else math.nextafter(
        hi, math.inf
    )


def _causal(P: ArrayLike, U: ArrayLike, tokens: int) -> Census:
    """All equilibria of causal attention, counted by the checker."""
    matrices = []
    for name, M in (("P", P), ("U", U)):
        M = _matrix(name, M)
        if np.abs(M).max() > MOST_SIZE:
            raise ValueError(
                f"`{name}` must have entries of size at most {MOST_SIZE:g}; got {np.abs(M).max():g}."
            )
        matrices.append([[np.format_float_positional(x, trim="-") for x in row] for row in M])
    scores, values = matrices
    began = time.perf_counter()
    counts, why, angles, stable = causal_counts(scores, values, tokens)
    made = Census(*counts, why, (math.nan, math.nan), angles, stable, matrices=(scores, values))
    return replace(made, seconds=time.perf_counter() - began)


def _matrix(name: str, M: ArrayLike) -> Floats:
    M = numbers(name, M)
    if M.shape != (2, 2) or not np.all(np.isfinite(M)):
        raise ValueError(f"`{name}` must be a finite 2 by 2 matrix; got shape {M.shape}.")
    return M


def _matrices(P: ArrayLike, U: ArrayLike) -> tuple[Floats, float]:
    """P, and the sign of c in U = cP."""
    result = []
    for name, M in (("P", P), ("U", U)):
        result.append(_matrix(name, M))
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


def _eigenvalues(P: Floats) -> tuple[tuple[Fraction, Fraction], tuple[Fraction, Fraction]]:
    """Enclosures by short decimals, the larger one first."""
    if P[0, 1] == 0:
        ends = sorted((Fraction(repr(float(x))) for x in (P[0, 0], P[1, 1])), reverse=True)
        if ends[0] == ends[1]:
            raise ValueError(_CIRCLES)
        return (ends[0], ends[0]), (ends[1], ends[1])
    a, b, d = (Interval.of(np.full(1, x)) for x in (P[0, 0], P[0, 1], P[1, 1]))
    half = 0.5 * (a - d)
    root = (half.square() + b.square()).sqrt()
    if root.lo[0] < 1e-9:
        raise ValueError(_CIRCLES)
    middle = 0.5 * (a + d)
    return _outward(middle + root), _outward(middle - root)


_CIRCLES = "`P` must have two eigenvalues: for a multiple of I equilibria come in circles; see certify.synchronisation."


def _outward(x: Interval) -> tuple[Fraction, Fraction]:
    """Ends of twelve decimals that hold it."""
    lo, hi = (Fraction(float(end[0])) * 10**12 for end in (x.lo, x.hi))
    return Fraction(math.floor(lo), 10**12), Fraction(math.ceil(hi), 10**12)


def _definite(problem: Planar, zeros: Interval, k: int, sign: float) -> bool | None:
    """Whether c D^2 E is negative definite at a zero; `False` for a positive eigenvalue, `None` between."""
    J = problem.sums(Interval(zeros.lo[k : k + 1], zeros.hi[k : k + 1])).J
    M = np.array([[sign * float(a.mid[0]) for a in row] for row in J])
    error = np.sqrt(sum(float(a.width[0]) ** 2 for row in J for a in row)) + 1e-12 * np.abs(M).max()
    largest = float(np.linalg.eigvalsh((M + M.T) / 2)[-1])
    if largest < -error:
        return True
    return False if largest > error else None
