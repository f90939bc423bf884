"""Proofs that almost every start on the circle synchronises, for a range of beta."""

import os
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from ..core.arguments import shown, whole
from ._ascent import at_corners, stable_equilibrium, three_groups
from ._circle import MOST_ORDERS, MOST_TOKENS, Circle
from ._exact import Number, exact_number, exact_range
from ._file import contents, plain, write
from ._pairs import MOST_BETA
from ._prove import Cover, prove
from ._tree import Boxes, leaves
from ._types import Codes, Floats

_MOST_RATIO = 1_000


@dataclass(frozen=True)
class Undecided:
    """A box without a reason: `gaps` between neighbours but the last, `(tokens - 1, 2)`, and `beta`, `(2,)`."""

    gaps: Floats
    beta: Floats


@dataclass(frozen=True)
class Synchronisation:
    """What [`synchronisation`][attnflow.certify.synchronisation] came to.

    **Attributes:**

    - `proved`: `True`, or `None` where it was not decided. Never `False`: one stable equilibrium that is seen is
      for [`equilibrium`][attnflow.certify.equilibrium] to prove.
    - `why`: in a line.
    - `weights`, `beta`: what it is about, exactly.
    - `boxes`: how many were looked at; `seconds`: how long that took.
    - `covered`: the part of the domain, in volume, that has reasons.
    - `undecided`: the smallest boxes that have none.
    - `stable`: angles of a stable equilibrium other than consensus, where a search in float64 came to one,
      and `stable_at`, its beta.
    - `problem`, `symbols`: the domain and the tree of bisections, see [`leaves`][attnflow.cover.leaves].
    """

    proved: bool | None
    why: str
    weights: tuple[Fraction, ...]
    beta: tuple[Fraction, Fraction]
    boxes: int = 0
    seconds: float = 0.0
    covered: float = 0.0
    undecided: tuple[Undecided, ...] = field(default=(), repr=False)
    stable: Floats | None = None
    stable_at: float | None = None
    problem: Circle | None = field(default=None, repr=False)
    symbols: Codes | None = field(default=None, repr=False)

    @property
    def tokens(self) -> int:
        """How many."""
        return len(self.weights)

    @property
    def without_end(self) -> bool:
        """Whether the lower end of beta, -2/3, is left out: three groups at 120 degrees are degenerate there."""
        if self.problem is None or self.symbols is None or self.beta[0] != Fraction(-2, 3):
            return False
        boxes, symbols = leaves(self.problem, self.symbols)
        return bool(np.any((symbols >= self.problem.layout.groups) & (boxes.at[:, -1] == 0)))

    @property
    def reasons(self) -> dict[str, int]:
        """How many leaves have which kind of reason."""
        if self.problem is None or self.symbols is None:
            return {}
        _, symbols = leaves(self.problem, self.symbols)
        return dict(Counter(reason_of(self.problem, int(s)) for s in symbols))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the certificate, once the independent checker has gone through every leaf.

        **Raises:**

        - `ValueError`: nothing was proved.
        - `ImportError`: python-flint is missing.
        """
        if self.symbols is None:
            raise ValueError(f"there is no certificate to save: not decided, {self.why}.")
        write(contents(self.weights, self.beta, self.symbols), path)

    def __str__(self) -> str:
        lo, hi = self.beta
        answer = "proved" if self.proved else "not decided"
        beyond = " (itself left out)" if self.without_end else ""
        return (
            f"{answer}: synchronisation of {self.tokens} tokens on the circle for beta from {plain(lo)}"
            f"{beyond} to {plain(hi)}\n"
            f"  {self.why}; {self.boxes} boxes in {self.seconds:.3g} s"
        )


def reason_of(problem: Circle, symbol: int) -> str:
    """The kind of a leaf's reason, in words."""
    layout = problem.layout
    if symbol < layout.half or symbol == layout.mirror:
        return "elsewhere"
    if symbol == layout.half:
        return "half circle"
    if symbol < layout.subset:
        return "no equilibrium"
    return "growth" if symbol < layout.groups else "three groups"


