"""Sets of points of a grid, in the order of their indices: given by a rule, or listed."""

import abc
import math
from collections.abc import Sequence

import numpy as np


class AbstractPoints(abc.ABC):
    """Points of a grid, each an index along every axis; the last axis runs fastest."""

    @abc.abstractmethod
    def __len__(self) -> int:
        """How many."""

    @abc.abstractmethod
    def at(self, places: np.ndarray) -> np.ndarray:
        """The indices of the points at these places, shape (places, axes)."""

    @abc.abstractmethod
    def find(self, index: Sequence[int]) -> int | None:
        """The place of a point; `None` where it is not among them."""

    @abc.abstractmethod
    def along(self, axis: int) -> np.ndarray:
        """The indices along one axis that some point has, in order."""


class Box(AbstractPoints):
    r"""All of $C_1 \times \dots \times C_k$, without $O_1 \times \dots \times O_k$ where a hole is given.

    Its size is that of its axes, however many points it has. The number of points is at most $2^{63}$.

    **Arguments:**

    - `values`: $C_a$ for each axis, sorted.
    - `hole`: $O_a \subseteq C_a$, none of them empty; or `None`.
    """

    def __init__(self, values: list[np.ndarray], hole: list[np.ndarray] | None = None):
        self.values, self.hole = values, hole
        self._after = _products([len(v) for v in values])
        self._gaps = _products([len(v) for v in hole or []])
        self._taken, self._starts = [], []
        for k, v in enumerate(values if hole is not None else []):
            taken = np.isin(v, (hole or [])[k])
            # Where the points of each value begin, as long as all values before lie in the hole.
            counts = self._after[k + 1] - self._gaps[k + 1] * taken.astype(np.int64)
            self._taken.append(taken)
            self._starts.append(np.concatenate([[0], np.cumsum(counts)]))

    def __len__(self) -> int:
        return self._after[0] - (self._gaps[0] if self.hole is not None else 0)

    def at(self, places: np.ndarray) -> np.ndarray:
        left = np.array(places, np.int64)
        out = np.empty((len(left), len(self.values)), np.int64)
        within = np.full(len(left), self.hole is not None)
        for k, v in enumerate(self.values):
            digit = left // self._after[k + 1]
            begin = digit * self._after[k + 1]
            if self.hole is not None:
                starts = self._starts[k]
                digit = np.where(within, np.searchsorted(starts, left, side="right") - 1, digit)
                begin = np.where(within, starts[digit], begin)
                within = within & self._taken[k][digit]
            left = left - begin
            out[:, k] = v[digit]
        return out

    def find(self, index: Sequence[int]) -> int | None:
        place = _rank(self.values, self._after, index)
        if place is None:
            return None
        if self.hole is None:
            return place[0]
        gone = _rank(self.hole, self._gaps, index, before=True)
        assert gone is not None
        return None if gone[1] else place[0] - gone[0]

    def along(self, axis: int) -> np.ndarray:
        if self.hole is None:
            return self.values[axis]
        others = self._after[0] // len(self.values[axis])
        if others > self._gaps[0] // len(self.hole[axis]):
            return self.values[axis]
        return np.setdiff1d(self.values[axis], self.hole[axis])


class Listed(AbstractPoints):
    """Points one by one: `indices` of shape (points, axes), in order."""

    def __init__(self, indices: np.ndarray):
        self.indices = indices

    def __len__(self) -> int:
        return len(self.indices)

    def at(self, places: np.ndarray) -> np.ndarray:
        return self.indices[places]

    def find(self, index: Sequence[int]) -> int | None:
        where = np.flatnonzero(np.all(self.indices == np.asarray(index, np.int64), axis=1))
        return int(where[0]) if len(where) else None

    def along(self, axis: int) -> np.ndarray:
        return np.unique(self.indices[:, axis])


def _products(sizes: list[int]) -> list[int]:
    """The product of the sizes from each place on; 1 at the end."""
    return [math.prod(sizes[k:]) for k in range(len(sizes) + 1)]


def _rank(
    values: list[np.ndarray], after: list[int], index: Sequence[int], before: bool = False
) -> tuple[int, bool] | None:
    """How many points of a product come before `index`, and whether it is one of them.

    One that is not is `None`, unless what comes `before` it is asked for all the same.
    """
    rank = 0
    for k, (v, i) in enumerate(zip(values, index, strict=True)):
        place = int(np.searchsorted(v, i))
        rank += place * after[k + 1]
        if place == len(v) or v[place] != i:
            return (rank, False) if before else None
    return rank, True
