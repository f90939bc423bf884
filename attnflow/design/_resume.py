"""Where a search over schedules stands: steps done, the arrays of its state, its history."""

import os
import time
from typing import Any

import equinox as eqx
import jax

from ..records import WorkStore
from ._optimised import History

_FORMAT = "attnflow schedule search 1"


class Checkpoint:
    """A file with the steps done, the arrays of the search's state, and its history; or nowhere.

    **Arguments:**

    - `path`: the file, or `None` to keep nothing.
    - `digest`: of the arguments: a file with another is refused.
    - `history`: filled with what the file holds, on `resume`.
    """

    def __init__(self, path: str | os.PathLike[str] | None, digest: str, history: History):
        self.store: WorkStore | None = None
        if path is not None:
            self.store = WorkStore.of_file(path, _FORMAT, digest, "a search")
        self.history = history
        self.began = time.monotonic()
        self.latest: tuple[int, Any] | None = None

    def resume(self, state: Any) -> tuple[int, Any]:
        """The steps done and the state after them; none and `state` itself where there is no file."""
        before = None if self.store is None else self.store.read()
        if before is None:
            return 0, state
        self.history.restore(before["history"])
        arrays, rest = eqx.partition(state, eqx.is_array)
        _, structure = jax.tree.flatten(arrays)
        return before["step"], eqx.combine(jax.tree.unflatten(structure, before["state"]), rest)

    def seconds(self) -> float:
        """Taken so far, over all runs."""
        return self.history.seconds + time.monotonic() - self.began

    def save(self, step: int, state: Any) -> None:
        """Remember it, and write it unless something was written a moment ago."""
        self.latest = (step, state)
        if self.store is not None and self.store.due:
            self.flush()

    def flush(self) -> None:
        """Write the latest state, with as much of the history as belongs to it."""
        if self.latest is None or self.store is None:
            return
        step, state = self.latest
        self.history.seconds, self.began = self.seconds(), time.monotonic()
        self.store.record(
            {
                "step": step,
                "state": jax.tree.leaves(eqx.filter(state, eqx.is_array)),
                "history": self.history.plain(step),
            }
        )