def synchronisation(
    tokens: int,
    beta: tuple[Number, Number],
    kernel: str = "softmax",
    weights: Sequence[Number] | None = None,
    *,
    mask: str = "full",
    boxes: int = 20_000_000,
    folder: str | Path | None = None,
    executor: Executor | None = None,
    progress: bool = True,
) -> Synchronisation:
    r"""Prove that almost every start on the circle comes to consensus, for every beta in a range.

    Eq. (6) with $d = 2$, $W = I$, one head, $U = I$, $P = \beta I$, full attention, for $l$ tokens of positive
    weights $m_i$: with angles $\theta_i$, $k(x) = e^{\beta\cos x}\sin x$ and some $Z_i > 0$,

    $$ \dot\theta_i = \frac{1}{Z_i} \sum_j m_j\,k(\theta_j - \theta_i). $$

    **The argument.**

    1. $E = \frac{1}{2}\sum_{ij} m_i m_j \frac{1}{\beta}(e^{\beta\cos(\theta_i - \theta_j)} - 1)$ is analytic, and
       $m_i Z_i\,\dot\theta_i = \partial E/\partial\theta_i$: the gradient flow of $E$ in the metric
       $\mathrm{diag}(m_i Z_i)$, analytic and positive, on a compact torus ($Z_i$ is a constant for the kernel
       `"exp"`). So each trajectory converges to one equilibrium (Łojasiewicz 1963). Both kernels have the same
       equilibria, and there their Jacobians
       $\mathrm{diag}(m_i Z_i)^{-1} D^2E$ have as many positive eigenvalues as $D^2E$ (Sylvester).
    2. Where $v^\top D^2E\,v > 0$ for some $v$, the equilibrium has a positive eigenvalue; what converges to it stays
       in a centre-stable manifold of lower dimension in the end. Countably many of these are enough
       (Lindelöf), and flows carry null sets back to null sets: almost no start comes to such equilibria.
    3. Tokens in an open half circle are at rest at consensus only: the first is pulled ahead by all others.
    4. What is left: in every state with no gap above $\pi$, not all pulls are zero, or some $v$ has
       $v^\top D^2E\,v = -\sum_{i<j} m_i m_j\,k'(\theta_i - \theta_j)(v_i - v_j)^2 > 0$.

    Point 4 is shown by branch and bound over gaps $g_1, \dots, g_{l-1} \in [0, 13/4]$ and beta, in interval
    arithmetic that is rounded outward. By rotation the last gap is a largest one; by relabelling tokens stand
    in the order of angles, once for each order of the weights; by reflection one of two mirror images is
    enough. A box needs no more where

    - it is outside that domain, or the last gap is above $\pi$;
    - $\sum_{i \in A} m_i Z_i \dot\theta_i$ has one sign for an arc $A$ of neighbours (pulls within $A$ cancel);
    - one $v$ grows throughout: a set of tokens against the others, or the fastest at the box's middle;
    - three groups of neighbours are near 120° from one another and $\beta > -2/3$: $k'$ is concave there, and on
      each triple the angles add up to $2\pi$, so that $k'$ adds up to at most
      $3k'(2\pi/3) = -3e^{-\beta/2}(\frac12 + \frac{3\beta}4) < 0$ (Jensen). That settles the neighbourhood of
      the degenerate triangle at $-2/3$, which no bisection can.

    Known before: $\beta \geq -0.16$ (arXiv:2507.22857, which also has that it is false for $\beta < -2/3$:
    three groups of equal weight at 120° are stable).
    On spheres, $d \geq 3$: arXiv:2405.18273 for $\beta \geq 0$.

    **What needs no boxes, and what they cannot have.**

    - *As many tokens as dimensions at most*, three on $S^2$ for example: almost every start is linearly independent,
      and so in an open hemisphere ($v$ with $v^\top y_i = 1$ exists), and Theorem 3.2 has it for every P.
    - *P not symmetric, $U = I$*: there is no energy, and bounded trajectories need not converge. The open hemispheres
      belong to the basin of consensus, for any bounded $P(t)$, with a rate (the verdict `"linear consensus"`).
      Of an equilibrium beyond them [`equilibrium`][attnflow.certify.equilibrium] proves that it is stable, or
      not; where none is stable, cycles are not excluded.
    - *Causal attention*: $U = I$ is Theorem 4.2; other U on the circle are counted, token after token, by
      [`census`][attnflow.certify.census].

    **Arguments:**

    - `tokens`: from 2 to 9.
    - `beta`: the ends of the range, `lo <= hi`, within 16 of zero. Floats count as their shortest decimals;
      `"-2/3"` and fractions are exact. With `lo = -2/3` the statement may leave out that end: the certificate says so.
    - `kernel`: `"softmax"` or `"exp"`: one proof is about both.
    - `weights`: of the tokens, positive; all equal unless given.
    - `mask`: `"full"`; there is no energy for others.
    - `boxes`, `folder`, `executor`, `progress`: as in [`prove`][attnflow.cover.prove]. With a folder, a proof
      that was killed goes on by the same call.

    **Returns:**

    A [`Synchronisation`][attnflow.cover.Synchronisation]. First a search in float64 looks for a stable
    equilibrium other than consensus at three beta; where it comes to one, nothing is tried, and `proved` is `None`.

    **Raises:**

    - `ValueError`: fewer than 2 tokens or more than 9, a range that is none or that holds -2/3 inside where
      three groups of equal weight exist, a kernel or mask without an energy, weights that are not positive, a budget
      below one box.

    ```python
    result = af.certify.synchronisation(4, beta=("-2/3", -0.16))
    result.proved                        # True: the gap between the theorem and the counterexample, for l = 4
    result.save("four-tokens.json")      # attnflow certify --check four-tokens.json
    ```
    """
    # === check arguments
    tokens = whole("tokens", tokens, least=2, most=MOST_TOKENS)
    if kernel not in ("softmax", "exp"):
        raise ValueError(
            "`kernel` must be 'softmax' or 'exp': the proof needs an energy, and no other has one; got "
            f"{kernel!r:.60}."
        )
    if mask != "full":
        raise ValueError(
            "`mask` must be 'full': the proof needs an energy, and other masks have none; got "
            f"{mask!r:.60}."
        )
    ends = _range(beta)
    masses = _weights(weights, int(tokens))
    groups = three_groups(masses)
    if groups is not None and ends[0] < Fraction(-2, 3) <= ends[1]:
        raise ValueError(
            f"`beta` must not begin below -2/3 for these {tokens} tokens: three groups of equal weight at 120 "
            f"degrees are stable there; got {ends[0]} to {ends[1]}."
        )
    if isinstance(boxes, bool) or not hasattr(boxes, "__index__") or boxes < 1:
        raise ValueError(f"`boxes` must be a whole number, one or more; got {boxes!r:.60}.")

    # === run
    began = time.perf_counter()
    floats = np.array([float(w) for w in masses])
    for at in (ends[0], (ends[0] + ends[1]) / 2, ends[1]):
        if groups is not None and at < Fraction(-2, 3):
            seen = at_corners(groups)
        else:
            seen = stable_equilibrium(floats, float(at))
        if seen is not None:
            words = f"a stable equilibrium other than consensus is seen at beta = {float(at):.6g}"
            spent = time.perf_counter() - began
            return Synchronisation(
                None, words, masses, ends, seconds=spent, stable=seen, stable_at=float(at)
            )
    problem = Circle(masses, ends)
    cover = prove(problem, boxes=boxes, folder=folder, executor=executor, progress=progress)
    return _result(problem, cover, time.perf_counter() - began)


