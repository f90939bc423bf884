"""Trees of bisections: boxes by whole numbers, one unit of work grown level by level, its nodes in order.

A box of d axes is `at` and `depth`, d whole numbers each: on axis a it is [at, at + 1] / 2^depth of the
root's side, exactly. A tree is a row of symbols, each node before its two halves, lower half first:

| symbol | is |
|---|---|
| 0 .. d - 1 | the box is halved along this axis |
| from d, below `UNDECIDED` | a leaf: the reason for which the box needs no more, as the problem numbers them |
| `UNDECIDED` | a leaf that is as small as leaves may be, and has no reason |
| `OPEN` | in one unit's row only: the tree goes on in another unit |

A reason that takes numbers is followed by these, as symbols.
"""

from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ._types import Codes

UNDECIDED = 65_535
"""The symbol of a leaf that is as small as leaves may be, and has no reason."""
OPEN = 65_534
Whole = NDArray[np.int64]


@dataclass(frozen=True)
class Boxes:
    """Boxes in whole numbers.

    - `root`: in which of the problem's roots, `(boxes,)`.
    - `at`, `depth`: `(boxes, axes)`.
    """

    root: Whole
    at: Whole
    depth: Whole

    def __getitem__(self, k: "slice | np.ndarray") -> "Boxes":
        return Boxes(self.root[k], self.at[k], self.depth[k])

    @property
    def parts(self) -> tuple[Whole, Whole, Whole]:
        """All of it."""
        return self.root, self.at, self.depth

    @staticmethod
    def joined(some: "list[Boxes]") -> "Boxes":
        """One after another."""
        return Boxes(*(np.concatenate(p) for p in zip(*(b.parts for b in some), strict=True)))

    def __len__(self) -> int:
        return len(self.root)

    @property
    def volume(self) -> float:
        """The part of all roots that they fill, each root 1."""
        return float(np.sum(2.0 ** -self.depth.sum(axis=1)))


class Decision(NamedTuple):
    """What a problem says of boxes.

    - `symbol`: a reason, an axis to halve along, or `UNDECIDED`, `(boxes,)`.
    - `numbers`: for the boxes whose reason takes numbers, in their order, `(such boxes, count)`.
    """

    symbol: Codes
    numbers: Codes


@runtime_checkable
class AbstractProblem(Protocol):
    """What [`prove`][attnflow.cover.prove] can cover.

    An object that can be pickled, with

    - `axes`: how many a box has; `roots`: how many root boxes there are.
    - `numbers`: how many numbers follow the reason `with_numbers` (zero and -1: none do).
    - `decide(boxes)`: a [`Decision`][], the same for the same boxes, whatever was asked before.
    - `name`: words that tell it from all other problems, for files of work that was begun.
    """

    @property
    def axes(self) -> int:
        """Of a box."""
        ...

    @property
    def roots(self) -> int:
        """How many boxes there are to begin with."""
        ...

    @property
    def numbers(self) -> int:
        """How many follow the reason `with_numbers`."""
        ...

    @property
    def with_numbers(self) -> int:
        """That reason, or -1."""
        ...

    @property
    def name(self) -> str:
        """Of this problem and no other."""
        ...

    def decide(self, boxes: Boxes) -> Decision:
        """A reason, an axis or `UNDECIDED` for each box."""
        ...


@dataclass(frozen=True)
class Grown:
    """A unit of work: the rows of symbols of its boxes, and the boxes where they go on.

    - `symbols`: of all boxes, one after another. `starts`: where each one's begin.
    - `open`: boxes of the symbols `OPEN`, in their order.
    - `nodes`: how many were looked at; `volume`: what of the roots has a reason now.
    - `undecided`: boxes with the symbol of that name.
    """

    symbols: Codes
    starts: Whole
    open: Boxes
    nodes: int
    volume: float
    undecided: Boxes


