"""A run on disk: a file for each pass, the tokens after the last, and what was asked for."""

import re
from collections.abc import Mapping
from os import PathLike
from typing import Any

import numpy as np

from ..records import WorkStore, opened_arrays, packed_arrays
from ._architecture import Architecture
from ._result import Looped

_FORMAT = "attnflow looped transformer 1"
_NAMES = ("E", "pairs", "rest", "length")
_PASS = re.compile(r"^pass-(\d+)\.npz$")
_TOKENS = re.compile(r"^tokens-\d+\.npz$")
_ACCOUNT, _WORK = "loop.json", "a looped run"


class LoopStore:
    """A folder of `loop.json`, `pass-00001.npz`, ... and `tokens-00007.npz`, each written whole or not at all.

    **Arguments:**

    - `folder`: made when it is not there.
    - `settings`: of the run; a folder with others is refused.
    - `architecture`: of the model.
    """

    def __init__(
        self, folder: str | PathLike[str], settings: Mapping[str, Any], arch: Architecture
    ):
        asked = {"settings": settings, "architecture": _sizes(arch)}
        self.work = WorkStore(folder, _ACCOUNT, _FORMAT, asked, _WORK)
        if self.work.read() is None:
            self.work.record()

    def passes(self, wanted: int) -> list[dict[str, np.ndarray]]:
        """The passes that are done, from the first on, whole files only; no more than wanted."""
        done = []
        while len(done) < wanted:
            arrays = opened_arrays(self.work.unit(_pass(len(done) + 1)))
            if arrays is None:
                break
            done.append(arrays)
        return done

    def tokens(self, most: int) -> tuple[int, np.ndarray | None]:
        """The latest pass up to `most` whose tokens are kept, and those; 0 and `None` where none are."""
        for number in range(most, 0, -1):
            arrays = opened_arrays(self.work.unit(_tokens(number)))
            if arrays is not None and arrays.get("tokens") is not None:
                return number, arrays["tokens"]
        return 0, None

    def write(self, number: int, arrays: Mapping[str, np.ndarray], tokens: np.ndarray) -> None:
        """A pass that was done. Its tokens come first: a pass that is there can be gone on from."""
        self.work.write(_tokens(number), packed_arrays({"tokens": tokens}))
        self.work.write(_pass(number), packed_arrays(arrays))
        wanted = {_tokens(number), _tokens(number - 1)}
        for name in self.work.names():
            if _TOKENS.match(name) and name not in wanted:
                self.work.remove(name)


def read_run(folder: str | PathLike[str]) -> Looped:
    """The passes of a run that a folder holds, finished or not.

    **Raises:**

    `ValueError` where the folder holds no run, or none of its passes.
    """
    work = WorkStore(folder, _ACCOUNT, _FORMAT, None, _WORK)
    account = work.read()
    if account is None:
        raise ValueError(f"{folder} holds no looped run: there is no {_ACCOUNT}.")
    arch = Architecture.of_record(account["architecture"])
    last = max((int(m[1]) for name in work.names() if (m := _PASS.match(name))), default=0)
    done = []
    for number in range(1, last + 1):
        arrays = opened_arrays(work.unit(_pass(number)))
        if arrays is None:
            break
        done.append(arrays)
    if not done:
        raise ValueError(f"{folder} holds no finished pass yet.")
    return together(done, arch, account["settings"])


def together(
    passes: list[dict[str, np.ndarray]],
    arch: Architecture,
    settings: Mapping[str, Any],
    last: np.ndarray | None = None,
) -> Looped:
    """The result of passes one after the other."""
    traces = {
        name: np.concatenate(
            [passes[0][f"start_{name}"][:, None], *(p[name] for p in passes)], axis=1
        )
        for name in _NAMES
    }
    after = {name: np.stack([p[f"after_{name}"] for p in passes], axis=1) for name in _NAMES}
    seconds = np.asarray([float(p["seconds"]) for p in passes])
    if last is not None and "lengths" in settings:
        last = last.copy()
        for tokens, length in zip(last, settings["lengths"], strict=True):
            tokens[length:] = np.nan
    return Looped(
        **traces,
        after_norm=after,
        architecture=arch,
        settings=dict(settings),
        seconds=seconds,
        last=last,
    )


def _sizes(arch: Architecture) -> dict[str, Any]:
    return arch.record()


def _pass(number: int) -> str:
    return f"pass-{number:05d}.npz"


def _tokens(number: int) -> str:
    return f"tokens-{number:05d}.npz"
