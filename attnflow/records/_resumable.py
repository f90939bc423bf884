"""Where long work stands, on disk: written aside and renamed, and held to what it was begun with."""

import hashlib
import os
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ._modules import load, save

_EVERY = 5.0  # seconds between writes


class Resumable:
    """A file that long work goes on from: its format, the digest of what was asked for, how far it came.

    **Arguments:**

    - `path`: the file, or `None` to keep nothing.
    - `format`: words that say which kind of work it is, and which version of the file.
    - `digest`: of what was asked for ([`digest_of`][]): a file with another is refused.
    - `work`: what the work is called in errors, such as `"a search"`.
    """

    def __init__(self, path: str | os.PathLike[str] | None, format: str, digest: str, work: str):
        self.path: Path | None = None if path is None else Path(path)
        self.format: str = format
        self.digest: str = digest
        self.work: str = work
        self.written: float = time.monotonic()

    def read(self) -> dict[str, Any] | None:
        """What [`write`][attnflow.records.Resumable.write] was given last; `None` where there is no file.

        **Raises:**

        `ValueError` where the file holds something else, or work with other arguments.
        """
        if self.path is None or not self.path.exists():
            return None
        contents = load(self.path)
        if not isinstance(contents, dict) or contents.get("format") != self.format:
            raise ValueError(f"`store` {self.path} holds something else; choose another file.")
        if contents["digest"] != self.digest:
            raise ValueError(
                f"`store` {self.path} is of {self.work} with other arguments; give those, or another file."
            )
        return contents

    @property
    def due(self) -> bool:
        """Whether the last write was some seconds ago, so that another costs little of the work's time."""
        return time.monotonic() - self.written >= _EVERY

    def write(self, contents: dict[str, Any]) -> None:
        """Put these numbers, texts and arrays in place of what the file held, whole or not at all."""
        if self.path is not None:
            save(self.path, {"format": self.format, "digest": self.digest, **contents})
            self.written = time.monotonic()


def digest_of(*parts: object) -> str:
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