def root_boxes(problem: AbstractProblem) -> Boxes:
    """The roots themselves."""
    zero = np.zeros((problem.roots, problem.axes), np.int64)
    return Boxes(np.arange(problem.roots), zero, zero)


def halves(boxes: Boxes, axis: Whole) -> Boxes:
    """The two halves of each box along its axis, the lower one first, `(2 boxes,)`."""
    k = np.repeat(np.arange(len(boxes)), 2)
    at, depth = boxes.at[k], boxes.depth[k]
    rows, a = np.arange(len(k)), np.repeat(axis, 2)
    at[rows, a] = 2 * at[rows, a] + (rows & 1)
    depth[rows, a] += 1
    return Boxes(boxes.root[k], at, depth)


def grow(problem: AbstractProblem, boxes: Boxes, most: int) -> Grown:
    """Decide boxes and their halves level by level, until all have a reason or `most` were looked at."""
    levels: list[Decision] = []
    nodes, volume, undecided = 0, 0.0, []
    begun = len(boxes)
    while len(boxes) and (nodes < most or not levels):
        decision = problem.decide(boxes)
        levels.append(decision)
        nodes += len(boxes)
        split = decision.symbol < problem.axes
        lost = decision.symbol == UNDECIDED
        volume += boxes[~split & ~lost].volume
        undecided.append(boxes[lost])
        boxes = halves(boxes[split], decision.symbol[split].astype(np.int64))
    symbols, starts = _in_order(problem, levels, begun)
    return Grown(symbols, starts, boxes, nodes, volume, Boxes.joined(undecided))


def _in_order(problem: AbstractProblem, levels: list[Decision], begun: int) -> tuple[Codes, Whole]:
    """Symbols level by level, as one row in which each node is before its halves."""
    axes, more = problem.axes, problem.numbers
    size = np.ones(2 * int(np.sum(levels[-1].symbol < axes)), np.int64)  # of OPEN
    sizes = [size]
    for level in reversed(levels):
        own = 1 + more * (level.symbol == problem.with_numbers).astype(np.int64)
        own[level.symbol < axes] += size.reshape(-1, 2).sum(axis=1)
        size = own
        sizes.insert(0, size)
    starts = np.concatenate([[0], np.cumsum(sizes[0])])
    row = np.full(starts[-1], OPEN, np.uint16)
    place = starts[:begun]
    for level, below in zip(levels, sizes[1:], strict=True):
        row[place] = level.symbol
        taking = place[level.symbol == problem.with_numbers]
        for k in range(more):
            row[taking + 1 + k] = level.numbers[:, k]
        split = place[level.symbol < axes]
        lower = split + 1
        place = np.stack([lower, lower + below[0::2]], axis=1).reshape(-1)
    return row, starts[:begun]


def leaves(problem: AbstractProblem, symbols: Codes) -> tuple[Boxes, Codes]:
    """The boxes of a whole tree's leaves, in order, and their reasons."""
    at, depth = [0] * problem.axes, [0] * problem.axes
    rows: list[tuple[int, list[int], list[int]]] = []
    reasons: list[int] = []
    root, k = 0, 0
    pending = [(at, depth)]
    row = symbols.tolist()
    while k < len(row):
        if not pending:
            root += 1
            pending.append(([0] * problem.axes, [0] * problem.axes))
        at, depth = pending.pop()
        s = row[k]
        k += 1
        if s < problem.axes:
            deeper = [*depth]
            deeper[s] += 1
            lower, upper = [*at], [*at]
            lower[s], upper[s] = 2 * at[s], 2 * at[s] + 1
            pending += [(upper, deeper), (lower, deeper)]
            continue
        rows.append((root, at, depth))
        reasons.append(s)
        k += problem.numbers if s == problem.with_numbers else 0
    boxes = Boxes(*(np.array(part, np.int64) for part in zip(*rows, strict=True)))
    return boxes, np.array(reasons, np.uint16)