def _result(problem: Circle, cover: Cover, seconds: float) -> Synchronisation:
    why = "every box of the domain has a reason"
    if not cover.complete:
        why = f"boxes without a reason are left after {cover.nodes}: give a larger budget `boxes`, or another range"
    return Synchronisation(
        True if cover.complete else None,
        why,
        problem.weights,
        problem.beta,
        cover.nodes,
        seconds,
        cover.covered,
        _undecided(problem, cover.undecided[:20]),
        problem=problem,
        symbols=cover.symbols,
    )


def _undecided(problem: Circle, boxes: Boxes) -> tuple[Undecided, ...]:
    if not len(boxes):
        return ()
    gaps, betas = np.stack(problem.gaps(boxes), axis=2), np.hstack(problem.betas(boxes))
    return tuple(Undecided(g, b) for g, b in zip(gaps, betas, strict=True))


def _range(beta: Any) -> tuple[Fraction, Fraction]:
    return exact_range("beta", beta, MOST_BETA)


def _weights(weights: Sequence[Number] | None, tokens: int) -> tuple[Fraction, ...]:
    if weights is None:
        return (Fraction(1),) * tokens
    if isinstance(weights, str | Mapping) or not isinstance(weights, Iterable):
        raise ValueError(f"`weights` must be {tokens} numbers, one a token; got {shown(weights)}.")
    masses = tuple(exact_number("weights", w) for w in weights)
    if len(masses) != tokens:
        raise ValueError(f"`weights` must be {tokens} numbers, one a token; got {len(masses)}.")
    if not (
        min(masses) > 0 and max(masses) <= _MOST_RATIO and max(masses) <= _MOST_RATIO * min(masses)
    ):
        raise ValueError(
            f"`weights` must be positive, of at most {_MOST_RATIO}, and within that ratio; got "
            f"{float(min(masses)):g} to {float(max(masses)):g}."
        )
    many = np.prod(np.arange(1.0, tokens + 1))
    for times in Counter(masses).values():
        many /= np.prod(np.arange(1.0, times + 1))
    if many > 2 * MOST_ORDERS:
        raise ValueError(
            f"`weights` must have at most {2 * MOST_ORDERS} orders; these have {int(many)}: make more of "
            "them equal."
        )
    return masses
