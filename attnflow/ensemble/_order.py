"""Which trajectories are begun first: those that are likely to be long, as soon as it is known which are.

A long trajectory begun last keeps all lanes waiting for it. How long each takes is learnt from those that
ended, by numbers of their starts and fields. Results are the same bits in any order.
"""

import threading
from typing import Any

import jax
import numpy as np

_MOST = 4096  # trajectories; of more the last ones are a small part
_FEWEST = 16  # that must have ended before others are put in order
_RIDGE = 10.0  # in trajectories: as much as the guess that all are equally long counts
_COLUMNS = 8
_VALUES = 2**23  # in all; what is larger is read block by block


class Order:
    """Hands out the trajectories of a run, each once; safe for several threads.

    **Arguments:**

    - `data`: arrays with a leading axis of all trajectories, or `None`; `share`: the first and how many are run.
    - `slots`: how many are under way at once.
    """

    def __init__(self, data: Any, share: tuple[int, int], slots: int):
        first, count = share
        self._next, self._end = first, first + count
        self._lock = threading.Lock()
        self._left: np.ndarray | None = None
        values = count * sum(leaf[0].size for leaf in jax.tree.leaves(data))
        if slots < count <= _MOST and 0 < values <= _VALUES:
            self._left = np.arange(first, first + count)
            self._columns = columns(data, first, count)
            self._first, self._known, self._lengths = first, [], []
            self._fresh = 0

    @property
    def learns(self) -> bool:
        """Whether trajectories are put in order."""
        return self._left is not None

    def left(self) -> int:
        """How many are to be handed out."""
        return self._end - self._next if self._left is None else len(self._left)

    def take(self, count: int) -> np.ndarray:
        """The numbers of the next `count`, or of as many as there are."""
        with self._lock:
            if self._left is None:
                first, self._next = self._next, min(self._next + count, self._end)
                return np.arange(first, self._next)
            if self._fresh >= max(_FEWEST, len(self._known) // 4):
                self._sort()
            taken, self._left = self._left[:count], self._left[count:]
            return taken

    def learn(self, numbers: np.ndarray, steps: np.ndarray) -> None:
        """That these trajectories ended after so many steps."""
        if self._left is None:
            return
        with self._lock:
            self._known.extend((numbers - self._first).tolist())
            self._lengths.extend(np.log(np.maximum(steps, 1)).tolist())
            self._fresh += len(numbers)

    def _sort(self) -> None:
        assert self._left is not None
        X, y = self._columns[self._known], np.array(self._lengths)
        normal = X.T @ X + _RIDGE * np.eye(X.shape[1])
        weights = np.linalg.solve(normal, X.T @ (y - y.mean()))
        guess = self._columns[self._left - self._first] @ weights
        self._left = self._left[np.argsort(-guess, kind="stable")]
        self._fresh = 0


def columns(data: Any, first: int, count: int) -> np.ndarray:
    """Numbers by which trajectories may differ in length, scaled alike, their squares and products."""
    found = []
    for leaf in jax.tree.leaves(data):
        rows = np.asarray(leaf[first : first + count])
        if rows.dtype.kind in "fiub":
            with np.errstate(all="ignore"):
                found += _of_leaf(rows.astype(float))
    X = np.stack(found[:_COLUMNS], axis=1) if found else np.zeros((count, 0))
    X = np.where(np.abs(X) < 1e100, X, 0)
    X = X - X.mean(axis=0)
    spread = X.std(axis=0)
    X = X[:, spread > 0] / spread[spread > 0]
    pairs = [X[:, i] * X[:, j] for i in range(X.shape[1]) for j in range(i, X.shape[1])]
    return np.concatenate([np.ones((count, 1)), X, *(p[:, None] for p in pairs)], axis=1)


def _of_leaf(rows: np.ndarray) -> list[np.ndarray]:
    if rows.ndim == 3:
        # Tokens, or a matrix: how long the mean row is, and how far rows lie along one line.
        mean = np.linalg.norm(rows.mean(axis=1), axis=-1)
        gram = np.einsum("nia,nja->nij", rows, rows)
        size = np.maximum(np.einsum("nii->n", gram) / rows.shape[1], np.finfo(float).tiny)
        return [mean, np.log(mean + 1e-3), np.mean(gram**2, axis=(1, 2)) / size**2, size]
    flat = rows.reshape(len(rows), -1)
    if flat.shape[1] == 1:
        return [flat[:, 0]]
    return [flat.mean(axis=1), np.linalg.norm(flat, axis=1)]
