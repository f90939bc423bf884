"""Where a search stands, on disk: written aside and renamed, and held to the arguments it began with."""

import hashlib
import os
import time
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import numpy as np

from ..records import load, save
from ._optimised import History

_FORMAT = "attnflow schedule search 1"
_EVERY = 5.0  # seconds between writes


class Store:
    """A file with the steps done, the arrays of the search's state, and its history; or nowhere.

    **Arguments:**

    - `path`: the file, or `None` to keep nothing.
    - `digest`: of the arguments: a file with another is refused.
    - `history`: filled with what the file holds, on `resume`.
    """

    def __init__(self, path: str | os.PathLike | None, digest: str, history: History):
        self.path = None if path is None else Path(path)
        self.digest, self.history = digest, history
        self.began = self.written = time.monotonic()
        self.latest: tuple[int, Any] | None = None

    def resume(self, state: Any) -> tuple[int, Any]:
        """The steps done and the state after them; none and `state` itself where there is no file."""
        if self.path is None or not self.path.exists():
            return 0, state
        kept = load(self.path)
        if not isinstance(kept, dict) or kept.get("format") != _FORMAT:
            raise ValueError(f"`store` {self.path} holds something else; choose another file.")
        if kept["digest"] != self.digest:
            raise ValueError(
                f"`store` {self.path} is of a search with other arguments; give those, or another file."
            )
        self.history.restore(kept["history"])
        arrays, rest = eqx.partition(state, eqx.is_array)
        _, structure = jax.tree.flatten(arrays)
        return kept["step"], eqx.combine(jax.tree.unflatten(structure, kept["state"]), rest)

    def seconds(self) -> float:
        """Taken so far, over all runs."""
        return self.history.seconds + time.monotonic() - self.began

    def save(self, step: int, state: Any) -> None:
        """Keep it, and write it unless something was written a moment ago."""
        self.latest = (step, state)
        if time.monotonic() - self.written >= _EVERY:
            self.flush()

    def flush(self) -> None:
        """Write what was last kept, with as much of the history as belongs to it."""
        if self.path is None or self.latest is None:
            return
        step, state = self.latest
        self.history.seconds, self.began = self.seconds(), time.monotonic()
        contents = {
            "format": _FORMAT,
            "digest": self.digest,
            "step": step,
            "state": jax.tree.leaves(eqx.filter(state, eqx.is_array)),
            "history": self.history.plain(step),
        }
        save(self.path, contents)
        self.written = time.monotonic()


def digest_of(*parts: Any) -> str:
    """SHA-256 of the arrays of pytrees, where they are in them, and of everything else as text."""
    digest = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_flatten_with_path(parts)[0]:
        digest.update(jax.tree_util.keystr(path).encode())
        if isinstance(leaf, np.ndarray | jax.Array):
            array = np.asarray(leaf)
            digest.update(f"{array.dtype}{array.shape}".encode())
            digest.update(array.tobytes())
        elif isinstance(leaf, str | int | float | bool):
            digest.update(repr(leaf).encode())
    return digest.hexdigest()
