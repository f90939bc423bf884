"""Where results go: into order, chunk by chunk of consecutive trajectories, and into summaries."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from ..flow import missing
from ._result import Outcome, Records
from ._summaries import Summary

CHUNK = 1024


class Sink:
    """Takes rows as trajectories end, in whatever order, and puts them at their trajectory's place.

    Summaries are made of whole chunks of consecutive trajectories and merged in order, so that they
    are the same numbers whatever ended first.

    **Arguments:**

    - `first`, `number`: the trajectories that will come.
    - `rows`: arrays as they come, of any length, for shapes and dtypes.
    - `ts`: the times asked for, or `None`.
    - `summaries`: by name.
    - `keep`: whether results are kept for each trajectory.
    """

    def __init__(
        self,
        first: int,
        number: int,
        rows: Any,
        ts: Any,
        summaries: dict[str, Summary],
        keep: bool,
    ):
        self.first, self.number, self.ts = first, number, ts
        self.summaries = summaries
        self.counts = dict.fromkeys(Outcome, 0)
        self.alone = 0  # steps, of all trajectories
        self._like = rows
        self._stored = self._room(number) if keep else None
        self._open: dict[int, tuple[Any, int]] = {}
        self._done = 0
        self._waiting: dict[int, dict[str, Any]] = {}
        self._states: dict[str, Any] = dict.fromkeys(summaries)

    def _room(self, count: int) -> Any:
        return jax.tree.map(lambda a: np.zeros((count, *a.shape[1:]), a.dtype), self._like)

    def add(self, rows: dict[str, Any]) -> None:
        """Take the results of some trajectories."""
        places = rows["number"] - self.first
        for code, count in zip(*np.unique(rows["status"], return_counts=True), strict=True):
            self.counts[Outcome(code)] += int(count)
        self.alone += int(np.sum(rows["steps"], dtype=np.int64))
        if not self.summaries:
            if self._stored is not None:
                _put(self._stored, places, rows)
            return
        for chunk in np.unique(places // CHUNK):
            mine = places // CHUNK == chunk
            self._fill(int(chunk), jax.tree.map(lambda a, mine=mine: a[mine], rows))

    def _fill(self, chunk: int, rows: Any) -> None:
        first = chunk * CHUNK
        size = min(CHUNK, self.number - first)
        if chunk not in self._open:
            if self._stored is None:
                store = self._room(size)
            else:
                store = jax.tree.map(lambda a: a[first : first + size], self._stored)
            self._open[chunk] = (store, 0)
        store, count = self._open[chunk]
        _put(store, rows["number"] - self.first - first, rows)
        count += len(rows["number"])
        self._open[chunk] = (store, count)
        if count == size:
            del self._open[chunk]
            records = self.records(store)
            states = {name: s.summarise(records) for name, s in self.summaries.items()}
            self._waiting[chunk] = states
            self._merge()

    def _merge(self) -> None:
        while self._done in self._waiting:
            states = self._waiting.pop(self._done)
            for name, summary in self.summaries.items():
                before = self._states[name]
                self._states[name] = (
                    states[name] if before is None else summary.merge(before, states[name])
                )
            self._done += 1

    def records(self, rows: Any) -> Records:
        """Rows as users see them."""
        saved = rows["saved"]
        times = jax.tree.leaves(rows["ys"])[0].shape[1]
        there = np.arange(times)[None, :] < saved[:, None]
        return Records(
            number=rows["number"],
            ts=None if self.ts is None else np.asarray(self.ts),
            ys=jax.tree.map(lambda v: _mark_missing(v, there), rows["ys"]),
            saved=saved,
            t1=rows["t1"],
            outcome=rows["status"],
            event=rows["event"],
            stats={
                "num_steps": rows["steps"],
                "num_accepted_steps": rows["accepted"],
                "num_rejected_steps": rows["steps"] - rows["accepted"],
            },
        )

    def result(self) -> tuple[Records | None, dict[str, Any]]:
        """All trajectories, where they are kept, and the summaries."""
        finished: dict[str, Callable[[Any], Any]] = {n: s.finish for n, s in self.summaries.items()}
        summaries = {name: finish(self._states[name]) for name, finish in finished.items()}
        return None if self._stored is None else self.records(self._stored), summaries


def _put(store: Any, places: np.ndarray, rows: Any) -> None:
    jax.tree.map(lambda all_, new: all_.__setitem__(places, new), store, rows)


def _mark_missing(value: np.ndarray, there: np.ndarray) -> np.ndarray:
    # As `mark_missing` of one run: NaN, -1 or the largest for integers, False for Booleans.
    there = there.reshape(there.shape + (1,) * (value.ndim - 2))
    if there.all():
        return value
    if np.issubdtype(value.dtype, np.bool_):
        return there & value
    absent = missing(value.dtype) if np.issubdtype(value.dtype, np.integer) else np.nan
    return np.where(there, value, np.array(absent, value.dtype))
