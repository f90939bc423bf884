"""A run on disk: a file for each pass, the tokens after the last, and what was asked for."""

import json
import re
import zipfile
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from ..core.words import loads
from ..records import atomic_write, provenance, writable_folder
from ._architecture import Architecture
from ._result import Looped

_FORMAT = "attnflow looped transformer 1"
_NAMES = ("E", "pairs", "rest", "length")
_PASS = re.compile(r"^pass-(\d+)\.npz$")


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
        self.folder = writable_folder(folder)
        path = self.folder / "loop.json"
        if path.exists():
            account = _account(path)
            stored, asked = (
                {"architecture": sizes, **others}
                for sizes, others in (
                    (account["architecture"], account["settings"]),
                    (_sizes(arch), settings),
                )
            )
            for name in asked:
                if stored.get(name) != asked[name]:
                    raise ValueError(
                        f"`store` {self.folder} is of a run with another {name!r} "
                        f"({_short(stored.get(name))}; asked for {_short(asked[name])}): ask for that "
                        "one, or choose another folder."
                    )
            return
        account = {
            "format": _FORMAT,
            "settings": dict(settings),
            "architecture": _sizes(arch),
            "provenance": provenance(),
        }
        with atomic_write(path) as file:
            file.write(json.dumps(account, indent=1).encode())

    def passes(self, wanted: int) -> list[dict[str, np.ndarray]]:
        """The passes that are done, from the first on, whole files only; no more than wanted."""
        done = []
        while len(done) < wanted:
            arrays = _arrays(self._pass(len(done) + 1))
            if arrays is None:
                break
            done.append(arrays)
        return done

    def tokens(self, most: int) -> tuple[int, np.ndarray | None]:
        """The latest pass up to `most` whose tokens are kept, and those; 0 and `None` where none are."""
        for number in range(most, 0, -1):
            arrays = _arrays(self._tokens(number))
            if arrays is not None and arrays.get("tokens") is not None:
                return number, arrays["tokens"]
        return 0, None

    def write(self, number: int, arrays: Mapping[str, np.ndarray], tokens: np.ndarray) -> None:
        """A pass that was done. Its tokens come first: a pass that is there can be gone on from."""
        _write(self._tokens(number), {"tokens": tokens})
        _write(self._pass(number), arrays)
        for path in self.folder.glob("tokens-*.npz"):
            if path != self._tokens(number) and path != self._tokens(number - 1):
                path.unlink(missing_ok=True)

    def _pass(self, number: int) -> Path:
        return self.folder / f"pass-{number:05d}.npz"

    def _tokens(self, number: int) -> Path:
        return self.folder / f"tokens-{number:05d}.npz"


def read_run(folder: str | PathLike[str]) -> Looped:
    """The passes of a run that a folder holds, finished or not.

    **Raises:**

    `ValueError` where the folder holds no run, or none of its passes.
    """
    folder = Path(folder)
    path = folder / "loop.json"
    if not path.exists():
        raise ValueError(f"{folder} holds no looped run: there is no loop.json.")
    account = _account(path)
    arch = Architecture.of_record(account["architecture"])
    last = max((int(m[1]) for p in folder.iterdir() if (m := _PASS.match(p.name))), default=0)
    done = []
    for number in range(1, last + 1):
        arrays = _arrays(folder / f"pass-{number:05d}.npz")
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


def _write(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    with atomic_write(path) as file:
        np.savez(file, allow_pickle=False, **arrays)


def _arrays(path: Path) -> dict[str, np.ndarray] | None:
    """What a file holds, its checksums read; `None` where it is not there or not whole."""
    try:
        # Opened here: NumPy leaves a file that is no archive to the garbage collector.
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
            return dict(arrays)
    except (FileNotFoundError, ValueError, EOFError, zipfile.BadZipFile):
        return None


def _account(path: Path) -> dict[str, Any]:
    try:
        account = loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} cannot be read: {error}.") from None
    if not isinstance(account, dict) or account.get("format") != _FORMAT:
        raise ValueError(f"{path} is no account of a looped run; choose another folder.")
    return account


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 40 else f"{text[:36]}..."
